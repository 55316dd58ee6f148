/* SPDX-License-Identifier: Apache-2.0 */
/* Whose an option is stands before its first dot. */
#include "cli/storage/driveropt.h"

#include <string.h>
#include <strings.h>

#include "base/error.h"
#include "base/str.h"

static const char *const drivers[] = { "overlay", "overlay2", "vfs", "btrfs", "zfs" };

/* Does a key of `len` bytes belong to a driver, and not to this one? */
static bool is_foreign(const char *key, size_t len, const char *driver)
{
	const char *dot = memchr(key, '.', len);
	size_t prefix = dot ? (size_t)(dot - key) : 0;
	size_t i;

	if (strlen(driver) == prefix && strncasecmp(key, driver, prefix) == 0)
		return false;
	/* overlay2 is overlay. */
	if (str_after(driver, "overlay") && strncasecmp(key, "overlay", MIN(prefix, 7u)) == 0)
		return false;
	for (i = 0; i < ARRAY_LEN(drivers); i++) {
		if (strlen(drivers[i]) == prefix && strncasecmp(key, drivers[i], prefix) == 0)
			return true;
	}
	return false;
}

static int check_one(const char *driver, const char *option, struct imbrex_error *err)
{
	const char *equals = strchr(option, '=');
	size_t len = equals ? (size_t)(equals - option) : 0;
	const char *bare = len > 4 && strncasecmp(option, "vfs.", 4) == 0 ? option + 4 : option;

	if (!equals)
		return fail(err, IMBREX_EINVAL, "unable to parse key/value option: %s", option);
	if (str_eq(driver, "vfs") && strncasecmp(bare, "mountopt=", 9) == 0)
		return fail(err, IMBREX_EINVAL, "vfs driver does not support mount options");
	if (!is_foreign(option, len, driver))
		return 0;
	if (str_eq(driver, "vfs"))
		return fail(err, IMBREX_EINVAL, "vfs driver does not support %.*s options",
			(int)len, option);
	return fail(err, IMBREX_EINVAL, "%s: unknown option %.*s", driver, (int)len, option);
}

int driveropt_check(const char *driver, const struct flag_list *options, struct imbrex_error *err)
{
	size_t i;
	int r;

	for (i = 0; driver && *driver && i < options->n; i++) {
		r = check_one(driver, options->items[i], err);
		if (r < 0)
			return r;
	}
	return 0;
}
