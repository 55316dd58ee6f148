/* SPDX-License-Identifier: Apache-2.0 */
/* The writer. Commas and indentation follow from three flags; strings are copied in runs. */
#include "json/write.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void put(struct json_writer *w, const void *data, size_t len)
{
	if (w->failure)
		return;
	w->failure = str_append(w->text, data, len);
}

static void put_text(struct json_writer *w, const char *text)
{
	put(w, text, strlen(text));
}

static void put_line(struct json_writer *w)
{
	static const char blanks[] = "                                ";
	size_t n = (size_t)w->depth * w->indent;

	if (!w->indent)
		return;
	put(w, "\n", 1);
	while (n) {
		size_t some = MIN(n, sizeof(blanks) - 1);

		put(w, blanks, some);
		n -= some;
	}
}

/* Before any key, and before any value that has no key: comma, line, blanks. */
static void separate(struct json_writer *w)
{
	if (w->after_key) {
		w->after_key = false;
		return;
	}
	if (!w->depth)
		return;
	if (!w->fresh)
		put(w, ",", 1);
	w->fresh = false;
	put_line(w);
}

static void container_begin(struct json_writer *w, char bracket)
{
	separate(w);
	put(w, &bracket, 1);
	w->depth++;
	w->fresh = true;
}

static void container_end(struct json_writer *w, char bracket)
{
	assert(w->depth && !w->after_key);
	w->depth--;
	if (!w->fresh)
		put_line(w);
	put(w, &bracket, 1);
	w->fresh = false;
}

/* Length of the UTF-8 sequence at text[0], 0 if it is none (RFC 3629 section 4). */
static size_t utf8_len(const unsigned char *text, size_t len)
{
	unsigned char low = 0x80;
	unsigned char high = 0xbf;
	size_t n;
	size_t i;

	if (text[0] >= 0xc2 && text[0] <= 0xdf)
		n = 2;
	else if (text[0] >= 0xe0 && text[0] <= 0xef)
		n = 3;
	else if (text[0] >= 0xf0 && text[0] <= 0xf4)
		n = 4;
	else
		return 0;
	if (text[0] == 0xe0)
		low = 0xa0;
	else if (text[0] == 0xed)
		high = 0x9f;
	else if (text[0] == 0xf0)
		low = 0x90;
	else if (text[0] == 0xf4)
		high = 0x8f;
	if (n > len || text[1] < low || text[1] > high)
		return 0;
	for (i = 2; i < n; i++) {
		if (text[i] < 0x80 || text[i] > 0xbf)
			return 0;
	}
	return n;
}

/*
 * How the bytes at text[0] are written if not as they are. Returns how many bytes that takes
 * from the text, and 0 for a single byte that needs nothing.
 */
static size_t escape(
	const struct json_writer *w, const unsigned char *text, size_t len, char ret[8])
{
	static const char short_from[] = "\"\\\n\r\t";
	static const char short_to[] = "\"\\nrt";
	const char *found;
	size_t n;

	if (text[0] < 0x80) {
		found = text[0] ? strchr(short_from, text[0]) : NULL;
		if (found) {
			(void)snprintf(ret, 8, "\\%c", short_to[found - short_from]);
			return 1;
		}
		if (text[0] >= 0x20 &&
			(w->keep_html || (text[0] != '<' && text[0] != '>' && text[0] != '&')))
			return 0;
		(void)snprintf(ret, 8, "\\u%04x", text[0]);
		return 1;
	}
	n = utf8_len(text, len);
	if (!n) {
		(void)snprintf(ret, 8, "\\ufffd");
		return 1;
	}
	if (n == 3 && text[0] == 0xe2 && text[1] == 0x80 && (text[2] & 0xfe) == 0xa8) {
		(void)snprintf(ret, 8, "\\u20%02x", 0x28 + (text[2] & 1));
		return 3;
	}
	ret[0] = '\0';
	return n;
}

/* Most bytes: printable ASCII without any special meaning. */
static inline bool is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x80 && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&';
}

static void put_string(struct json_writer *w, const unsigned char *text, size_t len)
{
	size_t begin = 0;
	size_t i = 0;
	char escaped[8];

	put(w, "\"", 1);
	while (i < len) {
		size_t n;

		if (is_plain(text[i])) {
			i++;
			continue;
		}
		n = escape(w, text + i, len - i, escaped);
		if (n && escaped[0]) {
			put(w, text + begin, i - begin);
			put_text(w, escaped);
			begin = i + n;
		}
		i += n ? n : 1;
	}
	put(w, text + begin, len - begin);
	put(w, "\"", 1);
}

void json_writer_init(struct json_writer *w, struct str *text)
{
	*w = (struct json_writer){ .text = text };
}

int json_writer_finish(struct json_writer *w, struct imbrex_error *err)
{
	if (w->failure == -ENOMEM)
		return fail_nomem(err);
	if (w->failure < 0)
		return fail(
			err, IMBREX_ELIMIT, "JSON text of more than %zu bytes", w->text->max_len);
	assert(!w->depth && !w->after_key);
	return 0;
}

