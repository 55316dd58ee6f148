/* SPDX-License-Identifier: Apache-2.0 */
/* A squashfs image in memory, and a sink that writes down the entries it gets. */
#ifndef TESTS_FORMAT_SQUASHFS_MEMORY_H
#define TESTS_FORMAT_SQUASHFS_MEMORY_H

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "format/squashfs/reader.h"
#include "format/squashfs/writer.h"

#define MEMORY_MAX (64u * 1024 * 1024)

static int memory_read_at(void *ctx, void *buf, size_t len, uint64_t offset)
{
	const struct str *s = ctx;

	if (offset > s->len || len > s->len - offset)
		return -ENODATA;
	memcpy(buf, s->data + offset, len);
	return 0;
}

static int memory_truncate(void *ctx, uint64_t size)
{
	struct str *s = ctx;
	char *room;

	if (size > s->len) {
		if (str_reserve(s, (size_t)size - s->len, &room) < 0)
			return -ENOSPC;
		memset(room, 0, (size_t)size - s->len);
	}
	s->len = (size_t)size;
	return 0;
}

static int memory_write_at(void *ctx, const void *buf, size_t len, uint64_t offset)
{
	struct str *s = ctx;

	if (offset + len > s->len && memory_truncate(s, offset + len) < 0)
		return -ENOSPC;
	memcpy(s->data + offset, buf, len);
	return 0;
}

static inline struct squashfs_file memory_file(struct str *bytes)
{
	return (struct squashfs_file){
		.ctx = bytes,
		.size_bytes = bytes->len,
		.read_at = memory_read_at,
		.write_at = memory_write_at,
		.truncate = memory_truncate,
	};
}

/* Lines "type path mode uid:gid mtime size link dev {xattr=value …} sum-of-content". */
struct lister {
	struct entry_sink base;
	struct str text;
	uint64_t left, all, sum;
	bool open, finished;
};

static int lister_begin(struct entry_sink *s, const struct entry *e, struct imbrex_error *err)
{
	struct lister *l = (struct lister *)s;
	size_t i;

	assert(!l->open && *e->path && e->path[0] != '/' && !strstr(e->path, "/../"));
	l->open = true;
	l->left = e->size_bytes;
	l->all += e->size_bytes;
	l->sum = 0;
	/* Holes are cheap to claim: whoever lists has a limit. */
	if (l->all > MEMORY_MAX)
		return fail(err, IMBREX_ELIMIT, "more content than this test reads");
	if (str_printf(&l->text, "%d %s %o %u:%u %lld %llu %s %u,%u {", e->type, e->path, e->mode,
		    e->uid, e->gid, (long long)e->mtime_sec, (unsigned long long)e->size_bytes,
		    e->link ? e->link : "-", e->dev_major, e->dev_minor) < 0)
		return fail(err, IMBREX_ELIMIT, "more text than this test keeps");
	for (i = 0; i < e->n_xattrs; i++)
		(void)!str_printf(&l->text, "%s=%.*s ", e->xattrs[i].name,
			(int)e->xattrs[i].value_len, (const char *)e->xattrs[i].value);
	return 0;
}

static int lister_data(struct entry_sink *s, const void *buf, size_t len, struct imbrex_error *err)
{
	struct lister *l = (struct lister *)s;
	const unsigned char *p = buf;
	size_t i;

	assert(l->open && len > 0 && len <= l->left);
	l->left -= len;
	for (i = 0; i < len; i++)
		l->sum = l->sum * 31 + p[i];
	return 0;
}

static int lister_end(struct entry_sink *s, struct imbrex_error *err)
{
	struct lister *l = (struct lister *)s;

	assert(l->open && l->left == 0);
	l->open = false;
	return str_printf(&l->text, "} %llx\n", (unsigned long long)l->sum) < 0
		       ? fail(err, IMBREX_ELIMIT, "more text than this test keeps")
		       : 0;
}

static int lister_finish(struct entry_sink *s, struct imbrex_error *err)
{
	((struct lister *)s)->finished = true;
	return 0;
}

static void lister_free(struct entry_sink *s)
{
	str_done(&((struct lister *)s)->text);
}

static const struct entry_sink_ops lister_ops = {
	.begin = lister_begin,
	.data = lister_data,
	.end = lister_end,
	.finish = lister_finish,
	.free = lister_free,
};

static inline void lister_init(struct lister *l)
{
	*l = (struct lister){ .base = { &lister_ops }, .text = STR_INIT(MEMORY_MAX) };
}

#endif
