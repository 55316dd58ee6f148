/* SPDX-License-Identifier: Apache-2.0 */
/* What a container holds now, as a stream; see the header. */
#include "template/send.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "os/clock.h"
#include "template/clone.h"
#include "template/evict.h"
#include "template/lease.h"

#define EXPORT_PREFIX "enroot-export-"
#define SEND_PREFIX   "enroot-send-"
#define KEEP_SEC      86400u
/* Clones of clones: more than layers of an image. */
#define ORIGINS_MAX 256u

/* ---- leftovers ------------------------------------------------------------------------- */

struct leftovers {
	struct imbrex_templates *t;
	bool all;
};

static bool is_old(struct imbrex_templates *t, const struct zfs_name *snapshot)
{
	AUTO_FREE char *created = NULL;
	struct timespec now;
	uint64_t sec;

	if (zfs_get(t->z, snapshot, "creation", &created, NULL, NULL) < 0)
		return false;
	now_realtime(&now);
	sec = evict_parse_seconds(created);
	return sec && (uint64_t)now.tv_sec > sec && (uint64_t)now.tv_sec - sec > KEEP_SEC;
}

static int sweep_one(void *ctx, const char *name, bool deferred, struct imbrex_error *err)
{
	const struct leftovers *l = ctx;
	const char *at = strchr(name, '@');
	const char *made = at ? str_after(at + 1, EXPORT_PREFIX) : NULL;
	const char *sent = at ? str_after(at + 1, SEND_PREFIX) : NULL;
	const char *owner = made ? made : sent;
	struct zfs_name snapshot;
	struct lease lease;

	if (!owner || strlen(name) >= sizeof(snapshot.text) ||
		!lease_parse(owner, strlen(owner), &lease) || lease_is_alive(&lease))
		return 0;
	(void)snprintf(snapshot.text, sizeof(snapshot.text), "%s", name);
	if (sent && !l->all && !is_old(l->t, &snapshot))
		return 0;
	/* Best effort: whoever holds it has it, and the next one tries again. */
	(void)!zfs_destroy(l->t->z, &snapshot, NULL);
	return 0;
}

int send_sweep(struct imbrex_templates *t, const struct zfs_name *container, bool all,
	struct imbrex_error *err)
{
	struct leftovers l = { t, all };

	return zfs_snapshots(t->z, container, /* children= */ false, sweep_one, &l, err);
}

/* ---- which difference ------------------------------------------------------------------ */

struct guid_of {
	const char *snapshot;
	uint64_t guid; /* 0: not found */
};

static int match(void *ctx, const char *snapshot, uint64_t guid, struct imbrex_error *err)
{
	struct guid_of *g = ctx;

	if (str_eq(snapshot, g->snapshot))
		g->guid = guid;
	return 0;
}

/* The snapshot that a dataset was cloned from: 1, and its own dataset; 0: none. */
static int origin_of(struct imbrex_templates *t, const struct zfs_name *dataset,
	struct zfs_name *ret_snapshot, struct zfs_name *ret_dataset, struct imbrex_error *err)
{
	AUTO_FREE char *origin = NULL;
	char *at;
	int r = zfs_get(t->z, dataset, "origin", &origin, NULL, err);

	if (r < 0)
		return r;
	at = strchr(origin, '@');
	if (!at)
		return 0;
	*at = '\0';
	r = zfs_name_dataset(ret_dataset, origin, err);
	if (r == 0)
		r = zfs_name_snapshot(ret_snapshot, ret_dataset, at + 1, err);
	return r < 0 ? r : 1;
}

/*
 * The nearest snapshot that the container stands on and the other side has: 1; 0 if none. What it
 * stands on is its template, then the layers of that.
 */
static int common(struct imbrex_templates *t, const struct zfs_name *container,
	const struct guids *have, struct zfs_name *ret, struct imbrex_error *err)
{
	struct zfs_name dataset = *container, next;
	unsigned int i;
	int r;

	for (i = 0; have && have->n && i < ORIGINS_MAX; i++) {
		struct guid_of g = { .snapshot = ret->text };

		r = origin_of(t, &dataset, ret, &next, err);
		if (r <= 0)
			return r;
		r = zfs_guids(t->z, &next, /* children= */ false, match, &g, err);
		if (r < 0)
			return r;
		if (g.guid && guids_has(have, g.guid))
			return 1;
		dataset = next;
	}
	return 0;
}

