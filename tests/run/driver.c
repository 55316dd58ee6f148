/* SPDX-License-Identifier: Apache-2.0 */
/*
 * imbrex_run() as a program, one flag a member of struct imbrex_run_opts, for tests and figures.
 *
 * usage: driver [FLAG]... ROOTFS COMMAND [ARG]...
 * Exit status as the command line promises: 125 for our own failure, message on stderr.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/macros.h"
#include "imbrex/run.h"

#define LIST_MAX 8192

static const char *env[LIST_MAX];
static struct imbrex_run_mount mounts[LIST_MAX];
static struct imbrex_run_idmap maps[1];
static int root_fd = -EBADF;

static void print_line(void *userdata, const char *line)
{
	fprintf(stderr, "plan: %s\n", line);
}

/* "bind,SRC,DST[,ro][,rec]" or "tmpfs,DST[,OPTIONS]"; OPTIONS with ';' for ','. */
static void parse_mount(char *text, struct imbrex_run_mount *m)
{
	char *type = strsep(&text, ",");
	char *word;

	if (strcmp(type, "tmpfs") == 0) {
		m->type = IMBREX_RUN_MOUNT_TMPFS;
		m->target = strsep(&text, ",");
		m->data = text;
		for (; text && *text; text++)
			if (*text == ';')
				*text = ',';
		return;
	}
	m->type = IMBREX_RUN_MOUNT_BIND;
	m->source = strsep(&text, ",");
	m->target = strsep(&text, ",");
	while ((word = strsep(&text, ","))) {
		m->read_only |= strcmp(word, "ro") == 0;
		m->recursive |= strcmp(word, "rec") == 0;
		m->noexec |= strcmp(word, "noexec") == 0;
	}
}

static unsigned parse_share(const char *text)
{
	static const char *const names[] = { "pid", "ipc", "uts", "cgroup", "net" };
	unsigned share = 0;
	size_t i;

	for (i = 0; i < ARRAY_LEN(names); i++)
		if (strstr(text, names[i]))
			share |= 1u << i;
	return share;
}

static int value_flag(const char *flag, char *value, struct imbrex_run_opts *o, size_t *n_env)
{
	if (strcmp(flag, "--env") == 0)
		env[(*n_env)++] = value;
	else if (strcmp(flag, "--workdir") == 0)
		o->workdir = value;
	else if (strcmp(flag, "--user") == 0)
		o->user = value;
	else if (strcmp(flag, "--hostname") == 0)
		o->hostname = value;
	else if (strcmp(flag, "--mount") == 0)
		parse_mount(value, &mounts[o->n_mounts++]);
	else if (strcmp(flag, "--share") == 0)
		o->share = parse_share(value);
	else if (strcmp(flag, "--userns") == 0)
		o->userns = (enum imbrex_run_userns)atol(value);
	else if (strcmp(flag, "--caps") == 0)
		o->caps = (enum imbrex_run_caps)atol(value);
	else if (strcmp(flag, "--preserve-fds") == 0)
		o->preserve_fds = (unsigned)atol(value);
	else
		return -1;
	return 0;
}

static int plain_flag(const char *flag, struct imbrex_run_opts *o)
{
	const struct {
		const char *name;
		bool *value;
	} flags[] = {
		{ "--read-only", &o->read_only },
		{ "--detached", &o->rootfs_is_detached },
		{ "--keep-id", &o->keep_id },
		{ "--nnp", &o->no_new_privs },
		{ "--no-seccomp", &o->no_seccomp },
		{ "--no-mask", &o->no_mask },
		{ "--no-init", &o->no_init },
		{ "--resolv", &o->bind_resolv_conf },
		{ "--hosts", &o->bind_hosts },
	};
	size_t i;

	if (strcmp(flag, "--debug") == 0) {
		o->debug = print_line;
		return 0;
	}
	for (i = 0; i < ARRAY_LEN(flags); i++)
		if (strcmp(flag, flags[i].name) == 0) {
			*flags[i].value = true;
			return 0;
		}
	return -1;
}

int main(int argc, char **argv)
{
	struct imbrex_run_opts o = { .mounts = mounts, .env = env };
	struct imbrex_error err = { 0 };
	size_t n_env = 0;
	int i, r, status = 0;

	for (i = 1; i < argc && argv[i][0] == '-'; i++) {
		if (plain_flag(argv[i], &o) == 0)
			continue;
		if (i + 1 == argc || value_flag(argv[i], argv[i + 1], &o, &n_env) < 0) {
			fprintf(stderr, "driver: unknown flag %s\n", argv[i]);
			return 2;
		}
		i++;
	}
	if (i == argc)
		return 2;
	o.rootfs = argv[i];
	o.argv = (const char *const *)(argv + i + 1);
	if (o.userns == IMBREX_RUN_USERNS_MAPS) {
		maps[0] = (struct imbrex_run_idmap){ 0, 100000, 65536 };
		o.uid_maps = o.gid_maps = maps;
		o.n_uid_maps = o.n_gid_maps = 1;
	}
	if (o.rootfs_is_detached) {
		root_fd = open_tree(AT_FDCWD, o.rootfs, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
		o.rootfs = NULL;
		o.rootfs_fd = &root_fd;
	}
	r = imbrex_run(&o, &status, &err);
	if (r < 0 || err.status)
		fprintf(stderr, "driver: %s%s%s\n", err.message, err.hint[0] ? "\nhint: " : "",
			err.hint);
	return r < 0 ? 125 : status;
}
