/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table of members, filled by one pass.
 *
 * Invariants: (1) a name is in the table once; two files of one name are refused, since two
 * readers could see two images. (2) PLACE_FILE and PLACE_SPOOL hold [offset, offset + size) of
 * their fd and are read by pread only, so threads do not disturb each other. (3) After the pass
 * nothing changes.
 */
#include "transport/bundle.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "base/hash.h"
#include "base/hex.h"
#include "base/limits.h"
#include "base/map.h"
#include "os/fd.h"
#include "stream/buffer.h"
#include "stream/count.h"
#include "stream/detect.h"
#include "stream/fdsink.h"
#include "stream/null.h"
#include "transport/borrow.h"
#include "transport/foretell.h"
#include "transport/members.h"
#include "transport/spool.h"

enum place {
	PLACE_NOWHERE = 0, /* a directory, a link, or of no interest */
	PLACE_FILE,        /* in the archive */
	PLACE_SPOOL,       /* in the spool */
	PLACE_TEXT,        /* in `text` */
	PLACE_TAKEN,       /* given to a sink of the caller */
};

struct bundle_member {
	char *name; /* owned */
	char *link; /* owned; "" if it is none */
	enum member_type type;
	enum place place;
	bool unpacked;                /* the bytes kept are those behind the decompression */
	enum compression compression; /* found while streaming; of bytes that are kept packed too */
	uint64_t offset_bytes;        /* PLACE_FILE, PLACE_SPOOL */
	uint64_t size_bytes;          /* as kept or given away */
	struct str text;              /* PLACE_TEXT */
};

struct bundle {
	int fd;                         /* owned; the archive; -EBADF after a streaming pass */
	int spool_fd;                   /* owned; -EBADF until needed */
	uint64_t spool_bytes;           /* written to it */
	struct bundle_member **members; /* owned, each too */
	size_t n_members;
	size_t cap;
	struct map *by_name; /* owned; name -> struct bundle_member */
	size_t text_bytes;   /* of all texts, against LIMIT_ARCHIVE_TEXT_BYTES */

	/* While streaming. */
	const struct archive_events *events; /* borrowed; NULL: none */
	struct members *reader;              /* owned */
	struct foretell *foretell;           /* owned; NULL: nothing is known of the image */
	struct bundle_member *current;       /* whose payload is passing; borrowed */
	struct sink *sink;                   /* owned; where it goes */
};

/* Holds back until the first byte tells a document from a layer. */
struct sniff {
	struct sink sink;
	struct bundle *bundle; /* borrowed */
	struct sink *next;     /* owned; NULL until a byte was seen */
};

static void member_free(struct bundle_member *m)
{
	if (!m)
		return;
	free(m->name);
	free(m->link);
	str_done(&m->text);
	free(m);
}
DEFINE_CLEANUP(member, struct bundle_member, member_free)

static int grow(struct bundle *b, struct imbrex_error *err)
{
	size_t cap = b->cap ? 2 * b->cap : 64;
	struct bundle_member **members;

	if (b->n_members < b->cap)
		return 0;
	if (b->n_members >= LIMIT_ARCHIVE_MEMBERS)
		return fail(err, IMBREX_ELIMIT, "more than %u members", LIMIT_ARCHIVE_MEMBERS);
	members = reallocarray(b->members, cap, sizeof(struct bundle_member *));
	if (!members)
		return fail_nomem(err);
	b->members = members;
	b->cap = cap;
	return 0;
}

/* 1 if it was added, 0 if the same link or directory is there already. */
static int add(struct bundle *b, const struct member *m, struct bundle_member **ret,
	struct imbrex_error *err)
{
	AUTO(member) struct bundle_member *new = calloc(1, sizeof(*new));
	void *old;
	int r;

