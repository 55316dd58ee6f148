/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manifest.json is the one document that nothing announces: its own bytes are its identity. All
 * else is found by digest, below the directory's own fd and without symbolic links.
 */
#include "transport/dir.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "oci/digest.h"
#include "os/fd.h"
#include "transport/documents.h"

struct dir {
	struct source source;
	int root_fd;    /* owned */
	char *path;     /* owned; as the user gave it */
	struct str top; /* owned; manifest.json while manifest() runs */
	struct hash_value top_digest;
};

#define VERSION_HEAD "Directory Transport Version: "
/* 128 digits and a suffix. */
#define DIR_FILE_MAX (HASH_HEX_MAX + 16)

static int fetch(
	void *ctx, const struct oci_descriptor *d, struct str *ret, struct imbrex_error *err)
{
	const struct dir *dir = ctx;
	char file[DIR_FILE_MAX];
	int r;

	if (hash_equal(&d->digest, &dir->top_digest)) {
		r = str_append(ret, str_text(&dir->top), dir->top.len);
		return r < 0 ? fail_nomem(err) : 0;
	}
	(void)snprintf(file, sizeof(file), "%s.manifest.json", digest_hex(&d->digest));
	return blob_file_read(dir->root_fd, file, d, ret, err);
}

/* Layouts before 1.0 have no version file; skopeo reads them, and so do we. */
static int check_version(const struct dir *dir, struct imbrex_error *err)
{
	AUTO_STR text = STR_INIT(LIMIT_CONF_BYTES);
	const char *version;
	int r;

	if (!exists_at(dir->root_fd, "version"))
		return 0;
	r = read_file_at(dir->root_fd, "version", LIMIT_CONF_BYTES, &text, err);
	if (r < 0)
		return r;
	version = str_after(str_text(&text), VERSION_HEAD);
	if (!version)
		return fail(err, IMBREX_EFORMAT, "version: does not begin with '%s'", VERSION_HEAD);
	if (!str_after(version, "1."))
		return fail(err, IMBREX_ENOTSUP, "version: '%.*s' is not 1.x",
			(int)strcspn(version, "\n"), version);
	return 0;
}

static int choose(struct dir *dir, const struct platform *want, struct source_manifest *ret,
	struct imbrex_error *err)
{
	struct oci_descriptor top = { 0 };
	int r;

	r = check_version(dir, err);
	if (r < 0)
		return r;
	str_done(&dir->top);
	dir->top = (struct str)STR_INIT(LIMIT_MANIFEST_BYTES);
	r = read_file_at(dir->root_fd, "manifest.json", LIMIT_MANIFEST_BYTES, &dir->top, err);
	if (r < 0)
		return r;
	r = hash_bytes(HASH_SHA256, str_text(&dir->top), dir->top.len, &dir->top_digest);
	if (r < 0)
		return fail_code(err, r, "hash manifest.json");
	top.digest = dir->top_digest;
	top.size_bytes = dir->top.len;
	top.media_type = strdup("application/json");
	if (!top.media_type)
		return fail_nomem(err);
	r = documents_choose(fetch, dir, &top, want, ret, err);
	oci_descriptor_done(&top);
	if (r < 0)
		return r;
	return name_from_path(dir->path, NULL, &ret->name, err);
}

static int dir_manifest(struct source *s, const struct platform *want, struct source_manifest *ret,
	struct imbrex_error *err)
{
	struct dir *dir = CONTAINER_OF(s, struct dir, source);
	struct source_manifest m = { 0 };
	int r = choose(dir, want, &m, err);

	if (r < 0) {
		source_manifest_done(&m);
		return wrap(err, r, "dir:%s", dir->path);
	}
	*ret = m;
	return 0;
}

static int dir_blob(
	struct source *s, const struct oci_descriptor *d, struct sink *to, struct imbrex_error *err)
{
	struct dir *dir = CONTAINER_OF(s, struct dir, source);

	return blob_file_push(dir->root_fd, digest_hex(&d->digest), d, to, err);
}

static void dir_free(struct source *s)
{
	struct dir *dir = CONTAINER_OF(s, struct dir, source);

	(void)close_fd(dir->root_fd);
	str_done(&dir->top);
	free(dir->path);
	free(dir);
}

static const struct source_ops dir_ops = {
	.name = "dir",
	.manifest = dir_manifest,
	.blob = dir_blob,
	.free = dir_free,
};

int dir_source_open(const char *path, struct source **ret, struct imbrex_error *err)
{
	struct dir *dir = calloc(1, sizeof(*dir));
	AUTO_SOURCE struct source *s = NULL;

	if (!dir)
		return fail_nomem(err);
	dir->source.ops = &dir_ops;
	dir->root_fd = -EBADF;
	s = &dir->source;
	dir->path = strdup(path);
	if (!dir->path)
		return fail_nomem(err);
	dir->root_fd = open_root_dir_at(AT_FDCWD, path, err);
	if (dir->root_fd < 0)
		return dir->root_fd;
	*ret = take_ptr(s);
	return 0;
}
