/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From argv to a command and back to an exit status.
 *
 *   global flags ─▶ name ─▶ global and own flags ─▶ number of operands ─▶ user namespace ─▶ store
 *
 * Usage and what is wrong with it go where upstream has them: the head of a usage to stdout, the
 * list of its flags to stderr; a store that cannot be opened is told on stdout. Exit: 1 for all
 * failures, 125 for a wrong flag behind the command.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "cli/out.h"
#include "cli/storage/driveropt.h"
#include "cli/storage/storage.h"
#include "cli/storage/text.h"

#define EXIT_WRONG_FLAG 125
#define SUMMARY_COLUMN  30

#define AT(member) offsetof(struct plumbing_globals, member)

static const struct flag global_flags[] = {
	{ { "--run", "-R" }, FLAG_TEXT, AT(run), "Root of the runtime state tree" },
	{ { "--graph", "-g" }, FLAG_TEXT, AT(graph), "Root of the storage tree" },
	{ { "--image-store" }, FLAG_TEXT, AT(image_store), "Root of the separate image store" },
	{ { "--transient-store" }, FLAG_BOOL, AT(transient), "Transient store" },
	{ { "--storage-driver", "-s" }, FLAG_TEXT, AT(driver),
		"Storage driver to use ($STORAGE_DRIVER)" },
	{ { "--storage-opt" }, FLAG_LIST, AT(storage_opts),
		"Set storage driver options ($STORAGE_OPTS)" },
	{ { "--debug", "-D" }, FLAG_BOOL, AT(debug), "Print debugging information" },
	{ { "--unshare", "-U" }, FLAG_BOOL, AT(unshare), "Run in a user namespace" },
	{ { NULL } },
};

/* Before the command, help is a flag like others. */
static const struct flag help_flags[] = {
	{ { "#-help", "--help" }, FLAG_BOOL, AT(help), "Print usage" },
	{ { NULL } },
};

/* In the order of the usage. */
static const struct command *const tables[] = { check_commands, container_commands, copy_commands,
	create_commands, delete_commands, diff_commands, exists_commands, image_commands,
	layer_commands, layers_commands, data_commands, metadata_commands, mount_commands,
	name_commands, state_commands, unshare_commands };

static const struct command *find_command(const char *name)
{
	const struct command *c;
	size_t i;

	for (i = 0; i < ARRAY_LEN(tables); i++) {
		for (c = tables[i]; c->name; c++) {
			if (str_eq(c->name, name) || (c->alias && str_eq(c->alias, name)))
				return c;
		}
	}
	return NULL;
}

const char *plumbing_command_name(size_t i)
{
	const struct command *c;
	size_t t;

	for (t = 0; t < ARRAY_LEN(tables); t++) {
		for (c = tables[t]; c->name; c++) {
			if (i-- == 0)
				return c->name;
		}
	}
	return NULL;
}

/* ---- usage ------------------------------------------------------------------------------- */

static int no_memory(void)
{
	(void)fputs("out of memory\n", stderr);
	return EXIT_FAILURE;
}

/* flags_to: where the list of flags goes */
static int print_usage(const struct plumbing *p, const struct flag_set *set, FILE *flags_to)
{
	const struct command *c;
	size_t i;

	if (p->command) {
		(void)printf("Usage: %s %s %s\n\n%s\n\nOptions:\n", p->program, p->command->name,
			p->command->operands, p->command->summary);
	} else {
		(void)printf("Usage: %s command [options [...]]\n\nCommands:\n\n", p->program);
		for (i = 0; i < ARRAY_LEN(tables); i++) {
			for (c = tables[i]; c->name; c++)
				(void)printf("  %-*s%s\n", SUMMARY_COLUMN, c->name, c->summary);
		}
		(void)fputs("\nOptions:\n", stdout);
	}
	(void)fflush(stdout);
	return flag_print_usage(flags_to, set);
}

static void print_lines(const struct strv *lines)
{
	size_t i;

	for (i = 0; i < lines->n; i++)
		(void)fprintf(stderr, "%s\n", lines->items[i]);
}

