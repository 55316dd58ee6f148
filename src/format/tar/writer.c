/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tar writer.
 *
 *   IDLE --begin--> OPEN --data*--> OPEN --end--> IDLE --finish--> DONE
 *
 * `left` counts the payload still due in OPEN. An entry is written as a ustar header if all of it
 * fits, else as a pax header and a ustar header of what fits.
 */
#include "format/tar/writer.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/str.h"
#include "format/tar/header.h"
#include "format/tar/path.h"

/* Room for a path with the decoration of directories and whiteouts. */
#define NAME_SIZE (TAR_PATH_SIZE + 16)

enum state {
	STATE_IDLE = 1,
	STATE_OPEN,
	STATE_DONE
};

struct record {
	char key[sizeof("SCHILY.xattr.") + LIMIT_XATTR_NAME_BYTES];
	const void *value; /* borrowed */
	size_t len;
};

struct tar_writer {
	struct entry_sink entries;
	struct sink *next; /* owned */
	struct tar_writer_opts opts;
	enum state state;
	uint64_t left;        /* payload due in OPEN */
	uint32_t padding;     /* behind it */
	char name[NAME_SIZE]; /* of the entry as the archive spells it */
	struct str records;   /* of its pax header, encoded */
	struct record *list;  /* owned; scratch for sorting */
	size_t n_list;
	size_t cap_list;
};

static const char zeros[2 * TAR_BLOCK_BYTES];

static struct tar_writer *writer_of(struct entry_sink *s)
{
	return CONTAINER_OF(s, struct tar_writer, entries);
}

static bool is_ascii(const char *s)
{
	for (; *s; s++) {
		if ((unsigned char)*s >= 0x80)
			return false;
	}
	return true;
}

/* Cut a long name at a slash, so that both halves fit ustar. */
static bool split_name(const char *name, size_t *ret_prefix_len)
{
	size_t len = strlen(name);
	size_t i;

	if (len <= sizeof(((struct tar_header *)0)->name) || !is_ascii(name))
		return false;
	i = len;
	if (i > sizeof(((struct tar_header *)0)->prefix) + 1)
		i = sizeof(((struct tar_header *)0)->prefix) + 1;
	else if (name[i - 1] == '/')
		i--;
	while (i && name[i - 1] != '/')
		i--;
	if (i < 2 || len - i > sizeof(((struct tar_header *)0)->name) || len == i)
		return false;
	*ret_prefix_len = i - 1;
	return true;
}

static char type_flag(enum entry_type type)
{
	switch (type) {
	case ENTRY_DIR:
		return TAR_TYPE_DIR;
	case ENTRY_SYMLINK:
		return TAR_TYPE_SYMLINK;
	case ENTRY_HARDLINK:
		return TAR_TYPE_LINK;
	case ENTRY_CHAR:
		return TAR_TYPE_CHAR;
	case ENTRY_BLOCK:
		return TAR_TYPE_BLOCK;
	case ENTRY_FIFO:
		return TAR_TYPE_FIFO;
	case ENTRY_FILE:
	case ENTRY_WHITEOUT:
	case ENTRY_OPAQUE:
		break;
	}
	return TAR_TYPE_FILE;
}

static void spell_name(struct tar_writer *w, const struct entry *e)
{
	const char *slash = strrchr(e->path, '/');
	const char *base = slash ? slash + 1 : e->path;
	bool root = str_eq(e->path, ".");

	if (e->type == ENTRY_WHITEOUT)
		(void)snprintf(w->name, sizeof(w->name), "%.*s.wh.%s", (int)(base - e->path),
			e->path, base);
	else if (e->type == ENTRY_OPAQUE)
		(void)snprintf(w->name, sizeof(w->name), "%s%s.wh..wh..opq", root ? "" : e->path,
			root ? "" : "/");
	else
		(void)snprintf(
			w->name, sizeof(w->name), "%s%s", e->path, e->type == ENTRY_DIR ? "/" : "");
}

