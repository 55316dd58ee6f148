/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Templates on real ZFS, below the dataset IMBREX_ZFS: made once, whoever asks and whenever a maker
 * dies; cloned; evicted in order; with the very operations of enroot's fork.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#undef fail

#include <fcntl.h>
#include <signal.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/hex.h"
#include "base/str.h"
#include "one_file_tar.h"
#include "os/beneath.h"
#include "os/fd.h"
#include "template/evict.h"
#include "template/work.h"

#define KEY_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define KEY_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define KEY_C "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"

struct world {
	struct imbrex_templates *t;
	struct zfs_trace trace;
	struct zfs_options zfs;
	struct str words; /* of what changes something, one operation a line */
	struct str notes;
	uint64_t warm_sec, layer_warm_sec;
	bool flat;     /* what import() does */
	bool skeleton; /* count those that make, name and destroy only */
	int die_at;    /* before this operation, counted from 1; 0: never */
	int calls;
	char key[65]; /* of the image that was imported last */
	int fills;
	struct imbrex_error err;
};

#define assert_ok(r, w) assert_ok_at((r), &(w)->err, __FILE__, __LINE__)

static void assert_ok_at(int r, const struct imbrex_error *err, const char *file, int line)
{
	if (r < 0)
		print_error("status %d: %s\n", r, err->message);
	_assert_true(r >= 0, "r >= 0", file, line);
}

/* Numbers that differ from run to run become "N". */
static void write_word(struct str *to, const char *word)
{
	static const char *const vary[] = {
		"imbrex:lease=", "enroot:imported=", "enroot:last_used="
	};
	const char *fs = getenv("IMBREX_ZFS");
	const char *rest = str_after(word, fs);
	size_t i;

	for (i = 0; i < ARRAY_LEN(vary); i++) {
		if (str_after(word, vary[i])) {
			assert_int_equal(str_printf(to, " %sN", vary[i]), 0);
			return;
		}
	}
	assert_int_equal(str_printf(to, " %s%s", rest ? "STORE" : "", rest ? rest : word), 0);
}

static void on_call(void *ctx, const char *const *words, size_t n)
{
	static const char *const reading[] = { "list", "get", "lzc_exists" };
	struct world *w = ctx;
	size_t i;

	for (i = 0; i < ARRAY_LEN(reading); i++) {
		if (str_eq(words[0], reading[i]))
			return;
	}
	if (!(w->skeleton && str_eq(words[0], "set")) && ++w->calls == w->die_at)
		(void)raise(SIGKILL);
	assert_int_equal(str_puts(&w->words, words[0]), 0);
	for (i = 1; i < n; i++)
		write_word(&w->words, words[i]);
	assert_int_equal(str_putc(&w->words, '\n'), 0);
}

static void on_note(void *userdata, enum imbrex_note level, const char *text)
{
	struct world *w = userdata;

	assert_int_equal(
		str_printf(&w->notes, "%s %s\n", level == IMBREX_NOTE_WARN ? "W" : "I", text), 0);
}

static void reopen(struct world *w, enum zfs_road road)
{
	const struct imbrex_templates_opts opts = { .data_path = getenv("IMBREX_ZFS_ROOT"),
		.warm_sec = &w->warm_sec,
		.layer_warm_sec = &w->layer_warm_sec,
		.note = on_note,
		.userdata = w };

	imbrex_templates_close(w->t);
	w->t = NULL;
	w->trace = (struct zfs_trace){ on_call, w };
	w->zfs = (struct zfs_options){ .road = road, .trace = &w->trace };
	str_clear(&w->words);
	str_clear(&w->notes);
	w->calls = w->die_at = w->fills = 0;
	assert_ok(templates_open(&opts, &w->zfs, &w->t, &w->err), w);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	if (!w)
		return -1;
	w->words = (struct str)STR_INIT(1u << 20);
	w->notes = (struct str)STR_INIT(1u << 20);
	w->warm_sec = w->layer_warm_sec = UINT64_MAX;
	*state = w;
	reopen(w, ZFS_ROAD_ANY);
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	(void)!template_destroy(w->t, &w->t->templates.parent, &w->err);
	(void)!template_destroy(w->t, &w->t->layers.parent, &w->err);
	imbrex_templates_close(w->t);
	str_done(&w->words);
	str_done(&w->notes);
	free(w);
	return 0;
}

