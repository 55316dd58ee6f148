/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this kernel's overlay file system can do on the file system that the store lies on.
 *
 * Each answer is kept as an empty file "<feature>-true" or "<feature>-false" in the run directory,
 * under the names that containers/storage uses, so the two share their answers; a "false" file may
 * say why. Trees for test mounts are made in the driver's tempdirs, where a crash leaves nothing
 * that could be taken for a layer. The mounts stay detached: nobody sees them.
 *
 * Source: docs/formats/overlay-layer.md, "overlay".
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "driver/overlay_plan.h"
#include "driver/treewalk.h"
#include "os/fd.h"
#include "os/mountfd.h"
#include "os/probe.h"
#include "os/proc.h"
#include "os/xattr.h"

#define MOUNT_PROGRAM_FILE ".has-mount-program"
#define REASON_BYTES       4096

static const char *const mount_programs[] = { "/usr/bin/fuse-overlayfs",
	"/usr/local/bin/fuse-overlayfs", NULL };

/* 1 or 0 as cached, -1 if not; the reason for a 0 is appended to `reason` (may be NULL). */
static int cached(const struct overlay *o, const char *feature, struct str *reason)
{
	struct imbrex_error ignored;
	char name[LIMIT_NAME_BYTES + 1];

	/* A name that is too long was never remembered. */
	if (o->runhome < 0 || snprintf(name, sizeof(name), "%s-true", feature) >= (int)sizeof(name))
		return -1;
	if (exists_at(o->runhome, name))
		return 1;
	if (snprintf(name, sizeof(name), "%s-false", feature) >= (int)sizeof(name) ||
		!exists_at(o->runhome, name))
		return -1;
	if (reason)
		(void)!read_file_at(o->runhome, name, REASON_BYTES, reason, &ignored);
	return 0;
}

/* A cache that cannot be written is probed again next time. */
static void remember(const struct overlay *o, const char *feature, bool value, const char *reason)
{
	struct imbrex_error ignored;
	char name[LIMIT_NAME_BYTES + 1];
	int n = snprintf(name, sizeof(name), "%s-%s", feature, value ? "true" : "false");

	if (o->runhome < 0 || n >= (int)sizeof(name) || strchr(name, '/'))
		return;
	(void)!write_file_at(o->runhome, name, 0600, reason, strlen(reason), &ignored);
}

/* A test overlay: two lowers, an upper and a work directory. */
struct trial {
	struct tempdir *temp;     /* owned */
	char path[FD_PATH_BYTES]; /* of the tempdir */
	int mount;                /* owned; detached */
};

static void trial_done(struct trial *t)
{
	t->mount = close_fd(t->mount);
	tempdir_free(t->temp);
}

