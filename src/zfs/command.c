/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The road by zfs(8): one process for each operation, words but no shell, an environment of its
 * own.
 *
 * What it says on stderr becomes the message, whole, and a status as far as the words are known.
 */
#include <string.h>

#include "base/error.h"
#include "base/limits.h"
#include "os/proc.h"
#include "zfs/client.h"
#include "zfs/output.h"

#define COMPLAINT_BYTES 512

/* zfs(8) itself looks for helpers (keys, shares): not where the caller would have it look. */
static const char *const environment[] = { "LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL };

void zfs_trace_words(const struct zfs *z, const char *const *words, size_t n)
{
	if (z->trace && z->trace->fn)
		z->trace->fn(z->trace->ctx, words, n);
}

int zfs_command_properties(struct strv *words, const struct zfs_properties *props)
{
	size_t i;
	int r = 0;

	for (i = 0; r == 0 && props && i < props->n; i++) {
		r = strv_add(words, "-o");
		if (r == 0)
			r = strv_addf(words, "%s=%s", props->items[i].name, props->items[i].value);
	}
	return r;
}

static int complain(
	const struct zfs_command *c, int status, struct str *said, struct imbrex_error *err)
{
	const char *words = str_text(said);
	int len = (int)strcspn(words, "\n");
	int r = zfs_status_of_words(words);

	if (!len)
		return fail(err, IMBREX_EFAIL, "ZFS dataset '%s': %s %s ends with status %d",
			c->noun->text, c->pool ? "zpool" : "zfs", c->words->items[0], status);
	if (strstr(words, c->noun->text))
		(void)fail(err, r, "zfs: %.*s", len, words);
	else
		(void)fail(err, r, "ZFS dataset '%s': %.*s", c->noun->text, len, words);
	if (err && r == IMBREX_EBUSY && !zfs_no_waiting_helps(words))
		err->errnum = EBUSY;
	return r;
}

int zfs_command_run(struct zfs *z, const struct zfs_command *c, struct imbrex_error *err)
{
	const char *program = c->pool ? z->pool_program : z->program;
	AUTO_STR said = STR_INIT(COMPLAINT_BYTES);
	AUTO_FREE const char **argv = calloc(c->words->n + 2, sizeof(*argv));
	struct proc_spec spec = {
		.env = environment, .stdin_fd = c->stdin_fd, .stdout_fd = c->stdout_fd
	};
	size_t i;
	int status;
	int r;

	if (!argv)
		return fail_nomem(err);
	if (!program) {
		r = fail(err, IMBREX_ENOTSUP, "%s(8) is not installed", c->pool ? "zpool" : "zfs");
		return hint(err, r, "install zfsutils-linux");
	}
	argv[0] = program;
	for (i = 0; i < c->words->n; i++)
		argv[i + 1] = c->words->items[i];
	spec.argv = argv;
	zfs_trace_words(z, argv + 1, c->words->n);
	r = proc_hear(&spec, c->out, &said, &status, err);
	if (r < 0)
		return wrap(err, r, "ZFS dataset '%s'", c->noun->text);
	return status ? complain(c, status, &said, err) : 0;
}
