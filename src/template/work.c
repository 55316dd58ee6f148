/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Invariants: (1) KEY with its snapshot is complete; without one, or KEY.tmp, is not. (2) Whatever
 * is not complete is changed, destroyed and renamed by the holder of KEY's lock only. (3) Every
 * dataset of ours has the lease from the moment it exists; one without is of a program that takes
 * no locks: it is waited for, and never destroyed. (4) The snapshot is made last, and is in the
 * same or a later transaction group than everything written before.
 *
 *   nothing ─create, clone─▶ KEY.tmp ─fill, rename─▶ KEY ─snapshot─▶ KEY@pristine
 *      ▲                        │                     │
 *      └────────────────────────┴──── destroy ────────┘    by its maker, or by who comes next
 */
#include "template/work.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/str.h"
#include "os/clock.h"
#include "template/evict.h"

/* How long another program is waited for: as long as enroot's fork waits for itself. */
#define FOREIGN_TRIES   600u
#define FOREIGN_WAIT_MS 1000u

/* ---- locks and leftovers --------------------------------------------------------------- */

int template_lock(struct imbrex_templates *t, const struct template_kind *kind, const char *word,
	bool wait, int *ret_fd, struct imbrex_error *err)
{
	AUTO_FREE char *name = format_text("%s/%s", kind->component, word);

	return name ? lease_lock(t->data_fd, name, wait, ret_fd, err) : fail_nomem(err);
}

int template_is_left(
	struct imbrex_templates *t, const struct zfs_name *name, struct imbrex_error *err)
{
	AUTO_FREE char *text = NULL;
	struct lease lease;
	bool local = false;
	int r = zfs_get(t->z, name, LEASE_PROPERTY, &text, &local, err);

	if (r < 0)
		return r;
	if (!local || !lease_parse(text, strlen(text), &lease))
		return 0;
	/* Of this very process: its lock is ours. */
	return lease.pid == (uint32_t)getpid() || !lease_is_alive(&lease);
}

/* Nothing of that name is there when it returns; what is ours and dead is destroyed. */
static int clear_name(struct imbrex_templates *t, const struct template_kind *kind,
	const struct zfs_name *name, const char *key, struct imbrex_error *err)
{
	unsigned int i;
	int r;

	for (i = 0; i < FOREIGN_TRIES; i++) {
		r = zfs_exists(t->z, name, err);
		if (r <= 0)
			return r;
		r = template_has(t, kind, key, err);
		if (r != 0)
			return r;
		r = template_is_left(t, name, err);
		if (r > 0)
			return template_destroy(t, name, err);
		if (r < 0 && r != IMBREX_ENOENT)
			return r;
		wait_ms(FOREIGN_WAIT_MS);
	}
	r = fail(err, IMBREX_EBUSY, "Timed out waiting for %s %.12s", kind->noun, key);
	return hint(
		err, r, "if the program that makes it has ended: zfs destroy -r %s", name->text);
}

/* 1 if it is complete; else nothing is in the way. The lock is held. */
static int clear_way(struct template_work *w, struct imbrex_error *err)
{
	struct zfs_name name;
	int r = template_has(w->t, w->kind, w->key, err);

	if (r == 0)
		r = template_name(w->kind, w->key, &name, err);
	if (r == 0)
		r = clear_name(w->t, w->kind, &name, w->key, err);
	if (r == 0)
		r = template_temp_name(w->kind, w->key, &name, err);
	return r == 0 ? clear_name(w->t, w->kind, &name, w->key, err) : r;
}

static void used_now(struct template_work *w)
{
	struct zfs_name name;

	if (template_name(w->kind, w->key, &name, NULL) == 0)
		template_touch(w->t, &name);
}

/* ---- begin ----------------------------------------------------------------------------- */

#define PROPS_MAX 8

static int make(
	struct template_work *w, const struct template_start *start, struct imbrex_error *err)
{
	struct zfs_property items[PROPS_MAX];
	struct zfs_properties props = { items, 0 };
	size_t i;
	int r;

	if (start && start->receive)
		return 0;
	/* As the fork has it; and a clone that might be mounted is refused to users. */
	if (start && start->origin)
		items[props.n++] = (struct zfs_property){ "canmount", "noauto" };
	items[props.n++] = (struct zfs_property){ LEASE_PROPERTY, w->lease };
	for (i = 0; start && i < start->props.n && props.n < PROPS_MAX; i++)
		items[props.n++] = start->props.items[i];
	w->made = true;
	r = start && start->origin ? zfs_clone(w->t->z, start->origin, &w->name, &props, err)
				   : zfs_create(w->t->z, &w->name, &props, err);
	return r < 0 ? r : template_view_open(w->t, &w->name, &w->view, err);
}

static int begin(
	struct template_work *w, const struct template_start *start, struct imbrex_error *err)
{
	int r = lease_mine(w->lease, err);

	if (r == 0)
		r = template_prepare(
			w->t, w->kind == &w->t->templates ? &w->t->templates : &w->t->layers, err);
	if (r == 0)
		r = template_has(w->t, w->kind, w->key, err);
	if (r == 0)
		r = template_lock(w->t, w->kind, w->key, /* wait= */ true, &w->lock, err);
	if (r > 0 && w->lock >= 0)
		r = clear_way(w, err);
	if (r > 0)
		used_now(w);
	if (r == 0)
		r = template_temp_name(w->kind, w->key, &w->name, err);
	return r == 0 ? make(w, start, err) : r;
}

