/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mounts of this process's mount namespace, as /proc/self/mountinfo tells them.
 *
 * parse | read -> find* -> done
 * Threading: one thread per object. Errors: err (EFORMAT names the line).
 * Source: proc(5), /proc/pid/mountinfo; Linux fs/proc_namespace.c show_mountinfo().
 */
#ifndef OS_MOUNTINFO_H
#define OS_MOUNTINFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"
#include "imbrex/error.h"

/* Strings are borrowed from the struct mountinfo; octal escapes are undone. */
struct mount_entry {
	uint64_t id;
	uint64_t parent_id;
	uint32_t dev_major;
	uint32_t dev_minor;
	const char *root;        /* the part of the file system that is mounted */
	const char *target;      /* mount point, as seen from our root */
	const char *options;     /* of this mount */
	const char *propagation; /* "shared:2 master:1"; "" if private */
	const char *fs_type;
	const char *source;        /* "" if none */
	const char *super_options; /* of the file system, e.g. lowerdir=...; "" if none */
};

struct mountinfo {
	char *text;                  /* owned */
	struct mount_entry *entries; /* owned; in the order of mounting */
	size_t n;
};

#define MOUNTINFO_INIT \
	{              \
		.n = 0 \
	}

int mountinfo_parse(
	const char *text, size_t len, struct mountinfo *ret, struct imbrex_error *err) MUST_CHECK;
/* /proc/self/mountinfo. */
int mountinfo_read(struct mountinfo *ret, struct imbrex_error *err) MUST_CHECK;
void mountinfo_done(struct mountinfo *m);
#define AUTO_MOUNTINFO __attribute__((cleanup(mountinfo_done))) struct mountinfo

/* The uppermost mount at exactly this absolute, resolved path; NULL if it is no mount point. */
const struct mount_entry *mountinfo_find(const struct mountinfo *m, const char *target);
/* The uppermost mount at the path or above it. */
const struct mount_entry *mountinfo_find_holding(const struct mountinfo *m, const char *path);

/* One "key=value" or "key" of a comma list: the value ("" for a bare key), or NULL. */
const char *mount_option_find(const char *options, const char *key, size_t *ret_len);

#endif
