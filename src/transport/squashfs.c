/* SPDX-License-Identifier: Apache-2.0 */
/* squashfs reader -> names that a layer can hold -> tar writer -> the layer. */
#include "transport/squashfs.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/str.h"
#include "format/squashfs/reader.h"
#include "format/tar/writer.h"
#include "os/fd.h"
#include "transport/borrow.h"
#include "transport/plain.h"

/* Refuses what would be read as a whiteout. */
struct names {
	struct entry_sink sink;
	struct entry_sink *next; /* owned */
};

static int names_begin(struct entry_sink *s, const struct entry *e, struct imbrex_error *err)
{
	struct names *n = CONTAINER_OF(s, struct names, sink);
	const char *slash = strrchr(e->path, '/');

	if (str_after(slash ? slash + 1 : e->path, ".wh."))
		return fail(
			err, IMBREX_EFORMAT, "a layer cannot hold names that begin with '.wh.'");
	return n->next->ops->begin(n->next, e, err);
}

static int names_data(struct entry_sink *s, const void *buf, size_t len, struct imbrex_error *err)
{
	struct names *n = CONTAINER_OF(s, struct names, sink);

	return n->next->ops->data(n->next, buf, len, err);
}

static int names_end(struct entry_sink *s, struct imbrex_error *err)
{
	struct names *n = CONTAINER_OF(s, struct names, sink);

	return n->next->ops->end(n->next, err);
}

static int names_finish(struct entry_sink *s, struct imbrex_error *err)
{
	struct names *n = CONTAINER_OF(s, struct names, sink);

	return n->next->ops->finish(n->next, err);
}

static void names_free(struct entry_sink *s)
{
	struct names *n = CONTAINER_OF(s, struct names, sink);

	entry_sink_free(n->next);
	free(n);
}

static const struct entry_sink_ops names_ops = {
	.begin = names_begin,
	.data = names_data,
	.end = names_end,
	.finish = names_finish,
	.free = names_free,
};

/* next: taken on success. */
static int names_new(struct entry_sink *next, struct entry_sink **ret, struct imbrex_error *err)
{
	struct names *n = calloc(1, sizeof(*n));

	if (!n)
		return fail_nomem(err);
	n->sink.ops = &names_ops;
	n->next = next;
	*ret = &n->sink;
	return 0;
}

static int read_at(void *ctx, void *buf, size_t len, uint64_t offset)
{
	size_t n;
	int r = pread_all(*(int *)ctx, buf, len, offset, &n);

	return r == 0 && n < len ? -ENODATA : r;
}

static int squashfs_push(int fd, struct sink *to, struct imbrex_error *err)
{
	const struct tar_writer_opts opts = { .keep_nsec = true };
	struct squashfs_file file = { .ctx = &fd, .read_at = read_at };
	AUTO_SINK struct sink *end = NULL;
	AUTO_ENTRY_SINK struct entry_sink *writer = NULL;
	AUTO_ENTRY_SINK struct entry_sink *names = NULL;
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return fail_errno(err, "stat");
	file.size_bytes = (uint64_t)st.st_size;
	r = borrow_sink_new(to, &end, err);
	if (r < 0)
		return r;
	r = tar_writer_new(end, &opts, &writer, err);
	if (r < 0)
		return r;
	end = NULL;
	r = names_new(writer, &names, err);
	if (r < 0)
		return r;
	writer = NULL;
	return squashfs_read(&file, /* n_threads= */ 0, names, err);
}

int squashfs_source_open(const char *path, struct source **ret, struct imbrex_error *err)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return fail_errno(err, "open '%s'", path);
	if (!S_ISREG(st.st_mode))
		return fail(err, IMBREX_EFORMAT, "'%s' is no regular file", path);
	r = plain_source_new("squashfs", squashfs_push, fd, path, ret, err);
	if (r == 0)
		(void)take_fd(fd);
	return r;
}
