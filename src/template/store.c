/* SPDX-License-Identifier: Apache-2.0 */
/* See the header. The dataset is the one that is mounted at the data path; nothing else is asked.
 */
#include "template/store.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "base/hex.h"
#include "base/str.h"
#include "config.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/mountinfo.h"
#include "os/proc.h"
#include "template/mountpoint.h"

#define WARM_SEC_DEFAULT       604800u
#define LAYER_WARM_SEC_DEFAULT 2592000u
#define PRESSURE_DEFAULT       80u
/* How often a busy dataset is asked again, each time after twice as long: half a second in all. */
#define BUSY_TRIES 9

/* ---- open ------------------------------------------------------------------------------ */

void imbrex_templates_close(struct imbrex_templates *t)
{
	if (!t)
		return;
	zfs_close(t->z);
	t->data_fd = close_fd(t->data_fd);
	free(t->data_path);
	free(t->helper);
	free(t);
}

/* The dataset whose root is mounted at the data path. */
static int find_dataset(struct imbrex_templates *t, struct imbrex_error *err)
{
	AUTO_MOUNTINFO m = MOUNTINFO_INIT;
	const struct mount_entry *e;
	int r = mountinfo_read(&m, err);

	if (r < 0)
		return r;
	e = mountinfo_find(&m, t->data_path);
	if (!e || !str_eq(e->fs_type, "zfs") || !str_eq(e->root, "/"))
		return fail(err, IMBREX_ENOENT,
			"ENROOT_DATA_PATH (%s) is not a ZFS dataset mountpoint", t->data_path);
	return zfs_name_dataset(&t->fs, e->source, err);
}

static int find_helper(struct imbrex_templates *t, const char *given, struct imbrex_error *err)
{
	static const char *const paths[] = { ENROOT_ZFS_MOUNT, "/usr/bin/enroot-zfs-mount",
		"/usr/local/bin/enroot-zfs-mount", NULL };
	const char *path = given ? given : proc_find(paths);

	if (!path)
		return 0;
	if (*path != '/')
		return fail(err, IMBREX_EINVAL, "mount helper '%s' is no absolute path", path);
	t->helper = strdup(path);
	return t->helper ? 0 : fail_nomem(err);
}

static int set_kinds(struct imbrex_templates *t, const struct imbrex_templates_opts *opts,
	struct imbrex_error *err)
{
	int r;

	t->templates = (struct template_kind){ .component = ".templates",
		.snapshot = "pristine",
		.noun = "template",
		.warm_sec = opts->warm_sec ? *opts->warm_sec : WARM_SEC_DEFAULT };
	t->layers = (struct template_kind){ .component = ".layers",
		.snapshot = "done",
		.noun = "layer",
		.warm_sec = opts->layer_warm_sec ? *opts->layer_warm_sec : LAYER_WARM_SEC_DEFAULT };
	r = zfs_name_child(&t->templates.parent, &t->fs, t->templates.component, err);
	return r < 0 ? r : zfs_name_child(&t->layers.parent, &t->fs, t->layers.component, err);
}

int templates_open(const struct imbrex_templates_opts *opts, const struct zfs_options *zfs,
	struct imbrex_templates **ret, struct imbrex_error *err)
{
	AUTO_TEMPLATES *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return fail_nomem(err);
	t->data_fd = -EBADF;
	t->pressure_percent = opts->pressure_percent ? opts->pressure_percent : PRESSURE_DEFAULT;
	t->layer_chain = opts->layer_chain;
	t->note = opts->note;
	t->userdata = opts->userdata;
	t->data_path = realpath(opts->data_path, NULL);
	if (!t->data_path)
		return fail_errno(err, "ENROOT_DATA_PATH (%s)", opts->data_path);
	r = find_dataset(t, err);
	if (r == 0)
		r = set_kinds(t, opts, err);
	if (r == 0)
		r = find_helper(t, opts->mount_helper, err);
	if (r == 0)
		r = zfs_open(zfs, &t->z, err);
	if (r < 0)
		return r;
	t->data_fd = open_root_dir_at(AT_FDCWD, t->data_path, err);
	if (t->data_fd < 0)
		return t->data_fd;
	*ret = take_ptr(t);
	return 0;
}

PUBLIC int imbrex_templates_open(const struct imbrex_templates_opts *opts,
	struct imbrex_templates **ret, struct imbrex_error *err)
{
	return templates_open(opts, &(struct zfs_options){ 0 }, ret, err);
}

/* ---- notes ----------------------------------------------------------------------------- */

void template_note(struct imbrex_templates *t, enum imbrex_note level, const char *fmt, ...)
{
	AUTO_STR text = STR_INIT(IMBREX_ERROR_MESSAGE_MAX);
	va_list ap;

	if (!t->note)
		return;
	va_start(ap, fmt);
	/* What is too long, or for which there is no memory, is cut. */
	(void)!str_vprintf(&text, fmt, ap);
	va_end(ap);
	t->note(t->userdata, level, str_text(&text));
}

/* ---- names ----------------------------------------------------------------------------- */

