/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What zfs(8) is asked, with which environment, and what becomes of its answers. The program is a
 * script of each test that writes down its words and environment.
 */
#include "zfs/zfs.h"

#include "../os/scratch.h"
#include "base/limits.h"
#include "base/str.h"
#include "os/fd.h"

struct world {
	void *scratch;
	struct zfs *z;
	struct zfs_name tank, a, snap;
	struct str traced;
	struct zfs_trace trace;
	struct imbrex_error err;
};

static void note(void *ctx, const char *const *words, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		assert_int_equal(str_printf(ctx, "%s%s", i ? " " : "", words[i]), 0);
	assert_int_equal(str_putc(ctx, '\n'), 0);
}

/* `answer` is what the program does after it has written down what it was asked. */
static void answer(struct world *w, const char *answer)
{
	struct scratch *s = w->scratch;
	AUTO_STR text = STR_INIT(65536);
	AUTO_FREE char *program = format_text("%s/zfs", s->path);
	const struct zfs_options opts = {
		.road = ZFS_ROAD_COMMAND, .program = program, .trace = &w->trace
	};

	assert_non_null(program);
	assert_int_equal(str_printf(&text,
				 "#!/bin/sh\n"
				 "[ \"$1\" != receive ] || input=\"$(cat)\"\n"
				 "for w; do printf '[%%s]' \"$w\"; done >>%s/asked\n"
				 "echo >>%s/asked\n"
				 "env >%s/env\n%s\n",
				 s->path, s->path, s->path, answer),
		0);
	(void)unlinkat(s->fd, "asked", 0);
	assert_int_equal(write_file_at(s->fd, "zfs", 0700, text.data, text.len, &w->err), 0);
	zfs_close(w->z);
	w->z = NULL;
	assert_int_equal(zfs_open(&opts, &w->z, &w->err), 0);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	if (!w || scratch_setup(&w->scratch) < 0)
		return -1;
	w->traced = (struct str)STR_INIT(65536);
	w->trace = (struct zfs_trace){ note, &w->traced };
	*state = w;
	return zfs_name_dataset(&w->tank, "tank/store", &w->err) < 0 ||
	       zfs_name_child(&w->a, &w->tank, "a", &w->err) < 0 ||
	       zfs_name_snapshot(&w->snap, &w->a, "s", &w->err) < 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	int r = scratch_teardown(&w->scratch);

	zfs_close(w->z);
	str_done(&w->traced);
	free(w);
	return r;
}

static void assert_file_is(struct world *w, const char *name, const char *want)
{
	struct scratch *s = w->scratch;
	AUTO_STR text = STR_INIT(65536);

	assert_int_equal(read_file_at(s->fd, name, 65536, &text, &w->err), 0);
	assert_string_equal(str_text(&text), want);
}

