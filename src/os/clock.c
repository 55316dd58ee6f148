/* SPDX-License-Identifier: Apache-2.0 */
/* Wall time and the identity of this boot; see the header. */
#include "os/clock.h"

#include <fcntl.h>
#include <string.h>

#include "base/error.h"
#include "os/fd.h"

#define BOOT_ID_PATH "/proc/sys/kernel/random/boot_id"

void now_realtime(struct timespec *ret)
{
	(void)clock_gettime(CLOCK_REALTIME, ret);
}

static uint64_t to_ns(const struct timespec *ts)
{
	if (ts->tv_sec < 0)
		return 0;
	return (uint64_t)ts->tv_sec * 1000000000u + (uint64_t)ts->tv_nsec;
}

uint64_t now_realtime_ns(void)
{
	struct timespec ts;

	now_realtime(&ts);
	return to_ns(&ts);
}

uint64_t now_monotonic_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return to_ns(&ts);
}

void wait_ms(unsigned int ms)
{
	struct timespec ts = { .tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000 };
	int r;

	do
		r = clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, &ts);
	while (r == EINTR);
}

int read_boot_id(char ret[BOOT_ID_LEN + 1], struct imbrex_error *err)
{
	AUTO_STR text = STR_INIT(64);
	int r;

	r = read_file_at(AT_FDCWD, BOOT_ID_PATH, 64, &text, err);
	if (r < 0)
		return r;
	if (text.len < BOOT_ID_LEN)
		return fail(err, IMBREX_EFORMAT, "'%s' holds no boot id", BOOT_ID_PATH);
	memcpy(ret, text.data, BOOT_ID_LEN);
	ret[BOOT_ID_LEN] = '\0';
	return 0;
}
