/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An image becomes one directory, without a store: its layers are applied one over the other, base
 * first, in the parser's own pass. No overlay is mounted and nothing needs privilege.
 *
 *   registry ─▶ size, digest, unpack ─▶ DiffID ─▶ zstd ─▶ cache        several at a time
 *   cache ─▶ unpack ─▶ DiffID ─▶ tar ─▶ tidy ─▶ apply                   base first
 *   any other source ─▶ size, digest, unpack ─▶ DiffID ─▶ tar ─▶ …     likewise
 *   another store ─▶ DiffID ─▶ tar ─▶ …                                likewise; files are cloned
 *
 * What lies in the cache is believed for its DiffID only, each time it is used.
 */
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/limits.h"
#include "base/str.h"
#include "driver/apply.h"
#include "format/tar/reader.h"
#include "image/document.h"
#include "image/import.h"
#include "image/newdir.h"
#include "image/runfiles.h"
#include "image/squashfs.h"
#include "image/tidy.h"
#include "oci/digest.h"
#include "os/atomic.h"
#include "os/beneath.h"
#include "os/fd.h"
#include "os/pool.h"
#include "store/rootless.h"
#include "stream/compress.h"
#include "stream/detect.h"
#include "stream/digest.h"
#include "stream/exact.h"
#include "stream/fdsink.h"
#include "stream/pump.h"
#include "stream/queue.h"

#define CONNECTIONS_DEFAULT 10
#define CACHE_LEVEL_DEFAULT 1
#define CACHE_FILE_MODE     0640
#define QUEUE_BLOCKS        4

void import_done(struct import *im)
{
	source_free(im->source);
	source_manifest_done(&im->docs);
	oci_manifest_done(&im->manifest);
	oci_config_done(&im->config);
	str_done(&im->config_text);
	free(im->missing);
	im->cache = close_fd(im->cache);
}

void import_tell(const struct import *im, enum imbrex_rootfs_step step, size_t n, const char *text)
{
	if (im->opts->step)
		im->opts->step(im->opts->userdata, step, n, text);
}

static void note_event(
	void *userdata, enum repository_event event, long http_status, const char *text)
{
	import_tell(userdata, step_of_event(event), (size_t)http_status, text);
}

/* ---- documents ------------------------------------------------------------------------- */

int import_open(struct import *im, const char *text, struct imbrex_error *err)
{
	const struct imbrex_rootfs_opts *o = im->opts;
	struct source_opts so = { .events = im->events };
	AUTO_LOCATOR where = { 0 };
	int r;

	r = locator_parse(text, &where, err);
	if (r < 0)
		return r;
	im->is_docker = where.kind == LOCATOR_DOCKER;
	so.docker.repository.tls_verify = o->tls_verify > 0   ? TLS_VERIFY_ON
					  : o->tls_verify < 0 ? TLS_VERIFY_OFF
							      : TLS_VERIFY_DEFAULT;
	so.docker.repository.n_tries = o->tries;
	so.docker.repository.http.connect_timeout_ms =
		MIN(o->connect_timeout_sec, UINT_MAX / 1000) * 1000;
	so.docker.repository.http.transfer_timeout_ms =
		MIN(o->transfer_timeout_sec, UINT_MAX / 1000) * 1000;
	so.docker.repository.event = note_event;
	so.docker.repository.userdata = im;
	so.docker.repository.creds.username = o->username;
	so.docker.repository.creds.password = o->password;
	import_tell(im, IMBREX_ROOTFS_QUERY, 0, NULL);
	return image_source_open(&where, &so, /* to= */ NULL, &im->source, err);
}

static int wanted_platform(const struct import *im, struct platform *ret, struct imbrex_error *err)
{
	return im->opts->platform ? platform_parse(im->opts->platform, ret, err)
				  : platform_host(ret, err);
}

static int fetch_manifest(struct import *im, struct imbrex_error *err)
{
	struct platform want;
	int r = wanted_platform(im, &want, err);

	if (r < 0)
		return r;
	return im->source->ops->manifest(im->source, &want, &im->docs, err);
}

