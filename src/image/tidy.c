/* SPDX-License-Identifier: Apache-2.0 */
/* A filter of entries; see the header. Data of an entry that is left out is dropped. */
#include "image/tidy.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/str.h"

struct tidy {
	struct entry_sink base;
	struct entry_sink *next; /* owned */
	struct tidy_opts opts;
	bool dropping; /* the current entry */
	struct entry_xattr xattrs[LIMIT_XATTRS_PER_ENTRY];
};

static bool leave_out(const struct tidy *t, const struct entry *e)
{
	return t->opts.without_dev && str_after(e->path, "dev/");
}

static uint32_t tidy_mode(const struct tidy *t, const struct entry *e)
{
	uint32_t mode = e->mode | 0400;

	if (e->type == ENTRY_DIR)
		return mode | 0300;
	if (t->opts.strip_setid)
		mode &= ~06000u;
	return mode & 0111 ? mode | 0100 : mode;
}

static void filter_xattrs(struct tidy *t, struct entry *e)
{
	size_t i, n = 0;

	for (i = 0; i < e->n_xattrs; i++) {
		const char *name = e->xattrs[i].name;

		if (str_after(name, "user.") ||
			(t->opts.keep_xattrs && str_eq(name, "security.capability")))
			t->xattrs[n++] = e->xattrs[i];
	}
	e->xattrs = t->xattrs;
	e->n_xattrs = n;
}

static int tidy_begin(struct entry_sink *s, const struct entry *e, struct imbrex_error *err)
{
	struct tidy *t = (struct tidy *)s;
	struct entry copy = *e;

	t->dropping = leave_out(t, e);
	if (t->dropping)
		return 0;
	copy.uid = t->opts.uid;
	copy.gid = t->opts.gid;
	if (e->type != ENTRY_SYMLINK)
		copy.mode = tidy_mode(t, e);
	filter_xattrs(t, &copy);
	return t->next->ops->begin(t->next, &copy, err);
}

static int tidy_data(struct entry_sink *s, const void *buf, size_t len, struct imbrex_error *err)
{
	struct tidy *t = (struct tidy *)s;

	return t->dropping ? 0 : t->next->ops->data(t->next, buf, len, err);
}

static int tidy_end(struct entry_sink *s, struct imbrex_error *err)
{
	struct tidy *t = (struct tidy *)s;

	return t->dropping ? 0 : t->next->ops->end(t->next, err);
}

static int tidy_finish(struct entry_sink *s, struct imbrex_error *err)
{
	struct tidy *t = (struct tidy *)s;

	return t->next->ops->finish(t->next, err);
}

static void tidy_free(struct entry_sink *s)
{
	struct tidy *t = (struct tidy *)s;

	entry_sink_free(t->next);
	free(t);
}

static const struct entry_sink_ops tidy_ops = {
	.begin = tidy_begin,
	.data = tidy_data,
	.end = tidy_end,
	.finish = tidy_finish,
	.free = tidy_free,
};

static int push_root(struct tidy *t, struct imbrex_error *err)
{
	const struct entry root = {
		.path = ".",
		.type = ENTRY_DIR,
		.mode = 0755,
		.mtime_sec = t->opts.root_mtime_sec,
		.atime_sec = t->opts.root_mtime_sec,
	};
	int r = tidy_begin(&t->base, &root, err);

	return r < 0 ? r : tidy_end(&t->base, err);
}

int tidy_new(const struct tidy_opts *opts, struct entry_sink *next, struct entry_sink **ret,
	struct imbrex_error *err)
{
	struct tidy *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return fail_nomem(err);
	t->base.ops = &tidy_ops;
	t->opts = *opts;
	t->next = next;
	r = opts->has_root ? push_root(t, err) : 0;
	if (r < 0) {
		free(t);
		return r;
	}
	*ret = &t->base;
	return 0;
}
