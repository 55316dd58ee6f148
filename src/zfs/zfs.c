/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client: which road an operation takes, and the words for zfs(8).
 *
 * Source: zfs-*(8) of OpenZFS 2.1 to 2.3; scripting forms (-H, -p) only.
 */
#include "zfs/zfs.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/limits.h"
#include "os/proc.h"
#include "zfs/client.h"
#include "zfs/output.h"

static const char *const zfs_programs[] = { "/usr/sbin/zfs", "/sbin/zfs", "/usr/local/sbin/zfs",
	"/usr/bin/zfs", NULL };
static const char *const zpool_programs[] = { "/usr/sbin/zpool", "/sbin/zpool",
	"/usr/local/sbin/zpool", "/usr/bin/zpool", NULL };

/* ---- open ------------------------------------------------------------------------------ */

void zfs_close(struct zfs *z)
{
	if (!z)
		return;
	zfs_library_free(z->library);
	free(z->program);
	free(z->pool_program);
	free(z);
}

bool zfs_has_library(const struct zfs *z)
{
	return z->library != NULL;
}

int zfs_open(const struct zfs_options *opts, struct zfs **ret, struct imbrex_error *err)
{
	AUTO_ZFS struct zfs *z = calloc(1, sizeof(*z));
	const char *program = opts->program ? opts->program : proc_find(zfs_programs);
	const char *pool_program = proc_find(zpool_programs);
	struct imbrex_error why = { 0 };
	int r = 0;

	if (!z)
		return fail_nomem(err);
	z->trace = opts->trace;
	z->program = program ? strdup(program) : NULL;
	z->pool_program = pool_program ? strdup(pool_program) : NULL;
	if ((program && !z->program) || (pool_program && !z->pool_program))
		return fail_nomem(err);
	if (opts->road != ZFS_ROAD_COMMAND)
		r = zfs_library_load(&z->library, &why);
	if (r < 0 && opts->road == ZFS_ROAD_LIBRARY)
		return fail(err, r, "%s", why.message);
	if (!z->library && !z->program) {
		r = fail(err, IMBREX_ENOTSUP, "neither zfs(8) nor libzfs_core is installed");
		return hint(err, r, "install zfsutils-linux");
	}
	*ret = take_ptr(z);
	return 0;
}

/* ---- roads ----------------------------------------------------------------------------- */

/* One operation: NULL terminated words, the last of them the dataset it is about. */
struct operation {
	const char *words[6];
	const struct zfs_properties *props; /* after the first word; NULL: none */
	const struct zfs_name *noun;
};

static int words_of(const struct operation *o, struct strv *ret)
{
	size_t i;
	int r = 0;

	for (i = 0; r == 0 && i < ARRAY_LEN(o->words) && o->words[i]; i++) {
		r = strv_add(ret, o->words[i]);
		if (r == 0 && i == 0)
			r = zfs_command_properties(ret, o->props);
	}
	return r;
}

static int command(
	struct zfs *z, const struct operation *o, struct str *out, struct imbrex_error *err)
{
	AUTO_STRV words = { 0 };

	if (words_of(o, &words) < 0)
		return fail_nomem(err);
	return zfs_command_run(
		z, &(struct zfs_command){ .words = &words, .noun = o->noun, .out = out }, err);
}

/* The library has been asked, and said -errno. */
static int library_said(
	int e, const char *what, const struct zfs_name *name, struct imbrex_error *err)
{
	return e < 0 ? fail_code(err, e, "zfs: cannot %s '%s'", what, name->text) : 0;
}

static void trace_call(
	const struct zfs *z, const char *call, const struct zfs_name *a, const struct zfs_name *b)
{
	const char *const words[] = { call, a->text, b ? b->text : NULL };

	zfs_trace_words(z, words, b ? 3 : 2);
}

