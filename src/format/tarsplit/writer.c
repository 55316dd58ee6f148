/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tar-split recorder, an observer of the tar reader.
 *
 * Invariants:
 *  1. `raw` holds the bytes since the last line that are no payload; they become one segment when
 *     a file begins, when the archive's end marker has passed, and then every SEGMENT_BYTES, so
 *     the lines do not depend on how the stream was cut into writes.
 *  2. Between file() and end(), `name`, `size_bytes` and `crc` are those of the file in question.
 *  3. Lines gather in `out` and leave it whole.
 */
#include "format/tarsplit/writer.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "base/hex.h"
#include "base/limits.h"
#include "base/str.h"
#include "format/tarsplit/crc64.h"
#include "format/tarsplit/names.h"

/* What the reference writer reads at a time behind the end marker. */
#define SEGMENT_BYTES (1024u * 1024u)
#define FLUSH_BYTES   (256u * 1024u)

/* Ids collected; sorted and made unique whenever the array is full, so that many cost n log n. */
struct ids {
	uint32_t *items; /* owned */
	size_t n;
	size_t cap;
};
#define FIRST_IDS 256u

struct tarsplit_writer {
	struct sink *next; /* owned */
	struct tarsplit_names *names;
	struct str raw;
	struct str out;
	struct str name;
	bool trailing; /* the end marker has passed */
	uint64_t size_bytes;
	uint64_t crc;
	uint64_t position;
	uint64_t tar_bytes;
	struct ids uids;
	struct ids gids;
};

