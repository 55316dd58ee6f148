/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The size check of a blob: first stage after a transport. It fails before a byte too many can
 * reach anything behind it, so a lying server cannot make us store more than was announced.
 */
#include "stream/exact.h"

#include <inttypes.h>

struct exact {
	struct sink sink;
	struct sink *next;   /* owned */
	uint64_t size_bytes; /* announced */
	uint64_t left_bytes; /* still to come */
};

static int exact_write(struct sink *s, const void *buf, size_t len, struct imbrex_error *err)
{
	struct exact *x = CONTAINER_OF(s, struct exact, sink);

	if (len > x->left_bytes)
		return fail(err, IMBREX_EDIGEST,
			"got %" PRIu64 " bytes more than the announced %" PRIu64,
			len - x->left_bytes, x->size_bytes);
	x->left_bytes -= len;
	return sink_write(x->next, buf, len, err);
}

static int exact_finish(struct sink *s, struct imbrex_error *err)
{
	struct exact *x = CONTAINER_OF(s, struct exact, sink);

	if (x->left_bytes)
		return fail(err, IMBREX_EDIGEST,
			"got %" PRIu64 " bytes less than the announced %" PRIu64, x->left_bytes,
			x->size_bytes);
	return sink_finish(x->next, err);
}

static void exact_free(struct sink *s)
{
	struct exact *x = CONTAINER_OF(s, struct exact, sink);

	sink_free(x->next);
	free(x);
}

static const struct sink_ops exact_ops = {
	.name = "exact",
	.write = exact_write,
	.finish = exact_finish,
	.free = exact_free,
};

int exact_sink_new(
	uint64_t size_bytes, struct sink *next, struct sink **ret, struct imbrex_error *err)
{
	struct exact *x = calloc(1, sizeof(*x));

	if (!x)
		return fail_nomem(err);
	x->sink.ops = &exact_ops;
	x->next = next;
	x->size_bytes = size_bytes;
	x->left_bytes = size_bytes;
	*ret = &x->sink;
	return 0;
}
