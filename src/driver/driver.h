/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Storage drivers: how one layer's content lies on disk, and how a chain of layers becomes a path.
 *
 * driver_open -> (stage -> entries -> seal -> rebase -> publish | free)*, mount/unmount, remove
 * -> close.
 *
 * A new layer is built in a staging place that no other process looks at, outside every lock:
 *
 *   stage_new ──▶ entries/finish (0 or 1 time) ──▶ seal ──▶ [sync] ──▶ rebase ──▶ publish
 *
 * Freeing it at any point before is abort: the staging place is removed.
 *
 * rebase() compares and publish() renames, so the store can call them under layers.lock. Drivers
 * know nothing of the store's JSON: whoever calls remove(), rebase() or publish() holds layers.lock
 * exclusively.
 *
 * Threads: stages of one driver may be used from several threads at once, one thread per stage.
 * The other functions are called from one thread at a time.
 */
#ifndef DRIVER_DRIVER_H
#define DRIVER_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/strv.h"
#include "driver/apply.h"
#include "os/tempdir.h"
#include "os/userns.h"
#include "tree/entry_sink.h"

struct driver;
struct driver_stage;
struct zfs_options;

struct driver_config {
	const char *graphroot;  /* absolute, exists; borrowed for the life of the driver */
	const char *runroot;    /* absolute, exists; borrowed likewise */
	const char *imagestore; /* absolute, exists; a second root, where layers of images go; NULL:
				   none; borrowed likewise */
	const struct strv
		*options; /* "key=value" or "driver.key=value", in order; borrowed likewise */
	bool rootless;    /* in a user namespace of our own, or not root */
	bool single_id;   /* the user namespace maps one id only: chown errors are ignored */
	bool read_only;   /* never write below graphroot (probes included) */
	bool ordered;     /* the file system makes names durable in the order they were made */
	const struct zfs_options *zfs; /* how the driver zfs talks to ZFS; NULL: as it can; borrowed
					  likewise */
};

/* How a layer is mounted. Zero: as the driver's options say, read-write. */
struct driver_mount_opts {
	bool read_only;
	bool volatile_upper;        /* "volatile" overlay: no sync of the upper layer */
	const struct strv *options; /* replaces the configured mount options; NULL: keep them */
	const char *label;          /* SELinux mount label; NULL or "": none */
	const struct id_maps *maps; /* show the tree through these maps; what is written to it is
				       owned as by the host. NULL: as it lies */
	bool mapped; /* layer and all below have the owners of `maps` on disk: `maps` only say whom
			the root belongs to. Implied where shifts() says no */
};

/* How a new layer is made. Zero: an ordinary writable one. */
struct driver_layer_opts {
	bool image; /* read only once made: goes where images are kept */
	const struct id_maps
		*maps; /* ids of entries are ids inside these maps; NULL: of the host */
	const struct strv *options;          /* "size=10G": of this layer alone; NULL: none */
	const char *label;                   /* SELinux label; NULL or "": none */
	const struct apply_content *content; /* of files; a driver may use it; borrowed until the
						entries are finished; NULL: none */
};

/* Where the layers below a new one are: published, or still staged in the same transaction. */
struct driver_parent {
	const char *id; /* published layer; NULL if `stage` is set or there is no parent */
	struct driver_stage *stage; /* sealed stage of the same driver; NULL otherwise */
};

struct driver_change {
	enum {
		CHANGE_MODIFY = 0,
		CHANGE_ADD = 1,
		CHANGE_DELETE = 2
	} kind;
	const char *path; /* clean, relative */
};
/* Negative ends the walk with that status. */
typedef int (*driver_change_fn)(
	void *ctx, const struct driver_change *change, struct imbrex_error *err);

/* As the file system counts; 0 of the first two: no limit. */
struct driver_limits {
	uint64_t size_bytes_max;
	uint64_t inodes_max;
	uint64_t size_bytes;
	uint64_t inodes;
};

