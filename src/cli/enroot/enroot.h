/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The enroot face: commands as data, settings, messages, and what commands share.
 *
 * enroot_main() loads the settings, finds the command, parses its options and calls it. A command
 * returns its exit status; whoever gives up prints one "[ERROR]" line and returns 1. stdout has
 * data and usages only. Settings live in the environment, where children of enroot expect them.
 * Threading: one thread. Contract: enroot 4.1 and its ZFS fork; differences are in the man page.
 */
#ifndef CLI_ENROOT_ENROOT_H
#define CLI_ENROOT_ENROOT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"
#include "base/strv.h"
#include "cli/cli.h"

/* The version of enroot whose command line this is. */
#define ENROOT_VERSION "4.1.2"

/* Values of all options; each command's table says which it has. */
struct enroot_args {
	const char *arch, *output, *name, *format;
	const char *zfs_have, *zfs_resume;
	bool force, fancy;
	bool zfs_send, zfs_recv, zfs_status;
};

enum enroot_backend {
	BACKEND_DIR = 0,
	BACKEND_STORE,
	BACKEND_ZFS
};

struct enroot {
	struct cli *cli;
	const char *program; /* argv[0] less its directory */
	const struct enroot_command *command;
	struct enroot_args args;
	char **operands; /* NULL terminated */
	size_t n_operands;
	enum enroot_backend backend;
};

struct enroot_option {
	const char *names[3]; /* "-a", "--arch"; NULL terminated */
	size_t offset;        /* in struct enroot_args */
	bool is_flag;
	const char *help;
};

struct enroot_command {
	const char *name;
	const char *operands; /* "[OPTIONS] IMAGE"; "" if none */
	const char *summary;
	const struct enroot_option *options; /* ended by no name; NULL: none */
	unsigned int operands_min, operands_max;
	int (*run)(struct enroot *e);
};

/* Tables of commands, each ended by a name of NULL. */
extern const struct enroot_command import_commands[], create_commands_enroot[], list_commands[],
	info_commands[], other_commands[];

/* ---- messages ---------------------------------------------------------------------------- */

