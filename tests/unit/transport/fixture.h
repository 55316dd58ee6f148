/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small images for the tests of the transports: a temporary directory, tar archives, OCI layouts.
 * Everything that cannot go wrong on a sound machine is asserted, so the tests read flat.
 */
#ifndef FIXTURE_H
#define FIXTURE_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/str.h"
#include "oci/digest.h"
#include "oci/manifest.h"
#include "os/beneath.h"
#include "os/fd.h"
#include "stream/buffer.h"
#include "stream/digest.h"
#include "transport/transport.h"

/* cmocka has a macro fail(): it comes behind every header of the house, and goes again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#undef fail

#define FIXTURE_MAX (64u * 1024 * 1024)

/* A temporary directory that goes away with the test. */
struct box {
	char path[256];
	int fd;
};

static inline int box_setup(void **state)
{
	struct box *box = calloc(1, sizeof(*box));
	const char *base = getenv("TMPDIR");

	if (!box)
		return -1;
	(void)snprintf(box->path, sizeof(box->path), "%s/transport-XXXXXX", base ? base : "/tmp");
	if (!mkdtemp(box->path))
		return -1;
	box->fd = open(box->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = box;
	return box->fd < 0 ? -1 : 0;
}

static inline int box_teardown(void **state)
{
	struct box *box = *state;
	char *slash = strrchr(box->path, '/');
	int parent;
	int r;

	*slash = '\0';
	parent = open(box->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = remove_tree_at(parent, slash + 1, NULL);
	(void)close(parent);
	(void)close(box->fd);
	free(box);
	return r;
}

/* Absolute path of something in the box; a few results at a time are valid. */
static inline const char *box_path(const struct box *box, const char *name)
{
	static char paths[4][512];
	static unsigned int next;
	char *ret = paths[next++ % 4];

	(void)snprintf(ret, sizeof(paths[0]), "%s/%s", box->path, name);
	return ret;
}

static inline void put(const struct box *box, const char *name, const void *data, size_t len)
{
	const char *slash = strrchr(name, '/');

	if (slash) {
		AUTO_FREE char *parent = strndup(name, (size_t)(slash - name));

		assert_non_null(parent);
		assert_int_equal(mkdirs_beneath(box->fd, parent, 0755, NULL, NULL), 0);
	}
	assert_int_equal(write_file_at(box->fd, name, 0644, data, len, NULL), 0);
}

static inline void put_text(const struct box *box, const char *name, const char *text)
{
	put(box, name, text, strlen(text));
}

static inline struct hash_value sha256_of(const void *data, size_t len)
{
	struct hash_value h;

	assert_int_equal(hash_bytes(HASH_SHA256, data, len, &h), 0);
	return h;
}

/* One tar member: header, payload and padding. `mode` of checksum is that of GNU tar. */
static inline void tar_add(struct str *tar, char type, const char *name, const char *link,
	const void *data, size_t len)
{
	char block[512] = { 0 };
	unsigned int sum = 0;

	assert_true(strlen(name) <= 100);
	memcpy(block, name, strlen(name));
	(void)snprintf(block + 100, 8, "%07o", type == '5' ? 0755 : 0644);
	(void)snprintf(block + 108, 8, "%07o", 0);
	(void)snprintf(block + 116, 8, "%07o", 0);
	(void)snprintf(block + 124, 12, "%011o", (unsigned int)len);
	(void)snprintf(block + 136, 12, "%011o", 0);
	memset(block + 148, ' ', 8);
	block[156] = type;
	memcpy(block + 157, link, strlen(link));
	memcpy(block + 257,
		"ustar\0"
		"00",
		8);
	for (size_t i = 0; i < sizeof(block); i++)
		sum += (unsigned char)block[i];
	(void)snprintf(block + 148, 8, "%06o", sum);
	assert_int_equal(str_append(tar, block, sizeof(block)), 0);
	assert_int_equal(str_append(tar, data, len), 0);
	memset(block, 0, sizeof(block));
	assert_int_equal(str_append(tar, block, -len & 511), 0);
}

static inline void tar_file(struct str *tar, const char *name, const char *text)
{
	tar_add(tar, '0', name, "", text, strlen(text));
}

static inline void tar_end(struct str *tar)
{
	static const char zeros[1024];

	assert_int_equal(str_append(tar, zeros, sizeof(zeros)), 0);
}

/* A layer: a tar with one file. */
static inline void layer_make(struct str *layer, const char *name, const char *text)
{
	tar_file(layer, name, text);
	tar_end(layer);
}

/* A configuration with these diff IDs. */
static inline char *config_make(const struct hash_value *diff_ids, size_t n, const char *arch)
{
	AUTO_STR text = STR_INIT(FIXTURE_MAX);

	assert_int_equal(str_printf(&text,
				 "{\"architecture\":\"%s\",\"os\":\"linux\",\"config\":{},"
				 "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[",
				 arch),
		0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(
			str_printf(&text, "%s\"%s\"", i ? "," : "", digest_text(&diff_ids[i])), 0);
	assert_int_equal(str_puts(&text, "]}}"), 0);
	return str_take(&text);
}

/* Collect blob `d` of a source; the status of the push. */
static inline int blob_text(
	struct source *s, const struct oci_descriptor *d, struct str *ret, struct imbrex_error *err)
{
	AUTO_SINK struct sink *sink = NULL;
	int r = buffer_sink_new(FIXTURE_MAX, ret, &sink, err);

	return r < 0 ? r : s->ops->blob(s, d, sink, err);
}

#endif
