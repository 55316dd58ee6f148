/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capset(2) by hand: what libcap would add is text forms, which nothing here needs.
 *
 * Inheritable stays empty, so that a file capability cannot bring back what was dropped
 * (the hole of CVE-2022-27651 and its siblings).
 */
#include "run/caps.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "base/error.h"

static const int default_caps[] = { CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID, CAP_KILL,
	CAP_NET_BIND_SERVICE, CAP_SETFCAP, CAP_SETGID, CAP_SETPCAP, CAP_SETUID, CAP_SYS_CHROOT };

static int get(struct __user_cap_data_struct data[2])
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };

	return (int)syscall(SYS_capget, &header, data);
}

uint64_t run_caps_set(enum imbrex_run_caps caps)
{
	uint64_t set = 0;
	size_t i;

	if (caps == IMBREX_RUN_CAPS_ALL)
		return UINT64_MAX;
	for (i = 0; caps == IMBREX_RUN_CAPS_DEFAULT && i < ARRAY_LEN(default_caps); i++)
		set |= 1ull << default_caps[i];
	return set;
}

int run_caps_bound(uint64_t keep, struct imbrex_error *err)
{
	int cap, held;

	for (cap = 0; cap < 64; cap++) {
		if (keep & (1ull << cap))
			continue;
		held = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);
		if (held < 0)
			return 0; /* EINVAL: past the last capability this kernel knows */
		if (held && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return fail_errno(err, "drop capability %d from the bounding set", cap);
	}
	return 0;
}

int run_caps_apply(uint64_t keep, struct imbrex_error *err)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2] = { 0 };
	size_t i;

	if (get(data) < 0)
		return fail_errno(err, "read capabilities");
	for (i = 0; i < ARRAY_LEN(data); i++) {
		data[i].permitted &= (uint32_t)(keep >> (32 * i));
		data[i].effective = data[i].permitted;
		data[i].inheritable = 0;
	}
	/* Kernels before 4.3 have no ambient set: EINVAL, and nothing to clear. */
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
		return fail_errno(err, "clear ambient capabilities");
	if (syscall(SYS_capset, &header, data) < 0)
		return fail_errno(err, "set capabilities");
	return 0;
}
