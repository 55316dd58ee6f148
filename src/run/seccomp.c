/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program is a flat chain of comparisons, one section per calling convention:
 *
 *   load arch ─ native ─▶ [x32: ENOSYS] ─▶ refused calls ─▶ ioctl, socket arguments ─▶ allow
 *             ├ i386 (on x86_64) ─▶ the same with its numbers
 *             └ anything else ─▶ ENOSYS
 *
 * It is built at compile time. Each refused call is a pair (compare, return), so that no jump is
 * longer than one; the kernel turns the constant answers into its per-call bitmap (since 5.11),
 * and then the length of the chain costs nothing.
 */
#include "run/seccomp.h"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>

#include "base/error.h"

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define ARG_LOW(n)  (offsetof(struct seccomp_data, args) + 8 * (n))
#define ANSWER(a)   BPF_STMT(BPF_RET | BPF_K, (a))
#define ERRNO(e)    ANSWER(SECCOMP_RET_ERRNO | (e))
#define REFUSE(nr)  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (nr), 0, 1), ERRNO(EPERM)

/* Input injected into the caller's terminal: TIOCSTI, and TIOCLINUX on a console. */
#define CHECK_IOCTL(nr)                                                          \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (nr), 0, 5),                         \
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ARG_LOW(1)),                  \
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x5412, 1, 0),               \
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x541c, 0, 1), ERRNO(EPERM), \
		ANSWER(SECCOMP_RET_ALLOW)

/* AF_VSOCK (40) is not bound to a network namespace and reaches the hypervisor. */
#define CHECK_SOCKET(nr)                                                            \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (nr), 0, 4),                            \
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ARG_LOW(0)),                     \
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 40, 0, 1), ERRNO(EAFNOSUPPORT), \
		ANSWER(SECCOMP_RET_ALLOW)

/* Calls that every architecture of Linux has. */
#define REFUSE_COMMON                                                                              \
	REFUSE(SYS_acct), REFUSE(SYS_add_key), REFUSE(SYS_bpf), REFUSE(SYS_clock_settime),         \
		REFUSE(SYS_delete_module), REFUSE(SYS_fanotify_init), REFUSE(SYS_finit_module),    \
		REFUSE(SYS_init_module), REFUSE(SYS_io_uring_enter),                               \
		REFUSE(SYS_io_uring_register), REFUSE(SYS_io_uring_setup),                         \
		REFUSE(SYS_kexec_file_load), REFUSE(SYS_kexec_load), REFUSE(SYS_keyctl),           \
		REFUSE(SYS_lookup_dcookie), REFUSE(SYS_nfsservctl), REFUSE(SYS_open_by_handle_at), \
		REFUSE(SYS_perf_event_open), REFUSE(SYS_quotactl), REFUSE(443 /* quotactl_fd */),  \
		REFUSE(SYS_reboot), REFUSE(SYS_request_key), REFUSE(SYS_settimeofday),             \
		REFUSE(SYS_swapoff), REFUSE(SYS_swapon), REFUSE(SYS_syslog),                       \
		REFUSE(SYS_userfaultfd), REFUSE(SYS_vhangup)

#if defined(__x86_64__)

/* arch/x86/entry/syscalls/syscall_32.tbl, for programs of 32-bit images. */
#define REFUSE_I386                                                                               \
	REFUSE(51 /* acct */), REFUSE(286 /* add_key */), REFUSE(357 /* bpf */),                  \
		REFUSE(264 /* clock_settime */), REFUSE(404 /* clock_settime64 */),               \
		REFUSE(127 /* create_module */), REFUSE(129 /* delete_module */),                 \
		REFUSE(338 /* fanotify_init */), REFUSE(350 /* finit_module */),                  \
		REFUSE(128 /* init_module */), REFUSE(426 /* io_uring_enter */),                  \
		REFUSE(427 /* io_uring_register */), REFUSE(425 /* io_uring_setup */),            \
		REFUSE(101 /* ioperm */), REFUSE(110 /* iopl */), REFUSE(283 /* kexec_load */),   \
		REFUSE(288 /* keyctl */), REFUSE(253 /* lookup_dcookie */),                       \
		REFUSE(169 /* nfsservctl */), REFUSE(342 /* open_by_handle_at */),                \
		REFUSE(336 /* perf_event_open */), REFUSE(131 /* quotactl */),                    \
		REFUSE(443 /* quotactl_fd */), REFUSE(88 /* reboot */),                           \
		REFUSE(287 /* request_key */), REFUSE(79 /* settimeofday */),                     \
		REFUSE(25 /* stime */), REFUSE(115 /* swapoff */), REFUSE(87 /* swapon */),       \
		REFUSE(103 /* syslog */), REFUSE(86 /* uselib */), REFUSE(374 /* userfaultfd */), \
		REFUSE(111 /* vhangup */), REFUSE(113 /* vm86old */), REFUSE(166 /* vm86 */)

#define NATIVE_ARCH AUDIT_ARCH_X86_64
/* The x32 convention has the same numbers with bit 30 set, and hardly a user. */
#define NATIVE                                                                                  \
	LOAD(nr), BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1), ERRNO(ENOSYS),         \
		REFUSE_COMMON, REFUSE(SYS_create_module), REFUSE(SYS_ioperm), REFUSE(SYS_iopl), \
		REFUSE(SYS_uselib), CHECK_IOCTL(SYS_ioctl), CHECK_SOCKET(SYS_socket),           \
		ANSWER(SECCOMP_RET_ALLOW)
/* socketcall(2), 102, takes its arguments in memory: not checked. */
#define FOREIGN                                                                              \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_I386, 1, 0), ERRNO(ENOSYS), LOAD(nr), \
		REFUSE_I386, CHECK_IOCTL(54), CHECK_SOCKET(359), ANSWER(SECCOMP_RET_ALLOW)

#elif defined(__aarch64__)

#define NATIVE_ARCH AUDIT_ARCH_AARCH64
#define NATIVE                                                                     \
	LOAD(nr), REFUSE_COMMON, CHECK_IOCTL(SYS_ioctl), CHECK_SOCKET(SYS_socket), \
		ANSWER(SECCOMP_RET_ALLOW)
#define FOREIGN ERRNO(ENOSYS)

#else
#error "src/run/seccomp.c has no system call numbers for this architecture"
#endif

enum {
	NATIVE_LEN = sizeof((struct sock_filter[]){ NATIVE }) / sizeof(struct sock_filter),
};

static const struct sock_filter program[] = {
	LOAD(arch),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NATIVE_ARCH, 1, 0),
	BPF_STMT(BPF_JMP | BPF_JA, NATIVE_LEN),
	NATIVE,
	FOREIGN,
};

const struct sock_filter *run_seccomp_program(size_t *ret_len)
{
	*ret_len = ARRAY_LEN(program);
	return program;
}

int run_seccomp_install(struct imbrex_error *err)
{
	struct sock_fprog prog = { ARRAY_LEN(program), NULL };
	struct sock_filter copy[ARRAY_LEN(program)];

	memcpy(copy, program, sizeof(copy)); /* the kernel's struct has no const */
	prog.filter = copy;
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) < 0)
		return fail_errno(err, "install the system call filter");
	return 0;
}