/* What was wrong with the flags. `of`: what help to ask for. */
static int print_wrong_flags(const struct plumbing *p, const struct flag_set *set,
	const struct flag_parsed *parsed, const char *of)
{
	size_t i;
	int r = 0;

	if (parsed->help)
		r = print_usage(p, set, stderr);
	for (i = 0; i < parsed->messages.n; i++)
		(void)fprintf(stderr, "%s\nSee '%s%s%s --help'.\n", parsed->messages.items[i],
			p->called, *of ? " " : "", of);
	return r;
}

/* ---- global flags ------------------------------------------------------------------------ */

static bool any_root(const struct plumbing_globals *g)
{
	return (g->graph && *g->graph) || (g->run && *g->run);
}

static bool is_configured(const struct plumbing_globals *g)
{
	return !any_root(g) && !(g->driver && *g->driver) && !g->storage_opts.n;
}

static int wrong_globals(
	const struct plumbing *p, const struct flag_set *set, const struct flag_parsed *parsed)
{
	const char *last = parsed->messages.n ? parsed->messages.items[parsed->messages.n - 1]
					      : "flag: help requested";

	/* Upstream names itself behind argv[0] if that is a path. */
	if (print_wrong_flags(p, set, parsed, strchr(p->called, '/') ? p->program : "") < 0)
		return no_memory();
	(void)printf("%s while parsing arguments (1)\n", last);
	if (print_usage(p, set, stderr) < 0)
		return no_memory();
	return EXIT_FAILURE;
}

/* Returns an exit status, or -1 with the command and its arguments in `parsed`. */
static int parse_globals(struct plumbing *p, char **argv, struct flag_parsed *parsed)
{
	AUTO_FLAG_SET set = { .tables = { { global_flags, &p->globals },
				      { help_flags, &p->globals } } };
	int r;

	r = flag_set_init(&set);
	if (r == 0)
		r = flag_parse(&set, argv, parsed);
	if (r < 0)
		return no_memory();
	print_lines(&parsed->warnings);
	if (parsed->failed)
		return wrong_globals(p, &set, parsed);
	if (p->globals.help || !parsed->n_operands) {
		r = print_usage(p, &set, p->globals.help ? stdout : stderr);
		return r < 0 ? no_memory() : p->globals.help ? EXIT_SUCCESS : EXIT_FAILURE;
	}
	p->command = find_command(parsed->operands[0]);
	if (!p->command) {
		(void)printf("%s: unrecognized command.\n", parsed->operands[0]);
		return EXIT_FAILURE;
	}
	return -1;
}

/* ---- the command ------------------------------------------------------------------------- */

static int check_operands(struct plumbing *p, const struct flag_set *set, const char *name)
{
	if (p->n_args < p->command->operands_min) {
		(void)printf("%s: more arguments required.\n", name);
	} else if (p->n_args > p->command->operands_max) {
		(void)printf("%s: too many arguments (", name);
		text_print_list(stdout, (const char *const *)p->args);
		(void)fputs(").\n", stdout);
	} else {
		return 0;
	}
	if (print_usage(p, set, stderr) < 0)
		return no_memory();
	return EXIT_FAILURE;
}

/* Returns an exit status, or -1: go on. */
static int parse_command(struct plumbing *p, const char *name, char **argv)
{
	AUTO_FLAG_SET set = { .tables = { { global_flags, &p->globals },
				      { p->command->flags, &p->flags } } };
	AUTO_FLAG_PARSED parsed = { .n_operands = 0 };
	int r;

	r = flag_set_init(&set);
	if (r == 0)
		r = flag_parse(&set, argv, &parsed);
	if (r < 0)
		return no_memory();
	if (parsed.failed) {
		r = print_wrong_flags(p, &set, &parsed, name);
		return r < 0 ? no_memory() : EXIT_WRONG_FLAG;
	}
	p->args = parsed.operands;
	p->n_args = parsed.n_operands;
	r = check_operands(p, &set, name);
	return r ? r : -1;
}

