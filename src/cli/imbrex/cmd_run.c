/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run: a throw-away container of an image, a program in it, its exit status.
 *
 *   find (or fetch) ─▶ create ─▶ mount ─▶ imbrex_run ─▶ unmount ─▶ remove, unless --keep
 *
 * Invariants: (1) once a container exists, every way out goes through run_container(), which takes
 * it away again; (2) a signal that would end us between creation and removal only sets a flag, so
 * (1) holds for control-C too; while the program runs, signals are its own.
 */
#include <limits.h>
#include <signal.h>
#include <string.h>

#include "base/error.h"
#include "base/str.h"
#include "base/strv.h"
#include "cli/imbrex/fetch.h"
#include "cli/imbrex/verbs.h"

enum pull_policy {
	PULL_MISSING = 0,
	PULL_ALWAYS,
	PULL_NEVER
};
enum network {
	NETWORK_HOST = 0,
	NETWORK_NONE
};

static const char *const pull_policies[] = { "missing", "always", "never", NULL };
static const char *const networks[] = { "host", "none", NULL };

struct run_args {
	const char *name, *workdir, *user, *hostname, *entrypoint;
	struct opt_list env, mounts, tmpfs;
	bool read_only, keep, init_off, no_new_privs;
	int network; /* enum network */
	int pull;    /* enum pull_policy */
	struct fetch_args fetch;
};

/* What imbrex_run() is given, and who owns it. */
struct job {
	const struct run_args *args;
	struct imbrex_image_process process;
	bool have_process;
	struct strv argv, env;
	struct strv texts; /* of the mounts */
	struct imbrex_run_mount *mounts;
	size_t n_mounts;
};

static volatile sig_atomic_t caught;

static void job_done(struct job *j)
{
	if (j->have_process)
		imbrex_image_process_done(&j->process);
	strv_done(&j->argv);
	strv_done(&j->env);
	strv_done(&j->texts);
	free(j->mounts);
}
#define AUTO_JOB __attribute__((cleanup(job_done))) struct job

static void on_signal(int signo)
{
	caught = signo;
}

static int catch_signals(struct imbrex_error *err)
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

/* ---- image ------------------------------------------------------------------------------- */

