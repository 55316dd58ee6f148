/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text that shells and mount programs will read, from words that whoever made the image chose.
 *
 *   label, variable  one line each: ends of lines in them become blanks
 *   volume           a path inside the root file system: cleaned, so that ".." cannot leave it, and
 *                    with the octal escapes of fstab; dropped where "${" would be expanded
 *   entry point      each word between single quotes
 *   directory        between double quotes, with what is special there behind a backslash
 */
#include "image/runfiles.h"

#include <stdlib.h>

#include "base/limits.h"

static const char rc_local[] =
	"# This file is sourced by /etc/rc when the container starts.\n"
	"# It can be used to manipulate the entrypoint or the command of the container.\n";

/* Each part is several times smaller than the configuration it comes from. */
#define TEXT_MAX (8 * (size_t)LIMIT_CONFIG_BYTES)

void run_files_done(struct run_files *f)
{
	str_done(&f->fstab);
	str_done(&f->environment);
	str_done(&f->rc);
	str_done(&f->rc_local);
	str_done(&f->workdir);
}

/* One line of it. */
static int put_line_text(struct str *to, const char *text)
{
	int r = 0;

	for (; r == 0 && *text; text++)
		r = str_putc(to, *text == '\n' || *text == '\r' ? ' ' : *text);
	return r;
}

/* 'text', where a quote inside is '\''. */
static int put_quoted(struct str *to, const char *text)
{
	int r = str_putc(to, '\'');

	for (; r == 0 && *text; text++)
		r = *text == '\'' ? str_puts(to, "'\\''") : str_putc(to, *text);
	return r < 0 ? r : str_putc(to, '\'');
}

static int put_words(struct str *to, const struct strv *words)
{
	size_t i;
	int r = 0;

	for (i = 0; r == 0 && i < words->n; i++) {
		if (i > 0)
			r = str_putc(to, ' ');
		if (r == 0)
			r = put_quoted(to, words->items[i]);
	}
	return r;
}

/* "text" */
static int put_double_quoted(struct str *to, const char *text)
{
	int r = str_putc(to, '"');

	for (; r == 0 && *text; text++) {
		if (strchr("$`\"\\", *text))
			r = str_putc(to, '\\');
		if (r == 0)
			r = str_putc(to, *text);
	}
	return r < 0 ? r : str_putc(to, '"');
}

/* Components only, ".." taken back, never above the root; no slash at either end. */
static int clean_path(const char *path, struct str *ret)
{
	size_t len;
	int r = 0;

	for (; r == 0 && *path; path += len) {
		path += strspn(path, "/");
		len = strcspn(path, "/");
		if (len == 0 || (len == 1 && path[0] == '.'))
			continue;
		if (len == 2 && path[0] == '.' && path[1] == '.') {
			const char *slash = ret->len ? memrchr(ret->data, '/', ret->len) : NULL;

			ret->len = slash ? (size_t)(slash - ret->data) : 0;
			if (ret->data)
				ret->data[ret->len] = 0;
			continue;
		}
		if (ret->len)
			r = str_putc(ret, '/');
		if (r == 0)
			r = str_append(ret, path, len);
	}
	return r;
}

/* ---- /etc/fstab ------------------------------------------------------------------------ */

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int put_fstab_path(struct str *to, const char *path)
{
	int r = str_putc(to, '/');

	for (; r == 0 && *path; path++) {
		if (strchr(" \t\n\\", *path))
			r = str_printf(to, "\\%03o", (unsigned char)*path);
		else
			r = str_putc(to, *path);
	}
	return r;
}

static int put_volume(struct str *to, const char *volume)
{
	AUTO_STR path = STR_INIT(TEXT_MAX);
	int r = clean_path(volume, &path);

	if (r < 0 || strstr(volume, "${"))
		return r;
	r = str_puts(to, "${ENROOT_ROOTFS}");
	if (r == 0)
		r = put_fstab_path(to, str_text(&path));
	if (r == 0)
		r = str_putc(to, ' ');
	if (r == 0)
		r = put_fstab_path(to, str_text(&path));
	return r < 0 ? r : str_puts(to, " none x-create=dir,bind,rw,nosuid,nodev\n");
}