static int make_file(int dir, const char *path)
{
	int fd = openat(dir, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	(void)close_fd(fd);
	return fd < 0 ? -1 : 0;
}

static int make_trees(int dir)
{
	static const char *const dirs[] = { "1", "1/d", "2", "2/d", "2/d/e", "u", "u/d", "w" };
	size_t i;

	for (i = 0; i < ARRAY_LEN(dirs); i++)
		if (mkdirat(dir, dirs[i], 0755) < 0)
			return -1;
	if (make_file(dir, "1/f") < 0 || make_file(dir, "2/g") < 0)
		return -1;
	return mknodat(dir, "u/g", S_IFCHR, 0);
}

static int trial_mount(
	struct overlay *o, struct trial *t, bool is_volatile, struct imbrex_error *err)
{
	char lowers[2][FD_PATH_BYTES + 8], upper[FD_PATH_BYTES + 8], work[FD_PATH_BYTES + 8];
	const char *list[] = { lowers[0], lowers[1] };
	AUTO_OVERLAY_WORDS words = { 0 };
	struct overlay_spec spec = { .lowers = list,
		.n_lowers = 2,
		.upper = upper,
		.work = work,
		.userxattr = o->in_userns,
		.is_volatile = is_volatile };
	int r;

	r = overlay_words_add(&words, o->options.mountopt, err);
	if (r < 0)
		return r;
	spec.options =
		(struct mount_options){ (const char *const *)words.options.items, words.options.n };
	spec.attrs = words.attrs & ~(uint64_t)MOUNT_ATTR_RDONLY;
	r = tempdir_new(o->homes[0].fd, "tempdirs", &t->temp, err);
	if (r < 0)
		return r;
	fd_path(tempdir_fd(t->temp), t->path);
	if (make_trees(tempdir_fd(t->temp)) < 0)
		return fail_errno(
			err, "make directories for a test mount in '%s'", o->homes[0].path);
	(void)snprintf(lowers[0], sizeof(lowers[0]), "%s/1", t->path);
	(void)snprintf(lowers[1], sizeof(lowers[1]), "%s/2", t->path);
	(void)snprintf(upper, sizeof(upper), "%s/u", t->path);
	(void)snprintf(work, sizeof(work), "%s/w", t->path);
	r = overlay_mount_new(&spec, err);
	if (r < 0)
		return r;
	t->mount = r;
	return 0;
}

/* A removed directory and a whiteout must show in the upper directory as overlay keeps them. */
static int try_support(struct overlay *o, struct imbrex_error *err)
{
	__attribute__((cleanup(trial_done))) struct trial t = { .mount = -EBADF };
	struct stat st;
	int r;

	r = fs_has_entry_types(o->homes[0].fd, err);
	if (r < 0)
		return r;
	if (r == 0)
		return fail(err, IMBREX_ENOTSUP,
			"'%s' does not tell the types of directory entries (XFS needs ftype=1)",
			o->homes[0].path);
	r = trial_mount(o, &t, false, err);
	if (r < 0)
		return r;
	if (exists_at(t.mount, "g"))
		return fail(err, IMBREX_ENOTSUP, "the overlay file system ignores whiteouts");
	if (unlinkat(t.mount, "d/e", AT_REMOVEDIR) < 0 || unlinkat(t.mount, "d", AT_REMOVEDIR) < 0)
		return fail_errno(err, "remove a directory in a test mount");
	if (fstatat(tempdir_fd(t.temp), "u/d", &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		!S_ISCHR(st.st_mode))
		return fail(err, IMBREX_ENOTSUP, "the overlay file system leaves no whiteout");
	return 0;
}

/* With redirect_dir a renamed directory is an xattr instead of a copy, so `diff` alone does not
 * say what the layer holds. */
static bool try_native_diff(struct overlay *o)
{
	__attribute__((cleanup(trial_done))) struct trial t = { .mount = -EBADF };
	struct imbrex_error ignored;

	return trial_mount(o, &t, false, &ignored) == 0 &&
	       renameat(t.mount, "d", t.mount, "renamed") < 0 && errno == EXDEV;
}

static bool try_metacopy(struct overlay *o)
{
	__attribute__((cleanup(trial_done))) struct trial t = { .mount = -EBADF };
	const char *attr = o->in_userns ? "user.overlay.metacopy" : "trusted.overlay.metacopy";
	AUTO_STR value = STR_INIT(4096);
	AUTO_CLOSE int upper = -EBADF;
	struct imbrex_error ignored;

	if (trial_mount(o, &t, false, &ignored) < 0 || fchmodat(t.mount, "f", 0600, 0) < 0)
		return false;
	upper = openat(tempdir_fd(t.temp), "u", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return upper >= 0 && getxattr_at(upper, "f", attr, &value) == 0;
}

static bool try_volatile(struct overlay *o)
{
	__attribute__((cleanup(trial_done))) struct trial t = { .mount = -EBADF };
	struct imbrex_error ignored;

	return trial_mount(o, &t, true, &ignored) == 0;
}

/* An overlay on a lower directory that is seen through an identity map. */
static bool try_shifts(struct overlay *o)
{
	static const struct imbrex_id_map root = { 0, 0, 1 };
	static const struct id_maps maps = { &root, 1, &root, 1 };
	__attribute__((cleanup(trial_done))) struct trial t = { .mount = -EBADF };
	AUTO_OVERLAY_SHIFT shift = OVERLAY_SHIFT_INIT;
	AUTO_STRV lowers = { 0 };
	struct imbrex_error ignored;
	AUTO_FREE char *upper = NULL;
	AUTO_FREE char *work = NULL;

	if (tempdir_new(o->homes[0].fd, "tempdirs", &t.temp, &ignored) < 0 ||
		make_trees(tempdir_fd(t.temp)) < 0)
		return false;
	fd_path(tempdir_fd(t.temp), t.path);
	upper = format_text("%s/u", t.path);
	work = format_text("%s/w", t.path);
	if (!upper || !work || strv_addf(&lowers, "%s/1", t.path) < 0 ||
		overlay_shift_lowers(o, &maps, tempdir_fd(t.temp), &lowers, &shift, &ignored) < 0)
		return false;
	t.mount = overlay_mount_new(
		&(struct overlay_spec){
			.lowers = (const char *const *)lowers.items,
			.n_lowers = lowers.n,
			.upper = upper,
			.work = work,
			.userxattr = o->in_userns,
		},
		&ignored);
	return t.mount >= 0;
}

static int probe(struct overlay *o, const char *feature, bool (*attempt)(struct overlay *o))
{
	int known = cached(o, feature, NULL);

	if (known >= 0 || o->config.read_only)
		return known > 0;
	known = attempt(o);
	remember(o, feature, known, "");
	return known;
}

int overlay_probe_volatile(struct overlay *o)
{
	return o->options.mount_program ? 1 : probe(o, "volatile", try_volatile);
}

int overlay_probe_shifts(struct overlay *o)
{
	return o->options.mount_program ? 0 : probe(o, "idmapped-lower-dir", try_shifts);
}

int overlay_probe_native_diff(struct overlay *o)
{
	char feature[LIMIT_NAME_BYTES];

	if (o->options.mount_program)
		return 0;
	(void)snprintf(feature, sizeof(feature), "native-diff(%.100s)",
		o->options.mountopt ? o->options.mountopt : "");
	return probe(o, feature, try_native_diff);
}

int overlay_probe_metacopy(struct overlay *o)
{
	char feature[LIMIT_NAME_BYTES];

	if (o->options.mount_program)
		return 0;
	(void)snprintf(feature, sizeof(feature), "metacopy(%.100s)",
		o->options.mountopt ? o->options.mountopt : "");
	return probe(o, feature, try_metacopy);
}

bool overlay_uses_metacopy(struct overlay *o)
{
	const char *opt = o->options.mountopt ? o->options.mountopt : "";

	return strstr(opt, "metacopy=on") && overlay_probe_metacopy(o) > 0;
}

/* Does the layer directory `id` hold what only fuse-overlayfs leaves? */
static bool has_fuse_traces(struct overlay *o, const char *id)
{
	AUTO_OVERLAY_LAYER layer = OVERLAY_LAYER_INIT;
	struct imbrex_error ignored;

	if (overlay_layer_open(o, id, &layer, &ignored) < 0)
		return false;
	return tree_has_fuse_traces(layer.fd, "diff");
}

/* Was this store filled by way of a mount program, so that whiteouts are .wh. files? 1, 0. */
static int used_mount_program(struct overlay *o, struct imbrex_error *err)
{
	AUTO_STR text = STR_INIT(16);
	AUTO_STRV ids = { 0 };
	bool found = false;
	size_t i;
	int r;

	r = read_file_at(o->homes[0].fd, MOUNT_PROGRAM_FILE, text.max_len, &text, err);
	if (r == 0)
		return str_after(str_text(&text), "true") != NULL;
	if (r != IMBREX_ENOENT)
		return r;
	r = o->base.ops->list(&o->base, &ids, err);
	if (r < 0)
		return r;
	for (i = 0; i < ids.n && !found; i++)
		found = has_fuse_traces(o, ids.items[i]);
	r = write_file_at(o->homes[0].fd, MOUNT_PROGRAM_FILE, 0600, found ? "true" : "false",
		found ? 4 : 5, err);
	return r < 0 ? r : found;
}

/* The kernel cannot (for the reason in err): a mount program may. `made`: it did before. */
static int fall_back(struct overlay *o, bool made, int r, struct imbrex_error *err)
{
	const char *program = proc_find(mount_programs);

	if (!program)
		return hint(err, r, "install fuse-overlayfs, or use the driver vfs");
	/* A store that is there already can be read without it. */
	if (!made && access("/dev/fuse", R_OK | W_OK) < 0)
		return hint(err, r,
			"fuse-overlayfs could stand in, but this user may not open /dev/fuse: "
			"allow it, or use another file system or the driver vfs");
	o->options.mount_program = strdup(program);
	if (!o->options.mount_program)
		return fail_nomem(err);
	return write_file_at(o->homes[0].fd, MOUNT_PROGRAM_FILE, 0600, "true", 4, err);
}

static int check_backing(struct overlay *o, struct imbrex_error *err)
{
	uint32_t magic = 0;
	int r = fs_magic(o->homes[0].fd, &magic);

	if (r < 0)
		return fail_code(err, r, "statfs '%s'", o->homes[0].path);
	if (magic == FS_MAGIC_AUFS || magic == FS_MAGIC_OVERLAY || magic == FS_MAGIC_ECRYPTFS ||
		(o->in_userns && fs_is_network(magic)))
		return fail(err, IMBREX_ENOTSUP, "overlay cannot lie on %s ('%s')", fs_name(magic),
			o->homes[0].path);
	return 0;
}

static int native_support(struct overlay *o, struct imbrex_error *err)
{
	AUTO_STR reason = STR_INIT(REASON_BYTES);
	struct imbrex_error why = { 0 };
	int r;

	r = check_backing(o, err);
	if (r < 0)
		return r;
	r = cached(o, "overlay", &reason);
	if (r > 0)
		return 0;
	if (r == 0)
		return fail(err, IMBREX_ENOTSUP, "overlay does not work in '%s': %s",
			o->homes[0].path, reason.len ? str_text(&reason) : "(no reason kept)");
	r = try_support(o, &why);
	if (r == IMBREX_ENOSPC || r == IMBREX_ENOMEM || r == IMBREX_EIO) {
		if (err)
			*err = why;
		return r;
	}
	/* Too few rights say nothing about the kernel. */
	if (r != IMBREX_EPERM)
		remember(o, "overlay", r == 0, r < 0 ? why.message : "");
	return r == 0 ? 0
		      : fail(err, IMBREX_ENOTSUP, "overlay does not work in '%s': %s",
				o->homes[0].path, why.message);
}

int overlay_probe_support(struct overlay *o, struct imbrex_error *err)
{
	int r;

	if (o->options.mount_program)
		return write_file_at(o->homes[0].fd, MOUNT_PROGRAM_FILE, 0600, "true", 4, err);
	r = used_mount_program(o, err);
	if (r < 0)
		return r;
	if (r > 0) {
		r = fail(err, IMBREX_ENOTSUP,
			"the layers in '%s' were made for fuse-overlayfs, which is not installed",
			o->homes[0].path);
		return fall_back(o, /* made= */ true, r, err);
	}
	r = native_support(o, err);
	return r == IMBREX_ENOTSUP ? fall_back(o, /* made= */ false, r, err) : r;
}
