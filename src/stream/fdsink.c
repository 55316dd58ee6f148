/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes leave the process. Short writes and EINTR are ordinary; every byte is written or it fails.
 */
#include "stream/fdsink.h"

#include <stdint.h>

struct fdsink {
	struct sink sink;
	int fd; /* owned */
};

static int fdsink_write(struct sink *s, const void *buf, size_t len, struct imbrex_error *err)
{
	struct fdsink *f = CONTAINER_OF(s, struct fdsink, sink);
	const uint8_t *bytes = buf;

	while (len) {
		ssize_t n = write(f->fd, bytes, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail_errno(err, "write");
		bytes += n;
		len -= (size_t)n;
	}
	return 0;
}

static int fdsink_finish(struct sink *s, struct imbrex_error *err)
{
	struct fdsink *f = CONTAINER_OF(s, struct fdsink, sink);

	/* On Linux the descriptor is gone even after EINTR, and no data is lost by it. */
	if (close(take_fd(f->fd)) < 0 && errno != EINTR)
		return fail_errno(err, "close after writing");
	return 0;
}

static void fdsink_free(struct sink *s)
{
	struct fdsink *f = CONTAINER_OF(s, struct fdsink, sink);

	f->fd = close_fd(f->fd);
	free(f);
}

static const struct sink_ops fdsink_ops = {
	.name = "fd",
	.write = fdsink_write,
	.finish = fdsink_finish,
	.free = fdsink_free,
};

int fd_sink_new(int fd, struct sink **ret, struct imbrex_error *err)
{
	struct fdsink *f = calloc(1, sizeof(*f));

	if (!f)
		return fail_nomem(err);
	f->sink.ops = &fdsink_ops;
	f->fd = fd;
	*ret = &f->sink;
	return 0;
}
