/* SPDX-License-Identifier: Apache-2.0 */
/* Is every form of a source understood as the user means it? */
#include "fixture.h"
#include "transport/locator.h"

/* A box that is the working directory while the test runs, so that relative paths mean something.
 */
static int cwd_setup(void **state)
{
	int r = box_setup(state);

	return r < 0 ? r : fchdir(((struct box *)*state)->fd);
}

static int cwd_teardown(void **state)
{
	return chdir("/") < 0 ? -1 : box_teardown(state);
}

static void schemes_take_paths_tags_and_references(void **state)
{
	static const struct {
		const char *text;
		enum locator_kind kind;
		const char *where, *tag;
	} cases[] = {
		{ "docker://alpine:3", LOCATOR_DOCKER, "alpine:3", NULL },
		{ "docker://h:5000/a@sha256:00", LOCATOR_DOCKER, "h:5000/a@sha256:00", NULL },
		{ "dockerd://a:1", LOCATOR_DOCKERD, "a:1", NULL },
		{ "docker-daemon:sha256:00", LOCATOR_DOCKERD, "sha256:00", NULL },
		{ "podman://a:1", LOCATOR_STORAGE, "a:1", NULL },
		{ "containers-storage:[vfs@/a+/b]x", LOCATOR_STORAGE, "[vfs@/a+/b]x", NULL },
		{ "oci:dir", LOCATOR_OCI, "dir", NULL },
		{ "oci:/a/b:tag", LOCATOR_OCI, "/a/b", "tag" },
		{ "oci:dir:docker.io/x:1", LOCATOR_OCI, "dir", "docker.io/x:1" },
		{ "oci-archive:a.tar:v1", LOCATOR_OCI_ARCHIVE, "a.tar", "v1" },
		{ "docker-archive:a.tar", LOCATOR_DOCKER_ARCHIVE, "a.tar", NULL },
		{ "docker-archive:a.tar:x:1", LOCATOR_DOCKER_ARCHIVE, "a.tar", "x:1" },
		{ "docker-archive:a.tar:@0", LOCATOR_DOCKER_ARCHIVE, "a.tar", "@0" },
		{ "docker-archive:-", LOCATOR_DOCKER_ARCHIVE, "-", NULL },
		{ "dir:a:b", LOCATOR_DIR, "a:b", NULL }, { "rootfs:/", LOCATOR_ROOTFS, "/", NULL },
		{ "tar:-", LOCATOR_TAR, "-", NULL }, { "-", LOCATOR_ARCHIVE, "-", NULL },
		{ "oci:colon:dir", LOCATOR_OCI, "colon:dir", NULL }, /* exists */
		{ "alpine", LOCATOR_DOCKER, "alpine", NULL },
		{ "python:3.11", LOCATOR_DOCKER, "python:3.11", NULL },
		{ "localhost:5000/x:1", LOCATOR_DOCKER, "localhost:5000/x:1", NULL },
		{ "debian", LOCATOR_DOCKER, "debian", NULL }, /* a plain directory of that name */
	};

	put_text(*state, "colon:dir/x", "");
	put_text(*state, "debian/control", "");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_LOCATOR l = { 0 };
		struct imbrex_error err = { 0 };

		assert_int_equal(locator_parse(cases[i].text, &l, &err), 0);
		assert_int_equal(l.kind, cases[i].kind);
		assert_string_equal(l.where, cases[i].where);
		assert_int_equal(
			l.bare, l.kind == LOCATOR_DOCKER && !str_after(cases[i].text, "docker://"));
		if (cases[i].tag)
			assert_string_equal(l.tag, cases[i].tag);
		else
			assert_null(l.tag);
	}
}

