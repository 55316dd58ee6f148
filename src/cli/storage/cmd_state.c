/* SPDX-License-Identifier: Apache-2.0 */
/* The store as a whole: config, status, version, dedup, gc, shutdown, wipe. */
#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "base/limits.h"
#include "cli/storage/storage.h"
#include "cli/storage/text.h"

/* ---- pairs: status, version -------------------------------------------------------------- */

struct pairs {
	bool json;
	size_t n;
};

static void pairs_begin(const struct pairs *p)
{
	if (p->json)
		(void)putchar('[');
}

/* On stderr, where upstream has it. */
static void pairs_put(struct pairs *p, const char *key, const char *value)
{
	if (!p->json) {
		(void)fprintf(stderr, "%s: %s\n", key, value);
		return;
	}
	(void)fputs(p->n++ ? ",[" : "[", stdout);
	text_json(stdout, key);
	(void)putchar(',');
	text_json(stdout, value);
	(void)putchar(']');
}

static void pairs_end(const struct pairs *p)
{
	if (p->json)
		(void)puts("]");
}

static int join_options(const char *const *options, struct str *ret)
{
	size_t i;
	int r;

	r = str_putc(ret, '[');
	for (i = 0; r == 0 && options && options[i]; i++)
		r = str_printf(ret, "%s%s", i ? " " : "", options[i]);
	return r < 0 ? r : str_putc(ret, ']');
}

static int run_status(struct plumbing *p, struct imbrex_error *err)
{
	struct pairs pairs = { .json = p->flags.json };
	AUTO_STR options = STR_INIT(LIMIT_CONF_BYTES);
	AUTO_STRINGS facts = NULL;
	char *value;
	size_t i;
	int r;

	r = imbrex_store_status(p->store, &facts, err);
	if (r < 0)
		return r;
	if (join_options(imbrex_store_driver_options(p->store), &options) < 0)
		return fail_nomem(err);
	pairs_begin(&pairs);
	pairs_put(&pairs, "Root", imbrex_store_graphroot(p->store));
	pairs_put(&pairs, "Run Root", imbrex_store_runroot(p->store));
	pairs_put(&pairs, "Driver Name", imbrex_store_driver(p->store));
	pairs_put(&pairs, "Driver Options", str_text(&options));
	for (i = 0; facts[i]; i++) {
		value = strchr(facts[i], '=');
		if (value)
			*value++ = '\0';
		pairs_put(&pairs, facts[i], value ? value : "");
	}
	pairs_end(&pairs);
	return EXIT_SUCCESS;
}

static int run_version(struct plumbing *p, struct imbrex_error *err)
{
	struct pairs pairs = { .json = p->flags.json };

	(void)err;
	pairs_begin(&pairs);
	pairs_put(&pairs, "Version", imbrex_version());
	pairs_end(&pairs);
	return EXIT_SUCCESS;
}

/* ---- the rest ---------------------------------------------------------------------------- */

/* The flags that say where a store is do not matter here. */
static int run_config(struct plumbing *p, struct imbrex_error *err)
{
	const struct imbrex_store_opts opts = { .config_file = p->args[0] };
	AUTO_FREE char *json = NULL;
	int r;

	r = imbrex_store_config(&opts, &json, err);
	if (r < 0)
		return r;
	(void)puts(json);
	return EXIT_SUCCESS;
}

/* A failure is "{}" with --json: Go encodes an error so; else "COMMAND: text". */
static int conclude(struct plumbing *p, int r, struct imbrex_error *err)
{
	char buf[TEXT_ERROR_MAX];

	if (r < 0 && p->flags.json) {
		(void)puts("{}");
		return EXIT_FAILURE;
	}
	if (r < 0) {
		(void)fprintf(stderr, "%s: %s\n", p->command->name,
			PLUMBING_TEXT(p, err, /* name= */ NULL, buf));
		return EXIT_FAILURE;
	}
	if (p->flags.json)
		(void)puts("\"\"");
	return EXIT_SUCCESS;
}

