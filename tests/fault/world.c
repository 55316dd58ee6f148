/* SPDX-License-Identifier: Apache-2.0 */
/* Surroundings of the fault tests; see the header. */
#include "world.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/str.h"
#include "os/beneath.h"
#include "os/lock.h"
#include "os/subvolume.h"
#include "seam.h"

#define PROBLEMS_MAX 20
/* More than any layer may be young. */
#define TWO_DAYS_SEC (48 * 60 * 60)

static char where[256];
static unsigned int n_problems;

void skip(const char *reason)
{
	printf("SKIP: %s\n", reason);
	exit(77);
}

void context(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(where, sizeof(where), format, ap);
	va_end(ap);
}

void problem(const char *format, ...)
{
	va_list ap;

	printf("PROBLEM %s: ", where);
	va_start(ap, format);
	(void)vprintf(format, ap);
	va_end(ap);
	printf("\n");
	(void)fflush(stdout);
	if (++n_problems >= PROBLEMS_MAX) {
		printf("more are not looked for\n");
		exit(1);
	}
}

unsigned int problems(void)
{
	return n_problems;
}

static void broken(const char *what, const char *name)
{
	(void)fprintf(
		stderr, "the test itself cannot go on: %s '%s': %s\n", what, name, strerror(errno));
	exit(99);
}

extern char **environ;

static void spawn(const char *const argv[])
{
	pid_t pid;
	int status = 0;

	errno = posix_spawnp(&pid, argv[0], NULL, NULL, (char *const *)(uintptr_t)argv, environ);
	if (errno || waitpid(pid, &status, 0) != pid)
		broken("start", argv[0]);
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		broken("it failed", argv[0]);
}

/* ---- places ---------------------------------------------------------------------------- */

#define N_RING 8

static char *ring(void)
{
	static char buffers[N_RING][PATH_MAX];
	static unsigned int next;

	return buffers[next++ % N_RING];
}

const char *world_path(const struct world *w, const char *name)
{
	char *path = ring();

	(void)snprintf(path, PATH_MAX, "%s/%s", w->dir, name);
	return path;
}

const char *world_source(const struct world *w, const char *tag)
{
	char *text = ring();

	(void)snprintf(text, PATH_MAX, "oci:%s/layouts:%s", w->dir, tag);
	return text;
}

/* Mounts below a path, the last first. */
static void unmount_below(const char *path)
{
	AUTO_STRV points = { 0 };
	char line[PATH_MAX * 2];
	char point[PATH_MAX];
	FILE *f = fopen("/proc/self/mountinfo", "re");

	if (!f)
		broken("open", "/proc/self/mountinfo");
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%*s %*s %*s %*s %4095s", point) == 1 &&
			strncmp(point, path, strlen(path)) == 0 && strv_add(&points, point) < 0)
			broken("remember", point);
	}
	(void)fclose(f);
	while (points.n) {
		(void)umount2(points.items[points.n - 1], MNT_DETACH);
		strv_remove(&points, points.n - 1);
	}
}

/* Subvolumes are other file systems to rm, and take it long. */
static void remove_below(const char *path)
{
	int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct imbrex_error err = { 0 };

	unmount_below(path);
	if (remove_tree_at(root, path + 1, &err) < 0)
		broken(err.message, path);
	(void)close(root);
}

void world_remove(const struct world *w, const char *name)
{
	remove_below(world_path(w, name));
}

const char *world_home(const struct world *w)
{
	return strcmp(w->driver, "vfs") == 0     ? "vfs/dir"
	       : strcmp(w->driver, "btrfs") == 0 ? "btrfs/subvolumes"
						 : "overlay";
}