static void what_cannot_be_a_source_is_explained(void **state)
{
	static const struct {
		const char *text;
		int status;
		const char *message, *hint;
	} cases[] = {
		{ "", IMBREX_EINVAL, "the source is empty", "" },
		{ "dockr://alpine", IMBREX_EINVAL,
			"source 'dockr://alpine': unknown scheme 'dockr'",
			"did you mean 'docker://'?" },
		{ "https://x/y", IMBREX_EINVAL, "source 'https://x/y': unknown scheme 'https'",
			"known are docker://, dockerd://, podman://, oci:, oci-archive:, "
			"docker-archive:, dir:, rootfs:, tar: and squashfs:" },
		{ "oic:layout", IMBREX_EINVAL, "source 'oic:layout': unknown scheme 'oic'",
			"did you mean 'oci:'?" },
		{ "oci-achive:/x/y.tar", IMBREX_EINVAL,
			"source 'oci-achive:/x/y.tar': unknown scheme 'oci-achive'",
			"did you mean 'oci-archive:'?" },
		{ "docker://", IMBREX_EINVAL, "source 'docker://': no reference", "" },
		{ "oci:", IMBREX_EINVAL, "source 'oci:': no path", "" },
		{ "oci::tag", IMBREX_EINVAL, "source 'oci::tag': no path", "" },
		{ "oci:dir:", IMBREX_EINVAL, "source 'oci:dir:': nothing after the last ':'", "" },
		{ "dir:", IMBREX_EINVAL, "source 'dir:': no path", "" },
		{ "dockerd://", IMBREX_EINVAL, "source 'dockerd://': no reference", "" },
		{ "podman://", IMBREX_EINVAL, "source 'podman://': no reference", "" },
		{ "./missing.tar", IMBREX_ENOENT, "'./missing.tar': No such file or directory",
			"" },
		{ "./text", IMBREX_EFORMAT, "'./text' is neither an image nor a tar archive", "" },
		{ "./x.sqsh:v1", IMBREX_EINVAL,
			"source './x.sqsh:v1': './x.sqsh' holds one image and has no tags", "" },
		{ "x.zfs", IMBREX_ENOTSUP, "'x.zfs' is a zfs send stream, which cannot be read",
			"" },
		{ "./tree:v1", IMBREX_EINVAL,
			"source './tree:v1': './tree' holds one image and has no tags", "" },
	};
	static const char zfs[16] = { 0, 0, 0, 0, 0, 0, 0, 0, (char)0xac, (char)0xcb, (char)0xba,
		(char)0xf5, 2, 0, 0, 0 };

	put_text(*state, "text", "hello");
	put_text(*state, "layout/oci-layout", "{}");
	put_text(*state, "x.sqsh", "hsqs.....");
	put(*state, "x.zfs", zfs, sizeof(zfs));
	put_text(*state, "tree/etc/passwd", "root");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_LOCATOR l = { 0 };
		struct imbrex_error err = { 0 };

		assert_int_equal(locator_parse(cases[i].text, &l, &err), cases[i].status);
		assert_string_equal(err.message, cases[i].message);
		assert_string_equal(err.hint, cases[i].hint);
	}
}

static void paths_are_recognised_by_content(void **state)
{
	static const struct {
		const char *text;
		enum locator_kind kind;
		const char *where, *tag;
	} cases[] = {
		{ "./layout", LOCATOR_OCI, "./layout", NULL },
		{ "layout:v1", LOCATOR_OCI, "layout", "v1" },
		{ "copied", LOCATOR_DIR, "copied", NULL },
		{ "./tree", LOCATOR_ROOTFS, "./tree", NULL },
		{ "saved.img", LOCATOR_ARCHIVE, "saved.img", NULL },
		{ "saved.img:x:1", LOCATOR_ARCHIVE, "saved.img", "x:1" },
		{ "dotted.tar", LOCATOR_ARCHIVE, "dotted.tar", NULL },
		{ "root.tar", LOCATOR_TAR, "root.tar", NULL },
		{ "x.sqsh", LOCATOR_SQUASHFS, "x.sqsh", NULL },
		{ "./pipe", LOCATOR_ARCHIVE, "./pipe", NULL },
	};
	const struct box *box = *state;
	AUTO_STR saved = STR_INIT(FIXTURE_MAX);
	AUTO_STR dotted = STR_INIT(FIXTURE_MAX);
	AUTO_STR root = STR_INIT(FIXTURE_MAX);

	put_text(box, "layout/oci-layout", "{}");
	put_text(box, "x.sqsh", "hsqs.....");
	put_text(box, "layout/index.json", "{}");
	put_text(box, "copied/manifest.json", "{}");
	put_text(box, "copied/version", "Directory Transport Version: 1.1\n");
	put_text(box, "tree/etc/passwd", "root");
	tar_file(&saved, "a82ba1e17b1a866be4368fae40a58af8a22806d0b8e4ee12d05c77db07c0c2a6/VERSION",
		"1");
	tar_end(&saved);
	put(box, "saved.img", saved.data, saved.len);
	tar_add(&dotted, '5', "./", "", "", 0);
	tar_add(&dotted, '5', "./blobs/", "", "", 0);
	tar_end(&dotted);
	put(box, "dotted.tar", dotted.data, dotted.len);
	layer_make(&root, "etc/passwd", "root");
	put(box, "root.tar", root.data, root.len);
	assert_int_equal(mkfifoat(box->fd, "pipe", 0600), 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_LOCATOR l = { 0 };
		struct imbrex_error err = { 0 };

		assert_int_equal(locator_parse(cases[i].text, &l, &err), 0);
		assert_int_equal(l.kind, cases[i].kind);
		assert_string_equal(l.where, cases[i].where);
		if (cases[i].tag)
			assert_string_equal(l.tag, cases[i].tag);
		else
			assert_null(l.tag);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, cwd_setup, cwd_teardown)
	const struct CMUnitTest tests[] = {
		TEST(schemes_take_paths_tags_and_references),
		TEST(what_cannot_be_a_source_is_explained),
		TEST(paths_are_recognised_by_content),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
