/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Backend "zfs": images are templates, containers clones of them, in the dataset that is mounted at
 * $ENROOT_DATA_PATH; a file of an image is a pointer to a template, a squashfs or a ZFS stream.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/enroot/enroot.h"
#include "imbrex/template.h"

#define SHORT_KEY 12
/* How often a template may be evicted by others before it is cloned. */
#define RACES_MAX 8

static void close_templates(struct imbrex_templates **t)
{
	imbrex_templates_close(*t);
}
#define AUTO_TEMPLATES __attribute__((cleanup(close_templates))) struct imbrex_templates
#define AUTO_FACTS     __attribute__((cleanup(imbrex_template_facts_done))) struct imbrex_template_facts

static void on_note(void *userdata, enum imbrex_note level, const char *text)
{
	if (level == IMBREX_NOTE_WARN)
		enroot_warn("%s", text);
	else
		enroot_info("%s", text);
}

/* ---- settings -------------------------------------------------------------------------- */

/* Seconds, or "inf". What is neither is as if it were not set. NULL: not set. */
static const uint64_t *seconds(const char *name, uint64_t *store)
{
	const char *text = enroot_setting(name);
	char *end;

	if (!text)
		return NULL;
	if (str_eq(text, "inf")) {
		*store = UINT64_MAX;
		return store;
	}
	errno = 0;
	*store = strtoull(text, &end, 10);
	return *text >= '0' && *text <= '9' && !*end && errno == 0 ? store : NULL;
}

/* "80", "0.80"; 0: not set. */
static unsigned int percent(const char *name)
{
	const char *text = enroot_setting(name);
	const char *digits = text ? str_after(text, "0.") : NULL;
	char *end;
	unsigned long n;

	if (!text)
		return 0;
	if (digits) {
		/* "0.8" is 80. */
		n = strtoul(digits, &end, 10);
		if (end == digits + 1)
			n *= 10;
		return *digits >= '0' && *digits <= '9' && !*end && end <= digits + 2
			       ? (unsigned int)n
			       : 0;
	}
	return enroot_number(name, 0);
}

int zfs_open_templates(struct imbrex_templates **ret)
{
	const char *chain = enroot_setting("ENROOT_ZFS_LAYER_CHAIN");
	uint64_t warm, layer_warm;
	const struct imbrex_templates_opts opts = {
		.data_path = getenv("ENROOT_DATA_PATH"),
		.warm_sec = seconds("ENROOT_TEMPLATE_WARM_SECONDS", &warm),
		.layer_warm_sec = seconds("ENROOT_LAYER_WARM_SECONDS", &layer_warm),
		.pressure_percent = percent("ENROOT_TEMPLATE_PRESSURE_THRESHOLD"),
		.layer_chain = chain && str_eq(chain, "y"),
		.note = on_note,
	};
	struct imbrex_error err = { 0 };

	return imbrex_templates_open(&opts, ret, &err) < 0 ? enroot_fail(&err) : 0;
}

/* ---- templates ------------------------------------------------------------------------- */

/*
 * A form of the URI that the fork's reader takes, too: no user, no "#", and no registry where that
 * is Docker's own.
 */
static char *pointer_uri(const struct enroot_source *source)
{
	const char *rest = str_after(source->text, "docker://docker.io/");

	return rest ? format_text("docker://%s", rest) : strdup(source->text);
}

