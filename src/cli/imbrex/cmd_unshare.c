/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unshare: a program in the caller's user namespace, where mounts of the store stay while it runs.
 */
#include <limits.h>
#include <stdio.h>

#include "base/error.h"
#include "base/str.h"
#include "cli/imbrex/verbs.h"

static int run(struct cli *c, const void *args)
{
	const char *shell = getenv("SHELL");
	char fallback[PATH_MAX];
	char *own[] = { fallback, NULL };
	char **argv = c->n_operands ? c->operands : own;
	unsigned int uid = getuid(), gid = getgid();
	struct imbrex_error err = { .status = 0 };
	int r;

	(void)args;
	if (c->was_root) {
		(void)fail(&err, IMBREX_EINVAL,
			"unshare is for unprivileged users: root needs no user namespace");
		return cli_fail(c, &err);
	}
	(void)snprintf(
		fallback, sizeof(fallback), "%s", shell && shell[0] == '/' ? shell : "/bin/sh");
	r = cli_enter_userns(c, &err);
	if (r >= 0)
		r = cli_mark_userns(uid, gid, &err);
	if (r < 0)
		return cli_fail(c, &err);
	(void)execvp(argv[0], argv);
	r = errno;
	(void)fail_code(&err, r, "execute '%s'", argv[0]);
	(void)cli_fail(c, &err);
	return r == ENOENT ? EXIT_RUN_NOT_FOUND : EXIT_RUN_NOT_EXECUTABLE;
}

const struct verb verb_unshare = {
	.name = "unshare",
	.operands = "[CMD [ARG...]]",
	.summary = "run a program, or a shell, in the user namespace of the store",
	.operands_max = UINT_MAX,
	.kind = OPERAND_PROGRAM,
	.rest_is_program = true,
	.failure = EXIT_RUN_FAILED,
	.run = run,
};
