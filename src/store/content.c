/* SPDX-License-Identifier: Apache-2.0 */
/* Layers back to tar; see the header. */
#include "store/content.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "format/tarsplit/assemble.h"
#include "stream/digest.h"
#include "stream/gzip.h"
#include "stream/null.h"
#include "stream/pump.h"

struct content {
	struct imbrex_store *s;
	const char *id;
};

static int open_content(void *ctx, const char *name, size_t name_len, struct imbrex_error *err)
{
	struct content *c = ctx;
	int fd;
	int r;

	r = c->s->driver->ops->open_file(c->s->driver, c->id, name, name_len, &fd, err);
	return r < 0 ? r : fd;
}

static char *split_name(const char *id)
{
	return format_text("%s.tar-split.gz", id);
}

bool layer_has_tarsplit(struct imbrex_store *s, const char *id)
{
	AUTO_FREE char *name = split_name(id);
	struct stat st;

	return name && fstatat(s->layers.dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISREG(st.st_mode);
}

int layer_assemble(
	struct imbrex_store *s, const char *id, struct sink *to, struct imbrex_error *err)
{
	AUTO_FREE char *name = split_name(id);
	struct content content = { .s = s, .id = id };
	AUTO_SINK struct sink *end = to;
	AUTO_SINK struct sink *lines = NULL;
	AUTO_SINK struct sink *chain = NULL;
	AUTO_CLOSE int fd = -EBADF;
	int r;

	if (!name)
		return fail_nomem(err);
	fd = openat(s->layers.dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return fail_errno(err, "open '%s/%s'", s->layers.dir, name);
	r = tarsplit_assemble_sink_new(open_content, &content, end, &lines, err);
	if (r < 0)
		return r;
	end = NULL;
	r = gunzip_sink_new(lines, &chain, err);
	if (r < 0)
		return r;
	lines = NULL;
	r = pump_fd(fd, chain, UINT64_MAX, err);
	return r < 0 ? r : sink_finish(chain, err);
}

int layer_verify(struct imbrex_store *s, const char *id, const struct hash_value *diff_id,
	struct imbrex_error *err)
{
	AUTO_SINK struct sink *nothing = NULL;
	struct sink *digest;
	int r;

	r = null_sink_new(&nothing, err);
	if (r < 0)
		return r;
	r = digest_sink_new(diff_id->algorithm, diff_id, NULL, nothing, &digest, err);
	if (r < 0)
		return r;
	nothing = NULL;
	return layer_assemble(s, id, digest, err);
}