static int run_dedup(struct plumbing *p, struct imbrex_error *err)
{
	static const struct {
		const char *name;
		enum imbrex_dedup_method method;
	} methods[] = { { "crc", IMBREX_DEDUP_CRC }, { "size", IMBREX_DEDUP_SIZE },
		{ "sha256", IMBREX_DEDUP_SHA256 } };
	int64_t bytes;
	size_t i;
	int r;

	for (i = 0; i < ARRAY_LEN(methods); i++) {
		if (str_eq(p->flags.hash_method, methods[i].name))
			break;
	}
	if (i == ARRAY_LEN(methods))
		return fail(err, IMBREX_EINVAL, "invalid hash method: %s", p->flags.hash_method);
	r = imbrex_dedup(p->store, methods[i].method, &bytes, err);
	/* Upstream takes a file system that cannot share for one with nothing to share. */
	if (r == IMBREX_ENOTSUP)
		bytes = r = 0;
	if (r < 0)
		return conclude(p, r, err);
	(void)printf(
		p->flags.json ? "{\"Deduped\":%" PRId64 "}\n" : "Deduplicated %" PRId64 " bytes\n",
		bytes);
	return EXIT_SUCCESS;
}

static int run_gc(struct plumbing *p, struct imbrex_error *err)
{
	struct imbrex_error why = { .status = 0 };
	AUTO_STRINGS removed = NULL;
	int r;

	r = imbrex_gc(p->store, /* dry_run= */ false, &removed, err);
	if (r >= 0 && p->flags.json)
		(void)puts("\"\"");
	if (imbrex_store_shutdown(p->store, /* force= */ true, /* ret_still= */ NULL, &why) < 0)
		(void)fprintf(stderr, "shutdown: %s\n", why.message);
	return r < 0 ? r : EXIT_SUCCESS;
}

static int run_shutdown(struct plumbing *p, struct imbrex_error *err)
{
	int r;

	r = imbrex_store_shutdown(p->store, p->flags.force, /* ret_still= */ NULL, err);
	if (r == IMBREX_EBUSY)
		r = fail(err, r, "a layer is mounted: layer is in use by a container");
	return conclude(p, r, err);
}

static int run_wipe(struct plumbing *p, struct imbrex_error *err)
{
	return conclude(p, imbrex_store_wipe(p->store, err), err);
}

static const struct flag dedup_flags[] = {
	FLAG_JSON,
	{ { "--hash-method" }, FLAG_TEXT, FLAG_AT(hash_method),
		"Specify the hash function to use to detect identical files" },
	{ { NULL } },
};

static const struct flag shutdown_flags[] = {
	FLAG_JSON,
	{ { "--force", "-f" }, FLAG_BOOL, FLAG_AT(force), "Unmount mounted layers first" },
	{ { NULL } },
};

const struct command state_commands[] = {
	{
		.name = "config",
		.operands = "[configurationFile]",
		.summary = "Print storage library configuration as JSON",
		.operands_max = 1,
		.no_store = true,
		.run = run_config,
	},
	{
		.name = "dedup",
		.operands = "",
		.summary = "Dedup all images",
		.flags = dedup_flags,
		.run = run_dedup,
	},
	{
		.name = "gc",
		.operands = "",
		.summary = "Perform garbage collection",
		.flags = json_flags,
		.run = run_gc,
	},
	{
		.name = "shutdown",
		.operands = "",
		.summary = "Shut down layer storage",
		.flags = shutdown_flags,
		.run = run_shutdown,
	},
	{
		.name = "status",
		.operands = "",
		.summary = "Check on graph driver status",
		.flags = json_flags,
		.run = run_status,
	},
	{
		.name = "version",
		.operands = "",
		.summary = "Return containers-storage version information",
		.flags = json_flags,
		.no_store = true,
		.run = run_version,
	},
	{
		.name = "wipe",
		.operands = "",
		.summary = "Wipe all layers, images, and containers",
		.flags = json_flags,
		.run = run_wipe,
	},
	{ NULL },
};
