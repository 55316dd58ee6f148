/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Digest text of the OCI image specification ("sha256:<hex>") to and from struct hash_value.
 * A digest is parsed once, where it enters, before any path or URL is built from it.
 * Threading: pure functions. Error tier: err.
 */
#ifndef OCI_DIGEST_H
#define OCI_DIGEST_H

#include "base/error.h"
#include "base/hash.h"

#define DIGEST_TEXT_MAX  HASH_TEXT_MAX
#define DIGEST_SHORT_MAX 20 /* "sha256:" and 12 digits, plus NUL */

/*
 * "<algorithm>:<hex>": sha256 with 64 or sha512 with 128 lower-case digits, nothing else.
 *
 * Errors ENOTSUP for another algorithm, EFORMAT for everything else; both name the text
 * Source OCI image-spec descriptor.md, "Digests"
 */
int digest_parse(
	const char *text, size_t len, struct hash_value *ret, struct imbrex_error *err) MUST_CHECK;
/* The 64 digits of a sha256 alone, as image and layer ids write it. */
int digest_parse_hex(
	const char *text, size_t len, struct hash_value *ret, struct imbrex_error *err) MUST_CHECK;

const char *digest_short_into(const struct hash_value *v, char ret[DIGEST_SHORT_MAX]);
/* "sha256:ab12cd34ef56" for messages; valid to the end of the enclosing block. */
#define digest_short(v) digest_short_into((v), (char[DIGEST_SHORT_MAX]){ 0 })
/* "sha256:<all digits>"; valid to the end of the enclosing block. */
#define digest_text(v) hash_format((v), (char[DIGEST_TEXT_MAX]){ 0 })
/* The digits alone; valid to the end of the enclosing block. */
#define digest_hex(v) hash_hex((v), (char[HASH_HEX_MAX]){ 0 })

#endif
