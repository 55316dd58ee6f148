/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a writable layer may take at most: "size" in bytes, "inodes". Each writable layer gets a
 * project of its own where the file system has project quotas, also without a limit, so that what
 * it takes is counted.
 *
 * A layer's directory carries its project, where peers look for it; `diff` and `work`, in which
 * nothing is yet, pass it on to all that is made in them. What we make beside them, to mount and
 * to unmount, is not counted: a full layer must not be in the way of that. The limit goes with the
 * layer; one that a crash leaves limits nobody, because no inode carries its project, and the next
 * layer that draws the number replaces it.
 *
 * Source: containers/storage, drivers/overlay and drivers/quota; docs/formats/overlay-layer.md.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "driver/options.h"
#include "driver/overlay.h"
#include "os/fd.h"
#include "os/probe.h"

/* No number below this one is a layer's, where the home has none. As containers/storage has it. */
#define PROJECT_BASE     UINT32_C(10000)
#define PROJECT_BASE_MAX (UINT32_MAX - (UINT32_C(1) << 25))

/* Numbers above this one are layers'; home directories of one file system get different ones. */
static uint32_t project_base(int home)
{
	uint32_t own = 0;
	struct stat st;

	if (project_of(home, &own) == 0 && own)
		return MIN(own, PROJECT_BASE_MAX);
	if (fstat(home, &st) < 0)
		return PROJECT_BASE;
	own = (uint32_t)(st.st_ino * PROJECT_BASE % (UINT32_MAX - PROJECT_BASE));
	return MIN(PROJECT_BASE + own, PROJECT_BASE_MAX);
}