static int check_properties(const struct zfs_properties *props, struct imbrex_error *err)
{
	size_t i;

	for (i = 0; props && i < props->n; i++) {
		const struct zfs_property *p = &props->items[i];

		if (!p->name[0] || p->name[strspn(p->name, "abcdefghijklmnopqrstuvwxyz"
							   "0123456789_.:-")])
			return fail(err, IMBREX_EINVAL, "'%.100s' is no ZFS property", p->name);
		if (strlen(p->value) >= LIMIT_ZFS_VALUE_BYTES)
			return fail(err, IMBREX_ELIMIT,
				"ZFS property %s: a value of more than %u bytes", p->name,
				LIMIT_ZFS_VALUE_BYTES - 1);
		if (p->value[strcspn(p->value, "\t\n\r")])
			return fail(err, IMBREX_EINVAL,
				"ZFS property %s: a line break or tab in its value", p->name);
	}
	return 0;
}

/* ---- datasets -------------------------------------------------------------------------- */

int zfs_exists(struct zfs *z, const struct zfs_name *name, struct imbrex_error *err)
{
	const struct operation o = { { "list", "-H", "-o", "name", name->text }, .noun = name };
	int r;

	if (z->library) {
		trace_call(z, "lzc_exists", name, NULL);
		return zfs_library_exists(z->library, name);
	}
	r = command(z, &o, NULL, err);
	if (r == IMBREX_ENOENT)
		return 0;
	return r < 0 ? r : 1;
}

int zfs_create(struct zfs *z, const struct zfs_name *name, const struct zfs_properties *props,
	struct imbrex_error *err)
{
	const struct operation o = { { "create", "-u", name->text }, props, name };
	int r = check_properties(props, err);

	assert(!zfs_name_is_snapshot(name));
	if (r < 0)
		return r;
	if (!z->library || !zfs_library_takes(props))
		return command(z, &o, NULL, err);
	trace_call(z, "lzc_create", name, NULL);
	return library_said(zfs_library_create(z->library, name, props), "create", name, err);
}

int zfs_snapshot(struct zfs *z, const struct zfs_name *snapshot, struct imbrex_error *err)
{
	const struct operation o = { { "snapshot", snapshot->text }, .noun = snapshot };

	assert(zfs_name_is_snapshot(snapshot));
	if (!z->library)
		return command(z, &o, NULL, err);
	trace_call(z, "lzc_snapshot", snapshot, NULL);
	return library_said(
		zfs_library_snapshot(z->library, snapshot), "create snapshot", snapshot, err);
}

int zfs_clone(struct zfs *z, const struct zfs_name *snapshot, const struct zfs_name *name,
	const struct zfs_properties *props, struct imbrex_error *err)
{
	const struct operation o = { { "clone", snapshot->text, name->text }, props, name };
	int r = check_properties(props, err);

	assert(zfs_name_is_snapshot(snapshot) && !zfs_name_is_snapshot(name));
	if (r < 0)
		return r;
	if (!z->library || !zfs_library_takes(props))
		return command(z, &o, NULL, err);
	trace_call(z, "lzc_clone", snapshot, name);
	return library_said(
		zfs_library_clone(z->library, snapshot, name, props), "create", name, err);
}

int zfs_promote(struct zfs *z, const struct zfs_name *name, struct imbrex_error *err)
{
	const struct operation o = { { "promote", name->text }, .noun = name };

	if (!z->library)
		return command(z, &o, NULL, err);
	trace_call(z, "lzc_promote", name, NULL);
	return library_said(zfs_library_promote(z->library, name), "promote", name, err);
}

int zfs_destroy(struct zfs *z, const struct zfs_name *name, struct imbrex_error *err)
{
	const struct operation o = { { "destroy", name->text }, .noun = name };
	int e;

	if (!z->library)
		return command(z, &o, NULL, err);
	trace_call(z, "lzc_destroy", name, NULL);
	e = zfs_name_is_snapshot(name)
		    ? zfs_library_destroy_snapshot(z->library, name, /* later= */ false)
		    : zfs_library_destroy(z->library, name);
	return library_said(e, "destroy", name, err);
}

int zfs_destroy_tree(struct zfs *z, const struct zfs_name *name, struct imbrex_error *err)
{
	const struct operation o = { { "destroy", "-r", name->text }, .noun = name };
	int e;

	assert(!zfs_name_is_snapshot(name));
	if (z->library) {
		trace_call(z, "lzc_destroy", name, NULL);
		e = zfs_library_destroy(z->library, name);
		/* Mounted, or with something below it: zfs(8) tells them apart. */
		if ((e != -EBUSY && e != -EEXIST) || !z->program)
			return library_said(e, "destroy", name, err);
	}
	return command(z, &o, NULL, err);
}

