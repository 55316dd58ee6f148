/* SPDX-License-Identifier: Apache-2.0 */
/* A chain that only counts or digests still needs an end. */
#include "stream/null.h"

static int null_write(struct sink *s, const void *buf, size_t len, struct imbrex_error *err)
{
	return 0;
}

static int null_finish(struct sink *s, struct imbrex_error *err)
{
	return 0;
}

static void null_free(struct sink *s)
{
	free(s);
}

static const struct sink_ops null_ops = {
	.name = "null",
	.write = null_write,
	.finish = null_finish,
	.free = null_free,
};

int null_sink_new(struct sink **ret, struct imbrex_error *err)
{
	struct sink *s = calloc(1, sizeof(*s));

	if (!s)
		return fail_nomem(err);
	s->ops = &null_ops;
	*ret = s;
	return 0;
}
