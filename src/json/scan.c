/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pull reader. Strings are where the bytes are: they are passed a bunch at a time, looking only
 * for a quote, a backslash or a control byte. Nothing recurses: containers that the caller opens
 * are counted, and containers inside a skipped value live in the bits of one word.
 *
 * Invariants
 * 1. text <= at <= end; no byte at or behind `end` is read.
 * 2. pending is set by `next` (and by init, for the document itself) and cleared by whatever
 *    reads the value. `next` skips a value that is still pending.
 * 3. fresh is set by `begin` only, and cleared by the first `next`.
 * 4. depth + containers open inside a skip <= LIMIT_JSON_DEPTH.
 */
#include "json/scan.h"

#include <assert.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif
#include <inttypes.h>
#include <string.h>

#include "base/limits.h"

static_assert(LIMIT_JSON_DEPTH <= 64, "one bit per level in json_scan_skip()");

static const char *const kind_names[] = {
	[JSON_KIND_OBJECT] = "an object",
	[JSON_KIND_ARRAY] = "an array",
	[JSON_KIND_STRING] = "a string",
	[JSON_KIND_NUMBER] = "a number",
	[JSON_KIND_BOOL] = "a boolean",
	[JSON_KIND_NULL] = "null",
};

static inline void skip_space(struct json_scan *s)
{
	while (s->at < s->end &&
		(*s->at == ' ' || *s->at == '\n' || *s->at == '\r' || *s->at == '\t'))
		s->at++;
}

/* The next byte is not what the grammar asks for. */
static int fail_expected(struct json_scan *s, const char *what, struct imbrex_error *err)
{
	static const unsigned char bom[3] = { 0xef, 0xbb, 0xbf };
	unsigned char c;

	if (s->at >= s->end)
		return fail(err, IMBREX_EFORMAT, "byte %zu: expected %s, found the end of the text",
			json_scan_offset(s), what);
	if (s->at == s->text && s->end - s->at >= 3 && memcmp(s->at, bom, sizeof(bom)) == 0)
		return fail(
			err, IMBREX_EFORMAT, "byte 0: expected %s, found a byte order mark", what);
	c = (unsigned char)*s->at;
	if (c > ' ' && c < 0x7f)
		return fail(err, IMBREX_EFORMAT, "byte %zu: expected %s, found '%c'",
			json_scan_offset(s), what, c);
	return fail(err, IMBREX_EFORMAT, "byte %zu: expected %s, found byte 0x%02x",
		json_scan_offset(s), what, c);
}

static int fail_depth(struct json_scan *s, struct imbrex_error *err)
{
	return fail(err, IMBREX_ELIMIT, "byte %zu: nested more than %d levels deep",
		json_scan_offset(s), LIMIT_JSON_DEPTH);
}

static int hex4(const char *at)
{
	int value = 0;
	int i;

	for (i = 0; i < 4; i++) {
		unsigned char c = (unsigned char)at[i];

		value <<= 4;
		if (c >= '0' && c <= '9')
			value |= c - '0';
		else if (c >= 'a' && c <= 'f')
			value |= c - 'a' + 10;
		else if (c >= 'A' && c <= 'F')
			value |= c - 'A' + 10;
		else
			return -1;
	}
	return value;
}

/* s->at is at a backslash: check the escape and step over it. */
static int pass_escape(struct json_scan *s, struct imbrex_error *err)
{
	if (s->end - s->at < 2)
		return fail(err, IMBREX_EFORMAT, "byte %zu: the text ends inside a string",
			(size_t)(s->end - s->text));
	switch (s->at[1]) {
	case '"':
	case '\\':
	case '/':
	case 'b':
	case 'f':
	case 'n':
	case 'r':
	case 't':
		s->at += 2;
		return 0;
	case 'u':
		if (s->end - s->at >= 6 && hex4(s->at + 2) >= 0) {
			s->at += 6;
			return 0;
		}
		break;
	}
	return fail(
		err, IMBREX_EFORMAT, "byte %zu: malformed escape in a string", json_scan_offset(s));
}

