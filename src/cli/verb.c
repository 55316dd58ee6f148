/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every verb has without asking: the global options, help out of the tables, the words of an
 * error, and the store that the global options name.
 */
#include <stdarg.h>
#include <string.h>

#include "base/error.h"
#include "base/str.h"
#include "cli/cli.h"
#include "cli/out.h"

static const char *const progress_names[] = { "auto", "tty", "plain", "json", "none", NULL };
static const char *const color_names[] = { "auto", "always", "never", NULL };

#define AT(member) offsetof(struct globals, member)

const struct opt global_opts[] = {
	{ "root", 0, OPT_TEXT, AT(root), "DIR", "the store: images and containers (graphroot)" },
	{ "runroot", 0, OPT_TEXT, AT(runroot), "DIR", "state of the store that a reboot clears" },
	{ "image-store", 0, OPT_TEXT, AT(imagestore), "DIR",
		"second root, which takes images and their layers" },
	{ "transient-store", 0, OPT_FLAG, AT(transient_store), NULL,
		"containers are gone at the next boot" },
	{ "read-only", 0, OPT_FLAG, AT(read_only), NULL,
		"change nothing in the store, not even a lock file" },
	{ "driver", 0, OPT_TEXT, AT(driver), "NAME", "storage driver: overlay, btrfs, zfs or vfs" },
	{ "storage-opt", 0, OPT_LIST, AT(storage_opts), "KEY=VALUE", "option of the driver" },
	{ "config", 0, OPT_TEXT, AT(config), "FILE", "read this storage.conf, and no other" },
	{ "json", 0, OPT_FLAG, AT(json), NULL, "print records as JSON" },
	{ "quiet", 'q', OPT_FLAG, AT(quiet), NULL, "print ids only, and no progress" },
	{ "debug", 0, OPT_FLAG, AT(debug), NULL, "say on stderr what is done" },
	{ "progress", 0, OPT_CHOICE, AT(progress), "STYLE", "auto, tty, plain, json or none",
		progress_names },
	{ "color", 0, OPT_CHOICE, AT(color), "WHEN", "auto, always or never", color_names },
	{ "help", 'h', OPT_FLAG, AT(help), NULL, "show this help" },
	{ "version", 0, OPT_FLAG, AT(version), NULL, "show the version" },
	{ NULL },
};

struct verb_names {
	const struct face *face;
};

static const char *verb_name_at(const void *ctx, size_t i)
{
	const struct verb_names *names = ctx;
	const struct verb *verb = face_verb_at(names->face, i);

	return verb ? verb->name : NULL;
}

static bool use_color(const struct cli *c)
{
	const char *no_color = getenv("NO_COLOR");
	const char *term = getenv("TERM");

	if (c->globals.color != COLOR_AUTO)
		return c->globals.color == COLOR_ALWAYS;
	return isatty(STDERR_FILENO) && !(no_color && *no_color) && term && !str_eq(term, "dumb");
}

static void print_error(const struct cli *c, const struct imbrex_error *err)
{
	bool color = use_color(c);

	(void)fflush(stdout);
	(void)fprintf(stderr, "%simbrex:%s %s\n", color ? "\033[1;31m" : "", color ? "\033[0m" : "",
		err->message[0] ? err->message : imbrex_status_name(err->status));
	if (err->hint[0])
		(void)fprintf(stderr, "%shint:%s %s\n", color ? "\033[1;36m" : "",
			color ? "\033[0m" : "", err->hint);
}

const struct verb *face_verb_at(const struct face *face, size_t i)
{
	const struct verb_group *g;
	size_t n;

	for (g = face->groups; g->title; g++) {
		for (n = 0; g->verbs[n]; n++) {
			if (i-- == 0)
				return g->verbs[n];
		}
	}
	return NULL;
}

const struct verb *face_find(const struct face *face, const char *name)
{
	const struct verb *verb;
	size_t i;

	for (i = 0; (verb = face_verb_at(face, i)) != NULL; i++) {
		if (str_eq(verb->name, name))
			return verb;
	}
	for (i = 0; face->hidden[i]; i++) {
		if (str_eq(face->hidden[i]->name, name))
			return face->hidden[i];
	}
	return NULL;
}

void face_print_help(FILE *f, const struct face *face)
{
	const struct verb_group *g;
	const struct example *e;
	size_t i;

	(void)fprintf(f, "Usage: %s [OPTIONS] VERB [ARG...]\n\n%s\n", face->name, face->summary);
	if (face->examples)
		(void)fputs("\nExamples:\n", f);
	for (e = face->examples; e && e->line; e++)
		(void)fprintf(f, "    %-44s %s\n", e->line, e->does);
	for (g = face->groups; g->title; g++) {
		(void)fprintf(f, "\n%s:\n", g->title);
		for (i = 0; g->verbs[i]; i++)
			(void)fprintf(f, "  %-12s %s\n", g->verbs[i]->name, g->verbs[i]->summary);
	}
	(void)fputs("\nOptions, before or after the verb:\n", f);
	opt_print(f, global_opts);
	(void)fprintf(f, "\n'%s help VERB' shows the options of one verb; see %s(1).\n", face->name,
		face->name);
}

