/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file of an index; see the header. It is mapped privately: changes stay in this process until
 * they are written to a new file.
 *
 * A page that cannot be read would be a SIGBUS. The file cannot become shorter: nobody but us
 * writes it, and we only rename whole ones into place; who else can write to the run root can write
 * to the store too, or to this process.
 */
#include "store/index_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "base/hex.h"
#include "base/limits.h"
#include "os/atomic.h"
#include "os/clock.h"
#include "os/fd.h"

#define INDEX_MAGIC   0x7865646e69627869ull /* "ixbindex", on a little endian machine */
#define INDEX_VERSION 1
/* Entries are summed and written in pieces of so many. */
#define PIECE_ENTRIES INDEX_SUM_ENTRIES

struct index_head {
	uint64_t magic;
	uint32_t version;
	char kind[12];
	uint64_t bytes; /* of the file */
	uint64_t checksum;
	uint32_t cap_entries; /* room, so that appending need not move the array */
	uint32_t cap_nodes;
	struct index_counts counts;
	struct index_stamp stamp;
};
static_assert(sizeof(struct index_head) == 320, "part of the file's format");

/* Where the arrays lie behind the head. */
struct layout {
	uint64_t nodes;
	uint64_t slots;
	uint64_t end;
};

static void lay_out(const struct index_head *head, struct layout *ret)
{
	ret->nodes = sizeof(*head) + (uint64_t)head->cap_entries * sizeof(struct index_entry);
	ret->slots = ret->nodes + (uint64_t)head->cap_nodes * sizeof(struct index_node);
	ret->end = ret->slots + (uint64_t)head->counts.n_slots * sizeof(struct index_slot);
}

/* ---- stamps ---------------------------------------------------------------------------- */

#define BOOT_ID       "/proc/sys/kernel/random/boot_id"
#define BOOT_ID_CHARS 36

int index_stamp_init(struct index_stamp *ret, const struct lock_token *token)
{
	AUTO_CLOSE int fd = open(BOOT_ID, O_RDONLY | O_CLOEXEC);
	char text[BOOT_ID_CHARS];
	char digits[32];
	size_t n_digits = 0;
	size_t n;
	size_t i;
	int r;

	if (fd < 0)
		return -errno;
	r = read_all(fd, text, sizeof(text), &n);
	if (r < 0)
		return r;
	for (i = 0; i < n; i++) {
		if (text[i] != '-' && n_digits < sizeof(digits))
			digits[n_digits++] = text[i];
	}
	memset(ret, 0, sizeof(*ret));
	if (hex_decode(digits, n_digits, ret->boot, sizeof(ret->boot)) < 0)
		return -EINVAL;
	memcpy(ret->token, token->bytes, token->len);
	ret->token_bytes = token->len;
	return 0;
}

void index_stamp_file(struct index_stamp *s, int n, const struct stat *st)
{
	s->files[n] = (struct index_file_stamp){
		.dev = st->st_dev,
		.ino = st->st_ino,
		.bytes = (uint64_t)st->st_size,
		.mtime_sec = st->st_mtim.tv_sec,
		.ctime_sec = st->st_ctim.tv_sec,
		.mtime_nsec = (uint32_t)st->st_mtim.tv_nsec,
		.ctime_nsec = (uint32_t)st->st_ctim.tv_nsec,
	};
}

/* ---- reading --------------------------------------------------------------------------- */

static int check_head(const struct index_head *head, size_t bytes, const char *kind,
	const struct index_stamp *stamp)
{
	const struct index_counts *c = &head->counts;
	struct layout l;

	if (head->magic != INDEX_MAGIC || head->version != INDEX_VERSION ||
		strncmp(head->kind, kind, sizeof(head->kind)) != 0)
		return -EBADMSG;
	if (memcmp(&head->stamp, stamp, sizeof(*stamp)) != 0)
		return -ESTALE;
	lay_out(head, &l);
	if (head->bytes != bytes || l.end != bytes || c->n_entries > head->cap_entries ||
		c->n_nodes > head->cap_nodes || !c->n_slots || (c->n_slots & (c->n_slots - 1)))
		return -EBADMSG;
	return 0;
}

int index_adopt(void *map, size_t bytes, const char *kind, const struct index_stamp *stamp,
	struct index *ret, uint64_t *ret_checksum)
{
	const struct index_head *head = map;
	struct layout l;
	int r;

	r = bytes < sizeof(*head) ? -EBADMSG : check_head(head, bytes, kind, stamp);
	if (r < 0) {
		(void)munmap(map, bytes);
		return r;
	}
	lay_out(head, &l);
	*ret = (struct index){
		.c = head->counts,
		.entries = (struct index_entry *)((char *)map + sizeof(*head)),
		.nodes = (struct index_node *)((char *)map + l.nodes),
		.slots = (struct index_slot *)((char *)map + l.slots),
		.cap_entries = head->cap_entries,
		.cap_nodes = head->cap_nodes,
		.map = map,
		.map_bytes = bytes,
	};
	*ret_checksum = head->checksum;
	return 0;
}

int index_file_load(int dirfd, const char *path, const char *kind, const struct index_stamp *stamp,
	struct index *ret, uint64_t *ret_checksum)
{
	AUTO_CLOSE int fd =
		openat(dirfd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;
	void *map;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 022) ||
		st.st_size < (off_t)sizeof(struct index_head) || st.st_size > LIMIT_INDEX_BYTES)
		return -EBADMSG;
	map = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE,
		fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	return index_adopt(map, (size_t)st.st_size, kind, stamp, ret, ret_checksum);
}

/* ---- writing --------------------------------------------------------------------------- */

