/* SPDX-License-Identifier: Apache-2.0 */
/* Operations on content, and damage; see the header. */
#include "content.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/layer_facts.h"
#include "store/store.h"

FILE *content_archive(const char *name)
{
	char block[512 * 3] = "";
	unsigned int sum = 0;
	FILE *file;
	size_t i;

	(void)snprintf(block, 100, "%s", name);
	memcpy(block + 100, "0000644", 8);
	memcpy(block + 108, "0000000", 8);
	memcpy(block + 116, "0000000", 8);
	memcpy(block + 124, "00000000000", 12);
	memcpy(block + 136, "00000000000", 12);
	memcpy(block + 148, "        ", 8);
	memcpy(block + 156, "0", 1);
	memcpy(block + 257, "ustar\00000", 8);
	for (i = 0; i < 512; i++)
		sum += (unsigned char)block[i];
	(void)snprintf(block + 148, 8, "%06o", sum);
	file = tmpfile();
	if (!file || fwrite(block, sizeof(block), 1, file) != 1 || fflush(file) != 0)
		exit(99);
	rewind(file);
	return file;
}

void content_prepare(const struct world *w)
{
	const char *dir = world_path(w, "source");
	char path[PATH_MAX];
	FILE *f;

	if (mkdir(dir, 0755) < 0 && errno != EEXIST)
		exit(99);
	(void)snprintf(path, sizeof(path), "%.4000s/sub", dir);
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		exit(99);
	(void)snprintf(path, sizeof(path), "%.4000s/sub/file", dir);
	f = fopen(path, "we");
	if (!f || fputs("content", f) < 0 || fclose(f) != 0)
		exit(99);
}

int content_apply_dir(const struct world *w, struct imbrex_store *s, struct imbrex_error *err)
{
	return imbrex_layer_apply_dir(s, "fresh", world_path(w, "source"), err);
}

int content_copy_in(const struct world *w, struct imbrex_store *s, struct imbrex_error *err)
{
	const struct imbrex_copy_opts opts = { .uid = -1, .gid = -1 };
	const char *const sources[] = { world_path(w, "source"), NULL };

	return imbrex_copy(s, sources, "fresh:/", &opts, err);
}

/* Its id; free(). */
static char *copy_of_one(struct imbrex_store *s, struct imbrex_error *err)
{
	struct imbrex_image *image = NULL;
	char *id = NULL;
	char *copy = NULL;

	if (imbrex_image_find(s, "one", &id, err) == 0 &&
		imbrex_image_get(s, id, &image, err) == 0) {
		copy = image->mapped_layers[0] ? strdup(image->mapped_layers[0]) : NULL;
		imbrex_images_free(image, 1);
	}
	free(id);
	return copy;
}

int content_apply_to_copy(const struct world *w, struct imbrex_store *s, struct imbrex_error *err)
{
	char *copy = copy_of_one(s, err);
	FILE *file = content_archive("applied");
	int r = copy          ? imbrex_layer_apply(s, copy, fileno(file), NULL, err)
		: err->status ? err->status
			      : IMBREX_ENOENT;

	(void)fclose(file);
	free(copy);
	return r;
}

int content_forget_copy(const struct world *w, struct imbrex_store *s, struct imbrex_error *err)
{
	char *copy = copy_of_one(s, err);
	AUTO_HOLD hold = HOLD_NONE;
	struct layer_facts_text facts = { 0 };
	struct found f;
	int r;

	r = store_hold(s, HOLD_LAYERS_W, &hold, err);
	if (r == 0)
		r = store_find(s, &layer_records, copy ? copy : "", &f, err);
	if (r == 0)
		r = layer_facts_take(&f.t->t, f.index, &facts, err);
	layer_facts_text_done(&facts);
	free(copy);
	if (r < 0)
		return r;
	f.t->dirty[found_record(&f)->place] = true;
	return store_save(s, f.t, err);
}

int content_dedup(const struct world *w, struct imbrex_store *s, struct imbrex_error *err)
{
	int64_t bytes;
	int r = imbrex_dedup(s, IMBREX_DEDUP_SHA256, &bytes, err);

	return r == IMBREX_ENOTSUP ? 0 : r;
}

/* ---- damage ---------------------------------------------------------------------------- */

static int repair(
	struct imbrex_store *s, const struct imbrex_check_opts *opts, struct imbrex_error *err)
{
	struct imbrex_problem *found = NULL;
	size_t n = 0;
	size_t i;
	int r;

	r = imbrex_check(s, opts, &found, &n, err);
	if (r < 0)
		return r;
	for (i = 0; r == 0 && i < n; i++) {
		if (found[i].repaired || found[i].kind == IMBREX_PROBLEM_MOUNTS)
			continue;
		r = IMBREX_EFAIL;
		(void)snprintf(err->message, sizeof(err->message), "%s: %s: %s", found[i].object,
			found[i].text, found[i].action);
		err->status = r;
	}
	imbrex_problems_free(found, n);
	return r;
}

