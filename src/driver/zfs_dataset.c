/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datasets: made, cloned, disposed of, and which of those below zfs.fsname are ours.
 *
 * Invariants:
 * (1) Every dataset we make has the mark from the moment it exists. Others may use the same fsname:
 *     other stores, dockerd, people. Without a record, only what has the mark, or was cloned from
 *     what has it (podman does that to our layers), is ever taken for ours.
 * (2) The mark is in the name of a property, not in its value: a list of names cannot be forged by
 *     what is in values.
 * (3) What is under construction has the digits of a temporary directory in its name, whose lock
 *     says that its maker lives. What has none in its name is made under layers.lock.
 * (4) A clone, and what was deferred, is on disk when the call returns: each is a transaction group
 *     of its own, and all content written before is in it or in an earlier one.
 *
 * Source: OpenZFS module/zfs/dsl_synctask.c; containers/storage, drivers/zfs/zfs.go.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/hex.h"
#include "base/limits.h"
#include "base/map.h"
#include "driver/options.h"
#include "driver/zfs.h"
#include "os/clock.h"
#include "os/fd.h"

/* How often a busy dataset is asked again, each time after twice as long: half a second in all. */
#define BUSY_TRIES 9
/* Random names that are taken: even one is beyond belief. */
#define NAME_TRIES 3

int zfs_layer_name(
	struct zfs_driver *d, const char *id, struct zfs_name *ret, struct imbrex_error *err)
{
	size_t n = strlen(id);

	if (n == 0 || n > LIMIT_ID_BYTES || id[0] == '.' || strchr(id, '/') ||
		str_after(id, ZFS_OUR_PREFIX))
		return fail(err, IMBREX_EINVAL, "'%.128s' is not a layer id", id);
	return zfs_name_child(ret, &d->fs, id, err);
}

/* 16 hex digits. */
static int random_word(char ret[17], struct imbrex_error *err)
{
	unsigned char bytes[8];
	int r = random_bytes(bytes, sizeof(bytes));

	if (r < 0)
		return fail_code(err, r, "make a random name");
	hex_encode(bytes, sizeof(bytes), ret);
	return 0;
}

int zfs_own_name(struct zfs_driver *d, const char *prefix, const char *word, struct zfs_name *ret,
	struct imbrex_error *err)
{
	AUTO_FREE char *component = NULL;
	char random[17];
	int r;

	r = random_word(random, err);
	if (r < 0)
		return r;
	component = format_text("%s%.12s-%s", prefix, word, random);
	return component ? zfs_name_child(ret, &d->fs, component, err) : fail_nomem(err);
}

int zfs_layer_size(struct zfs_driver *d, const struct driver_layer_opts *opts, uint64_t *ret,
	struct imbrex_error *err)
{
	static const struct option_key keys[] = { { "size", option_set_bytes, 0 } };
	static const struct option_table table = { "zfs", true, keys, ARRAY_LEN(keys) };

	*ret = opts && opts->image ? 0 : d->size_bytes;
	return option_table_read(&table, opts ? opts->options : NULL, ret, err);
}

/* ---- making ---------------------------------------------------------------------------- */

struct props {
	struct zfs_property items[3];
	char quota[24];
};

static struct zfs_properties fill_props(
	struct zfs_driver *d, uint64_t size_bytes, struct props *store)
{
	struct zfs_properties ret = { store->items, 2 };

	store->items[0] = (struct zfs_property){ "mountpoint", "legacy" };
	store->items[1] = (struct zfs_property){ d->mark, d->graphroot };
	if (size_bytes) {
		(void)snprintf(store->quota, sizeof(store->quota), "%" PRIu64, size_bytes);
		store->items[ret.n++] = (struct zfs_property){ "quota", store->quota };
	}
	return ret;
}

int zfs_make(struct zfs_driver *d, const struct zfs_name *name, uint64_t size_bytes,
	struct imbrex_error *err)
{
	struct props store;
	const struct zfs_properties props = fill_props(d, size_bytes, &store);

	return zfs_create(d->z, name, &props, err);
}

/* "imbrex-<digits>-<16 random>": a name that nobody else makes. */
static int take_snapshot(struct zfs_driver *d, const struct zfs_name *from, const char *digits,
	struct zfs_name *ret, struct imbrex_error *err)
{
	int tries, r = IMBREX_EEXIST;

