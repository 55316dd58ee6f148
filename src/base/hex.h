/* SPDX-License-Identifier: Apache-2.0 */
/* Hexadecimal, base64 and random names. Leaf tier: 0 or -errno. */
#ifndef BASE_HEX_H
#define BASE_HEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"

/* Lower-case hex of `len` bytes plus NUL: ret must hold 2 * len + 1. */
void hex_encode(const void *data, size_t len, char *ret);
/* Exactly 2 * len lower-case digits, nothing else; -EINVAL otherwise. */
int hex_decode(const char *text, size_t text_len, void *ret, size_t len) MUST_CHECK;
bool hex_is_lower(const char *text, size_t len);

/* Standard alphabet with padding. Output sizes: */
#define BASE64_ENCODED_LEN(n) ((((n) + 2) / 3) * 4)
/* Returns characters written (no NUL). */
size_t base64_encode(const void *data, size_t len, char *ret);
/* Strict: padding required, no white space. ret must hold text_len / 4 * 3. -EINVAL if malformed.
 */
int base64_decode(const char *text, size_t text_len, void *ret, size_t *ret_len) MUST_CHECK;

/* Random bytes from the kernel; -errno. The one place randomness enters; tests replace it. */
int random_bytes(void *ret, size_t len) MUST_CHECK;
/* 64 hex digits plus NUL, never with a decimal-only first 12 (containers/storage's rule). */
#define ID_HEX_LEN 64
int random_id(char ret[ID_HEX_LEN + 1]) MUST_CHECK;
/* 26 characters of base32 plus NUL: the name of a layer's link in overlay/l. */
#define LINK_NAME_LEN 26
int random_link_name(char ret[LINK_NAME_LEN + 1]) MUST_CHECK;
/* Ten random decimal digits plus NUL: suffix of temporary names. */
int random_digits(char ret[11]) MUST_CHECK;
/* ^[a-f0-9]{64}$ */
bool id_is_valid(const char *text);

#endif