static int make_fstab(const struct oci_config *c, struct str *to)
{
	AUTO_STRV volumes = { 0 };
	size_t i;
	int r = strv_copy(&volumes, &c->volumes);

	if (r == 0 && volumes.n > 1)
		qsort(volumes.items, volumes.n, sizeof(volumes.items[0]), by_bytes);
	for (i = 0; r == 0 && i < volumes.n; i++)
		r = put_volume(to, volumes.items[i]);
	return r;
}

/* ---- /etc/environment, /etc/rc --------------------------------------------------------- */

static int make_environment(const struct oci_config *c, struct str *to)
{
	size_t i;
	int r = 0;

	for (i = 0; r == 0 && i < c->env.n; i++) {
		r = put_line_text(to, c->env.items[i]);
		if (r == 0)
			r = str_putc(to, '\n');
	}
	return r;
}

static int put_comments(const struct oci_config *c, const char *provenance, struct str *to)
{
	size_t i;
	int r = str_puts(to, "# enroot-provenance: ");

	if (r == 0)
		r = put_line_text(to, provenance);
	for (i = 0; r == 0 && i + 1 < c->labels.n; i += 2) {
		r = str_puts(to, "\n# ");
		if (r == 0)
			r = put_line_text(to, c->labels.items[i]);
		if (r == 0)
			r = str_putc(to, ' ');
		if (r == 0)
			r = put_line_text(to, c->labels.items[i + 1]);
	}
	return r < 0 ? r : str_puts(to, "\n\n");
}

static int put_directory(const struct oci_config *c, struct str *to)
{
	const char *workdir = c->working_dir && *c->working_dir ? c->working_dir : "/";
	int r = str_puts(to, "mkdir -p ");

	if (r == 0)
		r = put_double_quoted(to, workdir);
	if (r == 0)
		r = str_puts(to, " 2> /dev/null\ncd ");
	if (r == 0)
		r = put_double_quoted(to, workdir);
	return r < 0 ? r : str_puts(to, " && unset OLDPWD || exit 1\n\n");
}

static int put_program(const struct oci_config *c, struct str *to)
{
	int r = str_puts(to, "if [ -s /etc/rc.local ]; then\n    . /etc/rc.local\nfi\n\n"
			     "if [ $# -gt 0 ]; then\n    exec ");

	if (r == 0)
		r = put_words(to, &c->entrypoint);
	if (r == 0)
		r = str_puts(to, " \"$@\"\nelse\n    exec ");
	if (r == 0)
		r = put_words(to, &c->entrypoint);
	if (r == 0)
		r = str_putc(to, ' ');
	if (r == 0 && !c->entrypoint.n && !c->cmd.n)
		r = str_puts(to, "'/bin/sh'");
	if (r == 0)
		r = put_words(to, &c->cmd);
	return r < 0 ? r : str_puts(to, "\nfi\n");
}

int run_files_make(const struct oci_config *c, const char *provenance, struct run_files *ret,
	struct imbrex_error *err)
{
	int r;

	*ret = (struct run_files){
		.fstab = STR_INIT(TEXT_MAX),
		.environment = STR_INIT(TEXT_MAX),
		.rc = STR_INIT(TEXT_MAX),
		.rc_local = STR_INIT(TEXT_MAX),
		.workdir = STR_INIT(TEXT_MAX),
	};
	r = make_fstab(c, &ret->fstab);
	if (r == 0)
		r = make_environment(c, &ret->environment);
	if (r == 0)
		r = put_comments(c, provenance, &ret->rc);
	if (r == 0)
		r = put_directory(c, &ret->rc);
	if (r == 0)
		r = put_program(c, &ret->rc);
	if (r == 0)
		r = str_puts(&ret->rc_local, rc_local);
	if (r == 0 && c->working_dir)
		r = clean_path(c->working_dir, &ret->workdir);
	return r < 0 ? fail_nomem(err) : 0;
}
