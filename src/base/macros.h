/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attributes, scoped cleanup and ownership macros.
 *
 * Declare and acquire in one statement: release order is the reverse of declaration order.
 * No goto in a function that uses these. Give ownership away with take_ptr()/take_fd().
 */
#ifndef BASE_MACROS_H
#define BASE_MACROS_H

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define MUST_CHECK        __attribute__((warn_unused_result))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))
#define UNUSED            __attribute__((unused))
#define PUBLIC            __attribute__((visibility("default")))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)    ((a) < (b) ? (a) : (b))
#define MAX(a, b)    ((a) > (b) ? (a) : (b))

/* The object that embeds `member` at `ptr`: the one named downcast of the house. */
#define CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

/*
 * Defines cleanup_NAME(TYPE **p) for a free function that takes NULL. Use right under the
 * prototype of the free function:  DEFINE_CLEANUP(sink, struct sink, sink_free)
 *                                  #define AUTO_SINK AUTO(sink)
 */
#define DEFINE_CLEANUP(name, type, free_fn)         \
	static inline void cleanup_##name(type **p) \
	{                                           \
		free_fn(*p);                        \
	}
#define AUTO(name) __attribute__((cleanup(cleanup_##name)))

static inline void cleanup_free(void *p)
{
	free(*(void **)p);
}

/* Closes and keeps errno; -EBADF (or any negative) is "none". Returns -EBADF for reassignment. */
static inline int close_fd(int fd)
{
	int saved = errno;

	if (fd >= 0)
		(void)close(fd); /* reading side or error path: nothing left to learn */
	errno = saved;
	return -EBADF;
}

static inline void cleanup_close(int *fd)
{
	(void)close_fd(*fd);
}

#define AUTO_FREE  __attribute__((cleanup(cleanup_free)))
#define AUTO_CLOSE __attribute__((cleanup(cleanup_close)))

#define take_ptr(p)                         \
	({                                  \
		__typeof__(p) taken_ = (p); \
		(p) = NULL;                 \
		taken_;                     \
	})

static inline int take_fd_p(int *fd)
{
	int taken = *fd;

	*fd = -EBADF;
	return taken;
}
#define take_fd(fd) take_fd_p(&(fd))

#endif
