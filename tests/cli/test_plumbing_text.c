/* SPDX-License-Identifier: Apache-2.0 */
/* Texts of the plumbing face: as Go and containers-storage write them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "cli/storage/digest.h"
#include "cli/storage/driveropt.h"
#include "cli/storage/duration.h"
#include "cli/storage/idmap.h"
#include "cli/storage/text.h"
#include "cli/storage/tree.h"

#include <cmocka.h>

static void strings_are_quoted_as_go_quotes_them(void **state)
{
	static const struct {
		const char *text, *quoted, *json;
	} cases[] = {
		{ "", "\"\"", "\"\"" },
		{ "/etc/passwd", "\"/etc/passwd\"", "\"/etc/passwd\"" },
		{ "a\"b\\c", "\"a\\\"b\\\\c\"", "\"a\\\"b\\\\c\"" },
		{ "\a\b\f\n\r\t\v", "\"\\a\\b\\f\\n\\r\\t\\v\"",
			"\"\\u0007\\b\\f\\n\\r\\t\\u000b\"" },
		{ "\x01\x1f\x7f", "\"\\x01\\x1f\\x7f\"", "\"\\u0001\\u001f\x7f\"" },
		{ "<&>", "\"<&>\"", "\"\\u003c\\u0026\\u003e\"" },
		{ "\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\xb3",
			"\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\xb3\"",
			"\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\xb3\"" },
		/* Not well formed: a lone byte, a cut sequence, too long a form, a surrogate. */
		{ "\xff", "\"\\xff\"", "\"\\ufffd\"" },
		{ "\xe2\x82", "\"\\xe2\\x82\"", "\"\\ufffd\\ufffd\"" },
		{ "\xe0\x80\x80", "\"\\xe0\\x80\\x80\"", "\"\\ufffd\\ufffd\\ufffd\"" },
		{ "\xed\xa0\x80", "\"\\xed\\xa0\\x80\"", "\"\\ufffd\\ufffd\\ufffd\"" },
		/* Blanks that are not seen, marks of direction. */
		{ "\xc2\xa0", "\"\\u00a0\"", "\"\xc2\xa0\"" },
		{ "\xe2\x80\xae", "\"\\u202e\"", "\"\xe2\x80\xae\"" },
		{ "\xe2\x80\xa8", "\"\\u2028\"", "\"\\u2028\"" },
		{ "\xf3\xa0\x80\x81", "\"\\U000e0001\"", "\"\xf3\xa0\x80\x81\"" },
	};
	size_t i, len;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct str quoted = STR_INIT(256);
		char *json = NULL;
		FILE *f = open_memstream(&json, &len);

		assert_int_equal(text_quote(&quoted, cases[i].text), 0);
		assert_string_equal(str_text(&quoted), cases[i].quoted);
		text_json(f, cases[i].text);
		assert_int_equal(fclose(f), 0);
		assert_string_equal(json, cases[i].json);
		free(json);
		str_done(&quoted);
	}
}

static void lists_are_null_where_go_has_none(void **state)
{
	static const char *const none[] = { NULL };
	static const char *const two[] = { "a", "b", NULL };
	static const struct {
		const char *const *words;
		bool empty_list;
		const char *want;
	} cases[] = {
		{ NULL, true, "null" },
		{ none, false, "null" },
		{ none, true, "[]" },
		{ two, false, "[\"a\",\"b\"]" },
	};
	size_t i, len;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		char *json = NULL;
		FILE *f = open_memstream(&json, &len);

		text_json_list(f, cases[i].words, cases[i].empty_list);
		assert_int_equal(fclose(f), 0);
		assert_string_equal(json, cases[i].want);
		free(json);
	}
}

