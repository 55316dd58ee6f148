/* SPDX-License-Identifier: Apache-2.0 */
/* One stream, two consumers: keeping a blob while it is unpacked. A failure of either stops both.
 */
#include "stream/tee.h"

struct tee {
	struct sink sink;
	struct sink *side; /* owned */
	struct sink *next; /* owned */
};

static int tee_write(struct sink *s, const void *buf, size_t len, struct imbrex_error *err)
{
	struct tee *t = CONTAINER_OF(s, struct tee, sink);
	int r;

	r = sink_write(t->side, buf, len, err);
	if (r < 0)
		return r;
	return sink_write(t->next, buf, len, err);
}

static int tee_finish(struct sink *s, struct imbrex_error *err)
{
	struct tee *t = CONTAINER_OF(s, struct tee, sink);
	int r;

	r = sink_finish(t->side, err);
	if (r < 0)
		return r;
	return sink_finish(t->next, err);
}

static void tee_free(struct sink *s)
{
	struct tee *t = CONTAINER_OF(s, struct tee, sink);

	sink_free(t->side);
	sink_free(t->next);
	free(t);
}

static const struct sink_ops tee_ops = {
	.name = "tee",
	.write = tee_write,
	.finish = tee_finish,
	.free = tee_free,
};

int tee_sink_new(struct sink *side, struct sink *next, struct sink **ret, struct imbrex_error *err)
{
	struct tee *t = calloc(1, sizeof(*t));

	if (!t)
		return fail_nomem(err);
	t->sink.ops = &tee_ops;
	t->side = side;
	t->next = next;
	*ret = &t->sink;
	return 0;
}
