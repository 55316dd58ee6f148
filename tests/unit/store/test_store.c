/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One store and its tables: names that move, documents, mount counts, commits, removal, and what
 * another opener sees. With the vfs driver and layers without content: those are tested elsewhere.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "os/beneath.h"
#include "os/fd.h"
#include "store/bigdata.h"
#include "store/image.h"
#include "store/layer.h"
#include "store/txn.h"

/* Behind our headers: it defines a macro fail(). */
#include <cmocka.h>

#define ID_A     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define ID_B     "abbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define ID_C     "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
#define TEXT_MAX (1024 * 1024)
/* Digest of "{}". */
#define EMPTY_OBJECT "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"

struct fixture {
	char *dir;
	char *graphroot;
	char *runroot;
	struct imbrex_store *s;
};

static struct imbrex_store *open_store(struct fixture *f, bool read_only)
{
	static const char *const no_options[] = { NULL };
	const struct imbrex_store_opts opts = { .graphroot = f->graphroot,
		.runroot = f->runroot,
		.driver = "vfs",
		.storage_opts = no_options,
		.read_only = read_only };
	struct imbrex_error err = { 0 };
	struct imbrex_store *s = NULL;

	if (imbrex_store_open(&opts, &s, &err) < 0)
		fail_msg("%s", err.message);
	return s;
}

static int set_up(void **state)
{
	const char *base = getenv("TMPDIR");
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	(void)setenv("CONTAINERS_STORAGE_CONF", "/dev/null", 1);
	f->dir = format_text("%s/imbrex-store-XXXXXX", base ? base : "/tmp");
	if (!f->dir || !mkdtemp(f->dir))
		return -1;
	f->graphroot = format_text("%s/root", f->dir);
	f->runroot = format_text("%s/run", f->dir);
	f->s = open_store(f, false);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	struct imbrex_error err = { 0 };
	char *name = strrchr(f->dir, '/');
	AUTO_CLOSE int base = -EBADF;
	int r;

	imbrex_store_close(f->s);
	*name++ = '\0';
	base = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = remove_tree_detach_at(base, name, &err);
	if (r < 0)
		(void)fprintf(stderr, "%s\n", err.message);
	free(f->dir);
	free(f->graphroot);
	free(f->runroot);
	free(f);
	return r;
}

static void ok(int r, const struct imbrex_error *err)
{
	if (r < 0)
		fail_msg("%s", err->message);
}

static char *read_text(const struct fixture *f, const char *name)
{
	AUTO_FREE char *path = format_text("%s/%s", f->dir, name);
	AUTO_STR text = STR_INIT(TEXT_MAX);
	struct imbrex_error err = { 0 };

	ok(read_file_at(AT_FDCWD, path, TEXT_MAX, &text, &err), &err);
	return str_take(&text);
}

static void expect_in(const struct fixture *f, const char *name, const char *want)
{
	AUTO_FREE char *text = read_text(f, name);

	if (!strstr(text, want))
		fail_msg("%s has no %s: %s", name, want, text);
}

