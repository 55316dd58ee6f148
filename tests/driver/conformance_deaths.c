/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process ends between any two calls to a driver. Whoever comes next finds the layers as before
 * or as after, what is left is found and collected, and the next try works. (What happens between
 * the system calls of one such call is asked by tests/fault.)
 */
#include "conformance.h"

#include <sys/wait.h>

#define DEAD 86

/* The process that is about to die: a driver of its own, as another program would have. */
struct victim {
	struct driver *d;
	struct tempdir *temp;
	int left; /* steps that it may still take */
	struct imbrex_error err;
};

static void step(struct victim *v, int r)
{
	if (r < 0) {
		print_error("the victim fails: %s\n", v->err.message);
		_exit(1);
	}
	if (v->left-- == 0)
		_exit(DEAD);
}

static void victim_begin(struct victim *v, const struct fixture *f, int steps)
{
	char temp_root[64];
	int graph = open(f->graphroot, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	*v = (struct victim){ .left = steps };
	step(v, driver_open(driver_name, NULL, &f->config, &v->d, &v->err));
	driver_temp_root(v->d, temp_root, sizeof(temp_root));
	step(v, tempdir_new(graph, temp_root, &v->temp, &v->err));
}

static void fill(struct victim *v, struct driver_stage *stage)
{
	const struct entry e = { .path = "new", .type = ENTRY_FILE, .mode = 0644, .size_bytes = 2 };
	const struct entry gone = { .path = "gone", .type = ENTRY_WHITEOUT };
	struct entry_sink *sink = NULL;

	step(v, v->d->ops->stage_entries(stage, &sink, &v->err));
	step(v, sink->ops->begin(sink, &gone, &v->err));
	step(v, sink->ops->end(sink, &v->err));
	step(v, sink->ops->begin(sink, &e, &v->err));
	step(v, sink->ops->data(sink, "n", 1, &v->err));
	step(v, sink->ops->data(sink, "n", 1, &v->err));
	step(v, sink->ops->end(sink, &v->err));
	step(v, sink->ops->finish(sink, &v->err));
	entry_sink_free(sink);
}

/* Each road returns when it is at its end. */
static void make_a_layer(struct victim *v)
{
	const struct driver_parent parent = { .id = "base" };
	struct driver_stage *stage = NULL;

	step(v, v->d->ops->stage_new(v->d, v->temp, &parent, NULL, &stage, &v->err));
	fill(v, stage);
	step(v, v->d->ops->stage_seal(stage, &parent, true, &v->err));
	if (v->d->ops->stage_rebase)
		step(v, v->d->ops->stage_rebase(stage, &parent, &v->err));
	step(v, v->d->ops->stage_publish(stage, "layer", &v->err));
	step(v, v->d->ops->sync_homes(v->d, &v->err));
	driver_stage_free(stage);
	step(v, tempdir_finish(v->temp, &v->err));
}

static void create_a_layer(struct victim *v)
{
	const struct driver_parent parent = { .id = "base" };
	struct driver_stage *stage = NULL;

	if (v->d->ops->create) {
		step(v, v->d->ops->create(v->d, "layer", &parent, NULL, true, &v->err));
	} else {
		step(v, v->d->ops->stage_new(v->d, v->temp, &parent, NULL, &stage, &v->err));
		step(v, v->d->ops->stage_seal(stage, &parent, true, &v->err));
		step(v, v->d->ops->stage_publish(stage, "layer", &v->err));
		driver_stage_free(stage);
	}
	step(v, v->d->ops->sync_homes(v->d, &v->err));
}

static void replace_a_layer(struct victim *v)
{
	const struct driver_parent parent = { .id = "base" };
	struct driver_stage *stage = NULL;

	step(v, v->d->ops->stage_new(v->d, v->temp, NULL, NULL, &stage, &v->err));
	step(v, v->d->ops->stage_copy(stage, "layer", &v->err));
	fill(v, stage);
	step(v, v->d->ops->stage_seal(stage, &parent, true, &v->err));
	step(v, v->d->ops->stage_replace(stage, "layer", v->temp, &v->err));
	driver_stage_free(stage);
	step(v, tempdir_finish(v->temp, &v->err));
}

static void remove_a_layer(struct victim *v)
{
	step(v, v->d->ops->remove(v->d, "layer", v->temp, &v->err));
	step(v, v->d->ops->sync_homes(v->d, &v->err));
	step(v, tempdir_finish(v->temp, &v->err));
}

static void use_a_layer(struct victim *v)
{
	char *path = NULL;
	int root;

	step(v, v->d->ops->mount(v->d, "layer", &(struct driver_mount_opts){ 0 }, &path, &v->err));
	root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	step(v, unlinkat(root, "gone", 0) < 0 ? -1 : 0);
	step(v, write_file_at(root, "new", 0644, "nn", 2, &v->err));
	(void)close(root);
	step(v, v->d->ops->unmount(v->d, "layer", &v->err));
	free(path);
}

/* 1: it died after that many steps; 0: it came to the end before. */
static int die_after(const struct fixture *f, void (*road)(struct victim *v), int steps)
{
	int status = 0;
	pid_t pid;

	(void)fflush(stdout);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct victim v;

		victim_begin(&v, f, steps);
		road(&v);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_true(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == DEAD);
	return WEXITSTATUS(status) == DEAD;
}

static int ignore_problem(void *ctx, const struct driver_problem *p, struct imbrex_error *err)
{
	return 0;
}

static int count_problem(void *ctx, const struct driver_problem *p, struct imbrex_error *err)
{
	print_error("it is left: %s\n", p->text);
	++*(size_t *)ctx;
	return 0;
}

/* As gc does. Afterwards nothing is to be found by it, and nothing lies but layers. */
static void collect(struct fixture *f)
{
	AUTO_CLOSE int graph = open(f->graphroot, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO_STRV ids = { 0 };
	char temp_root[64];
	size_t n = 0;
	size_t i;

	driver_temp_root(f->d, temp_root, sizeof(temp_root));
	assert_ok(tempdir_recover(graph, temp_root, &f->err), &f->err);
	assert_ok(f->d->ops->garbage(f->d, true, ignore_problem, NULL, &f->err), &f->err);
	assert_ok(f->d->ops->garbage(f->d, false, count_problem, &n, &f->err), &f->err);
	assert_int_equal(n, 0);
	/* Our own pair. */
	assert_int_equal(count_names_at(graph, temp_root), 2);
	assert_ok(f->d->ops->list(f->d, &ids, &f->err), &f->err);
	for (i = 0; i < ids.n; i++)
		if (!str_eq(ids.items[i], "base") && !str_eq(ids.items[i], "layer"))
			print_error("there is a layer '%s'\n", ids.items[i]);
	assert_int_equal(ids.n, 1 + (size_t)f->d->ops->exists(f->d, "layer"));
}

#define OLD                                 \
	"gone 100644 0:0 7.000000000 'g'\n" \
	"keep 100644 0:0 7.000000000 'k'\n"
#define OLD_LAYER OLD "own 100644 0:0 7.000000000 'o'\n"
#define NEW                                 \
	"keep 100644 0:0 7.000000000 'k'\n" \
	"new 100644 0:0 0.000000000 'nn'\n"
#define NEW_LAYER NEW "own 100644 0:0 7.000000000 'o'\n"

static void make_base(struct fixture *f)
{
	const struct node base[] = { FILE("gone", 0644, "g"), FILE("keep", 0644, "k") };

	fixture_layer(f, "base", NULL, base, ARRAY_LEN(base));
}

static void make_layer(struct fixture *f)
{
	fixture_layer(f, "layer", "base", &(struct node)FILE("own", 0644, "o"), 1);
}

/* The layer is one of two texts, or is absent if one of them is NULL. */
static void assert_either(struct fixture *f, const char *a, const char *b)
{
	AUTO_STR text = STR_INIT(1u << 20);

	if (!f->d->ops->exists(f->d, "layer")) {
		assert_true(!a || !b);
		return;
	}
	layer_text(f, "layer", 0, &text);
	if (!(a && str_eq(str_text(&text), a)) && !(b && str_eq(str_text(&text), b)))
		print_error("neither the old nor the new layer:\n%s", str_text(&text));
	assert_true((a && str_eq(str_text(&text), a)) || (b && str_eq(str_text(&text), b)));
}

/*
 * Die on the road after every step. `with` a layer to begin with; afterwards it is `a` or `b`. Then
 * everything goes, and is made again.
 */
static void die_everywhere(
	struct fixture *f, void (*road)(struct victim *v), bool with, const char *a, const char *b)
{
	int steps = 0;
	int died;

	do {
		make_base(f);
		if (with)
			make_layer(f);
		died = die_after(f, road, steps);
		collect(f);
		assert_either(f, a, b);
		assert_layer(f, "base", OLD);
		/* The next one gets to the end. */
		if (died && (a || f->d->ops->exists(f->d, "layer") == with))
			assert_int_equal(die_after(f, road, 1000), 0);
		else if (died)
			assert_either(f, b, b);
		collect(f);
		assert_layer(f, "base", OLD);
		assert_ok(f->d->ops->remove(f->d, "layer", f->temp, &f->err), &f->err);
		assert_ok(f->d->ops->remove(f->d, "base", f->temp, &f->err), &f->err);
		steps++;
	} while (died);
	/* It was asked in between, too. */
	assert_true(steps > 3);
}

static void while_a_layer_is_made(void **state)
{
	die_everywhere(*state, make_a_layer, false, NULL, NEW);
}

static void while_a_layer_is_created(void **state)
{
	die_everywhere(*state, create_a_layer, false, NULL, OLD);
}

static void while_a_layer_is_replaced(void **state)
{
	die_everywhere(*state, replace_a_layer, true, OLD_LAYER, NEW_LAYER);
}

static void while_a_layer_is_removed(void **state)
{
	die_everywhere(*state, remove_a_layer, true, OLD_LAYER, NULL);
}

static void while_a_layer_is_mounted(void **state)
{
	struct fixture *f = *state;
	int steps = 0;
	int died;

	do {
		make_base(f);
		make_layer(f);
		died = die_after(f, use_a_layer, steps);
		/* Whoever finds it in the book of mounts. */
		assert_ok(f->d->ops->unmount(f->d, "layer", &f->err), &f->err);
		collect(f);
		assert_layer(f, "base", OLD);
		assert_ok(f->d->ops->remove(f->d, "layer", f->temp, &f->err), &f->err);
		assert_ok(f->d->ops->remove(f->d, "base", f->temp, &f->err), &f->err);
		steps++;
	} while (died);
	assert_true(steps > 3);
}

int test_deaths(void)
{
	const struct CMUnitTest tests[] = {
		TEST(while_a_layer_is_made),
		TEST(while_a_layer_is_created),
		TEST(while_a_layer_is_replaced),
		TEST(while_a_layer_is_removed),
		TEST(while_a_layer_is_mounted),
	};

	return cmocka_run_group_tests_name("deaths", tests, NULL, NULL);
}
