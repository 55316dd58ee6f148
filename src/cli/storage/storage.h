/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plumbing face: commands as data, the values of all their flags, and what they share.
 *
 * face.c parses, opens the store, calls the command and prints its failure. A command returns its
 * exit status, or a negative status with `err` filled. Results go to stdout; what upstream prints
 * on stderr, even results, goes there. Threading: one thread.
 */
#ifndef CLI_STORAGE_STORAGE_H
#define CLI_STORAGE_STORAGE_H

#include <limits.h>
#include <stdbool.h>

#include "base/str.h"
#include "cli/cli.h"
#include "cli/storage/flag.h"
#include "imbrex/imbrex.h"

/* Flags that stand before the command, and after it too. */
struct plumbing_globals {
	const char *graph, *run, *image_store, *driver;
	struct flag_list storage_opts;
	bool transient, debug, unshare, help;
};

/* Values of the commands' own flags. One struct: most flags belong to several commands. */
struct plumbing_flags {
	bool json, quiet, force;
	struct flag_list names;
	const char *id, *label, *file, *digest, *metadata, *metadata_file, *mount_opts;
	bool read_only, is_volatile;
	bool host_uids, host_gids;
	const char *uid_map, *gid_map, *sub_uids, *sub_gids;
	bool tree, test;                             /* layers; delete-image */
	bool only_layer, only_image, only_container; /* exists */
	bool uncompressed, gzip, bzip2, xz;          /* diff */
	const char *chown;                           /* copy */
	const char *max_age;                         /* check */
	bool repair;
	const char *hash_method; /* dedup */
};

struct plumbing;

struct command {
	const char *name;
	const char *alias;        /* NULL: none */
	const char *operands;     /* "[options [...]] layerNameOrID"; "" if none */
	const char *summary;      /* one line */
	const struct flag *flags; /* NULL: none of its own */
	unsigned int operands_min, operands_max;
	unsigned int kind; /* enum imbrex_kind: what it is about; 0: nothing of the kind */
	bool no_store;     /* works without one */
	int (*run)(struct plumbing *p, struct imbrex_error *err);
};

struct plumbing {
	struct cli *cli;
	const char *program; /* as the usage calls it: "containers-storage" */
	const char *called;  /* as it was called: argv[0] */
	const struct command *command;
	struct plumbing_globals globals;
	struct plumbing_flags flags;
	struct imbrex_store_opts store_opts;
	struct imbrex_store *store; /* NULL if the command needs none */
	char **args;                /* NULL terminated; borrowed */
	size_t n_args;
	unsigned int uid, gid; /* the caller's, outside of any namespace of ours */
};

/* Every table of commands, each ended by a name of NULL. */
extern const struct command check_commands[], container_commands[], copy_commands[],
	create_commands[], data_commands[], delete_commands[], diff_commands[], exists_commands[],
	image_commands[], layer_commands[], layers_commands[], metadata_commands[],
	mount_commands[], name_commands[], state_commands[], unshare_commands[];

#define FLAG_AT(member) offsetof(struct plumbing_flags, member)
#define FLAG_JSON                                                                  \
	{                                                                          \
		{ "--json", "-j" }, FLAG_BOOL, FLAG_AT(json), "Prefer JSON output" \
	}
/* A table of one: the flag that most commands have. */
extern const struct flag json_flags[];

/* ---- what commands share ----------------------------------------------------------------- */

/* err -> the text that upstream would print for it, about object `name`. */
#define PLUMBING_TEXT(p, err, name, buf) text_error(err, (p)->command->kind, name, buf)

/* Full id of an argument; ENOENT with the reason of that kind. */
int plumbing_find(struct plumbing *p, const char *name, unsigned int kinds, char **ret_id,
	struct imbrex_error *err) MUST_CHECK;
/* Ids of the arguments that are objects of that kind. *ret_all: none was missing. */
int plumbing_find_all(struct plumbing *p, unsigned int kind, struct strv *ret_ids, bool *ret_all,
	struct imbrex_error *err) MUST_CHECK;
/* The records of all objects of a kind, on one line. */
int plumbing_print_all(
	struct plumbing *p, enum imbrex_kind kind, struct imbrex_error *err) MUST_CHECK;
/* One JSON array of the records of these objects, and a newline. ids: NULL counts as none. */
int plumbing_print_records(struct plumbing *p, char *const *ids, unsigned int kind,
	struct imbrex_error *err) MUST_CHECK;
/* One record and a newline. */
int plumbing_print_record(
	struct plumbing *p, const char *id, unsigned int kind, struct imbrex_error *err) MUST_CHECK;
/* All of a file, or of stdin if path is NULL or "". */
int plumbing_read(const char *path, struct str *ret, struct imbrex_error *err) MUST_CHECK;
/* To a file that is made or emptied, or to stdout. */
int plumbing_write(
	const char *path, const void *data, size_t len, struct imbrex_error *err) MUST_CHECK;
/* For reading; stdin if path is NULL or "". *ret_close: what to close, -EBADF if nothing. */
int plumbing_open_input(
	const char *path, int *ret_fd, int *ret_close, struct imbrex_error *err) MUST_CHECK;
/* As plumbing_open_input(), for writing; stdout. */
int plumbing_open_output(
	const char *path, int *ret_fd, int *ret_close, struct imbrex_error *err) MUST_CHECK;

static inline void cleanup_strings(char ***strings)
{
	imbrex_strings_free(*strings);
}
#define AUTO_STRINGS __attribute__((cleanup(cleanup_strings))) char **

/* The i-th command's name, in the order of the usage; NULL after the last. For completion. */
const char *plumbing_command_name(size_t i);
/* The face itself: argv[0] is what it was called, the rest is parsed here. Returns exit status. */
int plumbing_main(struct cli *c, const char *program, char **argv);

#endif