static void put_text(const struct fixture *f, const char *name, const char *text)
{
	AUTO_FREE char *path = format_text("%s/%s", f->dir, name);
	FILE *file = fopen(path, "we");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static bool exists(const struct fixture *f, const char *name)
{
	AUTO_FREE char *path = format_text("%s/%s", f->dir, name);

	return access(path, F_OK) == 0;
}

static void put_image(struct imbrex_store *s, const char *id, const char *name)
{
	const struct bigdata documents[] = { { "manifest", "{}", 2 } };
	const struct txn_image image = { .id = id,
		.name = name,
		.created = "2026-01-02T03:04:05Z",
		.documents = documents,
		.n_documents = 1 };
	struct imbrex_error err = { 0 };
	AUTO_HOLD hold = HOLD_NONE;

	ok(store_hold(s, HOLD_IMAGES_W, &hold, &err), &err);
	ok(image_put(s, &image, NULL, &err), &err);
}

static void expect_no_problem(struct imbrex_store *s)
{
	struct imbrex_problem *problems;
	struct imbrex_error err = { 0 };
	size_t n;

	ok(imbrex_check(s, NULL, &problems, &n, &err), &err);
	if (n)
		fail_msg("%s: %s", problems[0].object, problems[0].text);
	imbrex_problems_free(problems, n);
}

/* ---- big data -------------------------------------------------------------------------- */

static void document_names_follow_the_rule_and_its_oddity(void **state)
{
	static const struct {
		const char *key;
		const char *file; /* NULL: refused */
	} cases[] = {
		{ "manifest", "manifest" }, { "a.b.0", "a.b.0" }, { ".x", ".x" },
		{ "manifest-sha256:00", "=bWFuaWZlc3Qtc2hhMjU2OjAw" },
		{ "zstd-chunked-manifest", "=enN0ZC1jaHVua2VkLW1hbmlmZXN0" },
		{ "chunked-manifest-cache", "=Y2h1bmtlZC1tYW5pZmVzdC1jYWNoZQ==" },
		{ "A", "A" },       /* the only odd character is the last one */
		{ "foo-", "foo-" }, /* likewise */
		{ "foo-x", "=Zm9vLXg=" }, { "-foo", "=LWZvbw==" }, { "", NULL }, { ".", NULL },
		{ "..", NULL }, { "a/", NULL }, /* would be used as it is: a directory */
		{ "a/\xff\xff", NULL },         /* base64 with a slash in it */
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct imbrex_error err = { 0 };
		AUTO_FREE char *file = NULL;
		int r = bigdata_file_name(cases[i].key, &file, &err);

		if (!cases[i].file) {
			assert_int_equal(r, IMBREX_EINVAL);
			assert_non_null(strstr(err.message, "big data key '"));
			continue;
		}
		assert_int_equal(r, 0);
		assert_string_equal(file, cases[i].file);
	}
}

static void documents_are_private_files_with_sizes_and_digests_in_the_record(void **state)
{
	struct fixture *f = *state;
	struct imbrex_error err = { 0 };
	struct stat st;
	AUTO_FREE char *path = format_text("%s/vfs-images/" ID_A "/manifest", f->graphroot);
	AUTO_FREE char *text = NULL;
	size_t len;

	put_image(f->s, ID_A, "localhost/a:1");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0600);
	expect_in(f, "root/vfs-images/images.json",
		"[{\"id\":\"" ID_A "\",\"digest\":\"" EMPTY_OBJECT "\","
		"\"names\":[\"localhost/a:1\"],"
		"\"names-history\":[\"localhost/a:1\"],\"big-data-names\":[\"manifest\"],"
		"\"big-data-sizes\":{\"manifest\":2},\"big-data-digests\":{\"manifest\":"
		"\"" EMPTY_OBJECT "\"},"
		"\"created\":\"2026-01-02T03:04:05Z\"}]");
	ok(imbrex_image_manifest(f->s, "a:1", &text, &len, &err), &err);
	assert_int_equal(len, 2);
	assert_memory_equal(text, "{}", 2);
	assert_int_equal(unlink(path), 0);
	free(take_ptr(text));
	assert_int_equal(imbrex_image_manifest(f->s, "a:1", &text, &len, &err), IMBREX_ENOENT);
	assert_string_equal(err.message, "image " ID_A ": document 'manifest': open 'manifest': "
					 "No such file or directory");
	assert_int_equal(imbrex_image_config(f->s, "a:1", &text, &len, &err), IMBREX_ENOENT);
	assert_string_equal(err.message, "image " ID_A " has no document 'sha256:" ID_A "'");
}

/* ---- names ----------------------------------------------------------------------------- */

static void expect_names(struct fixture *f, const char *id, const char *want)
{
	struct imbrex_error err = { 0 };
	struct imbrex_image *images;
	AUTO_STR text = STR_INIT(4096);
	size_t n, i, k;

	ok(imbrex_images_list(f->s, &images, &n, &err), &err);
	for (i = 0; i < n; i++)
		for (k = 0; strcmp(images[i].id, id) == 0 && images[i].names[k]; k++)
			assert_int_equal(
				str_printf(&text, "%s%s", k ? " " : "", images[i].names[k]), 0);
	imbrex_images_free(images, n);
	assert_string_equal(str_text(&text), want);
}

