/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The road by libzfs_core: the stable interface of OpenZFS, one ioctl for each call.
 *
 * Loaded by those who need it, and never unloaded. It knows no words: what fails is an errno, and
 * what it cannot do (listing, properties of what exists, streams) goes by zfs(8).
 * Source: OpenZFS include/libzfs_core.h, include/sys/nvpair.h; the ABI is that of libzfs_core.so.3,
 * OpenZFS 2.0 to 2.3.
 */
#include <dlfcn.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "zfs/client.h"

#define LIBRARY      "libzfs_core.so.3"
#define LIST_LIBRARY "libnvpair.so.3"

/* nvlist_t and boolean_t of OpenZFS. */
struct nvlist;
enum zfs_boolean {
	ZFS_FALSE,
	ZFS_TRUE
};
#define NV_UNIQUE_NAME     1u
#define DATASET_FILESYSTEM 2 /* LZC_DATSET_TYPE_ZFS */

struct zfs_library {
	int (*init)(void);
	void (*fini)(void);
	enum zfs_boolean (*exists)(const char *name);
	int (*create)(const char *name, int type, struct nvlist *props, uint8_t *key,
		unsigned int key_len);
	int (*snapshot)(struct nvlist *snapshots, struct nvlist *props, struct nvlist **ret_errors);
	int (*clone)(const char *name, const char *origin, struct nvlist *props);
	int (*promote)(const char *name, char *ret_conflict, int len);
	int (*destroy)(const char *name);
	int (*destroy_snapshots)(
		struct nvlist *snapshots, enum zfs_boolean later, struct nvlist **ret_errors);
	int (*rename)(const char *from, const char *to);
	int (*hold)(struct nvlist *holds, int cleanup_fd, struct nvlist **ret_errors);
	int (*release)(struct nvlist *holds, struct nvlist **ret_errors);

	int (*list_new)(struct nvlist **ret, unsigned int flags, int km);
	void (*list_free)(struct nvlist *l);
	int (*add_flag)(struct nvlist *l, const char *name);
	int (*add_text)(struct nvlist *l, const char *name, const char *value);
	int (*add_number)(struct nvlist *l, const char *name, uint64_t value);
	int (*add_list)(struct nvlist *l, const char *name, struct nvlist *value);
};

static int find(void *library, const char *name, void **ret, struct imbrex_error *err)
{
	*ret = dlsym(library, name);
	return *ret ? 0 : fail(err, IMBREX_ENOTSUP, "libzfs_core lacks '%s'", name);
}

static int resolve(struct zfs_library *l, void *core, void *lists, struct imbrex_error *err)
{
	const struct {
		void *library;
		const char *name;
		void *at;
	} all[] = {
		{ core, "libzfs_core_init", &l->init },
		{ core, "libzfs_core_fini", &l->fini },
		{ core, "lzc_exists", &l->exists },
		{ core, "lzc_create", &l->create },
		{ core, "lzc_snapshot", &l->snapshot },
		{ core, "lzc_clone", &l->clone },
		{ core, "lzc_promote", &l->promote },
		{ core, "lzc_destroy", &l->destroy },
		{ core, "lzc_destroy_snaps", &l->destroy_snapshots },
		{ core, "lzc_rename", &l->rename },
		{ core, "lzc_hold", &l->hold },
		{ core, "lzc_release", &l->release },
		{ lists, "nvlist_alloc", &l->list_new },
		{ lists, "nvlist_free", &l->list_free },
		{ lists, "nvlist_add_boolean", &l->add_flag },
		{ lists, "nvlist_add_string", &l->add_text },
		{ lists, "nvlist_add_uint64", &l->add_number },
		{ lists, "nvlist_add_nvlist", &l->add_list },
	};
	size_t i;
	int r = 0;

	for (i = 0; r == 0 && i < ARRAY_LEN(all); i++) {
		void *symbol = NULL;

		r = find(all[i].library, all[i].name, &symbol, err);
		memcpy(all[i].at, &symbol, sizeof(symbol));
	}
	return r;
}

