/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tar-split parser. A line that arrives whole is parsed where it lies; `line` gathers one
 * that arrives in pieces.
 */
#include "format/tarsplit/reader.h"

#include <inttypes.h>
#include <string.h>

#include "base/hex.h"
#include "base/limits.h"
#include "base/str.h"
#include "format/tar/header.h"
#include "format/tarsplit/crc64.h"
#include "format/tarsplit/names.h"
#include "json/scan.h"

enum line_type {
	LINE_FILE = 1,
	LINE_SEGMENT = 2
};

struct tarsplit_reader {
	struct sink sink;
	struct tarsplit_events events;
	struct tarsplit_names *names;
	struct str line;
	struct str name;    /* of the file in question, decoded */
	struct str payload; /* decoded */
	char last_type; /* type flag of the header block that the last segment ends with, or 0 */
	uint64_t n_lines;
	uint64_t tar_bytes; /* described so far */
};

/* One line, undecoded. */
struct fields {
	uint64_t type;
	uint64_t size;
	bool has_name;
	bool has_name_raw;
	bool has_payload;
	struct json_span name;
	struct json_span name_raw;
	struct json_span payload;
};

static struct tarsplit_reader *reader_of(struct sink *s)
{
	return CONTAINER_OF(s, struct tarsplit_reader, sink);
}

/* null counts as absent, as in Go. */
static int scan_string(
	struct json_scan *s, struct json_span *ret, bool *ret_has, struct imbrex_error *err)
{
	int r;

	r = json_scan_null(s, err);
	if (r < 0)
		return r;
	*ret_has = r == 0;
	return *ret_has ? json_scan_raw_string(s, ret, err) : 0;
}

static int scan_field(
	struct json_scan *s, struct json_span key, struct fields *ret, struct imbrex_error *err)
{
	int64_t position;

	if (json_key_is(key, "type"))
		return json_scan_uint64(s, &ret->type, err);
	if (json_key_is(key, "size"))
		return json_scan_uint64(s, &ret->size, err);
	if (json_key_is(key, "position"))
		return json_scan_int64(s, &position, err);
	if (json_key_is(key, "name"))
		return scan_string(s, &ret->name, &ret->has_name, err);
	if (json_key_is(key, "name_raw"))
		return scan_string(s, &ret->name_raw, &ret->has_name_raw, err);
	if (json_key_is(key, "payload"))
		return scan_string(s, &ret->payload, &ret->has_payload, err);
	return 0;
}

static int scan_line(const char *line, size_t len, struct fields *ret, struct imbrex_error *err)
{
	struct json_scan s;
	struct json_span key;
	int r;

	json_scan_init(&s, line, len);
	r = json_scan_object_begin(&s, err);
	if (r < 0)
		return r;
	for (;;) {
		r = json_scan_object_next(&s, &key, err);
		if (r < 0)
			return r;
		if (r == 0)
			return json_scan_finish(&s, err);
		r = scan_field(&s, key, ret, err);
		if (r < 0)
			return r;
	}
}

/* Base64 into *ret. Escapes inside of it are legal JSON, if nothing any writer would do. */
static int decode_base64(
	struct json_span raw, const char *what, struct str *ret, struct imbrex_error *err)
{
	AUTO_STR plain = STR_INIT(LIMIT_TARSPLIT_LINE_BYTES);
	size_t len;
	char *at;

	str_clear(ret);
	if (memchr(raw.at, '\\', raw.len)) {
		if (json_text_decode(raw, &plain) < 0)
			return fail_nomem(err);
		raw = (struct json_span){ .at = str_text(&plain), .len = plain.len };
	}
	if (str_reserve(ret, raw.len / 4 * 3 + 3, &at) < 0)
		return fail_nomem(err);
	if (base64_decode(raw.at, raw.len, at, &len) < 0)
		return fail(err, IMBREX_EFORMAT, "the %s is not base64", what);
	ret->len = len;
	ret->data[len] = '\0';
	return 0;
}

static int decode_name(struct tarsplit_reader *t, const struct fields *f, struct imbrex_error *err)
{
	int r;

	str_clear(&t->name);
	if (f->has_name && f->name.len) {
		if (json_text_decode(f->name, &t->name) < 0)
			return fail_nomem(err);
	} else if (f->has_name_raw) {
		r = decode_base64(f->name_raw, "name", &t->name, err);
		if (r < 0)
			return r;
	}
	if (t->name.len && memchr(t->name.data, '\0', t->name.len))
		return fail(err, IMBREX_EFORMAT, "the name holds a NUL byte");
	return 0;
}

static int count_bytes(struct tarsplit_reader *t, uint64_t n, struct imbrex_error *err)
{
	if (n > LIMIT_LAYER_BYTES - t->tar_bytes)
		return fail(err, IMBREX_ELIMIT,
			"the described tar archive is larger than %llu bytes", LIMIT_LAYER_BYTES);
	t->tar_bytes += n;
	return 0;
}

static int decode_segment(
	struct tarsplit_reader *t, const struct fields *f, struct imbrex_error *err)
{
	int r;

	str_clear(&t->payload);
	if (!f->has_payload || !f->payload.len)
		return 0;
	r = decode_base64(f->payload, "payload", &t->payload, err);
	if (r < 0)
		return r;
	t->last_type = 0;
	if (t->payload.len >= TAR_BLOCK_BYTES)
		t->last_type = t->payload.data[t->payload.len - TAR_BLOCK_BYTES +
					       offsetof(struct tar_header, type)];
	return count_bytes(t, t->payload.len, err);
}

static uint64_t load_crc(const struct str *payload)
{
	uint64_t crc = 0;
	size_t i;

	for (i = 0; i < CRC64_BYTES; i++)
		crc = crc << 8 | (unsigned char)payload->data[i];
	return crc;
}

