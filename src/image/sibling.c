/* SPDX-License-Identifier: Apache-2.0 */
/* Another store as a place where bytes come from; see the header. */
#include "image/sibling.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/limits.h"
#include "image/spec.h"
#include "oci/digest.h"
#include "os/fd.h"
#include "store/bigdata.h"
#include "store/content.h"
#include "store/layer.h"
#include "transport/borrow.h"

#define SCHEME "containers-storage:"

struct sibling {
	struct imbrex_store *store;
	char *root; /* owned; for messages */
};

/* The driver whose "vfs-layers" lies beside its "vfs", as only a graph root has them; "" if there
 * is none. Of several, any: opening the store says so. */
static void find_driver(const char *path, char ret[NAME_MAX + 1])
{
	DIR *dir = opendir(path);
	const struct dirent *e;

	ret[0] = 0;
	if (!dir)
		return;
	while (!ret[0] && (e = readdir(dir)) != NULL) {
		size_t len = strlen(e->d_name);

		if (len <= strlen("-layers") || !str_eq(e->d_name + len - 7, "-layers"))
			continue;
		memcpy(ret, e->d_name, len - 7);
		ret[len - 7] = 0;
		if (!is_dir_at(dirfd(dir), ret) || !is_dir_at(dirfd(dir), e->d_name))
			ret[0] = 0;
	}
	(void)closedir(dir);
}

bool sibling_is_named(const char *from)
{
	const char *where = str_after(from, SCHEME);
	char driver[NAME_MAX + 1];

	if (where)
		return store_spec_is_explicit(where);
	find_driver(from, driver);
	return driver[0];
}

/* A word with a scheme, or the path of a graph root. */
static int parse(const char *from, struct store_spec *ret, struct imbrex_error *err)
{
	const char *where = str_after(from, SCHEME);

	if (where)
		return store_spec_parse(where, ret, err);
	ret->graphroot = realpath(from, NULL);
	return ret->graphroot ? 0 : fail_errno(err, "open store '%s'", from);
}

static int check_other(
	const char *from, const char *root, struct imbrex_store *own, struct imbrex_error *err)
{
	struct stat ours, theirs;

	if (stat(root, &theirs) < 0)
		return fail_errno(err, "source '%s'", from);
	if (fstat(own->graphfd, &ours) == 0 && ours.st_dev == theirs.st_dev &&
		ours.st_ino == theirs.st_ino)
		return fail(err, IMBREX_EINVAL,
			"source '%s': that is the store that is to be repaired", from);
	return 0;
}

int sibling_open(
	const char *from, struct imbrex_store *own, struct sibling **ret, struct imbrex_error *err)
{
	AUTO_STORE_SPEC spec = { 0 };
	char driver[NAME_MAX + 1];
	struct sibling *s;
	int r;

	r = parse(from, &spec, err);
	if (r == 0)
		r = check_other(from, spec.graphroot, own, err);
	if (r < 0)
		return r;
	s = calloc(1, sizeof(*s));
	if (!s)
		return fail_nomem(err);
	s->root = take_ptr(spec.graphroot);
	find_driver(s->root, driver);
	if (!spec.runroot)
		spec.runroot = format_text("%s/run", s->root);
	r = !spec.runroot
		    ? fail_nomem(err)
		    : imbrex_store_open(
			      &(struct imbrex_store_opts){
				      .graphroot = s->root,
				      .runroot = spec.runroot,
				      .driver = spec.driver && *spec.driver ? spec.driver : driver,
				      .storage_opts = (const char *const *)spec.options.items,
				      /* Nothing that is configured for ours is meant for it. */
				      .config_file = "/dev/null",
				      .read_only = true,
			      },
			      &s->store, err);
	if (r < 0) {
		sibling_free(s);
		return r;
	}
	*ret = s;
	return 0;
}

void sibling_free(struct sibling *s)
{
	if (!s)
		return;
	imbrex_store_close(s->store);
	free(s->root);
	free(s);
}

int sibling_find_layer(
	struct sibling *s, const struct hash_value *diff_id, char **ret, struct imbrex_error *err)
{
	const struct driver_ops *ops = s->store->driver->ops;
	struct table *t = &s->store->layers.t;
	AUTO_HOLD hold = HOLD_NONE;
	char text[HASH_TEXT_MAX];
	bool any = false;
	ptrdiff_t i = -1;
	size_t len;
	int r;

	r = store_hold(s->store, HOLD_LAYERS | HOLD_DAMAGED, &hold, err);
	if (r < 0)
		return r;
	len = strlen(hash_format(diff_id, text));
	while ((i = table_find_after(t, KEY_DIFF_DIGEST, text, len, i)) >= 0) {
		AUTO_FREE char *id = record_text(table_at(t, (size_t)i), LAYER_ID);

		if (!id)
			return fail_nomem(err);
		any = true;
		if (ops->exists(s->store->driver, id) && layer_has_tarsplit(s->store, id)) {
			*ret = take_ptr(id);
			return 0;
		}
	}
	return any ? fail(err, IMBREX_ENOENT,
			     "the store at %s has layer %s, but neither whole nor with its "
			     "tar-split file",
			     s->root, text)
		   : fail(err, IMBREX_ENOENT, "the store at %s has no layer %s", s->root, text);
}

int sibling_push(struct sibling *s, const char *id, struct sink *to, struct imbrex_error *err)
{
	struct sink *borrowed;
	int r = borrow_sink_new(to, &borrowed, err);

	return r < 0 ? r : layer_assemble(s->store, id, borrowed, err);
}

/* 1 found. */
static int search_image(struct sibling *s, const struct found *f, const struct hash_value *digest,
	struct str *ret, struct imbrex_error *err)
{
	AUTO_STRV keys = { 0 };
	size_t i;

	if (bigdata_list(f, &keys) < 0)
		return fail_nomem(err);
	for (i = 0; i < keys.n; i++) {
		struct bigdata_facts facts;

		if (!bigdata_facts(f, keys.items[i], &facts) || !hash_equal(&facts.digest, digest))
			continue;
		str_clear(ret);
		if (bigdata_get(s->store, f->t, f->index, keys.items[i], LIMIT_CONFIG_BYTES, ret,
			    NULL) == 0)
			return 1;
	}
	return 0;
}

int sibling_document(struct sibling *s, const struct hash_value *digest, struct str *ret,
	struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	char text[HASH_TEXT_MAX];
	struct found f;
	bool more;
	int r;

	r = store_hold(s->store, HOLD_IMAGES | HOLD_DAMAGED, &hold, err);
	if (r < 0)
		return r;
	for (more = store_first(s->store, &image_records, &f); r == 0 && more;
		more = store_next(s->store, &f))
		r = search_image(s, &f, digest, ret, err);
	if (r == 0)
		return fail(err, IMBREX_ENOENT, "the store at %s has no document %s", s->root,
			hash_format(digest, text));
	return r < 0 ? r : 0;
}
