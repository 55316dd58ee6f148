/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the command line shares: verbs as data, the global options, and how a verb ends.
 *
 * main() finds the face and the verb, fills the verb's struct from its option table and calls it;
 * the verb returns its exit status. A verb prints results on stdout only; everything else goes to
 * stderr. Threading: one thread; the progress callback alone may run on others.
 * Errors: printed once, by the verb that gives up.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>

#include "base/macros.h"
#include "cli/opt.h"
#include "imbrex/imbrex.h"

/* Exit statuses. `run` and `unshare` pass a child's through and use EXIT_RUN_* for the rest. */
#define EXIT_USAGE              2
#define EXIT_RUN_FAILED         125
#define EXIT_RUN_NOT_EXECUTABLE 126
#define EXIT_RUN_NOT_FOUND      127

enum progress_style {
	PROGRESS_AUTO = 0, /* tty if stderr is one, else plain */
	PROGRESS_TTY,
	PROGRESS_PLAIN,
	PROGRESS_JSON,
	PROGRESS_NONE
};

enum color_when {
	COLOR_AUTO = 0,
	COLOR_ALWAYS,
	COLOR_NEVER
};

/* The global options: accepted before and after every verb. */
struct globals {
	const char *root, *runroot, *imagestore, *driver, *config;
	struct opt_list storage_opts;
	bool json, quiet, debug, help, version;
	bool transient_store, read_only;
	int progress; /* enum progress_style */
	int color;    /* enum color_when */
};

/* What an operand names: for completion. */
enum operand_kind {
	OPERAND_NONE = 0,
	OPERAND_IMAGE,
	OPERAND_CONTAINER,
	OPERAND_OBJECT, /* image or container */
	OPERAND_FILE,
	OPERAND_PROGRAM,
	OPERAND_VERB,
	OPERAND_SHELL,
	OPERAND_PLUMBING /* a command of the plumbing face */
};

struct cli;

struct verb {
	const char *name;
	const char *operands;   /* "IMAGE [NAME]"; "" if none */
	const char *summary;    /* one line: "list images" */
	const struct opt *opts; /* NULL: none of its own */
	size_t args_size;       /* of the struct that the options fill; 0 if none */
	unsigned int operands_min, operands_max;
	enum operand_kind kind;
	bool rest_is_program; /* nothing after the operand `operands_min` is an option of ours */
	bool records;         /* prints records: --json has a meaning */
	int failure;          /* exit status of our own failures; 0: 1, and 2 for usage */
	int (*run)(struct cli *c, const void *args);
	/* Instead of run: parses all that stands behind the verb by itself, --help too. argv[0] is
	 * the verb. */
	int (*run_raw)(struct cli *c, char **argv);
};

/* A heading of the list of verbs and what is under it. */
struct verb_group {
	const char *title;
	const struct verb *const *verbs; /* NULL terminated */
};

/* A command line to begin with, and what it does. */
struct example {
	const char *line, *does;
};

/* One way to be called: `imbrex`, or another program's name. */
struct face {
	const char *name;
	const char *summary;
	const struct example *examples;   /* ended by a line of NULL; NULL: none */
	const struct verb_group *groups;  /* ended by a title of NULL */
	const struct verb *const *hidden; /* NULL terminated; not listed */
};

struct cli {
	const struct face *face;
	const struct verb *verb; /* NULL until it is known */
	struct globals globals;
	char **operands; /* borrowed from argv; NULL terminated */
	size_t n_operands;
	bool was_root; /* before a user namespace was entered */
	bool in_userns;
	bool look_only; /* open the store without making or changing anything */
};

extern const struct opt global_opts[];
extern const struct face face_imbrex;

/* NULL if the face has no such verb. */
const struct verb *face_find(const struct face *face, const char *name);
/* The i-th listed verb over all groups; NULL after the last. */
const struct verb *face_verb_at(const struct face *face, size_t i);
void face_print_help(FILE *f, const struct face *face);
void verb_print_help(FILE *f, const struct face *face, const struct verb *verb);
/* "imbrex: unknown verb …" with the nearest one; returns EXIT_USAGE. */
int face_unknown_verb(struct cli *c, const char *name);

/* Print the error as one line, and its hint; returns the exit status of a failure of this verb. */
int cli_fail(const struct cli *c, const struct imbrex_error *err);
/* The same for wrong usage: 2, or what the verb says. */
int cli_usage(const struct cli *c, const struct imbrex_error *err);
/* Text for stderr that is no error: "warning: …"; nothing with --quiet. */
void cli_note(const struct cli *c, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* As cli_note(), with --debug only. */
void cli_debug(const struct cli *c, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Become root of a user namespace if the caller is no root. Idempotent. */
int cli_enter_userns(struct cli *c, struct imbrex_error *err) MUST_CHECK;
/* Tell podman, buildah and ourselves, through the environment, that a user namespace is there
 * already. uid, gid: the caller's outside of it. */
int cli_mark_userns(unsigned int uid, unsigned int gid, struct imbrex_error *err) MUST_CHECK;
/* Open the store that the global options name, entering a user namespace if that is needed. */
int cli_open_store(struct cli *c, struct imbrex_store **ret, struct imbrex_error *err) MUST_CHECK;

/* Close it (NULL is fine), saying what was found damaged in it on the way. */
void cli_close_store(struct imbrex_store *s);

static inline void cleanup_store(struct imbrex_store **s)
{
	cli_close_store(*s);
}
#define AUTO_STORE __attribute__((cleanup(cleanup_store))) struct imbrex_store

#endif