/* What is wrong with what lies on disk. */
enum driver_problem_kind {
	DRIVER_PROBLEM_LINK = 1,  /* how layers name each other */
	DRIVER_PROBLEM_ABSENT,    /* the content of a layer, all of it */
	DRIVER_PROBLEM_DIRECTORY, /* something that mounting needs is not there, or open to others
				   */
	DRIVER_PROBLEM_MODIFIED,  /* an inode is not what its entry says */
	DRIVER_PROBLEM_MISSING,   /* an entry has no inode */
	DRIVER_PROBLEM_LEFTOVER,  /* nobody needs it */
};
struct driver_problem {
	enum driver_problem_kind kind;
	const char *path; /* in the layer's tree, after its change: "+/etc/x"; LEFTOVER: absolute;
			     else NULL */
	const char *text; /* one line, without the layer's name */
};
/* Negative ends the search with that status. */
typedef int (*driver_problem_fn)(
	void *ctx, const struct driver_problem *problem, struct imbrex_error *err);

/* The content of one layer as a directory, and how to read it. */
struct driver_tree {
	int fd;                         /* owned; -EBADF: none */
	void *view;                     /* owned by the driver: what keeps fd good; or NULL */
	bool whole;                     /* it shows what is below the layer, too */
	enum apply_whiteouts whiteouts; /* how deletions lie in it; APPLY_REMOVE: not at all */
	const char *opaque_xattr;       /* static; of directories in it; NULL: none */
	bool any_owner;                 /* chown was allowed to fail */
	bool any_meta;                  /* force_mask: metadata is not the inodes' own */
	bool no_devices;                /* they could not be made */
};

/* What a path below a driver's directory is. */
struct driver_place {
	char *id;         /* owned; the layer's; "" if it is nobody's */
	char *inside;     /* owned; path in the layer's tree: "/etc/passwd"; "" if in none */
	const char *role; /* static: "content", "mount", "record", "link", "temporary", … */
};
void driver_place_done(struct driver_place *p);
#define AUTO_DRIVER_PLACE __attribute__((cleanup(driver_place_done))) struct driver_place

struct driver_ops {
	const char *name; /* also the name of the home directory below graphroot */
	/*
	 * True if content can be staged before the parent is known or complete (overlay). False if
	 * stage_new() needs the parent, because a layer holds a copy or clone of it (vfs, btrfs,
	 * zfs).
	 */
	bool independent;
	/* What follows the layer's id in the path of a mount of it: "/merged", or "". NULL: nothing
	 * is ever mounted. */
	const char *mount_tail;
	/* mount() gives the tree itself, "…/<id>", and mounts nothing; to a privileged caller it
	 * may give a mount, where that can do what he asks for and a path cannot. */
	bool in_place;

	/* ENOTSUP when this kernel or file system cannot carry the driver (selection tries the
	 * next). */
	int (*open)(
		const struct driver_config *config, struct driver **ret, struct imbrex_error *err);
	void (*close)(struct driver *d);

	/*
	 * Make an empty layer in place, where that takes no time worth staging it; NULL otherwise.
	 * Caller holds layers.lock; `parent` is a published one. Nothing is left after a failure.
	 */
	int (*create)(struct driver *d, const char *id, const struct driver_parent *parent,
		const struct driver_layer_opts *opts, bool sync, struct imbrex_error *err);

