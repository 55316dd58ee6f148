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

int layer_open_file(struct imbrex_store *s, const char *id, const char *name, size_t name_len,
	int *ret_fd, struct imbrex_error *err)
{
	int r;

	(void)pthread_mutex_lock(&s->reading);
	r = s->driver->ops->open_file(s->driver, id, name, name_len, ret_fd, err);
	(void)pthread_mutex_unlock(&s->reading);
	return r;
}

static int open_content(void *ctx, const char *name, size_t name_len, struct imbrex_error *err)
{
	struct content *c = ctx;
	int fd;
	int r;

	r = layer_open_file(c->s, c->id, name, name_len, &fd, err);
	return r < 0 ? r : fd;
}

int layer_split_open(const struct store_table *t, const char *id, struct imbrex_error *err)
{
	AUTO_FREE char *name = format_text("%s.tar-split.gz", id);
	int dirs[N_PLACES + 1] = { t->dirfd };
	size_t i;
	int fd = -EBADF;

	if (!name)
		return fail_nomem(err);
	for (i = 0; i < N_PLACES; i++)
		dirs[i + 1] = t->places[i].dirfd;
	errno = ENOENT;
	for (i = 0; fd < 0 && errno == ENOENT && i < ARRAY_LEN(dirs); i++) {
		if (dirs[i] >= 0)
			fd = openat(dirs[i], name,
				O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
		else
			errno = ENOENT;
	}
	return fd < 0 ? fail_errno(err, "open '%s/%s'", t->dir, name) : fd;
}

bool layer_has_tarsplit(struct imbrex_store *s, const char *id)
{
	AUTO_CLOSE int fd = layer_split_open(&s->layers, id, NULL);
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

int layer_assemble_split(struct imbrex_store *s, const char *id, int split, struct sink *to,
	struct imbrex_error *err)
{
	struct content content = { .s = s, .id = id };
	AUTO_SINK struct sink *end = to;
	AUTO_SINK struct sink *lines = NULL;
	AUTO_SINK struct sink *chain = NULL;
	int r;

	r = tarsplit_assemble_sink_new(open_content, &content, end, &lines, err);
	if (r < 0)
		return r;
	end = NULL;
	r = gunzip_sink_new(lines, &chain, err);
	if (r < 0)
		return r;
	lines = NULL;
	r = pump_fd(split, chain, UINT64_MAX, err);
	return r < 0 ? r : sink_finish(chain, err);
}

int layer_assemble(
	struct imbrex_store *s, const char *id, struct sink *to, struct imbrex_error *err)
{
	AUTO_CLOSE int split = layer_split_open(&s->layers, id, err);

	if (split < 0) {
		sink_free(to);
		return split;
	}
	return layer_assemble_split(s, id, split, to, err);
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
