/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tar tests share: archives put together block by block, sinks that write down what
 * arrives, and one run of reader, recorder and assembler over an archive in memory.
 */
#ifndef UNIT_FORMAT_TAR_HARNESS_H
#define UNIT_FORMAT_TAR_HARNESS_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/str.h"
#include "format/tar/header.h"
#include "format/tar/reader.h"
#include "format/tarsplit/assemble.h"
#include "format/tarsplit/crc64.h"
#include "format/tarsplit/writer.h"
#include "tree/entry_sink.h"

#define TEXT_MAX (64u * 1024 * 1024)

/* Tests have no use for a half result: running out of memory ends them. */
static inline void must(int r)
{
	if (r < 0)
		abort();
}

/* ---- archives ---------------------------------------------------------------------------- */

/* One header to make; what is 0 or NULL gets an innocent value. */
struct block {
	const char *name;
	size_t name_len;  /* if not strlen(name); at most 100 */
	char type;        /* '0' if 0 */
	bool type_is_nul; /* the old type of files, '\0' */
	const char *link;
	uint64_t size;
	const char *prefix;
	enum tar_dialect dialect; /* ustar if 0 */
	size_t patch_at;          /* patch_len bytes put over the block, before the checksum */
	const void *patch;
	size_t patch_len;
	const char *checksum; /* eight bytes instead of the right ones */
};

static inline void put_padding(struct str *tar)
{
	static const char zeros[TAR_BLOCK_BYTES];

	must(str_append(tar, zeros, tar_padding(tar->len)));
}

static inline void put_block(struct str *tar, const struct block *b)
{
	struct tar_header h = { .type = b->type_is_nul ? '\0' : b->type ? b->type : '0' };
	size_t name_len = b->name_len ? b->name_len : b->name ? strlen(b->name) : 0;

	memcpy(h.name, b->name ? b->name : "", name_len);
	if (b->link)
		memcpy(h.link, b->link, strnlen(b->link, sizeof(h.link)));
	if (b->prefix)
		memcpy(h.prefix, b->prefix, strnlen(b->prefix, sizeof(h.prefix)));
	(void)tar_number_format(h.mode, sizeof(h.mode), 0644);
	(void)tar_number_format(h.uid, sizeof(h.uid), 0);
	(void)tar_number_format(h.gid, sizeof(h.gid), 0);
	(void)tar_number_format(h.size, sizeof(h.size), (int64_t)b->size);
	(void)tar_number_format(h.mtime, sizeof(h.mtime), 0);
	if (b->dialect == TAR_DIALECT_GNU)
		memcpy(h.magic, "ustar  ", 8);
	else if (b->dialect != TAR_DIALECT_V7)
		memcpy(h.magic, "ustar\00000", 8);
	if (b->patch)
		memcpy((char *)&h + b->patch_at, b->patch, b->patch_len);
	(void)tar_number_format(h.checksum, 7, tar_checksum(&h));
	h.checksum[7] = ' ';
	if (b->checksum)
		memcpy(h.checksum, b->checksum, 8);
	must(str_append(tar, &h, sizeof(h)));
}

static inline void put_data(struct str *tar, const void *data, size_t len)
{
	must(str_append(tar, data, len));
	put_padding(tar);
}

/* An extension header of the given type with `len` bytes of data. */
static inline void put_extension(struct str *tar, char type, const void *data, size_t len)
{
	put_block(tar, &(struct block){ .name = "ext", .type = type, .size = len });
	put_data(tar, data, len);
}

/* "<length> <key>=<value>\n" */
static inline void put_record(struct str *to, const char *key, const void *value, size_t len)
{
	size_t rest = strlen(key) + len + 3;
	size_t total = rest + 1;
	char digits[24];

	while ((size_t)snprintf(digits, sizeof(digits), "%zu", total) + rest != total)
		total++;
	must(str_printf(to, "%zu %s=", total, key));
	must(str_append(to, value, len));
	must(str_putc(to, '\n'));
}

static inline void put_pax(struct str *tar, const char *key, const char *value)
{
	AUTO_STR data = STR_INIT(TEXT_MAX);

	put_record(&data, key, value, strlen(value));
	put_extension(tar, 'x', data.data, data.len);
}

static inline void put_end(struct str *tar)
{
	static const char zeros[2 * TAR_BLOCK_BYTES];

	must(str_append(tar, zeros, sizeof(zeros)));
}

/* ---- sinks that write down ---------------------------------------------------------------- */

struct text_sink {
	struct sink sink;
	struct str *text; /* borrowed */
	bool finished;
};

static inline int text_write(struct sink *s, const void *buf, size_t len, struct imbrex_error *err)
{
	return str_append(((struct text_sink *)s)->text, buf, len) < 0 ? fail_nomem(err) : 0;
}

static inline int text_finish(struct sink *s, UNUSED struct imbrex_error *err)
{
	((struct text_sink *)s)->finished = true;
	return 0;
}

static inline void text_free(struct sink *s)
{
	free(s);
}

