/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Squashfs images and directories: the tree of the one becomes the other.
 *
 *   directory ─▶ walk ─▶ emit ─▶ writer ─▶ temporary file ─▶ rename
 *   image ─▶ reader ─▶ tidy ─▶ apply ─▶ temporary directory ─▶ rename
 */
#include <fcntl.h>
#include <string.h>

#include "base/str.h"
#include "driver/apply.h"
#include "driver/emit.h"
#include "driver/treewalk.h"
#include "format/squashfs/reader.h"
#include "format/squashfs/writer.h"
#include "image/newdir.h"
#include "image/squashfs.h"
#include "image/tidy.h"
#include "imbrex/rootfs.h"
#include "os/atomic.h"
#include "os/beneath.h"
#include "os/fd.h"
#include "os/pool.h"

/* ---- a file, as the format wants it ---------------------------------------------------- */

static int fd_read_at(void *ctx, void *buf, size_t len, uint64_t offset)
{
	size_t n;
	int r = pread_all(*(int *)ctx, buf, len, offset, &n);

	return r == 0 && n < len ? -ENODATA : r;
}

static int fd_write_at(void *ctx, const void *buf, size_t len, uint64_t offset)
{
	return pwrite_all(*(int *)ctx, buf, len, offset);
}

static int fd_truncate(void *ctx, uint64_t size)
{
	return ftruncate(*(int *)ctx, (off_t)size) < 0 ? -errno : 0;
}

static struct squashfs_file file_of(int *fd, uint64_t size_bytes)
{
	return (struct squashfs_file){
		.ctx = fd,
		.size_bytes = size_bytes,
		.read_at = fd_read_at,
		.write_at = fd_write_at,
		.truncate = fd_truncate,
	};
}

/* ---- writing --------------------------------------------------------------------------- */

struct pack {
	const struct imbrex_squashfs_opts *opts;
	int root;              /* owned */
	struct entry_sink *to; /* owned */
};

static void pack_done(struct pack *p)
{
	entry_sink_free(p->to);
	p->root = close_fd(p->root);
}

