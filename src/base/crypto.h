/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hash functions of libcrypto, loaded on first use: linking it costs every command 1.5 ms of
 * start-up, and create, list and run hash nothing (docs/decisions). The only home of libcrypto.
 *
 * new -> update* -> final -> free. One thread per context; loading is safe from any.
 * Leaf tier: -ENOSYS if libcrypto or the algorithm is missing (crypto_problem() says why), -EIO.
 */
#ifndef BASE_CRYPTO_H
#define BASE_CRYPTO_H

#include <stddef.h>

#include "base/hash.h"
#include "base/macros.h"

struct crypto_hash;

int crypto_hash_new(enum hash_algorithm algorithm, struct crypto_hash **ret) MUST_CHECK;
int crypto_hash_update(struct crypto_hash *h, const void *data, size_t len) MUST_CHECK;
int crypto_hash_final(struct crypto_hash *h, struct hash_value *ret) MUST_CHECK;
void crypto_hash_free(struct crypto_hash *h);
DEFINE_CLEANUP(crypto_hash, struct crypto_hash, crypto_hash_free)
#define AUTO_CRYPTO_HASH AUTO(crypto_hash) struct crypto_hash

/* Why loading failed; "" if it did not. Static storage. */
const char *crypto_problem(void);

#endif
