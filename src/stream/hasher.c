/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hashing step by step by libcrypto. The algorithms are fetched once per process: an
 * implicit fetch on each init costs more than hashing a small document.
 */
#include <assert.h>
#include <openssl/evp.h>
#include <pthread.h>

#include "stream/digest.h"

struct hasher {
	EVP_MD_CTX *ctx; /* owned */
	enum hash_algorithm algorithm;
};

/* Names of libcrypto's providers. */
static const char *const fetch_names[] = {
	[HASH_SHA256] = "SHA2-256",
	[HASH_SHA512] = "SHA2-512",
};

/* Immutable after the once; NULL where libcrypto has no such algorithm. */
static EVP_MD *fetched[ARRAY_LEN(fetch_names)];
static pthread_once_t fetch_once = PTHREAD_ONCE_INIT;

static void fetch_all(void)
{
	size_t i;

	for (i = HASH_SHA256; i < ARRAY_LEN(fetch_names); i++)
		fetched[i] = EVP_MD_fetch(NULL, fetch_names[i], NULL);
}

int hasher_new(enum hash_algorithm algorithm, struct hasher **ret, struct imbrex_error *err)
{
	AUTO_HASHER *h = NULL;

	assert(algorithm != HASH_NONE && algorithm < ARRAY_LEN(fetch_names));
	(void)pthread_once(&fetch_once, fetch_all); /* fails for invalid arguments only */
	if (!fetched[algorithm])
		return fail(err, IMBREX_ENOTSUP, "libcrypto offers no %s", fetch_names[algorithm]);
	h = calloc(1, sizeof(*h));
	if (!h)
		return fail_nomem(err);
	h->algorithm = algorithm;
	h->ctx = EVP_MD_CTX_new();
	if (!h->ctx)
		return fail_nomem(err);
	if (EVP_DigestInit_ex2(h->ctx, fetched[algorithm], NULL) != 1)
		return fail(err, IMBREX_EFAIL, "libcrypto cannot start %s", fetch_names[algorithm]);
	*ret = take_ptr(h);
	return 0;
}

int hasher_update(struct hasher *h, const void *buf, size_t len, struct imbrex_error *err)
{
	if (EVP_DigestUpdate(h->ctx, buf, len) != 1)
		return fail(err, IMBREX_EFAIL, "libcrypto failed to hash %zu bytes", len);
	return 0;
}

int hasher_final(struct hasher *h, struct hash_value *ret, struct imbrex_error *err)
{
	struct hash_value value = { .algorithm = h->algorithm };
	unsigned int len = 0;

	if (EVP_DigestFinal_ex(h->ctx, value.bytes, &len) != 1)
		return fail(err, IMBREX_EFAIL, "libcrypto failed to finish %s",
			fetch_names[h->algorithm]);
	assert(len == hash_len(h->algorithm));
	*ret = value;
	return 0;
}

void hasher_free(struct hasher *h)
{
	if (!h)
		return;
	EVP_MD_CTX_free(h->ctx);
	free(h);
}