	for (tries = 0; r == IMBREX_EEXIST && tries < NAME_TRIES; tries++) {
		AUTO_FREE char *component = NULL;
		char random[17];

		r = random_word(random, err);
		if (r < 0)
			return r;
		component = format_text(ZFS_OUR_PREFIX "%s-%s", digits ? digits : "0", random);
		if (!component)
			return fail_nomem(err);
		r = zfs_name_snapshot(ret, from, component, err);
		if (r == 0)
			r = zfs_snapshot(d->z, ret, err);
	}
	return r;
}

int zfs_copy(struct zfs_driver *d, const struct zfs_name *from, const struct zfs_name *name,
	uint64_t size_bytes, const char *digits, struct imbrex_error *err)
{
	struct props store;
	const struct zfs_properties props = fill_props(d, size_bytes, &store);
	struct imbrex_error ignored;
	struct zfs_name snapshot;
	int r, e;

	r = take_snapshot(d, from, digits, &snapshot, err);
	if (r < 0)
		return r;
	r = zfs_clone(d->z, &snapshot, name, &props, err);
	/* Goes now, or with the clone. */
	e = zfs_destroy_later(d->z, &snapshot, r < 0 ? &ignored : err);
	if (r == 0 && e < 0) {
		(void)!zfs_destroy(d->z, name, &ignored);
		return e;
	}
	return r;
}

/* ---- which are ours -------------------------------------------------------------------- */

int zfs_is_ours(struct zfs_driver *d, const struct zfs_name *name, struct imbrex_error *err)
{
	AUTO_FREE char *value = NULL;
	bool local = false;
	int r;

	r = zfs_get(d->z, name, d->mark, &value, &local, err);
	return r < 0 ? r : local;
}

int zfs_stands_on(struct zfs_driver *d, const struct zfs_name *name, const struct zfs_name *from,
	struct imbrex_error *err)
{
	AUTO_FREE char *origin = NULL;
	const char *rest;
	int r;

	r = zfs_get(d->z, name, "origin", &origin, NULL, err);
	if (r < 0)
		return r;
	rest = str_after(origin, from->text);
	return rest && *rest == '@';
}

/* ---- disposing ------------------------------------------------------------------------- */

struct newest {
	struct zfs_driver *d;
	struct zfs_name clone; /* of the newest snapshot that has one */
	bool found;
};

static int note_clone(void *ctx, const char *name, bool deferred, struct imbrex_error *err)
{
	struct newest *n = ctx;
	AUTO_FREE char *clones = NULL;
	AUTO_FREE char *dataset = strndup(name, strcspn(name, "@"));
	struct zfs_name snapshot;
	int r;

	if (!dataset)
		return fail_nomem(err);
	r = zfs_name_dataset(&snapshot, dataset, err);
	if (r == 0 && strchr(name, '@'))
		r = zfs_name_snapshot(&snapshot, &snapshot, strchr(name, '@') + 1, NULL);
	if (r < 0)
		return 0; /* none that we could speak of */
	r = zfs_get(n->d->z, &snapshot, "clones", &clones, NULL, err);
	if (r < 0)
		return r;
	clones[strcspn(clones, ",")] = '\0';
	if (!*clones || str_eq(clones, "-") || zfs_name_dataset(&n->clone, clones, NULL) < 0)
		return 0;
	n->found = true;
	return 0;
}

/* The newest clone takes its snapshot over, and with it all older ones. 1 if there was one. */
static int promote_clone(
	struct zfs_driver *d, const struct zfs_name *name, struct imbrex_error *err)
{
	struct newest n = { .d = d };
	int r;

	r = zfs_snapshots(d->z, name, /* children= */ false, note_clone, &n, err);
	if (r < 0 || !n.found)
		return r;
	r = zfs_promote(d->z, &n.clone, err);
	return r < 0 ? r : 1;
}

/* Mounted somewhere, or a view of another thread: that ends. Clones do not. */
static int destroy_patiently(
	struct zfs_driver *d, const struct zfs_name *name, struct imbrex_error *err)
{
	unsigned int i;
	int r;

	for (i = 0;; i++) {
		*err = (struct imbrex_error){ 0 };
		r = zfs_destroy_tree(d->z, name, err);
		if (r != IMBREX_EBUSY || err->errnum != EBUSY || i == BUSY_TRIES)
			return r;
		wait_ms(1u << i);
	}
}

