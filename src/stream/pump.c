/* SPDX-License-Identifier: Apache-2.0 */
/* The one loop that turns a file into writes. Finishing stays with the caller: it may pump again.
 */
#include "stream/pump.h"

#include <fcntl.h>

#include "base/limits.h"

int pump_fd(int fd, struct sink *to, uint64_t max_bytes, struct imbrex_error *err)
{
	AUTO_FREE void *block = malloc(STREAM_BLOCK_BYTES);
	int r;

	if (!block)
		return fail_nomem(err);
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL); /* advice: pipes refuse it */
	while (max_bytes) {
		ssize_t n = read(fd, block, (size_t)MIN(max_bytes, (uint64_t)STREAM_BLOCK_BYTES));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail_errno(err, "read");
		if (n == 0)
			return 0;
		r = sink_write(to, block, (size_t)n, err);
		if (r < 0)
			return r;
		max_bytes -= (uint64_t)n;
	}
	return 0;
}
