/* SPDX-License-Identifier: Apache-2.0 */
/* Splitting of driver options; each driver has its own table of keys. */
#include "driver/options.h"

#include <ctype.h>
#include <string.h>

#include "base/error.h"
#include "base/str.h"

/* Drivers that a prefix may name, whether this build has them or not. overlay2 is overlay. */
static const char *const known_drivers[] = { "overlay", "overlay2", "vfs", "btrfs", "zfs" };

int option_split(
	const char *text, const char *driver, struct driver_option *ret, struct imbrex_error *err)
{
	const char *eq = strchr(text, '=');
	const char *dot;
	size_t i, n, prefix = 0;
	char name[DRIVER_OPTION_KEY_BYTES];

	n = eq ? (size_t)(eq - text) : strlen(text);
	if (!eq || n == 0 || n >= sizeof(name))
		return fail(err, IMBREX_EINVAL, "storage option '%s' is not of the form key=value",
			text);
	for (i = 0; i < n; i++)
		name[i] = (char)tolower((unsigned char)text[i]);
	name[n] = 0;
	dot = strchr(name, '.');
	if (dot) {
		prefix = (size_t)(dot - name) + 1;
		name[prefix - 1] = 0;
		for (i = 0; i < ARRAY_LEN(known_drivers); i++)
			if (str_eq(known_drivers[i], name))
				break;
		if (i == ARRAY_LEN(known_drivers))
			return fail(err, IMBREX_EINVAL,
				"storage option '%s': there is no driver '%s'", text, name);
		if (!str_eq(name, driver) &&
			!(str_eq(name, "overlay2") && str_eq(driver, "overlay")))
			return 0;
	}
	memcpy(ret->key, name + prefix, n + 1 - prefix);
	ret->value = eq + 1;
	return 1;
}

int option_bool(const char *name, const char *value, bool *ret, struct imbrex_error *err)
{
	static const struct {
		const char *text;
		bool value;
	} words[] = { { "1", true }, { "t", true }, { "T", true }, { "TRUE", true },
		{ "true", true }, { "True", true }, { "0", false }, { "f", false }, { "F", false },
		{ "FALSE", false }, { "false", false }, { "False", false } };
	size_t i;

	for (i = 0; i < ARRAY_LEN(words); i++) {
		if (str_eq(words[i].text, value)) {
			*ret = words[i].value;
			return 0;
		}
	}
	return fail(err, IMBREX_EINVAL, "option %s: '%s' is neither true nor false", name, value);
}