static void reasons_have_the_words_that_scripts_match(void **state)
{
	static const struct {
		int status, reason;
		unsigned int kind;
		const char *message, *name, *want;
	} cases[] = {
		{ IMBREX_ENOENT, IMBREX_REASON_LAYER_UNKNOWN, IMBREX_KIND_LAYER, "no layer 'x'",
			"x", "layer not known" },
		{ IMBREX_ENOENT, IMBREX_REASON_CONTAINER_UNKNOWN, IMBREX_KIND_CONTAINER, "no", "x",
			"container not known" },
		{ IMBREX_ENOENT, IMBREX_REASON_IMAGE_UNKNOWN, IMBREX_KIND_IMAGE, "no", "x\"y",
			"locating image with ID \"x\\\"y\": image not known" },
		{ IMBREX_ENOENT, IMBREX_REASON_IMAGE_UNKNOWN, IMBREX_KIND_IMAGE, "no", NULL,
			"image not known" },
		{ IMBREX_ENOENT, IMBREX_REASON_NOT_ANY, 0, "no", "x",
			"identifier is not a layer, image, or container" },
		{ IMBREX_EEXIST, IMBREX_REASON_ID_IN_USE, IMBREX_KIND_LAYER, "taken", "x",
			"that ID is already in use" },
		{ IMBREX_EEXIST, IMBREX_REASON_NAME_IN_USE, IMBREX_KIND_IMAGE,
			"image name \"x\" is already associated with image \"y\"", "x",
			"image name \"x\" is already associated with image \"y\": that name is "
			"already in use" },
		{ IMBREX_EBUSY, IMBREX_REASON_LAYER_USED_BY_IMAGE, IMBREX_KIND_LAYER,
			"layer a used by image b", "a",
			"layer a used by image b: layer is in use by an image" },
		{ IMBREX_EBUSY, IMBREX_REASON_LAYER_USED_BY_IMAGE, IMBREX_KIND_LAYER,
			"a: layer is in use by an image", "a", "a: layer is in use by an image" },
		{ IMBREX_EIO, 0, IMBREX_KIND_LAYER, "read 'x': no", "x", "read 'x': no" },
		{ IMBREX_EIO, 9999, IMBREX_KIND_LAYER, "read 'x': no", "x", "read 'x': no" },
	};
	struct imbrex_error err;
	char buf[TEXT_ERROR_MAX];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		(void)fail_reason(&err, cases[i].status, cases[i].reason, "%s", cases[i].message);
		assert_string_equal(
			text_error(&err, cases[i].kind, cases[i].name, buf), cases[i].want);
	}
}

static void the_operating_system_is_quoted_as_go_quotes_it(void **state)
{
	struct imbrex_error err;
	char buf[TEXT_ERROR_MAX];

	(void)state;
	(void)fail_code(&err, ENOENT, "open '/No such file or directory'");
	(void)wrap(&err, IMBREX_ENOENT, "copy");
	assert_string_equal(text_error(&err, 0, NULL, buf),
		"copy: open '/No such file or directory': no such file or directory");
	(void)fail_code(&err, EIO, "read 'x'");
	assert_string_equal(text_error(&err, 0, NULL, buf), "read 'x': input/output error");
	(void)fail_reason(&err, IMBREX_EIO, 0, "No such file or directory");
	assert_string_equal(text_error(&err, 0, NULL, buf), "No such file or directory");
}

static void durations_are_read_as_go_reads_them(void **state)
{
	static const struct {
		const char *text;
		int64_t want;
		const char *message; /* NULL: it is one */
	} cases[] = {
		{ "24h", 86400000000000, NULL },
		{ "0", 0, NULL },
		{ "-0", 0, NULL },
		{ "+5s", 5000000000, NULL },
		{ "1h30m", 5400000000000, NULL },
		{ "1.5s", 1500000000, NULL },
		{ ".5s", 500000000, NULL },
		{ "1.s", 1000000000, NULL },
		{ "100ms1us1ns", 100001001, NULL },
		{ "1\xc2\xb5s", 1000, NULL },
		{ "-1m", -60000000000, NULL },
		{ "0.0000000001s", 0, NULL },
		{ "", 0, "time: invalid duration \"\"" },
		{ "-", 0, "time: invalid duration \"-\"" },
		{ "h", 0, "time: invalid duration \"h\"" },
		{ ".s", 0, "time: invalid duration \".s\"" },
		{ "5", 0, "time: missing unit in duration \"5\"" },
		{ "1h5", 0, "time: missing unit in duration \"1h5\"" },
		{ "1d", 0, "time: unknown unit \"d\" in duration \"1d\"" },
		{ "1 h", 0, "time: unknown unit \" h\" in duration \"1 h\"" },
		{ "99999999h", 0, "time: invalid duration \"99999999h\"" },
		{ "99999999999999999999s", 0, "time: invalid duration \"99999999999999999999s\"" },
	};
	struct imbrex_error err;
	int64_t got;
	size_t i;
	int r;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		r = duration_parse(cases[i].text, &got, &err);
		assert_int_equal(r, cases[i].message ? IMBREX_EINVAL : 0);
		if (r == 0)
			assert_true(got == cases[i].want);
		else
			assert_string_equal(err.message, cases[i].message);
	}
}