/* What has been copied file by file becomes what it was: subvolumes. */
static void copy_subvolumes(const struct world *w, const char *from, const char *to)
{
	char path[PATH_MAX];
	const struct dirent *e;
	DIR *old;
	int new;

	(void)snprintf(path, sizeof(path), "%s/root/btrfs/subvolumes", world_path(w, to));
	new = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	(void)snprintf(path, sizeof(path), "%s/root/btrfs/subvolumes", world_path(w, from));
	old = opendir(path);
	while (old && new >= 0 && (e = readdir(old))) {
		int fd = openat(dirfd(old), e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (e->d_name[0] != '.' && subvolume_is(fd) &&
			(remove_tree_at(new, e->d_name, NULL) < 0 ||
				subvolume_snapshot(new, e->d_name, fd) < 0))
			broken("snapshot", e->d_name);
		(void)close(fd);
	}
	if (old)
		(void)closedir(old);
	(void)close(new);
}

void world_copy(const struct world *w, const char *from, const char *to)
{
	world_remove(w, to);
	spawn((const char *const[]){
		"cp", "-a", "--", world_path(w, from), world_path(w, to), NULL });
	if (strcmp(w->driver, "btrfs") == 0)
		copy_subvolumes(w, from, to);
}

static unsigned int stride_of(const char *mode_default)
{
	const char *text = getenv("IMBREX_FAULT_STRIDE");
	long n = strtol(text ? text : mode_default, NULL, 10);

	return n > 0 && n < 10000 ? (unsigned int)n : 1;
}

/* The world of this process, which is the one that removes it. */
static struct world ours;
static pid_t owner;

static void world_free(void)
{
	if (getpid() != owner)
		return;
	remove_below(ours.dir);
}

void world_new(struct world *w, const char *driver, const char *python, const char *script)
{
	const char *tmp = getenv("TMPDIR");
	const char *full = getenv("IMBREX_FAULT_FULL");
	FILE *f;

	if (geteuid() != 0)
		skip("whiteouts and mounts need root");
	*w = (struct world){ .driver = driver };
	w->full = full && strcmp(full, "0") != 0;
	w->stride = w->full ? 1 : stride_of("3");
	(void)snprintf(w->dir, sizeof(w->dir), "%s/imbrex-fault.XXXXXX",
		tmp && strlen(tmp) < 40 ? tmp : "/tmp");
	if (!mkdtemp(w->dir))
		broken("make", w->dir);
	ours = *w;
	owner = getpid();
	(void)atexit(world_free);
	/* Nobody else sees our mounts, and all of them end with us. */
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
		skip("no mount namespace of its own");
	}
	spawn((const char *const[]){ python, "-B", script, world_path(w, "layouts"), NULL });
	f = fopen(world_path(w, "storage.conf"), "we");
	if (!f || fprintf(f, "[storage]\ndriver = \"%s\"\n", driver) < 0 || fclose(f) != 0)
		broken("write", "storage.conf");
}

int store_open_in(const struct world *w, const char *name, struct imbrex_store **ret,
	struct imbrex_error *err)
{
	char graphroot[PATH_MAX];
	char runroot[PATH_MAX];
	const struct imbrex_store_opts opts = { .graphroot = graphroot,
		.runroot = runroot,
		.driver = w->driver,
		.config_file = world_path(w, "storage.conf") };

	(void)snprintf(graphroot, sizeof(graphroot), "%s/%s/root", w->dir, name);
	(void)snprintf(runroot, sizeof(runroot), "%s/%s/run", w->dir, name);
	return imbrex_store_open(&opts, ret, err);
}

struct imbrex_store *store_reopen(const struct world *w, const char *name)
{
	struct imbrex_error err = { 0 };
	struct imbrex_store *s = NULL;

	if (store_open_in(w, name, &s, &err) == 0)
		return s;
	problem("the store does not open: %s", err.message);
	return NULL;
}

/* ---- states ---------------------------------------------------------------------------- */

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void names_into(struct str *to, char *const *names)
{
	for (; *names; names++)
		if (str_printf(to, " %s", *names) < 0)
			broken("remember", *names);
}

/* " with TEXT, KEY=BYTES:DIGEST …" as far as there is any. */
static void kept_into(struct imbrex_store *s, enum imbrex_kind kind, const char *id, struct str *to)
{
	struct imbrex_error err = { 0 };
	AUTO_FREE char *text = NULL;
	char **keys = NULL;
	size_t i;
	int r;

	r = imbrex_metadata_get(s, id, kind, &text, &err);
	/* What imbrex writes itself names ids that are random. */
	if (r == 0 && *text && *text != '{')
		r = str_printf(to, ", metadata %s", text);
	if (r == 0)
		r = imbrex_data_list(s, kind, id, &keys, &err);
	for (i = 0; r == 0 && keys[i]; i++) {
		AUTO_FREE char *digest = NULL;
		int64_t size = -1;

		if (kind == IMBREX_KIND_LAYER) {
			r = str_printf(to, ", document %s", keys[i]);
			continue;
		}
		r = imbrex_data_size(s, kind, id, keys[i], &size, &err);
		if (r == 0)
			r = imbrex_data_digest(s, kind, id, keys[i], &digest, &err);
		if (r == 0)
			r = str_printf(
				to, ", document %s=%lld:%.19s", keys[i], (long long)size, digest);
	}
	imbrex_strings_free(keys);
	if (r < 0)
		problem("what %s keeps cannot be told: %s", id, err.message);
}