static int add_record(struct tar_writer *w, const char *keyword, const char *name,
	const void *value, size_t len, struct imbrex_error *err)
{
	struct record *rec;

	if (w->n_list == w->cap_list) {
		size_t cap = w->cap_list ? w->cap_list * 2 : 8;
		struct record *list = reallocarray(w->list, cap, sizeof(*list));

		if (!list)
			return fail_nomem(err);
		w->list = list;
		w->cap_list = cap;
	}
	rec = &w->list[w->n_list];
	(void)snprintf(rec->key, sizeof(rec->key), "%s%s", keyword, name);
	rec->value = value;
	rec->len = len;
	w->n_list++;
	return 0;
}

static int compare_records(const void *a, const void *b)
{
	return strcmp(((const struct record *)a)->key, ((const struct record *)b)->key);
}

static unsigned int n_digits(size_t n)
{
	unsigned int digits = 1;

	for (; n >= 10; n /= 10)
		digits++;
	return digits;
}

/* The length that begins a record counts itself. */
static int encode_record(struct tar_writer *w, const struct record *rec, struct imbrex_error *err)
{
	size_t rest = strlen(rec->key) + rec->len + 3;
	size_t len = rest + n_digits(rest);

	if (rest + n_digits(len) != len)
		len = rest + n_digits(len);
	if (str_printf(&w->records, "%zu %s=", len, rec->key) < 0 ||
		str_append(&w->records, rec->value, rec->len) < 0 ||
		str_putc(&w->records, '\n') < 0)
		return fail(err, IMBREX_ELIMIT, "'%s': xattrs do not fit a pax header of %u bytes",
			w->name, LIMIT_PAX_BYTES);
	return 0;
}

