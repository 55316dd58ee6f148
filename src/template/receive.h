/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream becomes a template: hashed, followed and received in one pass, named when the hash is
 * known.
 *
 *   STORE/.transfers/WORD   what has come so far, under the lock of that name
 *   STORE/.templates/KEY    the SHA-256 of the stream
 *
 * Of a stream that was cut, what came is kept for a day if it may go on: ZFS has the token. Errors:
 * err.
 */
#ifndef TEMPLATE_RECEIVE_H
#define TEMPLATE_RECEIVE_H

#include "base/hex.h"
#include "template/store.h"

struct receive_job {
	int fd;           /* the bytes; borrowed */
	const char *word; /* the same for every try of one transfer; NULL: it cannot go on */
	/* All bytes have come: is whoever sent them content? May be NULL. */
	int (*at_end)(void *ctx, struct imbrex_error *err);
	void *ctx;
	bool begun; /* set: it was a stream, and one that is taken */
};
int receive_template(struct imbrex_templates *t, struct receive_job *job,
	char ret_key[ID_HEX_LEN + 1], struct imbrex_error *err) MUST_CHECK;

/* The token of what came of a transfer so far; NULL: nothing that could go on. ret: free(). */
int receive_token(struct imbrex_templates *t, const char *word, char **ret,
	struct imbrex_error *err) MUST_CHECK;
/* It will not go on. */
int receive_forget(
	struct imbrex_templates *t, const char *word, struct imbrex_error *err) MUST_CHECK;
/* What is older than a day, or of no use, goes. */
int receive_sweep(struct imbrex_templates *t, struct imbrex_error *err) MUST_CHECK;

#endif
