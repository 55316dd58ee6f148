/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The seam between imbrex and the kernel: every system call that changes a disk passes here (the
 * linker wraps them), is counted, and may be failed, be the last thing that a process does, or be
 * written down.
 *
 * seam_arm -> the operation under test -> seam_disarm.
 *
 * Threading: calls may come from several threads; arming and disarming are for one thread while
 * nothing else runs.
 */
#ifndef FAULT_SEAM_H
#define FAULT_SEAM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum seam_action {
	SEAM_COUNT = 0, /* only count */
	SEAM_FAIL,      /* the Nth call fails with an errno, without having done anything */
	SEAM_BEFORE,    /* the process ends just before the Nth call */
	SEAM_AFTER,     /* or just after it */
	SEAM_RENAMED,   /* or just after the rename to the name given */
	SEAM_WATCH      /* the watcher sees every call that succeeded */
};

enum seam_kind {
	SEAM_CREATE = 0, /* a name for a new regular file, symbolic link, device or directory */
	SEAM_LINK,
	SEAM_RENAME,
	SEAM_UNLINK,
	SEAM_DATA,      /* content changes */
	SEAM_METADATA,  /* mode, owner, times, xattrs change */
	SEAM_SYNC_DATA, /* fdatasync */
	SEAM_SYNC,      /* fsync */
	SEAM_SYNC_FS,
	SEAM_MOUNT /* the tree of mounts changes */
};

struct seam_event {
	enum seam_kind kind;
	const char *call; /* "renameat" */
	const char *path; /* absolute; of a rename: the new one */
	const char *from; /* of a rename: the old path; else NULL */
	ino_t inode;      /* of the object; 0 if it has none */
	ino_t dir;        /* of the directory whose names change; 0 if none do */
};

struct seam_plan {
	enum seam_action action;
	unsigned int n;   /* 1 is the first call */
	int errnum;       /* FAIL */
	const char *name; /* RENAMED: last part of the new path */
	void (*watch)(void *ctx, const struct seam_event *event);
	void *ctx;
};

/* Exit status of a process that SEAM_BEFORE, SEAM_AFTER or SEAM_RENAMED ended. */
#define SEAM_EXIT 86

void seam_arm(const struct seam_plan *plan);
/* Number of calls since seam_arm(). */
unsigned int seam_disarm(void);
/* Name of the call that was failed since seam_arm(); NULL if there were fewer than N. */
const char *seam_failed(void);

/* Syncs succeed without doing anything: where processes die and machines do not. */
void seam_skip_syncs(bool skip);
/* File systems keep the order of renames, or do not, whatever they are. -1: as they are. */
void seam_keep_order(int keeps);
/* The clock is this much ahead. */
void seam_advance_clock(int64_t sec);

#endif
