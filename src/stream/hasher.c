/* SPDX-License-Identifier: Apache-2.0 */
/* Hashing step by step: base/crypto.h with the errors of this module's tier. */
#include <assert.h>

#include "base/crypto.h"
#include "stream/digest.h"

struct hasher {
	struct crypto_hash *hash; /* owned */
	enum hash_algorithm algorithm;
};

static int explain(int r, const struct hasher *h, const char *what, struct imbrex_error *err)
{
	if (r == -ENOMEM)
		return fail_nomem(err);
	if (r == -ENOSYS)
		return fail(err, IMBREX_ENOTSUP, "%s", crypto_problem());
	return fail(err, IMBREX_EFAIL, "libcrypto failed to %s %s", what, hash_name(h->algorithm));
}

int hasher_new(enum hash_algorithm algorithm, struct hasher **ret, struct imbrex_error *err)
{
	AUTO_HASHER *h = calloc(1, sizeof(*h));
	int r;

	assert(algorithm == HASH_SHA256 || algorithm == HASH_SHA512);
	if (!h)
		return fail_nomem(err);
	h->algorithm = algorithm;
	r = crypto_hash_new(algorithm, &h->hash);
	if (r < 0)
		return explain(r, h, "start", err);
	*ret = take_ptr(h);
	return 0;
}

int hasher_update(struct hasher *h, const void *buf, size_t len, struct imbrex_error *err)
{
	int r = crypto_hash_update(h->hash, buf, len);

	return r < 0 ? explain(r, h, "go on with", err) : 0;
}

int hasher_final(struct hasher *h, struct hash_value *ret, struct imbrex_error *err)
{
	int r = crypto_hash_final(h->hash, ret);

	return r < 0 ? explain(r, h, "finish", err) : 0;
}

void hasher_free(struct hasher *h)
{
	if (!h)
		return;
	crypto_hash_free(h->hash);
	free(h);
}
