/* SPDX-License-Identifier: Apache-2.0 */
/* copy: files into a layer, out of one, or from one to another. */
#include <string.h>

#include "base/error.h"
#include "cli/storage/storage.h"
#include "cli/storage/text.h"

static int parse_id(
	const char *text, size_t len, const char *what, int64_t *ret, struct imbrex_error *err)
{
	AUTO_STR quoted = STR_INIT(IMBREX_ERROR_MESSAGE_MAX);
	AUTO_FREE char *word = strndup(text, len);
	const char *why = "invalid syntax";
	uint64_t value = 0;
	size_t i;

	if (!word)
		return fail_nomem(err);
	for (i = 0; i < len && word[i] >= '0' && word[i] <= '9'; i++) {
		value = value * 10 + (uint64_t)(word[i] - '0');
		if (value > UINT32_MAX) {
			why = "value out of range";
			break;
		}
	}
	if (len && i == len) {
		*ret = (int64_t)value;
		return 0;
	}
	(void)!text_quote(&quoted, word); /* a longer one is cut in the message anyway */
	return fail(err, IMBREX_EINVAL, "bad %s: strconv.ParseUint: parsing %s: %s", what,
		str_text(&quoted), why);
}

/* "UID[:GID]"; without a group, that of the same number. */
static int parse_owner(const char *text, struct imbrex_copy_opts *ret, struct imbrex_error *err)
{
	size_t len;
	const char *group;
	int r;

	if (!text || !*text)
		return 0;
	len = strcspn(text, ":");
	group = text[len] ? text + len + 1 : text;
	r = parse_id(text, len, "UID", &ret->uid, err);
	return r < 0 ? r : parse_id(group, strlen(group), "GID", &ret->gid, err);
}

/* Say in upstream's words that the layer of "LAYER:/path" is not there. */
static int check_layer(struct plumbing *p, const char *place, struct imbrex_error *err)
{
	AUTO_STR quoted = STR_INIT(IMBREX_ERROR_MESSAGE_MAX);
	const char *colon = strchr(place, ':');
	AUTO_FREE char *layer = NULL;
	AUTO_FREE char *id = NULL;
	int r;

	if (!colon)
		return 0;
	layer = strndup(place, (size_t)(colon - place));
	if (!layer)
		return fail_nomem(err);
	r = plumbing_find(p, layer, IMBREX_KIND_LAYER, &id, err);
	if (r != IMBREX_ENOENT)
		return r;
	(void)!text_quote(&quoted, layer); /* a longer one is cut in the message anyway */
	return fail(err, r, "error finding layer %s: layer not known", str_text(&quoted));
}

static int run_copy(struct plumbing *p, struct imbrex_error *err)
{
	struct imbrex_copy_opts opts = { .uid = -1, .gid = -1 };
	const char *target = p->args[p->n_args - 1];
	size_t i;
	int r;

	r = parse_owner(p->flags.chown, &opts, err);
	if (r == 0)
		r = check_layer(p, target, err);
	for (i = 0; r == 0 && i + 1 < p->n_args; i++)
		r = check_layer(p, p->args[i], err);
	if (r < 0)
		return r;
	p->args[p->n_args - 1] = NULL;
	r = imbrex_copy(p->store, (const char *const *)p->args, target, &opts, err);
	return r < 0 ? r : EXIT_SUCCESS;
}

static const struct flag copy_flags[] = {
	{ { "--chown", "-o" }, FLAG_TEXT, FLAG_AT(chown), "Set owner on new copies" },
	FLAG_JSON,
	{ { NULL } },
};

const struct command copy_commands[] = {
	{
		.name = "copy",
		.operands = "[options [...]] [sourceLayerNameOrID:]/path [...] "
			    "targetLayerNameOrID:/path",
		.summary = "Copy files or directories into a layer, possibly from another layer",
		.flags = copy_flags,
		.operands_min = 2,
		.operands_max = UINT_MAX,
		.kind = IMBREX_KIND_LAYER,
		.run = run_copy,
	},
	{ NULL },
};