#ifdef __SSE2__
/* Bytes that are looked at together. */
#define BUNCH 16

/* Where the first quote, backslash or byte below 0x20 of the bunch is; BUNCH if there is none. */
static inline unsigned int first_special(const char *at)
{
	__m128i v = _mm_loadu_si128((const __m128i_u *)at);
	__m128i marks = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')),
					     _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'))),
		_mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v));
	unsigned int bits = (unsigned int)_mm_movemask_epi8(marks);

	return bits ? (unsigned int)__builtin_ctz(bits) : BUNCH;
}
#else
#define BUNCH      8
#define SWAR_ONES  0x0101010101010101ull
#define SWAR_HIGHS 0x8080808080808080ull

/* No false negatives, and no false positive in the lowest marked byte. */
static inline unsigned int first_special(const char *at)
{
	uint64_t quote;
	uint64_t slash;
	uint64_t marks;
	uint64_t v;

	memcpy(&v, at, sizeof(v));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	v = __builtin_bswap64(v);
#endif
	quote = v ^ (SWAR_ONES * '"');
	slash = v ^ (SWAR_ONES * '\\');
	marks = (((quote - SWAR_ONES) & ~quote) | ((slash - SWAR_ONES) & ~slash) |
			((v - SWAR_ONES * 0x20) & ~v)) &
		SWAR_HIGHS;
	return marks ? (unsigned int)__builtin_ctzll(marks) / 8 : BUNCH;
}
#endif

/* s->at is at an opening quote. *ret is what lies between the quotes. */
static int pass_string(struct json_scan *s, struct json_span *ret, struct imbrex_error *err)
{
	const char *begin = ++s->at;
	bool escaped = false;
	int r;

	for (;;) {
		while (s->end - s->at >= BUNCH) {
			unsigned int n = first_special(s->at);

			s->at += n;
			if (n < BUNCH)
				break;
		}
		while (s->at < s->end && *s->at != '"' && *s->at != '\\' &&
			(unsigned char)*s->at >= 0x20)
			s->at++;
		if (s->at >= s->end)
			return fail(err, IMBREX_EFORMAT, "byte %zu: the text ends inside a string",
				json_scan_offset(s));
		if (*s->at == '"')
			break;
		if (*s->at != '\\')
			return fail(err, IMBREX_EFORMAT,
				"byte %zu: control byte 0x%02x in a string", json_scan_offset(s),
				(unsigned char)*s->at);
		r = pass_escape(s, err);
		if (r < 0)
			return r;
		escaped = true;
	}
	ret->escaped = escaped;
	ret->at = begin;
	ret->len = (size_t)(s->at - begin);
	s->at++;
	return 0;
}

static inline bool at_digit(const struct json_scan *s)
{
	return s->at < s->end && *s->at >= '0' && *s->at <= '9';
}

static int pass_digits(struct json_scan *s, struct imbrex_error *err)
{
	if (!at_digit(s))
		return fail_expected(s, "a digit", err);
	while (at_digit(s))
		s->at++;
	return 0;
}