/* One file, "f", which holds the key. */
static int fill(void *ctx, struct template_work *work, struct imbrex_error *err)
{
	struct world *w = ctx;

	w->fills++;
	return write_file_at(work->view.fd, "f", 0644, work->key, strlen(work->key), err);
}

static int install(struct world *w, const char *key)
{
	const struct template_fill f = { .fn = fill, .ctx = w, .what = "A test" };

	return template_install(w->t, &w->t->templates, key, &f, &w->err);
}

static void assert_holds(struct world *w, const char *container, const char *text)
{
	AUTO_FREE char *path = format_text("%s/%s/f", getenv("IMBREX_ZFS_ROOT"), container);
	AUTO_STR got = STR_INIT(4096);

	assert_ok(read_file_at(AT_FDCWD, path, 4096, &got, &w->err), w);
	assert_string_equal(str_text(&got), text);
}

static int access_file(struct world *w, const char *name)
{
	AUTO_FREE char *path = format_text("%s/%s", getenv("IMBREX_ZFS_ROOT"), name);

	return access(path, F_OK);
}

static void a_template_is_made_once_and_cloned(void **state)
{
	struct world *w = *state;
	AUTO_FREE char *path = NULL;
	AUTO_FREE char *file = format_text("%s/one/f", getenv("IMBREX_ZFS_ROOT"));
	AUTO_FREE char *at = format_text("%s/one", getenv("IMBREX_ZFS_ROOT"));

	assert_int_equal(install(w, KEY_A), 0);
	assert_int_equal(install(w, KEY_A), 1);
	assert_int_equal(w->fills, 1);
	assert_ok(imbrex_clone_create(w->t, KEY_A, "one", false, &w->err), w);
	assert_ok(imbrex_clone_create(w->t, KEY_A, "two", false, &w->err), w);
	assert_int_equal(imbrex_clone_create(w->t, KEY_A, "two", false, &w->err), IMBREX_EEXIST);
	assert_string_equal(w->err.message, "Container already exists: two");
	assert_int_equal(imbrex_clone_create(w->t, KEY_B, "x", false, &w->err), IMBREX_ENOENT);
	assert_int_equal(imbrex_clone_create(w->t, KEY_A, ".x", false, &w->err), IMBREX_EINVAL);
	assert_int_equal(imbrex_clone_create(w->t, KEY_A, "a/b", false, &w->err), IMBREX_EINVAL);
	assert_ok(write_file_at(AT_FDCWD, file, 0644, "mine", 4, &w->err), w);
	assert_holds(w, "one", "mine");
	assert_holds(w, "two", KEY_A);
	assert_ok(imbrex_clone_create(w->t, KEY_A, "one", true, &w->err), w);
	assert_holds(w, "one", KEY_A);
	/* As after a restart. */
	assert_int_equal(umount2(at, 0), 0);
	assert_ok(imbrex_clone_mount(w->t, "one", &path, &w->err), w);
	assert_holds(w, "one", KEY_A);
	assert_ok(imbrex_clone_remove(w->t, "one", &w->err), w);
	assert_ok(imbrex_clone_remove(w->t, "two", &w->err), w);
	assert_int_equal(imbrex_clone_remove(w->t, "two", &w->err), IMBREX_ENOENT);
	assert_string_equal(w->err.message, "No such container: two");
	assert_int_equal(access(path, F_OK), -1);
}

/* zfs.md section 3, steps 2 to 7, and section 4: written down there, compared here. */
static void the_operations_are_those_of_the_fork(void **state)
{
	struct world *w = *state;

	reopen(w, ZFS_ROAD_COMMAND);
	assert_int_equal(install(w, KEY_A), 0);
	assert_ok(imbrex_clone_create(w->t, KEY_A, "one", false, &w->err), w);
	assert_ok(imbrex_clone_remove(w->t, "one", &w->err), w);
	assert_int_equal(install(w, KEY_A), 1);
	assert_string_equal(str_text(&w->words),
		"create -u STORE/.templates\n"
		"create -o imbrex:lease=N -u STORE/.templates/" KEY_A ".tmp\n"
		"rename STORE/.templates/" KEY_A ".tmp STORE/.templates/" KEY_A "\n"
		"snapshot STORE/.templates/" KEY_A "@pristine\n"
		"set readonly=on STORE/.templates/" KEY_A "\n"
		"set enroot:imported=N STORE/.templates/" KEY_A "\n"
		"set enroot:last_used=N STORE/.templates/" KEY_A "\n"
		"clone -o canmount=noauto STORE/.templates/" KEY_A "@pristine STORE/one\n"
		"destroy STORE/one\n"
		"set enroot:last_used=N STORE/.templates/" KEY_A "\n");
}

