/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Progress of a pull on stderr: a redrawn block on a terminal, plain lines, or JSON events.
 *
 * progress_new -> progress_event as the library's callback (any thread) -> progress_free, which
 * takes the block off the terminal. Print nothing else to stderr in between.
 */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include "base/macros.h"
#include "cli/cli.h"

struct progress;

/* NULL if nothing shall be shown (or without memory): pass no callback then. */
struct progress *progress_new(const struct globals *globals) MUST_CHECK;
void progress_event(void *userdata, const struct imbrex_progress *event);
void progress_free(struct progress *p);
DEFINE_CLEANUP(progress, struct progress, progress_free)
#define AUTO_PROGRESS AUTO(progress) struct progress

#endif
