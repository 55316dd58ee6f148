/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lookup across stores: our own tables first, then those of additional stores in their order, by
 * id, name, completed name and unique beginning; chains that cross stores.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/str.h"
#include "os/beneath.h"
#include "os/fd.h"
#include "store/layer.h"
#include "store/store.h"

/* Behind our headers: it defines a macro fail(). */
#include <cmocka.h>

#define ID(c)  c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c
#define ID_OWN ID("0a")
#define ID_TWO ID("0b")
#define ID_ONE ID("11")
#define ID_TOP ID("22")

struct fixture {
	char *dir;
	char *roots[3]; /* our own, and two additional ones */
	struct imbrex_store *s;
};

static void write_table(const char *root, const char *kind, const char *text)
{
	AUTO_FREE char *dir = format_text("%s/vfs-%s", root, kind);
	AUTO_FREE char *path = format_text("%s/%s.json", dir, kind);

	assert_int_equal(mkdirs_at(AT_FDCWD, dir, 0700, NULL), 0);
	assert_int_equal(write_file_at(AT_FDCWD, path, 0600, text, strlen(text), NULL), 0);
}

#define RECORD(id, more) "{\"id\":\"" id "\"" more "}"

static int set_up(void **state)
{
	const char *base = getenv("TMPDIR");
	struct fixture *f = calloc(1, sizeof(*f));
	struct imbrex_error err = { 0 };
	AUTO_FREE char *run = NULL;
	AUTO_FREE char *option = NULL;
	size_t i;

	if (!f)
		return -1;
	(void)setenv("CONTAINERS_STORAGE_CONF", "/dev/null", 1);
	f->dir = format_text("%s/imbrex-find-XXXXXX", base ? base : "/tmp");
	if (!f->dir || !mkdtemp(f->dir))
		return -1;
	for (i = 0; i < 3; i++)
		f->roots[i] = format_text("%s/%zu", f->dir, i);
	write_table(f->roots[0], "layers", "[" RECORD(ID_TOP, ",\"parent\":\"" ID_ONE "\"") "]");
	write_table(f->roots[0], "images",
		"[" RECORD(ID_OWN, ",\"names\":[\"localhost/a:1\"],\"layer\":\"" ID_TOP "\"") "]");
	write_table(f->roots[1], "layers", "[" RECORD(ID_ONE, ",\"parent\":\"" ID_TWO "\"") "]");
	write_table(f->roots[1], "images",
		"[" RECORD(ID_OWN, ",\"names\":[\"localhost/old:1\"]") "," RECORD(
			ID_ONE, ",\"names\":[\"localhost/a:1\",\"quay.io/x/b:latest\"]") "]");
	write_table(f->roots[2], "layers", "[" RECORD(ID_TWO, "") "]");
	write_table(f->roots[2], "images",
		"[" RECORD(ID_TWO, ",\"names\":[\"localhost/c:1\",\"quay.io/y/b:latest\"]") "]");
	run = format_text("%s/run", f->dir);
	option = format_text("imagestore=%s,%s", f->roots[1], f->roots[2]);
	const char *const options[] = { option, NULL };
	const struct imbrex_store_opts opts = {
		.graphroot = f->roots[0], .runroot = run, .driver = "vfs", .storage_opts = options
	};

	if (imbrex_store_open(&opts, &f->s, &err) < 0)
		fail_msg("%s", err.message);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	char *name = strrchr(f->dir, '/');
	AUTO_CLOSE int base = -EBADF;
	size_t i;
	int r;

	imbrex_store_close(f->s);
	*name++ = '\0';
	base = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = remove_tree_at(base, name, NULL);
	for (i = 0; i < 3; i++)
		free(f->roots[i]);
	free(f->dir);
	free(f);
	return r;
}

static void test_images(void **state)
{
	static const struct {
		const char *name;
		const char *id; /* NULL: a failure */
		size_t store;
		const char *message;
	} cases[] = {
		{ "a:1", ID_OWN, 0, NULL },
		{ "localhost/a:1", ID_OWN, 0, NULL },
		{ ID_OWN, ID_OWN, 0, NULL },
		{ ID_ONE, ID_ONE, 1, NULL },
		{ "1111", ID_ONE, 1, NULL },
		{ "0b0b", ID_TWO, 2, NULL },
		{ "c:1", ID_TWO, 2, NULL },
		{ "x/b", ID_ONE, 1, NULL },
		/* Its names are those of our record. */
		{ "old:1", NULL, 0, "image 'old:1' is not in the store" },
		{ "b", NULL, 0, "image name 'b' fits several images" },
		{ "nothing", NULL, 0, "image 'nothing' is not in the store" },
	};
	struct fixture *f = *state;
	AUTO_HOLD hold = HOLD_NONE;
	size_t i;

	assert_int_equal(store_hold(f->s, HOLD_READ_ALL, &hold, NULL), 0);
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct imbrex_error err = { 0 };
		struct found found = { 0 };
		int r = store_find_image(f->s, cases[i].name, &found, &err);

		if (!cases[i].id) {
			assert_true(r < 0);
			assert_string_equal(err.message, cases[i].message);
			assert_int_equal(err.reason, IMBREX_REASON_IMAGE_UNKNOWN);
			continue;
		}
		if (r < 0)
			fail_msg("%s: %s", cases[i].name, err.message);
		assert_true(record_is(found_record(&found), IMAGE_ID, cases[i].id));
		assert_int_equal(found.store, cases[i].store);
		assert_int_equal(found.read_only, cases[i].store > 0);
	}
}