int zfs_library_load(struct zfs_library **ret, struct imbrex_error *err)
{
	AUTO_FREE struct zfs_library *l = calloc(1, sizeof(*l));
	void *core = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	void *lists = core ? dlopen(LIST_LIBRARY, RTLD_NOW | RTLD_LOCAL) : NULL;
	int r;

	if (!l)
		return fail_nomem(err);
	if (!lists) {
		r = fail(err, IMBREX_ENOTSUP, "cannot load libzfs_core: %s", dlerror());
		return hint(err, r, "install libzfs4linux");
	}
	r = resolve(l, core, lists, err);
	if (r < 0)
		return r;
	r = l->init();
	if (r)
		return fail_code(err, r, "open /dev/zfs");
	*ret = take_ptr(l);
	return 0;
}

void zfs_library_free(struct zfs_library *l)
{
	if (!l)
		return;
	l->fini();
	free(l);
}

/* ---- properties ------------------------------------------------------------------------ */

enum property_kind {
	PROPERTY_TEXT = 1,
	PROPERTY_NUMBER, /* of bytes, or none */
	PROPERTY_SWITCH  /* off, on, noauto */
};

static enum property_kind kind_of(const char *name)
{
	static const struct {
		const char *name;
		enum property_kind kind;
	} natives[] = {
		{ "mountpoint", PROPERTY_TEXT },
		{ "quota", PROPERTY_NUMBER },
		{ "refquota", PROPERTY_NUMBER },
		{ "canmount", PROPERTY_SWITCH },
		{ "readonly", PROPERTY_SWITCH },
		{ "setuid", PROPERTY_SWITCH },
		{ "devices", PROPERTY_SWITCH },
		{ "exec", PROPERTY_SWITCH },
		{ "atime", PROPERTY_SWITCH },
	};
	size_t i;

	if (strchr(name, ':'))
		return PROPERTY_TEXT;
	for (i = 0; i < ARRAY_LEN(natives); i++)
		if (str_eq(natives[i].name, name))
			return natives[i].kind;
	return 0;
}

/* False if the text needs somebody who knows units and words. */
static bool number_of(const struct zfs_property *p, uint64_t *ret)
{
	static const char *const words[] = { "off", "on", "noauto" };
	enum property_kind kind = kind_of(p->name);
	char *end;
	size_t i;

	for (i = 0; kind == PROPERTY_SWITCH && i < ARRAY_LEN(words); i++) {
		if (!str_eq(p->value, words[i]) || (i == 2 && !str_eq(p->name, "canmount")))
			continue;
		*ret = i;
		return true;
	}
	if (kind != PROPERTY_NUMBER || p->value[0] < '0' || p->value[0] > '9')
		return false;
	errno = 0;
	*ret = strtoumax(p->value, &end, 10);
	return !*end && errno == 0;
}

static bool is_text(const struct zfs_property *p)
{
	/* A path is normalised by zfs(8). */
	return kind_of(p->name) == PROPERTY_TEXT &&
	       (!str_eq(p->name, "mountpoint") || p->value[0] != '/');
}

bool zfs_library_takes(const struct zfs_properties *props)
{
	uint64_t number;
	size_t i;

	for (i = 0; props && i < props->n; i++)
		if (!is_text(&props->items[i]) && !number_of(&props->items[i], &number))
			return false;
	return true;
}

/* NULL on no memory. */
static struct nvlist *list_of_properties(
	const struct zfs_library *l, const struct zfs_properties *props)
{
	struct nvlist *list = NULL;
	uint64_t number;
	size_t i;
	int e = l->list_new(&list, NV_UNIQUE_NAME, 0);

	for (i = 0; e == 0 && props && i < props->n; i++) {
		const struct zfs_property *p = &props->items[i];

		if (number_of(p, &number))
			e = l->add_number(list, p->name, number);
		else
			e = l->add_text(list, p->name, p->value);
	}
	if (e == 0)
		return list;
	l->list_free(list);
	return NULL;
}