void verb_print_help(FILE *f, const struct face *face, const struct verb *verb)
{
	(void)fprintf(f, "Usage: %s %s [OPTIONS]%s%s\n\n", face->name, verb->name,
		*verb->operands ? " " : "", verb->operands);
	(void)fprintf(f, "%c%s.\n", verb->summary[0] - 'a' + 'A', verb->summary + 1);
	if (verb->opts) {
		(void)fputs("\nOptions:\n", f);
		opt_print(f, verb->opts);
	}
	(void)fputs("\nGlobal options:\n", f);
	opt_print(f, global_opts);
	(void)fprintf(f, "\nSee %s-%s(1).\n", face->name, verb->name);
}

int face_unknown_verb(struct cli *c, const char *name)
{
	struct verb_names names = { .face = c->face };
	const char *nearest = opt_nearest(name, verb_name_at, &names);
	struct imbrex_error err = { .status = 0 };
	int r;

	r = fail(&err, IMBREX_EINVAL, "unknown verb '%s'", name);
	if (nearest)
		(void)hint(&err, r, "did you mean '%s'?", nearest);
	else
		(void)hint(&err, r, "'%s help' lists the verbs", c->face->name);
	return cli_usage(c, &err);
}

int cli_fail(const struct cli *c, const struct imbrex_error *err)
{
	print_error(c, err);
	if (c->globals.debug)
		(void)fprintf(stderr, "debug: status %d (%s), errno %d\n", err->status,
			imbrex_status_name(err->status), err->errnum);
	return c->verb && c->verb->failure ? c->verb->failure : EXIT_FAILURE;
}

int cli_usage(const struct cli *c, const struct imbrex_error *err)
{
	struct imbrex_error copy = *err;

	if (!copy.hint[0] && c->verb)
		(void)hint(&copy, copy.status, "'%s help %s' shows how it is used", c->face->name,
			c->verb->name);
	print_error(c, &copy);
	return c->verb && c->verb->failure ? c->verb->failure : EXIT_USAGE;
}

void cli_note(const struct cli *c, const char *fmt, ...)
{
	va_list ap;

	if (c->globals.quiet)
		return;
	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap);
	va_end(ap);
	(void)fputc('\n', stderr);
}

void cli_debug(const struct cli *c, const char *fmt, ...)
{
	va_list ap;

	if (!c->globals.debug)
		return;
	(void)fputs("debug: ", stderr);
	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap);
	va_end(ap);
	(void)fputc('\n', stderr);
}

int cli_enter_userns(struct cli *c, struct imbrex_error *err)
{
	int r;

	if (c->was_root || c->in_userns)
		return 0;
	r = imbrex_userns_enter(err);
	if (r < 0)
		return r;
	c->in_userns = true;
	cli_debug(c, "entered a user namespace as user %u", (unsigned int)geteuid());
	return 0;
}

static int set_id(const char *name, unsigned int id, struct imbrex_error *err)
{
	char text[16];

	(void)snprintf(text, sizeof(text), "%u", id);
	return setenv(name, text, 1) < 0 ? fail_errno(err, "set %s", name) : 0;
}

int cli_mark_userns(unsigned int uid, unsigned int gid, struct imbrex_error *err)
{
	int r;

	if (setenv("_CONTAINERS_USERNS_CONFIGURED", "done", 1) < 0)
		return fail_errno(err, "set _CONTAINERS_USERNS_CONFIGURED");
	r = set_id("_CONTAINERS_ROOTLESS_UID", uid, err);
	return r < 0 ? r : set_id("_CONTAINERS_ROOTLESS_GID", gid, err);
}

int cli_open_store(struct cli *c, struct imbrex_store **ret, struct imbrex_error *err)
{
	const struct imbrex_store_opts opts = {
		.graphroot = c->globals.root,
		.runroot = c->globals.runroot,
		.driver = c->globals.driver,
		.config_file = c->globals.config,
		.storage_opts = c->globals.storage_opts.items,
		.read_only = c->look_only || c->globals.read_only,
		.imagestore = c->globals.imagestore,
		.transient_store = c->globals.transient_store,
	};
	int r;

	r = cli_enter_userns(c, err);
	if (r < 0)
		return r;
	r = imbrex_store_open(&opts, ret, err);
	if (r < 0)
		return r;
	cli_debug(c, "store '%s', driver %s", imbrex_store_graphroot(*ret),
		imbrex_store_driver(*ret));
	return 0;
}

void cli_close_store(struct imbrex_store *s)
{
	const char *damage = s ? imbrex_store_damage(s) : NULL;
	AUTO_STR clean = STR_INIT(2048);

	if (damage && out_clean(&clean, damage) == 0)
		(void)fprintf(
			stderr, "imbrex: warning: the store is damaged: %s\n", str_text(&clean));
	imbrex_store_close(s);
}
