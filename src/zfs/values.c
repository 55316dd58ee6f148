/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One property of many datasets by one command. Values are user's text and may hold anything, so
 * lines are read as they come and those that name nothing below the parent are passed over.
 */
#include <string.h>

#include "base/error.h"
#include "base/limits.h"
#include "zfs/client.h"

/* "PARENT/CHILD", or "PARENT/CHILD@SNAPSHOT" if those were asked for. */
static bool is_child(const char *name, const struct zfs_name *parent, bool of_snapshots)
{
	const char *rest = str_after(name, parent->text);
	const char *at = strchr(name, '@');

	return rest && *rest == '/' && rest[1] && rest[1] != '@' && !strpbrk(rest + 1, "/#%") &&
	       (at != NULL) == of_snapshots && (!at || (at[1] && !strchr(at + 1, '@')));
}

static int take_lines(char *text, const struct zfs_name *parent, bool of_snapshots, zfs_value_fn fn,
	void *ctx, struct imbrex_error *err)
{
	char *line;
	int r = 0;

	while (r == 0 && (line = strsep(&text, "\n")) != NULL) {
		char *tab = strchr(line, '\t');

		if (!tab)
			continue;
		*tab = '\0';
		if (strlen(line) < ZFS_NAME_BYTES && is_child(line, parent, of_snapshots))
			r = fn(ctx, line, tab + 1, err);
	}
	return r;
}

int zfs_values(struct zfs *z, const struct zfs_name *parent, bool of_snapshots,
	const char *property, zfs_value_fn fn, void *ctx, struct imbrex_error *err)
{
	const char *const fixed[] = { "get", "-Hp", "-r", "-d", of_snapshots ? "2" : "1", "-t",
		of_snapshots ? "snapshot" : "filesystem", "-oname,value", property, parent->text };
	AUTO_STR out = STR_INIT(LIMIT_ZFS_LIST_BYTES);
	AUTO_STRV words = { 0 };
	size_t i;
	int r = 0;

	for (i = 0; r == 0 && i < ARRAY_LEN(fixed); i++)
		r = strv_add(&words, fixed[i]);
	if (r < 0)
		return fail_nomem(err);
	r = zfs_command_run(
		z, &(struct zfs_command){ .words = &words, .noun = parent, .out = &out }, err);
	if (r < 0 || !out.len)
		return r;
	return take_lines(out.data, parent, of_snapshots, fn, ctx, err);
}