static void test_reasons(void **state)
{
	static const struct {
		const struct record_type *type;
		int reason;
		const char *message;
	} cases[] = {
		{ &layer_records, IMBREX_REASON_LAYER_UNKNOWN, "layer 'x' is not in the store" },
		{ &image_records, IMBREX_REASON_IMAGE_UNKNOWN, "image 'x' is not in the store" },
		{ &container_records, IMBREX_REASON_CONTAINER_UNKNOWN,
			"container 'x' is not in the store" },
	};
	struct fixture *f = *state;
	AUTO_HOLD hold = HOLD_NONE;
	struct found found;
	size_t i;

	assert_int_equal(store_hold(f->s, HOLD_READ_ALL, &hold, NULL), 0);
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct imbrex_error err = { 0 };

		assert_int_equal(store_find(f->s, cases[i].type, "x", &found, &err), IMBREX_ENOENT);
		assert_int_equal(err.reason, cases[i].reason);
		assert_string_equal(err.message, cases[i].message);
	}
}

static void test_chain(void **state)
{
	static const char *const ids[] = { ID_TOP, ID_ONE, ID_TWO };
	struct fixture *f = *state;
	AUTO_HOLD hold = HOLD_NONE;
	struct imbrex_error err = { 0 };
	struct layer_walk w;
	struct found found;

	assert_int_equal(store_hold(f->s, HOLD_READ_ALL, &hold, NULL), 0);
	layer_walk(f->s, (struct json_span){ .at = ID_TOP, .len = strlen(ID_TOP) }, &w);
	for (; w.more; layer_walk_next(f->s, &w)) {
		assert_in_range(w.n, 0, ARRAY_LEN(ids) - 1);
		assert_true(record_is(found_record(&w.at), LAYER_ID, ids[w.n]));
		assert_int_equal(w.at.store, w.n);
	}
	assert_int_equal(w.n, ARRAY_LEN(ids));
	assert_false(w.endless);
	assert_int_equal(store_find(f->s, &layer_records, ID_ONE, &found, NULL), 0);
	assert_int_equal(store_check_own(&found, &err), IMBREX_EPERM);
	assert_int_equal(err.reason, IMBREX_REASON_READ_ONLY);
	assert_string_equal(
		err.message, "layer " ID_ONE " lies in an additional store, which is only read");
}

static void test_circle(void **state)
{
	struct fixture *f = *state;
	AUTO_HOLD hold = HOLD_NONE;
	struct layer_walk w;

	write_table(f->roots[2], "layers", "[" RECORD(ID_TWO, ",\"parent\":\"" ID_TOP "\"") "]");
	assert_int_equal(store_hold(f->s, HOLD_READ_ALL, &hold, NULL), 0);
	layer_walk(f->s, (struct json_span){ .at = ID_TOP, .len = strlen(ID_TOP) }, &w);
	for (; w.more; layer_walk_next(f->s, &w))
		assert_in_range(w.n, 0, LIMIT_IMAGE_LAYERS);
	assert_true(w.endless);
}

static void test_all(void **state)
{
	struct fixture *f = *state;
	AUTO_HOLD hold = HOLD_NONE;
	size_t n_shadowed = 0;
	size_t n = 0;
	struct found found;
	bool more;

	assert_int_equal(store_hold(f->s, HOLD_READ_ALL, &hold, NULL), 0);
	for (more = store_first(f->s, &image_records, &found); more;
		more = store_next(f->s, &found)) {
		n++;
		n_shadowed += store_is_shadowed(f->s, &found);
	}
	assert_int_equal(n, 4);
	assert_int_equal(n_shadowed, 1);
	assert_int_equal(store_count(f->s, &image_records), 4);
	assert_false(store_first(f->s, &container_records, &found));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_images, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_reasons, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_chain, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_circle, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_all, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