	/* `temp` is the driver's own temporary directory for this transaction (driver_temp_root).
	 */
	int (*stage_new)(struct driver *d, struct tempdir *temp, const struct driver_parent *parent,
		const struct driver_layer_opts *opts, struct driver_stage **ret,
		struct imbrex_error *err);
	/* Begin with a copy of what published layer `id` holds itself, instead of what is below it:
	 * the stage was made without a parent. */
	int (*stage_copy)(struct driver_stage *s, const char *id, struct imbrex_error *err);
	/*
	 * Layers whose content is somebody else's; NULL: the driver has none. Find one by the text
	 * of its TOC's digest, and the reference of its image ("" if it has none): 1 and where it
	 * is, or 0. Its store is told that it is used, until release. The other one makes an empty
	 * stage show it, in place of content.
	 */
	int (*find_additional)(struct driver *d, const char *toc, const char *reference,
		char **ret_path, struct imbrex_error *err);
	void (*release_additional)(struct driver *d, const char *path);
	int (*stage_point)(struct driver_stage *s, const char *path, struct imbrex_error *err);
	/* Sink that fills the stage; at most one per stage; must be finished before seal. */
	int (*stage_entries)(
		struct driver_stage *s, struct entry_sink **ret, struct imbrex_error *err);
	/* All that is needed besides content (link, lower, work …); no further writing after it.
	 * `sync`: what it wrote is on disk on return; else the caller syncs the file system. */
	int (*stage_seal)(struct driver_stage *s, const struct driver_parent *parent, bool sync,
		struct imbrex_error *err);
	/*
	 * After seal(), instead of content: everything that the stage and the layers below it show
	 * is owned as `to` has it, that was owned as `from` has it (NULL: ids of the host). Takes
	 * long; no lock is held. The result stands on its parent as before.
	 */
	int (*stage_map)(struct driver_stage *s, const struct id_maps *from,
		const struct id_maps *to, struct imbrex_error *err);
	/*
	 * Just before publish(), under the same hold of layers.lock: the sealed stage stands on
	 * `parent` as it is now. Another process may have brought the same layers, or removed and
	 * brought them again, since seal(). What had to be written for that is on disk on return.
	 * Errors EBUSY when what was copied while staging has been replaced.
	 */
	int (*stage_rebase)(struct driver_stage *s, const struct driver_parent *parent,
		struct imbrex_error *err);
	/* Rename into place as layer `id`, replacing an orphan of that name. Caller holds
	 * layers.lock. */
	int (*stage_publish)(struct driver_stage *s, const char *id, struct imbrex_error *err);
	/*
	 * Instead of publish(): the content of published layer `id`, which is not mounted, becomes
	 * the stage's, in one step; the old content goes to `trash`. On disk on return, or no later
	 * than the next saved table. Caller holds layers.lock.
	 * Errors EBUSY if that layer was used or replaced since stage_copy().
	 */
	int (*stage_replace)(struct driver_stage *s, const char *id, struct tempdir *trash,
		struct imbrex_error *err);
	void (*stage_free)(struct driver_stage *s);

	/* Move layer `id` out of sight into `trash`; absent is success. Caller holds layers.lock.
	 */
	int (*remove)(
		struct driver *d, const char *id, struct tempdir *trash, struct imbrex_error *err);

	/* Can mount() show a tree under these maps without changing an owner on disk? */
	bool (*shifts)(struct driver *d, const struct id_maps *maps);
	/* Path of the whole tree. `ret_path` is the caller's to free. Counting is the store's. */
	int (*mount)(struct driver *d, const char *id, const struct driver_mount_opts *opts,
		char **ret_path, struct imbrex_error *err);
	int (*unmount)(struct driver *d, const char *id, struct imbrex_error *err);

	/* Open the content of regular file `name` (a tar name, unclean) as layer `id` itself has
	 * it, read-only, never leaving the layer; for tar-split reassembly. */
	int (*open_file)(struct driver *d, const char *id, const char *name, size_t name_len,
		int *ret_fd, struct imbrex_error *err);
	/* The directory that holds what layer `id` itself brings (with drivers that copy: all). */
	int (*open_tree)(struct driver *d, const char *id, int *ret_fd, struct imbrex_error *err);
	/*
	 * Entries of layer `id` relative to `other` (NULL: nothing; any other published layer, the
	 * parent being the cheap case), sorted by path, a deletion as a whiteout. Owners are told
	 * as inside `maps` (NULL: as on the host) and `other_maps`.
	 */
	int (*diff)(struct driver *d, const char *id, const struct id_maps *maps, const char *other,
		const struct id_maps *other_maps, struct entry_sink *to, struct imbrex_error *err);
	/* The same as changes, sorted, directories before what is in them. */
	int (*changes)(struct driver *d, const char *id, const struct id_maps *maps,
		const char *other, const struct id_maps *other_maps, driver_change_fn fn, void *ctx,
		struct imbrex_error *err);
	/* The same as a number: bytes of files that the difference holds, hard links once. */
	int (*diff_size)(struct driver *d, const char *id, const char *other, int64_t *ret,
		struct imbrex_error *err);

