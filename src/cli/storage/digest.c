/* SPDX-License-Identifier: Apache-2.0 */
/* "sha256:", and as many digits as that takes. */
#include "cli/storage/digest.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/error.h"
#include "base/hex.h"

#define LOWER   "abcdefghijklmnopqrstuvwxyz0123456789"
#define ENCODED LOWER "ABCDEFGHIJKLMNOPQRSTUVWXYZ=_-"

static const struct {
	const char *name;
	size_t digits;
} algorithms[] = { { "sha256:", 64 }, { "sha384:", 96 }, { "sha512:", 128 } };

/* Words of lower-case letters and digits with one of ".+_-" between, a colon, something. */
static bool is_digest_like(const char *s)
{
	size_t n;

	for (;; s++) {
		n = strspn(s, LOWER);
		if (!n)
			return false;
		s += n;
		if (*s == ':')
			break;
		if (!*s || !strchr(".+_-", *s))
			return false;
	}
	n = strspn(s + 1, ENCODED);
	return n && !s[1 + n];
}

int digest_check(const char *text, struct imbrex_error *err)
{
	const char *encoded;
	size_t i;

	for (i = 0; i < ARRAY_LEN(algorithms); i++) {
		if (strncmp(text, algorithms[i].name, strlen(algorithms[i].name)) != 0)
			continue;
		encoded = text + strlen(algorithms[i].name);
		if (*encoded && strlen(encoded) != algorithms[i].digits)
			return fail(err, IMBREX_EINVAL, "invalid checksum digest length");
		if (!*encoded || !hex_is_lower(encoded, algorithms[i].digits))
			return fail(err, IMBREX_EINVAL, "invalid checksum digest format");
		return 0;
	}
	return fail(err, IMBREX_EINVAL,
		is_digest_like(text) ? "unsupported digest algorithm"
				     : "invalid checksum digest format");
}
