/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a layer to a path: the overlay mount of its chain, and its end.
 *
 * The mount is made detached and attached last, so a failure leaves nothing mounted. Lowers are
 * the diff directories of the layers that `lower` names by way of l/; each is checked to be a
 * directory and no symbolic link. Who counts mounts is the store: a second mount finds the first.
 *
 * Source: docs/formats/overlay-layer.md, "overlay"; overlayfs.rst of Linux.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "driver/overlay.h"
#include "os/beneath.h"
#include "os/fd.h"
#include "os/mountfd.h"
#include "os/proc.h"

void overlay_words_done(struct overlay_words *w)
{
	strv_done(&w->options);
}

int overlay_words_add(struct overlay_words *w, const char *list, struct imbrex_error *err)
{
	const char *p = list ? list : "";

	while (*p) {
		size_t n = strcspn(p, ",");
		AUTO_FREE char *word = strndup(p, n);

		if (!word)
			return fail_nomem(err);
		p += n;
		p += *p == ',';
		if (n == 0 || str_eq(word, "userxattr"))
			continue;
		if (str_eq(word, "volatile"))
			w->is_volatile = true;
		else if (!mount_attr_from_word(word, &w->attrs) && strv_add(&w->options, word) < 0)
			return fail_nomem(err);
	}
	return 0;
}

/* diff1, diff2, … of a layer: what lay in `diff` before its owners were changed. */
static int add_generations(struct overlay *o, const char *id, const struct overlay_layer *layer,
	struct strv *ret, struct imbrex_error *err)
{
	char name[32];
	unsigned int i;

	for (i = 1; i <= OVERLAY_LOWERS_MAX; i++) {
		(void)snprintf(name, sizeof(name), "diff%u", i);
		if (!is_dir_at(layer->fd, name))
			break;
		if (strv_addf(ret, "%s/%s/%s", o->homes[layer->home].path, id, name) < 0)
			return fail_nomem(err);
	}
	return 0;
}

/* The id behind l/<link>, in whichever home has it. */
static int find_lower(
	struct overlay *o, const char *link, struct str *ret_id, struct imbrex_error *err)
{
	bool repaired = false;
	size_t i;
	int r;

	for (;;) {
		for (i = 0; i < o->n_homes; i++) {
			r = overlay_link_target(o, i, link, ret_id, err);
			if (r != IMBREX_ENOENT)
				return r;
		}
		if (repaired || o->config.read_only)
			break;
		r = overlay_repair_links(o, err);
		if (r < 0)
			return r;
		repaired = true;
	}
	return fail(err, IMBREX_ENOENT, "no layer has the link 'l/%s'", link);
}

static int add_lower(struct overlay *o, const char *id, const char *link, struct strv *ret,
	struct imbrex_error *err)
{
	AUTO_OVERLAY_LAYER layer = OVERLAY_LAYER_INIT;
	AUTO_STR lower_id = STR_INIT(LIMIT_NAME_BYTES);
	int r;

	r = find_lower(o, link, &lower_id, err);
	if (r == 0)
		r = overlay_layer_open(o, str_text(&lower_id), &layer, err);
	if (r < 0)
		return wrap(err, r, "layer %s: below it", id);
	if (!is_dir_at(layer.fd, "diff"))
		return fail(err, IMBREX_EFORMAT, "layer %s: 'diff' is not a directory",
			str_text(&lower_id));
	if (strv_addf(ret, "%s/%s/diff", o->homes[layer.home].path, str_text(&lower_id)) < 0)
		return fail_nomem(err);
	return add_generations(o, str_text(&lower_id), &layer, ret, err);
}

static int lowers_of(struct overlay *o, const char *id, const struct overlay_layer *layer,
	struct strv *ret, struct imbrex_error *err)
{
	const char *p = str_text(&layer->lower);
	int r;

	r = add_generations(o, id, layer, ret, err);
	while (r == 0 && *p) {
		char link[OVERLAY_LINK_LEN + 1];

		/* overlay_layer_read() has checked the form. */
		memcpy(link, p + 2, OVERLAY_LINK_LEN);
		link[OVERLAY_LINK_LEN] = 0;
		r = add_lower(o, id, link, ret, err);
		p += 2 + OVERLAY_LINK_LEN;
		p += *p == ':';
	}
	return r;
}

