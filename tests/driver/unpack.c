/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unpack [-o OPTION]... [-m MAP]... [-c | -s] DRIVER DIR TAR...: stage each tar as a layer on the
 * one before, in DIR/g, and print the seconds each took. For the comparison with other programs,
 * and to measure: nothing is verified or recorded.
 *
 * -o  an option of the driver
 * -m  INSIDE:OUTSIDE:COUNT, for uids and gids: ids in the tars are inside of these
 * -c  instead: layers lie as they are, and on top of them comes "mapped", whose owners change
 * -s  instead: layers lie as they are, and "top", a layer above them, is shown through the maps
 *     until the standard input ends; prints where
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/strv.h"
#include "driver/driver.h"
#include "format/tar/reader.h"
#include "os/clock.h"
#include "os/fd.h"

struct wish {
	struct strv options;
	struct imbrex_id_map map[8];
	size_t n_map;
	bool copy;
	bool show;
};

struct place {
	char graphroot[512];
	char runroot[512];
	struct driver *d;
	struct tempdir *temp;
};

static int open_place(const char *driver, const char *dir, const struct wish *wish, struct place *p,
	struct imbrex_error *err)
{
	struct driver_config config = {
		.graphroot = p->graphroot, .runroot = p->runroot, .options = &wish->options
	};
	AUTO_CLOSE int graph = -EBADF;
	char temp_root[64];
	int r;

	(void)snprintf(p->graphroot, sizeof(p->graphroot), "%s/g", dir);
	(void)snprintf(p->runroot, sizeof(p->runroot), "%s/r", dir);
	r = mkdirs_at(AT_FDCWD, p->graphroot, 0700, err);
	if (r == 0)
		r = mkdirs_at(AT_FDCWD, p->runroot, 0700, err);
	if (r == 0)
		r = driver_open(driver, NULL, &config, &p->d, err);
	if (r < 0)
		return r;
	driver_temp_root(p->d, temp_root, sizeof(temp_root));
	graph = open_dir_at(AT_FDCWD, p->graphroot, err);
	return graph < 0 ? graph : tempdir_new(graph, temp_root, &p->temp, err);
}

static int feed(const char *file, struct sink *sink, struct imbrex_error *err)
{
	static char buf[1024 * 1024];
	AUTO_CLOSE int fd = open(file, O_RDONLY | O_CLOEXEC);
	ssize_t n;
	int r;

	if (fd < 0)
		return fail_errno(err, "open '%s'", file);
	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		r = sink_write(sink, buf, (size_t)n, err);
		if (r < 0)
			return r;
	}
	return n < 0 ? fail_errno(err, "read '%s'", file) : sink_finish(sink, err);
}

static int unpack(struct place *p, const char *file, const char *id, const char *parent_id,
	const struct id_maps *maps, struct imbrex_error *err)
{
	const struct driver_layer_opts opts = { .image = true, .maps = maps };
	const struct driver_parent parent = { .id = parent_id };
	AUTO_ENTRY_SINK struct entry_sink *entries = NULL;
	AUTO_STAGE struct driver_stage *stage = NULL;
	AUTO_SINK struct sink *sink = NULL;
	int r;

	r = p->d->ops->stage_new(p->d, p->temp, &parent, &opts, &stage, err);
	if (r == 0)
		r = p->d->ops->stage_entries(stage, &entries, err);
	if (r == 0)
		r = tar_reader_new(entries, NULL, &sink, err);
	if (r < 0)
		return r;
	(void)take_ptr(entries);
	r = feed(file, sink, err);
	if (r == 0)
		r = p->d->ops->stage_seal(stage, &parent, false, err);
	if (r == 0)
		r = p->d->ops->stage_publish(stage, id, err);
	return r;
}

/* A layer without content of its own; with owners of `maps` if they are given. */
static int add_layer(struct place *p, const char *id, const char *parent_id,
	const struct id_maps *maps, struct imbrex_error *err)
{
	const struct driver_layer_opts opts = { .maps = maps };
	const struct driver_parent parent = { .id = parent_id };
	AUTO_STAGE struct driver_stage *stage = NULL;
	int r;

	r = p->d->ops->stage_new(p->d, p->temp, &parent, &opts, &stage, err);
	if (r == 0)
		r = p->d->ops->stage_seal(stage, &parent, false, err);
	if (r == 0 && maps)
		r = p->d->ops->stage_map(stage, NULL, maps, err);
	return r < 0 ? r : p->d->ops->stage_publish(stage, id, err);
}

static int show(struct place *p, const char *parent_id, const struct id_maps *maps,
	struct imbrex_error *err)
{
	const struct driver_mount_opts opts = { .maps = maps };
	AUTO_FREE char *path = NULL;
	int r;

	r = add_layer(p, "top", parent_id, NULL, err);
	if (r == 0)
		r = p->d->ops->mount(p->d, "top", &opts, &path, err);
	if (r < 0)
		return r;
	(void)printf("%s\n", path);
	(void)fflush(stdout);
	while (getchar() != EOF)
		;
	return p->d->ops->unmount(p->d, "top", err);
}

static int parse(int argc, char **argv, struct wish *w)
{
	struct imbrex_id_map *m;
	int c;

	while ((c = getopt(argc, argv, "o:m:cs")) >= 0) {
		m = &w->map[w->n_map];
		if (c == 'o' && strv_add(&w->options, optarg) < 0)
			return -1;
		if (c == 'm' &&
			(w->n_map == ARRAY_LEN(w->map) || sscanf(optarg, "%u:%u:%u", &m->inside,
								  &m->outside, &m->count) != 3))
			return -1;
		if (c == '?')
			return -1;
		w->n_map += c == 'm';
		w->copy |= c == 'c';
		w->show |= c == 's';
	}
	return argc - optind < 3 ? -1 : optind;
}

int main(int argc, char **argv)
{
	struct imbrex_error err = { 0 };
	struct place p = { .d = NULL };
	struct wish wish = { .n_map = 0 };
	struct id_maps all = { wish.map, 0, wish.map, 0 };
	char id[32], parent[32] = "";
	int first = parse(argc, argv, &wish);
	int i, r;

	if (first < 0)
		return 2;
	all.n_uids = all.n_gids = wish.n_map;
	r = open_place(argv[first], argv[first + 1], &wish, &p, &err);
	for (i = first + 2; r == 0 && i < argc; i++) {
		uint64_t start = now_monotonic_ns();

		(void)snprintf(id, sizeof(id), "layer%d", i - first - 1);
		r = unpack(&p, argv[i], id, *parent ? parent : NULL,
			wish.copy || wish.show ? NULL : &all, &err);
		(void)snprintf(parent, sizeof(parent), "%s", id);
		if (r == 0 && !wish.show)
			(void)printf("%.3f %s %s\n", (double)(now_monotonic_ns() - start) / 1e9, id,
				argv[i]);
	}
	if (r == 0 && wish.copy)
		r = add_layer(&p, "mapped", parent, &all, &err);
	if (r == 0 && wish.show)
		r = show(&p, parent, &all, &err);
	if (r < 0)
		(void)fprintf(stderr, "%s\n", err.message);
	tempdir_free(p.temp);
	driver_close(p.d);
	strv_done(&wish.options);
	return r < 0;
}
