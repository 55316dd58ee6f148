/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Manifests, configurations and error documents end here. The text is handed over at finish, when
 * every stage before has agreed: nobody can parse what was not verified.
 */
#include "stream/buffer.h"

struct buffer {
	struct sink sink;
	struct str text;      /* collected so far */
	struct str *ret_text; /* borrowed */
};

static int buffer_write(struct sink *s, const void *buf, size_t len, struct imbrex_error *err)
{
	struct buffer *b = CONTAINER_OF(s, struct buffer, sink);
	int r;

	r = str_append(&b->text, buf, len);
	if (r == -EFBIG)
		return fail(
			err, IMBREX_ELIMIT, "content is larger than %zu bytes", b->text.max_len);
	if (r < 0)
		return fail_nomem(err);
	return 0;
}

static int buffer_finish(struct sink *s, struct imbrex_error *err)
{
	struct buffer *b = CONTAINER_OF(s, struct buffer, sink);

	str_done(b->ret_text);
	*b->ret_text = b->text;
	b->text = (struct str)STR_INIT(b->text.max_len);
	return 0;
}

static void buffer_free(struct sink *s)
{
	struct buffer *b = CONTAINER_OF(s, struct buffer, sink);

	str_done(&b->text);
	free(b);
}

static const struct sink_ops buffer_ops = {
	.name = "buffer",
	.write = buffer_write,
	.finish = buffer_finish,
	.free = buffer_free,
};

int buffer_sink_new(
	size_t max_bytes, struct str *ret_text, struct sink **ret, struct imbrex_error *err)
{
	struct buffer *b = calloc(1, sizeof(*b));

	if (!b)
		return fail_nomem(err);
	b->sink.ops = &buffer_ops;
	b->text = (struct str)STR_INIT(max_bytes);
	b->ret_text = ret_text;
	*ret = &b->sink;
	return 0;
}