static int write_entries(
	int fd, const struct index *x, const uint32_t *at, uint64_t *sum, uint64_t offset)
{
	struct index_entry piece[PIECE_ENTRIES];
	uint32_t done;
	int r = 0;

	for (done = 0; r == 0 && done < x->c.n_entries; done += PIECE_ENTRIES) {
		uint32_t n = MIN(x->c.n_entries - done, PIECE_ENTRIES);
		uint32_t i;

		memcpy(piece, x->entries + done, n * sizeof(*piece));
		for (i = 0; at && i < n; i++)
			piece[i].at = at[done + i];
		*sum = index_sum(*sum, piece, n * sizeof(*piece));
		r = pwrite_all(fd, piece, n * sizeof(*piece), offset);
		offset += n * sizeof(*piece);
	}
	return r;
}

static int write_arrays(int fd, const struct index *x, const uint32_t *at, struct index_head *head)
{
	const size_t nodes_bytes = x->c.n_nodes * sizeof(*x->nodes);
	const size_t slots_bytes = x->c.n_slots * sizeof(*x->slots);
	uint64_t sum = index_sum(0, &x->c, sizeof(x->c));
	struct layout l;
	int r;

	lay_out(head, &l);
	r = write_entries(fd, x, at, &sum, sizeof(*head));
	if (r == 0)
		r = pwrite_all(fd, x->nodes, nodes_bytes, l.nodes);
	if (r == 0)
		r = pwrite_all(fd, x->slots, slots_bytes, l.slots);
	sum = index_sum(sum, x->nodes, nodes_bytes);
	head->checksum = index_sum(sum, x->slots, slots_bytes);
	head->bytes = l.end;
	return r < 0 ? r : pwrite_all(fd, head, sizeof(*head), 0);
}

static int open_index_dir(int dirfd)
{
	int fd = open_dir_at(dirfd, INDEX_DIR, NULL);

	if (fd != IMBREX_ENOENT)
		return fd;
	if (mkdir_at(dirfd, "imbrex", 0700, NULL) < 0 || mkdir_at(dirfd, INDEX_DIR, 0700, NULL) < 0)
		return -EACCES;
	return open_dir_at(dirfd, INDEX_DIR, NULL);
}

int index_file_save(int dirfd, const char *name, const char *kind, const struct index_stamp *stamp,
	const struct index *x, const uint32_t *at)
{
	struct index_head head = {
		.magic = INDEX_MAGIC,
		.version = INDEX_VERSION,
		.cap_entries = x->c.n_entries + x->c.n_entries / 8 + 64,
		.cap_nodes = x->c.n_nodes + x->c.n_nodes / 8 + 256,
		.counts = x->c,
		.stamp = *stamp,
	};
	AUTO_ATOMIC_FILE f = ATOMIC_FILE_INIT;
	AUTO_CLOSE int fd = open_index_dir(dirfd);
	size_t i;

	if (fd < 0 || !x->c.n_slots)
		return -ENOENT;
	for (i = 0; kind[i] && i < sizeof(head.kind); i++)
		head.kind[i] = kind[i];
	if (atomic_file_open(&f, fd, name, NULL) < 0 || write_arrays(f.fd, x, at, &head) < 0)
		return -EIO;
	/* Replacing a name makes ext4 write the new file out at once; making one does not. */
	(void)unlinkat(fd, name, 0);
	return atomic_file_commit(&f, 0600, ATOMIC_VOLATILE, NULL, NULL) < 0 ? -EIO : 0;
}

/* ---- strays ---------------------------------------------------------------------------- */

#define STRAY_AGE_SEC     (7 * 24 * 60 * 60)
#define TEMPORARY_AGE_SEC (24 * 60 * 60)

/* Of a boot that is over, or no index at all. */
static bool is_of_another_boot(int dirfd, const char *name, const struct index_stamp *now)
{
	AUTO_CLOSE int fd =
		openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct index_head head;
	size_t n;

	if (fd < 0)
		return false;
	if (pread_all(fd, &head, sizeof(head), 0, &n) < 0)
		return false;
	return n < sizeof(head) || head.magic != INDEX_MAGIC ||
	       memcmp(head.stamp.boot, now->boot, sizeof(now->boot)) != 0;
}

static bool is_stray(int dirfd, const char *name, const struct index_stamp *now)
{
	struct timespec clock;
	struct stat st;
	int64_t age;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
		return false;
	now_realtime(&clock);
	age = clock.tv_sec - st.st_mtim.tv_sec;
	if (str_after(name, ".tmp-"))
		return age > TEMPORARY_AGE_SEC;
	return age > STRAY_AGE_SEC || is_of_another_boot(dirfd, name, now);
}

int index_file_strays(int dirfd, const struct strv *own, struct strv *ret)
{
	static const struct lock_token none = { .len = 0 };
	int fd = open_dir_at(dirfd, INDEX_DIR, NULL);
	struct index_stamp now;
	const struct dirent *e;
	DIR *dir;
	int r;

	if (fd < 0)
		return 0;
	dir = fdopendir(fd);
	if (!dir) {
		(void)close_fd(fd);
		return -ENOMEM;
	}
	r = index_stamp_init(&now, &none);
	while (r == 0 && (e = readdir(dir))) {
		if (!strv_has(own, e->d_name) && is_stray(fd, e->d_name, &now))
			r = strv_add(ret, e->d_name);
	}
	(void)closedir(dir);
	return r;
}

int index_file_remove(int dirfd, const char *name)
{
	AUTO_CLOSE int fd = open_dir_at(dirfd, INDEX_DIR, NULL);

	if (fd < 0)
		return fd == IMBREX_ENOENT ? 0 : -EACCES;
	return unlinkat(fd, name, 0) < 0 && errno != ENOENT ? -errno : 0;
}
