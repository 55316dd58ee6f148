/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Do we read archives of other producers as expected, however they arrive, and give them back
 * byte for byte? Arguments: the folder of vectors and that of expected listings. With
 * IMBREX_UPDATE=1 in the environment the listings are written anew.
 */
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "format/tar_harness.h"

/* Behind ours: it defines fail(). */
#include <cmocka.h>

static const char *vectors;
static const char *expect;
static glob_t found;

static void read_whole(const char *path, struct str *ret)
{
	FILE *file = fopen(path, "rb");
	char buf[4096];
	size_t n;

	if (!file)
		fail_msg("cannot open %s", path);
	while ((n = fread(buf, 1, sizeof(buf), file)) > 0)
		must(str_append(ret, buf, n));
	(void)fclose(file);
}

/* <vectors>/<property>/<producer>.tar -> <expect>/<property>-<producer>.txt */
static void expected_path(const char *vector, char *ret, size_t size)
{
	const char *rest = vector + strlen(vectors) + 1;
	char *slash;

	(void)snprintf(ret, size, "%s/%.*s.txt", expect, (int)(strlen(rest) - 4), rest);
	slash = strrchr(ret, '/');
	*slash = '-';
}

static void test_listings_are_as_expected(UNUSED void **state)
{
	bool update = getenv("IMBREX_UPDATE") != NULL;
	size_t i;

	for (i = 0; i < found.gl_pathc; i++) {
		AUTO_STR tar = STR_INIT(TEXT_MAX);
		AUTO_STR want = STR_INIT(TEXT_MAX);
		char path[4096];
		struct outcome o;

		read_whole(found.gl_pathv[i], &tar);
		run_tar(&o, tar.data, tar.len, tar.len, true);
		if (o.status < 0)
			fail_msg("%s: %s", found.gl_pathv[i], o.err.message);
		expected_path(found.gl_pathv[i], path, sizeof(path));
		if (update) {
			FILE *file = fopen(path, "w");

			assert_non_null(file);
			(void)fputs(str_text(&o.listing), file);
			assert_int_equal(fclose(file), 0);
		}
		read_whole(path, &want);
		if (strcmp(str_text(&o.listing), str_text(&want)) != 0)
			fail_msg("%s: listing is\n%sand not\n%s", path, str_text(&o.listing),
				str_text(&want));
		outcome_done(&o);
	}
}

static void test_pieces_of_any_size_give_the_same_entries_and_lines(UNUSED void **state)
{
	static const size_t chunks[] = { 1, 2, 3, 7, 100, 511, 512, 513, 1000, 1024, 1025, 4096 };
	size_t i;
	size_t k;

	for (i = 0; i < found.gl_pathc; i++) {
		AUTO_STR tar = STR_INIT(TEXT_MAX);
		struct outcome whole;

		read_whole(found.gl_pathv[i], &tar);
		run_tar(&whole, tar.data, tar.len, tar.len, true);
		for (k = 0; k < ARRAY_LEN(chunks); k++) {
			struct outcome o;

			run_tar(&o, tar.data, tar.len, chunks[k], true);
			assert_int_equal(o.status, 0);
			assert_string_equal(str_text(&o.listing), str_text(&whole.listing));
			assert_int_equal(o.json.len, whole.json.len);
			assert_memory_equal(o.json.data, whole.json.data, o.json.len);
			outcome_done(&o);
		}
		outcome_done(&whole);
	}
}

static void test_the_observer_sees_every_byte_once_and_in_order(UNUSED void **state)
{
	size_t i;

	for (i = 0; i < found.gl_pathc; i++) {
		AUTO_STR tar = STR_INIT(TEXT_MAX);
		struct outcome o;

		read_whole(found.gl_pathv[i], &tar);
		run_tar(&o, tar.data, tar.len, 700, false);
		assert_int_equal(o.spy.bytes.len, tar.len);
		assert_memory_equal(o.spy.bytes.data, tar.data, tar.len);
		outcome_done(&o);
	}
}

static void test_assembly_gives_back_the_archive(UNUSED void **state)
{
	static const size_t chunks[] = { 1, 100, 4096, TEXT_MAX };
	size_t i;
	size_t k;

	for (i = 0; i < found.gl_pathc; i++) {
		AUTO_STR tar = STR_INIT(TEXT_MAX);
		struct outcome o;

		read_whole(found.gl_pathv[i], &tar);
		run_tar(&o, tar.data, tar.len, 512, true);
		assert_int_equal(tarsplit_writer_tar_bytes(o.writer), tar.len);
		for (k = 0; k < ARRAY_LEN(chunks); k++) {
			AUTO_STR again = STR_INIT(TEXT_MAX);
			struct imbrex_error err;

			if (reassemble(&o, chunks[k], &again, &err) < 0)
				fail_msg("%s: %s", found.gl_pathv[i], err.message);
			assert_int_equal(again.len, tar.len);
			assert_memory_equal(again.data, tar.data, tar.len);
		}
		outcome_done(&o);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_listings_are_as_expected),
		cmocka_unit_test(test_pieces_of_any_size_give_the_same_entries_and_lines),
		cmocka_unit_test(test_the_observer_sees_every_byte_once_and_in_order),
		cmocka_unit_test(test_assembly_gives_back_the_archive),
	};
	char pattern[4096];
	int r;

	if (argc != 3)
		return 2;
	vectors = argv[1];
	expect = argv[2];
	(void)snprintf(pattern, sizeof(pattern), "%s/*/*.tar", vectors);
	if (glob(pattern, 0, NULL, &found) != 0 || found.gl_pathc < 20) {
		(void)fprintf(stderr, "too few vectors at %s\n", pattern);
		return 1;
	}
	r = cmocka_run_group_tests_name("tar vectors", tests, NULL, NULL);
	globfree(&found);
	return r;
}
