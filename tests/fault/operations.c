/* SPDX-License-Identifier: Apache-2.0 */
/* Operations and what must hold after them; see the header. */
#include "operations.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "content.h"
#include "seam.h"
#include "store/layer_facts.h"
#include "store/store.h"

static int pull(
	const struct world *w, struct imbrex_store *s, const char *tag, struct imbrex_error *err)
{
	const struct imbrex_pull_opts opts = { .jobs = 1, .name = tag };
	char *id = NULL;
	int r;

	r = imbrex_pull(s, world_source(w, tag), &opts, &id, err);
	free(id);
	return r;
}

static int pull_one(const struct world *w, struct imbrex_store *s, struct imbrex_error *err)
{
	return pull(w, s, "one", err);
}

static int pull_two(const struct world *w, struct imbrex_store *s, struct imbrex_error *err)
{
	return pull(w, s, "two", err);
}

static int tag(const struct world *w, struct imbrex_store *s, struct imbrex_error *err)
{
	return imbrex_image_tag(s, "one", "other", err);
}

static int untag(const struct world *w, struct imbrex_store *s, struct imbrex_error *err)
{
	return imbrex_image_untag(s, "one", "other", err);
}

static int create_named(struct imbrex_store *s, bool is_volatile, struct imbrex_error *err)
{
	const struct imbrex_container_opts opts = { .name = "box", .is_volatile = is_volatile };
	char *id = NULL;
	int r;

	r = imbrex_container_create(s, "one", &opts, &id, err);
	free(id);
	return r;
}

static int create(const struct world *w, struct imbrex_store *s, struct imbrex_error *err)
{
	return create_named(s, false, err);
}

static int create_volatile(const struct world *w, struct imbrex_store *s, struct imbrex_error *err)
{
	return create_named(s, true, err);
}

static int mount_box(const struct world *w, struct imbrex_store *s, struct imbrex_error *err)
{
	char *path = NULL;
	int r;

	r = imbrex_mount(s, "box", NULL, &path, err);
	free(path);
	return r;
}

static int unmount_box(const struct world *w, struct imbrex_store *s, struct imbrex_error *err)
{
	return imbrex_unmount(s, "box", false, NULL, err);
}

static int remove_box(const struct world *w, struct imbrex_store *s, struct imbrex_error *err)
{
	return imbrex_container_remove(s, "box", true, err);
}

static int remove_image(struct imbrex_store *s, const char *image, struct imbrex_error *err)
{
	struct imbrex_removed removed = { 0 };
	int r;

	r = imbrex_image_remove(s, image, true, &removed, err);
	imbrex_removed_done(&removed);
	return r;
}

static int remove_one(const struct world *w, struct imbrex_store *s, struct imbrex_error *err)
{
	return remove_image(s, "one", err);
}

static int remove_two(const struct world *w, struct imbrex_store *s, struct imbrex_error *err)
{
	return remove_image(s, "two", err);
}

static int collect(const struct world *w, struct imbrex_store *s, struct imbrex_error *err)
{
	char **lines;
	int r;

	seam_advance_clock((int64_t)48 * 60 * 60);
	r = imbrex_gc(s, false, &lines, err);
	seam_advance_clock(0);
	if (r == 0)
		imbrex_strings_free(lines);
	return r;
}

/* ---- the verbs of objects ---------------------------------------------------------------- */

#define FRESH_ID "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
static const char *const fresh_names[] = { "fresh", NULL };
static const struct imbrex_id_map other_ids[] = { { 0, 100000, 65536 } };
static const struct imbrex_id_maps other_maps = {
	.uids = other_ids, .n_uids = 1, .gids = other_ids, .n_gids = 1
};

static int layer_on(struct imbrex_store *s, const char *parent, const struct imbrex_id_maps *maps,
	struct imbrex_error *err)
{
	struct imbrex_layer_opts opts = { .id = FRESH_ID, .names = fresh_names };
	char *id = NULL;
	int r;

	if (maps)
		opts.maps = *maps;
	r = imbrex_layer_create(s, parent, &opts, &id, err);
	free(id);
	return r;
}

