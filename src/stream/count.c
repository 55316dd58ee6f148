/* SPDX-License-Identifier: Apache-2.0 */
/* The byte counter of a chain: sizes for records and progress, never a check. */
#include "stream/count.h"

struct count {
	struct sink sink;
	struct sink *next; /* owned */
	uint64_t *bytes;   /* borrowed */
};

static int count_write(struct sink *s, const void *buf, size_t len, struct imbrex_error *err)
{
	struct count *c = CONTAINER_OF(s, struct count, sink);
	int r;

	r = sink_write(c->next, buf, len, err);
	if (r < 0)
		return r;
	*c->bytes += len;
	return 0;
}

static int count_finish(struct sink *s, struct imbrex_error *err)
{
	struct count *c = CONTAINER_OF(s, struct count, sink);

	return sink_finish(c->next, err);
}

static void count_free(struct sink *s)
{
	struct count *c = CONTAINER_OF(s, struct count, sink);

	sink_free(c->next);
	free(c);
}

static const struct sink_ops count_ops = {
	.name = "count",
	.write = count_write,
	.finish = count_finish,
	.free = count_free,
};

int count_sink_new(
	uint64_t *ret_bytes, struct sink *next, struct sink **ret, struct imbrex_error *err)
{
	struct count *c = calloc(1, sizeof(*c));

	if (!c)
		return fail_nomem(err);
	c->sink.ops = &count_ops;
	c->next = next;
	c->bytes = ret_bytes;
	*ret = &c->sink;
	return 0;
}
