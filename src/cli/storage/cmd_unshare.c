/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unshare: a program, or a shell, where the store's files belong to whom the images say. Its exit
 * status is not passed on: upstream says "exit status 3" and fails.
 */
#include <ctype.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>

#include "base/error.h"
#include "cli/storage/storage.h"
#include "cli/storage/text.h"

static int not_started(const char *program, int errnum, struct imbrex_error *err)
{
	AUTO_STR quoted = STR_INIT(IMBREX_ERROR_MESSAGE_MAX);
	char buf[80];

	(void)!text_quote(&quoted, program); /* a longer one is cut in the message anyway */
	/* Of a bare name all of PATH was tried, and a folder of it may be closed to us. */
	if ((errnum == ENOENT || errnum == EACCES) && !strchr(program, '/'))
		return fail(err, IMBREX_ENOENT, "exec: %s: executable file not found in $PATH",
			str_text(&quoted));
	return fail(
		err, status_of_errno(errnum), "fork/exec %s: %s", program, text_errno(errnum, buf));
}

static int how_it_ended(int status, struct imbrex_error *err)
{
	const char *name;

	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return EXIT_SUCCESS;
	if (WIFEXITED(status))
		return fail(err, IMBREX_EFAIL, "exit status %d", WEXITSTATUS(status));
	name = sigdescr_np(WTERMSIG(status));
	if (!name)
		name = "unknown";
	return fail(err, IMBREX_EFAIL, "signal: %c%s", tolower((unsigned char)*name), name + 1);
}

static int run_unshare(struct plumbing *p, struct imbrex_error *err)
{
	const char *shell = getenv("SHELL");
	AUTO_FREE char *program = strdup(shell && *shell ? shell : "/bin/sh");
	char *own[] = { program, NULL };
	char **argv = p->n_args ? p->args : own;
	int status, r;
	pid_t child;

	if (!program)
		return fail_nomem(err);
	r = cli_enter_userns(p->cli, err);
	if (r == 0)
		r = p->cli->was_root ? 0 : cli_mark_userns(p->uid, p->gid, err);
	if (r < 0)
		return r;
	(void)fflush(stdout);
	r = posix_spawnp(&child, argv[0], NULL, NULL, argv, environ);
	if (r != 0)
		return not_started(argv[0], r, err);
	while (waitpid(child, &status, 0) < 0) {
		if (errno != EINTR)
			return fail_errno(err, "wait for %s", argv[0]);
	}
	return how_it_ended(status, err);
}

const struct command unshare_commands[] = {
	{
		.name = "unshare",
		.operands = "[command [...]]",
		.summary = "Run a command in a user namespace",
		.operands_max = UINT_MAX,
		.no_store = true,
		.run = run_unshare,
	},
	{ NULL },
};
