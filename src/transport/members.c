/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A push parser over 512-byte blocks.
 *
 * States: HEADER (collects one block) -> META (payload of a long-name or pax member is collected)
 * -> HEADER; HEADER -> PAYLOAD (goes to the sink, or nowhere) -> PAD -> HEADER; HEADER -> END at
 * the first zero block, or when the receiver has seen enough. What a pax or GNU header says counts
 * for the next real member only.
 *
 * Source: POSIX.1-2017 pax, "ustar Interchange Format" and "pax Extended Header"; GNU tar manual,
 * "Basic Tar Format" (long names, base-256 numbers).
 */
#include "transport/members.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/str.h"
#include "format/tar/header.h"

enum state {
	STATE_HEADER = 1,
	STATE_META,
	STATE_PAYLOAD,
	STATE_PAD,
	STATE_END,
};

struct members {
	struct member_events events;
	enum state state;
	uint64_t pos_bytes;      /* consumed so far */
	struct tar_header block; /* STATE_HEADER: what was collected */
	size_t block_len;        /* bytes in it */
	uint64_t left_bytes; /* STATE_META, STATE_PAYLOAD, STATE_PAD: bytes until the state ends */
	unsigned int pad;    /* bytes of padding behind the payload */
	char meta_type;      /* STATE_META: 'L', 'K' or 'x' */
	struct sink *sink;   /* STATE_PAYLOAD: borrowed; NULL: nobody wants it */
	uint64_t trailer_bytes; /* STATE_END: what came all the same */
	bool any;               /* a valid header was seen */
	struct str meta;        /* collected payload of a meta member */
	/* Said by meta members for the next member; empty: not said. */
	struct str path, linkpath;
	bool has_size;
	uint64_t size_bytes;
	struct str name, link; /* of the member that is handed out */
};

struct members_sink {
	struct sink sink;
	struct members *members; /* borrowed */
};

static int str_fail(int r, const char *what, struct imbrex_error *err)
{
	if (r == -EFBIG)
		return fail(err, IMBREX_ELIMIT, "archive member: %s is longer than %d bytes", what,
			LIMIT_PATH_BYTES);
	return fail_nomem(err);
}

/* Make `raw` clean into `ret`. Names here are keys, never paths of a file system. */
static int clean_name(const char *raw, struct str *ret, struct imbrex_error *err)
{
	const char *at = raw;
	int r;

	str_clear(ret);
	while (*at) {
		size_t len = strcspn(at, "/");

		if (len == 2 && at[0] == '.' && at[1] == '.')
			return fail(err, IMBREX_EFORMAT,
				"archive member '%s': name has a '..' component", raw);
		if (len > 0 && !(len == 1 && at[0] == '.')) {
			r = ret->len > 0 ? str_putc(ret, '/') : 0;
			if (r == 0)
				r = str_append(ret, at, len);
			if (r < 0)
				return str_fail(r, "name", err);
		}
		at += len;
		if (*at == '/')
			at++;
	}
	return 0;
}

static int set_text(struct str *to, const char *data, size_t len, const char *what,
	struct members *m, struct imbrex_error *err)
{
	int r;

	if (memchr(data, '\0', len))
		return fail(err, IMBREX_EFORMAT,
			"archive: %s in the header before byte %" PRIu64 " holds a NUL byte", what,
			m->pos_bytes);
	str_clear(to);
	r = str_append(to, data, len);
	return r < 0 ? str_fail(r, what, err) : 0;
}

static int pax_number(const char *data, size_t len, uint64_t *ret)
{
	uint64_t value = 0;

	if (len == 0)
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		if (data[i] < '0' || data[i] > '9')
			return -EINVAL;
		if (__builtin_mul_overflow(value, 10u, &value) ||
			__builtin_add_overflow(value, (uint64_t)(data[i] - '0'), &value))
			return -ERANGE;
	}
	*ret = value;
	return 0;
}

static bool span_is(const char *data, size_t len, const char *text)
{
	return len == strlen(text) && memcmp(data, text, len) == 0;
}

static int pax_record(struct members *m, const char *key, size_t key_len, const char *value,
	size_t value_len, struct imbrex_error *err)
{
	if (span_is(key, key_len, "path"))
		return set_text(&m->path, value, value_len, "path", m, err);
	if (span_is(key, key_len, "linkpath"))
		return set_text(&m->linkpath, value, value_len, "linkpath", m, err);
	if (span_is(key, key_len, "size")) {
		if (pax_number(value, value_len, &m->size_bytes) < 0)
			return fail(err, IMBREX_EFORMAT,
				"archive: size in the pax header before byte %" PRIu64
				" is no number",
				m->pos_bytes);
		m->has_size = true;
		return 0;
	}
	if (key_len > 10 && memcmp(key, "GNU.sparse", 10) == 0)
		return fail(err, IMBREX_ENOTSUP,
			"archive: the member before byte %" PRIu64 " is sparse", m->pos_bytes);
	return 0;
}