/* 1 if the child was killed, 0 if it came to its end. */
static int die_before(struct world *w, int operation, int (*what)(struct world *w))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		w->die_at = operation;
		w->calls = 0;
		_exit(what(w) < 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status)) {
		assert_int_equal(WEXITSTATUS(status), 0);
		return 0;
	}
	assert_int_equal(WTERMSIG(status), SIGKILL);
	return 1;
}

static int install_a(struct world *w)
{
	return install(w, KEY_A);
}

static int drop_a(struct world *w)
{
	w->warm_sec = 0;
	w->t->templates.warm_sec = 0;
	return template_sweep(w->t, EVICT_DUE, &w->err);
}

/* "the next command recovers at once": no second look at what is in the way, so no waiting. */
static void killed_at_every_step_the_next_one_recovers(void **state)
{
	struct world *w = *state;
	int step, r;

	for (step = 1; step < 30; step++) {
		int died = die_before(w, step, install_a);

		reopen(w, ZFS_ROAD_ANY);
		r = install(w, KEY_A);
		assert_ok(r, w);
		assert_int_equal(r, w->fills ? 0 : 1);
		assert_ok(imbrex_clone_create(w->t, KEY_A, "c", false, &w->err), w);
		assert_holds(w, "c", KEY_A);
		assert_ok(imbrex_clone_remove(w->t, "c", &w->err), w);
		/* The same of those that go. */
		(void)die_before(w, step, drop_a);
		r = install(w, KEY_A);
		assert_ok(r, w);
		assert_ok(drop_a(w), w);
		assert_int_equal(
			imbrex_clone_create(w->t, KEY_A, "c", false, &w->err), IMBREX_ENOENT);
		w->t->templates.warm_sec = w->warm_sec = UINT64_MAX;
		if (!died)
			break;
	}
	assert_in_range(step, 5, 28);
}

/* ---- an image ---------------------------------------------------------------------------- */

#define N_LAYERS 2

struct layout {
	char dir[64];
	int blobs;
};

static void put(struct layout *l, const void *data, size_t len, char ret[HASH_HEX_MAX])
{
	struct imbrex_error err = { 0 };
	struct hash_value hash;

	assert_int_equal(hash_bytes(HASH_SHA256, data, len, &hash), 0);
	(void)hash_hex(&hash, ret);
	assert_int_equal(write_file_at(l->blobs, ret, 0644, data, len, &err), 0);
}