static int fetch_config(struct import *im, struct imbrex_error *err)
{
	const struct oci_descriptor *d = &im->manifest.config;
	int r = image_fetch_document(im->source, d, &im->config_text, err);

	return r < 0 ? wrap(err, r, "image configuration %s", digest_short(&d->digest)) : 0;
}

static void check_platform(const struct import *im)
{
	const char *is = im->config.platform.architecture;
	struct platform want;

	if (!im->opts->platform || !*is || platform_parse(im->opts->platform, &want, NULL) < 0 ||
		str_eq(want.architecture, is))
		return;
	import_tell(im, IMBREX_ROOTFS_OTHER_ARCH, 0, is);
}

int import_documents(struct import *im, struct imbrex_error *err)
{
	int r;

	r = fetch_manifest(im, err);
	if (r == 0)
		r = oci_manifest_parse(im->docs.media_type, str_text(&im->docs.manifest),
			im->docs.manifest.len, &im->manifest, err);
	if (r == 0)
		r = fetch_config(im, err);
	if (r == 0)
		r = oci_config_parse(
			str_text(&im->config_text), im->config_text.len, &im->config, err);
	if (r == 0)
		r = oci_config_check_layers(&im->config, im->manifest.n_layers, err);
	if (r < 0)
		return r;
	import_tell(im, IMBREX_ROOTFS_MANIFEST, im->manifest.n_layers, NULL);
	check_platform(im);
	return 0;
}

/* ---- chains, from their end to their beginning ------------------------------------------ */

/* Each takes *chain and puts itself before it. */
static int before_digest(
	struct sink **chain, const struct hash_value *expect, struct imbrex_error *err)
{
	struct sink *s;
	int r = digest_sink_new(expect->algorithm, expect, NULL, *chain, &s, err);

	if (r == 0)
		*chain = s;
	return r;
}

static int before_unpack(struct sink **chain, struct imbrex_error *err)
{
	struct sink *s;
	int r = decompress_sink_new(NULL, *chain, &s, err);

	if (r == 0)
		*chain = s;
	return r;
}

static int before_queue(struct sink **chain, struct imbrex_error *err)
{
	struct sink *s;
	int r = queue_sink_new(QUEUE_BLOCKS, *chain, &s, err);

	if (r == 0)
		*chain = s;
	return r;
}

/* What every layer passes, compressed or not, before `*chain`. */
static int before_layer(
	const struct hash_value *diff_id, struct sink **chain, struct imbrex_error *err)
{
	int r = before_digest(chain, diff_id, err);

	if (r == 0)
		r = before_queue(chain, err);
	return r < 0 ? r : before_unpack(chain, err);
}

static int before_blob(
	const struct oci_descriptor *d, struct sink **chain, struct imbrex_error *err)
{
	struct sink *s;
	int r = before_digest(chain, &d->digest, err);

	if (r == 0)
		r = exact_sink_new(d->size_bytes, *chain, &s, err);
	if (r == 0)
		*chain = s;
	return r;
}

/* ---- the cache ------------------------------------------------------------------------- */

static int find_missing(struct import *im, struct imbrex_error *err)
{
	size_t i, k;

	im->missing = calloc(im->manifest.n_layers + 1, sizeof(*im->missing));
	if (!im->missing)
		return fail_nomem(err);
	for (i = im->first; i < im->manifest.n_layers; i++) {
		const struct hash_value *digest = &im->manifest.layers[i].digest;
		char hex[HASH_HEX_MAX];

		if (is_file_at(im->cache, hash_hex(digest, hex)))
			continue;
		for (k = 0; k < im->n_missing; k++) {
			if (hash_equal(&im->manifest.layers[im->missing[k]].digest, digest))
				break;
		}
		if (k == im->n_missing)
			im->missing[im->n_missing++] = i;
	}
	return 0;
}

