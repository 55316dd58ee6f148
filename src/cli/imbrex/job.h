/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A job: a program to run in a container, for every verb that runs one.
 *
 * zeroed but for `args` -> job_set_mounts -> job_set_image -> job_catch_signals ->
 * job_in_container -> job_done. The job borrows the options and the words of the command line, and
 * owns what it made of them. Threading: none. Errors: err, but for job_in_container(), which prints
 * its messages and returns an exit status.
 */
#ifndef CLI_IMBREX_JOB_H
#define CLI_IMBREX_JOB_H

#include "base/strv.h"
#include "cli/cli.h"

/* How a program runs: what the options of every such verb say. */
struct job_args {
	const char *workdir, *user, *hostname, *entrypoint;
	struct opt_list env, mounts, tmpfs;
	bool read_only, no_init, no_new_privs;
	int network; /* enum job_network */
};

enum job_network {
	JOB_NETWORK_HOST = 0,
	JOB_NETWORK_NONE
};

extern const char *const job_networks[];

/* Rows of an option table, for a verb's struct with a `struct job_args` member. */
#define JOB_OPTS(type, member)                                                                \
	{ "read-only", 0, OPT_FLAG, offsetof(type, member.read_only), NULL,                   \
		"the root file system cannot be written" },                                   \
		{ "rw", 0, OPT_NO_FLAG, offsetof(type, member.read_only), NULL,               \
			"it can be written: the default" },                                   \
		{ "env", 'e', OPT_LIST, offsetof(type, member.env), "KEY[=VALUE]",            \
			"set a variable, or pass on the caller's" },                          \
		{ "mount", 'v', OPT_LIST, offsetof(type, member.mounts), "SRC:DST[:OPTIONS]", \
			"show a file or directory of this machine inside" },                  \
		{ "tmpfs", 0, OPT_LIST, offsetof(type, member.tmpfs), "DST[:OPTIONS]",        \
			"an empty file system in memory" },                                   \
		{ "workdir", 'w', OPT_TEXT, offsetof(type, member.workdir), "DIR",            \
			"start in this directory, made if missing" },                         \
		{ "user", 'u', OPT_TEXT, offsetof(type, member.user), "USER[:GROUP]",         \
			"run as this user, by name or number" },                              \
		{ "hostname", 0, OPT_TEXT, offsetof(type, member.hostname), "NAME",           \
			"host name inside" },                                                 \
		{ "network", 0, OPT_CHOICE, offsetof(type, member.network), "WHICH",          \
			"host: this machine's; none: only a loopback", job_networks },        \
		{ "entrypoint", 0, OPT_TEXT, offsetof(type, member.entrypoint), "PROGRAM",    \
			"in place of the image's; empty for none" },                          \
		{ "no-init", 0, OPT_FLAG, offsetof(type, member.no_init), NULL,               \
			"the program itself is process 1" },                                  \
	{                                                                                     \
		"no-new-privs", 0, OPT_FLAG, offsetof(type, member.no_new_privs), NULL,       \
			"set-user-ID programs gain nothing"                                   \
	}

struct job {
	const struct job_args *args;
	struct imbrex_image_process process; /* valid if have_process */
	bool have_process;
	struct strv argv, env;
	struct strv texts; /* of the mounts */
	struct imbrex_run_mount *mounts;
	size_t n_mounts;
};

/*
 * The mounts that the options ask for. Before anything is fetched or made: a slip in an option
 * shall cost nothing.
 */
int job_set_mounts(struct job *j, struct imbrex_error *err) MUST_CHECK;
/*
 * The program, its arguments and environment: of the image, unless the command line says otherwise.
 *
 * image    id, or "" if there is none to ask
 * called   what messages call the image
 * Errors EINVAL if neither names a program.
 */
int job_set_image(struct cli *c, struct imbrex_store *s, const char *image, const char *called,
	struct job *j, struct imbrex_error *err) MUST_CHECK;
/*
 * From here on a signal that would end us only keeps the job from starting, so that what was
 * mounted or made is undone. While the program runs, signals are its own.
 */
int job_catch_signals(struct imbrex_error *err) MUST_CHECK;
/* Mount the container, run the job in it, unmount. Returns the exit status; messages are printed.
 */
int job_in_container(
	struct cli *c, struct imbrex_store *s, const struct job *j, const char *container);
void job_done(struct job *j);
#define AUTO_JOB __attribute__((cleanup(job_done))) struct job

#endif
