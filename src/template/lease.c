/* SPDX-License-Identifier: Apache-2.0 */
/* See the header. */
#include "template/lease.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/str.h"
#include "os/beneath.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/lock.h"

#define LOCK_FILE  ".imbrex.lock"
#define STAT_BYTES 4096u

/* State and start of a process: false if there is none of that number. */
static bool read_start(uint32_t pid, char *ret_state, uint64_t *ret_ticks)
{
	AUTO_STR text = STR_INIT(STAT_BYTES);
	char path[32];
	const char *p;

	(void)snprintf(path, sizeof(path), "/proc/%" PRIu32 "/stat", pid);
	if (read_file_at(AT_FDCWD, path, STAT_BYTES, &text, NULL) < 0)
		return false;
	/* The name before it may hold anything. Source: proc(5), fields 3 and 22. */
	p = strrchr(str_text(&text), ')');
	return p && sscanf(p + 1,
			    " %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
			    "%*s %*s %" SCNu64,
			    ret_state, ret_ticks) == 2;
}

int lease_mine(char ret[LEASE_TEXT_BYTES], struct imbrex_error *err)
{
	char boot[BOOT_ID_LEN + 1];
	uint64_t ticks = 0;
	char state;
	int r = read_boot_id(boot, err);

	if (r < 0)
		return r;
	if (!read_start((uint32_t)getpid(), &state, &ticks))
		return fail(err, IMBREX_EFAIL, "/proc does not tell when this process began");
	(void)snprintf(ret, LEASE_TEXT_BYTES, "%s:%ld:%" PRIu64, boot, (long)getpid(), ticks);
	return 0;
}

/* Decimal digits up to `end`, which is passed. */
static bool take_number(const char **text, char end, uint64_t max, uint64_t *ret)
{
	const char *p = *text;
	uint64_t n = 0;

	if (*p < '0' || *p > '9')
		return false;
	for (; *p >= '0' && *p <= '9'; p++) {
		if (__builtin_mul_overflow(n, 10u, &n) ||
			__builtin_add_overflow(n, (uint64_t)(*p - '0'), &n) || n > max)
			return false;
	}
	*ret = n;
	*text = p + 1;
	return *p == end;
}

bool lease_parse(const char *text, size_t len, struct lease *ret)
{
	static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
	char copy[LEASE_TEXT_BYTES];
	const char *p = copy + BOOT_ID_LEN + 1;
	uint64_t pid, ticks;
	size_t i;

	if (len <= BOOT_ID_LEN || len >= sizeof(copy) || memchr(text, 0, len))
		return false;
	memcpy(copy, text, len);
	copy[len] = '\0';
	for (i = 0; form[i]; i++) {
		if (form[i] == '-' ? copy[i] != '-' : !strchr("0123456789abcdef", copy[i]))
			return false;
	}
	if (copy[i] != ':' || !take_number(&p, ':', INT32_MAX, &pid) || pid == 0 ||
		!take_number(&p, '\0', UINT64_MAX, &ticks))
		return false;
	memcpy(ret->boot, copy, BOOT_ID_LEN);
	ret->boot[BOOT_ID_LEN] = '\0';
	ret->pid = (uint32_t)pid;
	ret->start_ticks = ticks;
	return true;
}

bool lease_is_alive(const struct lease *l)
{
	char boot[BOOT_ID_LEN + 1];
	uint64_t ticks = 0;
	char state = 0;

	if (read_boot_id(boot, NULL) < 0 || !str_eq(boot, l->boot))
		return false;
	/* One that nobody has waited for yet does nothing any more. */
	return read_start(l->pid, &state, &ticks) && ticks == l->start_ticks && state != 'Z' &&
	       state != 'X';
}

/* Two names on one byte would only wait for each other in vain: 62 bits of a hash. */
static int byte_of(const char *name, uint64_t *ret, struct imbrex_error *err)
{
	struct hash_value h;
	int r = hash_bytes(HASH_SHA256, name, strlen(name), &h);

	if (r < 0)
		return fail_code(err, r, "hash the name of a lock");
	memcpy(ret, h.bytes, sizeof(*ret));
	*ret >>= 2;
	return 0;
}

int lease_lock(int dirfd, const char *name, bool wait, int *ret_fd, struct imbrex_error *err)
{
	AUTO_CLOSE int fd = -EBADF;
	uint64_t at = 0;
	int r = byte_of(name, &at, err);

	if (r < 0)
		return r;
	fd = open_beneath(dirfd, LOCK_FILE, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0600,
		BENEATH_NO_SYMLINKS);
	if (fd < 0)
		return fail_code(err, fd, "open '%s' in the directory of the store", LOCK_FILE);
	r = fd_lock_byte(fd, at, LOCK_EXCLUSIVE, wait);
	if (r == -EAGAIN)
		return 0;
	if (r < 0)
		return fail_code(err, r, "lock '%s'", name);
	*ret_fd = take_fd(fd);
	return 1;
}
