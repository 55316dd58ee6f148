/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The content of layers against digests and entries, and documents against their digests. Several
 * layers at once, and no lock held: what is removed or replaced while it is read is no problem, so
 * whatever is found is only believed if the layer is still there afterwards.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/hex.h"
#include "base/limits.h"
#include "base/str.h"
#include "driver/verify.h"
#include "oci/digest.h"
#include "os/fd.h"
#include "os/pool.h"
#include "store/bigdata.h"
#include "store/check.h"
#include "store/layer.h"
#include "store/reread.h"

/* Names of damaged files that are told one by one; a lost disk loses them all. */
#define TOLD_MAX 100

struct layer_job {
	struct imbrex_store *s;
	const struct pending_layer *l;
	struct findings found;
	size_t n_told; /* of what differs */
};

/* ---- one layer ------------------------------------------------------------------------- */

static int PRINTF_LIKE(5, 6) tell(struct layer_job *j, enum imbrex_problem_kind kind,
	const char *about, struct imbrex_error *err, const char *fmt, ...)
{
	const struct finding what = { .kind = kind,
		.type = &layer_records,
		.id = j->l->id,
		.about = about,
		.read_only = j->l->read_only };
	AUTO_STR text = STR_INIT(4096);
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = str_vprintf(&text, fmt, ap);
	va_end(ap);
	return r < 0 ? fail_nomem(err) : findings_add(&j->found, &what, err, "%s", str_text(&text));
}

static int take_difference(void *ctx, const struct driver_problem *p, struct imbrex_error *err)
{
	struct layer_job *j = ctx;
	const char *change = p->path + 1;

	if (++j->n_told > TOLD_MAX)
		return 0;
	return tell(j,
		p->kind == DRIVER_PROBLEM_MISSING ? IMBREX_PROBLEM_CONTENT_MISSING
						  : IMBREX_PROBLEM_CONTENT_MODIFIED,
		p->path, err, "'%s': %s", change, p->text);
}

