/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the overlay driver share. Nothing outside src/driver includes this.
 *
 * overlay.c          life cycle: open, remove, list
 * overlay_stage.c    a new layer, or new content for one: stage, publish, replace
 * overlay_options.c  the driver's options
 * overlay_additional.c  layers whose content lies in an additional layer store
 * overlay_layer.c    one layer directory: link, lower, generations; repair of l/
 * overlay_lowers.c   what lies below a layer
 * overlay_words.c    mount options by whom they are for
 * overlay_plan.h     one mount before it is made
 * overlay_mount.c    a chain of layers becomes a path, and back
 * overlay_shift.c    lowers shown through identity maps
 * overlay_map.c      a layer whose owners follow another identity map
 * overlay_program.c  mounting by fuse-overlayfs
 * overlay_probe.c    what this kernel can do, cached in the run directory
 * overlay_quota.c    what a layer may take at most
 * overlay_read.c     one layer on the way out: open_file, status
 * overlay_check.c    is a layer's directory as it should be; its content as a tree
 * overlay_repair.c   names and directories made again; what dead writers left
 * overlay_diff.c     how it differs from another: diff, changes, diff_size
 * docs/formats/overlay-layer.md says what lies on disk.
 */
#ifndef DRIVER_OVERLAY_H
#define DRIVER_OVERLAY_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/str.h"
#include "base/strv.h"
#include "driver/driver.h"
#include "os/projquota.h"

#define OVERLAY_LINK_LEN 26
/* Lowers in one mount: kernel limit (fs/overlayfs/params.h, OVL_MAX_STACK). */
#define OVERLAY_LOWERS_MAX 500
/* A `lower` file of that many "l/<link>" with colons, with room to spare. */
#define OVERLAY_LOWER_BYTES (32u * 1024u)

/* Where layers of others can be had; see overlay_additional.c. */
struct overlay_layer_store {
	char *path;          /* owned; absolute */
	bool with_reference; /* a directory for each image's reference */
};

struct overlay_options {
	char *mountopt;           /* owned; comma list; NULL: none */
	char *mount_program;      /* owned; absolute path; NULL: the kernel mounts */
	struct strv image_stores; /* other graphroots that may hold layers, read only */
	struct overlay_layer_store *layer_stores; /* owned array */
	size_t n_layer_stores;
	bool skip_mount_home; /* do not bind the home onto itself before mounting */
	bool ignore_chown_errors;
	bool sync_filesystem;
	bool has_force_mask;
	mode_t force_mask;
	struct project_limits limits; /* of writable layers that say nothing else */
};

/* A directory that layers lie in: those that are ours to write first, then those of image stores.
 */
struct overlay_home {
	char *path; /* owned; absolute */
	int fd;     /* owned; the directory, open for reading */
	int links;  /* owned; its l/; -EBADF in one that is not ours, or read-only and without */
};

struct overlay {
	struct driver base;
	struct driver_config config;
	struct overlay_options options;
	struct overlay_home *homes; /* owned array; [0] is <graphroot>/overlay */
	size_t n_homes;
	size_t n_own; /* of them, those that are ours: [1] is <imagestore>/overlay, if there is one
		       */
	int runhome;  /* owned; <runroot>/overlay; -EBADF: nothing is cached */
	bool in_userns;
	int quota; /* 1: layers can be limited; 0: not asked yet; negative: why they cannot */
	uint32_t project_base; /* projects of layers are above it; valid if quota is 1 */
	/* The layer whose files open_file() last opened: exports ask for thousands in a row. */
	char *reading;              /* owned; id; NULL: none */
	int reading_diff;           /* owned; its diff */
	struct strv reading_lowers; /* absolute; filled when a file is not in diff */
};

/* A layer directory as it lies on disk. */
struct overlay_layer {
	size_t home;                     /* index of the home it lies in */
	int fd;                          /* owned; the layer directory */
	char link[OVERLAY_LINK_LEN + 1]; /* "" until read */
	struct str lower;                /* content of `lower`; empty: no parent */
};

/* overlay.c */
int overlay_remove(struct driver *d, const char *id, struct tempdir *trash,
	struct imbrex_error *err) MUST_CHECK;

/* overlay_stage.c: members of driver_ops */
int overlay_stage_new(struct driver *d, struct tempdir *temp, const struct driver_parent *parent,
	const struct driver_layer_opts *opts, struct driver_stage **ret,
	struct imbrex_error *err) MUST_CHECK;