/* Id of the top layer of the image; free(). */
static char *top_of(struct imbrex_store *s, struct imbrex_error *err)
{
	struct imbrex_image *image = NULL;
	char *id = NULL;
	char *layer;

	if (imbrex_image_find(s, "one", &id, err) < 0 || imbrex_image_get(s, id, &image, err) < 0) {
		free(id);
		return NULL;
	}
	layer = strdup(image->layer);
	imbrex_images_free(image, 1);
	free(id);
	return layer;
}

static int create_layer(const struct world *w, struct imbrex_store *s, struct imbrex_error *err)
{
	return layer_on(s, NULL, NULL, err);
}

static int create_mapped_layer(
	const struct world *w, struct imbrex_store *s, struct imbrex_error *err)
{
	char *top = top_of(s, err);
	int r = top ? layer_on(s, top, &other_maps, err) : err->status;

	free(top);
	return r;
}

static int import_layer(const struct world *w, struct imbrex_store *s, struct imbrex_error *err)
{
	const struct imbrex_layer_opts opts = { .names = fresh_names, .read_only = true };
	FILE *file = content_archive("file");
	char *id = NULL;
	int r;

	r = imbrex_layer_import(s, NULL, &opts, fileno(file), &id, err);
	(void)fclose(file);
	free(id);
	return r;
}

static int apply(struct imbrex_store *s, const char *name, struct imbrex_error *err)
{
	FILE *file = content_archive(name);
	int r = imbrex_layer_apply(s, fresh_names[0], fileno(file), NULL, err);

	(void)fclose(file);
	return r;
}

static int apply_first(const struct world *w, struct imbrex_store *s, struct imbrex_error *err)
{
	return apply(s, "file", err);
}

static int apply_second(const struct world *w, struct imbrex_store *s, struct imbrex_error *err)
{
	return apply(s, "other", err);
}

/* The layer with the old content or the new, of which the record says nothing. */
static int forget_facts(const struct world *w, struct imbrex_store *s, struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	struct layer_facts_text facts = { 0 };
	struct found f;
	int r;

	r = store_hold(s, HOLD_LAYERS_W, &hold, err);
	if (r == 0)
		r = store_find(s, &layer_records, fresh_names[0], &f, err);
	if (r == 0)
		r = layer_facts_take(&f.t->t, f.index, &facts, err);
	layer_facts_text_done(&facts);
	if (r < 0)
		return r;
	f.t->dirty[found_record(&f)->place] = true;
	return store_save(s, f.t, err);
}

static int create_image(const struct world *w, struct imbrex_store *s, struct imbrex_error *err)
{
	struct imbrex_image_opts opts = { .id = FRESH_ID, .names = fresh_names, .metadata = "m" };
	char *top = top_of(s, err);
	char *id = NULL;
	int r = top ? imbrex_image_create(s, top, &opts, &id, err) : err->status;

	free(top);
	free(id);
	return r;
}

static int create_mapped(const struct world *w, struct imbrex_store *s, struct imbrex_error *err)
{
	const struct imbrex_container_opts opts = { .name = "box", .maps = other_maps };
	char *id = NULL;
	int r;

	r = imbrex_container_create(s, "one", &opts, &id, err);
	free(id);
	return r;
}

static int create_and_remove_mapped(
	const struct world *w, struct imbrex_store *s, struct imbrex_error *err)
{
	int r;

	r = create_mapped(w, s, err);
	return r < 0 ? r : remove_box(w, s, err);
}

static int name_layer(const struct world *w, struct imbrex_store *s, struct imbrex_error *err)
{
	const char *const names[] = { "b", "a", NULL };

	return imbrex_names_change(s, "fresh", IMBREX_KIND_ANY, IMBREX_NAMES_ADD, names, err);
}

static int move_name(const struct world *w, struct imbrex_store *s, struct imbrex_error *err)
{
	const char *const names[] = { "localhost/one:latest", NULL };
	char *id = NULL;
	int r;

	r = imbrex_image_find(s, "two", &id, err);
	if (r == 0)
		r = imbrex_names_change(s, id, IMBREX_KIND_IMAGE, IMBREX_NAMES_SET, names, err);
	free(id);
	return r;
}