/* What is renamed aside must be known for ours: podman may have made it. */
static int set_aside(struct zfs_driver *d, const struct zfs_name *name, const char *word,
	struct imbrex_error *err)
{
	const struct zfs_property mark = { d->mark, d->graphroot };
	struct zfs_name aside;
	int r;

	r = zfs_own_name(d, ZFS_REMOVED_PREFIX, word, &aside, err);
	if (r == 0)
		r = zfs_set(d->z, name, &mark, err);
	return r < 0 ? r : zfs_rename(d->z, name, &aside, err);
}

int zfs_dispose(struct zfs_driver *d, const struct zfs_name *name, const char *word,
	struct imbrex_error *err)
{
	struct imbrex_error why = { 0 };
	struct imbrex_error ignored;
	int r;

	r = destroy_patiently(d, name, &why);
	if (r == IMBREX_EBUSY && why.errnum != EBUSY && promote_clone(d, name, &ignored) > 0)
		r = destroy_patiently(d, name, &why);
	if (r == 0 || r == IMBREX_ENOENT)
		return 0;
	if (r == IMBREX_EBUSY && set_aside(d, name, word, &ignored) == 0)
		return 0;
	if (err)
		*err = why;
	return r;
}

/* ---- lists ----------------------------------------------------------------------------- */

static int note_name(void *ctx, const struct zfs_child *c, struct imbrex_error *err)
{
	return map_set(ctx, c->name, strlen(c->name), ctx) < 0 ? fail_nomem(err) : 0;
}

/* Whole names of all that have the mark. */
static int find_marked(struct zfs_driver *d, struct map **ret, struct imbrex_error *err)
{
	AUTO_MAP *marked = map_new();
	int r;

	if (!marked)
		return fail_nomem(err);
	r = zfs_children(d->z, &d->fs, d->mark, note_name, marked, err);
	if (r == 0)
		*ret = take_ptr(marked);
	return r;
}

struct layer_list {
	struct zfs_driver *d;
	const struct map *marked;
	struct strv *ret;
};

/* Invariant (1). */
static int note_layer(void *ctx, const struct zfs_child *c, struct imbrex_error *err)
{
	struct layer_list *l = ctx;
	const char *id = zfs_name_below(c->name, &l->d->fs);

	if (!id || str_after(id, ZFS_OUR_PREFIX))
		return 0;
	if (!map_get(l->marked, c->name, strlen(c->name), NULL) &&
		!(id_is_valid(id) && map_get(l->marked, c->origin, strcspn(c->origin, "@"), NULL)))
		return 0;
	return strv_add(l->ret, id) < 0 ? fail_nomem(err) : 0;
}

int zfs_list_layers(struct driver *base, struct strv *ret, struct imbrex_error *err)
{
	struct zfs_driver *d = zfs_of(base);
	AUTO_MAP *marked = NULL;
	int r;

	r = find_marked(d, &marked, err);
	if (r < 0)
		return r;
	return zfs_children(
		d->z, &d->fs, NULL, note_layer, &(struct layer_list){ d, marked, ret }, err);
}

/* ---- garbage --------------------------------------------------------------------------- */

struct search {
	struct zfs_driver *d;
	const struct map *marked;
	int temps; /* directory of temporary directories; -EBADF: there is none */
	bool collect;
	driver_problem_fn fn;
	void *ctx;
	struct strv names; /* of datasets to go; owned */
};

/* Digits at the beginning of `word` say who made it: does he live? */
static bool maker_lives(const struct search *s, const char *word)
{
	AUTO_FREE char *digits = strndup(word, strspn(word, "0123456789"));

	/* Out of memory: nothing is known. */
	return !digits || (s->temps >= 0 && *digits && tempdir_is_live(s->temps, digits));
}

static const char *why_garbage(const struct search *s, const char *component)
{
	const char *rest = str_after(component, ZFS_NEW_PREFIX);

	if (rest)
		return maker_lives(s, rest) ? NULL : "a layer in the making, whose maker died";
	if (str_after(component, ZFS_REMOVED_PREFIX))
		return "a removed layer that was in use";
	rest = str_after(component, ZFS_OLD_PREFIX);
	/* Without the layer it is the layer: repair puts it back. */
	return rest && zfs_layer_exists(&s->d->whole.base, rest) ? "replaced content of a layer"
								 : NULL;
}

