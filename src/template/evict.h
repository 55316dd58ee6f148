/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What nobody uses goes: templates without clones, least recently used first, then layers that
 * nothing stands on. A clone keeps what it is of; nothing else does. Errors: err.
 */
#ifndef TEMPLATE_EVICT_H
#define TEMPLATE_EVICT_H

#include "template/store.h"

enum evict_how {
	EVICT_DUE = 1, /* what is cold; under pressure of a quota what is warm, too */
	EVICT_ALL      /* everything that is not used: there is no space */
};

/*
 * What others are working on is passed over, and so are what cannot be destroyed and the layers in
 * t->keep. What dead processes left under construction is destroyed.
 */
int template_sweep(
	struct imbrex_templates *t, enum evict_how how, struct imbrex_error *err) MUST_CHECK;

/* The decision alone: is something last used at `used_sec` (0: never) cold by now? */
bool evict_is_cold(uint64_t used_sec, uint64_t now_sec, uint64_t warm_sec);
/* The number in a property; 0 for anything that is none. */
uint64_t evict_parse_seconds(const char *text);
/* Is so much of a quota used? 0: no quota. */
bool evict_is_pressed(uint64_t used, uint64_t quota, unsigned int percent);

#endif
