/* SPDX-License-Identifier: Apache-2.0 */
/* version, info; and what this version leaves to others. */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "cli/enroot/enroot.h"

extern char **environ;

static int run_version(struct enroot *e)
{
	(void)puts(ENROOT_VERSION);
	return EXIT_SUCCESS;
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int run_info(struct enroot *e)
{
	AUTO_STRV names = { 0 };
	size_t i;

	for (i = 0; environ[i]; i++) {
		if (str_after(environ[i], "ENROOT_") && strv_add(&names, environ[i]) < 0)
			return enroot_error("out of memory");
	}
	if (names.n > 1)
		qsort(names.items, names.n, sizeof(names.items[0]), by_bytes);
	(void)printf("Enroot version: " ENROOT_VERSION "\nConfig file: %s/enroot.conf\n\n"
		     "Environment variables:\n",
		enroot_conf_dir());
	for (i = 0; i < names.n; i++)
		(void)printf("  %s\n", names.items[i]);
	return EXIT_SUCCESS;
}

static int run_other(struct enroot *e)
{
	return enroot_error("%s is not part of this version; 'imbrex run' and 'imbrex start' run "
			    "programs in containers",
		e->command->name);
}

const struct enroot_command info_commands[] = {
	{ "version", "", "Show the version", NULL, 0, UINT_MAX, run_version },
	{ "info", "", "Show settings", NULL, 0, 0, run_info },
	{ NULL },
};

const struct enroot_command other_commands[] = {
	{ "start", "", "Start a container (not part of this version)", NULL, 0, UINT_MAX,
		run_other },
	{ "exec", "", "Run in a container (not part of this version)", NULL, 0, UINT_MAX,
		run_other },
	{ "batch", "", "Start from a script (not part of this version)", NULL, 0, UINT_MAX,
		run_other },
	{ "bundle", "", "Make a bundle (not part of this version)", NULL, 0, UINT_MAX, run_other },
	{ NULL },
};