/* "<length> <key>=<value>\n", the length counting all of it. */
static int pax_records(struct members *m, struct imbrex_error *err)
{
	const char *at = str_text(&m->meta);
	size_t left = m->meta.len;

	while (left > 0) {
		const char *space = memchr(at, ' ', MIN(left, 20u));
		const char *equals;
		uint64_t len;
		size_t head;
		int r;

		if (!space || pax_number(at, (size_t)(space - at), &len) < 0)
			break;
		head = (size_t)(space - at) + 1;
		if (len > left || len < head + 2 || at[len - 1] != '\n')
			break;
		equals = memchr(space + 1, '=', len - head);
		if (!equals)
			break;
		r = pax_record(m, space + 1, (size_t)(equals - space - 1), equals + 1,
			(size_t)(at + len - 1 - (equals + 1)), err);
		if (r < 0)
			return r;
		at += len;
		left -= len;
	}
	if (left > 0)
		return fail(err, IMBREX_EFORMAT,
			"archive: malformed pax header before byte %" PRIu64, m->pos_bytes);
	return 0;
}

/* A long name is a text with its NUL. */
static int gnu_long(struct members *m, struct str *to, struct imbrex_error *err)
{
	size_t len = strnlen(str_text(&m->meta), m->meta.len);

	return set_text(to, str_text(&m->meta), len, "long name", m, err);
}

static int end_meta(struct members *m, struct imbrex_error *err)
{
	if (m->meta_type == TAR_TYPE_GNU_NAME)
		return gnu_long(m, &m->path, err);
	if (m->meta_type == TAR_TYPE_GNU_LINK)
		return gnu_long(m, &m->linkpath, err);
	return pax_records(m, err);
}

static void forget_meta(struct members *m)
{
	str_clear(&m->path);
	str_clear(&m->linkpath);
	m->has_size = false;
}

static int header_name(struct members *m, struct imbrex_error *err)
{
	const struct tar_header *h = &m->block;
	char raw[sizeof(h->prefix) + 1 + sizeof(h->name) + 1];
	size_t len = 0;
	size_t name_len = strnlen(h->name, sizeof(h->name));

	if (m->path.len > 0)
		return clean_name(str_text(&m->path), &m->name, err);
	if (tar_dialect(h) == TAR_DIALECT_USTAR && h->prefix[0]) {
		len = strnlen(h->prefix, sizeof(h->prefix));
		memcpy(raw, h->prefix, len);
		raw[len++] = '/';
	}
	memcpy(raw + len, h->name, name_len);
	raw[len + name_len] = '\0';
	return clean_name(raw, &m->name, err);
}

static int header_link(struct members *m, enum member_type type, struct imbrex_error *err)
{
	char raw[sizeof(m->block.link) + 1];
	const char *text = str_text(&m->linkpath);
	size_t len = strnlen(m->block.link, sizeof(m->block.link));

	str_clear(&m->link);
	if (type != MEMBER_SYMLINK && type != MEMBER_HARDLINK)
		return 0;
	if (m->linkpath.len == 0) {
		memcpy(raw, m->block.link, len);
		raw[len] = '\0';
		text = raw;
	}
	if (type == MEMBER_HARDLINK)
		return clean_name(text, &m->link, err);
	return set_text(&m->link, text, strlen(text), "link target", m, err);
}

static enum member_type type_of(const struct tar_header *h)
{
	switch (h->type) {
	case TAR_TYPE_FILE:
	case TAR_TYPE_FILE_V7:
	case TAR_TYPE_CONTIGUOUS:
		return MEMBER_FILE;
	case TAR_TYPE_LINK:
		return MEMBER_HARDLINK;
	case TAR_TYPE_SYMLINK:
		return MEMBER_SYMLINK;
	case TAR_TYPE_DIR:
		return MEMBER_DIR;
	default:
		return MEMBER_OTHER;
	}
}

/* Types whose header announces no payload, whatever its size field says (as in Go). */
static bool is_header_only(char type)
{
	return type >= TAR_TYPE_LINK && type <= TAR_TYPE_FIFO;
}