static int take_name(const struct world *w, struct imbrex_store *s, struct imbrex_error *err)
{
	const char *const names[] = { "b", NULL };

	return imbrex_names_change(s, "fresh", IMBREX_KIND_LAYER, IMBREX_NAMES_REMOVE, names, err);
}

static int document_of_layer(
	const struct world *w, struct imbrex_store *s, struct imbrex_error *err)
{
	return imbrex_data_set(s, IMBREX_KIND_LAYER, "fresh", "Key", "bytes", 5, err);
}

static int document_of_image(
	const struct world *w, struct imbrex_store *s, struct imbrex_error *err)
{
	char *id = NULL;
	int r;

	r = imbrex_image_find(s, "one", &id, err);
	if (r == 0)
		r = imbrex_data_set(s, IMBREX_KIND_IMAGE, id, "Key", "bytes", 5, err);
	free(id);
	return r;
}

static int wipe(const struct world *w, struct imbrex_store *s, struct imbrex_error *err)
{
	return imbrex_store_wipe(s, err);
}

static int shut_down(const struct world *w, struct imbrex_store *s, struct imbrex_error *err)
{
	return imbrex_store_shutdown(s, true, NULL, err);
}

static int mount_layer(const struct world *w, struct imbrex_store *s, struct imbrex_error *err)
{
	const struct imbrex_mount_opts opts = { .kinds = IMBREX_KIND_LAYER };
	char *path = NULL;
	int r;

	r = imbrex_mount(s, "fresh", &opts, &path, err);
	free(path);
	return r;
}

static int unmount_layer(const struct world *w, struct imbrex_store *s, struct imbrex_error *err)
{
	return imbrex_unmount_kind(s, "fresh", IMBREX_KIND_LAYER, false, NULL, err);
}

/* From another store, whose files are cloned or linked. */
static int adopt(const struct world *w, struct imbrex_store *s, struct imbrex_error *err)
{
	const struct imbrex_pull_opts opts = { .jobs = 1, .name = "two" };
	char source[PATH_MAX * 2];
	char *id = NULL;
	int r;

	(void)snprintf(source, sizeof(source), "podman://[%s@%s+%s]localhost/two:latest", w->driver,
		world_path(w, "two/root"), world_path(w, "two/run"));
	r = imbrex_pull(s, source, &opts, &id, err);
	free(id);
	return r;
}

static int set_metadata(const struct world *w, struct imbrex_store *s, struct imbrex_error *err)
{
	return imbrex_metadata_set(s, "box", IMBREX_KIND_ANY, "new", err);
}

static int set_document(const struct world *w, struct imbrex_store *s, struct imbrex_error *err)
{
	return imbrex_data_set(s, IMBREX_KIND_CONTAINER, "box", "Key", "bytes", 5, err);
}

static int set_other_document(
	const struct world *w, struct imbrex_store *s, struct imbrex_error *err)
{
	return imbrex_data_set(s, IMBREX_KIND_CONTAINER, "box", "Key", "BYTES", 5, err);
}

static int delete_named(
	struct imbrex_store *s, const char *name, enum imbrex_kind kind, struct imbrex_error *err)
{
	return imbrex_object_delete(s, name, kind, NULL, NULL, err);
}

static int delete_layer(const struct world *w, struct imbrex_store *s, struct imbrex_error *err)
{
	return delete_named(s, "fresh", IMBREX_KIND_LAYER, err);
}

static int delete_container(const struct world *w, struct imbrex_store *s, struct imbrex_error *err)
{
	return delete_named(s, "box", IMBREX_KIND_CONTAINER, err);
}

/* With a copy of its top layer. */
static int delete_image(const struct world *w, struct imbrex_store *s, struct imbrex_error *err)
{
	char *id = NULL;
	int r;

	r = imbrex_image_find(s, "one", &id, err);
	if (r == 0)
		r = delete_named(s, id, IMBREX_KIND_IMAGE, err);
	free(id);
	return r == IMBREX_ENOENT ? 0 : r;
}

