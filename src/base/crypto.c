/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libcrypto by dlopen, see the header. Its library is never unloaded: its own threads and exit
 * handlers may outlive any point we could choose. Algorithms are fetched once, because an implicit
 * fetch at each start costs more than hashing a small document.
 */
#include "base/crypto.h"

#include <dlfcn.h>
#include <errno.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define CRYPTO_LIBRARY "libcrypto.so.3"

struct crypto_hash {
	EVP_MD_CTX *ctx; /* owned */
	enum hash_algorithm algorithm;
};

static struct {
	__typeof__(EVP_MD_fetch) *fetch;
	__typeof__(EVP_MD_CTX_new) *ctx_new;
	__typeof__(EVP_MD_CTX_free) *ctx_free;
	__typeof__(EVP_DigestInit_ex2) *init;
	__typeof__(EVP_DigestUpdate) *update;
	__typeof__(EVP_DigestFinal_ex) *final;
} api; /* immutable after the once */

static EVP_MD *fetched[HASH_SHA512 + 1]; /* likewise; NULL: no such algorithm */
static char problem[256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void load(void)
{
	void *library = dlopen(CRYPTO_LIBRARY, RTLD_NOW | RTLD_LOCAL);

	if (!library) {
		(void)snprintf(
			problem, sizeof(problem), "cannot load %s: %s", CRYPTO_LIBRARY, dlerror());
		return;
	}
	api.fetch = (__typeof__(api.fetch))dlsym(library, "EVP_MD_fetch");
	api.ctx_new = (__typeof__(api.ctx_new))dlsym(library, "EVP_MD_CTX_new");
	api.ctx_free = (__typeof__(api.ctx_free))dlsym(library, "EVP_MD_CTX_free");
	api.init = (__typeof__(api.init))dlsym(library, "EVP_DigestInit_ex2");
	api.update = (__typeof__(api.update))dlsym(library, "EVP_DigestUpdate");
	api.final = (__typeof__(api.final))dlsym(library, "EVP_DigestFinal_ex");
	if (!api.fetch || !api.ctx_new || !api.ctx_free || !api.init || !api.update || !api.final) {
		(void)snprintf(problem, sizeof(problem), "%s is not OpenSSL 3", CRYPTO_LIBRARY);
		return;
	}
	fetched[HASH_SHA256] = api.fetch(NULL, "SHA2-256", NULL);
	fetched[HASH_SHA512] = api.fetch(NULL, "SHA2-512", NULL);
	if (!fetched[HASH_SHA256] || !fetched[HASH_SHA512])
		(void)snprintf(problem, sizeof(problem), "%s offers no SHA-256 or SHA-512",
			CRYPTO_LIBRARY);
}

const char *crypto_problem(void)
{
	(void)pthread_once(&once, load);
	return problem;
}

int crypto_hash_new(enum hash_algorithm algorithm, struct crypto_hash **ret)
{
	AUTO_CRYPTO_HASH *h = NULL;

	if (algorithm != HASH_SHA256 && algorithm != HASH_SHA512)
		return -EINVAL;
	if (*crypto_problem())
		return -ENOSYS;
	h = calloc(1, sizeof(*h));
	if (!h)
		return -ENOMEM;
	h->algorithm = algorithm;
	h->ctx = api.ctx_new();
	if (!h->ctx)
		return -ENOMEM;
	if (api.init(h->ctx, fetched[algorithm], NULL) != 1)
		return -EIO;
	*ret = take_ptr(h);
	return 0;
}

int crypto_hash_update(struct crypto_hash *h, const void *data, size_t len)
{
	return api.update(h->ctx, data, len) == 1 ? 0 : -EIO;
}

int crypto_hash_final(struct crypto_hash *h, struct hash_value *ret)
{
	struct hash_value value = { .algorithm = h->algorithm };
	unsigned int len = 0;

	if (api.final(h->ctx, value.bytes, &len) != 1 || len != hash_len(h->algorithm))
		return -EIO;
	*ret = value;
	return 0;
}

void crypto_hash_free(struct crypto_hash *h)
{
	if (!h)
		return;
	if (h->ctx)
		api.ctx_free(h->ctx);
	free(h);
}
