/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Backend "store": images and containers live in imbrex's store, which podman reads too; a file of
 * an image is a pointer to it. Containers of enroot are called "enroot/NAME" there. A squashfs file
 * becomes an image of one layer, which has a name made of what tells that file from all others, so
 * that the next container of it costs nothing.
 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>

#include "cli/enroot/enroot.h"

#define NAME_PREFIX "enroot/"
#define FILE_PREFIX "localhost/enroot/squashfs:"
#define SHORT_ID    12

/* ---- images ---------------------------------------------------------------------------- */

/* ret_id: the image's, free(). */
static int pull(struct imbrex_store *s, struct enroot_source *source, char **ret_id)
{
	AUTO_FREE char *creds = NULL;
	struct imbrex_error err = { 0 };
	struct imbrex_pull_opts opts = {
		.platform = source->platform,
		.tls_verify = source->opts.tls_verify,
		.jobs = source->opts.connections,
		.tries = source->opts.tries,
		.connect_timeout_sec = source->opts.connect_timeout_sec,
		.transfer_timeout_sec = source->opts.transfer_timeout_sec,
		.step = source->opts.step,
		.step_userdata = source->opts.userdata,
	};
	int r;

	if (source->user) {
		creds = format_text("%s:%s", source->user, source->password);
		if (!creds)
			return enroot_error("out of memory");
		opts.creds = creds;
	}
	r = imbrex_pull(s, source->text, &opts, ret_id, &err);
	if (creds)
		explicit_bzero(creds, strlen(creds));
	return r < 0 ? enroot_source_fail(source, &err) : 0;
}

static int write_pointer(
	struct imbrex_store *s, const struct enroot_source *source, char *id, const char *file)
{
	struct imbrex_image *image = NULL;
	struct imbrex_error err = { 0 };
	struct enroot_pointer p = { .config = id, .uri = source->text };
	AUTO_FREE char *arch = strdup(source->arch);
	time_t now = time(NULL);
	char imported[32];
	struct tm tm;
	int r;

	if (!arch || !gmtime_r(&now, &tm))
		return enroot_error("out of memory");
	(void)strftime(imported, sizeof(imported), "%Y-%m-%dT%H:%M:%SZ", &tm);
	p.arch = arch;
	p.imported = imported;
	r = imbrex_image_get(s, id, &image, &err);
	if (r == 0) {
		/* Engines have no manifest of their own: ours says nothing to others. */
		p.manifest = str_after(source->text, "docker://") ? image->digest : NULL;
		r = enroot_pointer_write(file, &p, &err);
	}
	imbrex_images_free(image, r < 0 && !image ? 0 : 1);
	return r < 0 ? enroot_fail(&err) : EXIT_SUCCESS;
}

static int open_store(struct enroot *e, struct imbrex_store **ret)
{
	struct imbrex_error err = { 0 };

	return cli_open_store(e->cli, ret, &err) < 0 ? enroot_fail(&err) : 0;
}

int store_import(struct enroot *e, const struct enroot_uri *u, const char *uri, const char *file)
{
	AUTO_SOURCE_ENROOT source = { 0 };
	AUTO_STORE *s = NULL;
	AUTO_FREE char *id = NULL;
	int status = enroot_source_init(e, u, uri, &source);

	if (status == 0)
		status = open_store(e, &s);
	if (status == 0)
		status = pull(s, &source, &id);
	return status ? status : write_pointer(s, &source, id, file);
}

/* ---- containers ------------------------------------------------------------------------ */

static char *store_name(const char *name)
{
	return format_text(NAME_PREFIX "%s", name);
}

/* Write enroot's files into a new container. */
static int configure(struct imbrex_store *s, const char *container, const char *image,
	const char *provenance, struct imbrex_error *err)
{
	AUTO_FREE char *config = NULL;
	AUTO_FREE char *path = NULL;
	size_t len;
	int r, u;

	r = imbrex_image_config(s, image, &config, &len, err);
	if (r == 0)
		r = imbrex_mount(s, container, NULL, &path, err);
	if (r < 0)
		return r;
	r = imbrex_rootfs_configure(path, config, len, provenance, err);
	u = imbrex_unmount(s, container, /* all= */ false, NULL, r < 0 ? NULL : err);
	return r < 0 ? r : u;
}