static void add_images(struct imbrex_store *s, struct strv *to, struct imbrex_error *err)
{
	struct imbrex_image *images;
	size_t n, i;

	if (imbrex_images_list(s, &images, &n, err) < 0) {
		problem("images cannot be listed: %s", err->message);
		return;
	}
	for (i = 0; i < n; i++) {
		AUTO_STR names = STR_INIT(4096);
		AUTO_STR kept = STR_INIT(65536);
		size_t copies = 0;

		while (images[i].mapped_layers[copies])
			copies++;
		names_into(&names, images[i].names);
		kept_into(s, IMBREX_KIND_IMAGE, images[i].id, &kept);
		if (strv_addf(to, "image %.12s on %.12s, %zu layers, %zu copies, named%s%s",
			    images[i].id, images[i].layer, images[i].n_layers, copies,
			    str_text(&names), str_text(&kept)) < 0)
			broken("remember", images[i].id);
	}
	imbrex_images_free(images, n);
}

/* Copies under other maps have random ids. */
static const char *parent_name(const struct imbrex_layer *layers, size_t n, const char *parent)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (strcmp(layers[i].id, parent) == 0 && layers[i].n_uid_map)
			return "a copy";
	}
	return parent;
}

static void add_layers(struct imbrex_store *s, struct strv *to, struct imbrex_error *err)
{
	struct imbrex_layer *layers;
	size_t n, i;
	int r = 0;

	if (imbrex_layers_list(s, &layers, &n, err) < 0) {
		problem("layers cannot be listed: %s", err->message);
		return;
	}
	for (i = 0; r == 0 && i < n; i++) {
		const char *parent = parent_name(layers, n, layers[i].parent);
		AUTO_STR about = STR_INIT(65536);

		names_into(&about, layers[i].names);
		kept_into(s, IMBREX_KIND_LAYER, layers[i].id, &about);
		if (layers[i].incomplete)
			r = strv_addf(to, "incomplete layer %.12s", layers[i].id);
		else if (layers[i].diff_digest[0] && !layers[i].n_uid_map)
			r = strv_addf(to, "layer %.12s on %.12s of %.19s%s",
				*layers[i].names ? "with a name" : layers[i].id, parent,
				layers[i].diff_digest, str_text(&about));
		else
			r = strv_addf(to, "%s layer on %.12s%s",
				layers[i].n_uid_map ? "mapped" : "writable", parent,
				str_text(&about));
	}
	if (r < 0)
		broken("remember", "layers");
	imbrex_layers_free(layers, n);
}

static void add_containers(struct imbrex_store *s, struct strv *to, struct imbrex_error *err)
{
	struct imbrex_container *containers;
	size_t n, i;

	if (imbrex_containers_list(s, &containers, &n, err) < 0) {
		problem("containers cannot be listed: %s", err->message);
		return;
	}
	for (i = 0; i < n; i++) {
		AUTO_STR about = STR_INIT(65536);

		names_into(&about, containers[i].names);
		kept_into(s, IMBREX_KIND_CONTAINER, containers[i].id, &about);
		if (strv_addf(to, "container on %.12s, %s, %zu maps, mounted %d times, named%s",
			    containers[i].image, containers[i].is_volatile ? "volatile" : "stable",
			    containers[i].n_uid_map + containers[i].n_gid_map,
			    containers[i].mount_count, str_text(&about)) < 0)
			broken("remember", containers[i].id);
	}
	imbrex_containers_free(containers, n);
}

struct strv state_of(struct imbrex_store *s)
{
	struct imbrex_error err = { 0 };
	struct strv state = { 0 };

	add_images(s, &state, &err);
	add_layers(s, &state, &err);
	add_containers(s, &state, &err);
	if (state.n)
		qsort(state.items, state.n, sizeof(*state.items), by_text);
	return state;
}

bool state_equal(const struct strv *a, const struct strv *b)
{
	size_t i;

	if (a->n != b->n)
		return false;
	for (i = 0; i < a->n; i++)
		if (strcmp(a->items[i], b->items[i]) != 0)
			return false;
	return true;
}

bool state_between(const struct strv *s, const struct strv *a, const struct strv *b)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		if (strv_find(a, s->items[i]) < 0 && strv_find(b, s->items[i]) < 0)
			return false;
	for (i = 0; i < a->n; i++)
		if (strv_find(b, a->items[i]) >= 0 && strv_find(s, a->items[i]) < 0)
			return false;
	return true;
}

void state_print(const char *title, const struct strv *s)
{
	size_t i;

	printf("  %s:\n", title);
	for (i = 0; i < s->n; i++)
		printf("    %s\n", s->items[i]);
}

/* ---- expectations ---------------------------------------------------------------------- */

static bool is_garbage(const struct imbrex_problem *p)
{
	return p->kind == IMBREX_PROBLEM_LEFTOVER || p->kind == IMBREX_PROBLEM_LAYER_UNACCOUNTED ||
	       p->kind == IMBREX_PROBLEM_LAYER_UNREFERENCED;
}

/* Between the kernel's unmounting and the book of mounts there is always a moment; who mounts next
 * believes a count only where something is mounted. */