static void every_operation_is_the_words_that_zfs_knows(void **state)
{
	struct world *w = *state;
	const struct zfs_property items[] = { { "mountpoint", "legacy" },
		{ "imbrex:store", "/with space/and=sign" } };
	const struct zfs_properties props = { items, 2 };
	struct zfs_name b, before;

	answer(w, "exit 0");
	assert_int_equal(zfs_name_child(&b, &w->tank, "b", &w->err), 0);
	assert_int_equal(zfs_name_snapshot(&before, &w->a, "r", &w->err), 0);
	assert_int_equal(zfs_exists(w->z, &w->a, &w->err), 1);
	assert_int_equal(zfs_create(w->z, &w->a, &props, &w->err), 0);
	assert_int_equal(zfs_snapshot(w->z, &w->snap, &w->err), 0);
	assert_int_equal(zfs_clone(w->z, &w->snap, &b, &props, &w->err), 0);
	assert_int_equal(zfs_promote(w->z, &b, &w->err), 0);
	assert_int_equal(zfs_destroy(w->z, &b, &w->err), 0);
	assert_int_equal(zfs_destroy_tree(w->z, &w->a, &w->err), 0);
	assert_int_equal(zfs_destroy_later(w->z, &w->snap, &w->err), 0);
	assert_int_equal(zfs_rename(w->z, &w->a, &b, &w->err), 0);
	assert_int_equal(zfs_hold(w->z, &w->snap, "tag", &w->err), 0);
	assert_int_equal(zfs_release(w->z, &w->snap, "tag", &w->err), 0);
	assert_int_equal(zfs_set(w->z, &w->a, &items[0], &w->err), 0);
	assert_int_equal(zfs_inherit(w->z, &w->a, "quota", &w->err), 0);
	assert_int_equal(zfs_send(w->z, &w->snap, NULL, 1, &w->err), 0);
	assert_int_equal(zfs_send(w->z, &w->snap, &before, 1, &w->err), 0);
	assert_file_is(w, "asked",
		"[list][-H][-o][name][tank/store/a]\n"
		"[create][-o][mountpoint=legacy][-o][imbrex:store=/with space/and=sign][-u]"
		"[tank/store/a]\n"
		"[snapshot][tank/store/a@s]\n"
		"[clone][-o][mountpoint=legacy][-o][imbrex:store=/with space/and=sign]"
		"[tank/store/a@s][tank/store/b]\n"
		"[promote][tank/store/b]\n"
		"[destroy][tank/store/b]\n"
		"[destroy][-r][tank/store/a]\n"
		"[destroy][-d][tank/store/a@s]\n"
		"[rename][tank/store/a][tank/store/b]\n"
		"[hold][tag][tank/store/a@s]\n"
		"[release][tag][tank/store/a@s]\n"
		"[set][mountpoint=legacy][tank/store/a]\n"
		"[inherit][quota][tank/store/a]\n"
		"[send][tank/store/a@s]\n"
		"[send][-i][tank/store/a@r][tank/store/a@s]\n");
	assert_non_null(strstr(str_text(&w->traced), "destroy -d tank/store/a@s\n"));
}

static void the_program_sees_nothing_of_the_caller(void **state)
{
	struct world *w = *state;

	answer(w, "exit 0");
	assert_int_equal(setenv("PATH", "/nowhere", 1), 0);
	assert_int_equal(setenv("ZFS_COLOR", "1", 1), 0);
	assert_int_equal(setenv("LD_LIBRARY_PATH", "/nowhere", 1), 0);
	assert_int_equal(zfs_exists(w->z, &w->a, &w->err), 1);
	{
		struct scratch *s = w->scratch;
		AUTO_STR text = STR_INIT(65536);

		assert_int_equal(read_file_at(s->fd, "env", 65536, &text, &w->err), 0);
		assert_non_null(strstr(str_text(&text), "LC_ALL=C\n"));
		assert_non_null(strstr(str_text(&text), "PATH=/usr/sbin:/usr/bin:/sbin:/bin\n"));
		assert_null(strstr(str_text(&text), "ZFS_COLOR"));
		assert_null(strstr(str_text(&text), "LD_LIBRARY_PATH"));
	}
}

static void failures_keep_the_words_of_zfs(void **state)
{
	static const struct {
		const char *answer;
		int status;
		int errnum;
		const char *message;
	} cases[] = {
		{ "echo \"cannot destroy 'tank/store/a': dataset is busy\" >&2; exit 1",
			IMBREX_EBUSY, EBUSY,
			"zfs: cannot destroy 'tank/store/a': dataset is busy" },
		{ "echo \"cannot destroy 'tank/store/a': filesystem has dependent clones\" >&2;"
		  "echo \"use '-R' to destroy the following datasets:\" >&2; exit 1",
			IMBREX_EBUSY, 0,
			"zfs: cannot destroy 'tank/store/a': filesystem has dependent clones" },
		{ "echo 'internal error: out of memory' >&2; exit 1", IMBREX_ENOMEM, 0,
			"ZFS dataset 'tank/store/a': internal error: out of memory" },
		{ "exit 2", IMBREX_EFAIL, 0,
			"ZFS dataset 'tank/store/a': zfs destroy ends with status 2" },
		{ "kill -9 $$", IMBREX_EFAIL, 0,
			"ZFS dataset 'tank/store/a': zfs destroy ends with status 137" },
	};
	struct world *w = *state;
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		answer(w, cases[i].answer);
		w->err = (struct imbrex_error){ 0 };
		assert_int_equal(zfs_destroy_tree(w->z, &w->a, &w->err), cases[i].status);
		assert_int_equal(w->err.errnum, cases[i].errnum);
		assert_string_equal(w->err.message, cases[i].message);
	}
}

