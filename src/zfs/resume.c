/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams between machines: which snapshots both have, and how one that was cut goes on.
 *
 * A token is text that ZFS makes; what it stands for is asked of zfs(8), which alone can read it.
 * Source: zfs-send(8) "-t", zfs-receive(8) "-s".
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "base/limits.h"
#include "zfs/client.h"
#include "zfs/output.h"

#define TOKEN_WORDS_BYTES 65536

bool zfs_token_is_valid(const char *token)
{
	size_t len = strlen(token);

	return len > 2 && len < LIMIT_ZFS_VALUE_BYTES && token[0] != '-' &&
	       strspn(token, "0123456789abcdef-") == len;
}

static int add_words(struct strv *words, const char *const *all, size_t n)
{
	size_t i;
	int r = 0;

	for (i = 0; r == 0 && i < n; i++)
		r = strv_add(words, all[i]);
	return r;
}

/* The value of "\ttoname = pool/a@b\n". */
static int take_target(const char *text, struct zfs_name *ret, struct imbrex_error *err)
{
	static const char key[] = "\ttoname = ";
	const char *at = strstr(text, key);
	AUTO_FREE char *name = NULL;
	char *snapshot;
	struct zfs_name dataset;
	int r;

	if (!at)
		return fail(err, IMBREX_EFORMAT, "zfs send does not tell what a token is of");
	at += strlen(key);
	name = strndup(at, strcspn(at, "\n"));
	if (!name)
		return fail_nomem(err);
	snapshot = strchr(name, '@');
	if (!snapshot)
		return fail(err, IMBREX_EFORMAT, "a token of a ZFS stream is of no snapshot");
	*snapshot++ = '\0';
	r = zfs_name_dataset(&dataset, name, err);
	return r < 0 ? r : zfs_name_snapshot(ret, &dataset, snapshot, err);
}

int zfs_token_target(struct zfs *z, const char *token, const struct zfs_name *noun,
	struct zfs_name *ret, struct imbrex_error *err)
{
	const char *const all[] = { "send", "-nvP", "-t", token };
	AUTO_STR out = STR_INIT(TOKEN_WORDS_BYTES);
	AUTO_STRV words = { 0 };
	int r;

	if (!zfs_token_is_valid(token))
		return fail(err, IMBREX_EINVAL, "'%.80s' is no token of a ZFS stream", token);
	if (add_words(&words, all, ARRAY_LEN(all)) < 0)
		return fail_nomem(err);
	r = zfs_command_run(
		z, &(struct zfs_command){ .words = &words, .noun = noun, .out = &out }, err);
	return r < 0 ? r : take_target(str_text(&out), ret, err);
}

int zfs_send_rest(struct zfs *z, const char *token, const struct zfs_name *snapshot, int fd,
	struct imbrex_error *err)
{
	const char *const all[] = { "send", "-t", token };
	AUTO_STRV words = { 0 };

	if (!zfs_token_is_valid(token))
		return fail(err, IMBREX_EINVAL, "'%.80s' is no token of a ZFS stream", token);
	if (add_words(&words, all, ARRAY_LEN(all)) < 0)
		return fail_nomem(err);
	return zfs_command_run(z,
		&(struct zfs_command){ .words = &words, .noun = snapshot, .stdout_fd = fd }, err);
}

struct guid_walk {
	zfs_guid_fn fn;
	void *ctx;
};

static int take_guid(void *ctx, char *const *fields, struct imbrex_error *err)
{
	const struct guid_walk *w = ctx;
	uintmax_t guid;
	char *end;

	if (fields[1][0] < '0' || fields[1][0] > '9')
		return 0;
	errno = 0;
	guid = strtoumax(fields[1], &end, 10);
	return *end || errno || !guid ? 0 : w->fn(w->ctx, fields[0], (uint64_t)guid, err);
}

int zfs_guids(struct zfs *z, const struct zfs_name *in, bool children, zfs_guid_fn fn, void *ctx,
	struct imbrex_error *err)
{
	const char *const all[] = { "get", "-Hp", "-r", "-d", children ? "2" : "1", "-t",
		"snapshot", "-o", "name,value", "guid", in->text };
	struct guid_walk w = { fn, ctx };
	AUTO_STR out = STR_INIT(LIMIT_ZFS_LIST_BYTES);
	AUTO_STRV words = { 0 };
	int r;

	if (add_words(&words, all, ARRAY_LEN(all)) < 0)
		return fail_nomem(err);
	r = zfs_command_run(
		z, &(struct zfs_command){ .words = &words, .noun = in, .out = &out }, err);
	if (r < 0 || !out.len)
		return r;
	return zfs_rows(out.data, out.len, 2, take_guid, &w, err);
}