const struct operation operations[] = {
	{ "open a new store", NULL, NULL, NULL, NULL, false },
	{ "pull", "empty", NULL, pull_one, NULL, false },
	{ "pull a sibling", "one", NULL, pull_two, NULL, false },
	{ "pull from a store", "one", NULL, adopt, NULL, .is_sparse = true },
	{ "tag", "one", NULL, tag, NULL, false },
	{ "untag", "tagged", NULL, untag, NULL, false },
	{ "create", "one", NULL, create, NULL, false },
	{ "create volatile", "one", NULL, create_volatile, NULL, false },
	{ "mount", "box", NULL, mount_box, NULL, false },
	{ "unmount", "box", mount_box, unmount_box, NULL, false },
	{ "mount a layer", "layered", NULL, mount_layer, NULL, false },
	{ "unmount a layer", "layered", mount_layer, unmount_layer, NULL, false },
	{ "remove a container", "box", NULL, remove_box, NULL, false },
	{ "remove a volatile container", "volatile box", NULL, remove_box, NULL, false },
	{ "remove a mounted container", "box", mount_box, remove_box, unmount_box, false },
	{ "remove an image", "one", NULL, remove_one, NULL, false },
	{ "remove a sibling", "two", NULL, remove_two, NULL, false },
	{ "remove an image with its container", "box", NULL, remove_one, remove_box, false },
	{ "make a layer", "one", NULL, create_layer, NULL, false },
	{ "make a mapped layer", "one", NULL, create_mapped_layer, NULL, false },
	{ "import a layer", "one", NULL, import_layer, NULL, false },
	{ "apply a diff", "layered", NULL, apply_first, NULL, false },
	{ "apply another diff", "layered", apply_first, apply_second, forget_facts, false },
	{ "make an image", "one", NULL, create_image, NULL, false },
	{ "make a mapped container", "one", NULL, create_mapped, create_and_remove_mapped, false },
	{ "name a layer", "layered", NULL, name_layer, NULL, false },
	{ "move a name", "two", NULL, move_name, NULL, false },
	{ "set metadata", "box", NULL, set_metadata, NULL, false },
	{ "set a document", "box", NULL, set_document, NULL, false },
	{ "set another document", "box", set_document, set_other_document, NULL, false },
	{ "delete a layer", "layered", NULL, delete_layer, NULL, false },
	{ "delete a container", "box", NULL, delete_container, NULL, false },
	{ "delete an image and a copy", "mapped", NULL, delete_image, NULL, false },
	{ "take a name", "layered", name_layer, take_name, NULL, false },
	{ "set a layer's document", "layered", NULL, document_of_layer, NULL, false },
	{ "set an image's document", "one", NULL, document_of_image, NULL, false },
	{ "apply a directory", "layered", NULL, content_apply_dir, NULL, false },
	{ "apply a diff to a copy", "mapped", NULL, content_apply_to_copy, content_forget_copy,
		.is_sparse = true },
	{ "copy into a layer", "layered", NULL, content_copy_in, NULL, false },
	{ "share equal files", "two", NULL, content_dedup, NULL, false },
	{ "shut down", "box", mount_box, shut_down, NULL, false },
	{ "wipe", "box", NULL, wipe, remove_box, .is_sparse = true },
	{ "repair content", "one", damage_file, content_repair, NULL, .mends = true },
	{ "repair a copy", "mapped", damage_copy, content_repair, NULL, .mends = true },
	{ "repair a document", "one", damage_document, content_repair, NULL, .mends = true },
	{ "repair what lies beside", "one", damage_links, content_repair, NULL, .mends = true },
	{ "repair a table", "box", damage_table, content_repair, NULL, .mends = true },
	{ "repair from a source", "one", lose_file, content_repair_from, NULL, .mends = true },
	{ "repair by removing", "two", lose_file, content_repair_removing, NULL, .mends = true },
	{ "collect garbage", "garbage", NULL, collect, NULL, true },
};
const size_t n_operations = sizeof(operations) / sizeof(operations[0]);

bool operation_is_wanted(const struct operation *o)
{
	const char *only = getenv("IMBREX_FAULT_ONLY");

	return !only || strstr(o->name, only);
}