	/* Ids (or other names) of everything that lies where layers lie; appended to ret. */
	int (*list)(struct driver *d, struct strv *ret, struct imbrex_error *err);
	bool (*exists)(struct driver *d, const char *id);
	/* Sync the directories that publish() changed, before the record names the layer. */
	int (*sync_homes)(struct driver *d, struct imbrex_error *err);
	/* Structural check of one layer against its parent (NULL: it has none). */
	int (*check)(struct driver *d, const char *id, const char *parent_id, driver_problem_fn fn,
		void *ctx, struct imbrex_error *err);
	/*
	 * Rebuild what check() finds: names and directories, not content; a lost directory of
	 * content is there afterwards, empty. The parent has been repaired. Caller holds
	 * layers.lock exclusively. EFORMAT for what cannot be rebuilt.
	 */
	int (*repair)(
		struct driver *d, const char *id, const char *parent_id, struct imbrex_error *err);
	/*
	 * The same of a layer that has other owners than what it stands on (stage_map), which is
	 * known to be `below`: a parent, or the template of a copy. NULL: repair() serves.
	 */
	int (*repair_mapped)(
		struct driver *d, const char *id, const char *below, struct imbrex_error *err);
	/* What dead writers have left beside the layers, in directories of ours; with `collect` it
	 * is removed. Caller holds layers.lock, exclusively to collect. */
	int (*garbage)(struct driver *d, bool collect, driver_problem_fn fn, void *ctx,
		struct imbrex_error *err);
	/* Is a layer that is not mounted here mounted in another mount namespace, as far as the
	 * kernel tells? NULL: it cannot be. */
	bool (*mounted_elsewhere)(struct driver *d, const char *id);
	/* Give up what open() or mount() set up and nothing needs while no layer is mounted; the
	 * next mount() sets it up again. NULL: there is nothing. */
	int (*retire)(struct driver *d, struct imbrex_error *err);
	/* Open the content of a published layer, to compare it. From any thread. */
	int (*tree_open)(struct driver *d, const char *id, struct driver_tree *ret,
		struct imbrex_error *err);
	void (*tree_close)(struct driver *d, struct driver_tree *t);
	/* "Key=Value" facts for `info`, appended to ret. */
	int (*status)(struct driver *d, struct strv *ret, struct imbrex_error *err);
	/* Whose a path is, that is relative to the driver's directory in graphroot. */
	int (*locate)(struct driver *d, const char *path, struct driver_place *ret,
		struct imbrex_error *err);
	/* 1: layer `id` itself brings (or deletes) what its tree has at `inside`; 0: what lies
	 * below it, `below` first, does. */
	int (*holds)(struct driver *d, const char *id, const char *below, const char *inside,
		struct imbrex_error *err);
	/* Paths of a layer ("UpperDir=…", "LowerDir=…"), appended to ret, for inspect. */
	int (*metadata)(
		struct driver *d, const char *id, struct strv *ret, struct imbrex_error *err);
	/* What layer `id` itself may take, and what it takes: 1, or 0 if the file system does not
	 * count it. NULL: it never does. */
	int (*limits)(struct driver *d, const char *id, struct driver_limits *ret,
		struct imbrex_error *err);
};

/* First member of each driver's own struct; likewise struct driver_stage. */
struct driver {
	const struct driver_ops *ops;
};
struct driver_stage {
	const struct driver_ops *ops;
};

static inline void driver_close(struct driver *d)
{
	if (d)
		d->ops->close(d);
}
DEFINE_CLEANUP(driver, struct driver, driver_close)
#define AUTO_DRIVER AUTO(driver)

static inline void driver_stage_free(struct driver_stage *s)
{
	if (s)
		s->ops->stage_free(s);
}
DEFINE_CLEANUP(driver_stage, struct driver_stage, driver_stage_free)
#define AUTO_STAGE AUTO(driver_stage)

/* Relative to graphroot: where a transaction's tempdir for this driver goes ("overlay/tempdirs").
 */
void driver_temp_root(const struct driver *d, char *ret, size_t len);

/*
 * Choose and open a driver as containers/storage does: `name` ("" or NULL: by what lies in
 * graphroot, then by `priority`, then by what works here). Names: overlay (alias overlay2), btrfs,
 * zfs, vfs. Errors EINVAL unknown name; ENOTSUP with the reason; EEXIST "several drivers" in
 * graphroot.
 */
int driver_open(const char *name, const struct strv *priority, const struct driver_config *config,
	struct driver **ret, struct imbrex_error *err) MUST_CHECK;

/* NULL terminated list of all drivers that this build has. */
extern const struct driver_ops *const driver_table[];

#endif