static bool is_harmless(const struct imbrex_problem *p)
{
	return p->kind == IMBREX_PROBLEM_MOUNTS;
}

void expect_clean(struct imbrex_store *s, bool garbage_is_fine)
{
	struct imbrex_error err = { 0 };
	struct imbrex_problem *found;
	size_t n, i;

	if (imbrex_check(s, NULL, &found, &n, &err) < 0) {
		problem("check fails: %s", err.message);
		return;
	}
	for (i = 0; i < n; i++)
		if (!is_harmless(&found[i]) && (!garbage_is_fine || !is_garbage(&found[i])))
			problem("check: %s: %s", found[i].object, found[i].text);
	imbrex_problems_free(found, n);
}

unsigned int count_names(const char *dir, const char *prefix)
{
	const struct dirent *e;
	unsigned int n = 0;
	DIR *d = opendir(dir);

	while (d && (e = readdir(d)))
		n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
		     strncmp(e->d_name, prefix, strlen(prefix)) == 0;
	if (d)
		(void)closedir(d);
	return n;
}

static void expect_count(const char *dir, const char *prefix, unsigned int want)
{
	unsigned int n = count_names(dir, prefix);

	if (n != want)
		problem("%s has %u names '%s*' after gc, not %u", dir, n, prefix, want);
}

/* Names that lie where layers lie and are no layer: "l", markers of the driver. */
static unsigned int count_layer_dirs(const char *dir)
{
	const struct dirent *e;
	unsigned int n = 0;
	DIR *d = opendir(dir);

	while (d && (e = readdir(d)))
		n += strlen(e->d_name) == 64;
	if (d)
		(void)closedir(d);
	return n;
}

static void expect_no_strays(const struct world *w, struct imbrex_store *s, const char *name)
{
	const char *home = world_home(w);
	struct imbrex_error err = { 0 };
	struct imbrex_layer *layers;
	char dir[PATH_MAX];
	size_t n;

	if (imbrex_layers_list(s, &layers, &n, &err) < 0)
		return;
	imbrex_layers_free(layers, n);
	(void)snprintf(dir, sizeof(dir), "%s/%s/root/%s", w->dir, name, home);
	if (count_layer_dirs(dir) != n)
		problem("%s has %u layers after gc, the records %zu", dir, count_layer_dirs(dir),
			n);
	if (strcmp(w->driver, "overlay") == 0) {
		(void)snprintf(dir, sizeof(dir), "%s/%s/root/overlay/l", w->dir, name);
		expect_count(dir, "", (unsigned int)n);
	}
	(void)snprintf(dir, sizeof(dir), "%s/%s/root/%s/tempdirs", w->dir, name, w->driver);
	expect_count(dir, "", 0);
	(void)snprintf(dir, sizeof(dir), "%s/%s/root/%s-layers/tmp", w->dir, name, w->driver);
	expect_count(dir, "", 0);
	(void)snprintf(dir, sizeof(dir), "%s/%s/root/%s-layers", w->dir, name, w->driver);
	expect_count(dir, ".tmp-", 0);
	(void)snprintf(dir, sizeof(dir), "%s/%s/root/%s-images", w->dir, name, w->driver);
	expect_count(dir, ".tmp-", 0);
}

void expect_collectable(const struct world *w, struct imbrex_store *s, const char *name)
{
	struct imbrex_error err = { 0 };
	char **lines;
	int r;

	seam_advance_clock(TWO_DAYS_SEC);
	r = imbrex_gc(s, false, &lines, &err);
	if (r < 0)
		problem("gc fails: %s", err.message);
	else
		imbrex_strings_free(lines);
	if (r == 0) {
		expect_clean(s, false);
		expect_no_strays(w, s, name);
	}
	seam_advance_clock(0);
}

void expect_message(int r, const struct imbrex_error *err)
{
	if (!err->message[0])
		problem("status %d without a message", r);
	if (strchr(err->message, '\n') || strchr(err->hint, '\n'))
		problem("a message of several lines: %s", err->message);
	if (err->status != r)
		problem("status %d, but %d in the error '%s'", r, err->status, err->message);
	if (lock_rank_is_held(LOCK_GRAPH, LOCK_SHARED) ||
		lock_rank_is_held(LOCK_LAYERS, LOCK_SHARED) ||
		lock_rank_is_held(LOCK_IMAGES, LOCK_SHARED) ||
		lock_rank_is_held(LOCK_CONTAINERS, LOCK_SHARED) ||
		lock_rank_is_held(LOCK_MOUNTPOINTS, LOCK_SHARED))
		problem("a lock is left");
}

unsigned int count_fds(void)
{
	return count_names("/proc/self/fd", "");
}
