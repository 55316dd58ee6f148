/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A throw-away graphroot with one driver, and layers made of tables of nodes. Header only: every
 * test of this module is a program of its own. Include after cmocka.h.
 */
#ifndef DRIVER_FIXTURE_H
#define DRIVER_FIXTURE_H

/* cmocka has a macro of that name; base/error.h a function. */
#undef fail

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>

#include "base/strv.h"
#include "driver/driver.h"
#include "os/beneath.h"
#include "os/fd.h"

struct node {
	const char *path;
	enum entry_type type;
	uint32_t mode;
	uint32_t uid, gid;
	const char *text; /* content */
	const char *link;
	int64_t mtime;
	uint32_t mtime_nsec;
	uint32_t dev_major, dev_minor;
	const char *xattr, *value;
};

struct fixture {
	char *dir; /* owned; holds everything */
	char graphroot[256];
	char runroot[256];
	int root; /* dir, opened */
	struct driver_config config;
	struct driver *d;
	struct tempdir *temp;
	struct imbrex_error err;
};

#define assert_ok(r, err) assert_ok_at((r), (err), __FILE__, __LINE__)

static inline void assert_ok_at(int r, const struct imbrex_error *err, const char *file, int line)
{
	if (r < 0)
		print_error("status %d: %s\n", r, err->message);
	_assert_true(r >= 0, "r >= 0", file, line);
}

static inline void push(struct fixture *f, struct entry_sink *sink, const struct node *n)
{
	size_t len = n->text ? strlen(n->text) : 0;
	struct entry_xattr x = { n->xattr, n->value, n->value ? strlen(n->value) : 0 };
	struct entry e = { .path = n->path,
		.type = n->type,
		.mode = n->mode,
		.uid = n->uid,
		.gid = n->gid,
		.dev_major = n->dev_major,
		.dev_minor = n->dev_minor,
		.size_bytes = len,
		.mtime_sec = n->mtime,
		.mtime_nsec = n->mtime_nsec,
		.atime_sec = n->mtime,
		.atime_nsec = n->mtime_nsec,
		.link = n->link,
		.xattrs = n->xattr ? &x : NULL,
		.n_xattrs = n->xattr != NULL };

	assert_ok(sink->ops->begin(sink, &e, &f->err), &f->err);
	if (len)
		assert_ok(sink->ops->data(sink, n->text, len, &f->err), &f->err);
	assert_ok(sink->ops->end(sink, &f->err), &f->err);
}

static inline void fixture_layer(struct fixture *f, const char *id, const char *parent_id,
	const struct node *nodes, size_t n)
{
	struct driver_parent parent = { .id = parent_id };
	struct driver_stage *stage = NULL;
	struct entry_sink *sink = NULL;
	size_t i;

	assert_ok(f->d->ops->stage_new(f->d, f->temp, &parent, NULL, &stage, &f->err), &f->err);
	if (n) {
		assert_ok(f->d->ops->stage_entries(stage, &sink, &f->err), &f->err);
		for (i = 0; i < n; i++)
			push(f, sink, &nodes[i]);
		assert_ok(sink->ops->finish(sink, &f->err), &f->err);
		entry_sink_free(sink);
	}
	assert_ok(f->d->ops->stage_seal(stage, &parent, false, &f->err), &f->err);
	assert_ok(f->d->ops->stage_publish(stage, id, &f->err), &f->err);
	driver_stage_free(stage);
}

