/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One mount of an overlay layer: everything it needs, gathered before anything is done.
 *
 * plan (overlay_mount.c) -> lowers shown through maps (overlay_shift.c) -> mounted by the kernel
 * (overlay_mount.c) or a program (overlay_program.c). Nothing outside of the driver includes this.
 */
#ifndef DRIVER_OVERLAY_PLAN_H
#define DRIVER_OVERLAY_PLAN_H

#include "driver/overlay.h"

struct overlay_plan {
	struct overlay_layer layer;
	struct overlay_words words;
	struct strv lowers;         /* absolute, topmost first */
	char *dir;                  /* owned; absolute layer directory */
	char *upper;                /* owned; NULL: read only */
	char *work;                 /* owned; with upper */
	char *target;               /* owned; absolute mount point */
	int mounts;                 /* owned; directory that holds `merged` */
	const char *label;          /* borrowed; NULL: none */
	const struct id_maps *maps; /* borrowed; what the mount is to shift by; NULL: nothing */
	bool is_volatile;
};

/* overlay_shift.c */
/* Mounts that show directories of layers through maps, for as long as the overlay is being made. */
struct overlay_shift {
	struct overlay_clone *clones; /* owned */
	size_t n;
	int dir; /* owned; where those are attached that must be; -EBADF: none is */
	int at;  /* borrowed; directory that `dir` lies in */
};
#define OVERLAY_SHIFT_INIT    \
	{                     \
		.dir = -EBADF \
	}
/*
 * Replace each of `lowers` by a path that shows it through `maps`.
 *
 * at  directory of ours in which `mapped` is made for kernels that need attached mounts
 */
int overlay_shift_lowers(struct overlay *o, const struct id_maps *maps, int at, struct strv *lowers,
	struct overlay_shift *ret, struct imbrex_error *err) MUST_CHECK;
void overlay_shift_done(struct overlay_shift *s);
#define AUTO_OVERLAY_SHIFT __attribute__((cleanup(overlay_shift_done))) struct overlay_shift
/* Detach what a crash, or a peer, has left in `mapped` of a layer directory. */
void overlay_shift_forget(int dir);

/* overlay_program.c */
int overlay_program_mount(struct overlay *o, const char *id, const struct overlay_plan *p,
	struct imbrex_error *err) MUST_CHECK;

#endif