static void a_name_moves_to_the_image_that_gets_it_last(void **state)
{
	struct fixture *f = *state;
	struct imbrex_error err = { 0 };

	put_image(f->s, ID_A, "localhost/app:1");
	put_image(f->s, ID_B, "localhost/app:1");
	expect_names(f, ID_A, "");
	expect_names(f, ID_B, "localhost/app:1");
	ok(imbrex_image_tag(f->s, ID_A, "app:1", &err), &err);
	expect_names(f, ID_A, "localhost/app:1");
	expect_names(f, ID_B, "");
	ok(imbrex_image_tag(f->s, ID_A, "docker.io/library/app:2", &err), &err);
	ok(imbrex_image_tag(f->s, ID_A, "app:1", &err), &err); /* has it already */
	expect_names(f, ID_A, "localhost/app:1 docker.io/library/app:2");
	/* newest first, none twice, none forgotten */
	expect_in(f, "root/vfs-images/images.json",
		"\"names-history\":[\"docker.io/library/app:2\",\"localhost/app:1\"]");
	expect_in(f, "root/vfs-images/images.json",
		"{\"id\":\"" ID_B "\",\"digest\":\"" EMPTY_OBJECT
		"\",\"names-history\":[\"localhost/app:1\"],");
	expect_no_problem(f->s);
}

static void names_are_taken_away_one_by_one_or_all(void **state)
{
	struct fixture *f = *state;
	struct imbrex_error err = { 0 };

	put_image(f->s, ID_A, "localhost/a:1");
	ok(imbrex_image_tag(f->s, "a:1", "docker.io/library/b:latest", &err), &err);
	ok(imbrex_image_tag(f->s, "a:1", "quay.io/x/c:3", &err), &err);
	assert_int_equal(imbrex_image_untag(f->s, ID_A, "nothing", &err), IMBREX_ENOENT);
	assert_string_equal(err.message, "the image has no name 'nothing'");
	ok(imbrex_image_untag(f->s, "b", "b", &err), &err);
	expect_names(f, ID_A, "localhost/a:1 quay.io/x/c:3");
	ok(imbrex_image_untag(f->s, "a:1", NULL, &err), &err);
	expect_names(f, ID_A, "");
}

static void images_are_found_as_podman_completes_names(void **state)
{
	static const char *const good[] = { ID_A, "aaa", "localhost/app:1", "app:1",
		"docker.io/library/web:latest", "web", "quay.io/team/tool:latest", "tool",
		"team/tool" };
	static const struct {
		const char *name;
		int status;
		const char *message;
	} bad[] = {
		{ "app", IMBREX_ENOENT, "image 'app' is not in the store" },
		{ "a", IMBREX_EINVAL, "image id 'a' is the beginning of several ids" },
		{ "aaaaB", IMBREX_ENOENT, "image 'aaaaB' is not in the store" },
		{ "", IMBREX_ENOENT, "image '' is not in the store" },
		{ "twice", IMBREX_EINVAL, "image name 'twice' fits several images" },
		{ "../x", IMBREX_ENOENT, "image '../x' is not in the store" },
	};
	struct fixture *f = *state;
	struct imbrex_error err = { 0 };
	size_t i;

	put_image(f->s, ID_A, "localhost/app:1");
	ok(imbrex_image_tag(f->s, ID_A, "docker.io/library/web", &err), &err);
	ok(imbrex_image_tag(f->s, ID_A, "quay.io/team/tool", &err), &err);
	ok(imbrex_image_tag(f->s, ID_A, "quay.io/x/twice", &err), &err);
	put_image(f->s, ID_B, "quay.io/y/twice:latest");
	for (i = 0; i < ARRAY_LEN(good); i++) {
		AUTO_FREE char *id = NULL;

		if (imbrex_image_find(f->s, good[i], &id, &err) < 0)
			fail_msg("%s", err.message);
		assert_string_equal(id, ID_A);
	}
	for (i = 0; i < ARRAY_LEN(bad); i++) {
		char *id = NULL;

		assert_int_equal(imbrex_image_find(f->s, bad[i].name, &id, &err), bad[i].status);
		assert_string_equal(err.message, bad[i].message);
	}
}

static void removing_one_of_several_names_keeps_the_image(void **state)
{
	struct fixture *f = *state;
	struct imbrex_error err = { 0 };
	struct imbrex_removed removed;

	put_image(f->s, ID_A, "localhost/a:1");
	ok(imbrex_image_tag(f->s, ID_A, "b:1", &err), &err);
	ok(imbrex_image_remove(f->s, "b:1", false, &removed, &err), &err);
	assert_string_equal(removed.untagged[0], "localhost/b:1");
	assert_null(removed.images[0]);
	imbrex_removed_done(&removed);
	expect_names(f, ID_A, "localhost/a:1");
	ok(imbrex_image_remove(f->s, "a:1", false, &removed, &err), &err);
	assert_string_equal(removed.untagged[0], "localhost/a:1");
	assert_string_equal(removed.images[0], ID_A);
	imbrex_removed_done(&removed);
	assert_false(exists(f, "root/vfs-images/" ID_A));
	assert_int_equal(imbrex_image_remove(f->s, "a:1", false, &removed, &err), IMBREX_ENOENT);
	assert_string_equal(err.message, "image 'a:1' is not in the store");
}