static int make_container(struct enroot *e, struct imbrex_store *s, const char *image,
	const char *name, const char *provenance)
{
	/* What a squashfs image says of how to run it, it has with it. */
	bool has_files = provenance == NULL;
	AUTO_FREE char *full = store_name(name);
	AUTO_FREE char *id = NULL;
	struct imbrex_container_opts opts = { .name = full, .exact_image = true };
	struct imbrex_error err = { 0 };
	int r;

	if (!full)
		return enroot_error("out of memory");
	if (imbrex_container_find(s, full, &id, NULL) == 0) {
		if (!e->args.force)
			return enroot_error("Container already exists: %s", name);
		if (imbrex_container_remove(s, id, /* force= */ false, &err) < 0)
			return enroot_fail(&err);
		free(take_ptr(id));
	}
	r = imbrex_container_create(s, image, &opts, &id, &err);
	if (r < 0)
		return enroot_fail(&err);
	if (has_files || configure(s, id, image, provenance, &err) == 0)
		return EXIT_SUCCESS;
	r = imbrex_container_remove(s, id, /* force= */ true, NULL);
	(void)r; /* the first failure is the one to tell */
	return enroot_fail(&err);
}

/* The image of a pointer, pulled again if it is gone. */
static int find_image(struct imbrex_store *s, const char *file, const struct enroot_pointer *p,
	struct enroot_source *source)
{
	AUTO_FREE char *id = NULL;
	int status;

	if (imbrex_object_find(s, p->config, IMBREX_KIND_IMAGE, NULL, &id, NULL) == 0)
		return 0;
	enroot_info("Template %.*s evicted; re-pulling from %s", SHORT_ID, p->config, p->uri);
	status = pull(s, source, &id);
	if (status == 0 && !str_eq(id, p->config))
		status = enroot_error("Pointer %s references image-config-sha256 %s, but URI now "
				      "resolves to %s. Delete and re-import.",
			file, p->config, id);
	return status;
}

int store_create(struct enroot *e, const char *image, const char *name)
{
	AUTO_SOURCE_ENROOT source = { 0 };
	AUTO_POINTER p = { 0 };
	AUTO_URI u = { 0 };
	AUTO_STORE *s = NULL;
	int status;

	if (enroot_pointer_read(image, &p) <= 0)
		return EXIT_FAILURE;
	status = enroot_uri_parse(p.uri, &u);
	if (status == 0)
		status = enroot_source_init(e, &u, p.uri, &source);
	if (status == 0)
		status = open_store(e, &s);
	if (status != 0)
		return status;
	(void)snprintf(source.platform, sizeof(source.platform), "linux/%.32s", p.arch);
	status = find_image(s, image, &p, &source);
	return status ? status : make_container(e, s, p.config, name, source.provenance);
}