int overlay_stage_copy(
	struct driver_stage *base, const char *id, struct imbrex_error *err) MUST_CHECK;
int overlay_stage_point(
	struct driver_stage *base, const char *path, struct imbrex_error *err) MUST_CHECK;
int overlay_stage_entries(
	struct driver_stage *base, struct entry_sink **ret, struct imbrex_error *err) MUST_CHECK;
int overlay_stage_seal(struct driver_stage *base, const struct driver_parent *parent, bool sync,
	struct imbrex_error *err) MUST_CHECK;
int overlay_stage_map(struct driver_stage *base, const struct id_maps *from,
	const struct id_maps *to, struct imbrex_error *err) MUST_CHECK;
int overlay_stage_rebase(struct driver_stage *base, const struct driver_parent *parent,
	struct imbrex_error *err) MUST_CHECK;
int overlay_stage_publish(
	struct driver_stage *base, const char *id, struct imbrex_error *err) MUST_CHECK;
int overlay_stage_replace(struct driver_stage *base, const char *id, struct tempdir *trash,
	struct imbrex_error *err) MUST_CHECK;
void overlay_stage_free(struct driver_stage *base);
int overlay_create(struct driver *d, const char *id, const struct driver_parent *parent,
	const struct driver_layer_opts *opts, bool sync, struct imbrex_error *err) MUST_CHECK;

/* overlay_options.c */
int overlay_options_parse(
	struct overlay_options *o, const struct strv *options, struct imbrex_error *err) MUST_CHECK;
void overlay_options_done(struct overlay_options *o);

/* overlay_layer.c */
/* IMBREX_EINVAL unless `id` is one plain file name that is no administrative one. */
int overlay_check_id(const char *id, struct imbrex_error *err) MUST_CHECK;
bool overlay_is_link_name(const char *name, size_t len);
/* ENOENT if no home has it. Does not read link and lower. */
int overlay_layer_open(const struct overlay *o, const char *id, struct overlay_layer *ret,
	struct imbrex_error *err) MUST_CHECK;
void overlay_layer_done(struct overlay_layer *l);
#define AUTO_OVERLAY_LAYER __attribute__((cleanup(overlay_layer_done))) struct overlay_layer
#define OVERLAY_LAYER_INIT                                           \
	{                                                            \
		.fd = -EBADF, .lower = STR_INIT(OVERLAY_LOWER_BYTES) \
	}
/* Read and validate `link` and `lower` of an open layer; EFORMAT names what is wrong. */
int overlay_layer_read(
	const char *id, struct overlay_layer *l, struct imbrex_error *err) MUST_CHECK;
/* Id of the layer that "l/<link>" of home `home` leads to; ENOENT, or EFORMAT if not "../ID/diff".
 */
int overlay_link_target(const struct overlay *o, size_t home, const char *link, struct str *ret_id,
	struct imbrex_error *err) MUST_CHECK;
/*
 * Make missing l/ links from the `link` files of the layers of our own home, and missing `link`
 * files from l/. Nothing is removed, because a layer that another program is making right now has
 * one without the other.
 */
int overlay_repair_links(struct overlay *o, struct imbrex_error *err) MUST_CHECK;
/* Which of our own homes a directory is; 0 if it is none. */
size_t overlay_home_of(const struct overlay *o, int dirfd);
/* The name in l/ of a layer that does not say it itself; "" if there is none. */
void overlay_search_link(
	struct overlay *o, size_t home, const char *id, char ret[OVERLAY_LINK_LEN + 1]);
/* A fresh random name for l/. */
int overlay_random_link(char ret[OVERLAY_LINK_LEN + 1], struct imbrex_error *err) MUST_CHECK;

/* overlay_probe.c */
/* ENOTSUP with the reason if the kernel or the file system cannot carry the driver. */
int overlay_probe_support(struct overlay *o, struct imbrex_error *err) MUST_CHECK;
/* 1 yes, 0 no; cached as docs/formats/overlay-layer.md has it. */
int overlay_probe_volatile(struct overlay *o);
int overlay_probe_native_diff(struct overlay *o);
int overlay_probe_metacopy(struct overlay *o);
int overlay_probe_shifts(struct overlay *o);
/* Is metacopy=on configured, and does the kernel do it? */
bool overlay_uses_metacopy(struct overlay *o);