void enroot_info(const char *fmt, ...) PRINTF_LIKE(1, 2);
void enroot_warn(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* Returns 1, the exit status of a failure. */
int enroot_error(const char *fmt, ...) PRINTF_LIKE(1, 2);
int enroot_fail(const struct imbrex_error *err);

/* ---- settings ---------------------------------------------------------------------------- */

/* Where enroot.conf is looked for. */
const char *enroot_conf_dir(void);
/* Configuration files and defaults into the environment. Returns an exit status. */
int enroot_settings_load(void);
/* A setting; NULL if it is unset or empty. */
const char *enroot_setting(const char *name);
/* A number; `fallback` if it is not set or none. */
unsigned int enroot_number(const char *name, unsigned int fallback);
/* Words of a setting, split at blanks. */
int enroot_words(const char *text, struct strv *ret) MUST_CHECK;

/* ---- images ------------------------------------------------------------------------------ */

enum enroot_scheme {
	SCHEME_DOCKER = 1,
	SCHEME_DOCKERD,
	SCHEME_PODMAN,
	SCHEME_ZFS
};

/* What a URI means. Strings are owned. */
struct enroot_uri {
	enum enroot_scheme scheme;
	char *user;     /* docker: "" if none */
	char *registry; /* docker: "registry-1.docker.io", "host:5000" */
	char *image;    /* docker: "library/ubuntu"; else all of it */
	char *tag;      /* docker: "latest", "sha256:…" */
};
/* 0, or an exit status, the message printed. */
int enroot_uri_parse(const char *text, struct enroot_uri *ret);
void enroot_uri_done(struct enroot_uri *u);
#define AUTO_URI __attribute__((cleanup(enroot_uri_done))) struct enroot_uri
/* The pure half of it: false if it follows no grammar. */
bool enroot_uri_split(const char *text, struct enroot_uri *ret);
/* As imbrex takes it: "docker://host/path:tag". NULL: no memory. */
char *enroot_uri_source(const struct enroot_uri *u) MUST_CHECK;
/* As /etc/rc has it: "docker://REGISTRY#IMAGE:TAG"; of daemons what was typed. */
char *enroot_uri_provenance(const struct enroot_uri *u, const char *typed) MUST_CHECK;
/* Name of the image file or container, without suffix. */
char *enroot_uri_name(const struct enroot_uri *u) MUST_CHECK;

/* Of $ENROOT_CONFIG_PATH/.credentials: 1 found, 0 none, -1: message printed. ret: free(). */
int enroot_credentials(const struct enroot_uri *u, char **ret_user, char **ret_password);

/* Digest alone of "sha256:…"; x86_64 -> amd64. NULL: not supported. */
const char *enroot_debian_arch(const char *machine);

struct enroot_pointer {
	char *config;   /* 64 hex */
	char *manifest; /* "sha256:…"; "" if not said */
	char *arch, *uri, *imported;
};
#define POINTER_MAGIC "enroot-zfs-image:v1"
/* 1: a pointer file, 0: something else, -1: a pointer that is not whole; message printed. */
int enroot_pointer_read(const char *path, struct enroot_pointer *ret);
/* The pure half: NULL, or what is missing or wrong ("missing/invalid uri"). */
const char *enroot_pointer_parse(const char *text, size_t len, struct enroot_pointer *ret);
void enroot_pointer_done(struct enroot_pointer *p);
#define AUTO_POINTER __attribute__((cleanup(enroot_pointer_done))) struct enroot_pointer
int enroot_pointer_write(
	const char *path, const struct enroot_pointer *p, struct imbrex_error *err) MUST_CHECK;

/* Absolute path whose directory must exist: readlink -f. 0, or an exit status. ret: free(). */
int enroot_realpath(const char *path, char **ret);
/* $ENROOT_DATA_PATH/NAME, which must be a plain name. 0, or an exit status. ret: free(). */
int enroot_container_path(const char *name, char **ret);

/* ---- expanding values of configuration files ---------------------------------------------- */

/* "name" -> value; NULL: unset. */
typedef const char *(*expand_lookup_fn)(const char *name);
/*
 * The value of a line of enroot.conf as a shell would print it with echo, evaluating nothing but
 * quotes, variables and a few commands by name. NULL, or why it is refused.
 */
const char *expand_value(const char *text, expand_lookup_fn lookup, struct str *ret);
/* Where the name of a setting ends and its value begins; false: the line is to be ignored. */
bool config_line_split(
	const char *line, size_t *ret_name_at, size_t *ret_name_len, size_t *ret_value_at);

/* ---- backend: the store ------------------------------------------------------------------- */

int store_import(struct enroot *e, const struct enroot_uri *u, const char *uri, const char *file);
int store_create(struct enroot *e, const char *image, const char *name);
int store_create_squashfs(struct enroot *e, const char *image, const char *name);
int store_load(struct enroot *e, const struct enroot_uri *u, const char *uri, const char *name);
int store_export(struct enroot *e, const char *name, const char *file);
int store_list(struct enroot *e);
int store_remove(struct enroot *e, const char *name);

/* ---- backend: ZFS ------------------------------------------------------------------------- */

struct imbrex_templates;
/* As the settings have it. 0, or an exit status. */
int zfs_open_templates(struct imbrex_templates **ret);
int zfs_import(struct enroot *e, const struct enroot_uri *u, const char *typed, const char *file);
int zfs_create_pointer(struct enroot *e, const char *image, const char *name);
int zfs_create_squashfs(struct enroot *e, const char *image, const char *name);
int zfs_load(struct enroot *e, const struct enroot_uri *u, const char *typed, const char *name);
int zfs_export(struct enroot *e, const char *name, const char *file);
int zfs_remove(struct enroot *e, const char *name);

/* ---- ZFS streams -------------------------------------------------------------------------- */

int transfer_create(struct enroot *e, const char *image, const char *name);
int transfer_export(struct enroot *e);
int transfer_import(struct enroot *e, const char *uri);
int transfer_load(struct enroot *e, const char *uri);
/* import --zfs-recv, --zfs-status */
int transfer_serve(struct enroot *e);

/* ---- what backends share ------------------------------------------------------------------ */

/* Messages and options of an import. 0, or an exit status. */
struct enroot_source {
	char *text; /* for imbrex */
	char *provenance;
	char *user, *password;
	struct imbrex_rootfs_opts opts;
	char platform[48];
	const char *arch; /* debian name */
	bool loading;     /* say that a container is made */
	bool refused;     /* a registry's answer was told as an error */
};
int enroot_source_init(
	struct enroot *e, const struct enroot_uri *u, const char *typed, struct enroot_source *ret);
void enroot_source_done(struct enroot_source *s);
/* As enroot_fail(), for what comes from a source: returns curl's exit status if it has one. */
int enroot_source_fail(const struct enroot_source *s, const struct imbrex_error *err);
/* Become who can read the source. 0, or an exit status. */
int enroot_reach(struct enroot *e, const struct enroot_uri *u);
#define AUTO_SOURCE_ENROOT __attribute__((cleanup(enroot_source_done))) struct enroot_source
/* How squashfs files are made, by the settings of the configuration. Not to be copied. */
struct enroot_squash {
	struct imbrex_squashfs_opts opts;
	struct strv words;
	int64_t time_sec;
};
int enroot_squash_options(struct enroot_squash *ret);
static inline void cleanup_squash(struct enroot_squash *s)
{
	strv_done(&s->words);
}
#define AUTO_SQUASH __attribute__((cleanup(cleanup_squash))) struct enroot_squash
/* A container's directory becomes a file. */
int enroot_export(const char *dir, const char *file, bool replace);

/*
 * Do work that makes something in the directory `place` so that nothing is left there whoever ends
 * it: in a process of its own, behind which this one cleans up, and then dies of the same signal.
 */
int enroot_supervise(int (*work)(void *arg), void *arg, const char *place);
/* The supervised process ends with its supervisor. Again after a change of user namespace. */
void enroot_end_with_parent(void);
/* "Do you really want to delete PATH? [y/N] ": 1 yes, 0 no, -1 end of input. */
int enroot_confirm(const char *path);

/* Show how the command is used. Returns 1. */
int enroot_usage(const struct enroot *e);
/* The face itself. argv[0] is what it was called. Returns the exit status. */
int enroot_main(struct cli *c, const char *program, char **argv);

#endif
