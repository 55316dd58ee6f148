/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A computed or expected digest as raw bytes: the one type for blob, diff and configuration
 * digests. Text ("sha256:...") is parsed and printed by oci/digest.h; streams are hashed by
 * stream/digest.h. Values are plain and may be copied; all-zero means "none".
 * Leaf tier: 0 or -errno.
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"

enum hash_algorithm {
	HASH_NONE = 0, /* no digest known */
	HASH_SHA256 = 1,
	HASH_SHA512 = 2,
};

#define HASH_LEN_MAX 64
/* Hex of the longest hash plus NUL. */
#define HASH_HEX_MAX (2 * HASH_LEN_MAX + 1)
/* "sha512:" plus hex plus NUL. */
#define HASH_TEXT_MAX (7 + HASH_HEX_MAX)

struct hash_value {
	enum hash_algorithm algorithm; /* HASH_NONE: no digest, bytes are zero */
	uint8_t bytes[HASH_LEN_MAX];   /* the first hash_len() are the hash, the rest zero */
};

/* Bytes of one hash; 0 for HASH_NONE and for anything that is not an algorithm. */
size_t hash_len(enum hash_algorithm algorithm);
/* "sha256", "sha512" or "none". Static storage. */
const char *hash_name(enum hash_algorithm algorithm);
/* True if both are set and the same. Two absent digests are not equal. */
bool hash_equal(const struct hash_value *a, const struct hash_value *b);
static inline bool hash_is_set(const struct hash_value *v)
{
	return v->algorithm != HASH_NONE;
}
/* "<algorithm>:<lower-case hex>" plus NUL; "" if not set. Returns ret, for use in messages. */
const char *hash_format(const struct hash_value *v, char ret[HASH_TEXT_MAX]);
/* Hex alone plus NUL; "" if not set. Returns ret. */
const char *hash_hex(const struct hash_value *v, char ret[HASH_HEX_MAX]);

/* Hash `len` bytes at once. -EINVAL for an unknown algorithm, -EIO if libcrypto refuses. */
int hash_bytes(enum hash_algorithm algorithm, const void *data, size_t len,
	struct hash_value *ret) MUST_CHECK;

#endif