/* ---- several openers ------------------------------------------------------------------- */

static void another_opener_sees_every_change_at_once(void **state)
{
	struct fixture *f = *state;
	struct imbrex_error err = { 0 };
	struct imbrex_store *other = open_store(f, false);
	struct imbrex_store *reader;
	AUTO_FREE char *id = NULL;

	put_image(f->s, ID_A, "localhost/a:1");
	ok(imbrex_image_find(other, "a:1", &id, &err), &err);
	ok(imbrex_image_tag(other, "a:1", "b:1", &err), &err);
	reader = open_store(f, true);
	free(take_ptr(id));
	ok(imbrex_image_find(f->s, "b:1", &id, &err), &err);
	put_image(f->s, ID_B, "localhost/b:1");
	free(take_ptr(id));
	ok(imbrex_image_find(reader, "b:1", &id, &err), &err);
	assert_string_equal(id, ID_B);
	imbrex_store_close(reader);
	imbrex_store_close(other);
}

static void members_of_a_newer_release_survive_our_changes(void **state)
{
	struct fixture *f = *state;
	struct imbrex_error err = { 0 };

	put_image(f->s, ID_A, "localhost/a:1");
	put_text(f, "root/vfs-images/images.json",
		"[{\"id\":\"" ID_A "\",\"names\":[\"localhost/a:1\"],\"created\":"
		"\"2026-01-02T03:04:05Z\",\"future\":{\"x\":[ 1, 2.0 ]}},"
		"{\"id\":\"" ID_B "\",\"created\":\"2026-01-02T03:04:05Z\",\"Other\" : null}]");
	ok(imbrex_image_tag(f->s, "a:1", "c:1", &err), &err);
	expect_in(f, "root/vfs-images/images.json", "\"future\":{\"x\":[ 1, 2.0 ]}}");
	expect_in(f, "root/vfs-images/images.json",
		",{\"id\":\"" ID_B "\",\"created\":\"2026-01-02T03:04:05Z\",\"Other\" : null}]");
}

static void an_image_is_listed_whatever_its_record_holds(void **state)
{
	struct fixture *f = *state;
	struct imbrex_error err = { 0 };
	struct imbrex_image *images;
	size_t n;

	put_image(f->s, ID_A, "localhost/a:1");
	put_text(f, "root/vfs-images/images.json",
		"[{\"id\":\"" ID_A "\",\"names\":[\"\",\"a\\\"b\\\\\",7,\"\\u00e4\\ud800\",[\"x\"],"
		"\"y\\u0000nul\",\"z\"],\"digest\":null,\"created\":\"2026\\u002d01\","
		"\"mapped-layers\":[\"m\\u006e\",\"o\"]},"
		"{\"id\":\"" ID_B "\",\"names\":\"no list\",\"created\":4}]");
	ok(imbrex_images_list(f->s, &images, &n, &err), &err);
	assert_int_equal(n, 2);
	assert_string_equal(images[0].id, ID_A);
	assert_string_equal(images[0].digest, "");
	assert_string_equal(images[0].created, "2026-01");
	assert_string_equal(images[0].layer, "");
	assert_string_equal(images[0].names[0], "");
	assert_string_equal(images[0].names[1], "a\"b\\");
	assert_string_equal(images[0].names[2], "\xC3\xA4\xEF\xBF\xBD");
	assert_string_equal(images[0].names[3], "z");
	assert_null(images[0].names[4]);
	assert_string_equal(images[0].mapped_layers[0], "mn");
	assert_string_equal(images[0].mapped_layers[1], "o");
	assert_null(images[0].mapped_layers[2]);
	assert_string_equal(images[1].id, ID_B);
	assert_null(images[1].names[0]);
	assert_null(images[1].mapped_layers[0]);
	imbrex_images_free(images, n);
}