/* Where tests put what they make; NULL: TMPDIR, or /tmp. */
static inline struct fixture *fixture_new_at(
	const char *place, const char *driver, const struct strv *options)
{
	struct fixture *f = calloc(1, sizeof(*f));
	const char *tmp = place ? place : getenv("TMPDIR");
	char temp_root[64];

	assert_non_null(f);
	f->dir = format_text("%s/imbrex-driver-XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(f->dir);
	assert_non_null(mkdtemp(f->dir));
	(void)snprintf(f->graphroot, sizeof(f->graphroot), "%s/g", f->dir);
	(void)snprintf(f->runroot, sizeof(f->runroot), "%s/r", f->dir);
	assert_int_equal(mkdir(f->graphroot, 0700), 0);
	assert_int_equal(mkdir(f->runroot, 0700), 0);
	f->root = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(f->root >= 0);
	f->config = (struct driver_config){
		.graphroot = f->graphroot, .runroot = f->runroot, .options = options
	};
	assert_ok(driver_open(driver, NULL, &f->config, &f->d, &f->err), &f->err);
	driver_temp_root(f->d, temp_root, sizeof(temp_root));
	{
		AUTO_CLOSE int graph = open(f->graphroot, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		assert_ok(tempdir_new(graph, temp_root, &f->temp, &f->err), &f->err);
	}
	return f;
}

static inline struct fixture *fixture_new(const char *driver, const struct strv *options)
{
	return fixture_new_at(NULL, driver, options);
}

/* Whatever stands on another layer goes first; which one that is, the driver knows. */
static inline void fixture_remove_layers(struct fixture *f)
{
	size_t before = SIZE_MAX;

	for (;;) {
		AUTO_STRV ids = { 0 };
		size_t i;

		assert_ok(f->d->ops->list(f->d, &ids, &f->err), &f->err);
		if (ids.n == 0)
			return;
		if (ids.n >= before)
			print_error(
				"layer %s cannot be removed: %s\n", ids.items[0], f->err.message);
		assert_true(ids.n < before);
		before = ids.n;
		for (i = ids.n; i > 0; i--)
			(void)!f->d->ops->remove(f->d, ids.items[i - 1], f->temp, &f->err);
	}
}

static inline void fixture_free(struct fixture *f)
{
	struct imbrex_error err;

	tempdir_free(f->temp);
	driver_close(f->d);
	assert_ok(remove_tree_detach_at(f->root, "g", &err), &err);
	assert_ok(remove_tree_detach_at(f->root, "r", &err), &err);
	(void)close(f->root);
	assert_int_equal(rmdir(f->dir), 0);
	free(f->dir);
	free(f);
}

static inline int overlay_setup_test(void **state)
{
	*state = fixture_new("overlay", NULL);
	return 0;
}

static inline int fixture_teardown(void **state)
{
	fixture_free(*state);
	return 0;
}

#define OVERLAY_TEST(name) \
	cmocka_unit_test_setup_teardown(name, overlay_setup_test, fixture_teardown)

/* Exits with 77 and says why, where the driver does not open. */
static inline void skip_unless_driver_works(
	const char *place, const char *name, const struct strv *options)
{
	const char *tmp = place ? place : getenv("TMPDIR");
	AUTO_FREE char *dir = format_text("%s/imbrex-probe-XXXXXX", tmp ? tmp : "/tmp");
	struct driver_config config = { .options = options };
	struct imbrex_error err = { 0 };
	struct imbrex_error ignored;
	struct driver *d = NULL;
	int root, r;

	if (!dir || !mkdtemp(dir)) {
		print_error("cannot make a directory in '%s'\n", tmp ? tmp : "/tmp");
		exit(1);
	}
	config.graphroot = config.runroot = dir;
	r = driver_open(name, NULL, &config, &d, &err);
	driver_close(d);
	root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	(void)!remove_tree_detach_at(root, name, &ignored);
	(void)close(root);
	(void)rmdir(dir);
	if (r == IMBREX_ENOTSUP || r == IMBREX_EPERM) {
		print_message("skipped: %s\n", err.message);
		exit(77);
	}
	if (r < 0) {
		print_error("the driver %s does not open: %s\n", name, err.message);
		exit(1);
	}
}

static inline void skip_unless_overlay_works(void)
{
	skip_unless_driver_works(NULL, "overlay", NULL);
}

static inline size_t count_names(int dirfd)
{
	DIR *dir = fdopendir(openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	const struct dirent *d;
	size_t n = 0;

	assert_non_null(dir);
	while ((d = readdir(dir)) != NULL)
		n += d->d_name[0] != '.';
	(void)closedir(dir);
	return n;
}

static inline size_t count_names_at(int dirfd, const char *path)
{
	AUTO_CLOSE int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	return count_names(fd);
}

static inline void assert_file(int dirfd, const char *dir, const char *name, const char *want)
{
	AUTO_FREE char *path = format_text("%s/%s", dir, name);
	AUTO_STR text = STR_INIT(1u << 20);
	struct imbrex_error err;

	assert_non_null(path);
	assert_ok(read_file_at(dirfd, path, text.max_len, &text, &err), &err);
	assert_string_equal(str_text(&text), want);
}

static inline void assert_missing(int dirfd, const char *dir, const char *name)
{
	AUTO_FREE char *path = format_text("%s/%s", dir, name);

	assert_non_null(path);
	assert_false(exists_at(dirfd, path));
}

#endif
