/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One template or layer on its way: made under another name, filled, then named.
 *
 *   template_work_begin ──1──▶ it is here already: nothing to do
 *          │0
 *          ▼            fill .view.fd, or receive into .name
 *   template_work_commit ─────▶ it is here
 *   template_work_free: in every case; without a commit nothing is left
 *
 * Who begins what another process is making waits until that one is done or dead. What a dead one
 * left is destroyed on the spot. One thread per object. Errors: err.
 */
#ifndef TEMPLATE_WORK_H
#define TEMPLATE_WORK_H

#include "base/hex.h"
#include "template/lease.h"
#include "template/mountpoint.h"

struct template_work {
	struct imbrex_templates *t; /* borrowed; NULL: not begun */
	const struct template_kind *kind;
	char key[ID_HEX_LEN + 1];     /* "" until it is known */
	struct zfs_name name;         /* of what is being made */
	struct template_view view;    /* mounted, unless it is to be received */
	char lease[LEASE_TEXT_BYTES]; /* for LEASE_PROPERTY of what the caller receives */
	int lock;                     /* owned; of the key */
	int temp_lock;                /* owned; of the name, if that does not follow from the key */
	bool made;                    /* the dataset may exist */
};
#define TEMPLATE_WORK_INIT                                                      \
	{                                                                       \
		.view = TEMPLATE_VIEW_INIT, .lock = -EBADF, .temp_lock = -EBADF \
	}

/* How the new dataset begins. Zero means default. */
struct template_start {
	const struct zfs_name *origin; /* snapshot that it is a clone of; NULL: empty */
	struct zfs_properties props;   /* besides ours */
	bool receive;                  /* the caller makes the dataset, called .name */
};

/*
 * kind   &t->templates or &t->layers
 * start  NULL: an empty one
 * Returns 1 if there is one of that key; it counts as used now. Errors EBUSY if another program,
 *        which takes no locks, does not finish it
 */
int template_work_begin(struct template_work *w, struct imbrex_templates *t,
	struct template_kind *kind, const char *key, const struct template_start *start,
	struct imbrex_error *err) MUST_CHECK;
/* Of what has no key before it is complete; the caller receives into .name. Templates only. */
int template_work_begin_unnamed(
	struct template_work *w, struct imbrex_templates *t, struct imbrex_error *err) MUST_CHECK;
/* Now it has one. 1 if there is one of that key already: there is nothing to commit. */
int template_work_set_key(
	struct template_work *w, const char *key, struct imbrex_error *err) MUST_CHECK;
/* Unmount it, name it, make its snapshot if it has none of that name, then the properties. */
int template_work_commit(struct template_work *w, struct imbrex_error *err) MUST_CHECK;
void template_work_free(struct template_work *w);
#define AUTO_WORK __attribute__((cleanup(template_work_free))) struct template_work

/*
 * The whole of it, for what is filled by one call: begin, fill, commit; and once more after
 * everything unused was evicted, if there was no space.
 *
 * what     for the warning: "Extraction of …"
 * Returns  1 if it was here already, 0 if it was made
 */
struct template_fill {
	/* w->view.fd is its directory, or w->name is to be received. */
	int (*fn)(void *ctx, struct template_work *w, struct imbrex_error *err);
	void *ctx;
	const char *what;
	struct template_start start;
};
int template_install(struct imbrex_templates *t, struct template_kind *kind, const char *key,
	const struct template_fill *fill, struct imbrex_error *err) MUST_CHECK;

/* The same for what has no key yet: fill->fn calls template_work_set_key() before it returns, and
 * returns what that returned. */
int template_install_unnamed(struct imbrex_templates *t, const struct template_fill *fill,
	char ret_key[ID_HEX_LEN + 1], struct imbrex_error *err) MUST_CHECK;

/* The lock of a key, or of what is made without one ("import-…"). As lease_lock(). */
int template_lock(struct imbrex_templates *t, const struct template_kind *kind, const char *word,
	bool wait, int *ret_fd, struct imbrex_error *err) MUST_CHECK;
/* Is what lies under a name of ours, or of others, left by one who died? 1, 0. The lock of the name
 * is held by the caller. */
int template_is_left(struct imbrex_templates *t, const struct zfs_name *name,
	struct imbrex_error *err) MUST_CHECK;

#endif
