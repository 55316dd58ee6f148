/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another machine, reached by ssh: a URI, and one command there.
 *
 * ssh(1) is started by its absolute path, without a shell here. There a shell reads the command, so
 * every word is checked to need no quotes, or has them. Threading: no state. Errors: err.
 */
#ifndef TEMPLATE_PEER_H
#define TEMPLATE_PEER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/macros.h"
#include "base/str.h"
#include "base/strv.h"
#include "imbrex/error.h"
#include "imbrex/transfer.h"

/* zfs://[USER@]HOST[:PORT][/NAME] */
struct peer {
	char *uri;    /* owned; as given */
	char *target; /* owned; "user@host", "host" */
	char *name;   /* owned; of a container; "" if none */
	char port[6]; /* "" if none */
};
/* EINVAL: "Invalid zfs:// URI: …" */
int peer_parse(const char *uri, struct peer *ret, struct imbrex_error *err) MUST_CHECK;
void peer_done(struct peer *p);
#define AUTO_PEER __attribute__((cleanup(peer_done))) struct peer

/* A name of a container as another machine's command line may have it. */
bool peer_name_is_valid(const char *name);

struct peer_call {
	const struct strv *words; /* behind the program: "export", "--zfs-send", … */
	struct str *out;          /* NULL: not read */
	int stdin_fd, stdout_fd;  /* > 0: passed on */
};
/* EFAIL with what was said there: "ssh transport failed for URI: …". */
int peer_run(const struct peer *p, const struct imbrex_transfer_opts *opts,
	const struct peer_call *call, struct imbrex_error *err) MUST_CHECK;

#endif
