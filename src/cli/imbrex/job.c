/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From options and an image to imbrex_run(), in a container that exists.
 *
 * Invariants: (1) what job_in_container() has mounted it unmounts, whatever the program did; (2) a
 * signal that would end us between the two only sets a flag.
 */
#include "cli/imbrex/job.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/str.h"

const char *const job_networks[] = { "host", "none", NULL };

static volatile sig_atomic_t caught;

static void on_signal(int signo)
{
	caught = signo;
}

/* ---- program and environment ------------------------------------------------------------- */

static int add_all(struct strv *to, char *const *words)
{
	size_t i;
	int r;

	for (i = 0; words[i]; i++) {
		r = strv_add(to, words[i]);
		if (r < 0)
			return r;
	}
	return 0;
}

/* The command line replaces the image's command; --entrypoint replaces both words of the image. */
static int build_argv(
	const struct cli *c, const char *called, struct job *j, struct imbrex_error *err)
{
	const char *entrypoint = j->args->entrypoint;
	int r = 0;

	if (entrypoint && *entrypoint)
		r = strv_add(&j->argv, entrypoint);
	else if (!entrypoint && j->have_process)
		r = add_all(&j->argv, j->process.entrypoint);
	if (r >= 0 && c->n_operands > 1)
		r = add_all(&j->argv, c->operands + 1);
	else if (r >= 0 && !entrypoint && j->have_process)
		r = add_all(&j->argv, j->process.cmd);
	if (r < 0)
		return fail_nomem(err);
	if (!j->argv.n) {
		if (j->have_process)
			r = fail(err, IMBREX_EINVAL, "image '%s' names no program to run", called);
		else
			r = fail(err, IMBREX_EINVAL,
				"container '%s' has no image that names a program to run",
				c->operands[0]);
		return hint(err, r, "%s %s %s CMD", c->face->name, c->verb->name, c->operands[0]);
	}
	return 0;
}

/* "K=V" takes the place of an earlier K. */
static int set_env(struct strv *env, const char *assignment)
{
	size_t len = strcspn(assignment, "="), i;

	for (i = 0; i < env->n; i++) {
		if (strncmp(env->items[i], assignment, len) == 0 && env->items[i][len] == '=') {
			strv_remove(env, i);
			break;
		}
	}
	return strv_add(env, assignment);
}

static int build_env(struct job *j, struct imbrex_error *err)
{
	const struct opt_list *list = &j->args->env;
	const char *value;
	size_t i;
	int r = 0;

	if (j->have_process)
		r = add_all(&j->env, j->process.env);
	for (i = 0; r >= 0 && i < list->n; i++) {
		const char *item = list->items[i];
		AUTO_FREE char *inherited = NULL;

		if (!*item || *item == '=')
			return fail(err, IMBREX_EINVAL,
				"option --env takes KEY or KEY=VALUE, not '%s'", item);
		if (!strchr(item, '=')) {
			value = getenv(item);
			if (!value)
				continue;
			inherited = format_text("%s=%s", item, value);
			if (!inherited)
				return fail_nomem(err);
			item = inherited;
		}
		r = set_env(&j->env, item);
	}
	return r < 0 ? fail_nomem(err) : 0;
}

/* ---- mounts ------------------------------------------------------------------------------ */

static int mount_words(
	struct imbrex_run_mount *m, const char *words, const char *spec, struct imbrex_error *err)
{
	size_t len;

	for (; *words; words += len + (words[len] == ',')) {
		len = strcspn(words, ",");
		if (strncmp(words, "ro", len) == 0 && len == 2)
			m->read_only = true;
		else if (strncmp(words, "rw", len) == 0 && len == 2)
			m->read_only = false;
		else if (strncmp(words, "rbind", len) == 0 && len == 5)
			m->recursive = true;
		else if (strncmp(words, "bind", len) == 0 && len == 4)
			m->recursive = false;
		else if (strncmp(words, "nosuid", len) == 0 && len == 6)
			m->nosuid = true;
		else if (strncmp(words, "nodev", len) == 0 && len == 5)
			m->nodev = true;
		else if (strncmp(words, "noexec", len) == 0 && len == 6)
			m->noexec = true;
		else
			return fail(err, IMBREX_EINVAL, "mount '%s': unknown option '%.*s'", spec,
				(int)MIN(len, 64u), words);
	}
	return 0;
}

/* SRC:DST[:OPTIONS]; a relative SRC is of the current directory. */
static int add_bind(struct job *j, const char *spec, struct imbrex_error *err)
{
	struct imbrex_run_mount *m = &j->mounts[j->n_mounts];
	const char *target = strchr(spec, ':');
	AUTO_FREE char *source = NULL;
	AUTO_FREE char *resolved = NULL;
	size_t len;

	if (!target || target == spec || target[1] != '/')
		return fail(err, IMBREX_EINVAL,
			"option --mount takes SRC:DST[:OPTIONS] with an absolute DST, not '%s'",
			spec);
	source = strndup(spec, (size_t)(target - spec));
	if (!source)
		return fail_nomem(err);
	resolved = realpath(source, NULL);
	if (!resolved)
		return fail_errno(err, "mount '%s': source '%s'", spec, source);
	target++;
	len = strcspn(target, ":");
	*m = (struct imbrex_run_mount){ .type = IMBREX_RUN_MOUNT_BIND, .recursive = true };
	if (strv_add(&j->texts, resolved) < 0 || strv_addf(&j->texts, "%.*s", (int)len, target) < 0)
		return fail_nomem(err);
	m->source = j->texts.items[j->texts.n - 2];
	m->target = j->texts.items[j->texts.n - 1];
	j->n_mounts++;
	return target[len] ? mount_words(m, target + len + 1, spec, err) : 0;
}

