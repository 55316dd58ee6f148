/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Detection of compression. Media types lie and archives have none, so the bytes decide.
 *
 *	DETECTING --six bytes, or finish--> DECIDED: `next` is the unpacking stage or the given sink
 *
 * Only while DETECTING bytes are held back, at most COMPRESSION_MAGIC_MAX of them.
 */
#include "stream/detect.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "stream/bzip2.h"
#include "stream/gzip.h"
#include "stream/xz.h"
#include "stream/zstd.h"

struct decompress {
	struct sink sink;
	struct sink *next; /* owned */
	bool decided;
	uint8_t head[COMPRESSION_MAGIC_MAX]; /* held back while not decided */
	size_t n_head;
	enum compression *ret_found; /* borrowed; NULL: nobody asks */
};

enum compression compression_detect(const void *buf, size_t len)
{
	static const struct {
		enum compression compression;
		size_t len;
		uint8_t magic[COMPRESSION_MAGIC_MAX];
		uint8_t first_mask; /* of the first byte */
	} table[] = {
		{ COMPRESSION_BZIP2, 3, { 'B', 'Z', 'h' }, 0xff },
		{ COMPRESSION_GZIP, 3, { 0x1f, 0x8b, 0x08 }, 0xff },
		{ COMPRESSION_XZ, 6, { 0xfd, '7', 'z', 'X', 'Z', 0x00 }, 0xff },
		{ COMPRESSION_ZSTD, 4, { 0x28, 0xb5, 0x2f, 0xfd }, 0xff },
		/* A skippable frame, 16 magic numbers: only zstd streams have them in front. */
		{ COMPRESSION_ZSTD, 4, { 0x50, 0x2a, 0x4d, 0x18 }, 0xf0 },
	};
	const uint8_t *bytes = buf;
	size_t i;

	for (i = 0; i < ARRAY_LEN(table); i++) {
		if (len >= table[i].len && (bytes[0] & table[i].first_mask) == table[i].magic[0] &&
			memcmp(bytes + 1, table[i].magic + 1, table[i].len - 1) == 0)
			return table[i].compression;
	}
	return COMPRESSION_NONE;
}

const char *compression_name(enum compression c)
{
	switch (c) {
	case COMPRESSION_NONE:
		return "none";
	case COMPRESSION_BZIP2:
		return "bzip2";
	case COMPRESSION_GZIP:
		return "gzip";
	case COMPRESSION_XZ:
		return "xz";
	case COMPRESSION_ZSTD:
		return "zstd";
	}
	return "unknown";
}

int unpack_sink_new(
	enum compression c, struct sink *next, struct sink **ret, struct imbrex_error *err)
{
	switch (c) {
	case COMPRESSION_BZIP2:
		return bunzip2_sink_new(next, ret, err);
	case COMPRESSION_GZIP:
		return gunzip_sink_new(next, ret, err);
	case COMPRESSION_XZ:
		return unxz_sink_new(next, ret, err);
	case COMPRESSION_ZSTD:
		return unzstd_sink_new(next, ret, err);
	case COMPRESSION_NONE:
		break;
	}
	return fail(err, IMBREX_EINVAL, "compression '%s' (%d) cannot be unpacked",
		compression_name(c), (int)c);
}

/* Put the right stage in front of `next` and give it what was held back. */
static int decide(struct decompress *d, struct imbrex_error *err)
{
	enum compression c = compression_detect(d->head, d->n_head);
	struct sink *stage;
	int r;

	if (c != COMPRESSION_NONE) {
		r = unpack_sink_new(c, d->next, &stage, err);
		if (r < 0)
			return r;
		d->next = stage;
	}
	d->decided = true;
	if (d->ret_found)
		*d->ret_found = c;
	return sink_write(d->next, d->head, d->n_head, err);
}

static int decompress_write(struct sink *s, const void *buf, size_t len, struct imbrex_error *err)
{
	struct decompress *d = CONTAINER_OF(s, struct decompress, sink);
	const uint8_t *bytes = buf;
	size_t n;
	int r;

	if (d->decided)
		return sink_write(d->next, buf, len, err);
	n = MIN(len, sizeof(d->head) - d->n_head);
	memcpy(d->head + d->n_head, bytes, n);
	d->n_head += n;
	if (d->n_head < sizeof(d->head))
		return 0;
	r = decide(d, err);
	if (r < 0)
		return r;
	return sink_write(d->next, bytes + n, len - n, err);
}

static int decompress_finish(struct sink *s, struct imbrex_error *err)
{
	struct decompress *d = CONTAINER_OF(s, struct decompress, sink);
	int r;

	if (!d->decided) {
		r = decide(d, err);
		if (r < 0)
			return r;
	}
	return sink_finish(d->next, err);
}

static void decompress_free(struct sink *s)
{
	struct decompress *d = CONTAINER_OF(s, struct decompress, sink);

	sink_free(d->next);
	free(d);
}

static const struct sink_ops decompress_ops = {
	.name = "decompress",
	.write = decompress_write,
	.finish = decompress_finish,
	.free = decompress_free,
};

int decompress_sink_new(
	enum compression *ret_found, struct sink *next, struct sink **ret, struct imbrex_error *err)
{
	struct decompress *d = calloc(1, sizeof(*d));

	if (!d)
		return fail_nomem(err);
	d->sink.ops = &decompress_ops;
	d->next = next;
	d->ret_found = ret_found;
	*ret = &d->sink;
	return 0;
}
