/* SPDX-License-Identifier: Apache-2.0 */
/* What zfs(8) says; see the header. */
#include "zfs/output.h"

#include <assert.h>
#include <string.h>

#include "base/error.h"
#include "base/limits.h"

/* Splits one line in place: NULL, or what is wrong with it. */
static const char *split(char *line, size_t n_fields, char **fields, int *ret_status)
{
	size_t i;

	*ret_status = IMBREX_EFORMAT;
	for (i = 0; i < n_fields; i++) {
		size_t len = strcspn(line, "\t");

		if ((line[len] == '\0') != (i + 1 == n_fields))
			return "too many fields or too few";
		if (i == 0 && len == 0)
			return "no name";
		if (len > LIMIT_ZFS_VALUE_BYTES) {
			*ret_status = IMBREX_ELIMIT;
			return "a field that is too long";
		}
		fields[i] = line;
		line[len] = '\0';
		line += len + 1;
	}
	return NULL;
}

int zfs_rows(
	char *text, size_t len, size_t n_fields, zfs_row_fn fn, void *ctx, struct imbrex_error *err)
{
	char *fields[ZFS_FIELDS_MAX];
	char *end = text + len;
	size_t line = 1;
	const char *fault;
	int r = 0;
	int status;

	assert(n_fields >= 1 && n_fields <= ZFS_FIELDS_MAX);
	if (len && memchr(text, '\0', len))
		return fail(err, IMBREX_EFORMAT, "zfs(8) writes a NUL byte");
	for (; r == 0 && text < end; line++) {
		char *newline = memchr(text, '\n', (size_t)(end - text));

		if (!newline)
			return fail(err, IMBREX_EFORMAT, "zfs(8), line %zu: no end", line);
		*newline = '\0';
		fault = split(text, n_fields, fields, &status);
		if (!fault)
			r = fn(ctx, fields, err);
		else
			r = fail(err, status, "zfs(8), line %zu: %s", line, fault);
		text = newline + 1;
	}
	return r;
}

/* Source: OpenZFS lib/libzfs/libzfs_util.c, libzfs_dataset.c; strerror of the C locale. */
static const struct {
	const char *words;
	int status;
} complaints[] = {
	/* Before "dataset already exists": a pool that cannot be had is neither. */
	{ "does not exist", IMBREX_ENOENT },
	{ "no such pool", IMBREX_ENOENT },
	{ "no such dataset", IMBREX_ENOENT },
	{ "could not find any snapshots", IMBREX_ENOENT },
	{ "No such file or directory", IMBREX_ENOENT },
	{ "already exists", IMBREX_EEXIST },
	{ "File exists", IMBREX_EEXIST },
	{ "is busy", IMBREX_EBUSY },
	{ "resource busy", IMBREX_EBUSY },
	{ "dependent clones", IMBREX_EBUSY },
	{ "snapshot is cloned", IMBREX_EBUSY },
	{ "has children", IMBREX_EBUSY },
	{ "being held", IMBREX_EBUSY },
	{ "out of space", IMBREX_ENOSPC },
	{ "No space left", IMBREX_ENOSPC },
	{ "quota exceeded", IMBREX_ENOSPC },
	{ "size is less than current used", IMBREX_ENOSPC },
	{ "permission denied", IMBREX_EPERM },
	{ "Permission denied", IMBREX_EPERM },
	{ "Operation not permitted", IMBREX_EPERM },
	{ "may only be mounted by root", IMBREX_EPERM },
	{ "insufficient privileges", IMBREX_EPERM },
	{ "I/O error", IMBREX_EIO },
	{ "Input/output error", IMBREX_EIO },
	{ "I/O is currently suspended", IMBREX_EIO },
	{ "out of memory", IMBREX_ENOMEM },
	{ "not supported", IMBREX_ENOTSUP },
	{ "must be upgraded", IMBREX_ENOTSUP },
	{ "modules are not loaded", IMBREX_ENOTSUP },
	{ "modules cannot be auto-loaded", IMBREX_ENOTSUP },
	{ "name is too long", IMBREX_ELIMIT },
	{ "invalid", IMBREX_EINVAL },
	{ "bad property", IMBREX_EINVAL },
	{ "must be", IMBREX_EINVAL },
};

/* "cannot destroy 'pool/is busy': dataset does not exist": names may hold any words. */
static size_t reason_of(const char *said, const char **ret)
{
	size_t len = strcspn(said, "\n");
	size_t at;

	for (at = len; at >= 3; at--)
		if (strncmp(said + at - 3, "': ", 3) == 0)
			break;
	if (at < 3)
		at = 0;
	*ret = said + at;
	return len - at;
}

int zfs_status_of_words(const char *said)
{
	const char *reason;
	size_t len = reason_of(said, &reason);
	size_t i;

	for (i = 0; i < ARRAY_LEN(complaints); i++)
		if (memmem(reason, len, complaints[i].words, strlen(complaints[i].words)))
			return complaints[i].status;
	return IMBREX_EFAIL;
}

bool zfs_no_waiting_helps(const char *said)
{
	static const char *const words[] = { "dependent clones", "is cloned", "being held" };
	const char *reason;
	size_t len = reason_of(said, &reason);
	size_t i;

	for (i = 0; i < ARRAY_LEN(words); i++)
		if (memmem(reason, len, words[i], strlen(words[i])))
			return true;
	return false;
}
