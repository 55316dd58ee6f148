/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pull reader against jansson: both accept, or both refuse, except for what is documented in
 * json/scan.h: bytes that are not UTF-8 and surrogates without a partner (we keep or replace
 * them), numbers beyond the range of int64 and double (we leave them to the getters), NUL in a key,
 * and nesting (we stop at LIMIT_JSON_DEPTH). What is accepted is written again and must mean the
 * same.
 */
#include <jansson.h>
#include <stdint.h>
#include <string.h>

#include "base/error.h"
#include "base/str.h"
#include "json/scan.h"
#include "json/write.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define JANSSON_FLAGS (JSON_DECODE_ANY | JSON_ALLOW_NUL)

static bool is_known_difference(const json_error_t *error)
{
	switch (json_error_code(error)) {
	case json_error_invalid_utf8:
	case json_error_numeric_overflow:
	case json_error_null_byte_in_key:
		return true;
	case json_error_invalid_syntax:
		/* "invalid Unicode '\uD800'": a surrogate alone. */
		return strstr(error->text, "invalid Unicode") != NULL;
	default:
		return false;
	}
}

static void check_rewritten(const char *text, size_t size, unsigned int indent, json_t *tree)
{
	AUTO_STR again = STR_INIT(64 * size + 4096);
	struct json_writer w;
	json_t *second;

	json_writer_init(&w, &again);
	w.indent = indent;
	if (json_write_again(&w, (struct json_span){ .at = text, .len = size }, NULL) < 0 ||
		json_writer_finish(&w, NULL) < 0)
		abort();
	if (!tree)
		return;
	second = json_loadb(again.data, again.len, JANSSON_FLAGS, NULL);
	if (!second || !json_equal(tree, second))
		abort();
	json_decref(second);
}

/* Pull everything by hand, decoding strings: what skipping accepts, reading must, too. */
static void read_value(struct json_scan *s)
{
	AUTO_STR text = STR_INIT(SIZE_MAX);
	struct json_span key;
	int r;

	switch (json_scan_kind(s, NULL)) {
	case JSON_KIND_OBJECT:
		if (json_scan_object_begin(s, NULL) < 0)
			abort();
		while ((r = json_scan_object_next(s, &key, NULL)) > 0) {
			str_clear(&text);
			if (json_text_decode(key, &text) < 0)
				abort();
			(void)json_key_is_folded(key, "name");
			read_value(s);
		}
		if (r < 0)
			abort();
		return;
	case JSON_KIND_ARRAY:
		if (json_scan_array_begin(s, NULL) < 0)
			abort();
		while ((r = json_scan_array_next(s, NULL)) > 0)
			read_value(s);
		if (r < 0)
			abort();
		return;
	case JSON_KIND_STRING:
		if (json_scan_string(s, &text, NULL) < 0)
			abort();
		return;
	default:
		if (json_scan_skip(s, NULL, NULL) < 0)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct imbrex_error err = { 0 };
	json_error_t error = { 0 };
	struct json_scan s;
	json_t *tree;
	int r;

	if (size > 64 * 1024)
		return 0;
	json_scan_init(&s, text, size);
	r = json_scan_finish(&s, &err);
	tree = json_loadb(text, size, JANSSON_FLAGS, &error);
	/* jansson passes over NUL bytes between tokens. */
	if (r == IMBREX_EFORMAT && tree && !memchr(text, '\0', size))
		abort();
	if (r == 0 && !tree && !is_known_difference(&error))
		abort();
	if (r < 0 && !err.message[0])
		abort();
	if (r == 0) {
		json_scan_init(&s, text, size);
		read_value(&s);
		check_rewritten(text, size, /* indent= */ 0, tree);
		check_rewritten(text, size, /* indent= */ 2, tree);
	}
	json_decref(tree);
	return 0;
}
