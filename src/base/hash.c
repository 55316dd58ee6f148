/* SPDX-License-Identifier: Apache-2.0 */
/* Digest values; see the header. Whole-buffer hashing only; streams have base/crypto.h. */
#include "base/hash.h"

#include <string.h>

#include "base/crypto.h"
#include "base/hex.h"

size_t hash_len(enum hash_algorithm algorithm)
{
	switch (algorithm) {
	case HASH_SHA256:
		return 32;
	case HASH_SHA512:
		return 64;
	case HASH_NONE:
		return 0;
	}
	return 0;
}

const char *hash_name(enum hash_algorithm algorithm)
{
	switch (algorithm) {
	case HASH_SHA256:
		return "sha256";
	case HASH_SHA512:
		return "sha512";
	case HASH_NONE:
		return "none";
	}
	return "none";
}

bool hash_equal(const struct hash_value *a, const struct hash_value *b)
{
	size_t len = hash_len(a->algorithm);

	return len && a->algorithm == b->algorithm && memcmp(a->bytes, b->bytes, len) == 0;
}

const char *hash_hex(const struct hash_value *v, char ret[HASH_HEX_MAX])
{
	hex_encode(v->bytes, hash_len(v->algorithm), ret);
	return ret;
}

const char *hash_format(const struct hash_value *v, char ret[HASH_TEXT_MAX])
{
	size_t name_len;

	ret[0] = '\0';
	if (!hash_len(v->algorithm))
		return ret;
	name_len = strlen(hash_name(v->algorithm));
	memcpy(ret, hash_name(v->algorithm), name_len);
	ret[name_len] = ':';
	(void)hash_hex(v, ret + name_len + 1);
	return ret;
}

int hash_bytes(enum hash_algorithm algorithm, const void *data, size_t len, struct hash_value *ret)
{
	AUTO_CRYPTO_HASH *h = NULL;
	int r;

	r = crypto_hash_new(algorithm, &h);
	if (r == 0)
		r = crypto_hash_update(h, data, len);
	return r < 0 ? r : crypto_hash_final(h, ret);
}
