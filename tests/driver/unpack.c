/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unpack DRIVER DIR TAR...: stage each tar as a layer on the one before, in DIR/g, and print the
 * seconds each took and where its tree lies. For the comparison with other programs, and to
 * measure: nothing is verified or recorded.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "driver/driver.h"
#include "format/tar/reader.h"
#include "os/clock.h"
#include "os/fd.h"

struct place {
	char graphroot[512];
	char runroot[512];
	struct driver *d;
	struct tempdir *temp;
};

static int open_place(
	const char *driver, const char *dir, struct place *p, struct imbrex_error *err)
{
	struct driver_config config = { .graphroot = p->graphroot, .runroot = p->runroot };
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
	struct imbrex_error *err)
{
	const struct driver_parent parent = { .id = parent_id };
	AUTO_ENTRY_SINK struct entry_sink *entries = NULL;
	AUTO_STAGE struct driver_stage *stage = NULL;
	AUTO_SINK struct sink *sink = NULL;
	int r;

	r = p->d->ops->stage_new(p->d, p->temp, &parent, NULL, &stage, err);
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

int main(int argc, char **argv)
{
	struct imbrex_error err = { 0 };
	struct place p = { .d = NULL };
	char id[32], parent[32] = "";
	int i, r;

	if (argc < 4)
		return 2;
	r = open_place(argv[1], argv[2], &p, &err);
	for (i = 3; r == 0 && i < argc; i++) {
		uint64_t start = now_monotonic_ns();

		(void)snprintf(id, sizeof(id), "layer%d", i - 2);
		r = unpack(&p, argv[i], id, *parent ? parent : NULL, &err);
		(void)snprintf(parent, sizeof(parent), "%s", id);
		if (r == 0)
			(void)printf("%.3f %s %s\n", (double)(now_monotonic_ns() - start) / 1e9, id,
				argv[i]);
	}
	if (r < 0)
		(void)fprintf(stderr, "%s\n", err.message);
	tempdir_free(p.temp);
	driver_close(p.d);
	return r < 0;
}