static int begin_member(struct members *m, uint64_t size_bytes, struct imbrex_error *err)
{
	enum member_type type = type_of(&m->block);
	struct member member = { .type = type, .offset_bytes = m->pos_bytes };
	uint64_t end;
	int r;

	if (m->block.type == TAR_TYPE_GNU_SPARSE)
		return fail(err, IMBREX_ENOTSUP,
			"archive: the member before byte %" PRIu64 " is sparse", m->pos_bytes);
	if (m->has_size)
		size_bytes = m->size_bytes;
	if (is_header_only(m->block.type))
		size_bytes = 0;
	if (__builtin_add_overflow(m->pos_bytes, size_bytes, &end) ||
		end > INT64_MAX - TAR_BLOCK_BYTES)
		return fail(err, IMBREX_EFORMAT,
			"archive: the header before byte %" PRIu64 " announces %" PRIu64 " bytes",
			m->pos_bytes, size_bytes);
	r = header_name(m, err);
	if (r < 0)
		return r;
	r = header_link(m, type, err);
	if (r < 0)
		return r;
	forget_meta(m);
	member.name = str_text(&m->name);
	member.link = str_text(&m->link);
	member.size_bytes = type == MEMBER_FILE ? size_bytes : 0;
	m->sink = NULL;
	m->left_bytes = size_bytes;
	m->pad = tar_padding(size_bytes);
	m->state = STATE_PAYLOAD;
	if (m->name.len == 0)
		return 0; /* "./": the top directory itself */
	r = m->events.member(m->events.ctx, &member, &m->sink, err);
	if (r > 0)
		m->state = STATE_END;
	return r < 0 ? r : 0;
}

static int begin_meta(struct members *m, char type, uint64_t size_bytes, struct imbrex_error *err)
{
	if (size_bytes > LIMIT_PAX_BYTES)
		return fail(err, IMBREX_ELIMIT,
			"archive: extended header before byte %" PRIu64 " has %" PRIu64
			" bytes, more than %u",
			m->pos_bytes, size_bytes, LIMIT_PAX_BYTES);
	str_clear(&m->meta);
	m->meta_type = type;
	m->left_bytes = size_bytes;
	m->pad = tar_padding(size_bytes);
	m->state = STATE_META;
	return 0;
}

static int header(struct members *m, struct imbrex_error *err)
{
	char type = m->block.type;
	int64_t size;
	uint64_t size_bytes;

	if (tar_block_is_zero(&m->block)) {
		m->state = STATE_END;
		return 0;
	}
	if (!tar_checksum_ok(&m->block)) {
		if (!m->any)
			return fail(err, IMBREX_EFORMAT, "not a tar archive");
		return fail(err, IMBREX_EFORMAT, "archive: bad header checksum at byte %" PRIu64,
			m->pos_bytes - TAR_BLOCK_BYTES);
	}
	m->any = true;
	if (tar_number_parse(m->block.size, sizeof(m->block.size), &size) < 0 || size < 0)
		return fail(err, IMBREX_EFORMAT,
			"archive: size in the header at byte %" PRIu64 " is no number",
			m->pos_bytes - TAR_BLOCK_BYTES);
	size_bytes = (uint64_t)size;
	if (type == TAR_TYPE_GNU_NAME || type == TAR_TYPE_GNU_LINK || type == TAR_TYPE_PAX)
		return begin_meta(m, type, size_bytes, err);
	if (type == TAR_TYPE_PAX_GLOBAL) {
		/* Global records carry comments; a global path would make no sense. */
		m->sink = NULL;
		m->left_bytes = size_bytes;
		m->pad = tar_padding(size_bytes);
		m->state = STATE_PAYLOAD;
		return 0;
	}
	return begin_member(m, size_bytes, err);
}

/* States whose bytes are all consumed turn into the next one. */
static int settle(struct members *m, struct imbrex_error *err)
{
	int r;

	if (m->state == STATE_META && m->left_bytes == 0) {
		r = end_meta(m, err);
		if (r < 0)
			return r;
		m->left_bytes = m->pad;
		m->state = STATE_PAD;
	}
	if (m->state == STATE_PAYLOAD && m->left_bytes == 0) {
		if (m->sink) {
			r = sink_finish(m->sink, err);
			m->sink = NULL;
			if (r == 0 && m->events.end)
				r = m->events.end(m->events.ctx, err);
			if (r < 0)
				return r;
		}
		m->left_bytes = m->pad;
		m->state = STATE_PAD;
	}
	if (m->state == STATE_PAD && m->left_bytes == 0) {
		m->block_len = 0;
		m->state = STATE_HEADER;
	}
	return 0;
}

/* Consume at most `len` bytes in the present state. */
static int step(
	struct members *m, const char *buf, size_t len, size_t *ret_used, struct imbrex_error *err)
{
	size_t n = len;
	int r = 0;

