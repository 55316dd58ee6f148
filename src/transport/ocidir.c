/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An OCI image layout is a directory that may have been written by anyone: everything in it is
 * opened below its own fd, without symbolic links, by digests that were parsed before.
 */
#include "transport/ocidir.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "oci/digest.h"
#include "os/fd.h"
#include "transport/documents.h"
#include "transport/layout.h"

struct ocidir {
	struct source source;
	int root_fd; /* owned; the layout directory */
	char *path;  /* owned; as the user gave it */
	char *tag;   /* owned; NULL: none */
};

/* "blobs/sha512/" and 128 digits. */
#define BLOB_PATH_MAX (16 + HASH_HEX_MAX)

static const char *blob_path(const struct hash_value *digest, char ret[BLOB_PATH_MAX])
{
	char hex[HASH_HEX_MAX];

	(void)snprintf(ret, BLOB_PATH_MAX, "blobs/%s/%s", hash_name(digest->algorithm),
		hash_hex(digest, hex));
	return ret;
}

static int fetch(
	void *ctx, const struct oci_descriptor *d, struct str *ret, struct imbrex_error *err)
{
	const struct ocidir *o = ctx;
	char file[BLOB_PATH_MAX];

	return blob_file_read(o->root_fd, blob_path(&d->digest, file), d, ret, err);
}

static int read_top(const struct ocidir *o, struct oci_index *ret, struct imbrex_error *err)
{
	AUTO_STR version = STR_INIT(LIMIT_CONF_BYTES);
	AUTO_STR text = STR_INIT(LIMIT_MANIFEST_BYTES);
	int r;

	r = read_file_at(o->root_fd, "oci-layout", LIMIT_CONF_BYTES, &version, err);
	if (r < 0)
		return r;
	r = layout_check_version(str_text(&version), version.len, err);
	if (r < 0)
		return r;
	r = read_file_at(o->root_fd, "index.json", LIMIT_MANIFEST_BYTES, &text, err);
	if (r < 0)
		return r;
	r = oci_index_parse(NULL, str_text(&text), text.len, ret, err);
	return r < 0 ? wrap(err, r, "index.json") : 0;
}

static int choose(struct ocidir *o, const struct platform *want, struct source_manifest *ret,
	struct imbrex_error *err)
{
	AUTO_OCI_INDEX index = { 0 };
	struct oci_descriptor top = { 0 };
	int r;

	r = read_top(o, &index, err);
	if (r < 0)
		return r;
	r = layout_choose(&index, o->tag, want, &top, err);
	if (r < 0)
		return r;
	r = documents_choose(fetch, o, &top, want, ret, err);
	if (r == 0) {
		r = name_from_ref(o->path, layout_name(&top), &ret->name, err);
		if (r < 0)
			source_manifest_done(ret);
	}
	oci_descriptor_done(&top);
	return r;
}

static int ocidir_manifest(struct source *s, const struct platform *want,
	struct source_manifest *ret, struct imbrex_error *err)
{
	struct ocidir *o = CONTAINER_OF(s, struct ocidir, source);
	struct source_manifest m = { 0 };
	int r = choose(o, want, &m, err);

	if (r < 0)
		return wrap(err, r, "oci:%s", o->path);
	*ret = m;
	return 0;
}

static int ocidir_blob(
	struct source *s, const struct oci_descriptor *d, struct sink *to, struct imbrex_error *err)
{
	struct ocidir *o = CONTAINER_OF(s, struct ocidir, source);
	char file[BLOB_PATH_MAX];

	return blob_file_push(o->root_fd, blob_path(&d->digest, file), d, to, err);
}

static void ocidir_free(struct source *s)
{
	struct ocidir *o = CONTAINER_OF(s, struct ocidir, source);

	(void)close_fd(o->root_fd);
	free(o->path);
	free(o->tag);
	free(o);
}

static const struct source_ops ocidir_ops = {
	.name = "oci",
	.manifest = ocidir_manifest,
	.blob = ocidir_blob,
	.free = ocidir_free,
};

int ocidir_source_open(
	const char *dir, const char *tag, struct source **ret, struct imbrex_error *err)
{
	struct ocidir *o = calloc(1, sizeof(*o));
	AUTO_SOURCE struct source *s = NULL;

	if (!o)
		return fail_nomem(err);
	o->source.ops = &ocidir_ops;
	o->root_fd = -EBADF;
	s = &o->source;
	o->path = strdup(dir);
	o->tag = tag ? strdup(tag) : NULL;
	if (!o->path || (tag && !o->tag))
		return fail_nomem(err);
	o->root_fd = open_root_dir_at(AT_FDCWD, dir, err);
	if (o->root_fd < 0)
		return o->root_fd;
	*ret = take_ptr(s);
	return 0;
}