static void a_read_only_store_refuses_changes_and_creates_nothing(void **state)
{
	struct fixture *f = *state;
	struct imbrex_error err = { 0 };
	struct imbrex_store *s;
	struct imbrex_removed removed;
	char *id = NULL;
	size_t n;
	struct imbrex_image *images;

	put_image(f->s, ID_A, "localhost/a:1");
	s = open_store(f, true);
	assert_int_equal(imbrex_image_tag(s, "a:1", "b:1", &err), IMBREX_EPERM);
	assert_non_null(strstr(err.message, "/root was opened read-only"));
	assert_int_equal(imbrex_image_remove(s, "a:1", false, &removed, &err), IMBREX_EPERM);
	assert_int_equal(imbrex_container_create(s, "a:1", NULL, &id, &err), IMBREX_EPERM);
	ok(imbrex_images_list(s, &images, &n, &err), &err);
	assert_int_equal(n, 1);
	imbrex_images_free(images, n);
	imbrex_store_close(s);
}

/* ---- containers and mounts ------------------------------------------------------------- */

static void containers_have_unique_names_and_keep_their_image(void **state)
{
	struct fixture *f = *state;
	const struct imbrex_container_opts opts = { .name = "c1" };
	struct imbrex_error err = { 0 };
	struct imbrex_removed removed;
	AUTO_FREE char *id = NULL;
	AUTO_FREE char *want = NULL;
	char *again = NULL;

	put_image(f->s, ID_A, "localhost/a:1");
	ok(imbrex_container_create(f->s, "a:1", &opts, &id, &err), &err);
	assert_int_equal(imbrex_container_create(f->s, "a:1", &opts, &again, &err), IMBREX_EEXIST);
	want = format_text(
		"container on image a:1: container name 'c1' is taken by container %s", id);
	assert_string_equal(err.message, want);
	assert_int_equal(imbrex_image_remove(f->s, "a:1", false, &removed, &err), IMBREX_EBUSY);
	free(want);
	want = format_text("image " ID_A " is used by container %s", id);
	assert_string_equal(err.message, want);
	assert_string_equal(err.hint, "remove the container first, or use --force");
	expect_no_problem(f->s);
	ok(imbrex_image_remove(f->s, "a:1", true, &removed, &err), &err);
	imbrex_removed_done(&removed);
	assert_int_equal(imbrex_container_find(f->s, "c1", &again, &err), IMBREX_ENOENT);
	assert_string_equal(err.message, "container 'c1' is not in the store");
	expect_in(f, "root/vfs-containers/containers.json", "[]");
	expect_in(f, "root/vfs-layers/layers.json", "[]");
	expect_no_problem(f->s);
}

static void volatile_containers_are_recorded_where_every_peer_looks(void **state)
{
	struct fixture *f = *state;
	const struct imbrex_container_opts opts = { .name = "v", .is_volatile = true };
	struct imbrex_container *list = NULL;
	struct imbrex_error err = { 0 };
	AUTO_FREE char *id = NULL;
	size_t n = 0;

	put_image(f->s, ID_A, "localhost/a:1");
	ok(imbrex_container_create(f->s, "a:1", &opts, &id, &err), &err);
	expect_in(f, "root/vfs-containers/containers.json", "\"Volatile\":true");
	expect_in(f, "root/vfs-layers/layers.json", "[{\"id\":\"");
	assert_false(exists(f, "root/vfs-containers/volatile-containers.json"));
	assert_false(exists(f, "root/vfs-layers/volatile-layers.json"));
	expect_no_problem(f->s);
	ok(imbrex_containers_list(f->s, &list, &n, &err), &err);
	assert_int_equal(n, 1);
	assert_true(list[0].is_volatile);
	imbrex_containers_free(list, n);
	ok(imbrex_container_remove(f->s, "v", false, &err), &err);
	expect_in(f, "root/vfs-containers/containers.json", "[]");
	expect_in(f, "root/vfs-layers/layers.json", "[]");
}

static void move(const struct fixture *f, const char *from, const char *to)
{
	AUTO_FREE char *old = format_text("%s/%s", f->dir, from);
	AUTO_FREE char *new = format_text("%s/%s", f->dir, to);

	assert_int_equal(rename(old, new), 0);
}

static void volatile_files_of_newer_peers_are_read_and_written(void **state)
{
	struct fixture *f = *state;
	const struct imbrex_container_opts opts = { .name = "v", .is_volatile = true };
	struct imbrex_error err = { 0 };
	AUTO_FREE char *id = NULL;

	put_image(f->s, ID_A, "localhost/a:1");
	ok(imbrex_container_create(f->s, "a:1", &opts, &id, &err), &err);
	imbrex_store_close(f->s);
	move(f, "root/vfs-containers/containers.json",
		"root/vfs-containers/volatile-containers.json");
	move(f, "root/vfs-layers/layers.json", "root/vfs-layers/volatile-layers.json");
	f->s = open_store(f, false);
	expect_no_problem(f->s);
	ok(imbrex_container_remove(f->s, "v", false, &err), &err);
	expect_in(f, "root/vfs-containers/volatile-containers.json", "[]");
	expect_in(f, "root/vfs-layers/volatile-layers.json", "[]");
}