static int encode_records(struct tar_writer *w, struct imbrex_error *err)
{
	size_t i;
	int r;

	if (w->n_list > 1)
		qsort(w->list, w->n_list, sizeof(*w->list), compare_records);
	for (i = 0; i < w->n_list; i++) {
		r = encode_record(w, &w->list[i], err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Non-ASCII characters are left out; a cut that ends with a slash would look like a directory. */
static void put_text(char *field, size_t size, const char *text)
{
	size_t n = 0;

	for (; *text && n < size; text++) {
		if ((unsigned char)*text < 0x80)
			field[n++] = *text;
	}
	while ((unsigned char)*text >= 0x80)
		text++;
	if (!*text)
		return;
	while (n && field[n - 1] == '/')
		field[--n] = '\0';
}

static void put_number(char *field, size_t len, int64_t value)
{
	if (!tar_number_format(field, len, value))
		(void)tar_number_format(field, len, 0); /* the pax record has it */
}

static void seal(struct tar_header *h)
{
	memcpy(h->magic, "ustar", 6);
	memcpy(h->version, "00", 2);
	(void)tar_number_format(h->checksum, 7, tar_checksum(h));
	h->checksum[7] = ' ';
}

static int write_padding(struct tar_writer *w, uint64_t size, struct imbrex_error *err)
{
	return sink_write(w->next, zeros, tar_padding(size), err);
}

/* Go names the pax header "DIR/PaxHeaders.0/BASE". */
static int write_pax_header(struct tar_writer *w, struct imbrex_error *err)
{
	struct tar_header h = { .type = TAR_TYPE_PAX };
	const char *slash = strrchr(w->name, '/');
	int dir_len = slash ? (int)(slash + 1 - w->name) : 0;
	char ascii[sizeof(h.name) + 1] = "";
	AUTO_STR name = STR_INIT(2 * NAME_SIZE);
	size_t len;
	int r;

	if (str_printf(&name, "%.*sPaxHeaders.0%s%s", str_eq(w->name, "./") ? 0 : dir_len, w->name,
		    w->name[dir_len] ? "/" : "", w->name + dir_len) < 0)
		return fail_nomem(err);
	put_text(ascii, sizeof(ascii) - 1, str_text(&name));
	len = strlen(ascii);
	while (len && ascii[len - 1] == '/')
		len--;
	memcpy(h.name, ascii, len);
	put_number(h.mode, sizeof(h.mode), 0);
	put_number(h.uid, sizeof(h.uid), 0);
	put_number(h.gid, sizeof(h.gid), 0);
	put_number(h.size, sizeof(h.size), (int64_t)w->records.len);
	put_number(h.mtime, sizeof(h.mtime), 0);
	seal(&h);
	r = sink_write(w->next, &h, sizeof(h), err);
	if (r < 0)
		return r;
	r = sink_write(w->next, w->records.data, w->records.len, err);
	if (r < 0)
		return r;
	return write_padding(w, w->records.len, err);
}

/* What does not fit ustar, and whether there is any. */
struct misfits {
	char uid[24];
	char gid[24];
	char size[24];
	char mtime[40];
	size_t prefix_len; /* of the name; 0: not split */
	bool any;
};

static int note_number(struct tar_writer *w, struct misfits *m, const char *keyword, char text[24],
	int64_t value, size_t field_len, struct imbrex_error *err)
{
	char field[16];

	if (tar_number_format(field, field_len, value))
		return 0;
	m->any = true;
	(void)snprintf(text, 24, "%" PRId64, value);
	return add_record(w, keyword, "", text, strlen(text), err);
}

/* "-1.5" for half a second before second -1: the fraction counts away from zero. */
static void format_time(int64_t sec, uint32_t nsec, char ret[40])
{
	size_t len;

	if (!nsec) {
		(void)snprintf(ret, 40, "%" PRId64, sec);
		return;
	}
	if (sec < 0)
		(void)snprintf(ret, 40, "-%" PRId64 ".%09" PRIu32, -(sec + 1), 1000000000 - nsec);
	else
		(void)snprintf(ret, 40, "%" PRId64 ".%09" PRIu32, sec, nsec);
	for (len = strlen(ret); ret[len - 1] == '0'; len--)
		ret[len - 1] = '\0';
}

static int note_mtime(
	struct tar_writer *w, struct misfits *m, const struct entry *e, struct imbrex_error *err)
{
	uint32_t nsec = w->opts.keep_nsec ? e->mtime_nsec : 0;
	char field[12];

	if (tar_number_format(field, sizeof(field), e->mtime_sec) && !nsec)
		return 0;
	m->any = true;
	format_time(e->mtime_sec, nsec, m->mtime);
	return add_record(w, "mtime", "", m->mtime, strlen(m->mtime), err);
}

static int note_names(
	struct tar_writer *w, struct misfits *m, const struct entry *e, struct imbrex_error *err)
{
	size_t len = strlen(w->name);
	size_t link_len = e->link ? strlen(e->link) : 0;
	int r;

	if (!is_ascii(w->name) || len > sizeof(((struct tar_header *)0)->name)) {
		if (!split_name(w->name, &m->prefix_len))
			m->any = true;
		r = add_record(w, "path", "", w->name, len, err);
		if (r < 0)
			return r;
	}
	if (link_len && (!is_ascii(e->link) || link_len > sizeof(((struct tar_header *)0)->link))) {
		m->any = true;
		return add_record(w, "linkpath", "", e->link, link_len, err);
	}
	return 0;
}

static int note_xattr(struct tar_writer *w, const struct entry_xattr *x, struct imbrex_error *err)
{
	if (!*x->name || strchr(x->name, '=') || strlen(x->name) > LIMIT_XATTR_NAME_BYTES)
		return fail(err, IMBREX_EINVAL, "'%s': a pax record cannot hold xattr '%.64s'",
			w->name, x->name);
	return add_record(w, "SCHILY.xattr.", x->name, x->value, x->value_len, err);
}

static int note_misfits(
	struct tar_writer *w, struct misfits *m, const struct entry *e, struct imbrex_error *err)
{
	size_t i;
	int r;

	r = note_names(w, m, e, err);
	if (r < 0)
		return r;
	r = note_number(w, m, "uid", m->uid, e->uid, 8, err);
	if (r < 0)
		return r;
	r = note_number(w, m, "gid", m->gid, e->gid, 8, err);
	if (r < 0)
		return r;
	r = note_number(w, m, "size", m->size, (int64_t)w->left, 12, err);
	if (r < 0)
		return r;
	r = note_mtime(w, m, e, err);
	if (r < 0)
		return r;
	for (i = 0; i < e->n_xattrs; i++) {
		m->any = true;
		r = note_xattr(w, &e->xattrs[i], err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int write_main_header(struct tar_writer *w, const struct misfits *m, const struct entry *e,
	struct imbrex_error *err)
{
	bool device = e->type == ENTRY_CHAR || e->type == ENTRY_BLOCK;
	struct tar_header h = { .type = type_flag(e->type) };

	if (!m->any && m->prefix_len) {
		memcpy(h.prefix, w->name, m->prefix_len);
		put_text(h.name, sizeof(h.name), w->name + m->prefix_len + 1);
	} else {
		put_text(h.name, sizeof(h.name), w->name);
	}
	if (e->link)
		put_text(h.link, sizeof(h.link), e->link);
	put_number(h.mode, sizeof(h.mode), e->mode & 07777);
	put_number(h.uid, sizeof(h.uid), e->uid);
	put_number(h.gid, sizeof(h.gid), e->gid);
	put_number(h.size, sizeof(h.size), (int64_t)w->left);
	put_number(h.mtime, sizeof(h.mtime), e->mtime_sec);
	put_number(h.dev_major, sizeof(h.dev_major), device ? e->dev_major : 0);
	put_number(h.dev_minor, sizeof(h.dev_minor), device ? e->dev_minor : 0);
	seal(&h);
	return sink_write(w->next, &h, sizeof(h), err);
}

static int writer_begin(struct entry_sink *s, const struct entry *e, struct imbrex_error *err)
{
	struct tar_writer *w = writer_of(s);
	struct misfits m = { .any = false };
	int r;

	assert(w->state == STATE_IDLE);
	assert(strlen(e->path) <= LIMIT_PATH_BYTES);
	w->state = STATE_OPEN;
	w->left = e->type == ENTRY_FILE ? e->size_bytes : 0;
	w->padding = tar_padding(w->left);
	w->n_list = 0;
	str_clear(&w->records);
	spell_name(w, e);
	r = note_misfits(w, &m, e, err);
	if (r < 0)
		return r;
	if (m.any) {
		r = encode_records(w, err);
		if (r < 0)
			return r;
		r = write_pax_header(w, err);
		if (r < 0)
			return r;
	}
	return write_main_header(w, &m, e, err);
}

static int writer_data(struct entry_sink *s, const void *buf, size_t len, struct imbrex_error *err)
{
	struct tar_writer *w = writer_of(s);

	assert(w->state == STATE_OPEN);
	if (len > w->left)
		return fail(err, IMBREX_EFORMAT, "'%s': content is longer than announced", w->name);
	w->left -= len;
	return sink_write(w->next, buf, len, err);
}

static int writer_end(struct entry_sink *s, struct imbrex_error *err)
{
	struct tar_writer *w = writer_of(s);

	assert(w->state == STATE_OPEN);
	if (w->left)
		return fail(err, IMBREX_EFORMAT,
			"'%s': content is %" PRIu64 " bytes shorter than announced", w->name,
			w->left);
	w->state = STATE_IDLE;
	return sink_write(w->next, zeros, w->padding, err);
}

static int writer_finish(struct entry_sink *s, struct imbrex_error *err)
{
	struct tar_writer *w = writer_of(s);
	int r;

	assert(w->state == STATE_IDLE);
	w->state = STATE_DONE;
	r = sink_write(w->next, zeros, sizeof(zeros), err);
	if (r < 0)
		return r;
	return sink_finish(w->next, err);
}

static void writer_free(struct entry_sink *s)
{
	struct tar_writer *w = writer_of(s);

	sink_free(w->next);
	str_done(&w->records);
	free(w->list);
	free(w);
}

static const struct entry_sink_ops writer_ops = {
	.begin = writer_begin,
	.data = writer_data,
	.end = writer_end,
	.finish = writer_finish,
	.free = writer_free,
};

int tar_writer_new(struct sink *next, const struct tar_writer_opts *opts, struct entry_sink **ret,
	struct imbrex_error *err)
{
	struct tar_writer *w = calloc(1, sizeof(*w));

	if (!w)
		return fail_nomem(err);
	w->entries.ops = &writer_ops;
	w->next = next;
	if (opts)
		w->opts = *opts;
	w->state = STATE_IDLE;
	w->records = (struct str)STR_INIT(LIMIT_PAX_BYTES);
	*ret = &w->entries;
	return 0;
}