int overlay_lowers(struct overlay *o, const char *id, struct strv *ret, struct imbrex_error *err)
{
	AUTO_OVERLAY_LAYER layer = OVERLAY_LAYER_INIT;
	int r;

	r = overlay_layer_open(o, id, &layer, err);
	if (r == 0)
		r = overlay_layer_read(id, &layer, err);
	return r < 0 ? r : lowers_of(o, id, &layer, ret, err);
}

/* Everything one mount needs, gathered before anything is done. */
struct plan {
	struct overlay_layer layer;
	struct overlay_words words;
	struct strv lowers; /* absolute, topmost first */
	char *dir;          /* owned; absolute layer directory */
	char *upper;        /* owned; NULL: read only */
	char *work;         /* owned; with upper */
	char *target;       /* owned; absolute mount point */
	int mounts;         /* owned; directory that holds `merged` */
	bool is_volatile;
};

static void plan_done(struct plan *p)
{
	overlay_layer_done(&p->layer);
	overlay_words_done(&p->words);
	strv_done(&p->lowers);
	free(p->dir);
	free(p->upper);
	free(p->work);
	free(p->target);
	(void)close_fd(p->mounts);
}
#define AUTO_PLAN __attribute__((cleanup(plan_done))) struct plan
#define PLAN_INIT                                             \
	{                                                     \
		.layer = OVERLAY_LAYER_INIT, .mounts = -EBADF \
	}

/* Where `merged` lies: in the layer, or below the run directory for layers we may not write. */
static int plan_target(struct overlay *o, const char *id, struct plan *p, struct imbrex_error *err)
{
	AUTO_FREE char *dir = NULL;
	int r;

	if (p->layer.home == 0 && !o->config.read_only) {
		dir = strdup(p->dir);
		p->mounts = fcntl(p->layer.fd, F_DUPFD_CLOEXEC, 3);
		if (p->mounts < 0)
			return fail_errno(err, "layer %s: open", id);
	} else {
		dir = format_text("%s/overlay/%s", o->config.runroot, id);
		if (!dir)
			return fail_nomem(err);
		r = mkdirs_at(AT_FDCWD, dir, 0700, err);
		if (r < 0)
			return r;
		r = open_dir_at(AT_FDCWD, dir, err);
		if (r < 0)
			return r;
		p->mounts = r;
	}
	p->target = dir ? format_text("%s/merged", dir) : NULL;
	if (!p->target)
		return fail_nomem(err);
	r = mkdir_at(p->mounts, "merged", 0700, err);
	return r < 0 ? wrap(err, r, "layer %s", id) : 0;
}

static int plan_words(struct overlay *o, const struct driver_mount_opts *opts, struct plan *p,
	struct imbrex_error *err)
{
	ptrdiff_t metacopy;
	size_t i;
	int r;

	if (opts->options && opts->options->n) {
		for (i = 0; i < opts->options->n; i++) {
			r = overlay_words_add(&p->words, opts->options->items[i], err);
			if (r < 0)
				return r;
		}
	} else {
		r = overlay_words_add(&p->words, o->options.mountopt, err);
		if (r < 0)
			return r;
	}
	metacopy = strv_find(&p->words.options, "metacopy=on");
	if (metacopy >= 0 && overlay_probe_metacopy(o) == 0)
		strv_remove(&p->words.options, (size_t)metacopy);
	if (opts->label && *opts->label &&
		strv_addf(&p->words.options, "context=%s", opts->label) < 0)
		return fail_nomem(err);
	p->is_volatile =
		(opts->volatile_upper || p->words.is_volatile) && overlay_probe_volatile(o) > 0;
	return 0;
}

/* The writable top: diff belongs to root, work exists and does not remember a volatile mount. */
static int prepare_upper(
	struct overlay *o, const char *id, struct plan *p, struct imbrex_error *err)
{
	AUTO_CLOSE int diff = -EBADF;
	struct stat st;
	int r;