static int cache_layer(void *ctx, size_t index, struct imbrex_error *err)
{
	struct import *im = ctx;
	size_t i = im->missing[index];
	const struct oci_descriptor *d = &im->manifest.layers[i];
	AUTO_ATOMIC_FILE file = ATOMIC_FILE_INIT;
	AUTO_SINK struct sink *chain = NULL;
	AUTO_CLOSE int copy = -EBADF;
	struct sink *packed;
	char hex[HASH_HEX_MAX];
	int r;

	r = atomic_file_open_unnamed(&file, im->cache, hash_hex(&d->digest, hex), err);
	if (r < 0)
		return r;
	copy = fcntl(file.fd, F_DUPFD_CLOEXEC, 3);
	if (copy < 0)
		return fail_errno(err, "cache of layers");
	r = fd_sink_new(copy, &chain, err);
	if (r < 0)
		return r;
	copy = -EBADF;
	r = zstd_compress_sink_new(
		im->opts->cache_level ? im->opts->cache_level : CACHE_LEVEL_DEFAULT, 1, chain,
		&packed, err);
	if (r < 0)
		return r;
	chain = packed;
	r = before_layer(&im->config.diff_ids[i], &chain, err);
	if (r == 0)
		r = before_blob(d, &chain, err);
	if (r == 0)
		r = im->source->ops->blob(im->source, d, chain, err);
	if (r == 0)
		r = atomic_file_commit(&file, CACHE_FILE_MODE, ATOMIC_SYNC_FILE, NULL, err);
	return r < 0 ? wrap(err, r, "layer %s", digest_short(&d->digest)) : 0;
}

static int open_cache(struct import *im, struct imbrex_error *err)
{
	int r;

	if (!im->opts->cache_dir)
		return 0;
	r = mkdirs_at(AT_FDCWD, im->opts->cache_dir, 0700, err);
	if (r < 0)
		return r;
	im->cache = open_root_dir_at(AT_FDCWD, im->opts->cache_dir, err);
	return im->cache < 0 ? im->cache : 0;
}

int import_cache(struct import *im, struct imbrex_error *err)
{
	size_t jobs = im->opts->connections ? im->opts->connections : CONNECTIONS_DEFAULT;
	int r = im->is_docker ? open_cache(im, err) : 0;

	if (r < 0 || im->cache < 0)
		return r;
	r = find_missing(im, err);
	if (r < 0)
		return r;
	import_tell(im, IMBREX_ROOTFS_DOWNLOAD, im->n_missing, NULL);
	return pool_run(im->n_missing, jobs, cache_layer, im, err);
}

/* ---- layers into the tree -------------------------------------------------------------- */

static bool is_unprivileged(void)
{
	struct rootless_facts who;

	rootless_facts_read(&who);
	return who.rootless;
}

/* content: where the layer's files may lie already; NULL: nowhere */
static int open_entries(const struct import *im, int dirfd, const struct apply_content *content,
	struct entry_sink **ret, struct imbrex_error *err)
{
	const struct apply_opts apply_opts = {
		.whiteouts = APPLY_REMOVE,
		.apply_root = true,
		.in_userns = is_unprivileged(),
		.ignore_chown_errors = true,
		.content = content,
	};
	const struct tidy_opts tidy_opts = {
		.uid = geteuid(),
		.gid = getegid(),
		.strip_setid = im->opts->strip_setid,
		.without_dev = true,
	};
	AUTO_CLOSE int copy = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO_ENTRY_SINK struct entry_sink *apply = NULL;
	int r;

	if (copy < 0)
		return fail_errno(err, "open the new directory");
	r = apply_new(copy, &apply_opts, &apply, err);
	if (r < 0)
		return r;
	copy = -EBADF;
	r = tidy_new(&tidy_opts, apply, ret, err);
	if (r == 0)
		apply = NULL;
	return r;
}

static int from_cache(struct import *im, size_t i, struct sink *chain, struct imbrex_error *err)
{
	char hex[HASH_HEX_MAX];
	AUTO_CLOSE int fd = -EBADF;
	struct stat st;
	int r;

	fd = open_file_at(im->cache, hash_hex(&im->manifest.layers[i].digest, hex), &st, err);
	if (fd < 0)
		return fd;
	r = pump_fd(fd, chain, UINT64_MAX, err);
	if (r == 0)
		r = sink_finish(chain, err);
	/* It would be the same the next time. */
	if (r == IMBREX_EDIGEST || r == IMBREX_EFORMAT)
		(void)unlinkat(im->cache, hex, 0);
	if (r == IMBREX_EDIGEST)
		return wrap(err, r, "its copy in the cache, which is removed");
	return r;
}