/* Of layers with the files "a" and "b". */
static void layout_make(struct layout *l)
{
	static const char letters[N_LAYERS + 1] = "ab";
	char layers[N_LAYERS][HASH_HEX_MAX], config[HASH_HEX_MAX], manifest[HASH_HEX_MAX];
	AUTO_STR text = STR_INIT(65536);
	AUTO_CLOSE int dir = -EBADF;
	struct imbrex_error err = { 0 };
	size_t i, config_len;

	(void)snprintf(l->dir, sizeof(l->dir), "/tmp/imbrex-layout-XXXXXX");
	assert_non_null(mkdtemp(l->dir));
	dir = open(l->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(dir >= 0);
	assert_int_equal(mkdirs_beneath(dir, "blobs/sha256", 0755, NULL, &err), 0);
	l->blobs = openat(dir, "blobs/sha256", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(l->blobs >= 0);
	for (i = 0; i < N_LAYERS; i++) {
		char tar[ONE_FILE_TAR_BYTES(16)] = { 0 };

		put(l, tar, one_file_tar(tar, letters[i], 16), layers[i]);
	}
	assert_int_equal(str_printf(&text,
				 "{\"architecture\":\"amd64\",\"os\":\"linux\",\"rootfs\":{"
				 "\"type\":\"layers\",\"diff_ids\":[\"sha256:%s\",\"sha256:%s\"]}}",
				 layers[0], layers[1]),
		0);
	config_len = text.len;
	put(l, text.data, text.len, config);
	str_clear(&text);
	assert_int_equal(str_printf(&text,
				 "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"application/"
				 "vnd.oci.image.config.v1+json\",\"digest\":\"sha256:%s\","
				 "\"size\":%zu},\"layers\":[",
				 config, config_len),
		0);
	for (i = 0; i < N_LAYERS; i++)
		assert_int_equal(str_printf(&text,
					 "%s{\"mediaType\":\"application/vnd.oci.image.layer.v1."
					 "tar\",\"digest\":\"sha256:%s\",\"size\":%u}",
					 i ? "," : "", layers[i], ONE_FILE_TAR_BYTES(16)),
			0);
	assert_int_equal(str_puts(&text, "]}"), 0);
	put(l, text.data, text.len, manifest);
	config_len = text.len;
	str_clear(&text);
	assert_int_equal(
		str_printf(&text,
			"{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"application/"
			"vnd.oci.image.manifest.v1+json\",\"digest\":\"sha256:%s\",\"size\":%zu}]}",
			manifest, config_len),
		0);
	assert_int_equal(write_file_at(dir, "index.json", 0644, text.data, text.len, &err), 0);
	str_clear(&text);
	assert_int_equal(str_puts(&text, "{\"imageLayoutVersion\":\"1.0.0\"}"), 0);
	assert_int_equal(write_file_at(dir, "oci-layout", 0644, text.data, text.len, &err), 0);
}

static void layout_done(struct layout *l)
{
	struct imbrex_error err;

	(void)close(l->blobs);
	(void)!remove_tree_at(AT_FDCWD, l->dir, &err);
}

static struct layout layout;

static int import(struct world *w)
{
	const struct imbrex_rootfs_opts opts = { .platform = "linux/amd64", .provenance = "test" };
	struct imbrex_template_facts facts;
	AUTO_FREE char *source = format_text("oci:%s", layout.dir);
	int r;

	w->t->layer_chain = !w->flat;
	r = imbrex_template_import(w->t, source, &opts, NULL, &facts, &w->err);
	if (r == 0 && w->die_at == 0)
		assert_ok(imbrex_clone_create(w->t, facts.key, "c", false, &w->err), w);
	if (r == 0)
		(void)snprintf(w->key, sizeof(w->key), "%s", facts.key);
	imbrex_template_facts_done(&facts);
	return r;
}

static int count_child(void *ctx, const struct zfs_child *c, struct imbrex_error *err)
{
	(*(size_t *)ctx)++;
	return 0;
}

static size_t count(struct world *w, const struct zfs_name *parent)
{
	size_t n = 0;

	assert_ok(zfs_children(w->t->z, parent, NULL, count_child, &n, &w->err), w);
	return n;
}

/* Without the flag: the operations of the fork's flat path, and no other dataset. */
static void an_image_without_the_flag_is_one_template(void **state)
{
	static const struct imbrex_template_origin origin = { "docker://r.example/a:1",
		"sha256:" KEY_A, "amd64" };
	struct world *w = *state;
	AUTO_STR want = STR_INIT(65536);
	const char *k = w->key;

	layout_make(&layout);
	reopen(w, ZFS_ROAD_COMMAND);
	w->flat = true;
	assert_ok(import(w), w);
	imbrex_template_describe(w->t, k, &origin);
	assert_ok(imbrex_clone_remove(w->t, "c", &w->err), w);
	assert_int_equal(str_printf(&want,
				 "create -u STORE/.templates\n"
				 "create -o imbrex:lease=N -u STORE/.templates/%s.tmp\n"
				 "rename STORE/.templates/%s.tmp STORE/.templates/%s\n"
				 "snapshot STORE/.templates/%s@pristine\n"
				 "set readonly=on STORE/.templates/%s\n"
				 "set enroot:imported=N STORE/.templates/%s\n"
				 "set enroot:last_used=N STORE/.templates/%s\n"
				 "clone -o canmount=noauto STORE/.templates/%s@pristine STORE/c\n"
				 "set enroot:uri=docker://r.example/a:1 STORE/.templates/%s\n"
				 "set enroot:manifest-digest=sha256:" KEY_A " STORE/.templates/%s\n"
				 "set enroot:arch=amd64 STORE/.templates/%s\n"
				 "destroy STORE/c\n",
				 k, k, k, k, k, k, k, k, k, k, k),
		0);
	assert_string_equal(str_text(&w->words), str_text(&want));
	assert_int_equal(zfs_exists(w->t->z, &w->t->layers.parent, &w->err), 0);
	layout_done(&layout);
}

static void chains_are_whole_whenever_their_maker_dies(void **state)
{
	struct world *w = *state;
	int step, died = 1;

	layout_make(&layout);
	for (step = 1; died && step < 40; step++) {
		/* It does not know any more what was there. */
		reopen(w, ZFS_ROAD_ANY);
		w->skeleton = true;
		died = die_before(w, step, import);
		reopen(w, ZFS_ROAD_ANY);
		assert_ok(import(w), w);
		assert_int_equal(access_file(w, "c/a"), 0);
		assert_int_equal(access_file(w, "c/b"), 0);
		assert_int_equal(access_file(w, "c/etc/rc"), 0);
		assert_ok(imbrex_clone_remove(w->t, "c", &w->err), w);
		/* Nothing of the dead one is left: the layers, one template. */
		assert_int_equal(count(w, &w->t->layers.parent), N_LAYERS);
		assert_int_equal(count(w, &w->t->templates.parent), 1);
		if (died) {
			assert_ok(template_destroy(w->t, &w->t->templates.parent, &w->err), w);
			assert_ok(template_destroy(w->t, &w->t->layers.parent, &w->err), w);
		}
	}
	assert_ok(template_sweep(w->t, EVICT_ALL, &w->err), w);
	assert_int_equal(count(w, &w->t->layers.parent), 0);
	assert_int_equal(count(w, &w->t->templates.parent), 0);
	assert_in_range(step, 10, 38);
	layout_done(&layout);
}

static void layers_outlive_their_template_and_go_when_nothing_stands_on_them(void **state)
{
	struct world *w = *state;

	layout_make(&layout);
	assert_ok(import(w), w);
	assert_ok(imbrex_clone_remove(w->t, "c", &w->err), w);
	/* The template alone: its layers stay, and serve. */
	w->t->templates.warm_sec = 0;
	assert_ok(template_sweep(w->t, EVICT_DUE, &w->err), w);
	assert_int_equal(count(w, &w->t->templates.parent), 0);
	assert_int_equal(count(w, &w->t->layers.parent), N_LAYERS);
	str_clear(&w->notes);
	assert_ok(import(w), w);
	assert_null(strstr(str_text(&w->notes), "Building"));
	/* What a template stands on stays whatever its age. */
	w->t->layers.warm_sec = 0;
	w->t->templates.warm_sec = UINT64_MAX;
	assert_ok(template_sweep(w->t, EVICT_DUE, &w->err), w);
	assert_int_equal(count(w, &w->t->layers.parent), N_LAYERS);
	assert_ok(imbrex_clone_remove(w->t, "c", &w->err), w);
	w->t->templates.warm_sec = 0;
	assert_ok(template_sweep(w->t, EVICT_DUE, &w->err), w);
	assert_int_equal(count(w, &w->t->layers.parent), 0);
	layout_done(&layout);
}

static void two_makers_fill_once(void **state)
{
	struct world *w = *state;
	int status;
	pid_t pid;

	assert_ok(template_prepare(w->t, &w->t->templates, &w->err), w);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(install(w, KEY_A) < 0 ? 2 : w->fills);
	assert_ok(install(w, KEY_A), w);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status) + w->fills, 1);
}