/*
 * A header of a link or directory may have a size and yet no payload follows. The reference writer
 * records that size, and the checksum of nothing, and cannot read it back; we can.
 */
static bool is_without_payload(const struct tarsplit_reader *t, uint64_t crc)
{
	return crc == 0 && t->last_type >= TAR_TYPE_LINK && t->last_type <= TAR_TYPE_FIFO;
}

static int decode_file(struct tarsplit_reader *t, const struct fields *f, struct tarsplit_file *ret,
	struct imbrex_error *err)
{
	int r;

	r = decode_name(t, f, err);
	if (r < 0)
		return r;
	r = tarsplit_names_add(t->names, str_text(&t->name), t->name.len, err);
	if (r < 0)
		return r;
	ret->name = str_text(&t->name);
	ret->name_len = t->name.len;
	ret->size_bytes = f->size;
	if (!f->size)
		return 0;
	if (!f->has_payload)
		return fail(err, IMBREX_EFORMAT, "file '%.256s' has no checksum", ret->name);
	r = decode_base64(f->payload, "payload", &t->payload, err);
	if (r < 0)
		return r;
	if (t->payload.len != CRC64_BYTES)
		return fail(err, IMBREX_EFORMAT, "the checksum of '%.256s' has %zu bytes, not %d",
			ret->name, t->payload.len, CRC64_BYTES);
	ret->crc = load_crc(&t->payload);
	if (is_without_payload(t, ret->crc))
		ret->size_bytes = 0;
	return count_bytes(t, ret->size_bytes, err);
}

/* `line` without its newline. Events' failures are theirs, those of the line are named so. */
static int take_line(
	struct tarsplit_reader *t, const char *line, size_t len, struct imbrex_error *err)
{
	struct fields f = { .type = 0 };
	struct tarsplit_file file = { .crc = 0 };
	int r;

	t->n_lines++;
	r = scan_line(line, len, &f, err);
	if (r >= 0 && f.type == LINE_FILE)
		r = decode_file(t, &f, &file, err);
	else if (r >= 0 && f.type == LINE_SEGMENT)
		r = decode_segment(t, &f, err);
	else if (r >= 0)
		r = fail(err, IMBREX_EFORMAT, "unknown entry type %" PRIu64, f.type);
	if (r < 0)
		return wrap(err, r, "tar-split line %" PRIu64, t->n_lines);
	if (f.type == LINE_FILE)
		return t->events.file ? t->events.file(t->events.ctx, &file, err) : 0;
	if (!t->payload.len || !t->events.segment)
		return 0;
	return t->events.segment(t->events.ctx, t->payload.data, t->payload.len, err);
}

static int gather(struct tarsplit_reader *t, const char *buf, size_t len, struct imbrex_error *err)
{
	int r;

	r = str_append(&t->line, buf, len);
	if (r == -EFBIG)
		return fail(err, IMBREX_ELIMIT,
			"tar-split line %" PRIu64 " is longer than %u bytes", t->n_lines + 1,
			LIMIT_TARSPLIT_LINE_BYTES);
	return r < 0 ? fail_nomem(err) : 0;
}

static int take_gathered(struct tarsplit_reader *t, struct imbrex_error *err)
{
	int r;

	r = take_line(t, str_text(&t->line), t->line.len, err);
	str_clear(&t->line);
	return r;
}

static int reader_write(struct sink *s, const void *buf, size_t len, struct imbrex_error *err)
{
	struct tarsplit_reader *t = reader_of(s);
	const char *at = buf;
	const char *end = at + len;
	int r;

	while (at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		size_t n = (size_t)((newline ? newline : end) - at);

		if (n > LIMIT_TARSPLIT_LINE_BYTES - t->line.len)
			return fail(err, IMBREX_ELIMIT,
				"tar-split line %" PRIu64 " is longer than %u bytes",
				t->n_lines + 1, LIMIT_TARSPLIT_LINE_BYTES);
		if (!newline || t->line.len) {
			r = gather(t, at, n, err);
			if (r < 0)
				return r;
		}
		if (!newline)
			return 0;
		r = t->line.len ? take_gathered(t, err) : take_line(t, at, n, err);
		if (r < 0)
			return r;
		at = newline + 1;
	}
	return 0;
}

static int reader_finish(struct sink *s, struct imbrex_error *err)
{
	struct tarsplit_reader *t = reader_of(s);
	int r;

	if (t->line.len) {
		r = take_gathered(t, err);
		if (r < 0)
			return r;
	}
	return t->events.finish ? t->events.finish(t->events.ctx, err) : 0;
}

static void reader_free(struct sink *s)
{
	struct tarsplit_reader *t = reader_of(s);

	tarsplit_names_free(t->names);
	str_done(&t->line);
	str_done(&t->name);
	str_done(&t->payload);
	free(t);
}

static const struct sink_ops reader_ops = {
	.name = "tar-split reader",
	.write = reader_write,
	.finish = reader_finish,
	.free = reader_free,
};

int tarsplit_reader_new(
	const struct tarsplit_events *events, struct sink **ret, struct imbrex_error *err)
{
	AUTO_FREE struct tarsplit_reader *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return fail_nomem(err);
	r = tarsplit_names_new(&t->names, err);
	if (r < 0)
		return r;
	t->sink.ops = &reader_ops;
	t->events = *events;
	t->line = (struct str)STR_INIT(LIMIT_TARSPLIT_LINE_BYTES);
	t->name = (struct str)STR_INIT(LIMIT_TARSPLIT_LINE_BYTES);
	t->payload = (struct str)STR_INIT(LIMIT_TARSPLIT_LINE_BYTES);
	*ret = &t->sink;
	(void)take_ptr(t);
	return 0;
}