static void mounts_are_counted_across_openers(void **state)
{
	struct fixture *f = *state;
	const struct imbrex_container_opts opts = { .name = "c" };
	struct imbrex_error err = { 0 };
	struct imbrex_store *other = open_store(f, false);
	AUTO_FREE char *id = NULL;
	AUTO_FREE char *one = NULL;
	AUTO_FREE char *two = NULL;
	AUTO_FREE char *want = NULL;
	int still = -1;

	put_image(f->s, ID_A, "localhost/a:1");
	ok(imbrex_container_create(f->s, "a:1", &opts, &id, &err), &err);
	ok(imbrex_mount(f->s, "c", NULL, &one, &err), &err);
	ok(imbrex_mount(other, "c", NULL, &two, &err), &err);
	assert_string_equal(one, two);
	expect_in(f, "run/vfs-layers/mountpoints.json", ",\"count\":2}]");
	assert_int_equal(imbrex_container_remove(f->s, "c", false, &err), IMBREX_EBUSY);
	want = format_text("container c: the container is mounted at %s", one);
	assert_string_equal(err.message, want);
	assert_string_equal(err.hint, "unmount it first, or use --force");
	ok(imbrex_unmount(other, "c", false, &still, &err), &err);
	assert_int_equal(still, 1);
	free(take_ptr(two));
	ok(imbrex_mount(other, "c", NULL, &two, &err), &err);
	ok(imbrex_unmount(f->s, "c", true, &still, &err), &err);
	assert_int_equal(still, 0);
	expect_in(f, "run/vfs-layers/mountpoints.json", "[]");
	assert_int_equal(imbrex_unmount(f->s, "c", false, &still, &err), IMBREX_EINVAL);
	assert_string_equal(err.message, "'c' is not mounted");
	ok(imbrex_unmount(f->s, "c", true, &still, &err), &err);
	ok(imbrex_container_remove(f->s, "c", false, &err), &err);
	assert_int_equal(imbrex_mount(f->s, "c", NULL, &one, &err), IMBREX_ENOENT);
	assert_string_equal(err.message, "no container and no image is called 'c'");
	imbrex_store_close(other);
}

/* ---- commits --------------------------------------------------------------------------- */

static void a_commit_whose_layer_vanished_says_try_again(void **state)
{
	struct fixture *f = *state;
	const struct txn_layer layers[] = { { .id = ID_C } };
	const struct txn_image image = { .id = ID_A };
	struct imbrex_error err = { 0 };
	AUTO_TXN struct store_txn *txn = NULL;

	ok(store_txn_begin(f->s, &txn, &err), &err);
	assert_int_equal(store_txn_commit(txn, layers, 1, &image, false, &err), IMBREX_EBUSY);
	assert_string_equal(err.message, "layer " ID_C " vanished from the store");
	assert_string_equal(err.hint, "another process removed it meanwhile; try again");
}

static void nothing_of_an_aborted_transaction_is_left(void **state)
{
	struct fixture *f = *state;
	struct imbrex_error err = { 0 };
	struct store_txn *txn = NULL;
	struct staged_layer *layer;
	struct entry_sink *entries;

	ok(store_txn_begin(f->s, &txn, &err), &err);
	ok(store_txn_layer_new(txn, NULL, NULL, NULL, &layer, &err), &err);
	ok(staged_layer_entries(layer, &entries, &err), &err);
	entry_sink_free(entries);
	store_txn_free(txn);
	assert_false(exists(f, "root/vfs/tempdirs"));
	assert_false(exists(f, "root/vfs-layers/layers.json"));
	expect_no_problem(f->s);
}