static inline struct sink *text_sink_new(struct str *text)
{
	static const struct sink_ops ops = {
		.name = "text",
		.write = text_write,
		.finish = text_finish,
		.free = text_free,
	};
	struct text_sink *s = calloc(1, sizeof(*s));

	if (!s)
		abort();
	s->sink.ops = &ops;
	s->text = text;
	return &s->sink;
}

/* One line an entry; content as its CRC. */
struct listing {
	struct entry_sink entries;
	struct str *text; /* borrowed */
	uint64_t crc;
	uint64_t left;
	bool open;
};

static inline void list_name(struct str *text, const char *name)
{
	for (; *name; name++) {
		if ((unsigned char)*name <= ' ' || (unsigned char)*name >= 0x7f || *name == '\\')
			must(str_printf(text, "\\x%02x", (unsigned char)*name));
		else
			must(str_putc(text, *name));
	}
}

static inline int listing_begin(
	struct entry_sink *s, const struct entry *e, UNUSED struct imbrex_error *err)
{
	static const char *const types[] = { [ENTRY_FILE] = "file",
		[ENTRY_DIR] = "dir",
		[ENTRY_SYMLINK] = "symlink",
		[ENTRY_HARDLINK] = "hardlink",
		[ENTRY_CHAR] = "char",
		[ENTRY_BLOCK] = "block",
		[ENTRY_FIFO] = "fifo",
		[ENTRY_WHITEOUT] = "whiteout",
		[ENTRY_OPAQUE] = "opaque" };
	struct listing *l = (struct listing *)s;
	size_t i;

	if (l->open)
		abort();
	l->open = true;
	l->crc = 0;
	l->left = e->type == ENTRY_FILE ? e->size_bytes : 0;
	must(str_printf(l->text, "%s ", types[e->type]));
	list_name(l->text, e->path);
	must(str_printf(l->text, " %04o %" PRIu32 ":%" PRIu32 " %" PRId64, e->mode, e->uid, e->gid,
		e->mtime_sec));
	if (e->mtime_nsec)
		must(str_printf(l->text, "+%09" PRIu32, e->mtime_nsec));
	if (e->link) {
		must(str_puts(l->text, " -> "));
		list_name(l->text, e->link);
	}
	if (e->type == ENTRY_CHAR || e->type == ENTRY_BLOCK)
		must(str_printf(l->text, " %" PRIu32 ",%" PRIu32, e->dev_major, e->dev_minor));
	for (i = 0; i < e->n_xattrs; i++)
		must(str_printf(l->text, " %s=%.*s", e->xattrs[i].name,
			(int)MIN(e->xattrs[i].value_len, (size_t)32),
			(const char *)e->xattrs[i].value));
	if (e->type == ENTRY_FILE)
		must(str_printf(l->text, " %" PRIu64, e->size_bytes));
	return 0;
}

static inline int listing_data(
	struct entry_sink *s, const void *buf, size_t len, UNUSED struct imbrex_error *err)
{
	struct listing *l = (struct listing *)s;

	if (!l->open || !len || len > l->left)
		abort();
	l->left -= len;
	l->crc = crc64_iso_tables(l->crc, buf, len);
	return 0;
}

static inline int listing_end(struct entry_sink *s, UNUSED struct imbrex_error *err)
{
	struct listing *l = (struct listing *)s;

	if (!l->open || l->left)
		abort();
	l->open = false;
	if (l->crc)
		must(str_printf(l->text, " crc=%016" PRIx64, l->crc));
	must(str_putc(l->text, '\n'));
	return 0;
}

static inline int listing_finish(struct entry_sink *s, UNUSED struct imbrex_error *err)
{
	struct listing *l = (struct listing *)s;

	if (l->open)
		abort();
	must(str_puts(l->text, "end\n"));
	return 0;
}

static inline void listing_free(struct entry_sink *s)
{
	free(s);
}

static inline struct entry_sink *listing_new(struct str *text)
{
	static const struct entry_sink_ops ops = {
		.begin = listing_begin,
		.data = listing_data,
		.end = listing_end,
		.finish = listing_finish,
		.free = listing_free,
	};
	struct listing *l = calloc(1, sizeof(*l));

	if (!l)
		abort();
	l->entries.ops = &ops;
	l->text = text;
	return &l->entries;
}

/* ---- content by name, as a layer directory would have it ------------------------------------ */

struct content {
	struct content *next;
	struct str name;
	struct str data;
};

/* Stands between reader and recorder; keeps all bytes and all content. */
struct spy {
	struct tar_observer inner;
	struct str bytes;        /* everything, in order */
	struct content *content; /* newest first */
};

static inline int spy_raw(void *ctx, const void *buf, size_t len, struct imbrex_error *err)
{
	struct spy *s = ctx;

	must(str_append(&s->bytes, buf, len));
	return s->inner.raw ? s->inner.raw(s->inner.ctx, buf, len, err) : 0;
}

