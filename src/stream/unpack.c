/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The common half of the decompressing stages. Output is collected to whole blocks, because the
 * stages behind hash and parse big blocks best; the guard runs before a block is handed on.
 *
 * No guard below LIMIT_EXPANSION_RATIO: honest layers hold gigabytes of zeros, which deflate packs
 * close to its maximum of 1032:1, so for gzip only LIMIT_LAYER_BYTES can tell a bomb. The ratio
 * stops the formats without such a maximum.
 */
#include "stream/unpack.h"

#include <inttypes.h>

#include "base/limits.h"

/* CPU time is the same within noise from 128 KiB to 1 MiB: small for memory, large for hashing. */
#define UNPACK_BLOCK_BYTES (256u * 1024u)
/* Small things may be all zeros. */
#define UNGUARDED_BYTES (64u * 1024u * 1024u)

int expansion_check(
	const char *format, uint64_t in_bytes, uint64_t out_bytes, struct imbrex_error *err)
{
	if (out_bytes > LIMIT_LAYER_BYTES)
		return fail(err, IMBREX_ELIMIT, "%s stream expands beyond the limit of %llu bytes",
			format, LIMIT_LAYER_BYTES);
	if (out_bytes > UNGUARDED_BYTES && out_bytes / LIMIT_EXPANSION_RATIO > in_bytes)
		return fail(err, IMBREX_ELIMIT,
			"%s stream expands %" PRIu64 " bytes to %" PRIu64
			", more than the limit of %u to 1",
			format, in_bytes, out_bytes, LIMIT_EXPANSION_RATIO);
	return 0;
}

static int flush(struct unpack *u, struct imbrex_error *err)
{
	size_t len = u->n_block;

	u->n_block = 0;
	return sink_write(u->next, u->block, len, err);
}

int unpack_init(
	struct unpack *u, const struct sink_ops *ops, const char *format, struct imbrex_error *err)
{
	u->block = malloc(UNPACK_BLOCK_BYTES);
	if (!u->block)
		return fail_nomem(err);
	u->sink.ops = ops;
	u->format = format;
	return 0;
}

void unpack_done(struct unpack *u)
{
	sink_free(u->next);
	free(u->block);
}

int unpack_room(struct unpack *u, uint8_t **ret, size_t *ret_len, struct imbrex_error *err)
{
	int r;

	if (u->n_block == UNPACK_BLOCK_BYTES) {
		r = flush(u, err);
		if (r < 0)
			return r;
	}
	*ret = u->block + u->n_block;
	*ret_len = UNPACK_BLOCK_BYTES - u->n_block;
	return 0;
}

int unpack_advance(
	struct unpack *u, size_t consumed_bytes, size_t produced_bytes, struct imbrex_error *err)
{
	u->in_bytes += consumed_bytes;
	u->n_block += produced_bytes;
	u->out_bytes += produced_bytes;
	return expansion_check(u->format, u->in_bytes, u->out_bytes, err);
}

int unpack_finish(struct unpack *u, struct imbrex_error *err)
{
	int r;

	r = flush(u, err);
	if (r < 0)
		return r;
	return sink_finish(u->next, err);
}