	if (!new)
		return fail_nomem(err);
	new->name = strdup(m->name);
	new->link = strdup(m->link);
	if (!new->name || !new->link)
		return fail_nomem(err);
	new->type = m->type;
	new->offset_bytes = m->offset_bytes;
	new->size_bytes = m->size_bytes;
	if (map_get(b->by_name, m->name, strlen(m->name), &old)) {
		const struct bundle_member *first = old;

		if (first->type == m->type && m->type != MEMBER_FILE &&
			str_eq(first->link, m->link))
			return 0;
		return fail(err, IMBREX_EFORMAT, "member '%s' is there twice", m->name);
	}
	r = grow(b, err);
	if (r < 0)
		return r;
	r = map_add(b->by_name, new->name, strlen(new->name), new);
	if (r < 0)
		return fail_nomem(err);
	b->members[b->n_members++] = new;
	*ret = take_ptr(new);
	return 1;
}

static int bundle_new(struct bundle **ret, struct imbrex_error *err)
{
	struct bundle *b = calloc(1, sizeof(*b));

	if (!b)
		return fail_nomem(err);
	b->fd = -EBADF;
	b->spool_fd = -EBADF;
	b->by_name = map_new();
	if (!b->by_name) {
		bundle_free(b);
		return fail_nomem(err);
	}
	*ret = b;
	return 0;
}

static int on_indexed(
	void *ctx, const struct member *m, struct sink **ret, struct imbrex_error *err)
{
	struct bundle *b = ctx;
	struct bundle_member *new;
	int r = add(b, m, &new, err);

	if (r > 0 && m->type == MEMBER_FILE)
		new->place = PLACE_FILE;
	return r < 0 ? r : 0;
}

static int index_pass(struct bundle *b, struct members *reader, struct imbrex_error *err)
{
	/* Small: behind each header stands payload that is to be passed over. */
	char buf[4096];
	uint64_t pos = 0;
	struct stat st;
	int r;

	if (fstat(b->fd, &st) < 0)
		return fail_errno(err, "stat");
	for (;;) {
		uint64_t skip = members_skippable(reader);
		size_t len = 0;

		if (skip > 0) {
			if (skip > (uint64_t)st.st_size - MIN(pos, (uint64_t)st.st_size))
				break;
			members_skip(reader, skip);
			pos += skip;
			continue;
		}
		r = pread_all(b->fd, buf, 512, pos, &len);
		if (r < 0)
			return fail_code(err, r, "read");
		if (len == 0)
			break;
		r = members_write(reader, buf, len, err);
		if (r != 0)
			return r < 0 ? r : 0;
		pos += len;
	}
	return members_finish(reader, err);
}

static bool is_hex_word(const char *s, size_t len)
{
	return len == 64 && hex_is_lower(s, len);
}

/* blobs/<algorithm>/<hex> */
static bool is_blob(const char *name)
{
	const char *rest = str_after(name, "blobs/");

	rest = rest ? strchr(rest, '/') : NULL;
	return rest && !strchr(rest + 1, '/') && hex_is_lower(rest + 1, strlen(rest + 1));
}

static bool is_document(const char *name)
{
	static const char *const names[] = { "manifest.json", "index.json", "oci-layout",
		"repositories" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (str_eq(name, names[i]))
			return true;
	}
	/* "<hex>.json"; kaniko leaves the suffix away. */
	if (strchr(name, '/'))
		return false;
	return str_ends(name, ".json") || is_hex_word(name, strlen(name)) ||
	       (str_after(name, "sha256:") && !strchr(name, '.'));
}

/* What docker before 25 keeps beside each layer and nobody needs, unless to foretell. */
static bool is_legacy(const struct bundle *b, const char *name)
{
	return (str_ends(name, "/json") && !b->foretell) || str_ends(name, "/VERSION");
}

