/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The floor of a pull: what each unavoidable stage costs on one core, one after the other.
 *
 * usage: floor DIR BLOB...   Unpacks below DIR and prints one JSON object, times in seconds.
 * Blobs and unpacked layers are held in memory, so that no stage pays for another's reading.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/limits.h"
#include "base/str.h"
#include "driver/apply.h"
#include "format/tar/reader.h"
#include "os/fd.h"
#include "stream/buffer.h"
#include "stream/detect.h"

struct floor {
	double inflate, hash_blob, hash_tar, write, sync;
	unsigned long long blob_bytes, tar_bytes, entries;
};

static double now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int die(const struct imbrex_error *err)
{
	(void)fprintf(stderr, "floor: %s\n", err->message);
	return 1;
}

static int on_file(void *ctx, const struct tar_file *file, struct imbrex_error *err)
{
	struct floor *f = ctx;

	(void)file;
	(void)err;
	f->entries++;
	return 0;
}

static int inflate_blob(
	struct floor *f, const struct str *blob, struct str *tar, struct imbrex_error *err)
{
	AUTO_SINK struct sink *end = NULL;
	AUTO_SINK struct sink *chain = NULL;
	double start;
	int r;

	r = buffer_sink_new(tar->max_len, tar, &end, err);
	if (r == 0)
		r = decompress_sink_new(NULL, end, &chain, err);
	if (r < 0)
		return r;
	end = NULL;
	start = now();
	r = sink_write(chain, blob->data, blob->len, err);
	if (r == 0)
		r = sink_finish(chain, err);
	f->inflate += now() - start;
	return r;
}

static int write_tar(struct floor *f, const struct str *tar, int dir, struct imbrex_error *err)
{
	const struct tar_observer observer = { .ctx = f, .file = on_file };
	const struct apply_opts opts = { .whiteouts = APPLY_OVERLAY,
		.opaque_xattr = "trusted.overlay.opaque" };
	AUTO_ENTRY_SINK struct entry_sink *entries = NULL;
	AUTO_SINK struct sink *chain = NULL;
	double start = now();
	int r;

	r = apply_new(dir, &opts, &entries, err);
	if (r == 0)
		r = tar_reader_new(entries, &observer, &chain, err);
	if (r < 0)
		return r;
	entries = NULL;
	r = sink_write(chain, tar->data, tar->len, err);
	if (r == 0)
		r = sink_finish(chain, err);
	f->write += now() - start;
	return r;
}

static int measure(struct floor *f, int base, const char *path, int index, struct imbrex_error *err)
{
	AUTO_STR blob = STR_INIT(LIMIT_LAYER_BYTES);
	AUTO_STR tar = STR_INIT(LIMIT_LAYER_BYTES);
	struct hash_value hash;
	char name[16];
	double start;
	int dir;
	int r;

	r = read_file_at(AT_FDCWD, path, LIMIT_LAYER_BYTES, &blob, err);
	if (r == 0)
		r = inflate_blob(f, &blob, &tar, err);
	if (r < 0)
		return r;
	start = now();
	if (hash_bytes(HASH_SHA256, blob.data, blob.len, &hash) < 0)
		return fail(err, IMBREX_EFAIL, "no SHA-256");
	f->hash_blob += now() - start;
	start = now();
	if (hash_bytes(HASH_SHA256, tar.data, tar.len, &hash) < 0)
		return fail(err, IMBREX_EFAIL, "no SHA-256");
	f->hash_tar += now() - start;
	f->blob_bytes += blob.len;
	f->tar_bytes += tar.len;
	(void)snprintf(name, sizeof(name), "%d", index);
	r = mkdir_at(base, name, 0755, err);
	if (r < 0)
		return r;
	dir = open_dir_at(base, name, err);
	return dir < 0 ? dir : write_tar(f, &tar, dir, err);
}

int main(int argc, char **argv)
{
	struct imbrex_error err = { 0 };
	struct floor f = { 0 };
	double start;
	int base;
	int i;

	if (argc < 3) {
		(void)fprintf(stderr, "usage: floor DIR BLOB...\n");
		return 2;
	}
	base = open_root_dir_at(AT_FDCWD, argv[1], &err);
	if (base < 0)
		return die(&err);
	for (i = 2; i < argc; i++) {
		if (measure(&f, base, argv[i], i, &err) < 0)
			return die(&err);
	}
	start = now();
	(void)syncfs(base);
	f.sync = now() - start;
	(void)printf("{\"inflate\":%.4f,\"hash_blob\":%.4f,\"hash_tar\":%.4f,\"write\":%.4f,"
		     "\"sync\":%.4f,\"blob_bytes\":%llu,\"tar_bytes\":%llu,\"entries\":%llu}\n",
		f.inflate, f.hash_blob, f.hash_tar, f.write, f.sync, f.blob_bytes, f.tar_bytes,
		f.entries);
	return 0;
}