static int find_image(struct cli *c, struct imbrex_store *s, const struct run_args *a,
	char **ret_id, struct imbrex_error *err)
{
	const char *image = c->operands[0];
	const char *name = str_after(image, "docker://");
	int r;

	if (!name)
		name = image;
	if (a->pull == PULL_NEVER)
		return imbrex_image_find(s, name, ret_id, err);
	/* An archive or a folder has no name to look for; what it holds is compared anyway. */
	if (a->pull == PULL_MISSING && !fetch_is_source(name)) {
		r = imbrex_image_find(s, name, ret_id, err);
		if (r != IMBREX_ENOENT)
			return r;
		cli_debug(c, "image '%s' is not in the store", name);
	}
	return fetch_image(c, s, image, /* name= */ NULL, &a->fetch, ret_id, err);
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
static int build_argv(const struct cli *c, struct job *j, struct imbrex_error *err)
{
	const char *entrypoint = j->args->entrypoint;
	int r = 0;

	if (!entrypoint)
		r = add_all(&j->argv, j->process.entrypoint);
	else if (*entrypoint)
		r = strv_add(&j->argv, entrypoint);
	if (r >= 0 && c->n_operands > 1)
		r = add_all(&j->argv, c->operands + 1);
	else if (r >= 0 && !entrypoint)
		r = add_all(&j->argv, j->process.cmd);
	if (r < 0)
		return fail_nomem(err);
	if (!j->argv.n) {
		r = fail(err, IMBREX_EINVAL, "image '%s' names no program to run", c->operands[0]);
		return hint(err, r, "imbrex run %s CMD", c->operands[0]);
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
	int r;

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

static int build_mounts(struct job *j, struct imbrex_error *err)
{
	const struct run_args *a = j->args;
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

static int build_job(struct cli *c, struct imbrex_store *s, const char *image, struct job *j,
	struct imbrex_error *err)
{
	int r;

	r = imbrex_image_process(s, image, &j->process, err);
	if (r < 0)
		return r;
	j->have_process = true;
	r = build_argv(c, j, err);
	if (r < 0)
		return r;
	r = build_env(j, err);
	if (r < 0)
		return r;
	return build_mounts(j, err);
}

/* ---- the container's life ---------------------------------------------------------------- */

static void debug_line(void *userdata, const char *line)
{
	cli_debug(userdata, "%s", line);
}

/* Returns the exit status of ours; messages are printed. */
static int run_job(struct cli *c, const struct job *j, const char *rootfs)
{
	const struct run_args *a = j->args;
	const struct imbrex_image_process *p = &j->process;
	bool host_network = a->network == NETWORK_HOST;
	struct imbrex_error err = { .status = 0 };
	int status, r;
	const struct imbrex_run_opts opts = {
		.rootfs = rootfs,
		.read_only = a->read_only,
		.argv = (const char *const *)j->argv.items,
		.env = (const char *const *)j->env.items,
		.workdir = a->workdir        ? a->workdir
			   : *p->working_dir ? p->working_dir
					     : NULL,
		.user = a->user    ? a->user
			: *p->user ? p->user
				   : NULL,
		.hostname = a->hostname,
		.mounts = j->mounts,
		.n_mounts = j->n_mounts,
		.bind_resolv_conf = host_network,
		.bind_hosts = host_network,
		.share = host_network ? IMBREX_RUN_SHARE_NET : 0,
		.no_new_privs = a->no_new_privs,
		.no_init = a->init_off,
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

static int run_container(
	struct cli *c, struct imbrex_store *s, const struct job *j, const char *image)
{
	const struct imbrex_container_opts opts = {
		.name = j->args->name,
		.is_volatile = !j->args->keep,
	};
	AUTO_FREE char *id = NULL;
	AUTO_FREE char *rootfs = NULL;
	struct imbrex_error err = { .status = 0 };
	int status, r;

	r = catch_signals(&err);
	if (r < 0)
		return cli_fail(c, &err);
	r = imbrex_container_create(s, image, &opts, &id, &err);
	if (r < 0)
		return cli_fail(c, &err);
	cli_debug(c, "container %s", id);
	r = imbrex_mount(s, id, /* opts= */ NULL, &rootfs, &err);
	status = r < 0 ? cli_fail(c, &err) : run_job(c, j, rootfs);
	if (r >= 0) {
		r = imbrex_unmount(s, id, /* all= */ false, /* ret_still= */ NULL, &err);
		if (r < 0)
			(void)cli_fail(c, &err);
	}
	if (j->args->keep) {
		cli_note(c, "container %s is kept", j->args->name ? j->args->name : id);
		return status;
	}
	r = imbrex_container_remove(s, id, /* force= */ true, &err);
	if (r < 0) {
		(void)cli_fail(c, &err);
		status = status ? status : EXIT_RUN_FAILED;
	}
	return status;
}

static int run(struct cli *c, const void *args)
{
	const struct run_args *a = args;
	AUTO_STORE *store = NULL;
	AUTO_JOB j = { .args = a };
	AUTO_FREE char *image = NULL;
	struct imbrex_error err = { .status = 0 };
	int r;

	r = cli_open_store(c, &store, &err);
	if (r < 0)
		return cli_fail(c, &err);
	r = find_image(c, store, a, &image, &err);
	if (r < 0)
		return cli_fail(c, &err);
	r = build_job(c, store, image, &j, &err);
	if (r < 0)
		return cli_fail(c, &err);
	return run_container(c, store, &j, image);
}

#define AT(member) offsetof(struct run_args, member)

static const struct opt opts[] = {
	{ "name", 0, OPT_TEXT, AT(name), "NAME", "a name for the container" },
	{ "keep", 0, OPT_FLAG, AT(keep), NULL, "keep the container when the program has ended" },
	{ "read-only", 0, OPT_FLAG, AT(read_only), NULL, "the root file system cannot be written" },
	{ "rw", 0, OPT_NO_FLAG, AT(read_only), NULL, "it can be written: the default" },
	{ "env", 'e', OPT_LIST, AT(env), "KEY[=VALUE]", "set a variable, or pass on the caller's" },
	{ "mount", 'v', OPT_LIST, AT(mounts), "SRC:DST[:OPTIONS]",
		"show a file or directory of this machine inside" },
	{ "tmpfs", 0, OPT_LIST, AT(tmpfs), "DST[:OPTIONS]", "an empty file system in memory" },
	{ "workdir", 'w', OPT_TEXT, AT(workdir), "DIR",
		"start in this directory, made if missing" },
	{ "user", 'u', OPT_TEXT, AT(user), "USER[:GROUP]", "run as this user, by name or number" },
	{ "hostname", 0, OPT_TEXT, AT(hostname), "NAME", "host name inside" },
	{ "network", 0, OPT_CHOICE, AT(network), "WHICH",
		"host: this machine's; none: only a loopback", networks },
	{ "entrypoint", 0, OPT_TEXT, AT(entrypoint), "PROGRAM",
		"in place of the image's; empty for none" },
	{ "no-init", 0, OPT_FLAG, AT(init_off), NULL, "the program itself is process 1" },
	{ "no-new-privs", 0, OPT_FLAG, AT(no_new_privs), NULL,
		"set-user-ID programs gain nothing" },
	{ "pull", 0, OPT_CHOICE, AT(pull), "WHEN", "fetch the image: missing, always or never",
		pull_policies },
	FETCH_OPTS(struct run_args, fetch),
	{ NULL },
};

const struct verb verb_run = {
	.name = "run",
	.operands = "IMAGE [CMD [ARG...]]",
	.summary = "run a program in a new container of an image",
	.opts = opts,
	.args_size = sizeof(struct run_args),
	.operands_min = 1,
	.operands_max = UINT_MAX,
	.kind = OPERAND_IMAGE,
	.rest_is_program = true,
	.failure = EXIT_RUN_FAILED,
	.run = run,
};