int zfs_destroy_later(struct zfs *z, const struct zfs_name *snapshot, struct imbrex_error *err)
{
	const struct operation o = { { "destroy", "-d", snapshot->text }, .noun = snapshot };

	assert(zfs_name_is_snapshot(snapshot));
	if (!z->library)
		return command(z, &o, NULL, err);
	trace_call(z, "lzc_destroy_snaps", snapshot, NULL);
	return library_said(zfs_library_destroy_snapshot(z->library, snapshot, /* later= */ true),
		"destroy", snapshot, err);
}

int zfs_rename(struct zfs *z, const struct zfs_name *from, const struct zfs_name *to,
	struct imbrex_error *err)
{
	const struct operation o = { { "rename", from->text, to->text }, .noun = from };

	assert(zfs_name_is_snapshot(from) == zfs_name_is_snapshot(to));
	if (!z->library)
		return command(z, &o, NULL, err);
	trace_call(z, "lzc_rename", from, to);
	return library_said(zfs_library_rename(z->library, from, to), "rename", from, err);
}

static int hold(struct zfs *z, const struct zfs_name *snapshot, const char *tag, bool release,
	struct imbrex_error *err)
{
	const struct operation o = { { release ? "release" : "hold", tag, snapshot->text },
		.noun = snapshot };

	assert(zfs_name_is_snapshot(snapshot));
	if (!tag[0] || tag[0] == '-' || strlen(tag) >= ZFS_NAME_BYTES)
		return fail(err, IMBREX_EINVAL, "'%.100s' is no name of a ZFS hold", tag);
	if (!z->library)
		return command(z, &o, NULL, err);
	trace_call(z, release ? "lzc_release" : "lzc_hold", snapshot, NULL);
	return library_said(zfs_library_hold(z->library, snapshot, tag, release),
		release ? "release" : "hold", snapshot, err);
}

int zfs_hold(
	struct zfs *z, const struct zfs_name *snapshot, const char *tag, struct imbrex_error *err)
{
	return hold(z, snapshot, tag, /* release= */ false, err);
}

int zfs_release(
	struct zfs *z, const struct zfs_name *snapshot, const char *tag, struct imbrex_error *err)
{
	return hold(z, snapshot, tag, /* release= */ true, err);
}

/* ---- properties ------------------------------------------------------------------------ */

int zfs_set(struct zfs *z, const struct zfs_name *name, const struct zfs_property *property,
	struct imbrex_error *err)
{
	AUTO_FREE char *word = format_text("%s=%s", property->name, property->value);
	const struct operation o = { { "set", word, name->text }, .noun = name };
	int r = check_properties(&(struct zfs_properties){ property, 1 }, err);

	if (r < 0)
		return r;
	return word ? command(z, &o, NULL, err) : fail_nomem(err);
}

int zfs_inherit(
	struct zfs *z, const struct zfs_name *name, const char *property, struct imbrex_error *err)
{
	const struct operation o = { { "inherit", property, name->text }, .noun = name };
	const struct zfs_property p = { property, "" };
	int r = check_properties(&(struct zfs_properties){ &p, 1 }, err);

	return r < 0 ? r : command(z, &o, NULL, err);
}

/* "local\tvalue\n": the value is everything after the first tab, whatever it holds. */
static int take_value(struct str *text, char **ret, bool *ret_local)
{
	const char *tab = strchr(str_text(text), '\t');
	size_t len;

	if (!tab || text->data[text->len - 1] != '\n')
		return -EINVAL;
	len = text->len - (size_t)(tab + 1 - text->data) - 1;
	*ret = strndup(tab + 1, len);
	if (!*ret)
		return -ENOMEM;
	if (ret_local)
		*ret_local = str_after(text->data, "local\t") != NULL;
	return 0;
}

