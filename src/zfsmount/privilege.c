/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One capability, in effect for single system calls. capset(2) by hand: libcap would add text
 * forms. Source: capabilities(7), capget(2), prctl(2).
 */
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "base/error.h"
#include "zfsmount/zfsmount.h"

#define SYS_ADMIN_WORD (CAP_SYS_ADMIN / 32)
#define SYS_ADMIN_BIT  (1u << (CAP_SYS_ADMIN % 32))

static int set(bool permitted, bool effective)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { { 0 } };

	data[SYS_ADMIN_WORD].permitted = permitted ? SYS_ADMIN_BIT : 0;
	data[SYS_ADMIN_WORD].effective = effective ? SYS_ADMIN_BIT : 0;
	return (int)syscall(SYS_capset, &header, data);
}

int privilege_init(struct imbrex_error *err)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { { 0 } };
	int r;

	if (syscall(SYS_capget, &header, data) < 0)
		return fail_errno(err, "get capabilities");
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 ||
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return fail_errno(err, "give up privileges");
	if (!(data[SYS_ADMIN_WORD].permitted & SYS_ADMIN_BIT)) {
		r = fail(err, IMBREX_EPERM, "it has no capability to mount");
		return hint(err, r, "as root: setcap cap_sys_admin+p PATH-OF-THIS-PROGRAM");
	}
	return set(true, false) < 0 ? fail_errno(err, "set capabilities") : 0;
}

int privilege_set(bool on, struct imbrex_error *err)
{
	return set(true, on) < 0 ? fail_errno(err, "set capabilities") : 0;
}