static int open_layer(const struct import *im, int dirfd, const struct hash_value *diff_id,
	const struct apply_content *content, struct sink **ret, struct imbrex_error *err)
{
	AUTO_ENTRY_SINK struct entry_sink *entries = NULL;
	AUTO_SINK struct sink *chain = NULL;
	int r;

	r = open_entries(im, dirfd, content, &entries, err);
	if (r == 0)
		r = tar_reader_new(entries, NULL, &chain, err);
	if (r < 0)
		return r;
	entries = NULL;
	r = before_layer(diff_id, &chain, err);
	if (r == 0)
		*ret = take_ptr(chain);
	return r;
}

int import_layer_sink(const struct import *im, int dirfd, const struct hash_value *diff_id,
	struct sink **ret, struct imbrex_error *err)
{
	return open_layer(im, dirfd, diff_id, /* content= */ NULL, ret, err);
}

int import_layer(struct import *im, int dirfd, size_t i, struct imbrex_error *err)
{
	const struct oci_descriptor *d = &im->manifest.layers[i];
	AUTO_SINK struct sink *chain = NULL;
	int r;

	r = open_layer(im, dirfd, &im->config.diff_ids[i], storage_source_content(im->source, i),
		&chain, err);
	if (r == 0 && im->cache >= 0)
		return from_cache(im, i, chain, err);
	/* What comes unpacked is not what the digest of the blob is of. */
	if (r == 0 && !im->source->ops->unpacked)
		r = before_blob(d, &chain, err);
	return r < 0 ? r : im->source->ops->blob(im->source, d, chain, err);
}

static int apply_layers(struct import *im, int dirfd, struct imbrex_error *err)
{
	size_t i;
	int r;

	import_tell(im, IMBREX_ROOTFS_UNPACK, im->manifest.n_layers, NULL);
	for (i = 0; i < im->manifest.n_layers; i++) {
		r = import_layer(im, dirfd, i, err);
		if (r < 0)
			return wrap(
				err, r, "layer %s", digest_short(&im->manifest.layers[i].digest));
	}
	return 0;
}

/* ---- enroot's own files ---------------------------------------------------------------- */

static int push_file(struct entry_sink *to, const char *path, const struct str *text,
	int64_t mtime_sec, struct imbrex_error *err)
{
	const struct entry e = {
		.path = path,
		.type = ENTRY_FILE,
		.mode = 0644,
		.uid = geteuid(),
		.gid = getegid(),
		.size_bytes = text->len,
		.mtime_sec = mtime_sec,
		.atime_sec = mtime_sec,
	};
	int r = to->ops->begin(to, &e, err);

	if (r == 0 && text->len)
		r = to->ops->data(to, text->data, text->len, err);
	return r < 0 ? r : to->ops->end(to, err);
}

/* Only what is not there: what an image has, has the image's mode. */
static int push_workdir(struct entry_sink *to, int dirfd, const char *path, int64_t mtime_sec,
	struct imbrex_error *err)
{
	struct entry e = {
		.path = path,
		.type = ENTRY_DIR,
		.mode = 0755,
		.uid = geteuid(),
		.gid = getegid(),
		.mtime_sec = mtime_sec,
		.atime_sec = mtime_sec,
	};
	AUTO_CLOSE int fd = -EBADF;
	int r;

	if (!*path || strlen(path) > LIMIT_PATH_BYTES)
		return 0;
	fd = open_beneath(dirfd, path, O_PATH, 0, BENEATH_IN_ROOT);
	if (fd != -ENOENT)
		return 0;
	r = to->ops->begin(to, &e, err);
	return r < 0 ? r : to->ops->end(to, err);
}