static int pass_number(struct json_scan *s, struct imbrex_error *err)
{
	int r;

	if (*s->at == '-')
		s->at++;
	if (s->at < s->end && *s->at == '0')
		s->at++;
	else {
		r = pass_digits(s, err);
		if (r < 0)
			return r;
	}
	if (at_digit(s))
		return fail(err, IMBREX_EFORMAT, "byte %zu: a number has a leading zero",
			json_scan_offset(s) - 1);
	if (s->at < s->end && *s->at == '.') {
		s->at++;
		r = pass_digits(s, err);
		if (r < 0)
			return r;
	}
	if (s->at < s->end && (*s->at == 'e' || *s->at == 'E')) {
		s->at++;
		if (s->at < s->end && (*s->at == '+' || *s->at == '-'))
			s->at++;
		r = pass_digits(s, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int pass_word(struct json_scan *s, const char *word, struct imbrex_error *err)
{
	size_t len = strlen(word);

	if ((size_t)(s->end - s->at) < len || memcmp(s->at, word, len) != 0)
		return fail_expected(s, "a value", err);
	s->at += len;
	return 0;
}

/* Any value that is not a container. */
static int pass_scalar(struct json_scan *s, struct imbrex_error *err)
{
	struct json_span raw;

	switch (s->at < s->end ? *s->at : '\0') {
	case '"':
		return pass_string(s, &raw, err);
	case 't':
		return pass_word(s, "true", err);
	case 'f':
		return pass_word(s, "false", err);
	case 'n':
		return pass_word(s, "null", err);
	case '-':
	case '0' ... '9':
		return pass_number(s, err);
	}
	return fail_expected(s, "a value", err);
}

/* A key with its colon. */
static int pass_key(struct json_scan *s, struct json_span *ret, struct imbrex_error *err)
{
	int r;

	if (s->at >= s->end || *s->at != '"')
		return fail_expected(s, "a key", err);
	r = pass_string(s, ret, err);
	if (r < 0)
		return r;
	skip_space(s);
	if (s->at >= s->end || *s->at != ':')
		return fail_expected(s, "':'", err);
	s->at++;
	return 0;
}

void json_scan_init(struct json_scan *s, const char *text, size_t len)
{
	*s = (struct json_scan){
		.text = text,
		.at = text,
		.end = text + len,
		.pending = true,
	};
}

size_t json_scan_offset(const struct json_scan *s)
{
	return (size_t)(s->at - s->text);
}

int json_scan_kind(struct json_scan *s, struct imbrex_error *err)
{
	skip_space(s);
	switch (s->at < s->end ? *s->at : '\0') {
	case '{':
		return JSON_KIND_OBJECT;
	case '[':
		return JSON_KIND_ARRAY;
	case '"':
		return JSON_KIND_STRING;
	case 't':
	case 'f':
		return JSON_KIND_BOOL;
	case 'n':
		return JSON_KIND_NULL;
	case '-':
	case '0' ... '9':
		return JSON_KIND_NUMBER;
	}
	return fail_expected(s, "a value", err);
}

/* The next value is of `kind`; s->at is at its first byte. */
static int expect_kind(struct json_scan *s, enum json_kind kind, struct imbrex_error *err)
{
	int found = json_scan_kind(s, err);

	if (found < 0)
		return found;
	if (found != (int)kind)
		return fail(err, IMBREX_EFORMAT, "byte %zu: expected %s, found %s",
			json_scan_offset(s), kind_names[kind], kind_names[found]);
	assert(s->pending);
	return 0;
}

static int container_begin(struct json_scan *s, enum json_kind kind, struct imbrex_error *err)
{
	int r;

	r = expect_kind(s, kind, err);
	if (r < 0)
		return r;
	if (s->depth >= LIMIT_JSON_DEPTH)
		return fail_depth(s, err);
	s->at++;
	s->depth++;
	s->fresh = true;
	s->pending = false;
	return 0;
}

/* 1: there is one more, and s->at is at its first byte; 0: the closing bracket was read. */
static int container_next(struct json_scan *s, char close, struct imbrex_error *err)
{
	bool fresh;
	int r;

	assert(s->depth);
	if (s->pending) {
		r = json_scan_skip(s, NULL, err);
		if (r < 0)
			return r;
	}
	fresh = s->fresh;
	s->fresh = false;
	skip_space(s);
	if (s->at < s->end && *s->at == close) {
		s->at++;
		s->depth--;
		return 0;
	}
	if (fresh)
		return 1;
	if (s->at >= s->end || *s->at != ',')
		return fail_expected(s, close == '}' ? "',' or '}'" : "',' or ']'", err);
	s->at++;
	skip_space(s);
	return 1;
}

int json_scan_object_begin(struct json_scan *s, struct imbrex_error *err)
{
	return container_begin(s, JSON_KIND_OBJECT, err);
}

int json_scan_object_next(struct json_scan *s, struct json_span *ret_key, struct imbrex_error *err)
{
	int r;

	r = container_next(s, '}', err);
	if (r <= 0)
		return r;
	r = pass_key(s, ret_key, err);
	if (r < 0)
		return r;
	s->pending = true;
	return 1;
}

int json_scan_array_begin(struct json_scan *s, struct imbrex_error *err)
{
	return container_begin(s, JSON_KIND_ARRAY, err);
}

int json_scan_array_next(struct json_scan *s, struct imbrex_error *err)
{
	int r;

	r = container_next(s, ']', err);
	if (r <= 0)
		return r;
	s->pending = true;
	return 1;
}

/*
 * Read one value whole. `levels` has one bit per open container, the innermost lowest: 1 for an
 * object. A container is entered, and then each turn reads what follows a value or a bracket.
 */
static int pass_value(struct json_scan *s, struct imbrex_error *err)
{
	struct json_span key;
	uint64_t levels = 0;
	unsigned int n_levels = 0;
	int r;

	for (;;) {
		bool opened = false;

		skip_space(s);
		if (s->at < s->end && (*s->at == '{' || *s->at == '[')) {
			if (s->depth + n_levels >= LIMIT_JSON_DEPTH)
				return fail_depth(s, err);
			levels = levels << 1 | (*s->at == '{');
			n_levels++;
			s->at++;
			opened = true;
			skip_space(s);
		} else {
			r = pass_scalar(s, err);
			if (r < 0)
				return r;
		}
		for (;;) {
			char close;

			if (!n_levels)
				return 0;
			close = levels & 1 ? '}' : ']';
			skip_space(s);
			if (s->at >= s->end || *s->at != close)
				break;
			s->at++;
			levels >>= 1;
			n_levels--;
			opened = false;
		}
		if (!opened) {
			if (s->at >= s->end || *s->at != ',')
				return fail_expected(
					s, levels & 1 ? "',' or '}'" : "',' or ']'", err);
			s->at++;
			skip_space(s);
		}
		if (levels & 1) {
			r = pass_key(s, &key, err);
			if (r < 0)
				return r;
		}
	}
}

int json_scan_skip(struct json_scan *s, struct json_span *ret, struct imbrex_error *err)
{
	const char *begin;
	int r;

	assert(s->pending);
	skip_space(s);
	begin = s->at;
	r = pass_value(s, err);
	if (r < 0)
		return r;
	s->pending = false;
	if (ret)
		*ret = (struct json_span){ .at = begin, .len = (size_t)(s->at - begin) };
	return 0;
}

int json_scan_null(struct json_scan *s, struct imbrex_error *err)
{
	int kind = json_scan_kind(s, err);
	int r;

	if (kind < 0)
		return kind;
	if (kind != JSON_KIND_NULL)
		return 0;
	r = json_scan_skip(s, NULL, err);
	return r < 0 ? r : 1;
}

int json_scan_bool(struct json_scan *s, bool *ret, struct imbrex_error *err)
{
	bool value;
	int r;

	r = expect_kind(s, JSON_KIND_BOOL, err);
	if (r < 0)
		return r;
	value = *s->at == 't';
	r = json_scan_skip(s, NULL, err);
	if (r < 0)
		return r;
	*ret = value;
	return 0;
}

static int integer_digits(struct json_span span, bool *ret_negative, uint64_t *ret)
{
	uint64_t value = 0;
	size_t i = 0;

	*ret_negative = span.at[0] == '-';
	if (*ret_negative)
		i++;
	for (; i < span.len; i++) {
		if (span.at[i] < '0' || span.at[i] > '9')
			return -EINVAL;
		if (__builtin_mul_overflow(value, (uint64_t)10, &value) ||
			__builtin_add_overflow(value, (uint64_t)(span.at[i] - '0'), &value))
			return -ERANGE;
	}
	*ret = value;
	return 0;
}

/* Reads a number as sign and magnitude; *ret_offset is where it began. */
static int scan_integer(struct json_scan *s, bool *ret_negative, uint64_t *ret, size_t *ret_offset,
	struct imbrex_error *err)
{
	struct json_span span;
	int r;

	r = expect_kind(s, JSON_KIND_NUMBER, err);
	if (r < 0)
		return r;
	r = json_scan_skip(s, &span, err);
	if (r < 0)
		return r;
	*ret_offset = (size_t)(span.at - s->text);
	r = integer_digits(span, ret_negative, ret);
	if (r == -EINVAL)
		return fail(
			err, IMBREX_EFORMAT, "byte %zu: the number is not an integer", *ret_offset);
	if (r < 0)
		return fail(err, IMBREX_EFORMAT, "byte %zu: the number does not fit 64 bits",
			*ret_offset);
	return 0;
}

int json_scan_int64(struct json_scan *s, int64_t *ret, struct imbrex_error *err)
{
	uint64_t magnitude;
	bool negative;
	size_t offset;
	int r;

	r = scan_integer(s, &negative, &magnitude, &offset, err);
	if (r < 0)
		return r;
	if (magnitude > (uint64_t)INT64_MAX + negative)
		return fail(err, IMBREX_EFORMAT,
			"byte %zu: the number does not fit a signed 64-bit integer", offset);
	*ret = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
	return 0;
}

int json_scan_uint64(struct json_scan *s, uint64_t *ret, struct imbrex_error *err)
{
	uint64_t magnitude;
	bool negative;
	size_t offset;
	int r;

	r = scan_integer(s, &negative, &magnitude, &offset, err);
	if (r < 0)
		return r;
	if (negative && magnitude)
		return fail(err, IMBREX_EFORMAT, "byte %zu: the number is negative", offset);
	*ret = magnitude;
	return 0;
}

int json_scan_raw_string(struct json_scan *s, struct json_span *ret, struct imbrex_error *err)
{
	int r;

	r = expect_kind(s, JSON_KIND_STRING, err);
	if (r < 0)
		return r;
	s->pending = false;
	return pass_string(s, ret, err);
}

int json_scan_string(struct json_scan *s, struct str *ret, struct imbrex_error *err)
{
	struct json_span raw;
	int r;

	r = json_scan_raw_string(s, &raw, err);
	if (r < 0)
		return r;
	str_clear(ret);
	r = json_text_decode(raw, ret);
	if (r == -ENOMEM)
		return fail_nomem(err);
	if (r < 0)
		return fail(err, IMBREX_ELIMIT, "byte %zu: the string is longer than %zu bytes",
			(size_t)(raw.at - s->text), ret->max_len);
	return 0;
}

int json_scan_text(struct json_scan *s, char **ret, struct imbrex_error *err)
{
	AUTO_STR text = STR_INIT(SIZE_MAX);
	struct json_span raw;
	char *copy;
	int r;

	r = json_scan_raw_string(s, &raw, err);
	if (r < 0)
		return r;
	if (!raw.escaped) {
		copy = strndup(raw.at, raw.len);
		if (!copy)
			return fail_nomem(err);
		*ret = copy;
		return 0;
	}
	r = json_text_decode(raw, &text);
	if (r < 0)
		return fail_nomem(err);
	if (text.len && memchr(text.data, '\0', text.len))
		return fail(err, IMBREX_EFORMAT, "byte %zu: the string holds a NUL character",
			(size_t)(raw.at - s->text));
	copy = str_take(&text);
	if (!copy)
		return fail_nomem(err);
	*ret = copy;
	return 0;
}

int json_scan_finish(struct json_scan *s, struct imbrex_error *err)
{
	int r;

	if (s->pending) {
		r = json_scan_skip(s, NULL, err);
		if (r < 0)
			return r;
	}
	skip_space(s);
	if (s->at < s->end)
		return fail_expected(s, "the end of the text", err);
	return 0;
}

static size_t utf8_encode(uint32_t c, char ret[4])
{
	if (c < 0x80) {
		ret[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		ret[0] = (char)(0xc0 | c >> 6);
		ret[1] = (char)(0x80 | (c & 63));
		return 2;
	}
	if (c < 0x10000) {
		ret[0] = (char)(0xe0 | c >> 12);
		ret[1] = (char)(0x80 | (c >> 6 & 63));
		ret[2] = (char)(0x80 | (c & 63));
		return 3;
	}
	ret[0] = (char)(0xf0 | c >> 18);
	ret[1] = (char)(0x80 | (c >> 12 & 63));
	ret[2] = (char)(0x80 | (c >> 6 & 63));
	ret[3] = (char)(0x80 | (c & 63));
	return 4;
}

/*
 * Decode the escape at raw.at[*pos] (a backslash) into at most four bytes and step over it.
 * Returns the number of bytes, or -EINVAL.
 */
static int decode_escape(struct json_span raw, size_t *pos, char ret[4])
{
	static const char from[] = "\"\\/bfnrt";
	static const char to[] = "\"\\/\b\f\n\r\t";
	const char *found;
	size_t i = *pos;
	int code;
	int low;

	if (raw.len - i < 2)
		return -EINVAL;
	if (raw.at[i + 1] != 'u') {
		found = raw.at[i + 1] ? strchr(from, raw.at[i + 1]) : NULL;
		if (!found)
			return -EINVAL;
		ret[0] = to[found - from];
		*pos += 2;
		return 1;
	}
	code = raw.len - i >= 6 ? hex4(raw.at + i + 2) : -1;
	if (code < 0)
		return -EINVAL;
	*pos += 6;
	if (code >= 0xd800 && code < 0xdc00 && raw.len - i >= 12 && raw.at[i + 6] == '\\' &&
		raw.at[i + 7] == 'u') {
		low = hex4(raw.at + i + 8);
		if (low >= 0xdc00 && low < 0xe000) {
			*pos += 6;
			return (int)utf8_encode(0x10000u + ((uint32_t)(code - 0xd800) << 10) +
							(uint32_t)(low - 0xdc00),
				ret);
		}
	}
	if (code >= 0xd800 && code < 0xe000)
		code = 0xfffd;
	return (int)utf8_encode((uint32_t)code, ret);
}

int json_text_decode(struct json_span raw, struct str *ret)
{
	size_t i = 0;
	char bytes[4];
	int n;
	int r;

	while (i < raw.len) {
		const char *slash = memchr(raw.at + i, '\\', raw.len - i);
		size_t plain = slash ? (size_t)(slash - raw.at) - i : raw.len - i;

		r = str_append(ret, raw.at + i, plain);
		if (r < 0)
			return r;
		i += plain;
		if (i == raw.len)
			break;
		n = decode_escape(raw, &i, bytes);
		if (n < 0)
			return n;
		r = str_append(ret, bytes, (size_t)n);
		if (r < 0)
			return r;
	}
	return 0;
}

static inline char fold(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

bool json_same_folded(const char *a, const char *b, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if (fold(a[i]) != fold(b[i]))
			return false;
	}
	return true;
}

bool json_key_decodes_to(struct json_span raw, const char *name, bool folded)
{
	size_t len = strlen(name);
	size_t i = 0;
	char bytes[4];
	int n;

	while (i < raw.len) {
		n = 1;
		bytes[0] = raw.at[i];
		if (bytes[0] == '\\')
			n = decode_escape(raw, &i, bytes);
		else
			i++;
		if (n < 0 || (size_t)n > len)
			return false;
		if (folded ? !json_same_folded(bytes, name, (size_t)n)
			   : memcmp(bytes, name, (size_t)n) != 0)
			return false;
		name += n;
		len -= (size_t)n;
	}
	return len == 0;
}