	diff = openat(p->layer.fd, "diff", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (diff < 0 || fstat(diff, &st) < 0)
		return fail_errno(err, "layer %s: open 'diff'", id);
	if ((st.st_uid != 0 || st.st_gid != 0) && fchown(diff, 0, 0) < 0 && !o->config.single_id)
		return fail_errno(err, "layer %s: set owner of 'diff'", id);
	r = mkdir_at(p->layer.fd, "work", 0700, err);
	if (r == 0)
		r = remove_tree_at(p->layer.fd, "work/work/incompat/volatile", err);
	if (r < 0)
		return wrap(err, r, "layer %s", id);
	p->upper = format_text("%s/diff", p->dir);
	p->work = format_text("%s/work", p->dir);
	return p->upper && p->work ? 0 : fail_nomem(err);
}

static int plan_lowers(
	struct overlay *o, const char *id, bool read_only, struct plan *p, struct imbrex_error *err)
{
	size_t least = read_only ? 2 : 1;
	int r;

	if (read_only && strv_addf(&p->lowers, "%s/diff", p->dir) < 0)
		return fail_nomem(err);
	r = lowers_of(o, id, &p->layer, &p->lowers, err);
	if (r < 0)
		return r;
	/* The kernel wants two directories at least. */
	if (p->lowers.n < least) {
		if (p->layer.home == 0 && !o->config.read_only)
			r = mkdir_at(p->layer.fd, "empty", 0700, err);
		if (r < 0)
			return wrap(err, r, "layer %s", id);
		if (strv_addf(&p->lowers, "%s/empty", p->dir) < 0)
			return fail_nomem(err);
	}
	if (p->lowers.n > OVERLAY_LOWERS_MAX)
		return fail(err, IMBREX_ELIMIT, "layer %s: %zu directories below it, limit is %d",
			id, p->lowers.n, OVERLAY_LOWERS_MAX);
	return 0;
}

static int native_mount(
	struct overlay *o, const char *id, const struct plan *p, struct imbrex_error *err)
{
	int fd = overlay_mount_new(
		&(struct overlay_spec){
			.lowers = (const char *const *)p->lowers.items,
			.n_lowers = p->lowers.n,
			.upper = p->upper,
			.work = p->work,
			.userxattr = o->in_userns,
			.is_volatile = p->is_volatile && p->upper,
			.options = { (const char *const *)p->words.options.items,
				p->words.options.n },
			.attrs = p->words.attrs,
		},
		err);

	return fd < 0 ? wrap(err, fd, "layer %s", id) : fd;
}

static int native_attach(
	struct overlay *o, const char *id, const struct plan *p, struct imbrex_error *err)
{
	AUTO_CLOSE int fd = -EBADF;
	int r;

	fd = native_mount(o, id, p, err);
	if (fd < 0)
		return fd;
	r = mount_attach(fd, p->mounts, "merged", err);
	return r < 0 ? wrap(err, r, "layer %s", id) : 0;
}

static int program_words(
	const struct overlay *o, const struct plan *p, struct str *s, struct imbrex_error *err)
{
	size_t i;
	int r;

	r = str_puts(s, "lowerdir=");
	for (i = 0; r == 0 && i < p->lowers.n; i++) {
		if (strpbrk(p->lowers.items[i], ":,\\"))
			return fail(err, IMBREX_ENOTSUP,
				"'%s' has a character that a mount program cannot take",
				p->lowers.items[i]);
		r = str_printf(s, "%s%s", i ? ":" : "", p->lowers.items[i]);
	}
	if (r == 0 && p->upper)
		r = str_printf(s, ",upperdir=%s,workdir=%s", p->upper, p->work);
	if (r == 0 && p->is_volatile)
		r = str_puts(s, ",volatile");
	if (r == 0 && (p->words.attrs & MOUNT_ATTR_RDONLY || !p->upper))
		r = str_puts(s, ",ro");
	if (r == 0 && p->words.attrs & MOUNT_ATTR_NODEV)
		r = str_puts(s, ",nodev");
	if (r == 0 && p->words.attrs & MOUNT_ATTR_NOSUID)
		r = str_puts(s, ",nosuid");
	if (r == 0 && p->words.attrs & MOUNT_ATTR_NOEXEC)
		r = str_puts(s, ",noexec");
	for (i = 0; r == 0 && i < p->words.options.n; i++)
		r = str_printf(s, ",%s", p->words.options.items[i]);
	if (r == 0 && o->options.has_force_mask)
		r = str_puts(s, ",xattr_permissions=2");
	return r < 0 ? fail_code(err, r, "mount options of '%s'", p->target) : 0;
}

static int program_mount(
	struct overlay *o, const char *id, const struct plan *p, struct imbrex_error *err)
{
	static const char *const env[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL };
	AUTO_STR words = STR_INIT(1024u * 1024u);
	int r;

