/* SPDX-License-Identifier: Apache-2.0 */
/* Maps of the flags: the subordinate ids of a name first, then the triples. */
#include "cli/storage/idmap.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "cli/storage/text.h"

void idmap_flags_done(struct idmap_flags *f)
{
	free(f->uids);
	free(f->gids);
}

/* A decimal number up to `end`, which stands at its end. */
static bool parse_id(const char **at, uint32_t *ret)
{
	uint64_t value = 0;
	const char *s = *at;

	if (*s < '0' || *s > '9')
		return false;
	for (; *s >= '0' && *s <= '9'; s++) {
		value = value * 10 + (uint64_t)(*s - '0');
		if (value > UINT32_MAX)
			return false;
	}
	*at = s;
	*ret = (uint32_t)value;
	return true;
}

static bool parse_triple(const char **at, struct imbrex_id_map *ret)
{
	return parse_id(at, &ret->inside) && *(*at)++ == ':' && parse_id(at, &ret->outside) &&
	       *(*at)++ == ':' && parse_id(at, &ret->count);
}

static int malformed(const char *text, const char *what, struct imbrex_error *err)
{
	AUTO_STR quoted = STR_INIT(IMBREX_ERROR_MESSAGE_MAX);

	(void)!text_quote(&quoted, text); /* a longer one is cut in the message anyway */
	return fail(err, IMBREX_EINVAL,
		"initializing ID mappings: %s setting is malformed expected "
		"[\"uint32:uint32:uint32\"]: [%s]",
		what, str_text(&quoted));
}

int idmap_parse(const char *text, const char *what, struct imbrex_id_map **map, size_t *n,
	struct imbrex_error *err)
{
	const char *at = text;
	struct imbrex_id_map one, *grown;

	if (!text || !*text)
		return 0;
	for (;;) {
		if (!parse_triple(&at, &one) || (*at && *at != ':' && *at != ','))
			return malformed(text, what, err);
		grown = reallocarray(*map, *n + 1, sizeof(*grown));
		if (!grown)
			return fail_nomem(err);
		grown[(*n)++] = one;
		*map = grown;
		if (!*at)
			return 0;
		at++;
	}
}

static bool given(const char *text)
{
	return text && *text;
}

static int check(const struct plumbing_flags *f, struct imbrex_error *err)
{
	if (f->host_uids && (given(f->uid_map) || given(f->sub_uids)))
		return fail(err, IMBREX_EINVAL, "host uid map specified along with UID mapping");
	if (f->host_gids && (given(f->gid_map) || given(f->sub_gids)))
		return fail(err, IMBREX_EINVAL, "host gid map specified along with GID mapping");
	return 0;
}

int idmap_flags_read(
	const struct plumbing_flags *flags, struct idmap_flags *ret, struct imbrex_error *err)
{
	/* One name stands for both. */
	const char *user = given(flags->sub_uids) ? flags->sub_uids : flags->sub_gids;
	const char *group = given(flags->sub_gids) ? flags->sub_gids : flags->sub_uids;
	int r;

	r = check(flags, err);
	if (r == 0 && given(user))
		r = imbrex_subids_map(user, /* groups= */ false, &ret->uids, &ret->n_uids, err);
	if (r == 0 && given(user))
		r = imbrex_subids_map(group, /* groups= */ true, &ret->gids, &ret->n_gids, err);
	if (r == 0)
		r = idmap_parse(flags->uid_map, "uid", &ret->uids, &ret->n_uids, err);
	if (r == 0)
		r = idmap_parse(flags->gid_map, "gid", &ret->gids, &ret->n_gids, err);
	ret->maps = (struct imbrex_id_maps){
		.uids = ret->uids,
		.n_uids = ret->n_uids,
		.gids = ret->gids,
		.n_gids = ret->n_gids,
		.host_uids = flags->host_uids,
		.host_gids = flags->host_gids,
	};
	return r;
}
