/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Run a program in a root file system.
 *
 * imbrex_run() knows nothing of images or stores: it gets a directory (or a detached mount) that
 * is a root file system, and options. It forks, enters new namespaces, mounts what a program
 * expects around the root, gives up privilege, executes the program, passes signals on and
 * returns its exit status.
 *
 * Lifecycle: one call; nothing is kept. Threading: the calling process must have one thread only,
 * anything else is refused. While the call lasts it owns the process: all signals that can be
 * passed on are blocked and SIGCHLD is at its default; both are put back on return.
 * Errors: fills err. docs/run.md says what is and what is not protected.
 */
#ifndef IMBREX_RUN_H
#define IMBREX_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "imbrex/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Namespaces that are shared with the caller; every one not named is new. Mounts are never shared.
 */
enum imbrex_run_share {
	IMBREX_RUN_SHARE_PID = 1 << 0,
	IMBREX_RUN_SHARE_IPC = 1 << 1,
	IMBREX_RUN_SHARE_UTS = 1 << 2,
	IMBREX_RUN_SHARE_CGROUP = 1 << 3,
	IMBREX_RUN_SHARE_NET = 1 << 4 /* else a new one with only lo, which is up */
};

enum imbrex_run_userns {
	IMBREX_RUN_USERNS_AUTO =
		0, /* NONE for a privileged caller, else SUBIDS if it can, else SINGLE */
	IMBREX_RUN_USERNS_NONE = 1,   /* stay in the caller's; needs CAP_SYS_ADMIN there */
	IMBREX_RUN_USERNS_SINGLE = 2, /* one id: the caller's */
	IMBREX_RUN_USERNS_SUBIDS =
		3,                 /* the caller's id and its ranges of /etc/subuid, /etc/subgid */
	IMBREX_RUN_USERNS_MAPS = 4 /* uid_maps and gid_maps below; the caller must be privileged */
};

enum imbrex_run_caps {
	IMBREX_RUN_CAPS_DEFAULT = 0, /* the eleven that podman leaves to a container */
	IMBREX_RUN_CAPS_NONE = 1,
	IMBREX_RUN_CAPS_ALL = 2 /* of the user namespace; for root without one: of the machine */
};

enum imbrex_run_mount_type {
	IMBREX_RUN_MOUNT_BIND = 1, /* a file or directory of the caller's file system */
	IMBREX_RUN_MOUNT_TMPFS = 2
};

struct imbrex_run_mount {
	enum imbrex_run_mount_type type;
	const char *source; /* BIND: absolute path outside; else NULL */
	const char *target; /* absolute path inside; made if missing; links are resolved inside */
	const char *data;   /* TMPFS: "size=1m,mode=1777"; NULL is the default of the kernel */
	bool read_only;
	bool recursive; /* BIND: with the mounts below source; read_only counts for them too */
	bool nosuid, nodev, noexec;
};

/* `count` ids from `inside` on are `outside` and up in the caller's user namespace. */
struct imbrex_run_idmap {
	uint32_t inside, outside, count;
};

/* Zero is the default of every member but rootfs and argv. All pointers are borrowed. */
struct imbrex_run_opts {
	const char *rootfs;   /* path of the root file system, links followed; or NULL and: */
	const int *rootfs_fd; /* a directory, or a detached mount (fsmount, open_tree), see below */
	bool rootfs_is_detached; /* rootfs_fd is a mount that is attached nowhere */
	bool read_only;          /* the root; mounts have their own flag */

	const char *const *argv; /* NULL terminated; argv[0] is looked up in PATH of env, inside */
	const char *const *env;  /* NULL terminated KEY=VALUE, whole; PATH, HOME, HOSTNAME and (on a
				    terminal) TERM are added if missing; NULL is empty */
	const char *workdir;     /* absolute, made if missing; NULL is "/" */
	const char *user;        /* "user[:group]", names or numbers; NULL is 0:0 */
	const char *hostname;    /* NULL keeps the caller's; needs a new uts namespace */

	const struct imbrex_run_mount *mounts; /* in this order, after /proc, /dev and /sys */
	size_t n_mounts;
	bool bind_resolv_conf, bind_hosts, bind_hostname; /* /etc/... of the caller, read-only */

	unsigned share; /* enum imbrex_run_share, or-ed */
	enum imbrex_run_userns userns;
	bool keep_id; /* SINGLE and SUBIDS: the caller is itself inside, not 0 */
	const struct imbrex_run_idmap *uid_maps, *gid_maps; /* MAPS only */
	size_t n_uid_maps, n_gid_maps;

	enum imbrex_run_caps caps;
	bool no_new_privs;     /* set-user-ID programs inside gain nothing */
	bool no_seccomp;       /* without the system call filter of docs/run.md */
	bool no_mask;          /* without the hidden and read-only paths of /proc and /sys */
	bool no_init;          /* the program itself is process 1 of the new pid namespace */
	unsigned preserve_fds; /* pass this many descriptors from 3 on */

	/* Called once before anything is done with one line per step of the plan; may be NULL. */
	void (*debug)(void *userdata, const char *line);
	void *debug_userdata;
};

/*
 * Run and wait.
 *
 * ret_status  exit status of the program; 128 + N if signal N ended it. 127 if the program was
 *             not found and 126 if it could not be executed: the call succeeds, and err (if given)
 *             carries the message, with err->status set; else err->status is untouched.
 * Errors      everything that failed before the program was executed, e.g. EINVAL for options,
 *             EPERM without the rights for namespaces, EFORMAT for a root file system whose
 *             /proc is a symbolic link, EBUSY when the process has threads.
 *
 * Mount points and the working directory that are missing are made in the root file system and
 * stay there.
 */
int imbrex_run(const struct imbrex_run_opts *opts, int *ret_status, struct imbrex_error *err)
	__attribute__((warn_unused_result, visibility("default")));

#ifdef __cplusplus
}
#endif
#endif