	r = program_words(o, p, &words, err);
	if (r == 0)
		r = proc_check(
			&(struct proc_spec){
				.argv = (const char *const[]){ o->options.mount_program, "-o",
					str_text(&words), p->target, NULL },
				.env = env,
				.cause_is_last = true,
			},
			NULL, err);
	if (r < 0 && access("/dev/fuse", R_OK | W_OK) < 0)
		r = hint(err, r, "this user may not open /dev/fuse");
	return r < 0 ? wrap(err, r, "layer %s", id) : 0;
}

/* Read the layer itself into an empty plan. */
static int plan_layer(struct overlay *o, const char *id, struct plan *p, struct imbrex_error *err)
{
	int r = overlay_layer_open(o, id, &p->layer, err);

	if (r == 0)
		r = overlay_layer_read(id, &p->layer, err);
	if (r < 0)
		return r;
	p->dir = format_text("%s/%s", o->homes[p->layer.home].path, id);
	return p->dir ? 0 : fail_nomem(err);
}

/* Have the mount program mount the plan in a tempdir. */
static int program_view(struct overlay *o, const char *id, struct plan *p, struct overlay_view *v,
	struct imbrex_error *err)
{
	int r = tempdir_new(o->homes[0].fd, "tempdirs", &v->temp, err);

	if (r < 0)
		return r;
	r = mkdir_at(tempdir_fd(v->temp), "merged", 0700, err);
	if (r < 0)
		return r;
	p->target = format_text("/proc/%d/fd/%d/merged", (int)getpid(), tempdir_fd(v->temp));
	if (!p->target)
		return fail_nomem(err);
	r = program_mount(o, id, p, err);
	if (r < 0)
		return r;
	r = open_dir_at(tempdir_fd(v->temp), "merged", err);
	if (r < 0)
		return r;
	v->fd = r;
	return 0;
}

int overlay_view_open(
	struct overlay *o, const char *id, struct overlay_view *ret, struct imbrex_error *err)
{
	AUTO_OVERLAY_VIEW v = OVERLAY_VIEW_INIT;
	AUTO_PLAN p = PLAN_INIT;
	int r;

