/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entering a user namespace in place, and knowing that one was entered.
 *
 * The caller itself unshares; a child that stayed outside writes the maps, by newuidmap(1) and
 * newgidmap(1) where there are subordinate ids. Peers mark their namespaces by the environment
 * (_CONTAINERS_USERNS_CONFIGURED); ours is known by its map: id 0 inside is not 0 outside.
 */
#include "store/rootless.h"

#include <fcntl.h>
#include <inttypes.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/limits.h"
#include "base/str.h"
#include "imbrex/store.h"
#include "os/fd.h"
#include "os/proc.h"
#include "os/subid.h"
#include "os/userns.h"

/* What stands behind 0 in an id map, and how many ids it has: "inside outside count" a line. */
static void read_map(const char *path, uid_t *ret_outside_of_zero, uint64_t *ret_n_ids)
{
	AUTO_STR text = STR_INIT(LIMIT_CONF_BYTES);
	uint32_t inside;
	uint32_t outside;
	uint32_t count;
	const char *line;

	*ret_outside_of_zero = 0;
	*ret_n_ids = UINT32_MAX;
	if (read_file_at(AT_FDCWD, path, LIMIT_CONF_BYTES, &text, NULL) < 0)
		return;
	*ret_n_ids = 0;
	for (line = str_text(&text); line && *line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (sscanf(line, "%" SCNu32 " %" SCNu32 " %" SCNu32, &inside, &outside, &count) !=
			3)
			continue;
		if (inside == 0)
			*ret_outside_of_zero = outside;
		*ret_n_ids += count;
	}
}

void rootless_facts_read(struct rootless_facts *ret)
{
	const char *configured = getenv("_CONTAINERS_USERNS_CONFIGURED");
	const char *uid = getenv("_CONTAINERS_ROOTLESS_UID");
	uid_t outside;

	read_map("/proc/self/gid_map", &outside, &ret->n_gids);
	read_map("/proc/self/uid_map", &outside, &ret->n_ids);
	ret->uid = geteuid();
	ret->rootless = ret->uid != 0;
	if (ret->uid != 0)
		return;
	if (outside != 0) {
		ret->rootless = true;
		ret->uid = outside;
	}
	if (configured && *configured) {
		ret->rootless = true;
		if (uid && *uid)
			ret->uid = (uid_t)strtoul(uid, NULL, 10);
	}
}

struct own_maps {
	struct imbrex_id_map uids[1 + LIMIT_ID_MAP_EXTENTS];
	struct imbrex_id_map gids[1 + LIMIT_ID_MAP_EXTENTS];
	struct id_maps maps;
};

static bool overlaps(const struct subid_range *range, const struct imbrex_id_map *map, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if ((uint64_t)map[i].outside < (uint64_t)range->start + range->count &&
			(uint64_t)range->start < (uint64_t)map[i].outside + map[i].count)
			return true;
	}
	return false;
}

/* Our own id as 0, the ranges from 1 on. Files list ranges twice, or under name and number: the
 * kernel takes each id once. */
static size_t build_map(uint32_t own, const struct subid_ranges *ranges, struct imbrex_id_map *map)
{
	uint32_t inside = 1;
	size_t n = 1;
	size_t i;

	map[0] = (struct imbrex_id_map){ .inside = 0, .outside = own, .count = 1 };
	for (i = 0; i < ranges->n && n < LIMIT_ID_MAP_EXTENTS; i++) {
		const struct subid_range *range = &ranges->items[i];

		if (overlaps(range, map, n) || range->count > UINT32_MAX - inside)
			continue;
		map[n++] = (struct imbrex_id_map){
			.inside = inside,
			.outside = range->start,
			.count = range->count,
		};
		inside += range->count;
	}
	return n;
}

static int choose_maps(struct own_maps *m, struct imbrex_error *err)
{
	struct passwd *pw = getpwuid(getuid());
	struct subid_ranges uids = { .n = 0 };
	struct subid_ranges gids = { .n = 0 };
	const char *user = pw ? pw->pw_name : NULL;
	int r;

	r = subid_find(SUBUID_PATH, user, getuid(), &uids, err);
	if (r == 0)
		r = subid_find(SUBGID_PATH, user, getuid(), &gids, err);
	if (r < 0)
		return r;
	/* Both or neither; and without the helper programs one id is all there is. */
	if (!uids.n || !gids.n || !userns_has_helpers())
		uids.n = gids.n = 0;
	m->maps.uids = m->uids;
	m->maps.gids = m->gids;
	m->maps.n_uids = build_map(getuid(), &uids, m->uids);
	m->maps.n_gids = build_map(getgid(), &gids, m->gids);
	return 0;
}

/* The child outside: waits for a byte (the namespace is there), writes the maps, reports. */
static void write_maps_outside(const struct own_maps *m, int from, int to)
{
	struct imbrex_error err = { 0 };
	char byte;

	if (read(from, &byte, 1) == 1)
		err.status = userns_write_maps(getppid(), &m->maps, &err);
	else
		err.status = IMBREX_ECANCELED;
	_exit(write_all(to, &err, sizeof(err)) < 0);
}

static int wait_for_maps(int to, int from, struct imbrex_error *err)
{
	struct imbrex_error outside = { 0 };
	size_t len = 0;

	if (write_all(to, "x", 1) < 0)
		return fail_errno(err, "write to the helper process");
	if (read_all(from, &outside, sizeof(outside), &len) < 0 || len < sizeof(outside))
		return fail(err, IMBREX_EFAIL, "the helper process that writes the id maps died");
	if (outside.status == 0)
		return 0;
	if (err)
		*err = outside;
	return outside.status;
}

static int unshare_with_maps(
	const struct own_maps *m, const int down[2], const int up[2], struct imbrex_error *err)
{
	pid_t pid;
	int r;

	pid = fork();
	if (pid < 0)
		return fail_errno(err, "fork");
	if (pid == 0) {
		(void)close(down[1]); /* so that our death is seen as end of file */
		write_maps_outside(m, down[0], up[1]);
	}
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0) {
		r = fail_errno(err, "create a user namespace");
		r = hint(err, r,
			"the kernel or its settings forbid user namespaces to this user "
			"(sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone)");
		(void)kill(pid, SIGKILL);
	} else {
		r = wait_for_maps(down[1], up[0], err);
	}
	(void)waitpid(pid, NULL, 0);
	return r;
}

PUBLIC int imbrex_userns_enter(struct imbrex_error *err)
{
	struct own_maps m = { 0 };
	int down[2];
	int up[2];
	int r;

	if (geteuid() == 0)
		return 0;
	r = choose_maps(&m, err);
	if (r < 0)
		return r;
	if (pipe2(down, O_CLOEXEC) < 0)
		return fail_errno(err, "create a pipe");
	if (pipe2(up, O_CLOEXEC) < 0) {
		r = fail_errno(err, "create a pipe");
	} else {
		r = unshare_with_maps(&m, down, up, err);
		(void)close_fd(up[0]);
		(void)close_fd(up[1]);
	}
	(void)close_fd(down[0]);
	(void)close_fd(down[1]);
	if (r < 0)
		return r;
	if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
		return fail_errno(err, "become root of the user namespace");
	/* What we mount must not reach the host, what the host mounts may reach us. */
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return fail_errno(err, "make mounts private to the namespace");
	return 0;
}