int zfs_get(struct zfs *z, const struct zfs_name *name, const char *property, char **ret,
	bool *ret_local, struct imbrex_error *err)
{
	AUTO_STR out = STR_INIT(LIMIT_ZFS_VALUE_BYTES + 2 * ZFS_NAME_BYTES);
	const struct operation o = { { "get", "-Hp", "-osource,value", property, name->text },
		.noun = name };
	const struct zfs_property p = { property, "" };
	int r = check_properties(&(struct zfs_properties){ &p, 1 }, err);

	if (r == 0)
		r = command(z, &o, &out, err);
	if (r < 0)
		return r;
	r = take_value(&out, ret, ret_local);
	if (r == -ENOMEM)
		return fail_nomem(err);
	return r < 0 ? fail(err, IMBREX_EFORMAT, "ZFS dataset '%s': zfs get %s tells nothing",
			       name->text, property)
		     : 0;
}

struct wanted {
	const char *const *names;
	size_t n;
	size_t i;
	struct strv *ret;
};

static int take_native(void *ctx, char *const *fields, struct imbrex_error *err)
{
	struct wanted *w = ctx;

	if (w->i == w->n || !str_eq(fields[0], w->names[w->i]))
		return fail(err, IMBREX_EFORMAT,
			"zfs get tells of '%.100s', which nobody asked for", fields[0]);
	w->i++;
	return strv_add(w->ret, fields[1]) < 0 ? fail_nomem(err) : 0;
}

int zfs_get_native(struct zfs *z, const struct zfs_name *name, const char *const *properties,
	size_t n, struct strv *ret, struct imbrex_error *err)
{
	AUTO_STR out = STR_INIT(64u * LIMIT_ZFS_VALUE_BYTES);
	AUTO_STR list = STR_INIT(4096);
	struct operation o = { { "get", "-Hp", "-oproperty,value", NULL, name->text },
		.noun = name };
	struct wanted w = { .names = properties, .n = n, .ret = ret };
	size_t i;
	int r = 0;

	for (i = 0; r == 0 && i < n; i++)
		r = str_printf(&list, "%s%s", i ? "," : "", properties[i]);
	if (r < 0)
		return fail_nomem(err);
	o.words[3] = str_text(&list);
	r = command(z, &o, &out, err);
	if (r == 0 && out.len)
		r = zfs_rows(out.data, out.len, 2, take_native, &w, err);
	if (r == 0 && w.i < n)
		r = fail(err, IMBREX_EFORMAT, "zfs get does not tell of '%s'", properties[w.i]);
	return r < 0 ? wrap(err, r, "ZFS dataset '%s'", name->text) : 0;
}

/* ---- lists ----------------------------------------------------------------------------- */

struct child_walk {
	const struct zfs_name *parent;
	bool has_origin;
	zfs_child_fn fn;
	void *ctx;
};

static int take_child(void *ctx, char *const *fields, struct imbrex_error *err)
{
	const struct child_walk *w = ctx;
	const struct zfs_child child = { .name = fields[0],
		.origin = w->has_origin ? fields[1] : "-" };
	struct zfs_name checked;

	if (!zfs_name_below(fields[0], w->parent) ||
		zfs_name_dataset(&checked, fields[0], NULL) < 0)
		return 0; /* `parent` itself, or no name at all */
	return w->fn(w->ctx, &child, err);
}

int zfs_children(struct zfs *z, const struct zfs_name *parent, const char *local, zfs_child_fn fn,
	void *ctx, struct imbrex_error *err)
{
	static const char *const by_origin[] = { "list", "-Hp", "-r", "-d", "1", "-t", "filesystem",
		"-o", "name,origin" };
	static const char *const by_property[] = { "get", "-H", "-r", "-d", "1", "-t", "filesystem",
		"-s", "local", "-o", "name" };
	const char *const *fixed = local ? by_property : by_origin;
	size_t i, n = local ? ARRAY_LEN(by_property) : ARRAY_LEN(by_origin);
	struct child_walk w = { parent, local == NULL, fn, ctx };
	AUTO_STR out = STR_INIT(LIMIT_ZFS_LIST_BYTES);
	AUTO_STRV words = { 0 };
	int r = 0;

	for (i = 0; r == 0 && i < n; i++)
		r = strv_add(&words, fixed[i]);
	if (r == 0 && local)
		r = strv_add(&words, local);
	if (r == 0)
		r = strv_add(&words, parent->text);
	if (r < 0)
		return fail_nomem(err);
	r = zfs_command_run(
		z, &(struct zfs_command){ .words = &words, .noun = parent, .out = &out }, err);
	if (r < 0 || !out.len)
		return r;
	return zfs_rows(out.data, out.len, local ? 1 : 2, take_child, &w, err);
}