unsigned int operation_stride(const struct world *w, const struct operation *o)
{
	const bool sparse = o->is_sparse || o->mends;

	/* Odd, since errors and deaths take turns by the number of the call. */
	return sparse && w->stride > 1 ? w->stride * 2 + 1 : w->stride;
}

/* ---- stores to start from -------------------------------------------------------------- */

static void must(int r, const char *what, const struct imbrex_error *err)
{
	if (r == 0)
		return;
	(void)fprintf(stderr, "the test itself cannot go on: %s: %s\n", what, err->message);
	exit(99);
}

static void start_from(const struct world *w, const char *name, const char *from,
	int (*run)(const struct world *w, struct imbrex_store *s, struct imbrex_error *err))
{
	struct imbrex_error err = { 0 };
	struct imbrex_store *s = NULL;

	world_copy(w, from, name);
	must(store_open_in(w, name, &s, &err), name, &err);
	must(run(w, s, &err), name, &err);
	imbrex_store_close(s);
}

/* Pulls and dies after the rename to `until`. */
static void die_pulling(const struct world *w, const char *name, const char *until)
{
	const struct seam_plan plan = { .action = SEAM_RENAMED, .name = until };
	struct imbrex_error err = { 0 };
	struct imbrex_store *s = NULL;
	int status = 0;
	pid_t pid;

	(void)fflush(stdout);
	pid = fork();
	if (pid == 0) {
		must(store_open_in(w, name, &s, &err), name, &err);
		seam_arm(&plan);
		(void)!pull_two(w, s, &err);
		_exit(99);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) ||
		WEXITSTATUS(status) != SEAM_EXIT) {
		(void)fprintf(stderr, "the test itself cannot go on: %s: no death\n", name);
		exit(99);
	}
}