/* The log of upstream's --debug: what the store will be opened with. */
static void print_debug(const struct plumbing *p)
{
	const struct plumbing_globals *g = &p->globals;
	char when[40];
	time_t now = time(NULL);
	struct tm tm;

	if (!g->debug)
		return;
	(void)strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
	(void)fprintf(stderr,
		"time=\"%s\" level=debug msg=\"Root: %s\"\n"
		"time=\"%s\" level=debug msg=\"Run Root: %s\"\n"
		"time=\"%s\" level=debug msg=\"Driver Name: %s\"\n"
		"time=\"%s\" level=debug msg=\"Driver Options: ",
		when, g->graph ? g->graph : "", when, g->run ? g->run : "", when,
		g->driver ? g->driver : "", when);
	text_print_list(stderr, g->storage_opts.items);
	(void)fputs("\"\n", stderr);
}

/* configured: no flag before the command says where the store is, so storage.conf does */
static int open_store(struct plumbing *p, bool configured, struct imbrex_error *err)
{
	static const char *const no_options[] = { NULL };
	const struct plumbing_globals *g = &p->globals;
	int r;

	if (!configured && !any_root(g))
		return fail(err, IMBREX_EINVAL,
			"no storage runroot or graphroot specified: missing necessary "
			"StoreOptions");
	p->store_opts = (struct imbrex_store_opts){
		.graphroot = g->graph,
		.runroot = g->run,
		.driver = g->driver,
		.config_file = p->cli->globals.config,
		.read_only = p->cli->globals.read_only,
		.imagestore = g->image_store,
		.transient_store = g->transient,
		.recover = true,
		/* A store that the command line names has no options of storage.conf. */
		.storage_opts = g->storage_opts.n ? g->storage_opts.items
				: configured      ? NULL
						  : no_options,
	};
	if (p->command->no_store)
		return 0;
	r = driveropt_check(g->driver, &g->storage_opts, err);
	return r < 0 ? r : imbrex_store_open(&p->store_opts, &p->store, err);
}

static int run_command(struct plumbing *p)
{
	struct imbrex_error err = { .status = 0 };
	char text[TEXT_ERROR_MAX];
	int r;

	r = p->command->run(p, &err);
	if (r >= 0)
		return r;
	(void)fflush(stdout);
	(void)fprintf(stderr, "%s\n", PLUMBING_TEXT(p, &err, p->args[0], text));
	return EXIT_FAILURE;
}

static int start(struct plumbing *p, char **argv, struct flag_parsed *parsed)
{
	struct imbrex_error err = { .status = 0 };
	char text[TEXT_ERROR_MAX];
	bool configured;
	int status, r;

	status = parse_globals(p, argv + 1, parsed);
	if (status >= 0)
		return status;
	/* Upstream's rule: with none of the four, all comes from storage.conf. */
	configured = is_configured(&p->globals);
	if (configured) {
		p->globals.image_store = NULL;
		p->globals.transient = false;
	}
	status = parse_command(p, parsed->operands[0], parsed->operands + 1);
	if (status >= 0)
		return status;
	r = p->globals.unshare ? cli_enter_userns(p->cli, &err) : 0;
	if (r < 0) {
		(void)fprintf(stderr, "%s\n", err.message);
		return EXIT_FAILURE;
	}
	print_debug(p);
	r = open_store(p, configured, &err);
	if (r < 0) {
		(void)printf("error initializing: %s\n",
			text_error(&err, /* kind= */ 0, /* name= */ NULL, text));
		return EXIT_FAILURE;
	}
	return run_command(p);
}

int plumbing_main(struct cli *c, const char *program, char **argv)
{
	AUTO_FLAG_PARSED parsed = { .n_operands = 0 };
	struct plumbing p = {
		.cli = c,
		.program = program,
		.called = argv[0],
		.globals = { .graph = c->globals.root,
			.run = c->globals.runroot,
			.image_store = c->globals.imagestore,
			.transient = c->globals.transient_store,
			.driver = c->globals.driver,
			.debug = c->globals.debug,
			.unshare = geteuid() != 0 },
		.flags = { .max_age = "24h", .hash_method = "crc" },
		.uid = getuid(),
		.gid = getgid(),
	};
	const struct flag_table globals = { global_flags, &p.globals };
	struct flag_table own = { NULL, &p.flags };
	int status;

	status = start(&p, argv, &parsed);
	own.flags = p.command ? p.command->flags : NULL;
	imbrex_store_close(p.store);
	flag_values_done(&globals);
	flag_values_done(&own);
	return status;
}