static void used_at(struct world *w, const char *key, const char *sec)
{
	struct zfs_name name;

	assert_ok(template_name(&w->t->templates, key, &name, &w->err), w);
	template_set(w->t, &name, TEMPLATE_USED_PROPERTY, sec);
}

static int has(struct world *w, const char *key)
{
	return template_has(w->t, &w->t->templates, key, &w->err);
}

static void the_oldest_goes_first_and_no_more_than_must(void **state)
{
	struct world *w = *state;
	const struct zfs_property quota = { "quota", "40M" };
	static char block[1 << 20];
	AUTO_CLOSE int fd = -EBADF;
	size_t i;

	assert_ok(install(w, KEY_A), w);
	assert_ok(install(w, KEY_B), w);
	assert_ok(install(w, KEY_C), w);
	used_at(w, KEY_A, "3000");
	used_at(w, KEY_B, "1000");
	used_at(w, KEY_C, "2000");
	/* For ever. */
	assert_ok(template_sweep(w->t, EVICT_DUE, &w->err), w);
	assert_int_equal(has(w, KEY_A) + has(w, KEY_B) + has(w, KEY_C), 3);
	/* Pressure: 33 of 40 MiB lie in B, the oldest; when it is gone the others may stay. */
	assert_ok(zfs_set(w->t->z, &w->t->templates.parent, &quota, &w->err), w);
	{
		struct template_view v = TEMPLATE_VIEW_INIT;
		const struct zfs_property writable = { "readonly", "off" };
		struct zfs_name name;

		assert_ok(template_name(&w->t->templates, KEY_B, &name, &w->err), w);
		assert_ok(zfs_set(w->t->z, &name, &writable, &w->err), w);
		assert_ok(template_view_open(w->t, &name, &v, &w->err), w);
		fd = openat(v.fd, "ballast", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
		assert_true(fd >= 0);
		for (i = 0; i < 33; i++) {
			assert_int_equal(random_bytes(block, sizeof(block)), 0);
			assert_int_equal(write(fd, block, sizeof(block)), sizeof(block));
		}
		assert_int_equal(fsync(fd), 0);
		fd = close_fd(fd);
		assert_ok(template_view_close(w->t, &v, &w->err), w);
	}
	str_clear(&w->notes);
	assert_ok(template_sweep(w->t, EVICT_DUE, &w->err), w);
	assert_int_equal(has(w, KEY_B), 0);
	assert_int_equal(has(w, KEY_A) + has(w, KEY_C), 2);
	assert_non_null(strstr(str_text(&w->notes), "I Evicting template " KEY_B " (age "));
	/* What has clones stays, whatever its age and however full it is. */
	assert_ok(imbrex_clone_create(w->t, KEY_C, "c", false, &w->err), w);
	assert_ok(template_sweep(w->t, EVICT_ALL, &w->err), w);
	assert_int_equal(has(w, KEY_A), 0);
	assert_int_equal(has(w, KEY_C), 1);
	assert_ok(imbrex_clone_remove(w->t, "c", &w->err), w);
	/* Cold. */
	w->t->templates.warm_sec = 60;
	assert_ok(install(w, KEY_A), w);
	assert_ok(template_sweep(w->t, EVICT_DUE, &w->err), w);
	assert_int_equal(has(w, KEY_A), 1);
	assert_int_equal(has(w, KEY_C), 0);
}

static int full(struct imbrex_error *err)
{
	return fail(err, IMBREX_ENOSPC, "disk full");
}

static int fill_if_room(void *ctx, struct template_work *work, struct imbrex_error *err)
{
	struct world *w = ctx;

	if (has(w, KEY_A)) {
		w->fills++;
		return full(err);
	}
	return fill(ctx, work, err);
}

static int never_room(void *ctx, struct template_work *work, struct imbrex_error *err)
{
	struct world *w = ctx;

	w->fills++;
	return full(err);
}

static int broken(void *ctx, struct template_work *work, struct imbrex_error *err)
{
	struct world *w = ctx;

	w->fills++;
	return fail(err, IMBREX_EFORMAT, "no such thing");
}

static void only_out_of_space_is_tried_again(void **state)
{
	struct world *w = *state;
	struct template_fill f = { .fn = fill_if_room, .ctx = w, .what = "A test" };

	assert_ok(install(w, KEY_A), w);
	w->fills = 0;
	assert_ok(template_install(w->t, &w->t->templates, KEY_B, &f, &w->err), w);
	assert_int_equal(w->fills, 2);
	assert_int_equal(has(w, KEY_A), 0);
	assert_non_null(strstr(str_text(&w->notes),
		"W A test failed (disk full); evicting all warm templates and retrying"));
	w->fills = 0;
	f.fn = never_room;
	assert_int_equal(
		template_install(w->t, &w->t->templates, KEY_C, &f, &w->err), IMBREX_ENOSPC);
	assert_int_equal(w->fills, 2);
	w->fills = 0;
	f.fn = broken;
	assert_int_equal(
		template_install(w->t, &w->t->templates, KEY_C, &f, &w->err), IMBREX_EFORMAT);
	assert_int_equal(w->fills, 1);
	assert_string_equal(w->err.message, "no such thing");
	assert_int_equal(has(w, KEY_C), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest group[] = {
		TEST(a_template_is_made_once_and_cloned),
		TEST(the_operations_are_those_of_the_fork),
		TEST(killed_at_every_step_the_next_one_recovers),
		TEST(an_image_without_the_flag_is_one_template),
		TEST(chains_are_whole_whenever_their_maker_dies),
		TEST(layers_outlive_their_template_and_go_when_nothing_stands_on_them),
		TEST(two_makers_fill_once),
		TEST(the_oldest_goes_first_and_no_more_than_must),
		TEST(only_out_of_space_is_tried_again),
	};

	if (!getenv("IMBREX_ZFS") || !getenv("IMBREX_ZFS_ROOT") || access("/dev/zfs", F_OK) != 0) {
		print_message("skipped: no ZFS dataset is given (tests/vm/onzfs)\n");
		return 77;
	}
	return cmocka_run_group_tests(group, NULL, NULL);
}