static int configure(int dirfd, const struct oci_config *config, const char *provenance,
	int64_t mtime_sec, struct imbrex_error *err)
{
	const struct apply_opts opts = {
		.whiteouts = APPLY_REMOVE,
		.in_userns = is_unprivileged(),
		.ignore_chown_errors = true,
	};
	AUTO_CLOSE int copy = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO_ENTRY_SINK struct entry_sink *to = NULL;
	AUTO_RUN_FILES files = { 0 };
	int r;

	if (copy < 0)
		return fail_errno(err, "open the root file system");
	r = run_files_make(config, provenance, &files, err);
	if (r == 0)
		r = apply_new(copy, &opts, &to, err);
	if (r < 0)
		return r;
	copy = -EBADF;
	r = push_file(to, "etc/fstab", &files.fstab, mtime_sec, err);
	if (r == 0)
		r = push_file(to, "etc/environment", &files.environment, mtime_sec, err);
	if (r == 0)
		r = push_file(to, "etc/rc", &files.rc, mtime_sec, err);
	if (r == 0)
		r = push_file(to, "etc/rc.local", &files.rc_local, mtime_sec, err);
	if (r == 0)
		r = push_workdir(to, dirfd, str_text(&files.workdir), mtime_sec, err);
	return r < 0 ? r : to->ops->finish(to, err);
}

/* RFC 3339, whole seconds of UTC; an offset from it is not worth the trouble. 0 if it is none. */
static int64_t parse_time(const char *text)
{
	struct tm tm = { 0 };
	const char *end = text ? strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) : NULL;
	int64_t sec = end ? (int64_t)timegm(&tm) : 0;

	return sec > 0 && sec <= UINT32_MAX ? sec : 0;
}

int import_configure(const struct import *im, int dirfd, struct imbrex_error *err)
{
	return im->opts->provenance ? configure(dirfd, &im->config, im->opts->provenance,
					      parse_time(im->config.created), err)
				    : 0;
}

/* ---- the calls ------------------------------------------------------------------------- */

static int set_facts(
	const struct import *im, struct imbrex_rootfs_facts *ret, struct imbrex_error *err)
{
	char text[HASH_TEXT_MAX];

	if (!ret)
		return 0;
	*ret = (struct imbrex_rootfs_facts){ 0 };
	ret->image_id = strdup(hash_format(&im->manifest.config.digest, text));
	ret->manifest_digest = strdup(hash_format(&im->docs.digest, text));
	ret->architecture = strdup(im->config.platform.architecture);
	ret->created_sec = parse_time(im->config.created);
	if (ret->image_id && ret->manifest_digest && ret->architecture)
		return 0;
	imbrex_rootfs_facts_done(ret);
	return fail_nomem(err);
}

/* dir: where it is to appear; NULL: it is not, it lies in `temp_dir`. */
static int make_tree(struct import *im, const char *source, const char *dir, const char *temp_dir,
	struct new_dir *made, struct imbrex_error *err)
{
	int r;

	r = import_open(im, source, err);
	if (r == 0)
		r = import_documents(im, err);
	if (r == 0)
		r = import_cache(im, err);
	if (r == 0)
		r = dir ? new_dir_begin(made, dir, err)
			: new_dir_begin_temporary(made, temp_dir, err);
	if (r == 0)
		r = apply_layers(im, made->fd, err);
	return r < 0 ? r : import_configure(im, made->fd, err);
}

static int import(struct import *im, const char *source, const char *dir, struct imbrex_error *err)
{
	AUTO_NEW_DIR made = NEW_DIR_INIT;
	int r = make_tree(im, source, dir, NULL, &made, err);

	return r < 0 ? r : new_dir_commit(&made, err);
}

/* Directories that only had to be there have a time of now: the image's is put in its place. */
static int import_squashfs(struct import *im, const char *source, const char *temp_dir,
	const char *file, const struct imbrex_squashfs_opts *squash, struct imbrex_error *err)
{
	AUTO_NEW_DIR made = NEW_DIR_INIT;
	struct imbrex_squashfs_opts opts = { 0 };
	struct timespec start;
	int64_t start_sec;
	int r;

	if (clock_gettime(CLOCK_REALTIME, &start) < 0)
		return fail_errno(err, "the clock");
	/* File systems may keep a coarser time. */
	start_sec = start.tv_sec - 1;
	r = make_tree(im, source, NULL, temp_dir, &made, err);
	if (r < 0)
		return r;
	if (squash)
		opts = *squash;
	opts.made_after = &start_sec;
	opts.made_time_sec = parse_time(im->config.created);
	import_tell(im, IMBREX_ROOTFS_PACK, 0, NULL);
	return squashfs_create(made.fd, NULL, file, &opts, err);
}