/* Does the directory hold anything? Something unreadable does. */
static bool is_empty_dir(const struct tree_item *item)
{
	AUTO_CLOSE int fd =
		openat(item->dirfd, item->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	AUTO_TREE_WALK *w = NULL;
	struct tree_item first;

	/* The owner of a placeholder cannot read it, but nobody could put anything into it. */
	if (fd < 0)
		return errno == EACCES;
	return tree_walk_new(fd, &w, NULL) == 0 && tree_walk_next(w, &first, NULL) == 0;
}

/* What a start of enroot makes where something is mounted: mode 0, with nothing in it. */
static bool is_placeholder(const struct tree_item *item)
{
	if (item->st.st_mode & 07777)
		return false;
	if (S_ISDIR(item->st.st_mode))
		return is_empty_dir(item);
	return S_ISREG(item->st.st_mode) && item->st.st_size == 0;
}

static bool is_left_out(const struct pack *p, const struct tree_item *item)
{
	if (!p->opts->leave_placeholders)
		return false;
	return str_after(item->path, "dev/") || str_eq(item->path, ".enroot") ||
	       str_eq(item->path, ".lock") || is_placeholder(item);
}

static void set_made_time(const struct pack *p, struct stat *st)
{
	if (!p->opts->made_after || !S_ISDIR(st->st_mode) ||
		st->st_mtim.tv_sec < *p->opts->made_after)
		return;
	st->st_mtim.tv_sec = p->opts->made_time_sec;
	st->st_mtim.tv_nsec = 0;
}

static int push_root(struct pack *p, struct imbrex_error *err)
{
	struct entry e = { .path = ".", .type = ENTRY_DIR };
	struct stat st;
	int r;

	if (fstat(p->root, &st) < 0)
		return fail_errno(err, "stat the root");
	set_made_time(p, &st);
	e.mode = st.st_mode & 07777;
	e.uid = st.st_uid;
	e.gid = st.st_gid;
	e.mtime_sec = e.atime_sec = st.st_mtim.tv_sec;
	r = p->to->ops->begin(p->to, &e, err);
	return r < 0 ? r : p->to->ops->end(p->to, err);
}

static int push_tree(struct pack *p, struct imbrex_error *err)
{
	AUTO_TREE_WALK *walk = NULL;
	AUTO_EMITTER *emitter = NULL;
	struct tree_item item;
	int r;

	r = push_root(p, err);
	if (r == 0)
		r = emitter_new(p->to, &(struct emit_opts){ 0 }, &emitter, err);
	if (r == 0)
		r = tree_walk_new(p->root, &walk, err);
	while (r == 0 && (r = tree_walk_next(walk, &item, err)) > 0) {
		if (is_left_out(p, &item)) {
			if (S_ISDIR(item.st.st_mode))
				tree_walk_skip(walk);
			r = 0;
			continue;
		}
		set_made_time(p, &item.st);
		r = emit(emitter, &item, err);
	}
	return r < 0 ? r : p->to->ops->finish(p->to, err);
}

static int set_options(const struct imbrex_squashfs_opts *opts, struct squashfs_options *ret,
	struct imbrex_error *err)
{
	int r;

	squashfs_options_init(ret);
	r = squashfs_options_parse(ret, opts->options, err);
	if (r < 0)
		return r;
	if (!ret->processors)
		ret->processors = opts->processors ? opts->processors : (unsigned int)pool_n_cpus();
	if (opts->all_root)
		ret->all_root = true;
	if (opts->time_sec) {
		if (*opts->time_sec < 0 || *opts->time_sec > UINT32_MAX)
			return fail(err, IMBREX_EINVAL,
				"squashfs: time %lld is outside of 1970 to 2106",
				(long long)*opts->time_sec);
		ret->has_image_time = ret->has_all_time = true;
		ret->image_time_sec = ret->all_time_sec = (uint32_t)*opts->time_sec;
	}
	return 0;
}

/* p->root is open. */
static int pack_into(struct pack *p, const char *dir, int *fd, struct imbrex_error *err)
{
	struct squashfs_file file = file_of(fd, 0);
	struct squashfs_options o;
	int r;

	r = set_options(p->opts, &o, err);
	if (r == 0)
		r = squashfs_writer_new(&file, &o, &p->to, err);
	if (r < 0)
		return r;
	r = push_tree(p, err);
	/* The writer points to `file`. */
	entry_sink_free(take_ptr(p->to));
	return r < 0 && dir ? wrap(err, r, "'%s'", dir) : r;
}

/* What the umask leaves of 0666: as if the caller had made the file. */
static mode_t file_mode(void)
{
	struct str text = STR_INIT(65536);
	const char *line;
	unsigned int mask = 022;

	/* umask(2) cannot be asked without being changed, for all threads. */
	if (read_file_at(AT_FDCWD, "/proc/self/status", 65536, &text, NULL) == 0) {
		line = strstr(str_text(&text), "\nUmask:");
		if (line)
			mask = (unsigned int)strtoul(line + strlen("\nUmask:"), NULL, 8);
	}
	str_done(&text);
	return 0666 & ~mask;
}

int squashfs_check(const struct imbrex_squashfs_opts *opts, struct imbrex_error *err)
{
	struct squashfs_options o;

	return opts ? set_options(opts, &o, err) : 0;
}

int squashfs_create(int rootfd, const char *dir, const char *file,
	const struct imbrex_squashfs_opts *opts, struct imbrex_error *err)
{
	static const struct imbrex_squashfs_opts none = { 0 };
	struct pack p = { .opts = opts ? opts : &none, .root = -EBADF };
	/* Closed after the temporary file is gone from it. */
	AUTO_CLOSE int parent = -EBADF;
	AUTO_ATOMIC_FILE out = ATOMIC_FILE_INIT;
	char name[NAME_MAX + 1];
	int r;

	r = open_parent_dir(file, name, &parent, err);
	if (r < 0)
		return r;
	if (!p.opts->replace && exists_at(parent, name))
		return fail(err, IMBREX_EEXIST, "'%s' exists already", file);
	r = atomic_file_open_unnamed(&out, parent, name, err);
	if (r < 0)
		return r;
	p.root = fcntl(rootfd, F_DUPFD_CLOEXEC, 3);
	if (p.root < 0)
		return fail_errno(err, "'%s'", file);
	r = pack_into(&p, dir, &out.fd, err);
	pack_done(&p);
	return r < 0 ? r : atomic_file_commit(&out, file_mode(), ATOMIC_SYNC, NULL, err);
}

PUBLIC int imbrex_squashfs_create(const char *dir, const char *file,
	const struct imbrex_squashfs_opts *opts, struct imbrex_error *err)
{
	AUTO_CLOSE int fd = open_root_dir_at(AT_FDCWD, dir, err);

	return fd < 0 ? fd : squashfs_create(fd, dir, file, opts, err);
}

/* ---- reading --------------------------------------------------------------------------- */

static int open_image(const char *path, uint64_t *ret_size, struct imbrex_error *err)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return fail_errno(err, "open '%s'", path);
	if (!S_ISREG(st.st_mode))
		return fail(err, IMBREX_EFORMAT, "'%s' is no regular file", path);
	*ret_size = (uint64_t)st.st_size;
	return take_fd(fd);
}