int content_repair(const struct world *w, struct imbrex_store *s, struct imbrex_error *err)
{
	const struct imbrex_check_opts opts = { .repair = true };

	return repair(s, &opts, err);
}

int content_repair_from(const struct world *w, struct imbrex_store *s, struct imbrex_error *err)
{
	const struct imbrex_check_opts opts = { .repair = true, .from = world_source(w, "one") };

	return repair(s, &opts, err);
}

int content_repair_removing(const struct world *w, struct imbrex_store *s, struct imbrex_error *err)
{
	const struct imbrex_check_opts opts = { .repair = true, .remove = true };

	return repair(s, &opts, err);
}

static char *top_of_one(struct imbrex_store *s, struct imbrex_error *err)
{
	struct imbrex_image *image = NULL;
	char *id = NULL;
	char *top = NULL;

	if (imbrex_image_find(s, "one", &id, err) == 0 &&
		imbrex_image_get(s, id, &image, err) == 0) {
		top = strdup(image->layer);
		imbrex_images_free(image, 1);
	}
	free(id);
	return top;
}

static int spoil(const char *path, struct imbrex_error *err)
{
	if (chmod(path, 0600) == 0)
		return 0;
	(void)snprintf(err->message, sizeof(err->message), "%.400s: %s", path, strerror(errno));
	return IMBREX_EFAIL;
}

static int lose(const char *path, struct imbrex_error *err)
{
	if (unlink(path) == 0)
		return 0;
	(void)snprintf(err->message, sizeof(err->message), "%.400s: %s", path, strerror(errno));
	return IMBREX_EFAIL;
}

/* `generation`, of overlay: "diff/" or, of a copy, "diff1/". */
static int damage_layer(const struct world *w, struct imbrex_store *s, char *layer,
	const char *generation, int (*how)(const char *path, struct imbrex_error *err),
	struct imbrex_error *err)
{
	const bool is_split = strcmp(w->driver, "overlay") == 0;
	char path[PATH_MAX];
	int r;

	if (!layer)
		return IMBREX_ENOENT;
	(void)snprintf(path, sizeof(path), "%s/%s/%s/%setc/one", imbrex_store_graphroot(s),
		world_home(w), layer, !is_split ? "" : generation);
	r = how(path, err);
	free(layer);
	return r;
}

int damage_file(const struct world *w, struct imbrex_store *s, struct imbrex_error *err)
{
	return damage_layer(w, s, top_of_one(s, err), "diff/", spoil, err);
}

int lose_file(const struct world *w, struct imbrex_store *s, struct imbrex_error *err)
{
	return damage_layer(w, s, top_of_one(s, err), "diff/", lose, err);
}

int damage_copy(const struct world *w, struct imbrex_store *s, struct imbrex_error *err)
{
	return damage_layer(w, s, copy_of_one(s, err), "diff1/", spoil, err);
}

/* Of the two keys that the manifest lies under, one is enough for the other. */
int damage_document(const struct world *w, struct imbrex_store *s, struct imbrex_error *err)
{
	char path[PATH_MAX];
	char *id = NULL;
	int r = imbrex_image_find(s, "one", &id, err);

	if (r < 0)
		return r;
	(void)snprintf(path, sizeof(path), "%s/%s-images/%s/manifest", imbrex_store_graphroot(s),
		imbrex_store_driver(s), id);
	free(id);
	return unlink(path) < 0 ? IMBREX_EFAIL : 0;
}

/* Others than overlay have none: there it is that others may write to the directory of records. */
int damage_links(const struct world *w, struct imbrex_store *s, struct imbrex_error *err)
{
	const char *root = imbrex_store_graphroot(s);
	char *top = top_of_one(s, err);
	char path[PATH_MAX];
	int r;

	if (!top)
		return IMBREX_ENOENT;
	if (strcmp(imbrex_store_driver(s), "overlay") == 0) {
		(void)snprintf(path, sizeof(path), "%s/overlay/%s/lower", root, top);
		r = unlink(path);
	} else {
		(void)snprintf(path, sizeof(path), "%s/%s-layers", root, w->driver);
		r = chmod(path, 0777);
	}
	free(top);
	return r < 0 ? IMBREX_EFAIL : 0;
}

/* What was written last is cut off. */
int damage_table(const struct world *w, struct imbrex_store *s, struct imbrex_error *err)
{
	char path[PATH_MAX];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s/%s-layers/layers.json", imbrex_store_graphroot(s),
		imbrex_store_driver(s));
	return stat(path, &st) < 0 || truncate(path, st.st_size - 30) < 0 ? IMBREX_EFAIL : 0;
}
