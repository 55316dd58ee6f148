/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is the store consistent, what can be repaired, and what is garbage?
 */
#ifndef IMBREX_CHECK_H
#define IMBREX_CHECK_H

#include "imbrex/object.h"
#include "imbrex/progress.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What kind of damage; names are stable: imbrex_problem_name(). */
enum imbrex_problem_kind {
	IMBREX_PROBLEM_OTHER = 0,
	IMBREX_PROBLEM_RECORD_UNREADABLE,  /* one record of a table cannot be read */
	IMBREX_PROBLEM_TABLE_UNREADABLE,   /* a table is cut off or no JSON */
	IMBREX_PROBLEM_RECORD_TWICE,       /* an id or a name is recorded twice */
	IMBREX_PROBLEM_LAYER_UNACCOUNTED,  /* the driver has a layer without a record */
	IMBREX_PROBLEM_LAYER_UNREFERENCED, /* nobody needs it */
	IMBREX_PROBLEM_LAYER_MISSING,      /* a record without a layer in the driver */
	IMBREX_PROBLEM_LAYER_INCOMPLETE,   /* a writer died */
	IMBREX_PROBLEM_PARENT_MISSING,
	IMBREX_PROBLEM_PARENT_LOOP,
	IMBREX_PROBLEM_CONTENT_DIGEST, /* bytes do not add up to the DiffID */
	IMBREX_PROBLEM_CONTENT_SIZE,
	IMBREX_PROBLEM_CONTENT_MODIFIED, /* type, mode, owner or xattrs are not the recorded ones */
	IMBREX_PROBLEM_CONTENT_MISSING,  /* a file of the layer is gone */
	IMBREX_PROBLEM_TARSPLIT_MISSING,
	IMBREX_PROBLEM_TARSPLIT_UNREADABLE,
	IMBREX_PROBLEM_LINK, /* link, lower or l/ of overlay are wrong */
	IMBREX_PROBLEM_LAYER_DATA_MISSING,
	IMBREX_PROBLEM_IMAGE_LAYER_MISSING,
	IMBREX_PROBLEM_IMAGE_DATA_MISSING,
	IMBREX_PROBLEM_IMAGE_DATA_SIZE,
	IMBREX_PROBLEM_IMAGE_DATA_DIGEST,
	IMBREX_PROBLEM_CONTAINER_IMAGE_MISSING,
	IMBREX_PROBLEM_CONTAINER_LAYER_MISSING,
	IMBREX_PROBLEM_CONTAINER_DATA_MISSING,
	IMBREX_PROBLEM_CONTAINER_DATA_SIZE,
	IMBREX_PROBLEM_CONTAINER_DATA_DIGEST,
	IMBREX_PROBLEM_MOUNTS,    /* mountpoints.json counts what is not mounted */
	IMBREX_PROBLEM_LEFTOVER,  /* temporary files and directories of dead writers */
	IMBREX_PROBLEM_DIRECTORY, /* a directory of the store is missing, no directory,
				     or open to others */
	IMBREX_PROBLEM_N
};
IMBREX_API const char *imbrex_problem_name(enum imbrex_problem_kind kind);

struct imbrex_problem {
	enum imbrex_problem_kind kind;
	enum imbrex_kind object_kind; /* of `id`; 0 if it is no object */
	char *id;                     /* full id of the object; "" if none */
	bool read_only;               /* in an additional store: cannot be repaired from here */
	char *object; /* "layer <id>", "image <id>", "container <id>", "file <name>" */
	char *about;  /* what of the object: the key of a document, the id of a layer, parent or
			 image, a path after its change (plus: added, minus: gone, star: changed);
			 "" if nothing of the kind */
	char *text;   /* what is wrong, one line */
	char *action; /* what repair did, or would do; "" if nothing can be done */
	bool repaired;
};
struct imbrex_check_opts {
	bool repair;  /* rebuild or remove what is damaged and not in use */
	bool quick;   /* records and links only; else every layer's bytes against its DiffID */
	bool dry_run; /* with repair: fill `action`, change nothing */
	bool remove;  /* with repair: remove images and layers that cannot be rebuilt and that no
			 container needs (upstream's -r) */
	bool force;   /* with repair: likewise, and containers that cannot be saved (upstream's -f)
		       */
	int64_t max_age_sec; /* of layers that nobody needs; 0: one day; negative: any age */
	const char *from;    /* source to fetch damaged layers from, as imbrex_pull() takes it, or
				another store: its graph root; with repair; NULL: none */
	imbrex_progress_fn progress; /* may be NULL */
	void *progress_userdata;
};
/* Consistency of the whole store, additional stores included. 0 and *ret_n == 0: clean. */
IMBREX_API int imbrex_check(struct imbrex_store *s, const struct imbrex_check_opts *opts,
	struct imbrex_problem **ret, size_t *ret_n, struct imbrex_error *err)
	__attribute__((warn_unused_result));
/*
 * Only the content of one object (as imbrex_object_find() finds it) against its digests: a layer;
 * an image's documents and all of its layers; what a container stands on. Nothing is repaired.
 */
IMBREX_API int imbrex_verify(struct imbrex_store *s, const char *name, unsigned int kinds,
	struct imbrex_problem **ret, size_t *ret_n, struct imbrex_error *err)
	__attribute__((warn_unused_result));
IMBREX_API void imbrex_problems_free(struct imbrex_problem *problems, size_t n);

/* Remove what no record names: orphan directories, stale temporary files, partial downloads.
 * ret: lines that say what was removed; free with imbrex_strings_free(). */
IMBREX_API int imbrex_gc(struct imbrex_store *s, bool dry_run, char ***ret,
	struct imbrex_error *err) __attribute__((warn_unused_result));

#ifdef __cplusplus
}
#endif
#endif