	r = plan_layer(o, id, &p, err);
	if (r == 0)
		r = plan_words(o, &(struct driver_mount_opts){ 0 }, &p, err);
	if (r == 0)
		r = plan_lowers(o, id, true, &p, err);
	if (r < 0)
		return r;
	if (o->options.mount_program) {
		r = program_view(o, id, &p, &v, err);
	} else {
		r = native_mount(o, id, &p, err);
		v.fd = r;
	}
	if (r < 0)
		return r;
	*ret = v;
	v = (struct overlay_view)OVERLAY_VIEW_INIT;
	return 0;
}

void overlay_view_close(struct overlay_view *v)
{
	struct imbrex_error ignored;

	v->fd = close_fd(v->fd);
	if (v->temp)
		(void)!unmount_at(tempdir_fd(v->temp), "merged", true, &ignored);
	tempdir_free(v->temp);
	v->temp = NULL;
}

/*
 * Peers bind the home onto itself, privately, before they mount a layer, and that hides whatever
 * was mounted below it before. So we do the same, first; and since the fd that we hold may lead
 * beneath a bind mount that came later, we open the home anew.
 */
static int enter_home(struct overlay *o, bool make, struct imbrex_error *err)
{
	static const struct mount_change private = { .propagation = MS_PRIVATE };
	struct overlay_home *home = &o->homes[0];
	AUTO_CLOSE int mount_fd = -EBADF;
	int fd;
	int r;

	if (o->options.skip_mount_home || o->config.read_only)
		return 0;
	if (make && is_mount_point(AT_FDCWD, home->path) == 0) {
		mount_fd = mount_clone(AT_FDCWD, home->path, true, err);
		if (mount_fd < 0)
			return mount_fd;
		r = mount_attach(mount_fd, AT_FDCWD, home->path, err);
		if (r == 0)
			r = mount_change(mount_fd, "", &private, err);
		if (r < 0)
			return r;
	}
	fd = open_dir_at(AT_FDCWD, home->path, err);
	if (fd < 0)
		return fd;
	(void)close_fd(home->fd);
	home->fd = fd;
	return 0;
}

int overlay_mount(struct driver *d, const char *id, const struct driver_mount_opts *opts,
	char **ret_path, struct imbrex_error *err)
{
	struct overlay *o = overlay_of(d);
	AUTO_PLAN p = PLAN_INIT;
	bool read_only;
	int r;

	r = enter_home(o, /* make= */ true, err);
	if (r == 0)
		r = plan_layer(o, id, &p, err);
	if (r == 0)
		r = plan_target(o, id, &p, err);
	if (r < 0)
		return r;
	r = is_mount_point(p.mounts, "merged");
	if (r < 0)
		return fail_code(err, r, "layer %s: look at '%s'", id, p.target);
	if (r > 0) {
		*ret_path = take_ptr(p.target);
		return 0;
	}
	r = plan_words(o, opts, &p, err);
	if (r < 0)
		return r;
	read_only = opts->read_only || p.words.attrs & MOUNT_ATTR_RDONLY || p.layer.home != 0 ||
		    o->config.read_only;
	r = plan_lowers(o, id, read_only, &p, err);
	if (r == 0 && !read_only)
		r = prepare_upper(o, id, &p, err);
	if (r == 0)
		r = o->options.mount_program ? program_mount(o, id, &p, err)
					     : native_attach(o, id, &p, err);
	if (r < 0)
		return r;
	*ret_path = take_ptr(p.target);
	return 0;
}

/* After an unmount: an empty directory in the place of `merged`, as containers/storage leaves it,
 * so that nothing written beneath the mount survives. */
static int renew_merged(int dir, struct imbrex_error *err)
{
	int r = mkdir_at(dir, "merged.1", 0700, err);

	if (r < 0)
		return r;
	if (renameat(dir, "merged.1", dir, "merged") < 0)
		return fail_errno(err, "replace 'merged'");
	return 0;
}

int overlay_unmount(struct driver *d, const char *id, struct imbrex_error *err)
{
	struct overlay *o = overlay_of(d);
	AUTO_OVERLAY_LAYER layer = OVERLAY_LAYER_INIT;
	AUTO_FREE char *run = NULL;
	AUTO_CLOSE int dir = -EBADF;
	int r;

	r = enter_home(o, /* make= */ false, err);
	if (r == 0)
		r = overlay_layer_open(o, id, &layer, err);
	if (r < 0)
		return r;
	if (layer.home == 0 && !o->config.read_only) {
		dir = take_fd(layer.fd);
	} else {
		run = format_text("%s/overlay/%s", o->config.runroot, id);
		if (!run)
			return fail_nomem(err);
		dir = open_dir_at(AT_FDCWD, run, err);
		if (dir == IMBREX_ENOENT)
			return 0;
		if (dir < 0)
			return dir;
	}
	/* Beneath a mount program nobody else tells the upper file system to write. */
	if (o->options.mount_program && layer.home == 0)
		(void)syncfs(dir);
	r = unmount_at(dir, "merged", true, err);
	if (r == IMBREX_ENOENT)
		return 0;
	if (r == 0 && !run)
		r = renew_merged(dir, err);
	if (r < 0)
		return wrap(err, r, "layer %s", id);
	if (run && (unlinkat(dir, "merged", AT_REMOVEDIR) < 0 || rmdir(run) < 0))
		return fail_errno(err, "layer %s: remove '%s'", id, run);
	return 0;
}
