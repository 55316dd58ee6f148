/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a run will do, as data: options become a list of operations that exec.c applies in order.
 *
 * Planning touches nothing and asks the kernel nothing, so that a test (or a person, by the debug
 * option) can read all of it. A step that belongs between two others, as a hook does, is one more
 * operation.
 * Lifecycle: run_plan_new -> run_plan_free. Threading: none. Errors: fills err.
 */
#ifndef RUN_PLAN_H
#define RUN_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/macros.h"
#include "base/str.h"
#include "base/strv.h"
#include "imbrex/run.h"

/* The kernel's own limit of one exec string (MAX_ARG_STRLEN), and a sane number of them. */
#define RUN_STRING_BYTES 131072u
#define RUN_STRINGS_MAX  65536u
/* Mounts asked for by the caller; each costs a mount of the kernel's 100,000 per namespace. */
#define RUN_MOUNTS_MAX 4096u

enum run_op_kind {
	RUN_OP_SLAVE,         /* our mounts no longer reach the caller's namespace */
	RUN_OP_ROOT,          /* the root file system, cloned and attached */
	RUN_OP_FS,            /* a new file system of `type` on `target` */
	RUN_OP_BIND,          /* `source` of the caller's namespace on `target` */
	RUN_OP_DEVICE,        /* character device `source` (path outside) as `target` */
	RUN_OP_DIR,           /* directory in a file system that was mounted before */
	RUN_OP_SYMLINK,       /* `target` becomes a link to `source` */
	RUN_OP_HIDE,          /* `target`, if there, shows an empty file or directory */
	RUN_OP_FREEZE,        /* `target`, if there, becomes read-only */
	RUN_OP_ROOT_READONLY, /* the root mount becomes read-only */
	RUN_OP_LOOPBACK,      /* interface lo goes up */
	RUN_OP_HOSTNAME,      /* `source` */
	RUN_OP_PIVOT,         /* the root is "/", everything else is gone */
	RUN_OP_FORK_INIT,     /* this process stays as process 1; the rest happens in its child */
	RUN_OP_IDENTITY,      /* user and groups are looked up, the environment is completed */
	RUN_OP_WORKDIR,       /* `target` is made and entered */
	RUN_OP_SECCOMP,       /* the filter is installed */
	RUN_OP_PRIVILEGES,    /* groups, ids, capabilities, no_new_privs */
	RUN_OP_EXEC,          /* argv */
};

enum run_op_flag {
	RUN_STRICT = 1 << 0,    /* no symbolic link on the way to target, and checked afterwards */
	RUN_RECURSIVE = 1 << 1, /* BIND: with the mounts below */
	RUN_OPTIONAL = 1 << 2,  /* without the source (BIND) or in this kernel (FS): nothing */
	RUN_GUARDED = 1 << 3,   /* a mount point of the caller: neither "/" nor in /proc */
	RUN_OR_BIND = 1 << 4,   /* FS: where the kernel refuses a new one, bind `source` */
};

struct run_op {
	enum run_op_kind kind;
	unsigned flags;     /* enum run_op_flag */
	uint64_t attrs;     /* MOUNT_ATTR_* */
	const char *type;   /* FS; static */
	const char *source; /* borrowed from the options, or static */
	const char *target; /* absolute path inside; borrowed or static */
	const char *data;   /* FS: mount options "a=b,c"; borrowed or static; NULL is none */
	mode_t mode;        /* DIR */
	dev_t rdev;         /* DEVICE */
};

struct run_plan {
	const struct imbrex_run_opts *opts; /* borrowed; must outlive the plan */
	enum imbrex_run_userns userns;      /* as decided; never AUTO */
	uint64_t clone_flags;               /* namespaces that are born with the child */
	int unshare_flags;                  /* namespaces the child makes itself, afterwards */
	struct run_op *ops;                 /* owned */
	size_t n_ops;
};

/* What planning needs to know of the caller; looked up once, given by tests. */
struct run_facts {
	uid_t euid;
	gid_t egid;
	bool privileged; /* CAP_SYS_ADMIN in our user namespace */
	bool has_subids; /* ranges exist and newuidmap can be run */
	char *tty;       /* borrowed; path of the terminal on stdin; NULL if it is none */
};

void run_plan_free(struct run_plan *p);
DEFINE_CLEANUP(run_plan, struct run_plan, run_plan_free)
#define AUTO_RUN_PLAN AUTO(run_plan) struct run_plan

/* Errors EINVAL, ELIMIT for options that make no sense, EPERM for those the caller may not use. */
int run_plan_new(const struct imbrex_run_opts *opts, const struct run_facts *facts,
	struct run_plan **ret_plan, struct imbrex_error *err) MUST_CHECK;

/* One line of text for an operation. Control bytes become '?'. 0 or -errno. */
int run_op_describe(const struct run_plan *p, const struct run_op *op, struct str *ret) MUST_CHECK;
const char *run_op_name(enum run_op_kind kind);

#endif