struct snapshot_walk {
	zfs_snapshot_fn fn;
	void *ctx;
};

static int take_snapshot(void *ctx, char *const *fields, struct imbrex_error *err)
{
	const struct snapshot_walk *w = ctx;

	return w->fn(w->ctx, fields[0], str_eq(fields[1], "on"), err);
}

int zfs_snapshots(struct zfs *z, const struct zfs_name *dataset, bool children, zfs_snapshot_fn fn,
	void *ctx, struct imbrex_error *err)
{
	const char *const fixed[] = { "list", "-H", "-r", "-d", children ? "2" : "1", "-t",
		"snapshot", "-s", "createtxg", "-o", "name,defer_destroy", dataset->text };
	struct snapshot_walk w = { fn, ctx };
	AUTO_STR out = STR_INIT(LIMIT_ZFS_LIST_BYTES);
	AUTO_STRV words = { 0 };
	size_t i;
	int r = 0;

	for (i = 0; r == 0 && i < ARRAY_LEN(fixed); i++)
		r = strv_add(&words, fixed[i]);
	if (r < 0)
		return fail_nomem(err);
	r = zfs_command_run(
		z, &(struct zfs_command){ .words = &words, .noun = dataset, .out = &out }, err);
	if (r < 0 || !out.len)
		return r;
	return zfs_rows(out.data, out.len, 2, take_snapshot, &w, err);
}

int zfs_pool_health(struct zfs *z, const struct zfs_name *in, char **ret, struct imbrex_error *err)
{
	char pool[ZFS_NAME_BYTES];
	AUTO_STR out = STR_INIT(256);
	AUTO_STRV words = { 0 };
	int r;

	(void)snprintf(pool, sizeof(pool), "%.*s", (int)strcspn(in->text, "/@"), in->text);
	if (strv_add(&words, "list") < 0 || strv_add(&words, "-H") < 0 ||
		strv_add(&words, "-ohealth") < 0 || strv_add(&words, pool) < 0)
		return fail_nomem(err);
	r = zfs_command_run(z,
		&(struct zfs_command){ .words = &words, .noun = in, .out = &out, .pool = true },
		err);
	if (r < 0)
		return r;
	*ret = strndup(str_text(&out), strcspn(str_text(&out), "\n"));
	return *ret ? 0 : fail_nomem(err);
}

/* ---- streams --------------------------------------------------------------------------- */

int zfs_send(struct zfs *z, const struct zfs_name *snapshot, const struct zfs_name *from, int fd,
	struct imbrex_error *err)
{
	const struct operation o = { { "send", from ? "-i" : snapshot->text,
					     from ? from->text : NULL, snapshot->text },
		.noun = snapshot };
	AUTO_STRV words = { 0 };

	assert(zfs_name_is_snapshot(snapshot) && (!from || zfs_name_is_snapshot(from)));
	if (words_of(&o, &words) < 0)
		return fail_nomem(err);
	return zfs_command_run(z,
		&(struct zfs_command){ .words = &words, .noun = snapshot, .stdout_fd = fd }, err);
}

int zfs_receive(struct zfs *z, const struct zfs_name *name, int fd,
	const struct zfs_receive_opts *opts, struct imbrex_error *err)
{
	AUTO_STRV words = { 0 };
	int r = check_properties(&opts->props, err);

	if (r < 0)
		return r;
	r = strv_add(&words, "receive");
	if (r == 0)
		r = strv_add(&words, "-u");
	if (r == 0 && opts->resumable)
		r = strv_add(&words, "-s");
	if (r == 0 && opts->force)
		r = strv_add(&words, "-F");
	if (r == 0)
		r = zfs_command_properties(&words, &opts->props);
	if (r == 0)
		r = strv_add(&words, name->text);
	if (r < 0)
		return fail_nomem(err);
	return zfs_command_run(
		z, &(struct zfs_command){ .words = &words, .noun = name, .stdin_fd = fd }, err);
}