int template_work_begin(struct template_work *w, struct imbrex_templates *t,
	struct template_kind *kind, const char *key, const struct template_start *start,
	struct imbrex_error *err)
{
	int r = template_check_key(key, err);

	if (r < 0)
		return r;
	*w = (struct template_work)TEMPLATE_WORK_INIT;
	w->t = t;
	w->kind = kind;
	(void)snprintf(w->key, sizeof(w->key), "%s", key);
	r = begin(w, start, err);
	if (r != 0)
		template_work_free(w);
	return r;
}

int template_work_begin_unnamed(
	struct template_work *w, struct imbrex_templates *t, struct imbrex_error *err)
{
	char digits[11], word[64];
	int r;

	*w = (struct template_work)TEMPLATE_WORK_INIT;
	w->t = t;
	w->kind = &t->templates;
	if (random_digits(digits) < 0)
		return fail(err, IMBREX_EFAIL, "no random numbers");
	(void)snprintf(word, sizeof(word), "import-%ld-%s", (long)getpid(), digits);
	r = lease_mine(w->lease, err);
	if (r == 0)
		r = template_prepare(t, &t->templates, err);
	if (r == 0)
		r = template_lock(t, w->kind, word, /* wait= */ true, &w->temp_lock, err);
	if (r > 0)
		r = template_temp_name(w->kind, word, &w->name, err);
	w->made = r == 0;
	if (r < 0)
		template_work_free(w);
	return r;
}

int template_work_set_key(struct template_work *w, const char *key, struct imbrex_error *err)
{
	int r = template_check_key(key, err);

	if (r < 0)
		return r;
	(void)snprintf(w->key, sizeof(w->key), "%s", key);
	r = template_lock(w->t, w->kind, key, /* wait= */ true, &w->lock, err);
	if (r > 0)
		r = clear_way(w, err);
	if (r > 0)
		used_now(w);
	return r;
}

/* ---- commit ---------------------------------------------------------------------------- */

static int publish(struct template_work *w, struct imbrex_error *err)
{
	struct zfs_name name, snapshot;
	int r;

	r = template_name(w->kind, w->key, &name, err);
	if (r == 0)
		r = template_snapshot_name(w->kind, w->key, &snapshot, err);
	if (r == 0)
		r = zfs_rename(w->t->z, &w->name, &name, err);
	if (r < 0)
		return r;
	w->name = name;
	r = zfs_snapshot(w->t->z, &snapshot, err);
	/* A stream may have brought it. */
	if (r < 0 && r != IMBREX_EEXIST)
		return r;
	w->made = false;
	template_set(w->t, &name, "readonly", "on");
	template_date(w->t, &name);
	template_touch(w->t, &name);
	return 0;
}

int template_work_commit(struct template_work *w, struct imbrex_error *err)
{
	int r = template_view_close(w->t, &w->view, err);

	if (r == 0)
		r = publish(w, err);
	return r < 0 ? wrap(err, r, "%s %.12s", w->kind->noun, w->key) : 0;
}

void template_work_free(struct template_work *w)
{
	if (!w->t)
		return;
	(void)!template_view_close(w->t, &w->view, NULL);
	/* What stays all the same is taken away by the next sweep. */
	if (w->made)
		(void)!template_destroy(w->t, &w->name, NULL);
	w->lock = close_fd(w->lock);
	w->temp_lock = close_fd(w->temp_lock);
	w->t = NULL;
}

/* ---- the whole of it ------------------------------------------------------------------- */

static int try_once(struct imbrex_templates *t, struct template_kind *kind, const char *key,
	const struct template_fill *fill, char *ret_key, struct imbrex_error *err)
{
	AUTO_WORK w = TEMPLATE_WORK_INIT;
	int r;

	r = key ? template_work_begin(&w, t, kind, key, &fill->start, err)
		: template_work_begin_unnamed(&w, t, err);
	if (r == 0)
		r = fill->fn(fill->ctx, &w, err);
	if (r == 0)
		r = template_work_commit(&w, err);
	if (r >= 0 && ret_key)
		(void)snprintf(ret_key, ID_HEX_LEN + 1, "%s", w.key);
	return r;
}

static int install(struct imbrex_templates *t, struct template_kind *kind, const char *key,
	const struct template_fill *fill, char *ret_key, struct imbrex_error *err)
{
	struct imbrex_error why = { 0 };
	int r = try_once(t, kind, key, fill, ret_key, &why);

	if (r == IMBREX_ENOSPC) {
		template_note(t, IMBREX_NOTE_WARN,
			"%s failed (%s); evicting all warm templates and retrying", fill->what,
			why.message);
		r = template_sweep(t, EVICT_ALL, err);
		return r < 0 ? r : try_once(t, kind, key, fill, ret_key, err);
	}
	if (r < 0 && err)
		*err = why;
	return r;
}

int template_install(struct imbrex_templates *t, struct template_kind *kind, const char *key,
	const struct template_fill *fill, struct imbrex_error *err)
{
	return install(t, kind, key, fill, NULL, err);
}

int template_install_unnamed(struct imbrex_templates *t, const struct template_fill *fill,
	char ret_key[ID_HEX_LEN + 1], struct imbrex_error *err)
{
	return install(t, &t->templates, NULL, fill, ret_key, err);
}