static int text_sink(struct bundle *b, struct sink **ret, struct imbrex_error *err)
{
	struct bundle_member *m = b->current;
	uint64_t sum = b->text_bytes + m->size_bytes;

	if (m->size_bytes > LIMIT_CONFIG_BYTES)
		return fail(err, IMBREX_ELIMIT, "document '%s': %" PRIu64 " bytes, more than %u",
			m->name, m->size_bytes, LIMIT_CONFIG_BYTES);
	if (sum > LIMIT_ARCHIVE_TEXT_BYTES)
		return fail(err, IMBREX_ELIMIT, "documents have more than %u bytes",
			LIMIT_ARCHIVE_TEXT_BYTES);
	b->text_bytes = (size_t)sum;
	m->place = PLACE_TEXT;
	return buffer_sink_new(LIMIT_CONFIG_BYTES, &m->text, ret, err);
}

static int spool_sink(struct bundle *b, struct sink **ret, struct imbrex_error *err)
{
	AUTO_CLOSE int fd = -EBADF;
	int r;

	if (b->spool_fd < 0)
		b->spool_fd = spool_open(err);
	if (b->spool_fd < 0)
		return b->spool_fd;
	fd = fcntl(b->spool_fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return fail_errno(err, "duplicate the spool's descriptor");
	r = fd_sink_new(fd, ret, err);
	if (r < 0)
		return r;
	(void)take_fd(fd);
	b->current->offset_bytes = b->spool_bytes;
	b->current->place = PLACE_SPOOL;
	return 0;
}

static int layer_sink(struct bundle *b, bool unpack, struct sink **ret, struct imbrex_error *err)
{
	struct bundle_member *m = b->current;
	struct archive_member layer = {
		.name = m->name,
		.size_bytes = m->size_bytes,
		.is_blob = !unpack,
	};
	AUTO_SINK struct sink *sink = NULL;
	AUTO_SINK struct sink *count = NULL;
	int r = 0;

	if (b->foretell)
		layer.diff_id = foretell_member(b->foretell, m->name);
	if (b->events)
		r = b->events->layer(b->events->ctx, &layer, &sink, err);
	if (r < 0)
		return r;
	m->place = PLACE_TAKEN;
	if (!sink)
		r = spool_sink(b, &sink, err);
	if (r < 0)
		return r;
	m->size_bytes = 0;
	r = count_sink_new(&m->size_bytes, sink, &count, err);
	if (r < 0)
		return r;
	sink = NULL;
	m->unpacked = unpack;
	if (unpack) {
		r = decompress_sink_new(&m->compression, count, ret, err);
		if (r == 0)
			count = NULL;
		return r;
	}
	*ret = take_ptr(count);
	return 0;
}

static int sniff_write(struct sink *s, const void *buf, size_t len, struct imbrex_error *err)
{
	struct sniff *sniff = CONTAINER_OF(s, struct sniff, sink);
	struct bundle *b = sniff->bundle;
	int r = 0;

	if (!sniff->next) {
		bool is_text =
			*(const char *)buf == '{' && b->current->size_bytes <= LIMIT_CONFIG_BYTES;

		if (!is_text)
			b->current->compression = compression_detect(buf, len);
		r = is_text ? text_sink(b, &sniff->next, err)
			    : layer_sink(b, false, &sniff->next, err);
		if (r < 0)
			return r;
	}
	return sink_write(sniff->next, buf, len, err);
}

static int sniff_finish(struct sink *s, struct imbrex_error *err)
{
	struct sniff *sniff = CONTAINER_OF(s, struct sniff, sink);
	int r = 0;

	if (!sniff->next)
		r = text_sink(sniff->bundle, &sniff->next, err);
	return r < 0 ? r : sink_finish(sniff->next, err);
}

static void sniff_free(struct sink *s)
{
	struct sniff *sniff = CONTAINER_OF(s, struct sniff, sink);

	sink_free(sniff->next);
	free(sniff);
}

static const struct sink_ops sniff_ops = {
	.name = "sniff",
	.write = sniff_write,
	.finish = sniff_finish,
	.free = sniff_free,
};

static int sniff_sink(struct bundle *b, struct sink **ret, struct imbrex_error *err)
{
	struct sniff *sniff = calloc(1, sizeof(*sniff));

	if (!sniff)
		return fail_nomem(err);
	sniff->sink.ops = &sniff_ops;
	sniff->bundle = b;
	*ret = &sniff->sink;
	return 0;
}

static int on_streamed(
	void *ctx, const struct member *m, struct sink **ret, struct imbrex_error *err)
{
	struct bundle *b = ctx;
	int r = add(b, m, &b->current, err);

	if (r <= 0 || m->type != MEMBER_FILE || is_legacy(b, m->name))
		return r < 0 ? r : 0;
	if (is_document(m->name) || str_ends(m->name, "/json"))
		r = text_sink(b, &b->sink, err);
	else if (is_blob(m->name))
		r = sniff_sink(b, &b->sink, err);
	else
		r = layer_sink(b, true, &b->sink, err);
	if (r < 0)
		return r;
	*ret = b->sink;
	return 0;
}

static int on_end(void *ctx, struct imbrex_error *err)
{
	struct bundle *b = ctx;

	const struct bundle_member *m = b->current;

	if (m->place == PLACE_SPOOL)
		b->spool_bytes += m->size_bytes;
	sink_free(take_ptr(b->sink));
	if (m->place != PLACE_TEXT || !b->foretell)
		return 0;
	return foretell_document(b->foretell, m->name, str_text(&m->text), m->text.len, err);
}

/* The directory part of a member's name; 0 at the top. */
static size_t dir_len(const char *name)
{
	const char *slash = strrchr(name, '/');

	return slash ? (size_t)(slash - name) : 0;
}

static int fail_link(const struct bundle_member *m, struct imbrex_error *err)
{
	return fail(err, IMBREX_EFORMAT, "member '%s': link '%s' leads outside the archive",
		m->name, m->link);
}

/* Where a link leads, by text alone: nothing in an archive is a directory that could be a link. */
static int resolve(const struct bundle_member *m, struct str *ret, struct imbrex_error *err)
{
	const char *at = m->link;
	int r = 0;

	str_clear(ret);
	if (m->type == MEMBER_SYMLINK && *at == '/')
		return fail_link(m, err);
	if (m->type == MEMBER_SYMLINK)
		r = str_append(ret, m->name, dir_len(m->name));
	while (*at && r == 0) {
		size_t len = strcspn(at, "/");

		if (len == 2 && at[0] == '.' && at[1] == '.') {
			if (ret->len == 0)
				return fail_link(m, err);
			ret->len = dir_len(ret->data);
			ret->data[ret->len] = '\0';
		} else if (len > 0 && !(len == 1 && at[0] == '.')) {
			if (ret->len > 0)
				r = str_putc(ret, '/');
			if (r == 0)
				r = str_append(ret, at, len);
		}
		at += len;
		if (*at == '/')
			at++;
	}
	if (r == -EFBIG)
		return fail_link(m, err);
	return r < 0 ? fail_nomem(err) : 0;
}

static int read_at(const struct bundle *b, const struct bundle_member *m, void *buf, size_t len,
	uint64_t offset, struct imbrex_error *err)
{
	size_t got;
	int r = pread_all(m->place == PLACE_FILE ? b->fd : b->spool_fd, buf, len,
		m->offset_bytes + offset, &got);

	if (r < 0)
		return fail_code(err, r, "member '%s': read", m->name);
	if (got != len)
		return fail(err, IMBREX_EFORMAT, "member '%s': cut short", m->name);
	return 0;
}

static int push_range(const struct bundle *b, const struct bundle_member *m, struct sink *to,
	struct imbrex_error *err)
{
	AUTO_FREE char *buf = malloc(STREAM_BLOCK_BYTES);
	uint64_t done = 0;
	int r;

	if (!buf)
		return fail_nomem(err);
	while (done < m->size_bytes) {
		size_t len = (size_t)MIN(m->size_bytes - done, (uint64_t)STREAM_BLOCK_BYTES);

		r = read_at(b, m, buf, len, done, err);
		if (r < 0)
			return r;
		r = sink_write(to, buf, len, err);
		if (r < 0)
			return r;
		done += len;
	}
	return sink_finish(to, err);
}

static int push_as_is(const struct bundle *b, const struct bundle_member *m, struct sink *to,
	struct imbrex_error *err)
{
	int r;

	if (m->place == PLACE_TAKEN)
		return fail(err, IMBREX_ENOTSUP,
			"member '%s' has passed by and cannot be read again", m->name);
	if (m->place != PLACE_TEXT)
		return push_range(b, m, to, err);
	r = sink_write(to, str_text(&m->text), m->text.len, err);
	if (r < 0)
		return r;
	return sink_finish(to, err);
}

static int find_compression(const struct bundle *b, const struct bundle_member *m,
	enum compression *ret, struct imbrex_error *err)
{
	char magic[COMPRESSION_MAGIC_MAX] = { 0 };
	size_t len = (size_t)MIN(m->size_bytes, (uint64_t)sizeof(magic));
	int r;

	*ret = m->unpacked ? COMPRESSION_NONE : m->compression;
	if (m->place != PLACE_FILE)
		return 0;
	r = read_at(b, m, magic, len, 0, err);
	if (r < 0)
		return r;
	*ret = compression_detect(magic, len);
	return 0;
}

int bundle_index(int fd, struct bundle **ret, struct imbrex_error *err)
{
	AUTO_BUNDLE *b = NULL;
	AUTO_MEMBERS *reader = NULL;
	struct member_events events = { .member = on_indexed };
	int r;

	r = bundle_new(&b, err);
	if (r < 0)
		return r;
	events.ctx = b;
	r = members_new(&events, &reader, err);
	if (r < 0)
		return r;
	b->fd = fd;
	r = index_pass(b, reader, err);
	if (r < 0) {
		b->fd = -EBADF;
		return r;
	}
	*ret = take_ptr(b);
	return 0;
}

int bundle_push_new(const struct archive_options *opts, struct bundle **ret, struct sink **ret_sink,
	struct imbrex_error *err)
{
	struct member_events hooks = { .member = on_streamed, .end = on_end };
	AUTO_BUNDLE *b = NULL;
	AUTO_SINK struct sink *end = NULL;
	int r;

	r = bundle_new(&b, err);
	if (r < 0)
		return r;
	b->events = opts->events;
	if (opts->diff_ids) {
		r = foretell_new(opts->diff_ids, opts->n_diff_ids, &b->foretell, err);
		if (r < 0)
			return r;
	}
	hooks.ctx = b;
	r = members_new(&hooks, &b->reader, err);
	if (r == 0)
		r = members_sink_new(b->reader, &end, err);
	if (r == 0)
		r = decompress_sink_new(NULL, end, ret_sink, err);
	if (r < 0)
		return r;
	end = NULL;
	*ret = take_ptr(b);
	return 0;
}

void bundle_free(struct bundle *b)
{
	if (!b)
		return;
	sink_free(b->sink);
	for (size_t i = 0; i < b->n_members; i++)
		member_free(b->members[i]);
	free(b->members);
	map_free(b->by_name);
	members_free(b->reader);
	foretell_free(b->foretell);
	(void)close_fd(b->fd);
	(void)close_fd(b->spool_fd);
	free(b);
}

bool bundle_has(const struct bundle *b, const char *name)
{
	void *found;

	return map_get(b->by_name, name, strlen(name), &found) &&
	       ((const struct bundle_member *)found)->type != MEMBER_DIR;
}

int bundle_find(const struct bundle *b, const char *name, const struct bundle_member **ret,
	struct imbrex_error *err)
{
	AUTO_STR target = STR_INIT(LIMIT_PATH_BYTES);
	const char *at = name;
	void *found;
	int r;

	for (unsigned int hops = 0; hops <= LIMIT_ARCHIVE_LINKS; hops++) {
		const struct bundle_member *m;

		if (!map_get(b->by_name, at, strlen(at), &found))
			return fail(err, IMBREX_ENOENT, "no member '%s'%s%s%s", at,
				at == name ? "" : " (linked from '", at == name ? "" : name,
				at == name ? "" : "')");
		m = found;
		if (m->type == MEMBER_FILE && m->place != PLACE_NOWHERE) {
			*ret = m;
			return 0;
		}
		if (m->type != MEMBER_SYMLINK && m->type != MEMBER_HARDLINK)
			return fail(err, IMBREX_EFORMAT, "member '%s' is not a file", at);
		r = resolve(m, &target, err);
		if (r < 0)
			return r;
		at = str_text(&target);
	}
	return fail(err, IMBREX_EFORMAT, "member '%s': more than %u links in a row", name,
		LIMIT_ARCHIVE_LINKS);
}

const char *bundle_member_name(const struct bundle_member *m)
{
	return m->name;
}

bool bundle_member_taken(const struct bundle_member *m)
{
	return m->place == PLACE_TAKEN;
}

uint64_t bundle_member_size(const struct bundle_member *m)
{
	return m->place == PLACE_TEXT ? m->text.len : m->size_bytes;
}

int bundle_unpacked_size(const struct bundle *b, const struct bundle_member *m, uint64_t *ret,
	struct imbrex_error *err)
{
	AUTO_SINK struct sink *nothing = NULL;
	AUTO_SINK struct sink *count = NULL;
	enum compression compression;
	uint64_t size_bytes = 0;
	int r;

	r = find_compression(b, m, &compression, err);
	if (r < 0)
		return r;
	if (compression == COMPRESSION_NONE) {
		*ret = bundle_member_size(m);
		return 0;
	}
	r = null_sink_new(&nothing, err);
	if (r < 0)
		return r;
	r = count_sink_new(&size_bytes, nothing, &count, err);
	if (r < 0)
		return r;
	nothing = NULL;
	r = bundle_push(b, m, true, count, err);
	if (r < 0)
		return r;
	*ret = size_bytes;
	return 0;
}

int bundle_read(const struct bundle *b, const struct bundle_member *m, size_t max_bytes,
	struct str *ret, struct imbrex_error *err)
{
	uint64_t size_bytes = bundle_member_size(m);
	AUTO_STR text = STR_INIT(max_bytes);
	AUTO_SINK struct sink *sink = NULL;
	int r;

	if (size_bytes > max_bytes)
		return fail(err, IMBREX_ELIMIT, "document '%s': %" PRIu64 " bytes, more than %zu",
			m->name, size_bytes, max_bytes);
	r = buffer_sink_new(max_bytes, &text, &sink, err);
	if (r < 0)
		return r;
	r = push_as_is(b, m, sink, err);
	if (r < 0)
		return r;
	r = str_append(ret, str_text(&text), text.len);
	return r < 0 ? fail_nomem(err) : 0;
}

int bundle_push(const struct bundle *b, const struct bundle_member *m, bool unpack, struct sink *to,
	struct imbrex_error *err)
{
	AUTO_SINK struct sink *end = NULL;
	AUTO_SINK struct sink *chain = NULL;
	enum compression compression = COMPRESSION_NONE;
	int r;

	if (unpack) {
		r = find_compression(b, m, &compression, err);
		if (r < 0)
			return r;
	}
	if (compression == COMPRESSION_NONE)
		return push_as_is(b, m, to, err);
	r = borrow_sink_new(to, &end, err);
	if (r < 0)
		return r;
	r = unpack_sink_new(compression, end, &chain, err);
	if (r < 0)
		return r;
	end = NULL;
	return push_as_is(b, m, chain, err);
}