static int write_pointer(const struct enroot_source *source, const char *uri,
	const struct imbrex_template_facts *facts, const char *file)
{
	AUTO_FREE char *arch = strdup(source->arch);
	AUTO_FREE char *copy = strdup(uri);
	struct enroot_pointer p = {
		.config = facts->key, .manifest = facts->manifest_digest, .arch = arch, .uri = copy
	};
	struct imbrex_error err = { 0 };
	time_t now = time(NULL);
	char imported[32];
	struct tm tm;

	if (!arch || !copy || !gmtime_r(&now, &tm) ||
		strftime(imported, sizeof(imported), "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		return enroot_error("out of memory");
	p.imported = imported;
	return enroot_pointer_write(file, &p, &err) < 0 ? enroot_fail(&err) : 0;
}

/* The template of an image. expect: as imbrex_template_import(). */
static int import(struct imbrex_templates *t, struct enroot_source *source, const char *uri,
	const char *expect, struct imbrex_template_facts *ret, struct imbrex_error *err)
{
	struct imbrex_template_origin origin = { .uri = uri, .arch = source->arch };
	int r;

	/* As the fork fills its templates: nobody gets rights from a file. */
	source->opts.strip_setid = true;
	r = imbrex_template_import(t, source->text, &source->opts, expect, ret, err);
	if (r < 0 || ret->reused)
		return r;
	origin.manifest_digest = ret->manifest_digest;
	imbrex_template_describe(t, ret->key, &origin);
	return 0;
}

int zfs_import(struct enroot *e, const struct enroot_uri *u, const char *typed, const char *file)
{
	AUTO_SOURCE_ENROOT source = { 0 };
	AUTO_FACTS facts = { 0 };
	AUTO_TEMPLATES *t = NULL;
	AUTO_FREE char *uri = NULL;
	struct imbrex_error err = { 0 };
	int status = enroot_source_init(e, u, typed, &source);

	if (status == 0)
		status = zfs_open_templates(&t);
	if (status != 0)
		return status;
	uri = pointer_uri(&source);
	if (!uri)
		return enroot_error("out of memory");
	if (import(t, &source, uri, NULL, &facts, &err) < 0)
		return enroot_source_fail(&source, &err);
	return write_pointer(&source, uri, &facts, file);
}

/* ---- containers ------------------------------------------------------------------------ */

/* Nothing is transferred for a name that is taken. */
static int check_name(struct enroot *e, struct imbrex_templates *t, const char *name)
{
	struct imbrex_error err = { 0 };
	int r = e->args.force ? 0 : imbrex_clone_exists(t, name, &err);

	if (r < 0)
		return enroot_fail(&err);
	return r > 0 ? enroot_error("Container already exists: %s", name) : 0;
}

/* What makes the template of a container if it is not there. */
struct origin {
	int (*make)(struct origin *o, struct imbrex_templates *t, char **ret_key);
	struct enroot_source *source;
	const char *file;
	const struct enroot_pointer *pointer;
};

/* A template that others evict between its making and its cloning is made again. */
static int clone(struct enroot *e, struct imbrex_templates *t, struct origin *o, const char *name)
{
	struct imbrex_error err = { 0 };
	unsigned int i;
	int r = IMBREX_ENOENT;

	for (i = 0; r == IMBREX_ENOENT && i < RACES_MAX; i++) {
		AUTO_FREE char *key = NULL;
		int status = o->make(o, t, &key);

		if (status != 0)
			return status;
		r = imbrex_clone_create(t, key, name, e->args.force, &err);
	}
	return r < 0 ? enroot_fail(&err) : EXIT_SUCCESS;
}

static int make_of_squashfs(struct origin *o, struct imbrex_templates *t, char **ret_key)
{
	struct imbrex_error err = { 0 };

	return imbrex_template_import_squashfs(
		       t, o->file, enroot_number("ENROOT_MAX_PROCESSORS", 0), ret_key, &err) < 0
		       ? enroot_fail(&err)
		       : 0;
}

static int make_of_pointer(struct origin *o, struct imbrex_templates *t, char **ret_key)
{
	const struct enroot_pointer *p = o->pointer;
	AUTO_FACTS facts = { 0 };
	struct imbrex_error err = { 0 };
	int r;

	*ret_key = strdup(p->config);
	if (!*ret_key)
		return enroot_error("out of memory");
	r = imbrex_template_find(t, p->config, &err);
	if (r != 0)
		return r < 0 ? enroot_fail(&err) : 0;
	enroot_info("Template %.*s evicted; re-pulling from %s", SHORT_KEY, p->config, p->uri);
	r = import(t, o->source, p->uri, p->config, &facts, &err);
	if (r == IMBREX_EDIGEST && facts.key && !str_eq(facts.key, p->config))
		return enroot_error("Pointer %s references image-config-sha256 %s, but URI now "
				    "resolves to %s. Delete and re-import.",
			o->file, p->config, facts.key);
	return r < 0 ? enroot_source_fail(o->source, &err) : 0;
}

static int make_of_image(struct origin *o, struct imbrex_templates *t, char **ret_key)
{
	AUTO_FREE char *uri = pointer_uri(o->source);
	AUTO_FACTS facts = { 0 };
	struct imbrex_error err = { 0 };

	if (!uri)
		return enroot_error("out of memory");
	if (import(t, o->source, uri, NULL, &facts, &err) < 0)
		return enroot_source_fail(o->source, &err);
	*ret_key = take_ptr(facts.key);
	return 0;
}

int zfs_create_squashfs(struct enroot *e, const char *image, const char *name)
{
	struct origin o = { .make = make_of_squashfs, .file = image };
	AUTO_TEMPLATES *t = NULL;
	int status = zfs_open_templates(&t);

	if (status == 0)
		status = check_name(e, t, name);
	return status ? status : clone(e, t, &o, name);
}

int zfs_create_pointer(struct enroot *e, const char *image, const char *name)
{
	AUTO_SOURCE_ENROOT source = { 0 };
	AUTO_POINTER p = { 0 };
	AUTO_URI u = { 0 };
	AUTO_TEMPLATES *t = NULL;
	struct origin o = {
		.make = make_of_pointer, .file = image, .source = &source, .pointer = &p
	};
	int status;

	if (enroot_pointer_read(image, &p) <= 0)
		return EXIT_FAILURE;
	status = enroot_uri_parse(p.uri, &u);
	if (status == 0)
		status = enroot_source_init(e, &u, p.uri, &source);
	if (status == 0)
		status = zfs_open_templates(&t);
	if (status == 0)
		status = check_name(e, t, name);
	if (status != 0)
		return status;
	/* As it was imported, whatever this machine is. */
	(void)snprintf(source.platform, sizeof(source.platform), "linux/%.32s", p.arch);
	source.arch = p.arch;
	return clone(e, t, &o, name);
}

int zfs_load(struct enroot *e, const struct enroot_uri *u, const char *typed, const char *name)
{
	AUTO_SOURCE_ENROOT source = { 0 };
	AUTO_TEMPLATES *t = NULL;
	struct origin o = { .make = make_of_image, .source = &source };
	int status = enroot_source_init(e, u, typed, &source);

	if (status == 0)
		status = zfs_open_templates(&t);
	if (status == 0)
		status = check_name(e, t, name);
	source.loading = true;
	return status ? status : clone(e, t, &o, name);
}

int zfs_export(struct enroot *e, const char *name, const char *file)
{
	struct imbrex_error err = { 0 };
	AUTO_TEMPLATES *t = NULL;
	AUTO_FREE char *path = NULL;
	int status = zfs_open_templates(&t);

	if (status != 0)
		return status;
	if (imbrex_clone_mount(t, name, &path, &err) < 0)
		return enroot_fail(&err);
	return enroot_export(path, file, e->args.force);
}

int zfs_remove(struct enroot *e, const char *name)
{
	AUTO_FREE char *path = NULL;
	AUTO_TEMPLATES *t = NULL;
	struct imbrex_error err = { 0 };
	int status = enroot_container_path(name, &path);
	int r;

	if (status == 0)
		status = zfs_open_templates(&t);
	if (status != 0)
		return status;
	r = imbrex_clone_exists(t, name, &err);
	if (r < 0)
		return enroot_fail(&err);
	if (r == 0)
		return enroot_error("No such container: %s", name);
	if (!e->args.force) {
		int answer = enroot_confirm(path);

		if (answer <= 0)
			return answer < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
	}
	return imbrex_clone_remove(t, name, &err) < 0 ? enroot_fail(&err) : EXIT_SUCCESS;
}
