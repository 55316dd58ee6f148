/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Three questions to ZFS, however much there is: when each was used, what has clones, how full the
 * quota is. What follows is decided here and done under the lock of each, never waiting for one.
 *
 * A template goes snapshot first: that fails if somebody has cloned it just now, and then it stays.
 */
#include "template/evict.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/hex.h"
#include "base/str.h"
#include "os/clock.h"
#include "template/work.h"

struct candidate {
	char word[ZFS_NAME_BYTES]; /* component of its name: the key, or "….tmp" */
	uint64_t used_sec;         /* 0: not said */
	bool complete;             /* has its snapshot */
	bool cloned;
};

struct sweep {
	struct imbrex_templates *t;
	struct template_kind *kind;
	struct candidate *items; /* owned */
	size_t n, max;
	uint64_t now_sec;
};

/* ---- decisions ------------------------------------------------------------------------- */

uint64_t evict_parse_seconds(const char *text)
{
	uint64_t n = 0;

	if (!*text)
		return 0;
	for (; *text; text++) {
		if (*text < '0' || *text > '9' || __builtin_mul_overflow(n, 10u, &n) ||
			__builtin_add_overflow(n, (uint64_t)(*text - '0'), &n))
			return 0;
	}
	return n;
}

bool evict_is_cold(uint64_t used_sec, uint64_t now_sec, uint64_t warm_sec)
{
	if (warm_sec == UINT64_MAX)
		return false;
	/* A clock that was set back makes nothing old. */
	return used_sec == 0 || (used_sec <= now_sec && now_sec - used_sec >= warm_sec);
}

bool evict_is_pressed(uint64_t used, uint64_t quota, unsigned int percent)
{
	/* In parts of a hundred, rounded down: no product that could overflow. */
	return quota != 0 && (quota < 100 ? used >= quota : used / (quota / 100) >= percent);
}

static int is_pressed(struct sweep *s, struct imbrex_error *err)
{
	static const char *const names[] = { "quota", "used" };
	AUTO_STRV values = { 0 };
	int r = zfs_get_native(s->t->z, &s->kind->parent, names, ARRAY_LEN(names), &values, err);

	return r < 0 ? r
		     : evict_is_pressed(evict_parse_seconds(values.items[1]),
			       evict_parse_seconds(values.items[0]), s->t->pressure_percent);
}

/* ---- what there is --------------------------------------------------------------------- */

static struct candidate *find(struct sweep *s, const char *word, size_t len)
{
	size_t i;

	for (i = 0; i < s->n; i++) {
		if (strncmp(s->items[i].word, word, len) == 0 && !s->items[i].word[len])
			return &s->items[i];
	}
	return NULL;
}

static int note_used(void *ctx, const char *name, const char *value, struct imbrex_error *err)
{
	struct sweep *s = ctx;
	const char *word = name + strlen(s->kind->parent.text) + 1;
	struct candidate *c;

	/* A name that occurs again comes out of a value. */
	if (find(s, word, strlen(word)))
		return 0;
	if (s->n == s->max) {
		size_t max = s->max ? 2 * s->max : 64;
		struct candidate *more = reallocarray(s->items, max, sizeof(*more));

		if (!more)
			return fail_nomem(err);
		s->items = more;
		s->max = max;
	}
	c = &s->items[s->n++];
	*c = (struct candidate){ .used_sec = evict_parse_seconds(value) };
	(void)snprintf(c->word, sizeof(c->word), "%s", word);
	return 0;
}

static int note_clones(void *ctx, const char *name, const char *value, struct imbrex_error *err)
{
	struct sweep *s = ctx;
	const char *word = name + strlen(s->kind->parent.text) + 1;
	const char *at = strchr(word, '@');
	struct candidate *c = find(s, word, (size_t)(at - word));

	if (!c)
		return 0;
	if (str_eq(at + 1, s->kind->snapshot))
		c->complete = true;
	/* Clones of other snapshots keep it as well. */
	if (*value && !str_eq(value, "-"))
		c->cloned = true;
	return 0;
}

static int by_use(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	if (x->used_sec != y->used_sec)
		return x->used_sec < y->used_sec ? -1 : 1;
	return strcmp(x->word, y->word);
}

static int look(struct sweep *s, struct imbrex_error *err)
{
	int r;

	s->n = 0;
	r = zfs_values(s->t->z, &s->kind->parent, /* of_snapshots= */ false, TEMPLATE_USED_PROPERTY,
		note_used, s, err);
	if (r == 0 && s->n)
		r = zfs_values(s->t->z, &s->kind->parent, /* of_snapshots= */ true, "clones",
			note_clones, s, err);
	if (r == 0 && s->n > 1)
		qsort(s->items, s->n, sizeof(*s->items), by_use);
	return r;
}

