/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Settings: environment, then enroot.conf, then enroot.conf.d in order, then defaults; the first
 * that says something counts. They end up in the environment, where hooks look for them.
 */
#include <dirent.h>
#include <fcntl.h>
#include <pwd.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/limits.h"
#include "cli/enroot/enroot.h"

#define CONF_DIR_DEFAULT "/etc/enroot"

extern char **environ;

const char *enroot_setting(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

unsigned int enroot_number(const char *name, unsigned int fallback)
{
	const char *text = enroot_setting(name);
	char *end;
	unsigned long n = text ? strtoul(text, &end, 10) : 0;

	return text && *text >= '0' && *text <= '9' && !*end && n <= 1000000 ? (unsigned int)n
									     : fallback;
}

int enroot_words(const char *text, struct strv *ret)
{
	size_t len;

	for (; text && *text; text += len) {
		text += strspn(text, " \t\n");
		len = strcspn(text, " \t\n");
		if (len && strv_addf(ret, "%.*s", (int)len, text) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int no_memory(void)
{
	return enroot_error("out of memory");
}

static const char *lookup(const char *name)
{
	return getenv(name);
}

/* ---- files ----------------------------------------------------------------------------- */

static int invalid(const char *path, size_t line, const char *name, const char *why)
{
	(void)printf("Invalid configuration file: %s\n", path);
	(void)fflush(stdout);
	(void)fprintf(stderr, "%s: line %zu: the value of %s %s\n", path, line, name, why);
	return EXIT_FAILURE;
}

static int load_line(const char *path, size_t number, char *line)
{
	AUTO_STR value = STR_INIT(LIMIT_CONF_BYTES);
	size_t at, len, value_at;
	const char *why;
	char *name;

	if (!config_line_split(line, &at, &len, &value_at))
		return 0;
	why = expand_value(line + value_at, lookup, &value);
	name = line + at;
	name[len] = 0;
	if (why && strstr(why, "is not set")) {
		/* As there: told, and the setting is as if it were not written. */
		(void)fprintf(
			stderr, "%s: line %zu: the value of %s %s\n", path, number, name, why);
		return 0;
	}
	if (why)
		return invalid(path, number, name, why);
	if (enroot_setting(name) || !value.len)
		return 0;
	return setenv(name, str_text(&value), 1) < 0 ? no_memory() : 0;
}

static int load_text(const char *path, char *text)
{
	size_t number = 0;
	char *line;
	int status = 0;

	while (status == 0 && (line = strsep(&text, "\n")) != NULL)
		status = load_line(path, ++number, line);
	return status;
}

static int load_file(const char *path)
{
	AUTO_STR text = STR_INIT(LIMIT_CONF_BYTES);
	char buf[4096];
	size_t n;
	FILE *f = fopen(path, "re");
	int r = 0;

	if (!f && errno == ENOENT)
		return 0;
	if (!f)
		return enroot_error("Could not read configuration file: %s: %m", path);
	while (r == 0 && (n = fread(buf, 1, sizeof(buf), f)) > 0)
		r = str_append(&text, buf, n);
	if (ferror(f))
		r = -EIO;
	(void)fclose(f);
	if (r == -EFBIG || (r == 0 && text.len && memchr(text.data, 0, text.len)))
		return invalid(path, 1, "it", "is no text of less than a megabyte");
	if (r < 0)
		return enroot_error("Could not read configuration file: %s", path);
	return text.data ? load_text(path, text.data) : 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int load_folder(const char *dir)
{
	AUTO_STRV files = { 0 };
	DIR *d = opendir(dir);
	const struct dirent *de;
	int status = 0, r = 0;
	size_t i;

	while (d && r == 0 && (de = readdir(d)) != NULL) {
		if (de->d_name[0] != '.' && str_ends(de->d_name, ".conf"))
			r = strv_addf(&files, "%s/%s", dir, de->d_name);
	}
	if (d)
		(void)closedir(d);
	if (r < 0)
		return no_memory();
	if (files.n > 1)
		qsort(files.items, files.n, sizeof(files.items[0]), by_name);
	for (i = 0; status == 0 && i < files.n; i++)
		status = load_file(files.items[i]);
	return status;
}

/* ---- defaults -------------------------------------------------------------------------- */

static int set_default(const char *name, const char *fmt, ...) PRINTF_LIKE(2, 3);
static int set_default(const char *name, const char *fmt, ...)
{
	AUTO_STR value = STR_INIT(LIMIT_PATH_BYTES);
	va_list ap;
	int r;

	if (enroot_setting(name))
		return 0;
	va_start(ap, fmt);
	r = str_vprintf(&value, fmt, ap);
	va_end(ap);
	return r < 0 || setenv(name, str_text(&value), 1) < 0 ? no_memory() : 0;
}

static const char *home(void)
{
	static char text[16384];
	struct passwd pw, *found = NULL;

	if (enroot_setting("HOME"))
		return getenv("HOME");
	if (getpwuid_r(geteuid(), &pw, text, sizeof(text), &found) == 0 && found)
		return pw.pw_dir;
	return "/";
}

static int set_defaults(const char *conf_dir)
{
	const char *temp = enroot_setting("TMPDIR");
	const char *run = enroot_setting("XDG_RUNTIME_DIR");
	const char *h = home();
	cpu_set_t cpus;
	int n = sched_getaffinity(0, sizeof(cpus), &cpus) == 0 ? CPU_COUNT(&cpus) : 1;

	/* XDG_RUNTIME_DIR itself stays unset: /run is no user's, and the store knows better. */
	return set_default("XDG_CONFIG_HOME", "%s/.config", h) ||
	       set_default("XDG_CACHE_HOME", "%s/.cache", h) ||
	       set_default("XDG_DATA_HOME", "%s/.local/share", h) ||
	       set_default("ENROOT_LIBRARY_PATH", "/usr/lib/enroot") ||
	       set_default("ENROOT_SYSCONF_PATH", "%s", conf_dir) ||
	       set_default("ENROOT_RUNTIME_PATH", "%s/enroot", run ? run : "/run") ||
	       set_default("ENROOT_CONFIG_PATH", "%s/enroot", getenv("XDG_CONFIG_HOME")) ||
	       set_default("ENROOT_CACHE_PATH", "%s/enroot", getenv("XDG_CACHE_HOME")) ||
	       set_default("ENROOT_DATA_PATH", "%s/enroot", getenv("XDG_DATA_HOME")) ||
	       set_default("ENROOT_TEMP_PATH", "%s", temp ? temp : "/tmp") ||
	       set_default("ENROOT_GZIP_PROGRAM", "gzip") ||
	       set_default("ENROOT_ZSTD_OPTIONS", "-1") ||
	       set_default("ENROOT_SQUASH_OPTIONS", "-comp lzo -noD -exit-on-error") ||
	       set_default("ENROOT_MAX_PROCESSORS", "%d", n) ||
	       set_default("ENROOT_MAX_CONNECTIONS", "10") ||
	       set_default("ENROOT_CONNECT_TIMEOUT", "30") ||
	       set_default("ENROOT_TRANSFER_TIMEOUT", "0") ||
	       set_default("ENROOT_TRANSFER_RETRIES", "0") ||
	       set_default("ENROOT_LOGIN_SHELL", "true") ||
	       set_default("ENROOT_ALLOW_SUPERUSER", "false") ||
	       set_default("ENROOT_ALLOW_HTTP", "false") ||
	       set_default("ENROOT_BUNDLE_ALL", "false") ||
	       set_default("ENROOT_BUNDLE_CHECKSUM", "false") ||
	       set_default("ENROOT_NATIVE_OVERLAYFS", "true") ||
	       set_default("ENROOT_ROOTFS_WRITABLE", "false") ||
	       set_default("ENROOT_REMAP_ROOT", "false") ||
	       set_default("ENROOT_FORCE_OVERRIDE", "false") ||
	       set_default("ENROOT_STORAGE_BACKEND", "dir") ||
	       set_default("ENROOT_TEMPLATE_WARM_SECONDS", "604800") ||
	       set_default("ENROOT_TEMPLATE_PRESSURE_THRESHOLD", "80");
}

static bool is_false(const char *value)
{
	static const char *const words[] = { "n", "no", "N", "No", "NO", "f", "F", "false", "False",
		"FALSE" };
	size_t i;

	for (i = 0; i < ARRAY_LEN(words); i++) {
		if (str_eq(words[i], value))
			return true;
	}
	return false;
}

/* A setting that is false is one that is not there. */
static void unset_false(void)
{
	size_t i = 0;

	while (environ[i]) {
		const char *equals = strchr(environ[i], '=');
		char name[256];
		size_t len = equals ? (size_t)(equals - environ[i]) : 0;

		if (!str_after(environ[i], "ENROOT_") || len >= sizeof(name) ||
			!is_false(equals + 1)) {
			i++;
			continue;
		}
		memcpy(name, environ[i], len);
		name[len] = 0;
		(void)unsetenv(name);
	}
}

/* ---- directories ----------------------------------------------------------------------- */

static int make_dirs(const char *path)
{
	AUTO_FREE char *copy = strdup(path);
	char *p;

	if (!copy)
		return -ENOMEM;
	for (p = copy + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = 0;
		(void)mkdir(copy, 0700);
		*p = '/';
	}
	return mkdir(copy, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

static int make_places(void)
{
	static const char *const names[] = { "ENROOT_CACHE_PATH", "ENROOT_DATA_PATH" };
	size_t i;
	int r;

	/* Only a start needs it, and it is what first-time users cannot make. */
	(void)make_dirs(getenv("ENROOT_RUNTIME_PATH"));
	for (i = 0; i < ARRAY_LEN(names); i++) {
		r = make_dirs(getenv(names[i]));
		if (r < 0) {
			errno = -r;
			(void)fprintf(stderr, "mkdir: cannot create directory '%s': %m\n",
				getenv(names[i]));
			return EXIT_FAILURE;
		}
	}
	return 0;
}

const char *enroot_conf_dir(void)
{
	const char *dir = enroot_setting("IMBREX_ENROOT_CONF_DIR");

	return dir ? dir : CONF_DIR_DEFAULT;
}

int enroot_settings_load(void)
{
	const char *dir = enroot_conf_dir();
	AUTO_FREE char *file = NULL;
	AUTO_FREE char *folder = NULL;
	int status;

	file = format_text("%s/enroot.conf", dir);
	folder = format_text("%s/enroot.conf.d", dir);
	if (!file || !folder)
		return no_memory();
	status = load_file(file);
	if (status == 0)
		status = load_folder(folder);
	if (status == 0)
		status = set_defaults(dir);
	if (status != 0)
		return status;
	unset_false();
	return make_places();
}