/* ---- sending --------------------------------------------------------------------------- */

static int snapshot_of(const struct zfs_name *container, bool may_go_on, struct zfs_name *ret,
	struct imbrex_error *err)
{
	char lease[LEASE_TEXT_BYTES], component[LEASE_TEXT_BYTES + 32];
	int r = lease_mine(lease, err);

	(void)snprintf(component, sizeof(component), "%s%s",
		may_go_on ? SEND_PREFIX : EXPORT_PREFIX, r == 0 ? lease : "");
	return r < 0 ? r : zfs_name_snapshot(ret, container, component, err);
}

static int make_snapshot(struct imbrex_templates *t, const struct zfs_name *container,
	bool may_go_on, struct zfs_name *ret, struct imbrex_error *err)
{
	int r = snapshot_of(container, may_go_on, ret, err);

	/* Of an earlier call of this process. */
	if (r == 0 && zfs_exists(t->z, ret, NULL) > 0)
		r = zfs_destroy(t->z, ret, err);
	return r < 0 ? r : zfs_snapshot(t->z, ret, err);
}

static int send_all(struct imbrex_templates *t, const struct send_job *job,
	const struct zfs_name *container, struct imbrex_error *err)
{
	struct zfs_name snapshot, from;
	int is_difference = common(t, container, job->have, &from, err);
	int r, d;

	if (is_difference < 0)
		return is_difference;
	r = make_snapshot(t, container, job->may_go_on, &snapshot, err);
	if (r < 0)
		return r;
	r = zfs_send(t->z, &snapshot, is_difference ? &from : NULL, job->fd, err);
	if (r < 0 && job->may_go_on)
		return r;
	d = zfs_destroy(t->z, &snapshot, r < 0 ? NULL : err);
	return r < 0 ? r : d;
}

static int token_target(struct imbrex_templates *t, const char *token,
	const struct zfs_name *container, struct zfs_name *ret, struct imbrex_error *err)
{
	int r = zfs_token_target(t->z, token, container, ret, err);
	const char *rest = r == 0 ? str_after(ret->text, container->text) : NULL;

	if (r < 0)
		return r;
	if (!rest || *rest != '@' || !str_after(rest + 1, SEND_PREFIX))
		return fail(err, IMBREX_EPERM, "the token is of '%s', not of '%s'", ret->text,
			container->text);
	return 0;
}

int send_knows(
	struct imbrex_templates *t, const char *name, const char *token, struct imbrex_error *err)
{
	struct zfs_name container, snapshot;
	int r = clone_find(t, name, &container, err);

	if (r < 0)
		return r;
	/* Whatever is wrong with it, all of it can be sent. */
	if (token_target(t, token, &container, &snapshot, NULL) < 0)
		return 0;
	return zfs_exists(t->z, &snapshot, err);
}

static int send_rest(struct imbrex_templates *t, const struct send_job *job,
	const struct zfs_name *container, struct imbrex_error *err)
{
	struct zfs_name snapshot;
	int r = token_target(t, job->token, container, &snapshot, err);

	if (r == 0)
		r = zfs_send_rest(t->z, job->token, &snapshot, job->fd, err);
	return r < 0 ? r : zfs_destroy(t->z, &snapshot, err);
}

int send_container(struct imbrex_templates *t, const struct send_job *job, struct imbrex_error *err)
{
	struct zfs_name container;
	int r = clone_find(t, job->name, &container, err);

	if (r == 0)
		r = send_sweep(t, &container, /* all= */ false, err);
	if (r < 0)
		return r;
	r = job->token ? send_rest(t, job, &container, err) : send_all(t, job, &container, err);
	return r < 0 ? wrap(err, r, "Failed to send stream for %s", job->name) : 0;
}