static int note_garbage(void *ctx, const struct zfs_child *c, struct imbrex_error *err)
{
	struct search *s = ctx;
	const char *component = zfs_name_below(c->name, &s->d->fs);

	if (!component || !map_get(s->marked, c->name, strlen(c->name), NULL) ||
		!why_garbage(s, component))
		return 0;
	return strv_add(&s->names, c->name) < 0 ? fail_nomem(err) : 0;
}

static int tell(struct search *s, const char *name, const char *why, struct imbrex_error *err)
{
	AUTO_FREE char *text = format_text("ZFS dataset '%s': %s", name, why);
	const struct driver_problem p = {
		.kind = DRIVER_PROBLEM_LEFTOVER, .path = name, .text = text
	};

	return text ? s->fn(s->ctx, &p, err) : fail_nomem(err);
}

/* What is still in use waits for the next time. */
static int collect_dataset(struct search *s, const char *text, struct imbrex_error *err)
{
	struct imbrex_error ignored = { 0 };
	struct zfs_name name;
	int r;

	r = zfs_name_dataset(&name, text, err);
	if (r < 0)
		return r;
	if (s->collect) {
		r = zfs_destroy_tree(s->d->z, &name, &ignored);
		if (r == IMBREX_EBUSY && ignored.errnum != EBUSY &&
			promote_clone(s->d, &name, &ignored) > 0)
			r = zfs_destroy_tree(s->d->z, &name, &ignored);
		if (r == IMBREX_EBUSY)
			return 0;
		if (r < 0)
			return fail(err, r, "%s", ignored.message);
	}
	return tell(s, text, why_garbage(s, zfs_name_below(text, &s->d->fs)), err);
}

/* Snapshots that nobody came to clone: their maker died between two calls. */
static int collect_snapshot(void *ctx, const char *text, bool deferred, struct imbrex_error *err)
{
	struct search *s = ctx;
	const char *at = strchr(text, '@');
	const char *digits = at ? str_after(at + 1, ZFS_OUR_PREFIX) : NULL;
	struct zfs_name name;
	AUTO_FREE char *dataset = NULL;

	if (deferred || !digits || !map_get(s->marked, text, (size_t)(at - text), NULL) ||
		maker_lives(s, digits))
		return 0;
	dataset = strndup(text, (size_t)(at - text));
	if (!dataset)
		return fail_nomem(err);
	if (zfs_name_dataset(&name, dataset, NULL) < 0 ||
		zfs_name_snapshot(&name, &name, at + 1, NULL) < 0)
		return 0;
	if (s->collect && zfs_destroy_later(s->d->z, &name, NULL) < 0)
		return 0;
	return tell(s, text, "a snapshot whose maker died", err);
}

static int search_datasets(struct search *s, struct imbrex_error *err)
{
	size_t i;
	int r;

	r = zfs_children(s->d->z, &s->d->fs, NULL, note_garbage, s, err);
	if (r == 0)
		r = zfs_snapshots(
			s->d->z, &s->d->fs, /* children= */ true, collect_snapshot, s, err);
	for (i = 0; r >= 0 && i < s->names.n; i++)
		r = collect_dataset(s, s->names.items[i], err);
	return r;
}

int zfs_garbage(struct driver *base, bool collect, driver_problem_fn fn, void *ctx,
	struct imbrex_error *err)
{
	struct zfs_driver *d = zfs_of(base);
	AUTO_FREE char *temps = format_text("%s/tempdirs", d->home);
	struct search s = { .d = d, .temps = -EBADF, .collect = collect, .fn = fn, .ctx = ctx };
	AUTO_MAP *marked = NULL;
	int r;

	if (!temps)
		return fail_nomem(err);
	r = zfs_garbage_mountpoints(d, collect, fn, ctx, err);
	if (r == 0)
		r = find_marked(d, &marked, err);
	if (r < 0)
		return r;
	s.marked = marked;
	s.temps = open_dir_at(AT_FDCWD, temps, NULL);
	if (s.temps < 0 && s.temps != IMBREX_ENOENT)
		return fail(err, s.temps, "open '%s'", temps);
	r = search_datasets(&s, err);
	(void)close_fd(s.temps);
	strv_done(&s.names);
	return r < 0 ? r : 0;
}
