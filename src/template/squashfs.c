/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Templates of squashfs files. The key is of the file's bytes, so that a file that was changed, or
 * copied, is known for what it is.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "image/squashfs.h"
#include "oci/digest.h"
#include "stream/digest.h"
#include "stream/null.h"
#include "stream/pump.h"
#include "template/evict.h"
#include "template/work.h"

static int hash_file(const char *file, struct hash_value *ret, struct imbrex_error *err)
{
	AUTO_CLOSE int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	AUTO_SINK struct sink *end = NULL;
	AUTO_SINK struct sink *digest = NULL;
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return fail_errno(err, "open '%s'", file);
	if (!S_ISREG(st.st_mode))
		return fail(err, IMBREX_EFORMAT, "'%s' is no regular file", file);
	r = null_sink_new(&end, err);
	if (r == 0)
		r = digest_sink_new(HASH_SHA256, NULL, ret, end, &digest, err);
	if (r < 0)
		return r;
	end = NULL;
	r = pump_fd(fd, digest, UINT64_MAX, err);
	if (r == 0)
		r = sink_finish(digest, err);
	return r < 0 ? wrap(err, r, "'%s'", file) : 0;
}

struct source_file {
	struct imbrex_templates *t;
	const char *path;
	unsigned int processors;
};

static int extract(void *ctx, struct template_work *w, struct imbrex_error *err)
{
	const struct source_file *f = ctx;

	template_note(
		f->t, IMBREX_NOTE_INFO, "Extracting squashfs filesystem into ZFS template...");
	return squashfs_extract_into(f->path, w->view.fd, f->processors, err);
}

PUBLIC int imbrex_template_import_squashfs(struct imbrex_templates *t, const char *file,
	unsigned int processors, char **ret_key, struct imbrex_error *err)
{
	struct source_file f = { .t = t, .path = file, .processors = processors };
	const struct template_fill fill = { .fn = extract, .ctx = &f, .what = "Extraction" };
	struct hash_value hash;
	char *key;
	int r;

	r = hash_file(file, &hash, err);
	if (r == 0)
		r = template_sweep(t, EVICT_DUE, err);
	if (r == 0)
		r = template_install(t, &t->templates, digest_hex(&hash), &fill, err);
	if (r < 0)
		return r;
	key = strdup(digest_hex(&hash));
	if (!key)
		return fail_nomem(err);
	*ret_key = key;
	return 0;
}