static void a_record_marked_incomplete_is_removed_by_the_next_writer(void **state)
{
	struct fixture *f = *state;
	struct imbrex_error err = { 0 };
	struct imbrex_layer *layers;
	const char *const ids[] = { ID_A };
	AUTO_FREE char *split = format_text("root/vfs-layers/" ID_A ".tar-split.gz");
	AUTO_FREE char *path = format_text("%s/vfs/dir/" ID_A, f->graphroot);
	bool have = true;
	size_t n;

	put_text(f, "root/vfs-layers/layers.json",
		"[{\"id\":\"" ID_A "\",\"created\":\"2026-01-02T03:04:05Z\","
		"\"flags\":{\"incomplete\":true}}]");
	put_text(f, split, "x");
	assert_int_equal(mkdir(path, 0700), 0);
	ok(imbrex_layers_list(f->s, &layers, &n, &err), &err);
	assert_int_equal(n, 1);
	assert_true(layers[0].incomplete);
	imbrex_layers_free(layers, n);
	ok(store_have_layers(f->s, ids, 1, &have, &err), &err);
	assert_false(have);
	put_image(f->s, ID_B, "localhost/b:1");
	assert_true(exists(f, split)); /* a writer of images is no writer of layers */
	{
		AUTO_HOLD hold = HOLD_NONE;

		ok(store_hold(f->s, HOLD_LAYERS_W, &hold, &err), &err);
	}
	expect_in(f, "root/vfs-layers/layers.json", "[]");
	assert_false(exists(f, split));
	assert_int_equal(access(path, F_OK), -1);
	expect_no_problem(f->s);
}

static void layers_that_nothing_needs_are_garbage_after_a_day(void **state)
{
	static const struct {
		const char *why;
		const char *record;
		bool collected;
	} cases[] = {
		{ "a pull was killed",
			"\"created\":\"2020-01-02T03:04:05Z\",\"diff-digest\":\"sha256:00\"",
			true },
		{ "a removal was killed", "\"created\":\"2020-01-02T03:04:05Z\"", true },
		{ "someone named it", "\"created\":\"2020-01-02T03:04:05Z\",\"names\":[\"x\"]",
			false },
		{ "a pull may be running", "\"created\":\"2999-01-02T03:04:05Z\"", false },
		{ "nobody knows how old it is", "\"created\":\"yesterday\"", false },
	};
	struct fixture *f = *state;
	AUTO_FREE char *dir = format_text("%s/vfs/dir/" ID_A, f->graphroot);
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_FREE char *text = format_text("[{\"id\":\"" ID_A "\",%s}]", cases[i].record);
		struct imbrex_error err = { 0 };
		char **lines;

		put_text(f, "root/vfs-layers/layers.json", text);
		assert_true(mkdir(dir, 0700) == 0 || errno == EEXIST);
		ok(imbrex_gc(f->s, true, &lines, &err), &err);
		assert_int_equal(access(dir, F_OK), 0);
		imbrex_strings_free(lines);
		ok(imbrex_gc(f->s, false, &lines, &err), &err);
		if (!lines[0] != !cases[i].collected)
			fail_msg("%s: %s", cases[i].why, lines[0] ? lines[0] : "kept");
		if (lines[0]) {
			assert_string_equal(
				lines[0], "layer " ID_A ": no image needs it and no container");
			assert_null(lines[1]);
		}
		assert_int_equal(access(dir, F_OK) < 0, cases[i].collected);
		expect_in(f, "root/vfs-layers/layers.json", cases[i].collected ? "[]" : text);
		imbrex_strings_free(lines);
	}
}

/* What garbage says of a temporary directory that is or was: `lock` old, new or none. */
static size_t n_dead_pairs(struct fixture *f, bool dir, bool lock, bool old)
{
	static const struct timespec times[2] = { { .tv_sec = 1000000000 },
		{ .tv_sec = 1000000000 } };
	AUTO_FREE char *lock_path = format_text("%s/vfs-layers/tmp/lock-7", f->graphroot);
	AUTO_FREE char *dir_path = format_text("%s/vfs-layers/tmp/temp-dir-7", f->graphroot);
	struct imbrex_error err = { 0 };
	char **lines;
	size_t n = 0;

	if (lock)
		put_text(f, "root/vfs-layers/tmp/lock-7", "");
	if (lock && old)
		assert_int_equal(utimensat(AT_FDCWD, lock_path, times, 0), 0);
	if (dir)
		assert_int_equal(mkdir(dir_path, 0700), 0);
	ok(imbrex_gc(f->s, true, &lines, &err), &err);
	while (lines[n])
		n++;
	imbrex_strings_free(lines);
	(void)unlink(lock_path);
	(void)rmdir(dir_path);
	return n;
}