/* The tar-split file of a layer, in whichever store; fd or -errno. */
static int open_split(struct imbrex_store *s, const char *id)
{
	AUTO_FREE char *name = format_text("%s.tar-split.gz", id);
	struct store_table *t;
	size_t n;
	int place;
	int fd = -EBADF;

	if (!name)
		return -ENOMEM;
	for (n = 0; fd < 0 && (t = store_tables(s, &layer_records, n)); n++) {
		for (place = -1; fd < 0 && place < N_PLACES; place++) {
			int dir = place < 0 ? t->dirfd : t->places[place].dirfd;

			if (dir >= 0)
				fd = openat(dir, name,
					O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
		}
	}
	return fd < 0 ? -ENOENT : fd;
}

/* Entries of a layer below, without its content. 1: they are known. */
static int add_below(
	struct imbrex_store *s, struct expected *x, const char *id, struct imbrex_error *err)
{
	AUTO_ENTRY_SINK struct entry_sink *entries = NULL;
	AUTO_CLOSE int split = open_split(s, id);
	AUTO_REREAD ignored = { .tar_bytes = 0 };
	struct imbrex_error why = { 0 };
	int r;

	if (split < 0)
		return 0;
	r = expected_entries(x, &entries, err);
	if (r < 0)
		return r;
	r = reread_layer(split, -EBADF, HASH_SHA256, entries, &ignored, &why);
	if (r == IMBREX_ENOMEM)
		return fail_nomem(err);
	return r == 0;
}

/* The tree below, if the layer's own tree shows it. 1: what is expected is known. */
static int expect_below(struct layer_job *j, const struct driver_tree *tree, struct expected *x,
	struct imbrex_error *err)
{
	size_t i = j->l->below.n;
	int r = 1;

	if (!tree->whole)
		return 1;
	if (!j->l->knows_below)
		return 0;
	while (r > 0 && i--)
		r = add_below(j->s, x, j->l->below.items[i], err);
	return r;
}

static int tell_files(
	struct layer_job *j, const struct reread *read, bool compared, struct imbrex_error *err)
{
	char is[HASH_TEXT_MAX], said[HASH_TEXT_MAX];
	size_t n = read->damaged.n + read->missing.n;
	size_t i;
	int r = 0;

	for (i = 0; r == 0 && !compared && i < MIN(read->missing.n, (size_t)TOLD_MAX); i++) {
		AUTO_FREE char *about = format_text("-/%s", read->missing.items[i]);

		if (!about)
			return fail_nomem(err);
		r = tell(j, IMBREX_PROBLEM_CONTENT_MISSING, about, err, "'%.200s' is missing",
			read->missing.items[i]);
	}
	if (r < 0 || (!n && hash_equal(&read->digest, &j->l->diff_id)))
		return r;
	if (read->damaged.n)
		return tell(j, IMBREX_PROBLEM_CONTENT_DIGEST, NULL, err,
			n > 1 ? "content of '%.200s' does not match its recorded checksum, and %zu "
				"more files are damaged or gone"
			      : "content of '%.200s' does not match its recorded checksum",
			read->damaged.items[0], n - 1);
	if (n)
		return tell(j, IMBREX_PROBLEM_CONTENT_DIGEST, NULL, err,
			n > 1 ? "its bytes cannot be put together again: '%.200s' and %zu more "
				"files are gone"
			      : "its bytes cannot be put together again: '%.200s' is gone",
			read->missing.items[0], n - 1);
	return tell(j, IMBREX_PROBLEM_CONTENT_DIGEST, NULL, err,
		"its bytes are %s but %s was recorded", hash_format(&read->digest, is),
		hash_format(&j->l->diff_id, said));
}

static int compare(struct layer_job *j, const struct driver_tree *tree, struct expected *x,
	struct imbrex_error *err)
{
	const struct verify_opts opts = {
		.maps = &j->l->maps.maps,
		.opaque_xattr = tree->opaque_xattr,
		.any_owner = tree->any_owner,
		.any_meta = tree->any_meta,
		.no_devices = tree->no_devices,
	};
	int r;

	r = verify_tree(tree->fd, x, &opts, take_difference, j, err);
	if (r == 0 && j->n_told > TOLD_MAX)
		r = tell(j, IMBREX_PROBLEM_CONTENT_MODIFIED, "*/", err,
			"%zu more paths are not as they were", j->n_told - TOLD_MAX);
	return r;
}

static int read_tree(struct layer_job *j, const struct driver_tree *tree, struct imbrex_error *err)
{
	AUTO_EXPECTED *x = NULL;
	AUTO_ENTRY_SINK struct entry_sink *entries = NULL;
	AUTO_CLOSE int split = open_split(j->s, j->l->id);
	AUTO_REREAD read = { .tar_bytes = 0 };
	struct imbrex_error why = { 0 };
	int known, r;

	if (split < 0)
		return 0; /* gone with the layer; else its record's problem */
	r = expected_new(tree->whiteouts, &x, err);
	if (r < 0)
		return r;
	known = expect_below(j, tree, x, err);
	if (known < 0)
		return known;
	r = expected_entries(x, &entries, err);
	if (r < 0)
		return r;
	r = reread_layer(
		split, tree->fd, j->l->diff_id.algorithm, known ? entries : NULL, &read, &why);
	if (r == IMBREX_ENOMEM)
		return fail_nomem(err);
	if (r < 0)
		return tell(j, IMBREX_PROBLEM_TARSPLIT_UNREADABLE, NULL, err,
			"the tar-split file: %s", why.message);
	if (j->l->diff_bytes >= 0 && (uint64_t)j->l->diff_bytes != read.tar_bytes) {
		r = tell(j, IMBREX_PROBLEM_CONTENT_SIZE, NULL, err,
			"its tar has %llu bytes, but %lld are recorded",
			(unsigned long long)read.tar_bytes, (long long)j->l->diff_bytes);
		if (r < 0)
			return r;
	}
	r = tell_files(j, &read, known, err);
	return r < 0 || !known ? r : compare(j, tree, x, err);
}

static int read_layer(struct layer_job *j, struct imbrex_error *err)
{
	struct driver *d = j->s->driver;
	struct driver_tree tree;
	struct imbrex_error why = { 0 };
	int r;

	r = d->ops->tree_open(d, j->l->id, &tree, &why);
	if (r == IMBREX_ENOMEM)
		return fail_nomem(err);
	if (r < 0)
		return tell(j, IMBREX_PROBLEM_CONTENT_DIGEST, NULL, err,
			"its content cannot be read: %s", why.message);
	r = read_tree(j, &tree, err);
	d->ops->tree_close(d, &tree);
	return r;
}

int check_layer_content(struct imbrex_store *s, const struct pending_layer *l,
	struct findings *found, struct imbrex_error *err)
{
	struct layer_job j = { .s = s, .l = l };
	size_t n;
	int r;

	r = read_layer(&j, err);
	n = j.found.n;
	if (r == 0)
		r = findings_move(found, &j.found, err);
	findings_done(&j.found);
	return r < 0 ? r : n == 0;
}

/* ---- all of them ----------------------------------------------------------------------- */

struct reading {
	struct check *c;
	struct findings *found; /* owned; one list a layer */
	const struct strv *only;
	pthread_mutex_t mutex; /* progress is told by one at a time */
};

static void tell_progress(
	struct reading *g, enum imbrex_progress_kind kind, const char *id, int64_t bytes)
{
	const struct imbrex_progress event = { .kind = kind,
		.item = id,
		.done_bytes = kind == IMBREX_PROGRESS_DONE && bytes > 0 ? (uint64_t)bytes : 0,
		.total_bytes = bytes > 0 ? (uint64_t)bytes : 0 };

	if (!g->c->opts->progress)
		return;
	(void)pthread_mutex_lock(&g->mutex);
	g->c->opts->progress(g->c->opts->progress_userdata, &event);
	(void)pthread_mutex_unlock(&g->mutex);
}

static int read_one(void *ctx, size_t index, struct imbrex_error *err)
{
	struct reading *g = ctx;
	const struct pending_layer *l = &g->c->layers[index];
	int r;

	if (g->only && !strv_has(g->only, l->id))
		return 0;
	tell_progress(g, IMBREX_PROGRESS_START, l->id, l->diff_bytes);
	r = check_layer_content(g->c->s, l, &g->found[index], err);
	tell_progress(g, IMBREX_PROGRESS_DONE, l->id, l->diff_bytes);
	return r < 0 ? r : 0;
}

/* Findings of layers that were removed while they were read are forgotten. */
static int believe(struct reading *g, struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	struct found f;
	size_t i;
	int r;

	r = store_hold(g->c->s, HOLD_LAYERS, &hold, err);
	for (i = 0; r == 0 && i < g->c->n_layers; i++) {
		const char *id = g->c->layers[i].id;

		if (store_get(g->c->s, &layer_records, id, strlen(id), &f))
			r = findings_move(&g->c->found, &g->found[i], err);
	}
	return r;
}

static int check_document_bytes(
	struct check *c, const struct pending_document *d, struct imbrex_error *err)
{
	bool image = d->t->t.type == &image_records;
	AUTO_STR data = STR_INIT(LIMIT_DATA_ITEM_BYTES);
	AUTO_FREE char *file = NULL;
	AUTO_FREE char *path = NULL;
	struct hash_value is;
	char text[HASH_TEXT_MAX];

	if (bigdata_file_name(d->key, &file, NULL) < 0)
		return 0;
	path = format_text("%s/%s", d->id, file);
	if (!path)
		return fail_nomem(err);
	/* Gone or too large: who looked at its size has told. */
	if (read_file_at(d->t->dirfd, path, LIMIT_DATA_ITEM_BYTES, &data, NULL) < 0 ||
		hash_bytes(d->digest.algorithm, str_text(&data), data.len, &is) < 0 ||
		hash_equal(&is, &d->digest))
		return 0;
	/* The digest of a signed manifest (schema 1) leaves the signatures out. */
	if (str_after(d->key, "manifest") && strstr(str_text(&data), "\"signatures\""))
		return 0;
	return findings_add(&c->found,
		&(struct finding){ .kind = image ? IMBREX_PROBLEM_IMAGE_DATA_DIGEST
						 : IMBREX_PROBLEM_CONTAINER_DATA_DIGEST,
			.type = d->t->t.type,
			.id = d->id,
			.about = d->key,
			.read_only = d->read_only },
		err, "document '%s' is not %s", d->key, hash_format(&d->digest, text));
}

int check_content(struct check *c, const struct strv *only, struct imbrex_error *err)
{
	struct reading g = { .c = c, .only = only };
	size_t i;
	int r;

	g.found = calloc(c->n_layers + 1, sizeof(*g.found));
	if (!g.found)
		return fail_nomem(err);
	(void)pthread_mutex_init(&g.mutex, NULL);
	r = pool_run(c->n_layers, 0, read_one, &g, err);
	if (r == 0)
		r = believe(&g, err);
	for (i = 0; i < c->n_layers; i++)
		findings_done(&g.found[i]);
	free(g.found);
	(void)pthread_mutex_destroy(&g.mutex);
	for (i = 0; r == 0 && i < c->n_documents; i++)
		r = check_document_bytes(c, &c->documents[i], err);
	return r;
}
