/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who a program runs as: a user option against the passwd and group files of an image.
 *
 * Both files are hostile. They are regular files inside the root of at most LIMIT_PASSWD_BYTES;
 * lines that do not follow passwd(5) or group(5) are passed over, as libc does.
 * Lifecycle: zero -> run_user_lookup -> run_user_done. Threading: none. Errors: fills err.
 */
#ifndef RUN_PASSWD_H
#define RUN_PASSWD_H

#include <stddef.h>
#include <sys/types.h>

#include "base/macros.h"
#include "imbrex/error.h"

/* Linux NGROUPS_MAX (include/uapi/linux/limits.h): more cannot be given to a process. */
#define RUN_GROUPS_MAX 65536u
/* A user option: two names or numbers. LOGIN_NAME_MAX of Linux is 256. */
#define RUN_USER_BYTES 513u

struct run_user {
	uid_t uid;
	gid_t gid;
	gid_t *groups; /* owned; supplementary */
	size_t n_groups;
	char *home; /* owned; absolute; NULL if the passwd file names none */
};

void run_user_done(struct run_user *u);
#define AUTO_RUN_USER __attribute__((cleanup(run_user_done))) struct run_user

/*
 * spec  "user[:group]"; each a name or a decimal number. A number need not be in a file; its
 *       group is then 0. Without a group the user's own and its supplementary groups count, with
 *       one only that. Borrowed.
 * text  of the two files; may hold anything; borrowed. NULL if there is no such file.
 * Errors EINVAL for the grammar, ENOENT for a name that is in no file, ELIMIT.
 */
int run_user_resolve(const char *spec, const char *passwd, size_t passwd_len, const char *group,
	size_t group_len, struct run_user *ret_user, struct imbrex_error *err) MUST_CHECK;

/* The same, with /etc/passwd and /etc/group of the root; the files may be missing. */
int run_user_lookup(int rootfd, const char *spec, struct run_user *ret_user,
	struct imbrex_error *err) MUST_CHECK;

#endif
