/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Directories tell by the files they hold; files by magic numbers, and tar archives by the name of
 * their first member: image archives begin with names that no root file system has.
 */
#include "transport/probe.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/hex.h"
#include "base/limits.h"
#include "base/str.h"
#include "os/fd.h"
#include "stream/detect.h"
#include "transport/members.h"

/* Compressed bytes that are read for the first member's name; a bzip2 block is up to 900 kB. */
#define PROBE_BYTES (1024u * 1024u)
#define PROBE_STEP  (64u * 1024u)

struct first_member {
	bool seen;
	bool is_image;
};

/* "<64 digits>" and what may follow it in the layouts of docker and podman. */
static bool is_id_name(const char *name)
{
	if (strlen(name) < ID_HEX_LEN || !hex_is_lower(name, ID_HEX_LEN))
		return false;
	return name[ID_HEX_LEN] == '\0' || name[ID_HEX_LEN] == '/' || name[ID_HEX_LEN] == '.';
}

static bool is_image_name(const char *name)
{
	static const char *const names[] = { "manifest.json", "index.json", "oci-layout",
		"repositories", "blobs" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (str_eq(name, names[i]))
			return true;
	}
	return is_id_name(name) || str_after(name, "blobs/sha") || str_after(name, "sha256:");
}

static int on_member(void *ctx, const struct member *m, struct sink **ret, struct imbrex_error *err)
{
	struct first_member *first = ctx;

	first->seen = true;
	first->is_image = is_image_name(m->name);
	return 1;
}

/* Push until the first member was seen or PROBE_BYTES were read; what is broken is no tar. */
static void read_first(int fd, struct sink *chain, const struct first_member *first)
{
	AUTO_FREE char *buf = malloc(PROBE_STEP);
	uint64_t pos = 0;
	size_t len;

	while (buf && !first->seen && pos < PROBE_BYTES) {
		if (pread_all(fd, buf, PROBE_STEP, pos, &len) < 0 || len == 0)
			return;
		if (sink_write(chain, buf, len, NULL) < 0)
			return;
		pos += len;
	}
	/* A short compressed archive may still be on its way through the stages. */
	if (!first->seen && sink_finish(chain, NULL) < 0)
		return;
}

static int probe_tar(int fd, enum probe_kind *ret, struct imbrex_error *err)
{
	struct first_member first = { 0 };
	const struct member_events events = { .ctx = &first, .member = on_member };
	AUTO_MEMBERS *members = NULL;
	AUTO_SINK struct sink *end = NULL;
	AUTO_SINK struct sink *chain = NULL;
	int r;

	r = members_new(&events, &members, err);
	if (r < 0)
		return r;
	r = members_sink_new(members, &end, err);
	if (r < 0)
		return r;
	r = decompress_sink_new(NULL, end, &chain, err);
	if (r < 0)
		return r;
	end = NULL;
	read_first(fd, chain, &first);
	*ret = !first.seen ? PROBE_UNKNOWN : first.is_image ? PROBE_ARCHIVE : PROBE_TAR;
	return 0;
}

static int probe_file(int fd, const char *path, enum probe_kind *ret, struct imbrex_error *err)
{
	/* DMU_BACKUP_MAGIC 0x2f5bacbac behind the record type, either byte order. */
	static const unsigned char zfs_le[8] = { 0xac, 0xcb, 0xba, 0xf5, 0x02, 0, 0, 0 };
	static const unsigned char zfs_be[8] = { 0, 0, 0, 0x02, 0xf5, 0xba, 0xcb, 0xac };
	unsigned char head[16] = { 0 };
	size_t len;
	int r;

	r = pread_all(fd, head, sizeof(head), 0, &len);
	if (r < 0)
		return fail_code(err, r, "read '%s'", path);
	if (memcmp(head, "hsqs", 4) == 0) {
		*ret = PROBE_SQUASHFS;
		return 0;
	}
	if (memcmp(head + 8, zfs_le, 8) == 0 || memcmp(head + 8, zfs_be, 8) == 0) {
		*ret = PROBE_ZFS;
		return 0;
	}
	return probe_tar(fd, ret, err);
}

static enum probe_kind probe_dir(int fd)
{
	if (is_file_at(fd, "oci-layout") && is_file_at(fd, "index.json"))
		return PROBE_OCI;
	if (is_file_at(fd, "manifest.json") && is_file_at(fd, "version"))
		return PROBE_DIR;
	return PROBE_TREE;
}

int probe_path(const char *path, enum probe_kind *ret, struct imbrex_error *err)
{
	AUTO_CLOSE int fd = -EBADF;
	struct stat st;

	if (stat(path, &st) < 0)
		return fail_errno(err, "'%s'", path);
	if (S_ISFIFO(st.st_mode)) { /* "<(command)": what is read here would be gone */
		*ret = PROBE_ARCHIVE;
		return 0;
	}
	if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode)) {
		*ret = PROBE_UNKNOWN;
		return 0;
	}
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return fail_errno(err, "open '%s'", path);
	if (S_ISDIR(st.st_mode)) {
		*ret = probe_dir(fd);
		return 0;
	}
	return probe_file(fd, path, ret, err);
}
