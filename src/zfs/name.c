/* SPDX-License-Identifier: Apache-2.0 */
/* Names of datasets and snapshots; see the header. */
#include "zfs/name.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/limits.h"
#include "base/str.h"

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_word_char(char c)
{
	return is_letter(c) || (c >= '0' && c <= '9') || (c && strchr("-_.: ", c));
}

/* What is wrong with it; NULL: nothing. */
static const char *component_fault(const char *at, size_t len)
{
	size_t i;

	if (len == 0)
		return "a component is empty";
	if (len <= 2 && strncmp(at, "..", len) == 0)
		return "'.' and '..' are no components";
	if (at[0] == ' ' || at[len - 1] == ' ')
		return "a component begins or ends with a space";
	for (i = 0; i < len; i++)
		if (!is_word_char(at[i]))
			return "a character is not allowed";
	return NULL;
}

static int refuse(const char *text, const char *why, struct imbrex_error *err)
{
	return fail(err, IMBREX_EINVAL, "'%.300s' is no name of a ZFS dataset: %s", text, why);
}

static int check_length(const char *text, struct imbrex_error *err)
{
	if (strlen(text) < ZFS_NAME_BYTES)
		return 0;
	return fail(err, IMBREX_ELIMIT, "ZFS dataset '%.300s': a name has at most %d bytes", text,
		ZFS_NAME_BYTES - 1);
}

int zfs_name_dataset(struct zfs_name *ret, const char *text, struct imbrex_error *err)
{
	const char *at = text;
	unsigned int depth = 0;
	const char *why;
	int r;

	r = check_length(text, err);
	if (r < 0)
		return r;
	if (!is_letter(text[0]))
		return refuse(text, "a pool begins with a letter", err);
	for (;;) {
		size_t len = strcspn(at, "/");

		why = component_fault(at, len);
		if (why)
			return refuse(text, why, err);
		at += len;
		if (!*at)
			break;
		at++;
		if (++depth >= LIMIT_ZFS_DEPTH)
			return fail(err, IMBREX_ELIMIT, "ZFS dataset '%s' is nested deeper than %u",
				text, LIMIT_ZFS_DEPTH);
	}
	(void)snprintf(ret->text, sizeof(ret->text), "%s", text);
	return 0;
}

static int append(struct zfs_name *ret, const struct zfs_name *to, char between,
	const char *component, struct imbrex_error *err)
{
	AUTO_FREE char *text = format_text("%s%c%s", to->text, between, component);
	const char *why;
	int r;

	if (!text)
		return fail_nomem(err);
	if (zfs_name_is_snapshot(to))
		return refuse(text, "nothing lies below a snapshot", err);
	why = component_fault(component, strlen(component));
	if (why)
		return refuse(text, why, err);
	r = check_length(text, err);
	if (r == 0)
		(void)snprintf(ret->text, sizeof(ret->text), "%s", text);
	return r;
}

int zfs_name_child(struct zfs_name *ret, const struct zfs_name *parent, const char *component,
	struct imbrex_error *err)
{
	return append(ret, parent, '/', component, err);
}

int zfs_name_snapshot(struct zfs_name *ret, const struct zfs_name *dataset, const char *component,
	struct imbrex_error *err)
{
	return append(ret, dataset, '@', component, err);
}

bool zfs_name_is_snapshot(const struct zfs_name *name)
{
	return strchr(name->text, '@') != NULL;
}

const char *zfs_name_below(const char *name, const struct zfs_name *parent)
{
	const char *rest = str_after(name, parent->text);

	return rest && *rest == '/' && rest[1] && !strpbrk(rest + 1, "/@#%") ? rest + 1 : NULL;
}