int template_check_key(const char *key, struct imbrex_error *err)
{
	return id_is_valid(key) ? 0
				: fail(err, IMBREX_EINVAL, "'%.80s' is no key of a template", key);
}

int template_name(const struct template_kind *kind, const char *key, struct zfs_name *ret,
	struct imbrex_error *err)
{
	return zfs_name_child(ret, &kind->parent, key, err);
}

int template_snapshot_name(const struct template_kind *kind, const char *key, struct zfs_name *ret,
	struct imbrex_error *err)
{
	struct zfs_name name;
	int r = template_name(kind, key, &name, err);

	return r < 0 ? r : zfs_name_snapshot(ret, &name, kind->snapshot, err);
}

int template_temp_name(const struct template_kind *kind, const char *word, struct zfs_name *ret,
	struct imbrex_error *err)
{
	AUTO_FREE char *component = format_text("%s" TEMPLATE_TEMP_SUFFIX, word);

	return component ? zfs_name_child(ret, &kind->parent, component, err) : fail_nomem(err);
}

const char *template_relative(const struct imbrex_templates *t, const struct zfs_name *name)
{
	const char *rest = str_after(name->text, t->fs.text);

	return rest && *rest == '/' ? rest + 1 : "";
}

int template_has(struct imbrex_templates *t, const struct template_kind *kind, const char *key,
	struct imbrex_error *err)
{
	struct zfs_name snapshot;
	int r = template_snapshot_name(kind, key, &snapshot, err);

	return r < 0 ? r : zfs_exists(t->z, &snapshot, err);
}

/* ---- the parents ----------------------------------------------------------------------- */

int template_prepare(
	struct imbrex_templates *t, struct template_kind *kind, struct imbrex_error *err)
{
	int r;

	if (kind->ready)
		return 0;
	r = template_is_mounted(t, &kind->parent, err);
	if (r == 0) {
		r = zfs_create(t->z, &kind->parent, NULL, err);
		/* Who may not make it may still use it. */
		if (r < 0 && (r == IMBREX_EEXIST || zfs_exists(t->z, &kind->parent, NULL) > 0))
			r = 0;
		if (r == 0)
			r = template_mount(t, &kind->parent, err);
	}
	if (r < 0)
		return r;
	kind->ready = true;
	return 0;
}

/* ---- properties ------------------------------------------------------------------------ */

void template_set(struct imbrex_templates *t, const struct zfs_name *name, const char *property,
	const char *value)
{
	(void)!zfs_set(t->z, name, &(struct zfs_property){ property, value }, NULL);
}

void template_touch(struct imbrex_templates *t, const struct zfs_name *name)
{
	struct timespec now;
	char text[24];

	now_realtime(&now);
	(void)snprintf(text, sizeof(text), "%" PRId64, (int64_t)now.tv_sec);
	template_set(t, name, TEMPLATE_USED_PROPERTY, text);
}

void template_date(struct imbrex_templates *t, const struct zfs_name *name)
{
	struct timespec now;
	struct tm tm;
	char text[32];

	now_realtime(&now);
	if (gmtime_r(&now.tv_sec, &tm) &&
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) > 0)
		template_set(t, name, TEMPLATE_IMPORTED_PROPERTY, text);
}

/* ---- destroying ------------------------------------------------------------------------ */

int template_destroy(
	struct imbrex_templates *t, const struct zfs_name *name, struct imbrex_error *err)
{
	struct imbrex_error why = { 0 };
	unsigned int i;
	int r = template_unmount(t, name, err);

	if (r < 0)
		return r;
	for (i = 0;; i++) {
		why = (struct imbrex_error){ 0 };
		r = zfs_destroy_tree(t->z, name, &why);
		if (r != IMBREX_EBUSY || why.errnum != EBUSY || i == BUSY_TRIES)
			break;
		/* A view of a process that ends just now. */
		wait_ms(1u << i);
	}
	if (r == 0 || r == IMBREX_ENOENT) {
		template_remove_place(t, name);
		return 0;
	}
	if (err)
		*err = why;
	return r;
}

/* ---- calls ----------------------------------------------------------------------------- */

PUBLIC int imbrex_template_find(
	struct imbrex_templates *t, const char *key, struct imbrex_error *err)
{
	struct zfs_name name;
	int r = template_check_key(key, err);

	if (r == 0)
		r = template_has(t, &t->templates, key, err);
	if (r > 0 && template_name(&t->templates, key, &name, NULL) == 0)
		template_touch(t, &name);
	return r;
}

PUBLIC void imbrex_template_describe(
	struct imbrex_templates *t, const char *key, const struct imbrex_template_origin *origin)
{
	const struct zfs_property all[] = { { "enroot:uri", origin->uri },
		{ "enroot:manifest-digest", origin->manifest_digest },
		{ "enroot:arch", origin->arch } };
	struct zfs_name name;
	size_t i;

	if (!id_is_valid(key) || template_name(&t->templates, key, &name, NULL) < 0)
		return;
	for (i = 0; i < ARRAY_LEN(all); i++) {
		if (all[i].value && *all[i].value)
			template_set(t, &name, all[i].name, all[i].value);
	}
}