int json_write_text(struct str *to, const char *text)
{
	struct json_writer w;

	json_writer_init(&w, to);
	json_write_string(&w, text);
	return w.failure;
}

void json_write_object_begin(struct json_writer *w)
{
	container_begin(w, '{');
}

void json_write_object_end(struct json_writer *w)
{
	container_end(w, '}');
}

void json_write_array_begin(struct json_writer *w)
{
	container_begin(w, '[');
}

void json_write_array_end(struct json_writer *w)
{
	container_end(w, ']');
}

static void put_colon(struct json_writer *w)
{
	put(w, ": ", w->indent ? 2 : 1);
	w->after_key = true;
}

void json_write_key(struct json_writer *w, const char *key)
{
	assert(w->depth && !w->after_key);
	separate(w);
	put_string(w, (const unsigned char *)key, strlen(key));
	put_colon(w);
}

void json_write_raw_key(struct json_writer *w, struct json_span key)
{
	assert(w->depth && !w->after_key);
	separate(w);
	put(w, "\"", 1);
	put(w, key.at, key.len);
	put(w, "\"", 1);
	put_colon(w);
}

void json_write_bytes(struct json_writer *w, const void *text, size_t len)
{
	separate(w);
	put_string(w, text, len);
}

void json_write_string(struct json_writer *w, const char *text)
{
	json_write_bytes(w, text ? text : "", text ? strlen(text) : 0);
}

void json_write_int(struct json_writer *w, int64_t value)
{
	char text[24];

	separate(w);
	(void)snprintf(text, sizeof(text), "%" PRId64, value);
	put_text(w, text);
}

void json_write_uint(struct json_writer *w, uint64_t value)
{
	char text[24];

	separate(w);
	(void)snprintf(text, sizeof(text), "%" PRIu64, value);
	put_text(w, text);
}

void json_write_bool(struct json_writer *w, bool value)
{
	separate(w);
	put_text(w, value ? "true" : "false");
}

void json_write_null(struct json_writer *w)
{
	separate(w);
	put_text(w, "null");
}

void json_write_strings(struct json_writer *w, const struct strv *list)
{
	size_t i;

	json_write_array_begin(w);
	for (i = 0; i < list->n; i++)
		json_write_string(w, list->items[i]);
	json_write_array_end(w);
}

void json_write_raw(struct json_writer *w, struct json_span value)
{
	separate(w);
	put(w, value.at, value.len);
}

/*
 * Containers of the value being rewritten, innermost lowest: 1 for an object. LIMIT_JSON_DEPTH is
 * held by the scanner, which fails before a bit would be lost.
 */
int json_write_again(struct json_writer *w, struct json_span value, struct imbrex_error *err)
{
	struct json_scan s;
	struct json_span span;
	uint64_t levels = 0;
	unsigned int n_levels = 0;
	int kind;
	int r;

	json_scan_init(&s, value.at, value.len);
	do {
		kind = json_scan_kind(&s, err);
		if (kind < 0)
			return kind;
		if (kind == JSON_KIND_OBJECT || kind == JSON_KIND_ARRAY) {
			bool object = kind == JSON_KIND_OBJECT;

			r = object ? json_scan_object_begin(&s, err)
				   : json_scan_array_begin(&s, err);
			if (r < 0)
				return r;
			container_begin(w, object ? '{' : '[');
			levels = levels << 1 | object;
			n_levels++;
		} else {
			r = json_scan_skip(&s, &span, err);
			if (r < 0)
				return r;
			json_write_raw(w, span);
		}
		/* Up to where the next value stands, out of every container that ends here. */
		r = 0;
		while (n_levels && r == 0) {
			r = levels & 1 ? json_scan_object_next(&s, &span, err)
				       : json_scan_array_next(&s, err);
			if (r < 0)
				return r;
			if (r == 0) {
				container_end(w, levels & 1 ? '}' : ']');
				levels >>= 1;
				n_levels--;
			} else if (levels & 1) {
				json_write_raw_key(w, span);
			}
		}
	} while (n_levels);
	return json_scan_finish(&s, err);
}

void json_write_member_string(struct json_writer *w, const char *key, const char *text)
{
	json_write_key(w, key);
	json_write_string(w, text);
}

void json_write_member_int(struct json_writer *w, const char *key, int64_t value)
{
	json_write_key(w, key);
	json_write_int(w, value);
}

void json_write_member_uint(struct json_writer *w, const char *key, uint64_t value)
{
	json_write_key(w, key);
	json_write_uint(w, value);
}

void json_write_member_bool(struct json_writer *w, const char *key, bool value)
{
	json_write_key(w, key);
	json_write_bool(w, value);
}

void json_write_member_strings(struct json_writer *w, const char *key, const struct strv *list)
{
	json_write_key(w, key);
	json_write_strings(w, list);
}

void json_write_member_raw(struct json_writer *w, const char *key, struct json_span value)
{
	json_write_key(w, key);
	json_write_raw(w, value);
}

void json_write_some_string(struct json_writer *w, const char *key, const char *text)
{
	if (text && *text)
		json_write_member_string(w, key, text);
}

