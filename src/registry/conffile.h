/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening configuration files that a person or an orchestrator placed: symbolic links are followed
 * (mounted secrets and packaged defaults are links), FIFOs never hang. No state. Error tier: err.
 */
#ifndef REGISTRY_CONFFILE_H
#define REGISTRY_CONFFILE_H

#include <sys/stat.h>

#include "base/error.h"
#include "base/str.h"

/*
 * Open a regular file of at most LIMIT_CONF_BYTES for reading.
 *
 * what      for messages: "credentials file"
 * Returns   1 and *ret_fd, *ret_stat; 0 if there is no such file
 * Errors    EFORMAT if it is not a regular file, ELIMIT, and what open() says
 */
int conffile_open(int dirfd, const char *path, const char *what, int *ret_fd, struct stat *ret_stat,
	struct imbrex_error *err) MUST_CHECK;
/* Append such a file to `to` in one buffer. 1 read, 0 no such file. */
int conffile_read(int dirfd, const char *path, const char *what, struct str *to,
	struct imbrex_error *err) MUST_CHECK;
/* Append what is left of an open one. */
int conffile_read_fd(int fd, const struct stat *st, const char *path, const char *what,
	struct str *to, struct imbrex_error *err) MUST_CHECK;

#endif
