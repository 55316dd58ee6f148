/* SPDX-License-Identifier: Apache-2.0 */
/* GUIDs of snapshots, and the text in which a machine says which it has; see the header. */
#include "template/guids.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/limits.h"

#define STATUS_MAGIC "imbrex-zfs-status:v1\n"

void guids_done(struct guids *g)
{
	free(g->items);
	*g = (struct guids){ 0 };
}

int guids_add(struct guids *g, uint64_t guid, struct imbrex_error *err)
{
	uint64_t *more;

	if (g->n >= LIMIT_TRANSFER_GUIDS)
		return fail(err, IMBREX_ELIMIT, "more than %u GUIDs", LIMIT_TRANSFER_GUIDS);
	/* In steps of powers of two. */
	if ((g->n & (g->n - 1)) == 0) {
		more = reallocarray(g->items, g->n ? 2 * g->n : 1, sizeof(*more));
		if (!more)
			return fail_nomem(err);
		g->items = more;
	}
	g->items[g->n++] = guid;
	return 0;
}

bool guids_has(const struct guids *g, uint64_t guid)
{
	size_t i;

	for (i = 0; i < g->n; i++)
		if (g->items[i] == guid)
			return true;
	return false;
}

uint64_t guid_parse(const char *text, size_t len)
{
	uint64_t n = 0;
	size_t i;

	for (i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9' || __builtin_mul_overflow(n, 10u, &n) ||
			__builtin_add_overflow(n, (uint64_t)(text[i] - '0'), &n))
			return 0;
	}
	return n;
}

int guids_parse(const char *text, struct guids *ret, struct imbrex_error *err)
{
	AUTO_GUIDS g = { 0 };
	size_t len;
	int r = 0;

	for (; r == 0; text += len + 1) {
		uint64_t guid;

		len = strcspn(text, ",");
		guid = guid_parse(text, len);
		if (!guid)
			return fail(err, IMBREX_EINVAL, "'%.40s' is no list of GUIDs", text);
		r = guids_add(&g, guid, err);
		if (!text[len])
			break;
	}
	if (r < 0)
		return r;
	*ret = g;
	g = (struct guids){ 0 };
	return 0;
}

int guids_format(const struct guids *g, struct str *ret)
{
	size_t i;
	int r = 0;

	for (i = 0; r == 0 && i < g->n; i++)
		r = str_printf(ret, "%s%" PRIu64, i ? "," : "", g->items[i]);
	return r;
}

/* ---- of a store ------------------------------------------------------------------------ */

static int collect(void *ctx, const char *snapshot, uint64_t guid, struct imbrex_error *err)
{
	struct guids *g = ctx;

	/* Whoever has more tells of some: that costs bytes, and nothing else. */
	return g->n < LIMIT_TRANSFER_GUIDS ? guids_add(g, guid, err) : 0;
}

struct search {
	uint64_t guid;
	struct zfs_name *ret;
	bool found;
};

static int look(void *ctx, const char *snapshot, uint64_t guid, struct imbrex_error *err)
{
	struct search *s = ctx;

	if (guid != s->guid || strlen(snapshot) >= sizeof(s->ret->text))
		return 0;
	(void)snprintf(s->ret->text, sizeof(s->ret->text), "%s", snapshot);
	s->found = true;
	return 0;
}

/* Complete ones only: what is under construction may go at any time. */
static int walk(struct imbrex_templates *t, zfs_guid_fn fn, void *ctx, struct imbrex_error *err)
{
	const struct template_kind *const kinds[] = { &t->templates, &t->layers };
	size_t i;
	int r = 0;

	for (i = 0; r >= 0 && i < ARRAY_LEN(kinds); i++) {
		r = zfs_guids(t->z, &kinds[i]->parent, /* children= */ true, fn, ctx, err);
		if (r == IMBREX_ENOENT)
			r = 0;
	}
	return r;
}

int guids_collect(struct imbrex_templates *t, struct guids *ret, struct imbrex_error *err)
{
	return walk(t, collect, ret, err);
}

int guids_find(
	struct imbrex_templates *t, uint64_t guid, struct zfs_name *ret, struct imbrex_error *err)
{
	struct search s = { .guid = guid, .ret = ret };
	int r = walk(t, look, &s, err);

	return r < 0 ? r : s.found;
}

/* ---- as text --------------------------------------------------------------------------- */

void transfer_status_done(struct transfer_status *s)
{
	free(s->token);
	guids_done(&s->guids);
	*s = (struct transfer_status){ 0 };
}

static int take_line(
	struct transfer_status *s, const char *line, size_t len, struct imbrex_error *err)
{
	static const char resume[] = "resume=", guid[] = "guid=";
	uint64_t value;

	if (len > strlen(guid) && strncmp(line, guid, strlen(guid)) == 0) {
		value = guid_parse(line + strlen(guid), len - strlen(guid));
		if (!value)
			return fail(err, IMBREX_EFORMAT, "status of a ZFS store: '%.*s'",
				(int)MIN(len, 60u), line);
		return guids_add(&s->guids, value, err);
	}
	if (len <= strlen(resume) || strncmp(line, resume, strlen(resume)) != 0)
		return 0;
	free(s->token);
	s->token = strndup(line + strlen(resume), len - strlen(resume));
	if (!s->token)
		return fail_nomem(err);
	return zfs_token_is_valid(s->token)
		       ? 0
		       : fail(err, IMBREX_EFORMAT, "status of a ZFS store: no token");
}

int transfer_status_parse(
	const char *text, size_t len, struct transfer_status *ret, struct imbrex_error *err)
{
	AUTO_TRANSFER_STATUS s = { 0 };
	const char *end = text + len;
	size_t magic = strlen(STATUS_MAGIC);
	int r = 0;

	if (len < magic || memcmp(text, STATUS_MAGIC, magic) != 0)
		return fail(err, IMBREX_EFORMAT, "it is no status of a ZFS store");
	for (text += magic; r == 0 && text < end;) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));

		if (!newline)
			return fail(err, IMBREX_EFORMAT, "status of a ZFS store: it is cut");
		r = take_line(&s, text, (size_t)(newline - text), err);
		text = newline + 1;
	}
	if (r < 0)
		return r;
	*ret = s;
	s = (struct transfer_status){ 0 };
	return 0;
}

char *transfer_status_format(const struct transfer_status *s)
{
	AUTO_STR text = STR_INIT(LIMIT_TRANSFER_STATUS_BYTES);
	size_t i;
	int r = str_puts(&text, STATUS_MAGIC);

	if (r == 0 && s->token)
		r = str_printf(&text, "resume=%s\n", s->token);
	for (i = 0; r == 0 && i < s->guids.n; i++)
		r = str_printf(&text, "guid=%" PRIu64 "\n", s->guids.items[i]);
	return r < 0 ? NULL : str_take(&text);
}