static int compare_ids(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a;
	uint32_t y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void sort_ids(struct ids *ids)
{
	size_t n = 0;
	size_t i;

	if (ids->n > 1)
		qsort(ids->items, ids->n, sizeof(*ids->items), compare_ids);
	for (i = 0; i < ids->n; i++) {
		if (!n || ids->items[n - 1] != ids->items[i])
			ids->items[n++] = ids->items[i];
	}
	ids->n = n;
}

static int add_id(struct ids *ids, uint32_t id)
{
	bool full = ids->n == ids->cap;

	if (ids->n && ids->items[ids->n - 1] == id)
		return 0;
	if (full)
		sort_ids(ids);
	if (full && ids->n >= ids->cap / 2) {
		size_t cap = ids->cap ? ids->cap * 2 : FIRST_IDS;
		uint32_t *items = reallocarray(ids->items, cap, sizeof(*items));

		if (!items)
			return -ENOMEM;
		ids->items = items;
		ids->cap = cap;
	}
	ids->items[ids->n++] = id;
	return 0;
}

static int flush(struct tarsplit_writer *w, struct imbrex_error *err)
{
	int r;

	if (!w->out.len)
		return 0;
	r = sink_write(w->next, w->out.data, w->out.len, err);
	str_clear(&w->out);
	return r;
}

static int put_base64(struct str *out, const void *data, size_t len)
{
	char *at;
	int r;

	r = str_reserve(out, BASE64_ENCODED_LEN(len), &at);
	if (r < 0)
		return r;
	out->len += base64_encode(data, len, at);
	return 0;
}

static int end_line(struct tarsplit_writer *w, struct imbrex_error *err)
{
	if (str_printf(&w->out, ",\"position\":%" PRIu64 "}\n", w->position++) < 0)
		return fail_nomem(err);
	return w->out.len >= FLUSH_BYTES ? flush(w, err) : 0;
}

static int put_segment(struct tarsplit_writer *w, struct imbrex_error *err)
{
	if (!w->raw.len)
		return 0;
	if (str_puts(&w->out, "{\"type\":2,\"payload\":\"") < 0 ||
		put_base64(&w->out, w->raw.data, w->raw.len) < 0 || str_putc(&w->out, '"') < 0)
		return fail_nomem(err);
	str_clear(&w->raw);
	return end_line(w, err);
}

/* Length of the UTF-8 sequence at s, 0 if there is none: no surrogates, nothing overlong. */
static size_t utf8_len(const unsigned char *s, size_t len)
{
	static const struct {
		unsigned char lead_min;
		unsigned char lead_max;
		unsigned char second_min;
		unsigned char second_max;
		unsigned char len;
	} forms[] = {
		{ 0xc2, 0xdf, 0x80, 0xbf, 2 },
		{ 0xe0, 0xe0, 0xa0, 0xbf, 3 },
		{ 0xe1, 0xec, 0x80, 0xbf, 3 },
		{ 0xed, 0xed, 0x80, 0x9f, 3 },
		{ 0xee, 0xef, 0x80, 0xbf, 3 },
		{ 0xf0, 0xf0, 0x90, 0xbf, 4 },
		{ 0xf1, 0xf3, 0x80, 0xbf, 4 },
		{ 0xf4, 0xf4, 0x80, 0x8f, 4 },
	};
	size_t i;
	size_t k;

	if (s[0] < 0x80)
		return 1;
	for (i = 0; i < ARRAY_LEN(forms); i++) {
		if (s[0] < forms[i].lead_min || s[0] > forms[i].lead_max)
			continue;
		if (len < forms[i].len || s[1] < forms[i].second_min || s[1] > forms[i].second_max)
			return 0;
		for (k = 2; k < forms[i].len; k++) {
			if ((s[k] & 0xc0) != 0x80)
				return 0;
		}
		return forms[i].len;
	}
	return 0;
}

static bool is_utf8(const char *s, size_t len)
{
	size_t n;

	for (; len; s += n, len -= n) {
		n = utf8_len((const unsigned char *)s, len);
		if (!n)
			return false;
	}
	return true;
}

/* One character (or UTF-8 sequence) as Go's encoding/json writes it: HTML-safe. */
static int put_json_char(struct str *out, const char *s, size_t n)
{
	switch (*s) {
	case '"':
		return str_puts(out, "\\\"");
	case '\\':
		return str_puts(out, "\\\\");
	case '\n':
		return str_puts(out, "\\n");
	case '\r':
		return str_puts(out, "\\r");
	case '\t':
		return str_puts(out, "\\t");
	case '<':
	case '>':
	case '&':
		return str_printf(out, "\\u%04x", (unsigned int)*s);
	default:
		break;
	}
	if (n == 1 && (unsigned char)*s < 0x20)
		return str_printf(out, "\\u%04x", (unsigned int)*s);
	if (n == 3 && memcmp(s, "\xe2\x80", 2) == 0 && (s[2] == '\xa8' || s[2] == '\xa9'))
		return str_puts(out, s[2] == '\xa8' ? "\\u2028" : "\\u2029");
	return str_append(out, s, n);
}

static bool is_plain(char c)
{
	return (unsigned char)c >= 0x20 && (unsigned char)c < 0x80 && !strchr("\"\\<>&", c);
}

static int put_json_string(struct str *out, const char *s, size_t len)
{
	int r;

	while (len) {
		size_t n = 0;

		while (n < len && is_plain(s[n]))
			n++;
		if (n) {
			r = str_append(out, s, n);
		} else {
			n = utf8_len((const unsigned char *)s, len);
			r = put_json_char(out, s, n);
		}
		if (r < 0)
			return r;
		s += n;
		len -= n;
	}
	return 0;
}

static int put_name(struct str *out, const char *name, size_t len)
{
	bool utf8 = is_utf8(name, len);
	int r;

	if (!len)
		return 0;
	r = str_puts(out, utf8 ? ",\"name\":\"" : ",\"name_raw\":\"");
	if (r < 0)
		return r;
	r = utf8 ? put_json_string(out, name, len) : put_base64(out, name, len);
	if (r < 0)
		return r;
	return str_putc(out, '"');
}

static int put_size_and_crc(struct str *out, uint64_t size_bytes, uint64_t crc)
{
	unsigned char bytes[CRC64_BYTES];
	char text[BASE64_ENCODED_LEN(CRC64_BYTES)];
	size_t len;

	if (!size_bytes)
		return str_puts(out, ",\"payload\":null");
	crc64_store(crc, bytes);
	len = base64_encode(bytes, sizeof(bytes), text);
	return str_printf(
		out, ",\"size\":%" PRIu64 ",\"payload\":\"%.*s\"", size_bytes, (int)len, text);
}

/* The base name, by Go's path.Base, begins with ".wh.". */
static bool is_whiteout(const char *name, size_t len)
{
	const char *slash;

	while (len && name[len - 1] == '/')
		len--;
	slash = memrchr(name, '/', len);
	if (slash) {
		len -= (size_t)(slash + 1 - name);
		name = slash + 1;
	}
	return len >= 4 && memcmp(name, ".wh.", 4) == 0;
}

static int observe_raw(void *ctx, const void *buf, size_t len, struct imbrex_error *err)
{
	struct tarsplit_writer *w = ctx;
	const char *at = buf;
	int r;

	w->tar_bytes += len;
	while (len) {
		size_t n = w->trailing ? MIN(len, SEGMENT_BYTES - w->raw.len) : len;

		r = str_append(&w->raw, at, n);
		if (r < 0)
			return fail_code(err, r, "tar-split segment");
		at += n;
		len -= n;
		if (w->trailing && w->raw.len == SEGMENT_BYTES) {
			r = put_segment(w, err);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

static int observe_file(void *ctx, const struct tar_file *file, struct imbrex_error *err)
{
	struct tarsplit_writer *w = ctx;
	int r;

	r = tarsplit_names_add(w->names, file->name, file->name_len, err);
	if (r < 0)
		return r;
	if (!is_whiteout(file->name, file->name_len) &&
		(add_id(&w->uids, file->uid) < 0 || add_id(&w->gids, file->gid) < 0))
		return fail_nomem(err);
	str_clear(&w->name);
	if (str_append(&w->name, file->name, file->name_len) < 0)
		return fail_nomem(err);
	w->size_bytes = file->size_bytes;
	w->crc = 0;
	return put_segment(w, err);
}

static int observe_payload(void *ctx, const void *buf, size_t len, struct imbrex_error *err)
{
	struct tarsplit_writer *w = ctx;

	w->tar_bytes += len;
	w->crc = crc64_iso(w->crc, buf, len);
	return 0;
}

static int observe_end(void *ctx, struct imbrex_error *err)
{
	struct tarsplit_writer *w = ctx;

	if (str_puts(&w->out, "{\"type\":1") < 0 ||
		put_name(&w->out, str_text(&w->name), w->name.len) < 0 ||
		put_size_and_crc(&w->out, w->size_bytes, w->crc) < 0)
		return fail_nomem(err);
	return end_line(w, err);
}

static int observe_trailer(void *ctx, struct imbrex_error *err)
{
	struct tarsplit_writer *w = ctx;

	w->trailing = true;
	return put_segment(w, err);
}

static int observe_finish(void *ctx, struct imbrex_error *err)
{
	struct tarsplit_writer *w = ctx;
	int r;

	sort_ids(&w->uids);
	sort_ids(&w->gids);
	r = put_segment(w, err);
	if (r < 0)
		return r;
	r = flush(w, err);
	if (r < 0)
		return r;
	return sink_finish(w->next, err);
}

int tarsplit_writer_new(struct sink *next, struct tarsplit_writer **ret, struct imbrex_error *err)
{
	AUTO_TARSPLIT_WRITER *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return fail_nomem(err);
	/* Raw bytes are bounded by the reader: LIMIT_TAR_EXTENSION_BYTES and a few blocks. */
	w->raw = (struct str)STR_INIT(LIMIT_TARSPLIT_LINE_BYTES);
	w->out = (struct str)STR_INIT(FLUSH_BYTES + 2 * LIMIT_TARSPLIT_LINE_BYTES);
	w->name = (struct str)STR_INIT(LIMIT_PAX_BYTES);
	r = tarsplit_names_new(&w->names, err);
	if (r < 0)
		return r;
	w->next = next;
	*ret = take_ptr(w);
	return 0;
}

void tarsplit_writer_free(struct tarsplit_writer *w)
{
	if (!w)
		return;
	sink_free(w->next);
	tarsplit_names_free(w->names);
	str_done(&w->raw);
	str_done(&w->out);
	str_done(&w->name);
	free(w->uids.items);
	free(w->gids.items);
	free(w);
}

struct tar_observer tarsplit_writer_observer(struct tarsplit_writer *w)
{
	return (struct tar_observer){
		.ctx = w,
		.raw = observe_raw,
		.file = observe_file,
		.payload = observe_payload,
		.end = observe_end,
		.trailer = observe_trailer,
		.finish = observe_finish,
	};
}

void tarsplit_writer_uids(const struct tarsplit_writer *w, const uint32_t **ret, size_t *ret_n)
{
	*ret = w->uids.items;
	*ret_n = w->uids.n;
}

void tarsplit_writer_gids(const struct tarsplit_writer *w, const uint32_t **ret, size_t *ret_n)
{
	*ret = w->gids.items;
	*ret_n = w->gids.n;
}

uint64_t tarsplit_writer_tar_bytes(const struct tarsplit_writer *w)
{
	return w->tar_bytes;
}