void json_write_some_int(struct json_writer *w, const char *key, int64_t value)
{
	if (value)
		json_write_member_int(w, key, value);
}

void json_write_some_uint(struct json_writer *w, const char *key, uint64_t value)
{
	if (value)
		json_write_member_uint(w, key, value);
}

void json_write_some_bool(struct json_writer *w, const char *key, bool value)
{
	if (value)
		json_write_member_bool(w, key, value);
}

void json_write_some_strings(struct json_writer *w, const char *key, const struct strv *list)
{
	if (list->n)
		json_write_member_strings(w, key, list);
}

void json_write_some_raw(struct json_writer *w, const char *key, struct json_span value)
{
	if (value.len)
		json_write_member_raw(w, key, value);
}

static int compare_pairs(const void *a, const void *b)
{
	return strcmp(**(char **const *)a, **(char **const *)b);
}

void json_write_some_pairs(struct json_writer *w, const char *key, const struct strv *pairs)
{
	AUTO_FREE char ***sorted = NULL;
	size_t n = pairs->n / 2;
	size_t i;

	if (!n || w->failure)
		return;
	sorted = calloc(n, sizeof(*sorted));
	if (!sorted) {
		w->failure = -ENOMEM;
		return;
	}
	for (i = 0; i < n; i++)
		sorted[i] = &pairs->items[2 * i];
	qsort(sorted, n, sizeof(*sorted), compare_pairs);
	json_write_key(w, key);
	json_write_object_begin(w);
	for (i = 0; i < n; i++)
		json_write_member_string(w, sorted[i][0], sorted[i][1]);
	json_write_object_end(w);
}

const char *json_time_format(const struct timespec *when, char ret[JSON_TIME_MAX])
{
	struct tm tm;
	size_t len;

	if (!gmtime_r(&when->tv_sec, &tm) || tm.tm_year < -1899 || tm.tm_year > 8099) {
		/* Beyond what RFC 3339 can say: Go's zero time. */
		(void)snprintf(ret, JSON_TIME_MAX, "0001-01-01T00:00:00Z");
		return ret;
	}
	(void)snprintf(ret, JSON_TIME_MAX, "%04d-%02d-%02dT%02d:%02d:%02d.%09ld", tm.tm_year + 1900,
		tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, when->tv_nsec);
	len = strlen(ret);
	while (ret[len - 1] == '0')
		len--;
	if (ret[len - 1] == '.')
		len--;
	ret[len] = 'Z';
	ret[len + 1] = '\0';
	return ret;
}

/* `n` digits at text, or -1. */
static int digits(const char *text, size_t n)
{
	int value = 0;

	for (; n; n--, text++) {
		if (*text < '0' || *text > '9')
			return -1;
		value = 10 * value + (*text - '0');
	}
	return value;
}

static int days_in_month(int year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + (month == 2 && leap);
}

/* "Z" or "+hh:mm" to the seconds it is ahead of UTC. */
static int parse_offset(const char *text, size_t len, int *ret_sec)
{
	int hours;
	int minutes;

	if (len == 1 && (text[0] == 'Z' || text[0] == 'z')) {
		*ret_sec = 0;
		return 0;
	}
	if (len != 6 || (text[0] != '+' && text[0] != '-') || text[3] != ':')
		return -EINVAL;
	hours = digits(text + 1, 2);
	minutes = digits(text + 4, 2);
	if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59)
		return -EINVAL;
	*ret_sec = (hours * 60 + minutes) * (text[0] == '-' ? -60 : 60);
	return 0;
}

int json_time_parse(const char *text, size_t len, struct timespec *ret)
{
	struct tm tm = { 0 };
	long scale = 100000000;
	long nsec = 0;
	size_t i = 19;
	int offset;
	int r;

	if (len < 20 || text[4] != '-' || text[7] != '-' || (text[10] != 'T' && text[10] != 't') ||
		text[13] != ':' || text[16] != ':')
		return -EINVAL;
	tm.tm_year = digits(text, 4);
	tm.tm_mon = digits(text + 5, 2);
	tm.tm_mday = digits(text + 8, 2);
	tm.tm_hour = digits(text + 11, 2);
	tm.tm_min = digits(text + 14, 2);
	tm.tm_sec = digits(text + 17, 2);
	if (tm.tm_year < 0 || tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 ||
		tm.tm_mday > days_in_month(tm.tm_year, tm.tm_mon) || tm.tm_hour < 0 ||
		tm.tm_hour > 23 || tm.tm_min < 0 || tm.tm_min > 59 || tm.tm_sec < 0 ||
		tm.tm_sec > 60)
		return -EINVAL;
	if (text[i] == '.') {
		for (i++; i < len && text[i] >= '0' && text[i] <= '9'; i++) {
			nsec += (text[i] - '0') * scale;
			scale /= 10;
		}
		if (i == 20)
			return -EINVAL;
	}
	r = parse_offset(text + i, len - i, &offset);
	if (r < 0)
		return r;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	ret->tv_sec = timegm(&tm) - offset;
	ret->tv_nsec = nsec;
	return 0;
}