/* DST[:OPTIONS], options as mount(8) has them for tmpfs. */
static int add_tmpfs(struct job *j, const char *spec, struct imbrex_error *err)
{
	struct imbrex_run_mount *m = &j->mounts[j->n_mounts];
	size_t len = strcspn(spec, ":");

	if (spec[0] != '/')
		return fail(err, IMBREX_EINVAL,
			"option --tmpfs takes DST[:OPTIONS] with an absolute DST, not '%s'", spec);
	if (strv_addf(&j->texts, "%.*s", (int)len, spec) < 0)
		return fail_nomem(err);
	*m = (struct imbrex_run_mount){
		.type = IMBREX_RUN_MOUNT_TMPFS,
		.target = j->texts.items[j->texts.n - 1],
		.data = spec[len] ? spec + len + 1 : NULL,
		.nosuid = true,
		.nodev = true,
	};
	j->n_mounts++;
	return 0;
}

/* ---- the container ----------------------------------------------------------------------- */

static void debug_line(void *userdata, const char *line)
{
	cli_debug(userdata, "%s", line);
}

/* The option if there is one, else what the image says, else nothing. */
static const char *first_text(const char *option, const char *of_image)
{
	if (option)
		return option;
	return of_image && *of_image ? of_image : NULL;
}

/* Returns the exit status of ours; messages are printed. */
static int run_job(struct cli *c, const struct job *j, const char *rootfs)
{
	const struct job_args *a = j->args;
	bool host_network = a->network == JOB_NETWORK_HOST;
	struct imbrex_error err = { .status = 0 };
	int status, r;
	const struct imbrex_run_opts opts = {
		.rootfs = rootfs,
		.read_only = a->read_only,
		.argv = (const char *const *)j->argv.items,
		.env = (const char *const *)j->env.items,
		.workdir = first_text(a->workdir, j->process.working_dir),
		.user = first_text(a->user, j->process.user),
		.hostname = a->hostname,
		.mounts = j->mounts,
		.n_mounts = j->n_mounts,
		.bind_resolv_conf = host_network,
		.bind_hosts = host_network,
		.share = host_network ? IMBREX_RUN_SHARE_NET : 0,
		.no_new_privs = a->no_new_privs,
		.no_init = a->no_init,
		.debug = c->globals.debug ? debug_line : NULL,
		.debug_userdata = c,
	};

	if (caught)
		return 128 + caught;
	r = imbrex_run(&opts, &status, &err);
	if (r < 0)
		return cli_fail(c, &err);
	if (err.status)
		(void)cli_fail(c, &err);
	return status;
}

int job_set_mounts(struct job *j, struct imbrex_error *err)
{
	const struct job_args *a = j->args;
	size_t i;
	int r;

	j->mounts = calloc(a->mounts.n + a->tmpfs.n + 1, sizeof(*j->mounts));
	if (!j->mounts)
		return fail_nomem(err);
	for (i = 0; i < a->mounts.n; i++) {
		r = add_bind(j, a->mounts.items[i], err);
		if (r < 0)
			return r;
	}
	for (i = 0; i < a->tmpfs.n; i++) {
		r = add_tmpfs(j, a->tmpfs.items[i], err);
		if (r < 0)
			return r;
	}
	return 0;
}

int job_set_image(struct cli *c, struct imbrex_store *s, const char *image, const char *called,
	struct job *j, struct imbrex_error *err)
{
	int r;

	if (*image) {
		r = imbrex_image_process(s, image, &j->process, err);
		if (r < 0)
			return r;
		j->have_process = true;
	}
	r = build_argv(c, called, j, err);
	return r < 0 ? r : build_env(j, err);
}

int job_catch_signals(struct imbrex_error *err)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART }, old;
	size_t i;

	for (i = 0; i < ARRAY_LEN(signals); i++) {
		if (sigaction(signals[i], NULL, &old) < 0)
			return fail_errno(err, "look at the handler of signal %d", signals[i]);
		/* nohup: what our caller ignores, the program inherits as ignored. */
		if (old.sa_handler != SIG_IGN && sigaction(signals[i], &action, NULL) < 0)
			return fail_errno(err, "catch signal %d", signals[i]);
	}
	return 0;
}

int job_in_container(
	struct cli *c, struct imbrex_store *s, const struct job *j, const char *container)
{
	struct imbrex_error err = { .status = 0 };
	AUTO_FREE char *rootfs = NULL;
	int status, r;

	r = imbrex_mount(s, container, /* opts= */ NULL, &rootfs, &err);
	if (r < 0)
		return cli_fail(c, &err);
	status = run_job(c, j, rootfs);
	r = imbrex_unmount(s, container, /* all= */ false, /* ret_still= */ NULL, &err);
	if (r < 0) {
		(void)cli_fail(c, &err);
		status = status ? status : EXIT_RUN_FAILED;
	}
	return status;
}

void job_done(struct job *j)
{
	if (j->have_process)
		imbrex_image_process_done(&j->process);
	strv_done(&j->argv);
	strv_done(&j->env);
	strv_done(&j->texts);
	free(j->mounts);
}
