/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes, pushed. The first of the two currencies that cross module borders.
 *
 * new -> write* -> finish -> free. Chains: a stage owns the stage behind it, forwards bytes to it,
 * finishes it from its own finish (after its own check) and frees it with itself. So whoever
 * commits in finish knows that every stage before it has agreed. free without finish is abort.
 *
 * One thread drives a chain; stages that use threads of their own hide them.
 * After a failed write or finish only free may be called.
 */
#ifndef STREAM_SINK_H
#define STREAM_SINK_H

#include <stddef.h>

#include "base/error.h"
#include "base/macros.h"

struct sink;

struct sink_ops {
	const char *name; /* of the stage, for logs */
	/* Push `len` > 0 bytes, split anywhere. `buf` is borrowed until return. */
	int (*write)(struct sink *s, const void *buf, size_t len, struct imbrex_error *err);
	/* All bytes were pushed: check, then finish the next stage. Called once. */
	int (*finish)(struct sink *s, struct imbrex_error *err);
	/* Release; aborts what was not finished. Never NULL argument. */
	void (*free)(struct sink *s);
};

/* Embedded as the first member of each stage's own struct. */
struct sink {
	const struct sink_ops *ops;
};

static inline MUST_CHECK int sink_write(
	struct sink *s, const void *buf, size_t len, struct imbrex_error *err)
{
	return len ? s->ops->write(s, buf, len, err) : 0;
}

static inline MUST_CHECK int sink_finish(struct sink *s, struct imbrex_error *err)
{
	return s->ops->finish(s, err);
}

static inline void sink_free(struct sink *s)
{
	if (s)
		s->ops->free(s);
}
DEFINE_CLEANUP(sink, struct sink, sink_free)
#define AUTO_SINK AUTO(sink)

#endif
