/* SPDX-License-Identifier: Apache-2.0 */
/* Cleaning of names and decoding of whiteouts; see the header. One pass each, O(length). */
#include "format/tar/path.h"

#include <stdbool.h>
#include <string.h>

#include "base/str.h"

#define WHITEOUT_PREFIX ".wh."
#define META_PREFIX     WHITEOUT_PREFIX WHITEOUT_PREFIX
#define OPAQUE_NAME     META_PREFIX ".opq"

/* Drop the last component of ret[0..*len). The number of components is kept by the caller. */
static void pop(const char *ret, size_t *len)
{
	while (*len && ret[*len - 1] != '/')
		(*len)--;
	if (*len)
		(*len)--;
}

static int push(char *ret, size_t *len, const char *part, size_t part_len, struct imbrex_error *err)
{
	if (part_len > LIMIT_NAME_BYTES)
		return fail(err, IMBREX_ELIMIT, "a path component of %zu bytes is longer than %d",
			part_len, LIMIT_NAME_BYTES);
	if (*len + (*len > 0) + part_len > LIMIT_PATH_BYTES)
		return fail(
			err, IMBREX_ELIMIT, "the path is longer than %d bytes", LIMIT_PATH_BYTES);
	if (*len)
		ret[(*len)++] = '/';
	memcpy(ret + *len, part, part_len);
	*len += part_len;
	return 0;
}

int tar_path_clean(const char *name, char *ret, struct imbrex_error *err)
{
	size_t depth = 0;
	size_t len = 0;
	int r;

	if (!*name)
		return fail(err, IMBREX_EFORMAT, "the name is empty");
	while (*name) {
		size_t part_len = strcspn(name, "/");

		if (part_len == 2 && name[0] == '.' && name[1] == '.') {
			if (!depth)
				return fail(err, IMBREX_EFORMAT, "path leaves the layer");
			pop(ret, &len);
			depth--;
		} else if (part_len && !(part_len == 1 && name[0] == '.')) {
			r = push(ret, &len, name, part_len, err);
			if (r < 0)
				return r;
			depth++;
		}
		name += part_len;
		name += strspn(name, "/");
	}
	if (!len)
		ret[len++] = '.';
	ret[len] = '\0';
	return 0;
}

/* The part of a path up to its last slash is kept, what follows is replaced by `base`. */
static void replace_base(char *path, char *base, const char *with)
{
	if (*with) {
		memmove(base, with, strlen(with) + 1);
		return;
	}
	if (base == path)
		memcpy(path, ".", 2);
	else
		base[-1] = '\0';
}

int tar_path_decode(char *path, struct imbrex_error *err)
{
	char *base = path;

	for (;;) {
		const char *rest = str_after(base, WHITEOUT_PREFIX);
		char *slash = strchr(base, '/');

		if (rest && str_after(base, META_PREFIX)) {
			if (slash || !str_eq(base, OPAQUE_NAME))
				return TAR_NAME_IGNORED;
			replace_base(path, base, "");
			return TAR_NAME_OPAQUE;
		}
		if (rest && slash)
			return fail(err, IMBREX_EFORMAT, "the path leads through a whiteout");
		if (rest) {
			if (!*rest || str_eq(rest, ".") || str_eq(rest, ".."))
				return fail(err, IMBREX_EFORMAT, "a whiteout of '%s' names nothing",
					rest);
			replace_base(path, base, rest);
			return TAR_NAME_WHITEOUT;
		}
		if (!slash)
			return TAR_NAME_PLAIN;
		base = slash + 1;
	}
}