/* overlay_words.c */
/* Mount options by whom they are for. init with { 0 }. */
struct overlay_words {
	struct strv options; /* for the file system: "index=off" */
	uint64_t attrs;      /* for the mount: MOUNT_ATTR_* */
	bool is_volatile;
};
void overlay_words_done(struct overlay_words *w);
#define AUTO_OVERLAY_WORDS __attribute__((cleanup(overlay_words_done))) struct overlay_words
/* A comma list, or NULL. Later words win. */
int overlay_words_add(
	struct overlay_words *w, const char *list, struct imbrex_error *err) MUST_CHECK;

/* overlay_shift.c */
bool overlay_shifts(struct driver *d, const struct id_maps *maps);

/* overlay_additional.c */
/* The `diff` of a layer directory, which may be another's; `how`: O_PATH or O_RDONLY. */
int overlay_diff_open(const struct overlay *o, const char *id, int dir, int how,
	struct imbrex_error *err) MUST_CHECK;
/* Its absolute path; `dir_path` is that of the directory. */
int overlay_diff_path(const struct overlay *o, const char *dir_path, const char *id, int dir,
	char **ret, struct imbrex_error *err) MUST_CHECK;
/* Members of driver_ops. */
int overlay_additional_find(struct driver *d, const char *toc, const char *reference,
	char **ret_path, struct imbrex_error *err) MUST_CHECK;
void overlay_additional_release(struct driver *d, const char *path);
/* The empty `diff` of a directory in the making becomes a link. */
int overlay_additional_point(int dir, const char *path, struct imbrex_error *err) MUST_CHECK;
/* A layer directory goes: its store is told, if it was another's. */
void overlay_additional_removed(struct overlay *o, int dir);

/* overlay_mount.c */
bool overlay_mounted_elsewhere(struct driver *d, const char *id);
int overlay_retire(struct driver *d, struct imbrex_error *err) MUST_CHECK;
int overlay_mount(struct driver *d, const char *id, const struct driver_mount_opts *opts,
	char **ret_path, struct imbrex_error *err) MUST_CHECK;
int overlay_unmount(struct driver *d, const char *id, struct imbrex_error *err) MUST_CHECK;
/* The whole tree of a layer, read only, seen by nobody else. */
struct overlay_view {
	int fd;               /* owned; its root */
	struct tempdir *temp; /* owned; where a mount program put it; NULL: the mount is detached */
};
#define OVERLAY_VIEW_INIT    \
	{                    \
		.fd = -EBADF \
	}
int overlay_view_open(struct overlay *o, const char *id, struct overlay_view *ret,
	struct imbrex_error *err) MUST_CHECK;
/* The same of the staged layer in `dir`, to be written to; `name` for messages. What is written is
 * not on disk before the file system is synced. */
int overlay_view_stage(struct overlay *o, const char *name, int dir, const struct str *lower,
	struct overlay_view *ret, struct imbrex_error *err) MUST_CHECK;
void overlay_view_close(struct overlay_view *v);
#define AUTO_OVERLAY_VIEW __attribute__((cleanup(overlay_view_close))) struct overlay_view

/* overlay_map.c */
struct overlay_staged {
	const char *name;        /* for messages */
	int dir;                 /* the layer directory */
	int *diff;               /* its `diff`; replaced by the new one */
	const struct str *lower; /* as in the file `lower` */
};
/* What a sealed stage without content shows belongs to whom `to` says. On disk on return. */
int overlay_map_owners(struct overlay *o, const struct overlay_staged *s,
	const struct id_maps *from, const struct id_maps *to, struct imbrex_error *err) MUST_CHECK;

/* overlay_quota.c */
/* The directories of a new layer, in which nothing is yet. */
struct overlay_made {
	int dir;
	int diff;
	int work;
};
/* Limit what the new layer may come to hold, as `opts` (or NULL) and the driver's options say.
 * EINVAL: not for this layer; ENOTSUP: not in this store. */
int overlay_limit_layer(struct overlay *o, const struct overlay_made *made,
	const struct driver_layer_opts *opts, struct imbrex_error *err) MUST_CHECK;
