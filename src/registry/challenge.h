/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The WWW-Authenticate header: which ways to authenticate a server offers.
 *
 * challenges_parse* -> challenges_done. Plain values; one thread. Error tier: err.
 */
#ifndef REGISTRY_CHALLENGE_H
#define REGISTRY_CHALLENGE_H

#include <stddef.h>

#include "base/error.h"

/* More than any server sends; each is a few words. */
#define CHALLENGES_MAX       8
#define CHALLENGE_PARAMS_MAX 16

struct challenge_param {
	char *name;  /* owned; lower case */
	char *value; /* owned; quotes and escapes removed; printable ASCII and bytes >= 0x80 */
};

struct challenge {
	char *scheme; /* owned; lower case: "bearer", "basic", ... */
	char *token;  /* owned; token68 form ("Negotiate abc=="); NULL: none */
	struct challenge_param params[CHALLENGE_PARAMS_MAX];
	size_t n_params;
};

struct challenges {
	struct challenge items[CHALLENGES_MAX];
	size_t n;
};

void challenges_done(struct challenges *c);
#define AUTO_CHALLENGES __attribute__((cleanup(challenges_done))) struct challenges

/*
 * Append the challenges of one header value to `to` (which starts zeroed).
 *
 * Errors EFORMAT with the byte offset; ELIMIT beyond the two counts above or LIMIT_CHALLENGE_BYTES.
 *        `to` keeps what came before and may hold some of the new ones.
 * Source RFC 9110 section 11.6.1 and 5.6.
 */
int challenges_parse(
	struct challenges *to, const char *value, size_t len, struct imbrex_error *err) MUST_CHECK;

/* Value of the first parameter of that name (lower case), or NULL. Borrowed. */
const char *challenge_param(const struct challenge *c, const char *name);

#endif