/* Names move between the home and its temporary directories: neither may pass a project on. */
static int stop_inheritance(int home)
{
	AUTO_CLOSE int temp = -EBADF;
	int r;

	r = project_stop_inheritance(home);
	if (r < 0)
		return r;
	temp = openat(home, "tempdirs", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return temp < 0 ? 0 : project_stop_inheritance(temp);
}

/* 1: layers can be limited; negative: why not, as projquota_check() says it. */
static int quota_state(struct overlay *o)
{
	int home = o->homes[0].fd;

	if (o->quota == 0) {
		o->quota = projquota_check(home);
		if (o->quota == 0) {
			o->project_base = project_base(home);
			o->quota = stop_inheritance(home);
		}
		if (o->quota == 0)
			o->quota = 1;
	}
	return o->quota;
}

/* `what` names the option: "layer option 'size'". */
static int refuse(struct overlay *o, const char *what, int why, struct imbrex_error *err)
{
	const char *home = o->homes[0].path;
	uint32_t magic = 0;
	int r;

	(void)!fs_magic(o->homes[0].fd, &magic);
	if (why == -EPERM)
		return fail(err, IMBREX_EPERM,
			"%s: project quotas are for root outside of user namespaces", what);
	if (why == -ENOLCK)
		return fail(err, IMBREX_ENOTSUP,
			"%s: project quotas of '%s' are counted, but not enforced", what, home);
	if (why != -EOPNOTSUPP)
		return fail_code(err, why, "%s: prepare '%s' for project quotas", what, home);
	if (magic == FS_MAGIC_XFS || magic == FS_MAGIC_EXT) {
		r = fail(err, IMBREX_ENOTSUP,
			"%s needs project quotas, and '%s' lies on %s without them", what, home,
			fs_name(magic));
		return hint(err, r, "mount it with option 'prjquota'%s",
			magic == FS_MAGIC_EXT ? ", after tune2fs -O project,quota" : "");
	}
	r = fail(err, IMBREX_ENOTSUP, "%s needs project quotas, and '%s' lies on %s", what, home,
		fs_name(magic));
	return hint(err, r, "put the store on XFS or ext4 mounted with option 'prjquota'");
}

int overlay_quota_open(struct overlay *o, struct imbrex_error *err)
{
	const struct project_limits *limits = &o->options.limits;
	int r;

	/* Asked in any case: temporary directories are made next, and must not inherit a project.
	 */
	r = quota_state(o);
	if (r > 0 || (!limits->size_bytes && !limits->inodes))
		return 0;
	return refuse(
		o, limits->size_bytes ? "option overlay.size" : "option overlay.inodes", r, err);
}

int overlay_limit_option(const char *name, const char *key, const char *value,
	struct project_limits *limits, struct imbrex_error *err)
{
	char *end;

	if (str_eq(key, "size"))
		return option_bytes(name, value, &limits->size_bytes, err);
	errno = 0;
	limits->inodes = strtoull(value, &end, 10);
	if (*value < '0' || *value > '9' || *end || errno)
		return fail(err, IMBREX_EINVAL, "option %s: '%s' is not a number", name, value);
	return 0;
}

/* The limits that the options of one layer ask for; *ret_key: one that was there, or "". */
static int read_options(const struct driver_layer_opts *opts, struct project_limits *limits,
	char ret_key[DRIVER_OPTION_KEY_BYTES], struct imbrex_error *err)
{
	size_t i;
	int r;

	ret_key[0] = '\0';
	for (i = 0; opts && opts->options && i < opts->options->n; i++) {
		struct driver_option opt;

		r = option_split(opts->options->items[i], "overlay", &opt, err);
		if (r < 0)
			return r;
		if (r == 0)
			continue;
		if (!str_eq(opt.key, "size") && !str_eq(opt.key, "inodes"))
			return fail(err, IMBREX_EINVAL, "layer option '%s' is unknown", opt.key);
		if (opts->image)
			return fail(err, IMBREX_EINVAL,
				"layer option '%s' is for writable layers only, not for layers of "
				"images",
				opt.key);
		r = overlay_limit_option(opt.key, opt.key, opt.value, limits, err);
		if (r < 0)
			return r;
		memcpy(ret_key, opt.key, sizeof(opt.key));
	}
	return 0;
}

int overlay_limit_layer(struct overlay *o, const struct overlay_made *made,
	const struct driver_layer_opts *opts, struct imbrex_error *err)
{
	struct project_limits wanted = o->options.limits;
	char key[DRIVER_OPTION_KEY_BYTES];
	char what[DRIVER_OPTION_KEY_BYTES + 32];
	struct project_limits old;
	uint32_t project = 0;
	int r;

	r = read_options(opts, &wanted, key, err);
	if (r < 0 || (opts && opts->image))
		return r;
	r = quota_state(o);
	if (r < 0 && key[0]) {
		(void)snprintf(what, sizeof(what), "layer option '%s'", key);
		return refuse(o, what, r, err);
	}
	if (r < 0)
		return 0;
	r = project_claim(o->homes[0].fd, o->project_base, made->dir, &project);
	if (r == -EAGAIN)
		return fail(err, IMBREX_ENOSPC, "no project number is free for a new layer");
	if (r == 0)
		r = project_pass_on(made->diff, project);
	if (r == 0)
		r = project_pass_on(made->work, project);
	if (r == 0)
		r = project_ask(made->dir, project, &old, NULL);
	if (r == 0 && (old.size_bytes != wanted.size_bytes || old.inodes != wanted.inodes))
		r = project_limit(made->dir, project, &wanted);
	return r < 0 ? fail_code(err, r, "set the project quota of a new layer") : 0;
}

/* The project that a layer's directory has of its own; 0: none. */
static uint32_t layer_project(struct overlay *o, int dir)
{
	uint32_t project = 0;

	if (quota_state(o) < 0 || project_of(dir, &project) < 0 || project <= o->project_base)
		return 0;
	return project;
}

void overlay_release_limit(struct overlay *o, int dir)
{
	const struct project_limits none = { 0 };
	uint32_t project = layer_project(o, dir);
	struct project_limits old;

	if (project && project_ask(dir, project, &old, NULL) == 0 && (old.size_bytes || old.inodes))
		(void)!project_limit(dir, project, &none);
}

int overlay_limits(
	struct driver *d, const char *id, struct driver_limits *ret, struct imbrex_error *err)
{
	struct overlay *o = overlay_of(d);
	AUTO_OVERLAY_LAYER layer = OVERLAY_LAYER_INIT;
	struct project_limits limits;
	struct project_usage usage;
	uint32_t project;
	int r;

	r = overlay_layer_open(o, id, &layer, err);
	if (r < 0)
		return r;
	project = layer.home == 0 ? layer_project(o, layer.fd) : 0;
	if (!project)
		return 0;
	r = project_ask(layer.fd, project, &limits, &usage);
	if (r < 0)
		return fail_code(err, r, "layer %s: ask for its project quota", id);
	*ret = (struct driver_limits){ limits.size_bytes, limits.inodes, usage.size_bytes,
		usage.inodes };
	return 1;
}