static void what_is_not_there_is_no_failure_to_ask_for(void **state)
{
	struct world *w = *state;

	answer(w, "echo \"cannot open 'tank/store/a': dataset does not exist\" >&2; exit 1");
	assert_int_equal(zfs_exists(w->z, &w->a, &w->err), 0);
	answer(w, "echo \"cannot open 'tank/store/a': permission denied\" >&2; exit 1");
	assert_int_equal(zfs_exists(w->z, &w->a, &w->err), IMBREX_EPERM);
}

static void a_value_may_hold_lines_that_look_like_others(void **state)
{
	struct world *w = *state;
	AUTO_FREE char *value = NULL;
	bool local = true;

	answer(w, "printf 'inherited from tank\\tx\\nlocal\\t/store\\n'");
	assert_int_equal(zfs_get(w->z, &w->a, "imbrex:store", &value, &local, &w->err), 0);
	assert_string_equal(value, "x\nlocal\t/store");
	assert_false(local);
	free(take_ptr(value));
	answer(w, "printf 'local\\t/store\\n'");
	assert_int_equal(zfs_get(w->z, &w->a, "imbrex:store", &value, &local, &w->err), 0);
	assert_string_equal(value, "/store");
	assert_true(local);
	assert_file_is(w, "asked", "[get][-Hp][-osource,value][imbrex:store][tank/store/a]\n");
	free(take_ptr(value));
	answer(w, "echo");
	assert_int_equal(zfs_get(w->z, &w->a, "quota", &value, NULL, &w->err), IMBREX_EFORMAT);
	assert_string_equal(
		w->err.message, "ZFS dataset 'tank/store/a': zfs get quota tells nothing");
	/* Longer than any value can be. */
	answer(w, "head -c 100000 /dev/zero | tr '\\0' x");
	assert_int_equal(zfs_get(w->z, &w->a, "x:y", &value, NULL, &w->err), IMBREX_ELIMIT);
}

static void native_properties_come_in_the_order_asked_for(void **state)
{
	static const char *const names[] = { "used", "available" };
	struct world *w = *state;
	AUTO_STRV values = { 0 };

	answer(w, "printf 'used\\t1\\navailable\\t22\\n'");
	assert_int_equal(zfs_get_native(w->z, &w->a, names, 2, &values, &w->err), 0);
	assert_string_equal(values.items[1], "22");
	assert_file_is(w, "asked", "[get][-Hp][-oproperty,value][used,available][tank/store/a]\n");
	answer(w, "printf 'available\\t22\\nused\\t1\\n'");
	assert_int_equal(zfs_get_native(w->z, &w->a, names, 2, &values, &w->err), IMBREX_EFORMAT);
	assert_string_equal(w->err.message, "ZFS dataset 'tank/store/a': zfs get tells of "
					    "'available', which nobody asked for");
	answer(w, "printf 'used\\t1\\n'");
	assert_int_equal(zfs_get_native(w->z, &w->a, names, 2, &values, &w->err), IMBREX_EFORMAT);
	assert_string_equal(
		w->err.message, "ZFS dataset 'tank/store/a': zfs get does not tell of 'available'");
}

static int note_child(void *ctx, const struct zfs_child *c, struct imbrex_error *err)
{
	return str_printf(ctx, "%s %s\n", c->name, c->origin);
}