/* One snapshot, and a tag for it if given. */
static struct nvlist *list_of_snapshot(
	const struct zfs_library *l, const char *name, const char *tag)
{
	struct nvlist *list = NULL;
	int e = l->list_new(&list, NV_UNIQUE_NAME, 0);

	if (e == 0)
		e = tag ? l->add_text(list, name, tag) : l->add_flag(list, name);
	if (e == 0)
		return list;
	l->list_free(list);
	return NULL;
}

/* ---- calls ----------------------------------------------------------------------------- */

bool zfs_library_exists(const struct zfs_library *l, const struct zfs_name *name)
{
	return l->exists(name->text) != ZFS_FALSE;
}

int zfs_library_create(const struct zfs_library *l, const struct zfs_name *name,
	const struct zfs_properties *props)
{
	struct nvlist *list = list_of_properties(l, props);
	int e = list ? l->create(name->text, DATASET_FILESYSTEM, list, NULL, 0) : ENOMEM;

	l->list_free(list);
	return -e;
}

int zfs_library_snapshot(const struct zfs_library *l, const struct zfs_name *snapshot)
{
	struct nvlist *list = list_of_snapshot(l, snapshot->text, NULL);
	struct nvlist *errors = NULL;
	int e = list ? l->snapshot(list, NULL, &errors) : ENOMEM;

	l->list_free(errors);
	l->list_free(list);
	return -e;
}

int zfs_library_clone(const struct zfs_library *l, const struct zfs_name *snapshot,
	const struct zfs_name *name, const struct zfs_properties *props)
{
	struct nvlist *list = list_of_properties(l, props);
	int e = list ? l->clone(name->text, snapshot->text, list) : ENOMEM;

	l->list_free(list);
	return -e;
}

int zfs_library_promote(const struct zfs_library *l, const struct zfs_name *name)
{
	char conflict[ZFS_NAME_BYTES];

	return -l->promote(name->text, conflict, sizeof(conflict));
}

int zfs_library_destroy(const struct zfs_library *l, const struct zfs_name *name)
{
	return -l->destroy(name->text);
}

int zfs_library_destroy_snapshot(
	const struct zfs_library *l, const struct zfs_name *snapshot, bool later)
{
	struct nvlist *list = list_of_snapshot(l, snapshot->text, NULL);
	struct nvlist *errors = NULL;
	int e = ENOMEM;

	/* One that is not there is a success to it, and a caller's mistake to us. */
	if (list && !l->exists(snapshot->text))
		e = ENOENT;
	else if (list)
		e = l->destroy_snapshots(list, later ? ZFS_TRUE : ZFS_FALSE, &errors);
	l->list_free(errors);
	l->list_free(list);
	return -e;
}

int zfs_library_rename(
	const struct zfs_library *l, const struct zfs_name *from, const struct zfs_name *to)
{
	return -l->rename(from->text, to->text);
}

int zfs_library_hold(
	const struct zfs_library *l, const struct zfs_name *snapshot, const char *tag, bool release)
{
	struct nvlist *list = NULL;
	struct nvlist *errors = NULL;
	struct nvlist *tags = release ? list_of_snapshot(l, tag, NULL) : NULL;
	int e;

	if (release) {
		e = tags ? l->list_new(&list, NV_UNIQUE_NAME, 0) : ENOMEM;
		if (e == 0)
			e = l->add_list(list, snapshot->text, tags);
		if (e == 0)
			e = l->release(list, &errors);
	} else {
		list = list_of_snapshot(l, snapshot->text, tag);
		e = list ? l->hold(list, /* cleanup_fd= */ -1, &errors) : ENOMEM;
	}
	l->list_free(errors);
	l->list_free(tags);
	l->list_free(list);
	return -e;
}