static void a_pair_that_comes_or_goes_is_no_garbage(void **state)
{
	struct fixture *f = *state;
	AUTO_FREE char *root = format_text("%s/vfs-layers/tmp", f->graphroot);

	assert_true(mkdir(root, 0700) == 0 || errno == EEXIST);
	assert_int_equal(n_dead_pairs(f, /* dir= */ false, /* lock= */ true, /* old= */ false), 0);
	assert_int_equal(n_dead_pairs(f, /* dir= */ false, /* lock= */ true, /* old= */ true), 1);
	assert_int_equal(n_dead_pairs(f, /* dir= */ true, /* lock= */ true, /* old= */ false), 1);
	assert_int_equal(n_dead_pairs(f, /* dir= */ true, /* lock= */ false, /* old= */ false), 1);
}

/* Files cannot grow beyond 64 bytes, which is what a change stamp has: no table can be written. */
static void fill_disk(bool full)
{
	static struct rlimit before;
	struct rlimit limit;

	if (full) {
		(void)signal(SIGXFSZ, SIG_IGN);
		assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
		limit = (struct rlimit){ .rlim_cur = 64, .rlim_max = before.rlim_max };
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	} else {
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	}
}

static void a_removal_that_cannot_be_recorded_takes_nothing_away(void **state)
{
	struct fixture *f = *state;
	const struct imbrex_container_opts opts = { .name = "c" };
	const struct imbrex_container_opts other = { .name = "d" };
	struct imbrex_error err = { 0 };
	struct imbrex_removed removed;
	AUTO_FREE char *id = NULL;
	AUTO_FREE char *second = NULL;

	put_image(f->s, ID_A, "localhost/a:1");
	put_image(f->s, ID_B, "localhost/b:1");
	ok(imbrex_container_create(f->s, "a:1", &opts, &id, &err), &err);
	ok(imbrex_container_create(f->s, "a:1", &other, &second, &err), &err);
	fill_disk(true);
	assert_int_equal(imbrex_container_remove(f->s, "c", false, &err), IMBREX_ELIMIT);
	fill_disk(false);
	assert_string_equal(err.message, "vfs-containers: write 'containers.json': File too large");
	expect_no_problem(f->s);
	fill_disk(true);
	assert_int_equal(imbrex_image_remove(f->s, "b:1", false, &removed, &err), IMBREX_ELIMIT);
	fill_disk(false);
	assert_string_equal(err.message, "vfs-images: write 'images.json': File too large");
	expect_no_problem(f->s);
	fill_disk(true);
	assert_int_equal(imbrex_image_remove(f->s, "a:1", true, &removed, &err), IMBREX_ELIMIT);
	fill_disk(false);
	expect_no_problem(f->s);
	ok(imbrex_image_remove(f->s, "a:1", true, &removed, &err), &err);
	imbrex_removed_done(&removed);
	ok(imbrex_image_remove(f->s, "b:1", true, &removed, &err), &err);
	imbrex_removed_done(&removed);
	assert_false(exists(f, "root/vfs-images/" ID_A));
	expect_no_problem(f->s);
}

#define store_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(document_names_follow_the_rule_and_its_oddity),
		store_test(documents_are_private_files_with_sizes_and_digests_in_the_record),
		store_test(a_name_moves_to_the_image_that_gets_it_last),
		store_test(names_are_taken_away_one_by_one_or_all),
		store_test(images_are_found_as_podman_completes_names),
		store_test(removing_one_of_several_names_keeps_the_image),
		store_test(another_opener_sees_every_change_at_once),
		store_test(members_of_a_newer_release_survive_our_changes),
		store_test(an_image_is_listed_whatever_its_record_holds),
		store_test(a_read_only_store_refuses_changes_and_creates_nothing),
		store_test(containers_have_unique_names_and_keep_their_image),
		store_test(volatile_containers_are_recorded_where_every_peer_looks),
		store_test(volatile_files_of_newer_peers_are_read_and_written),
		store_test(mounts_are_counted_across_openers),
		store_test(a_commit_whose_layer_vanished_says_try_again),
		store_test(nothing_of_an_aborted_transaction_is_left),
		store_test(a_record_marked_incomplete_is_removed_by_the_next_writer),
		store_test(layers_that_nothing_needs_are_garbage_after_a_day),
		store_test(a_pair_that_comes_or_goes_is_no_garbage),
		store_test(a_removal_that_cannot_be_recorded_takes_nothing_away),
	};

	if (geteuid() != 0) {
		(void)printf("skipped: a store of the machine needs root\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
