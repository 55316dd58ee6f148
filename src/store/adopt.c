/* SPDX-License-Identifier: Apache-2.0 */
/* Layers of another store; see the header. */
#include "store/adopt.h"

#include <sys/stat.h>

#include "store/content.h"
#include "store/layer.h"

struct layer_origin {
	struct imbrex_store *from; /* borrowed */
	char *id;                  /* owned */
	int split;                 /* owned; its tar-split file */
	pthread_mutex_t pushing;   /* around its position: an image may have a layer twice */
	struct apply_content content;
};

static int open_file(void *ctx, const char *path)
{
	struct layer_origin *o = ctx;
	struct imbrex_error ignored;
	int fd;
	int r;

	r = layer_open_file(o->from, o->id, path, strlen(path), &fd, &ignored);
	return r < 0 ? r : fd;
}

/*
 * The caller's, closed to all others (at its root, or where the driver keeps its layers), and of a
 * kind that shows image layers only through mounts that cannot be written to.
 */
static bool is_private(const struct imbrex_store *s)
{
	struct stat root, home;

	if (!str_eq(s->driver->ops->name, "overlay") || fstat(s->graphfd, &root) < 0 ||
		root.st_uid != geteuid() ||
		fstatat(s->graphfd, s->driver->ops->name, &home, 0) < 0 || home.st_uid != geteuid())
		return false;
	return !(root.st_mode & S_IXOTH) || !(home.st_mode & S_IXOTH);
}

int store_chain_ids(
	struct imbrex_store *s, const char *top, struct strv *ret, struct imbrex_error *err)
{
	const struct json_span span = { .at = top, .len = strlen(top) };
	AUTO_HOLD hold = HOLD_NONE;
	struct layer_walk w;
	struct json_span below = span;
	int r;

	if (!*top)
		return 0;
	r = store_hold(s, HOLD_LAYERS, &hold, err);
	if (r < 0)
		return r;
	for (layer_walk(s, span, &w); w.more; layer_walk_next(s, &w)) {
		struct json_span id = record_plain(found_record(&w.at), LAYER_ID);
		AUTO_FREE char *text = strndup(id.at, id.len);

		if (!text || strv_insert(ret, 0, text) < 0)
			return fail_nomem(err);
		below = record_plain(found_record(&w.at), LAYER_PARENT);
	}
	if (w.endless)
		return fail(err, IMBREX_EFORMAT,
			"layer %s has more layers below it than an image can", top);
	if (below.len)
		return fail_reason(err, IMBREX_ENOENT, IMBREX_REASON_LAYER_UNKNOWN,
			"layer %.*s is not in the store", (int)below.len, below.at);
	return 0;
}

int layer_origin_open(struct imbrex_store *from, const char *id, struct imbrex_store *to,
	struct layer_origin **ret, struct imbrex_error *err)
{
	AUTO(layer_origin) struct layer_origin *o = calloc(1, sizeof(*o));
	AUTO_HOLD hold = HOLD_NONE;
	struct found f;
	int r;

	if (!o)
		return fail_nomem(err);
	(void)pthread_mutex_init(&o->pushing, NULL);
	o->split = -EBADF;
	o->from = from;
	o->id = strdup(id);
	if (!o->id)
		return fail_nomem(err);
	/* Before anything is read of it, and no later than the kernel's clock of inodes says. */
	(void)clock_gettime(CLOCK_REALTIME_COARSE, &o->content.since);
	o->content.open = open_file;
	o->content.ctx = o;
	o->content.may_link = to && is_private(from) && is_private(to);
	r = store_hold(from, HOLD_LAYERS, &hold, err);
	if (r < 0)
		return r;
	if (!store_get(from, &layer_records, id, strlen(id), &f) ||
		record_flag(found_record(&f), LAYER_FLAGS, "incomplete"))
		return fail_reason(err, IMBREX_ENOENT, IMBREX_REASON_LAYER_UNKNOWN,
			"layer %s is not in the store", id);
	o->split = layer_split_open(f.t, id, err);
	if (o->split < 0)
		return wrap(err, o->split, "layer %s", id);
	*ret = take_ptr(o);
	return 0;
}

void layer_origin_free(struct layer_origin *o)
{
	if (!o)
		return;
	(void)close_fd(o->split);
	(void)pthread_mutex_destroy(&o->pushing);
	free(o->id);
	free(o);
}

const struct apply_content *layer_origin_content(const struct layer_origin *o)
{
	return &o->content;
}

static int push(const struct layer_origin *o, struct sink *to, struct imbrex_error *err)
{
	/* Several layers at once, unless the driver shows a layer by a mount or its like: it keeps
	 * the last one only, and would make one for each file. */
	bool alone = !o->from->driver->ops->independent;
	int r;

	if (lseek(o->split, 0, SEEK_SET) < 0) {
		sink_free(to);
		return fail_errno(err, "layer %s: rewind its tar-split file", o->id);
	}
	if (alone)
		(void)pthread_mutex_lock(&o->from->reading_layer);
	r = layer_assemble_split(o->from, o->id, o->split, to, err);
	if (alone)
		(void)pthread_mutex_unlock(&o->from->reading_layer);
	return r;
}

int layer_origin_push(struct layer_origin *o, struct sink *to, struct imbrex_error *err)
{
	int r;

	(void)pthread_mutex_lock(&o->pushing);
	r = push(o, to, err);
	(void)pthread_mutex_unlock(&o->pushing);
	return r;
}