/* ENOTSUP if the options of the driver limit layers and this store cannot. */
int overlay_quota_open(struct overlay *o, struct imbrex_error *err) MUST_CHECK;
/* "size" or "inodes"; `name` is for the message. */
int overlay_limit_option(const char *name, const char *key, const char *value,
	struct project_limits *limits, struct imbrex_error *err) MUST_CHECK;
/* The layer directory `dir` goes: its number limits nobody who gets it next. */
void overlay_release_limit(struct overlay *o, int dir);
/* Member of driver_ops. */
int overlay_limits(struct driver *d, const char *id, struct driver_limits *ret,
	struct imbrex_error *err) MUST_CHECK;

/* overlay_lowers.c */
/* Absolute diff directories below layer `id`, topmost first, without its own `diff`. */
int overlay_lowers(
	struct overlay *o, const char *id, struct strv *ret, struct imbrex_error *err) MUST_CHECK;
/* The same of a layer that has been read. */
int overlay_lowers_of(struct overlay *o, const char *id, const struct overlay_layer *layer,
	struct strv *ret, struct imbrex_error *err) MUST_CHECK;

/* overlay_read.c */
int overlay_open_file(struct driver *d, const char *id, const char *name, size_t name_len,
	int *ret_fd, struct imbrex_error *err) MUST_CHECK;
int overlay_status(struct driver *d, struct strv *ret, struct imbrex_error *err) MUST_CHECK;
int overlay_metadata(
	struct driver *d, const char *id, struct strv *ret, struct imbrex_error *err) MUST_CHECK;
void overlay_stop_reading(struct overlay *o);

int overlay_open_tree(
	struct driver *d, const char *id, int *ret_fd, struct imbrex_error *err) MUST_CHECK;

/* overlay_diff.c */
int overlay_diff(struct driver *d, const char *id, const struct id_maps *maps, const char *other,
	const struct id_maps *other_maps, struct entry_sink *to,
	struct imbrex_error *err) MUST_CHECK;
int overlay_changes(struct driver *d, const char *id, const struct id_maps *maps, const char *other,
	const struct id_maps *other_maps, driver_change_fn fn, void *ctx,
	struct imbrex_error *err) MUST_CHECK;
int overlay_diff_size(struct driver *d, const char *id, const char *other, int64_t *ret,
	struct imbrex_error *err) MUST_CHECK;
/* Does a mount option make the kernel keep content elsewhere than in `diff`? */
bool overlay_moves_content(const struct overlay *o);

/* overlay_where.c */
int overlay_locate(struct driver *d, const char *path, struct driver_place *ret,
	struct imbrex_error *err) MUST_CHECK;
int overlay_holds(struct driver *d, const char *id, const char *below, const char *inside,
	struct imbrex_error *err) MUST_CHECK;

/* overlay_check.c */
int overlay_check(struct driver *d, const char *id, const char *parent_id, driver_problem_fn fn,
	void *ctx, struct imbrex_error *err) MUST_CHECK;
int overlay_tree_open(struct driver *d, const char *id, struct driver_tree *ret,
	struct imbrex_error *err) MUST_CHECK;
void overlay_tree_close(struct driver *d, struct driver_tree *t);
/* What `lower` must say above that parent (NULL: nothing), appended. */
int overlay_wanted_lower(struct overlay *o, const char *parent_id, struct str *ret,
	struct imbrex_error *err) MUST_CHECK;
/* 1: the layer stands on a copy of its parent under other owners, as `lower` of that one shows. */
int overlay_stands_on_template(struct overlay *o, const struct overlay_layer *layer,
	const char *wanted, struct imbrex_error *err) MUST_CHECK;

/* overlay_repair.c */
int overlay_repair(struct driver *d, const char *id, const char *parent_id,
	struct imbrex_error *err) MUST_CHECK;
int overlay_repair_mapped(
	struct driver *d, const char *id, const char *below, struct imbrex_error *err) MUST_CHECK;
int overlay_garbage(struct driver *d, bool collect, driver_problem_fn fn, void *ctx,
	struct imbrex_error *err) MUST_CHECK;

static inline struct overlay *overlay_of(struct driver *d)
{
	return CONTAINER_OF(d, struct overlay, base);
}
static inline const char *overlay_opaque_xattr(const struct overlay *o)
{
	return o->in_userns ? "user.overlay.opaque" : "trusted.overlay.opaque";
}

extern const struct driver_ops overlay_ops;

#endif