static void children_are_those_directly_below(void **state)
{
	struct world *w = *state;
	AUTO_STR have = STR_INIT(65536);

	answer(w, "printf 'tank/store\\t-\\ntank/store/a\\t-\\ntank/store/b\\ttank/store/a@1\\n"
		  "tank/store/b/c\\t-\\ntank/other\\t-\\n'");
	assert_int_equal(zfs_children(w->z, &w->tank, NULL, note_child, &have, &w->err), 0);
	assert_string_equal(str_text(&have), "tank/store/a -\ntank/store/b tank/store/a@1\n");
	assert_file_is(w, "asked",
		"[list][-Hp][-r][-d][1][-t][filesystem][-o][name,origin][tank/store]\n");
	str_clear(&have);
	/* What is no dataset is passed over. */
	answer(w, "printf 'tank/store\\ntank/store/a\\ntank/store/%%%%recv\\n'");
	assert_int_equal(
		zfs_children(w->z, &w->tank, "imbrex:store", note_child, &have, &w->err), 0);
	assert_string_equal(str_text(&have), "tank/store/a -\n");
	assert_file_is(w, "asked",
		"[get][-H][-r][-d][1][-t][filesystem][-s][local][-o][name][imbrex:store]"
		"[tank/store]\n");
	answer(w, "printf 'tank/store/a\\n'");
	assert_int_equal(
		zfs_children(w->z, &w->tank, NULL, note_child, &have, &w->err), IMBREX_EFORMAT);
}

static void properties_are_one_word_and_one_line(void **state)
{
	static const struct {
		struct zfs_property p;
		int status;
		const char *message;
	} cases[] = {
		{ { "", "x" }, IMBREX_EINVAL, "'' is no ZFS property" },
		{ { "a=b", "x" }, IMBREX_EINVAL, "'a=b' is no ZFS property" },
		{ { "a b", "x" }, IMBREX_EINVAL, "'a b' is no ZFS property" },
		{ { "A:b", "x" }, IMBREX_EINVAL, "'A:b' is no ZFS property" },
		{ { "a:b", "x\ny" }, IMBREX_EINVAL,
			"ZFS property a:b: a line break or tab in its value" },
		{ { "a:b", "x\ty" }, IMBREX_EINVAL,
			"ZFS property a:b: a line break or tab in its value" },
	};
	static char longest[LIMIT_ZFS_VALUE_BYTES + 1];
	struct world *w = *state;
	struct zfs_property p = { "a:b", longest };
	size_t i;

	answer(w, "exit 0");
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(zfs_set(w->z, &w->a, &cases[i].p, &w->err), cases[i].status);
		assert_string_equal(w->err.message, cases[i].message);
	}
	memset(longest, 'x', LIMIT_ZFS_VALUE_BYTES);
	assert_int_equal(zfs_set(w->z, &w->a, &p, &w->err), IMBREX_ELIMIT);
	longest[LIMIT_ZFS_VALUE_BYTES - 1] = '\0';
	assert_int_equal(zfs_set(w->z, &w->a, &p, &w->err), 0);
	assert_int_equal(zfs_hold(w->z, &w->snap, "-r", &w->err), IMBREX_EINVAL);
	assert_string_equal(w->err.message, "'-r' is no name of a ZFS hold");
}

static void streams_pass_by_descriptor(void **state)
{
	const struct zfs_property safe[] = { { "mountpoint", "none" }, { "setuid", "off" } };
	const struct zfs_receive_opts opts = { .resumable = true, .props = { safe, 2 } };
	struct world *w = *state;
	struct scratch *s = w->scratch;
	AUTO_CLOSE int fd = openat(s->fd, "stream", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd > 0);
	answer(w, "echo bytes");
	assert_int_equal(zfs_send(w->z, &w->snap, NULL, fd, &w->err), 0);
	assert_file_is(w, "stream", "bytes\n");
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	answer(w, "[ \"$input\" = bytes ]");
	assert_int_equal(zfs_receive(w->z, &w->a, fd, &opts, &w->err), 0);
	assert_file_is(w, "asked",
		"[receive][-u][-s][-o][mountpoint=none][-o][setuid=off][tank/store/a]\n");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest group[] = {
		TEST(every_operation_is_the_words_that_zfs_knows),
		TEST(the_program_sees_nothing_of_the_caller),
		TEST(failures_keep_the_words_of_zfs),
		TEST(what_is_not_there_is_no_failure_to_ask_for),
		TEST(a_value_may_hold_lines_that_look_like_others),
		TEST(native_properties_come_in_the_order_asked_for),
		TEST(children_are_those_directly_below),
		TEST(properties_are_one_word_and_one_line),
		TEST(streams_pass_by_descriptor),
	};

	return cmocka_run_group_tests(group, NULL, NULL);
}