static void digests_are_judged_as_go_judges_them(void **state)
{
	static const struct {
		const char *text, *message; /* NULL: it is one */
	} cases[] = {
		{ "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", NULL },
		{ "sha256:0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef",
			"invalid checksum digest format" },
		{ "sha256:abc", "invalid checksum digest length" },
		{ "sha512:abc", "invalid checksum digest length" },
		{ "sha256:", "invalid checksum digest format" },
		{ "sha256", "invalid checksum digest format" },
		{ ":abc", "invalid checksum digest format" },
		{ "", "invalid checksum digest format" },
		{ "a.:abc", "invalid checksum digest format" },
		{ "md5:a b", "invalid checksum digest format" },
		{ "md5:abc", "unsupported digest algorithm" },
		{ "a+b.c_d-e:A=_-9", "unsupported digest algorithm" },
	};
	struct imbrex_error err;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(
			digest_check(cases[i].text, &err), cases[i].message ? IMBREX_EINVAL : 0);
		if (cases[i].message)
			assert_string_equal(err.message, cases[i].message);
	}
}

static void options_of_other_drivers_are_refused(void **state)
{
	static const struct {
		const char *driver, *option, *message; /* NULL: it is let through */
	} cases[] = {
		{ "vfs", "vfs.ignore_chown_errors=true", NULL },
		{ "vfs", "ignore_chown_errors=true", NULL },
		{ "vfs", "imagestore=/a.b", NULL },
		{ "vfs", "vfs.mountopt=x", "vfs driver does not support mount options" },
		{ "vfs", "mountopt=x", "vfs driver does not support mount options" },
		{ "vfs", "overlay.mountopt=x",
			"vfs driver does not support overlay.mountopt options" },
		{ "overlay", "VFS.x=1", "overlay: unknown option VFS.x" },
		{ "overlay", "zfs.x=1", "overlay: unknown option zfs.x" },
		{ "overlay", "overlay.x=1", NULL },
		{ "overlay", "overlay2.x=1", NULL },
		{ "overlay2", "overlay.x=1", NULL },
		{ "overlay", ".x=1", NULL },
		{ "overlay", "x=vfs.y", NULL },
		{ "overlay", "nope", "unable to parse key/value option: nope" },
		{ "", "nope", NULL },
		{ NULL, "vfs.x=1", NULL },
	};
	struct imbrex_error err;
	size_t i;
	int r;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		const char *items[] = { cases[i].option, NULL };
		const struct flag_list list = { .items = items, .n = 1 };

		r = driveropt_check(cases[i].driver, &list, &err);
		assert_int_equal(r, cases[i].message ? IMBREX_EINVAL : 0);
		if (cases[i].message)
			assert_string_equal(err.message, cases[i].message);
	}
}