static void make_garbage(const struct world *w)
{
	static const char id[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	const char *home = world_home(w);
	char path[PATH_MAX];
	int fd;

	world_copy(w, "one", "garbage");
	die_pulling(w, "garbage", "layers.json");
	(void)snprintf(path, sizeof(path), "%s/garbage/root/%s/%s", w->dir, home, id);
	if (mkdir(path, 0700) < 0)
		exit(99);
	(void)snprintf(path, sizeof(path), "%s/garbage/root/%s-images/%s", w->dir, w->driver, id);
	if (mkdir(path, 0700) < 0)
		exit(99);
	(void)snprintf(path, sizeof(path), "%s/garbage/root/%s-layers/.tmp-x", w->dir, w->driver);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		exit(99);
	(void)close(fd);
}

void operations_prepare(const struct world *w)
{
	struct imbrex_error err = { 0 };
	struct imbrex_store *s = NULL;
	int r;

	/* Owners are changed on disk, which is more to disturb than a map of the kernel. */
	(void)setenv("_CONTAINERS_OVERLAY_DISABLE_IDMAP", "yes", 1);
	content_prepare(w);
	world_remove(w, "empty");
	if (mkdir(world_path(w, "empty"), 0700) < 0)
		exit(99);
	r = store_open_in(w, "empty", &s, &err);
	if (r == IMBREX_ENOTSUP) {
		printf("%s\n", err.message);
		skip("the driver does not work here");
	}
	must(r, "empty", &err);
	imbrex_store_close(s);
	start_from(w, "one", "empty", pull_one);
	start_from(w, "two", "one", pull_two);
	start_from(w, "only two", "empty", pull_two);
	start_from(w, "tagged", "one", tag);
	start_from(w, "box", "one", create);
	start_from(w, "volatile box", "one", create_volatile);
	start_from(w, "layered", "one", create_layer);
	start_from(w, "mapped", "one", create_and_remove_mapped);
	make_garbage(w);
}

/* ---- a round --------------------------------------------------------------------------- */

struct imbrex_store *operation_begin(
	const struct world *w, const struct operation *o, const char *name)
{
	struct imbrex_error err = { 0 };
	struct imbrex_store *s;

	if (!o->from) {
		world_remove(w, name);
		if (mkdir(world_path(w, name), 0700) < 0)
			exit(99);
		return NULL;
	}
	world_copy(w, o->from, name);
	s = store_reopen(w, name);
	if (s && o->before)
		must(o->before(w, s, &err), o->name, &err);
	return s;
}

int operation_run(const struct world *w, const struct operation *o, const char *name,
	struct imbrex_store **s, struct imbrex_error *err)
{
	return o->from ? o->run(w, *s, err) : store_open_in(w, name, s, err);
}

struct outcome operation_outcome(const struct world *w, const struct operation *o)
{
	const struct seam_plan plan = { .action = SEAM_COUNT };
	struct imbrex_error err = { 0 };
	struct outcome outcome = { 0 };
	struct imbrex_store *s;

	s = operation_begin(w, o, "round");
	if (s) {
		if (o->halfway)
			must(o->halfway(w, s, &err), o->name, &err);
		outcome.halfway = state_of(s);
		imbrex_store_close(s);
	}
	s = operation_begin(w, o, "round");
	if (s)
		outcome.before = state_of(s);
	seam_arm(&plan);
	must(operation_run(w, o, "round", &s, &err), o->name, &err);
	outcome.n_calls = seam_disarm();
	outcome.after = state_of(s);
	context("%s %s, undisturbed", w->driver, o->name);
	expect_clean(s, o->is_gc);
	imbrex_store_close(s);
	return outcome;
}

void outcome_done(struct outcome *outcome)
{
	strv_done(&outcome->before);
	strv_done(&outcome->halfway);
	strv_done(&outcome->after);
}

static bool is_expected(const struct strv *now, const struct outcome *x, bool exactly)
{
	if (state_equal(now, &x->before) || state_equal(now, &x->halfway) ||
		state_equal(now, &x->after))
		return true;
	return !exactly && (state_between(now, &x->before, &x->after) ||
				   state_between(now, &x->before, &x->halfway) ||
				   state_between(now, &x->halfway, &x->after));
}

/* `exactly`: nothing in between the states. `succeeded`: nothing but the new one. */
static void expect_state(
	const struct strv *now, const struct outcome *x, bool exactly, bool succeeded)
{
	if (succeeded ? state_equal(now, &x->after) : is_expected(now, x, exactly))
		return;
	problem("%s", succeeded ? "it said success, and the store is not the new one"
				: "the store is neither the old nor the new one");
	state_print("old", &x->before);
	state_print("halfway", &x->halfway);
	state_print("new", &x->after);
	state_print("is", now);
}

/* What is left of a repair may be damaged, or mended; the next repair makes it whole. Takes `s`. */
static void recover_damaged(const struct world *w, const struct operation *o,
	struct imbrex_store *s, const struct outcome *outcome, bool succeeded)
{
	struct imbrex_error err = { 0 };
	AUTO_STRV now = { 0 };

	if (succeeded)
		expect_clean(s, true);
	else if (o->run(w, s, &err) < 0)
		problem("the next try fails as well: %s", err.message);
	now = state_of(s);
	expect_state(&now, outcome, true, true);
	expect_clean(s, true);
	imbrex_store_close(s);
}

void operation_recover(const struct world *w, const struct operation *o, const char *name,
	const struct outcome *outcome, bool succeeded)
{
	struct imbrex_store *s = store_reopen(w, name);
	struct imbrex_error err = { 0 };
	AUTO_STRV now = { 0 };
	int r;

	if (!s)
		return;
	if (o->mends) {
		recover_damaged(w, o, s, outcome, succeeded);
		return;
	}
	now = state_of(s);
	expect_state(&now, outcome, false, succeeded);
	expect_clean(s, true);
	expect_collectable(w, s, name);
	strv_done(&now);
	now = state_of(s);
	if (!o->is_gc)
		expect_state(&now, outcome, true, false);
	if (o->from && !state_equal(&now, &outcome->after)) {
		r = o->run(w, s, &err);
		if (r < 0)
			problem("the next try fails as well: %s", err.message);
		strv_done(&now);
		now = state_of(s);
		if (r == 0)
			expect_state(&now, outcome, true, true);
		expect_clean(s, false);
	}
	imbrex_store_close(s);
}
