/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layers whose content is somebody else's: additional layer stores, directories (or file systems
 * that fetch on demand, such as stargz-store) with one layer a directory:
 *
 *   <store>[/<reference of the image in base64>]/<digest of the layer's TOC>/{diff/,info,blob}
 *
 * In our home such a layer is an ordinary one, but that `diff` is a link to the other's, and a file
 * `additionallayer` says where it is. The link is followed only into a store that is configured:
 * a record or a link alone leads nowhere.
 *
 * A store is told that we use a layer by an attempt to create `use` in it, and that we no longer do
 * by an attempt to remove the directory of the layer; file systems count these and refuse them.
 *
 * Source: docs/formats/overlay-layer.md, "Additional layer stores".
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hex.h"
#include "base/limits.h"
#include "driver/overlay.h"
#include "os/fd.h"

#define POINTER_FILE "additionallayer"

static bool has_dots(const char *path)
{
	const char *p;

	for (p = path; (p = strstr(p, "/..")); p += 3) {
		if (p[3] == '/' || !p[3])
			return true;
	}
	return false;
}

static bool is_configured(const struct overlay *o, const char *path)
{
	size_t i;

	for (i = 0; i < o->options.n_layer_stores; i++) {
		const char *rest = str_after(path, o->options.layer_stores[i].path);

		if (rest && *rest == '/' && !has_dots(path))
			return true;
	}
	return false;
}

/* Path that the file `additionallayer` of a layer directory holds; ENOENT if it has none. */
static int read_pointer(int dir, char **ret, struct imbrex_error *err)
{
	AUTO_STR text = STR_INIT(LIMIT_PATH_BYTES);
	int r;

	r = read_file_at(dir, POINTER_FILE, LIMIT_PATH_BYTES, &text, err);
	if (r < 0)
		return r;
	if (strlen(str_text(&text)) != text.len)
		return fail(err, IMBREX_EFORMAT, "'" POINTER_FILE "' is no path");
	*ret = str_take(&text);
	return *ret ? 0 : fail_nomem(err);
}

int overlay_diff_path(const struct overlay *o, const char *dir_path, const char *id, int dir,
	char **ret, struct imbrex_error *err)
{
	AUTO_STR target = STR_INIT(LIMIT_PATH_BYTES);
	AUTO_FREE char *pointer = NULL;
	AUTO_FREE char *diff = NULL;
	int r;

	if (!is_symlink_at(dir, "diff")) {
		*ret = format_text("%s/diff", dir_path);
		return *ret ? 0 : fail_nomem(err);
	}
	r = read_pointer(dir, &pointer, err);
	if (r == IMBREX_ENOENT)
		return fail(err, IMBREX_EFORMAT, "layer %s: 'diff' is not a directory", id);
	if (r == 0)
		r = read_link_at(dir, "diff", &target, err);
	if (r < 0)
		return wrap(err, r, "layer %s", id);
	diff = format_text("%s/diff", pointer);
	if (!diff)
		return fail_nomem(err);
	if (!str_eq(diff, str_text(&target)))
		return fail(err, IMBREX_EFORMAT, "layer %s: 'diff' is not a directory", id);
	if (!is_configured(o, pointer)) {
		r = fail(err, IMBREX_EPERM,
			"layer %s lies at '%s', which is in no configured additional layer store",
			id, pointer);
		return hint(err, r, "name the store with overlay.additionallayerstore");
	}
	*ret = take_ptr(diff);
	return 0;
}

int overlay_diff_open(
	const struct overlay *o, const char *id, int dir, int how, struct imbrex_error *err)
{
	AUTO_FREE char *path = NULL;
	int fd;
	int r;

	fd = openat(dir, "diff", how | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	if ((errno != ENOTDIR && errno != ELOOP) || !is_symlink_at(dir, "diff"))
		return fail_errno(err, "layer %s: open 'diff'", id);
	r = overlay_diff_path(o, "", id, dir, &path, err);
	if (r < 0)
		return r;
	fd = open(path, how | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? fail_errno(err, "layer %s: open '%s'", id, path) : fd;
}

/* ---- telling the store ------------------------------------------------------------------- */

/* A plain directory lets us: then nothing is left of it. */
static void tell_use(const char *path)
{
	AUTO_CLOSE int dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	AUTO_CLOSE int fd =
		dir < 0 ? -EBADF
			: openat(dir, "use", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
				  0600);

	if (fd >= 0)
		(void)unlinkat(dir, "use", 0);
}

void overlay_additional_release(struct driver *d, const char *path)
{
	/* Never the last word: a directory with a layer in it is not empty. */
	if (is_configured(overlay_of(d), path))
		(void)rmdir(path);
}

void overlay_additional_removed(struct overlay *o, int dir)
{
	AUTO_FREE char *path = NULL;

	if (read_pointer(dir, &path, NULL) == 0)
		overlay_additional_release(&o->base, path);
}

/* ---- finding and pointing ---------------------------------------------------------------- */

static bool is_layer(const char *path)
{
	AUTO_CLOSE int dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	return dir >= 0 && is_dir_at(dir, "diff") && is_file_at(dir, "info") &&
	       is_file_at(dir, "blob");
}

int overlay_additional_find(struct driver *d, const char *toc, const char *reference,
	char **ret_path, struct imbrex_error *err)
{
	const struct overlay_options *options = &overlay_of(d)->options;
	size_t len = strlen(reference);
	AUTO_FREE char *encoded = malloc(BASE64_ENCODED_LEN(len) + 1);
	size_t i;

	if (!encoded)
		return fail_nomem(err);
	encoded[base64_encode(reference, len, encoded)] = '\0';
	for (i = 0; i < options->n_layer_stores; i++) {
		const struct overlay_layer_store *store = &options->layer_stores[i];
		AUTO_FREE char *path =
			format_text("%s/%s%s%s", store->path, store->with_reference ? encoded : "",
				store->with_reference ? "/" : "", toc);

		if (!path)
			return fail_nomem(err);
		if (!is_layer(path))
			continue;
		tell_use(path);
		*ret_path = take_ptr(path);
		return 1;
	}
	return 0;
}

int overlay_additional_point(int dir, const char *path, struct imbrex_error *err)
{
	AUTO_FREE char *diff = format_text("%s/diff", path);
	int r;

	if (!diff)
		return fail_nomem(err);
	if (unlinkat(dir, "diff", AT_REMOVEDIR) < 0 || symlinkat(diff, dir, "diff") < 0)
		return fail_errno(err, "replace 'diff' of a new layer");
	r = write_file_at(dir, POINTER_FILE, 0644, path, strlen(path), err);
	if (r == 0)
		tell_use(path);
	return r;
}
