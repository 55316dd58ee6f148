/* SPDX-License-Identifier: Apache-2.0 */
/* Lines to tar: segments are passed on, content is read, checked and passed on. */
#include "format/tarsplit/assemble.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "format/tarsplit/crc64.h"
#include "format/tarsplit/reader.h"

struct assembler {
	struct sink sink;
	struct sink *lines; /* owned: the parser, whose events come back to us */
	struct sink *next;  /* owned */
	tarsplit_open_fn open;
	void *ctx;
	char *buf; /* owned; STREAM_BLOCK_BYTES */
};

static struct assembler *assembler_of(struct sink *s)
{
	return CONTAINER_OF(s, struct assembler, sink);
}

static int read_some(
	int fd, void *buf, size_t len, const char *name, size_t *ret_len, struct imbrex_error *err)
{
	ssize_t n;

	do {
		n = read(fd, buf, len);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return fail_errno(err, "read '%.256s'", name);
	*ret_len = (size_t)n;
	return 0;
}

static int copy_content(
	struct assembler *a, int fd, const struct tarsplit_file *file, struct imbrex_error *err)
{
	uint64_t left = file->size_bytes;
	uint64_t crc = 0;
	size_t n = 1;
	int r;

	while (left) {
		r = read_some(fd, a->buf, MIN(left, STREAM_BLOCK_BYTES), file->name, &n, err);
		if (r < 0)
			return r;
		if (!n)
			return fail(err, IMBREX_EDIGEST,
				"content of '%.256s' is %" PRIu64 " bytes shorter than the %" PRIu64
				" recorded",
				file->name, left, file->size_bytes);
		crc = crc64_iso(crc, a->buf, n);
		left -= n;
		r = sink_write(a->next, a->buf, n, err);
		if (r < 0)
			return r;
	}
	r = read_some(fd, a->buf, 1, file->name, &n, err);
	if (r < 0)
		return r;
	if (n)
		return fail(err, IMBREX_EDIGEST,
			"content of '%.256s' is longer than the %" PRIu64 " bytes recorded",
			file->name, file->size_bytes);
	if (crc != file->crc)
		return fail_reason(err, IMBREX_EDIGEST, IMBREX_REASON_FILE_CHANGED,
			"content of '%.256s' does not match its recorded checksum", file->name);
	return 0;
}

static int take_segment(void *ctx, const void *buf, size_t len, struct imbrex_error *err)
{
	struct assembler *a = ctx;

	return sink_write(a->next, buf, len, err);
}

static int take_file(void *ctx, const struct tarsplit_file *file, struct imbrex_error *err)
{
	struct assembler *a = ctx;
	AUTO_CLOSE int fd = -EBADF;

	if (!file->size_bytes)
		return 0;
	fd = a->open(a->ctx, file->name, file->name_len, err);
	if (fd < 0)
		return take_fd(fd);
	return copy_content(a, fd, file, err);
}

static int take_finish(void *ctx, struct imbrex_error *err)
{
	struct assembler *a = ctx;

	return sink_finish(a->next, err);
}

static int assembler_write(struct sink *s, const void *buf, size_t len, struct imbrex_error *err)
{
	return sink_write(assembler_of(s)->lines, buf, len, err);
}

static int assembler_finish(struct sink *s, struct imbrex_error *err)
{
	return sink_finish(assembler_of(s)->lines, err);
}

static void assembler_free(struct sink *s)
{
	struct assembler *a = assembler_of(s);

	sink_free(a->lines);
	sink_free(a->next);
	free(a->buf);
	free(a);
}

static const struct sink_ops assembler_ops = {
	.name = "tar-split assembly",
	.write = assembler_write,
	.finish = assembler_finish,
	.free = assembler_free,
};

int tarsplit_assemble_sink_new(tarsplit_open_fn open, void *ctx, struct sink *next,
	struct sink **ret, struct imbrex_error *err)
{
	AUTO_FREE struct assembler *a = calloc(1, sizeof(*a));
	AUTO_FREE char *buf = malloc(STREAM_BLOCK_BYTES);
	struct tarsplit_events events = {
		.ctx = a,
		.segment = take_segment,
		.file = take_file,
		.finish = take_finish,
	};
	int r;

	if (!a || !buf)
		return fail_nomem(err);
	r = tarsplit_reader_new(&events, &a->lines, err);
	if (r < 0)
		return r;
	a->sink.ops = &assembler_ops;
	a->open = open;
	a->ctx = ctx;
	a->next = next;
	a->buf = take_ptr(buf);
	*ret = &a->sink;
	(void)take_ptr(a);
	return 0;
}