static inline int spy_file(void *ctx, const struct tar_file *file, struct imbrex_error *err)
{
	struct spy *s = ctx;
	struct content *c = calloc(1, sizeof(*c));

	if (!c || strlen(file->name) != file->name_len)
		abort();
	c->name = (struct str)STR_INIT(TEXT_MAX);
	c->data = (struct str)STR_INIT(TEXT_MAX);
	must(str_append(&c->name, file->name, file->name_len));
	c->next = s->content;
	s->content = c;
	return s->inner.file ? s->inner.file(s->inner.ctx, file, err) : 0;
}

static inline int spy_payload(void *ctx, const void *buf, size_t len, struct imbrex_error *err)
{
	struct spy *s = ctx;

	must(str_append(&s->bytes, buf, len));
	must(str_append(&s->content->data, buf, len));
	return s->inner.payload ? s->inner.payload(s->inner.ctx, buf, len, err) : 0;
}

static inline int spy_end(void *ctx, struct imbrex_error *err)
{
	struct spy *s = ctx;

	return s->inner.end ? s->inner.end(s->inner.ctx, err) : 0;
}

static inline int spy_trailer(void *ctx, struct imbrex_error *err)
{
	struct spy *s = ctx;

	return s->inner.trailer ? s->inner.trailer(s->inner.ctx, err) : 0;
}

static inline int spy_finish(void *ctx, struct imbrex_error *err)
{
	struct spy *s = ctx;

	return s->inner.finish ? s->inner.finish(s->inner.ctx, err) : 0;
}

static inline struct tar_observer spy_observer(struct spy *s)
{
	return (struct tar_observer){ .ctx = s,
		.raw = spy_raw,
		.file = spy_file,
		.payload = spy_payload,
		.end = spy_end,
		.trailer = spy_trailer,
		.finish = spy_finish };
}

static inline void spy_done(struct spy *s)
{
	while (s->content) {
		struct content *next = s->content->next;

		str_done(&s->content->name);
		str_done(&s->content->data);
		free(s->content);
		s->content = next;
	}
	str_done(&s->bytes);
}

/* A tarsplit_open_fn over what a spy has kept. */
static inline int spy_open(void *ctx, const char *name, size_t len, struct imbrex_error *err)
{
	const struct content *c;
	int fd;

	for (c = ((struct spy *)ctx)->content; c; c = c->next) {
		if (c->name.len == len && memcmp(str_text(&c->name), name, len) == 0)
			break;
	}
	if (!c)
		return fail(err, IMBREX_ENOENT, "no content for '%s'", name);
	fd = memfd_create("content", MFD_CLOEXEC);
	if (fd < 0 || write(fd, str_text(&c->data), c->data.len) != (ssize_t)c->data.len ||
		lseek(fd, 0, SEEK_SET) < 0)
		abort();
	return fd;
}

/* ---- one run ------------------------------------------------------------------------------- */

/* What came of an archive. */
struct outcome {
	int status;
	struct imbrex_error err;
	struct str listing; /* one line an entry, "end" if the entries were finished */
	struct str json;    /* tar-split lines */
	struct spy spy;
	struct tarsplit_writer *writer; /* NULL if not asked for */
};

static inline void outcome_done(struct outcome *o)
{
	tarsplit_writer_free(o->writer);
	str_done(&o->listing);
	str_done(&o->json);
	spy_done(&o->spy);
}

/* Push `len` bytes in writes of `chunk` bytes, then finish; free in any case. */
static inline int push_all(
	struct sink *s, const char *bytes, size_t len, size_t chunk, struct imbrex_error *err)
{
	int r = 0;

	while (r >= 0 && len) {
		size_t n = MIN(len, chunk);
		char *copy = malloc(n); /* so that a read beyond it is seen */

		if (!copy)
			abort();
		memcpy(copy, bytes, n);
		r = sink_write(s, copy, n, err);
		free(copy);
		bytes += n;
		len -= n;
	}
	if (r >= 0)
		r = sink_finish(s, err);
	sink_free(s);
	return r;
}

static inline void run_tar(
	struct outcome *o, const char *tar, size_t len, size_t chunk, bool record)
{
	struct tar_observer observer;
	struct sink *reader;

	memset(o, 0, sizeof(*o));
	o->listing = (struct str)STR_INIT(TEXT_MAX);
	o->json = (struct str)STR_INIT(TEXT_MAX);
	o->spy.bytes = (struct str)STR_INIT(TEXT_MAX);
	if (record) {
		must(tarsplit_writer_new(text_sink_new(&o->json), &o->writer, NULL));
		o->spy.inner = tarsplit_writer_observer(o->writer);
	}
	observer = spy_observer(&o->spy);
	must(tar_reader_new(listing_new(&o->listing), &observer, &reader, NULL));
	o->status = push_all(reader, tar, len, chunk, &o->err);
}

/* Assemble what run_tar() recorded, into *ret. */
static inline int reassemble(
	struct outcome *o, size_t chunk, struct str *ret, struct imbrex_error *err)
{
	struct sink *s;

	must(tarsplit_assemble_sink_new(spy_open, &o->spy, text_sink_new(ret), &s, NULL));
	return push_all(s, str_text(&o->json), o->json.len, chunk, err);
}

#endif