static int extract_into(int *image, uint64_t size_bytes, int dirfd, unsigned int processors,
	struct imbrex_error *err)
{
	const struct apply_opts apply_opts = {
		.whiteouts = APPLY_REMOVE,
		.apply_root = true,
		.in_userns = geteuid() != 0,
		.ignore_chown_errors = true,
	};
	const struct tidy_opts tidy_opts = {
		.uid = geteuid(),
		.gid = getegid(),
		.keep_xattrs = true,
	};
	struct squashfs_file file = file_of(image, size_bytes);
	AUTO_ENTRY_SINK struct entry_sink *tidy = NULL;
	AUTO_ENTRY_SINK struct entry_sink *apply = NULL;
	AUTO_CLOSE int copy = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r;

	if (copy < 0)
		return fail_errno(err, "open the new directory");
	r = apply_new(copy, &apply_opts, &apply, err);
	if (r < 0)
		return r;
	copy = -EBADF;
	r = tidy_new(&tidy_opts, apply, &tidy, err);
	if (r < 0)
		return r;
	apply = NULL;
	return squashfs_read(
		&file, processors ? processors : (unsigned int)pool_n_cpus(), tidy, err);
}

int squashfs_extract_into(
	const char *file, int dirfd, unsigned int processors, struct imbrex_error *err)
{
	AUTO_CLOSE int image = -EBADF;
	uint64_t size_bytes;
	int r;

	image = open_image(file, &size_bytes, err);
	if (image < 0)
		return image;
	r = extract_into(&image, size_bytes, dirfd, processors, err);
	return r < 0 ? wrap(err, r, "'%s'", file) : 0;
}

PUBLIC int imbrex_squashfs_extract(
	const char *file, const char *dir, unsigned int processors, struct imbrex_error *err)
{
	AUTO_NEW_DIR made = NEW_DIR_INIT;
	AUTO_CLOSE int image = -EBADF;
	uint64_t size_bytes;
	int r;

	image = open_image(file, &size_bytes, err);
	if (image < 0)
		return image;
	r = new_dir_begin(&made, dir, err);
	if (r < 0)
		return r;
	r = extract_into(&image, size_bytes, made.fd, processors, err);
	return r < 0 ? wrap(err, r, "'%s'", file) : new_dir_commit(&made, err);
}

PUBLIC int imbrex_squashfs_probe(const char *file, struct imbrex_error *err)
{
	char magic[SQUASHFS_MAGIC_BYTES];
	AUTO_CLOSE int fd = -EBADF;
	uint64_t size_bytes;
	size_t len;
	int r;

	fd = open_image(file, &size_bytes, err);
	if (fd < 0)
		return fd;
	r = read_all(fd, magic, sizeof(magic), &len);
	if (r < 0)
		return fail_code(err, r, "read '%s'", file);
	return squashfs_is_image(magic, len);
}
