/* SPDX-License-Identifier: Apache-2.0 */
/* The digest grammar; see the header. */
#include "oci/digest.h"

#include <string.h>

#include "base/hex.h"

/* How much of an unacceptable digest a message shows. */
#define SHOWN_MAX 160

static int shown(size_t len)
{
	return (int)MIN(len, (size_t)SHOWN_MAX);
}

static bool is_algorithm_name(const char *text, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if (!((text[i] >= 'a' && text[i] <= 'z') || (text[i] >= '0' && text[i] <= '9') ||
			    (i && i + 1 < len && memchr("+._-", text[i], 4))))
			return false;
	}
	return len > 0;
}

static int parse_digits(const char *text, size_t len, const char *hex, size_t hex_len,
	enum hash_algorithm algorithm, struct hash_value *ret, struct imbrex_error *err)
{
	struct hash_value value = { .algorithm = algorithm };
	size_t want = 2 * hash_len(algorithm);
	int r;

	if (hex_len != want)
		return fail(err, IMBREX_EFORMAT, "digest '%.*s': %zu digits, but %s has %zu",
			shown(len), text, hex_len, hash_name(algorithm), want);
	r = hex_decode(hex, hex_len, value.bytes, hash_len(algorithm));
	if (r < 0)
		return fail(err, IMBREX_EFORMAT, "digest '%.*s' is not lower-case hexadecimal",
			shown(len), text);
	*ret = value;
	return 0;
}

int digest_parse(const char *text, size_t len, struct hash_value *ret, struct imbrex_error *err)
{
	static const enum hash_algorithm known[] = { HASH_SHA256, HASH_SHA512 };
	const char *colon = memchr(text, ':', len);
	size_t name_len;
	size_t i;

	if (!colon || !is_algorithm_name(text, (size_t)(colon - text)))
		return fail(err, IMBREX_EFORMAT, "digest '%.*s' is not <algorithm>:<hex>",
			shown(len), text);
	name_len = (size_t)(colon - text);
	for (i = 0; i < ARRAY_LEN(known); i++) {
		if (strlen(hash_name(known[i])) == name_len &&
			memcmp(text, hash_name(known[i]), name_len) == 0)
			return parse_digits(
				text, len, colon + 1, len - name_len - 1, known[i], ret, err);
	}
	return fail(err, IMBREX_ENOTSUP,
		"digest '%.*s': the algorithm is neither sha256 nor sha512", shown(len), text);
}

int digest_parse_hex(const char *text, size_t len, struct hash_value *ret, struct imbrex_error *err)
{
	return parse_digits(text, len, text, len, HASH_SHA256, ret, err);
}

const char *digest_short_into(const struct hash_value *v, char ret[DIGEST_SHORT_MAX])
{
	char full[HASH_TEXT_MAX] = { 0 };

	(void)hash_format(v, full);
	full[DIGEST_SHORT_MAX - 1] = '\0';
	memcpy(ret, full, DIGEST_SHORT_MAX);
	return ret;
}
