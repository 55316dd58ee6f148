/* SPDX-License-Identifier: Apache-2.0 */
/* Files of partly received blobs. */
#include "registry/partial.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/limits.h"
#include "oci/digest.h"
#include "os/fd.h"
#include "os/lock.h"

static void name_of(const struct hash_value *digest, char ret[PARTIAL_NAME_MAX])
{
	(void)snprintf(
		ret, PARTIAL_NAME_MAX, "%s-%s", hash_name(digest->algorithm), digest_hex(digest));
}

/* Is the file behind `fd` the one that has the name now? It may have been removed meanwhile. */
static bool still_named(int dirfd, const char *name, int fd, struct stat *ret)
{
	struct stat named;

	return fstat(fd, ret) == 0 && S_ISREG(ret->st_mode) && ret->st_nlink == 1 &&
	       fstatat(dirfd, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
	       named.st_dev == ret->st_dev && named.st_ino == ret->st_ino;
}

/* Append; at the first trouble (a full disk, most likely) give the space back and go without. */
static void append(struct blob_observer *o, const void *buf, size_t len)
{
	struct partial *p = CONTAINER_OF(o, struct partial, observer);

	if (p->fd < 0)
		return;
	if (pwrite_all(p->fd, buf, len, p->len) < 0)
		partial_drop(p);
	else
		p->len += len;
}

void partial_open(struct partial *p, int dirfd, const struct hash_value *digest, uint64_t size)
{
	AUTO_CLOSE int fd = -EBADF;
	struct stat st;

	*p = (struct partial){ .observer = { append }, .dirfd = dirfd, .fd = -EBADF };
	name_of(digest, p->name);
	fd = openat(dirfd, p->name, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
	if (fd < 0 || fd_lock(fd, LOCK_EXCLUSIVE, /* wait= */ false) < 0 ||
		!still_named(dirfd, p->name, fd, &st))
		return;
	if ((uint64_t)st.st_size > size) {
		if (ftruncate(fd, 0) < 0)
			return;
		st.st_size = 0;
	}
	p->len = (uint64_t)st.st_size;
	p->fd = take_fd(fd);
}

int partial_replay(struct partial *p, struct sink *to, uint64_t *ret_len, struct imbrex_error *err)
{
	AUTO_FREE char *block = NULL;
	uint64_t at = 0;
	size_t n;
	int r;

	*ret_len = 0;
	if (p->fd < 0 || !p->len)
		return 0;
	block = malloc(STREAM_BLOCK_BYTES);
	if (!block)
		return fail_nomem(err);
	while (at < p->len) {
		r = pread_all(p->fd, block, (size_t)MIN(p->len - at, STREAM_BLOCK_BYTES), at, &n);
		if (r == 0 && !n)
			r = -EIO; /* shorter than a moment ago */
		if (r < 0)
			return fail_code(err, r, "read the kept part of a blob '%s'", p->name);
		r = sink_write(to, block, n, err);
		if (r < 0)
			return r;
		at += n;
	}
	*ret_len = at;
	return 0;
}

void partial_drop(struct partial *p)
{
	if (p->fd < 0)
		return;
	(void)unlinkat(p->dirfd, p->name, 0); /* at worst it is replayed once more */
	p->fd = close_fd(p->fd);
}

void partial_done(struct partial *p)
{
	if (p->fd >= 0 && !p->len)
		partial_drop(p);
	p->fd = close_fd(p->fd);
}

void partial_forget(int dirfd, const struct hash_value *digest)
{
	char name[PARTIAL_NAME_MAX];

	name_of(digest, name);
	(void)unlinkat(dirfd, name, 0); /* there may be none */
}