/* A file that was changed or replaced has another one. */
static char *name_of_file(const struct stat *st)
{
	return format_text(FILE_PREFIX "%u.%u-%llu-%llx-%llx.%09ld-%llx.%09ld", major(st->st_dev),
		minor(st->st_dev), (unsigned long long)st->st_ino, (unsigned long long)st->st_size,
		(unsigned long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec,
		(unsigned long long)st->st_ctim.tv_sec, st->st_ctim.tv_nsec);
}

/* The image in the store that the file became, or becomes now. ret_id: free(). */
static int image_of_file(struct imbrex_store *s, const char *file, char **ret_id)
{
	AUTO_FREE char *source = format_text("squashfs:%s", file);
	AUTO_FREE char *name = NULL;
	struct imbrex_pull_opts opts = { 0 };
	struct imbrex_error err = { 0 };
	struct stat st;

	if (stat(file, &st) < 0)
		return enroot_error("No such file or directory: %s", file);
	name = name_of_file(&st);
	if (!source || !name)
		return enroot_error("out of memory");
	if (imbrex_object_find(s, name, IMBREX_KIND_IMAGE, NULL, ret_id, NULL) == 0)
		return 0;
	enroot_info("Extracting squashfs filesystem...");
	opts.name = name;
	return imbrex_pull(s, source, &opts, ret_id, &err) < 0 ? enroot_fail(&err) : 0;
}

int store_create_squashfs(struct enroot *e, const char *image, const char *name)
{
	AUTO_STORE *s = NULL;
	AUTO_FREE char *id = NULL;
	int status = open_store(e, &s);

	if (status == 0)
		status = image_of_file(s, image, &id);
	return status ? status : make_container(e, s, id, name, /* provenance= */ NULL);
}

int store_load(struct enroot *e, const struct enroot_uri *u, const char *uri, const char *name)
{
	AUTO_SOURCE_ENROOT source = { 0 };
	AUTO_STORE *s = NULL;
	AUTO_FREE char *id = NULL;
	int status = enroot_source_init(e, u, uri, &source);

	if (status == 0)
		status = open_store(e, &s);
	if (status == 0)
		status = pull(s, &source, &id);
	return status ? status : make_container(e, s, id, name, source.provenance);
}

static int find_container(struct imbrex_store *s, const char *name, char **ret_id)
{
	AUTO_FREE char *full = *name ? store_name(name) : NULL;

	if (!full)
		return enroot_error("Invalid argument");
	if (imbrex_object_find(s, full, IMBREX_KIND_CONTAINER, NULL, ret_id, NULL) < 0)
		return enroot_error("No such container: %s", name);
	return 0;
}

int store_export(struct enroot *e, const char *name, const char *file)
{
	const struct imbrex_mount_opts mount = { .read_only = true };
	struct imbrex_error err = { 0 };
	AUTO_STORE *s = NULL;
	AUTO_FREE char *id = NULL;
	AUTO_FREE char *path = NULL;
	int status = open_store(e, &s);

	if (status == 0)
		status = find_container(s, name, &id);
	if (status != 0)
		return status;
	if (imbrex_mount(s, id, &mount, &path, &err) < 0)
		return enroot_fail(&err);
	status = enroot_export(path, file, e->args.force);
	if (imbrex_unmount(s, id, /* all= */ false, NULL, &err) < 0 && status == 0)
		status = enroot_fail(&err);
	return status;
}

int store_remove(struct enroot *e, const char *name)
{
	struct imbrex_error err = { 0 };
	AUTO_STORE *s = NULL;
	AUTO_FREE char *id = NULL;
	int status = open_store(e, &s);
	int answer;

	if (status == 0)
		status = find_container(s, name, &id);
	if (status != 0)
		return status;
	answer = e->args.force ? 1 : enroot_confirm(name);
	if (answer <= 0)
		return answer < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
	return imbrex_container_remove(s, id, /* force= */ false, &err) < 0 ? enroot_fail(&err)
									    : EXIT_SUCCESS;
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int store_list(struct enroot *e)
{
	struct imbrex_container *all = NULL;
	struct imbrex_error err = { 0 };
	AUTO_STRV names = { 0 };
	AUTO_STORE *s = NULL;
	size_t n = 0, i, k;
	int status = open_store(e, &s);
	int r;

	if (status != 0)
		return status;
	r = imbrex_containers_list(s, &all, &n, &err);
	if (r < 0)
		return enroot_fail(&err);
	for (i = 0; r == 0 && i < n; i++) {
		for (k = 0; r == 0 && all[i].names[k]; k++) {
			const char *name = str_after(all[i].names[k], NAME_PREFIX);

			if (name)
				r = strv_add(&names, name);
		}
	}
	imbrex_containers_free(all, n);
	if (r < 0)
		return enroot_error("out of memory");
	if (names.n > 1)
		qsort(names.items, names.n, sizeof(names.items[0]), by_bytes);
	if (e->args.fancy)
		(void)puts("NAME  PID  COMM  STATE  STARTED  TIME  MNTNS  USERNS  COMMAND");
	for (i = 0; i < names.n; i++)
		(void)puts(names.items[i]);
	return EXIT_SUCCESS;
}
