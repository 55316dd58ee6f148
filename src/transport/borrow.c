/* SPDX-License-Identifier: Apache-2.0 */
/* Forwards everything but ownership. */
#include "transport/borrow.h"

#include <stddef.h>
#include <stdlib.h>

struct borrow {
	struct sink sink;
	struct sink *to; /* borrowed */
};

static int borrow_write(struct sink *s, const void *buf, size_t len, struct imbrex_error *err)
{
	return sink_write(CONTAINER_OF(s, struct borrow, sink)->to, buf, len, err);
}

static int borrow_finish(struct sink *s, struct imbrex_error *err)
{
	return sink_finish(CONTAINER_OF(s, struct borrow, sink)->to, err);
}

static void borrow_free(struct sink *s)
{
	free(CONTAINER_OF(s, struct borrow, sink));
}

static const struct sink_ops borrow_ops = {
	.name = "borrow",
	.write = borrow_write,
	.finish = borrow_finish,
	.free = borrow_free,
};

int borrow_sink_new(struct sink *to, struct sink **ret, struct imbrex_error *err)
{
	struct borrow *b = calloc(1, sizeof(*b));

	if (!b)
		return fail_nomem(err);
	b->sink.ops = &borrow_ops;
	b->to = to;
	*ret = &b->sink;
	return 0;
}