	if (m->state == STATE_HEADER) {
		n = MIN(n, TAR_BLOCK_BYTES - m->block_len);
		memcpy((char *)&m->block + m->block_len, buf, n);
		m->block_len += n;
		m->pos_bytes += n;
		*ret_used = n;
		return m->block_len == TAR_BLOCK_BYTES ? header(m, err) : 0;
	}
	if (n > m->left_bytes)
		n = (size_t)m->left_bytes;
	if (m->state == STATE_META) {
		r = str_append(&m->meta, buf, n);
		if (r < 0)
			return fail_nomem(err);
	} else if (m->state == STATE_PAYLOAD && m->sink) {
		r = sink_write(m->sink, buf, n, err);
		if (r < 0)
			return r;
	}
	m->left_bytes -= n;
	m->pos_bytes += n;
	*ret_used = n;
	return 0;
}

static int members_sink_write(struct sink *s, const void *buf, size_t len, struct imbrex_error *err)
{
	struct members_sink *ms = CONTAINER_OF(s, struct members_sink, sink);
	int r = members_write(ms->members, buf, len, err);

	return r < 0 ? r : 0;
}

static int members_sink_finish(struct sink *s, struct imbrex_error *err)
{
	struct members_sink *ms = CONTAINER_OF(s, struct members_sink, sink);

	return members_finish(ms->members, err);
}

static void members_sink_free(struct sink *s)
{
	free(CONTAINER_OF(s, struct members_sink, sink));
}

static const struct sink_ops members_sink_ops = {
	.name = "members",
	.write = members_sink_write,
	.finish = members_sink_finish,
	.free = members_sink_free,
};

int members_new(const struct member_events *events, struct members **ret, struct imbrex_error *err)
{
	struct members *m = calloc(1, sizeof(*m));

	if (!m)
		return fail_nomem(err);
	m->events = *events;
	m->state = STATE_HEADER;
	m->meta.max_len = LIMIT_PAX_BYTES;
	m->path.max_len = LIMIT_PATH_BYTES;
	m->linkpath.max_len = LIMIT_PATH_BYTES;
	m->name.max_len = LIMIT_PATH_BYTES;
	m->link.max_len = LIMIT_PATH_BYTES;
	*ret = m;
	return 0;
}

void members_free(struct members *m)
{
	if (!m)
		return;
	str_done(&m->meta);
	str_done(&m->path);
	str_done(&m->linkpath);
	str_done(&m->name);
	str_done(&m->link);
	free(m);
}

int members_write(struct members *m, const void *buf, size_t len, struct imbrex_error *err)
{
	const char *at = buf;
	int r;

	while (m->state != STATE_END) {
		size_t used = 0;

		r = settle(m, err);
		if (r < 0)
			return r;
		if (len == 0)
			return 0;
		r = step(m, at, len, &used, err);
		if (r < 0)
			return r;
		at += used;
		len -= used;
	}
	m->trailer_bytes += len;
	if (m->trailer_bytes > LIMIT_ARCHIVE_TRAILER_BYTES)
		return fail(err, IMBREX_ELIMIT, "archive: more than %u bytes behind its end",
			LIMIT_ARCHIVE_TRAILER_BYTES);
	return 1;
}

uint64_t members_skippable(const struct members *m)
{
	if (m->state == STATE_PAD)
		return m->left_bytes;
	if (m->state == STATE_PAYLOAD && !m->sink)
		return m->left_bytes + m->pad;
	return 0;
}

void members_skip(struct members *m, uint64_t len)
{
	uint64_t n = MIN(len, m->left_bytes);

	m->left_bytes -= n;
	m->pos_bytes += len;
	len -= n;
	if (m->state == STATE_PAYLOAD && len > 0) {
		m->state = STATE_PAD;
		m->left_bytes = m->pad - len;
	}
}

int members_finish(struct members *m, struct imbrex_error *err)
{
	int r;

	if (m->state == STATE_END)
		return 0;
	r = settle(m, err);
	if (r < 0)
		return r;
	/* An archive without its closing zero blocks is as good as any; one cut elsewhere is not.
	 */
	if (m->state == STATE_PAD || (m->state == STATE_HEADER && m->block_len == 0 && m->any))
		return 0;
	if (!m->any)
		return fail(err, IMBREX_EFORMAT, "not a tar archive");
	return fail(err, IMBREX_EFORMAT, "archive: cut short at byte %" PRIu64 " (%s)",
		m->pos_bytes, m->state == STATE_PAYLOAD ? str_text(&m->name) : "header");
}

int members_sink_new(struct members *m, struct sink **ret, struct imbrex_error *err)
{
	struct members_sink *ms = calloc(1, sizeof(*ms));

	if (!ms)
		return fail_nomem(err);
	ms->sink.ops = &members_sink_ops;
	ms->members = m;
	*ret = &ms->sink;
	return 0;
}