/* ---- what goes ------------------------------------------------------------------------- */

/* Left by the dead. */
static void destroy_left(struct sweep *s, const struct candidate *c)
{
	AUTO_FREE char *key = strdup(c->word);
	AUTO_CLOSE int lock = -EBADF;
	struct zfs_name name;

	if (!key)
		return;
	if (str_ends(key, TEMPLATE_TEMP_SUFFIX))
		key[strlen(key) - strlen(TEMPLATE_TEMP_SUFFIX)] = '\0';
	if (template_lock(s->t, s->kind, key, /* wait= */ false, &lock, NULL) > 0 &&
		zfs_name_child(&name, &s->kind->parent, c->word, NULL) == 0 &&
		template_is_left(s->t, &name, NULL) > 0 &&
		(str_ends(c->word, TEMPLATE_TEMP_SUFFIX) ||
			template_has(s->t, s->kind, key, NULL) == 0))
		(void)!template_destroy(s->t, &name, NULL);
}

/* Half destroyed, it must be known for ours. */
static int mark(struct sweep *s, const struct zfs_name *name)
{
	AUTO_FREE char *text = NULL;
	char lease[LEASE_TEXT_BYTES];
	const struct zfs_property p = { LEASE_PROPERTY, lease };
	bool local = false;
	int r = zfs_get(s->t->z, name, LEASE_PROPERTY, &text, &local, NULL);

	if (r < 0 || local)
		return r;
	r = lease_mine(lease, NULL);
	return r < 0 ? r : zfs_set(s->t->z, name, &p, NULL);
}

/* 1 if it is gone, 0 if it stays. */
static int evict(struct sweep *s, const struct candidate *c)
{
	AUTO_CLOSE int lock = -EBADF;
	struct zfs_name name, snapshot;

	if (template_lock(s->t, s->kind, c->word, /* wait= */ false, &lock, NULL) <= 0 ||
		template_name(s->kind, c->word, &name, NULL) < 0 ||
		template_snapshot_name(s->kind, c->word, &snapshot, NULL) < 0)
		return 0;
	template_note(s->t, IMBREX_NOTE_INFO, "Evicting %s %s (age %" PRIu64 "s)", s->kind->noun,
		c->word, s->now_sec - MIN(c->used_sec, s->now_sec));
	if (mark(s, &name) < 0 || zfs_destroy(s->t->z, &snapshot, NULL) < 0)
		return 0;
	(void)!template_destroy(s->t, &name, NULL);
	return 1;
}

static bool may_go(const struct sweep *s, const struct candidate *c)
{
	return c->complete && !c->cloned && id_is_valid(c->word) &&
	       !(s->t->keep && s->kind == &s->t->layers && strv_has(s->t->keep, c->word));
}

/* Number of those that went; it may be that now others can go. */
static int sweep_once(struct sweep *s, enum evict_how how, struct imbrex_error *err)
{
	int pressed = 0, gone = 0, r;
	size_t i;

	r = look(s, err);
	if (r == 0 && s->n && how == EVICT_DUE)
		pressed = r = is_pressed(s, err);
	if (r < 0)
		return r;
	for (i = 0; i < s->n; i++) {
		const struct candidate *c = &s->items[i];

		if (!c->complete &&
			(id_is_valid(c->word) || str_ends(c->word, TEMPLATE_TEMP_SUFFIX)))
			destroy_left(s, c);
		if (!may_go(s, c) ||
			(how == EVICT_DUE && !pressed &&
				!evict_is_cold(c->used_sec, s->now_sec, s->kind->warm_sec)))
			continue;
		if (!evict(s, c))
			continue;
		gone++;
		if (pressed > 0)
			pressed = is_pressed(s, err);
		if (pressed < 0)
			return pressed;
	}
	return gone;
}

static int sweep(struct imbrex_templates *t, struct template_kind *kind, enum evict_how how,
	struct imbrex_error *err)
{
	struct sweep s = { .t = t, .kind = kind, .now_sec = now_realtime_ns() / 1000000000u };
	int r;

	do {
		r = sweep_once(&s, how, err);
		/* What stood on a layer that went. */
	} while (r > 0 && kind == &t->layers);
	free(s.items);
	return r == IMBREX_ENOENT || r > 0 ? 0 : r;
}

int template_sweep(struct imbrex_templates *t, enum evict_how how, struct imbrex_error *err)
{
	int r = sweep(t, &t->templates, how, err);

	return r < 0 ? r : sweep(t, &t->layers, how, err);
}
