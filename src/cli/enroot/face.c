/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From argv to a command. Usages go to stdout; whatever is wrong with options shows the usage of
 * the command and exits 1, without a word more.
 */
#include <stdio.h>
#include <string.h>

#include "cli/enroot/enroot.h"

static const struct enroot_command *const tables[] = { import_commands, create_commands_enroot,
	list_commands, info_commands, other_commands };

static const struct enroot_command *find_command(const char *name)
{
	const struct enroot_command *c;
	size_t i;

	for (i = 0; i < ARRAY_LEN(tables); i++) {
		for (c = tables[i]; c->name; c++) {
			if (str_eq(c->name, name))
				return c;
		}
	}
	return NULL;
}

static void print_usage(const struct enroot *e)
{
	const struct enroot_command *c;
	size_t i;

	(void)printf(
		"Usage: %s COMMAND [ARG...]\n\n"
		"Command line of enroot for root file systems made from images.\n\nCommands:\n",
		e->program);
	for (i = 0; i < ARRAY_LEN(tables); i++) {
		for (c = tables[i]; c->name; c++)
			(void)printf("    %-10s %s\n", c->name, c->summary);
	}
}

static void print_command_usage(const struct enroot *e)
{
	const struct enroot_option *o;

	(void)printf("Usage: %s %s%s%s\n\n%s\n", e->program, e->command->name,
		*e->command->operands ? " " : "", e->command->operands, e->command->summary);
	if (!e->command->options)
		return;
	(void)puts("\n Options:");
	for (o = e->command->options; o->names[0]; o++) {
		AUTO_STR names = STR_INIT(256);

		(void)!str_printf(&names, "%s%s%s", o->names[0], o->names[1] ? ", " : "",
			o->names[1] ? o->names[1] : "");
		(void)printf("   %-16s  %s\n", str_text(&names), o->help);
	}
}

int enroot_usage(const struct enroot *e)
{
	print_command_usage(e);
	return EXIT_FAILURE;
}

/* The value of "--name=value" if `word` is that. */
static const char *glued_value(const struct enroot_option *o, const char *word)
{
	size_t i;

	for (i = 0; i < 2 && o->names[i]; i++) {
		const char *rest = str_after(word, o->names[i]);

		if (rest && *rest == '=' && str_after(o->names[i], "--"))
			return rest + 1;
	}
	return NULL;
}

static bool is_option(const struct enroot_option *o, const char *word)
{
	return str_eq(o->names[0], word) || (o->names[1] && str_eq(o->names[1], word));
}

/* Words taken; 0: not an option of this command, or without its value. */
static size_t take_option(struct enroot *e, char **argv)
{
	const struct enroot_option *o = e->command->options;
	const char *value;

	for (; o && o->names[0]; o++) {
		char *member = (char *)&e->args + o->offset;

		value = o->is_flag ? NULL : glued_value(o, argv[0]);
		if (!is_option(o, argv[0]) && !value)
			continue;
		if (o->is_flag) {
			*(bool *)member = true;
			return 1;
		}
		if (value) {
			*(const char **)(void *)member = value;
			return *value ? 1 : 0;
		}
		*(const char **)(void *)member = argv[1];
		return argv[1] && *argv[1] ? 2 : 0;
	}
	return 0;
}

static int run_command(struct enroot *e, char **argv)
{
	size_t n;

	while (*argv && argv[0][0] == '-' && argv[0][1]) {
		if (str_eq(*argv, "--")) {
			argv++;
			break;
		}
		if (str_eq(*argv, "-h") || str_eq(*argv, "--help")) {
			print_command_usage(e);
			return EXIT_SUCCESS;
		}
		n = take_option(e, argv);
		if (n == 0) {
			print_command_usage(e);
			return EXIT_FAILURE;
		}
		argv += n;
	}
	e->operands = argv;
	while (argv[e->n_operands])
		e->n_operands++;
	if (e->n_operands < e->command->operands_min || e->n_operands > e->command->operands_max) {
		print_command_usage(e);
		return EXIT_FAILURE;
	}
	return e->command->run(e);
}

static int set_backend(struct enroot *e)
{
	const char *name = enroot_setting("ENROOT_STORAGE_BACKEND");

	if (name && str_eq(name, "store"))
		e->backend = BACKEND_STORE;
	else if (name && str_eq(name, "zfs"))
		e->backend = BACKEND_ZFS;
	/* Any other word is "dir", as there. */
	if (enroot_setting("ENROOT_FORCE_OVERRIDE"))
		e->args.force = true;
	return 0;
}

int enroot_main(struct cli *c, const char *program, char **argv)
{
	const char *slash = strrchr(argv[0], '/');
	struct enroot e = { .cli = c, .program = slash ? slash + 1 : argv[0] };
	int status = enroot_settings_load();

	if (status != 0)
		return status;
	if (!argv[1] || str_eq(argv[1], "help")) {
		print_usage(&e);
		return argv[1] ? EXIT_SUCCESS : EXIT_FAILURE;
	}
	e.command = find_command(argv[1]);
	if (!e.command) {
		print_usage(&e);
		return EXIT_FAILURE;
	}
	status = set_backend(&e);
	return status != 0 ? status : run_command(&e, argv + 2);
}
