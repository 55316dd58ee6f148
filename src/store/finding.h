/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A list of problems in the making. Threading: one thread per list. Error tier: err.
 */
#ifndef STORE_FINDING_H
#define STORE_FINDING_H

#include "base/error.h"
#include "imbrex/check.h"
#include "store/record.h"

struct findings {
	struct imbrex_problem *items; /* owned */
	size_t n;
	size_t cap;
};

void findings_done(struct findings *f);
#define AUTO_FINDINGS __attribute__((cleanup(findings_done))) struct findings

/* What a problem is about; all borrowed. */
struct finding {
	enum imbrex_problem_kind kind;
	const struct record_type *type; /* of the object `id`; NULL: `object` says what it is */
	const char *id;
	const char *object; /* "file overlay-layers/layers.json"; used without a type */
	const char *about;  /* NULL: nothing; see struct imbrex_problem */
	bool read_only;
};

/* Add one; the format says what is wrong. */
int findings_add(struct findings *f, const struct finding *what, struct imbrex_error *err,
	const char *fmt, ...) MUST_CHECK PRINTF_LIKE(4, 5);
/* All of `from`, which is empty then, behind those of `to`. */
int findings_move(struct findings *to, struct findings *from, struct imbrex_error *err) MUST_CHECK;
int findings_copy(
	struct findings *to, const struct imbrex_problem *p, struct imbrex_error *err) MUST_CHECK;
/* One that is about the same: its index, or -1. */
ptrdiff_t findings_find(const struct findings *f, const struct imbrex_problem *like);
/* What repair did or would do; the last word counts. */
int problem_set_action(struct imbrex_problem *p, struct imbrex_error *err, const char *fmt,
	...) MUST_CHECK PRINTF_LIKE(3, 4);

#endif
