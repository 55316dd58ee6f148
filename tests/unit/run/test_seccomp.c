/* SPDX-License-Identifier: Apache-2.0 */
/* The filter, run by an interpreter of its five instructions: what is refused, and how. */
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>

#include <cmocka.h>

#include "run/seccomp.h"

#define EPERM_ANSWER (SECCOMP_RET_ERRNO | EPERM)

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#else
#define ARCH AUDIT_ARCH_AARCH64
#endif

static uint32_t answer(uint32_t arch, int nr, uint64_t arg0, uint64_t arg1)
{
	const struct seccomp_data data = { .nr = nr, .arch = arch, .args = { arg0, arg1 } };
	const struct sock_filter *f;
	uint32_t a = 0;
	size_t n, pc;

	f = run_seccomp_program(&n);
	for (pc = 0; pc < n; pc++) {
		switch (f[pc].code) {
		case BPF_LD | BPF_W | BPF_ABS:
			assert_true(f[pc].k + sizeof(a) <= sizeof(data));
			memcpy(&a, (const char *)&data + f[pc].k, sizeof(a));
			break;
		case BPF_JMP | BPF_JA:
			pc += f[pc].k;
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
			pc += a == f[pc].k ? f[pc].jt : f[pc].jf;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			pc += a >= f[pc].k ? f[pc].jt : f[pc].jf;
			break;
		case BPF_RET | BPF_K:
			return f[pc].k;
		default:
			fail_msg("instruction %zu has code %u", pc, f[pc].code);
		}
	}
	fail_msg("the program does not return");
	return 0;
}

static void calls_on_the_whole_machine_are_refused(void **state)
{
	static const int calls[] = { SYS_kexec_load, SYS_init_module, SYS_finit_module, SYS_bpf,
		SYS_perf_event_open, SYS_keyctl, SYS_open_by_handle_at, SYS_reboot, SYS_swapon,
		SYS_vhangup, SYS_userfaultfd, SYS_io_uring_setup, SYS_acct };
	size_t i;

	for (i = 0; i < ARRAY_LEN(calls); i++)
		assert_int_equal(answer(ARCH, calls[i], 0, 0), EPERM_ANSWER);
}

static void ordinary_calls_are_allowed(void **state)
{
	int nr;

	for (nr = 0; nr < 20; nr++)
		if (nr != SYS_ioctl)
			assert_true(answer(ARCH, nr, 0, 0) == SECCOMP_RET_ALLOW ||
				    nr == SYS_io_uring_setup || nr == SYS_lookup_dcookie);
	assert_int_equal(answer(ARCH, SYS_execve, 0, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(answer(ARCH, SYS_ptrace, 0, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(answer(ARCH, SYS_unshare, 0, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(answer(ARCH, SYS_mount, 0, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(answer(ARCH, 9999, 0, 0), SECCOMP_RET_ALLOW);
}

static void input_cannot_be_put_into_the_terminal(void **state)
{
	assert_int_equal(answer(ARCH, SYS_ioctl, 0, 0x5412), EPERM_ANSWER);
	assert_int_equal(answer(ARCH, SYS_ioctl, 0, 0x541c), EPERM_ANSWER);
	/* The kernel looks at 32 bits of the request only (CVE-2019-10063). */
	assert_int_equal(answer(ARCH, SYS_ioctl, 0, 0x100005412ull), EPERM_ANSWER);
	assert_int_equal(answer(ARCH, SYS_ioctl, 0, 0x5413), SECCOMP_RET_ALLOW);
}

static void vsock_is_an_unknown_family(void **state)
{
	assert_int_equal(answer(ARCH, SYS_socket, 40, 0), SECCOMP_RET_ERRNO | EAFNOSUPPORT);
	assert_int_equal(answer(ARCH, SYS_socket, 2, 0), SECCOMP_RET_ALLOW);
}

static void other_conventions_are_no_way_around(void **state)
{
	assert_int_equal(answer(AUDIT_ARCH_S390X, 1, 0, 0), SECCOMP_RET_ERRNO | ENOSYS);
#if defined(__x86_64__)
	assert_int_equal(answer(ARCH, 0x40000000 | SYS_bpf, 0, 0), SECCOMP_RET_ERRNO | ENOSYS);
	assert_int_equal(answer(AUDIT_ARCH_I386, 357, 0, 0), EPERM_ANSWER);
	assert_int_equal(answer(AUDIT_ARCH_I386, 128, 0, 0), EPERM_ANSWER);
	assert_int_equal(answer(AUDIT_ARCH_I386, 54, 0, 0x5412), EPERM_ANSWER);
	assert_int_equal(answer(AUDIT_ARCH_I386, 11, 0, 0), SECCOMP_RET_ALLOW);
#endif
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_on_the_whole_machine_are_refused),
		cmocka_unit_test(ordinary_calls_are_allowed),
		cmocka_unit_test(input_cannot_be_put_into_the_terminal),
		cmocka_unit_test(vsock_is_an_unknown_family),
		cmocka_unit_test(other_conventions_are_no_way_around),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
