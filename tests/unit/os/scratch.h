/* SPDX-License-Identifier: Apache-2.0 */
/* A temporary directory for one test, opened and removed with everything in it. */
#ifndef TEST_OS_SCRATCH_H
#define TEST_OS_SCRATCH_H

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "os/beneath.h"

struct scratch {
	char path[256];
	int base_fd;
	int fd;
};

static inline int scratch_setup(void **state)
{
	struct scratch *s = calloc(1, sizeof(*s));
	const char *base = getenv("TMPDIR");

	if (!s)
		return -1;
	(void)snprintf(s->path, sizeof(s->path), "%s/imbrex-os-XXXXXX", base ? base : "/tmp");
	if (!mkdtemp(s->path))
		return -1;
	s->fd = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	s->base_fd = open(base ? base : "/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = s;
	return s->fd < 0 ? -1 : 0;
}

static inline int scratch_teardown(void **state)
{
	struct scratch *s = *state;
	struct imbrex_error err = { 0 };
	int r = remove_tree_detach_at(s->base_fd, strrchr(s->path, '/') + 1, &err);

	(void)close(s->base_fd);
	if (r < 0)
		(void)fprintf(stderr, "teardown: %s\n", err.message);
	(void)close(s->fd);
	free(s);
	return r;
}

/* A file with text, made without the code under test. */
static inline void scratch_file(int dirfd, const char *name, const char *text)
{
	int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(close(fd), 0);
}

static inline void scratch_expect(int dirfd, const char *name, const char *text)
{
	char buf[4096] = "";
	int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_true(read(fd, buf, sizeof(buf) - 1) >= 0);
	assert_string_equal(buf, text);
	assert_int_equal(close(fd), 0);
}

static inline int scratch_has(int dirfd, const char *name)
{
	struct stat st;

	return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

#define scratch_test(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

#endif