PUBLIC int imbrex_rootfs_import(const char *source, const char *dir,
	const struct imbrex_rootfs_opts *opts, struct imbrex_rootfs_facts *ret,
	struct imbrex_error *err)
{
	static const struct imbrex_rootfs_opts none = { 0 };
	struct import im = IMPORT_INIT(opts ? opts : &none);
	int r;

	r = import(&im, source, dir, err);
	if (r == 0)
		r = set_facts(&im, ret, err);
	import_done(&im);
	return r < 0 ? wrap(err, r, "import %s", source) : 0;
}

PUBLIC int imbrex_squashfs_import(const char *source, const char *file, const char *temp_dir,
	const struct imbrex_rootfs_opts *opts, const struct imbrex_squashfs_opts *squash,
	struct imbrex_rootfs_facts *ret, struct imbrex_error *err)
{
	static const struct imbrex_rootfs_opts none = { 0 };
	struct import im = IMPORT_INIT(opts ? opts : &none);
	int r;

	/* Before anything is fetched for nothing. */
	r = squashfs_check(squash, err);
	if (r < 0)
		return r;
	r = import_squashfs(&im, source, temp_dir, file, squash, err);
	if (r == 0)
		r = set_facts(&im, ret, err);
	import_done(&im);
	return r < 0 ? wrap(err, r, "import %s", source) : 0;
}

PUBLIC int imbrex_rootfs_recover(const char *dir, struct imbrex_error *err)
{
	return new_dir_recover(dir, err);
}

PUBLIC void imbrex_rootfs_facts_done(struct imbrex_rootfs_facts *f)
{
	free(f->image_id);
	free(f->manifest_digest);
	free(f->architecture);
	*f = (struct imbrex_rootfs_facts){ 0 };
}

/* Of a registry without fetching it. */
static int find_digest(
	struct import *im, const char *source, struct hash_value *ret, struct imbrex_error *err)
{
	struct platform want;
	int r;

	r = import_open(im, source, err);
	if (r == 0)
		r = wanted_platform(im, &want, err);
	if (r < 0)
		return r;
	if (im->is_docker)
		return docker_source_digest(im->source, &want, ret, err);
	r = fetch_manifest(im, err);
	*ret = im->docs.digest;
	return r;
}

PUBLIC int imbrex_rootfs_digest(const char *source, const struct imbrex_rootfs_opts *opts,
	char **ret, struct imbrex_error *err)
{
	static const struct imbrex_rootfs_opts none = { 0 };
	struct import im = IMPORT_INIT(opts ? opts : &none);
	char text[HASH_TEXT_MAX];
	struct hash_value digest = { 0 };
	char *copy = NULL;
	int r;

	r = find_digest(&im, source, &digest, err);
	if (r == 0) {
		copy = strdup(hash_format(&digest, text));
		r = copy ? 0 : fail_nomem(err);
	}
	import_done(&im);
	if (r < 0)
		return wrap(err, r, "digest of %s", source);
	*ret = copy;
	return 0;
}

PUBLIC int imbrex_rootfs_configure(const char *dir, const char *config, size_t len,
	const char *provenance, struct imbrex_error *err)
{
	AUTO_OCI_CONFIG parsed = { 0 };
	AUTO_CLOSE int fd = -EBADF;
	int r;

	r = oci_config_parse(config, len, &parsed, err);
	if (r < 0)
		return r;
	fd = open_root_dir_at(AT_FDCWD, dir, err);
	if (fd < 0)
		return fd;
	r = configure(fd, &parsed, provenance, parse_time(parsed.created), err);
	return r < 0 ? wrap(err, r, "'%s'", dir) : 0;
}

PUBLIC int imbrex_rootfs_remove(const char *dir, struct imbrex_error *err)
{
	AUTO_CLOSE int parent = -EBADF;
	char name[NAME_MAX + 1];
	int r;

	r = open_parent_dir(dir, name, &parent, err);
	return r < 0 ? r : remove_tree_at(parent, name, err);
}