static void id_maps_are_triples_behind_one_another(void **state)
{
	static const struct {
		const char *text;
		size_t n;
		struct imbrex_id_map last;
	} cases[] = {
		{ "", 0, { 0 } },
		{ "0:1000:10", 1, { 0, 1000, 10 } },
		{ "0:1000:10:10:5000:20", 2, { 10, 5000, 20 } },
		{ "0:1000:10,10:5000:20", 2, { 10, 5000, 20 } },
		{ "4294967295:4294967295:4294967295", 1, { UINT32_MAX, UINT32_MAX, UINT32_MAX } },
	};
	static const char *const wrong[] = { "1", "1:2", "1:2:x", "1:2:3:", "1:2:3,", "1:2:3:4",
		":1:2:3", "-1:2:3", "+1:2:3", "1:2:4294967296", "1:2:3;4:5:6", "a:b:c", " 1:2:3" };
	struct imbrex_error err;
	struct imbrex_id_map *map;
	AUTO_STR want = STR_INIT(256);
	size_t n, i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		map = NULL;
		n = 0;
		assert_int_equal(idmap_parse(cases[i].text, "uid", &map, &n, &err), 0);
		assert_int_equal(n, cases[i].n);
		if (n)
			assert_memory_equal(&map[n - 1], &cases[i].last, sizeof(*map));
		free(map);
	}
	for (i = 0; i < ARRAY_LEN(wrong); i++) {
		map = NULL;
		n = 0;
		assert_int_equal(idmap_parse(wrong[i], "gid", &map, &n, &err), IMBREX_EINVAL);
		free(map);
		str_clear(&want);
		assert_int_equal(str_printf(&want,
					 "initializing ID mappings: gid setting is malformed "
					 "expected [\"uint32:uint32:uint32\"]: [\"%s\"]",
					 wrong[i]),
			0);
		assert_string_equal(err.message, str_text(&want));
	}
}

static char *draw(const struct tree_node *nodes, size_t n)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	assert_int_equal(tree_print(f, nodes, n), 0);
	assert_int_equal(fclose(f), 0);
	return text;
}

static void a_forest_is_drawn_root_by_root(void **state)
{
	struct tree_node nodes[] = { { "A", "B", { 0 } }, { "A", "C", { 0 } }, { "C", "F", { 0 } },
		{ "B", "D", { 0 } }, { "B", "E", { 0 } }, { "W", "X", { 0 } },
		{ "X", "Y", { 0 } } };
	char *text;

	(void)state;
	assert_int_equal(strv_add(&nodes[1].notes, "name: c"), 0);
	assert_int_equal(strv_add(&nodes[4].notes, "name: e"), 0);
	assert_int_equal(strv_add(&nodes[0].notes, "name: b"), 0);
	text = draw(nodes, ARRAY_LEN(nodes));
	assert_string_equal(text, "W\n"
				  "└─X\n"
				  "  └─Y\n"
				  "A\n"
				  "├─B\n"
				  "│ name: b\n"
				  "│ ├─D\n"
				  "│ └─E\n"
				  "│   name: e\n"
				  "└─C\n"
				  "  name: c\n"
				  "  └─F\n");
	free(text);
	strv_done(&nodes[0].notes);
	strv_done(&nodes[1].notes);
	strv_done(&nodes[4].notes);
	text = draw(NULL, 0);
	assert_string_equal(text, "");
	free(text);
}

/* A record that is its own ancestor, and an id that is recorded twice. */
static void hostile_parents_lead_nowhere(void **state)
{
	static const struct tree_node loop[] = { { "A", "B", { 0 } }, { "B", "A", { 0 } } };
	static const struct tree_node twice[] = { { "(base)", "X", { 0 } }, { "X", "X", { 0 } } };
	char *text;

	(void)state;
	text = draw(loop, ARRAY_LEN(loop));
	assert_string_equal(text, "");
	free(text);
	text = draw(twice, ARRAY_LEN(twice));
	assert_string_equal(text, "(base)\n└─X\n  └─X\n");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(strings_are_quoted_as_go_quotes_them),
		cmocka_unit_test(lists_are_null_where_go_has_none),
		cmocka_unit_test(reasons_have_the_words_that_scripts_match),
		cmocka_unit_test(the_operating_system_is_quoted_as_go_quotes_it),
		cmocka_unit_test(durations_are_read_as_go_reads_them),
		cmocka_unit_test(digests_are_judged_as_go_judges_them),
		cmocka_unit_test(options_of_other_drivers_are_refused),
		cmocka_unit_test(id_maps_are_triples_behind_one_another),
		cmocka_unit_test(a_forest_is_drawn_root_by_root),
		cmocka_unit_test(hostile_parents_lead_nowhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
