/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One program, called by several names: the name chooses the face, the face has the verbs.
 *
 *   argv[0] ─▶ face ─▶ global options ─▶ verb ─▶ its options and operands ─▶ verb->run
 *                 └─▶ another program's command line, whole
 *
 * Nothing is opened, probed or loaded before the verb is known: start-up is part of every command.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/str.h"
#include "cli/cli.h"
#include "cli/enroot/enroot.h"
#include "cli/out.h"
#include "cli/storage/storage.h"

/* Names of other programs whose command line we speak. Each parses it by itself. */
static const struct {
	const char *name;
	int (*run)(struct cli *c, const char *program, char **argv);
} other_faces[] = { { "containers-storage", plumbing_main }, { "enroot", enroot_main } };

/* A name that is nobody's is the native face's: links and copies may have any name. */
static bool run_other_face(struct cli *c, char **argv, int *ret_status)
{
	const char *slash = strrchr(argv[0], '/');
	const char *name = slash ? slash + 1 : argv[0];
	size_t i;

	for (i = 0; i < ARRAY_LEN(other_faces); i++) {
		if (str_eq(other_faces[i].name, name)) {
			*ret_status = other_faces[i].run(c, other_faces[i].name, argv);
			return true;
		}
	}
	return false;
}

static void print_version(const struct cli *c)
{
	(void)printf("%s %s\n", c->face->name, imbrex_version());
}

static int check_operands(const struct cli *c, struct imbrex_error *err)
{
	const struct verb *v = c->verb;
	const char *optional;
	int r;

	if (c->n_operands < v->operands_min) {
		optional = strstr(v->operands, " [");
		r = fail(err, IMBREX_EINVAL, "'%s' needs %.*s", v->name,
			optional ? (int)(optional - v->operands) : -1, v->operands);
		return hint(err, r, "%s %s [OPTIONS] %s", c->face->name, v->name, v->operands);
	}
	if (c->n_operands > v->operands_max)
		return fail(err, IMBREX_EINVAL, "'%s' takes %s%s; '%s' is too many", v->name,
			*v->operands ? "only " : "no operands", v->operands,
			c->operands[v->operands_max]);
	if (c->globals.json && !v->records)
		return fail(err, IMBREX_EINVAL, "'%s' prints no records: --json has no meaning",
			v->name);
	return 0;
}

static int run_verb(struct cli *c, int argc, char **argv, void *args)
{
	const struct verb *v = c->verb;
	struct opt_parser parser = {
		.sets = { { .opts = v->opts, .values = args },
			{ .opts = global_opts, .values = &c->globals } },
		.n_sets = 2,
		.operands_first = v->rest_is_program ? MAX(v->operands_min, 1u) : 0,
	};
	struct imbrex_error err = { .status = 0 };
	int r, status;

	r = opt_parse(&parser, argc, argv, &c->n_operands, &err);
	if (r < 0) {
		status = cli_usage(c, &err);
	} else if (c->globals.help) {
		verb_print_help(stdout, c->face, v);
		status = EXIT_SUCCESS;
	} else if (c->globals.version) {
		print_version(c);
		status = EXIT_SUCCESS;
	} else {
		argv[c->n_operands] = NULL;
		c->operands = argv;
		r = check_operands(c, &err);
		status = r < 0 ? cli_usage(c, &err) : v->run(c, args);
	}
	opt_done(&parser.sets[0]);
	return status;
}

/* The verb and what stands behind it. */
static int dispatch(struct cli *c, int argc, char **argv)
{
	AUTO_FREE void *args = NULL;
	struct imbrex_error err = { .status = 0 };

	c->verb = face_find(c->face, argv[0]);
	if (!c->verb)
		return face_unknown_verb(c, argv[0]);
	if (c->verb->run_raw) {
		argv[argc] = NULL;
		return c->verb->run_raw(c, argv);
	}
	/* One byte more than nothing: calloc(0) may be NULL. */
	args = calloc(1, c->verb->args_size + 1);
	if (!args) {
		(void)fail_nomem(&err);
		return cli_fail(c, &err);
	}
	return run_verb(c, argc - 1, argv + 1, args);
}

static int start(struct cli *c, int argc, char **argv)
{
	const struct opt_parser parser = {
		.sets = { { .opts = global_opts, .values = &c->globals } },
		.n_sets = 1,
		.operands_first = 1,
	};
	struct imbrex_error err = { .status = 0 };
	size_t n;
	int r;

	r = opt_parse(&parser, argc, argv, &n, &err);
	if (r < 0) {
		(void)hint(&err, r, "'%s help' lists options and verbs", c->face->name);
		return cli_usage(c, &err);
	}
	if (n == 0 && c->globals.version) {
		print_version(c);
		return EXIT_SUCCESS;
	}
	if (n == 0 && c->globals.help) {
		face_print_help(stdout, c->face);
		return EXIT_SUCCESS;
	}
	if (n == 0) {
		face_print_help(stderr, c->face);
		return EXIT_USAGE;
	}
	return dispatch(c, (int)n, argv);
}

int main(int argc, char **argv)
{
	struct cli c = {
		.face = &face_imbrex,
		.was_root = geteuid() == 0,
	};
	const struct opt_set globals = { .opts = global_opts, .values = &c.globals };
	struct imbrex_error err = { .status = 0 };
	int status = EXIT_USAGE, r;

	if (argc > 0 && !run_other_face(&c, argv, &status))
		status = start(&c, argc - 1, argv + 1);
	opt_done(&globals);
	r = out_finish(&err);
	if (r < 0 && status == EXIT_SUCCESS)
		status = cli_fail(&c, &err);
	return status;
}
