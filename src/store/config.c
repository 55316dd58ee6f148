/* SPDX-License-Identifier: Apache-2.0 */
/*
 * storage.conf and its environment.
 *
 * Order: a file that the caller names, or CONTAINERS_STORAGE_CONF, stands alone; else the first of
 * the user's, /etc's and /usr/share's file, then the drop-ins of all three places by file name,
 * a later place replacing an earlier one's file of the same name. Then
 * CONTAINERS_STORAGE_CONF_OVERRIDE, STORAGE_DRIVER, STORAGE_OPTS, and the command line. What is the
 * machine's (all but the caller's and the user's) does not say where a user's store lies.
 */
#include "store/config.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/str.h"
#include "os/fd.h"
#include "store/remap.h"
#include "store/roots.h"
#include "toml/toml.h"

#define MAIN_ETC "/etc/containers/storage.conf"
#define MAIN_USR "/usr/share/containers/storage.conf"

/* What the files say, before defaults: NULL is "not said". */
struct settings {
	char *driver;
	char *graphroot;
	char *runroot;
	char *imagestore;
	char *rootless_storage_path;
	bool transient_store;
	bool disable_volatile;
	char *auto_user;
	int64_t auto_min_ids;
	int64_t auto_max_ids;
	char *remap_uids;
	char *remap_gids;
	char *remap_user;
	char *remap_group;
	struct strv pull_options; /* "key=value", sorted */
	struct strv priority;
	struct strv image_stores;
	struct strv layer_stores;
	struct strv options[4]; /* generic, btrfs, overlay, vfs+zfs: "key=value", in table order */
};

static void settings_done(struct settings *s)
{
	size_t i;

	free(s->driver);
	free(s->graphroot);
	free(s->runroot);
	free(s->imagestore);
	free(s->rootless_storage_path);
	free(s->auto_user);
	free(s->remap_uids);
	free(s->remap_gids);
	free(s->remap_user);
	free(s->remap_group);
	strv_done(&s->pull_options);
	strv_done(&s->priority);
	strv_done(&s->image_stores);
	strv_done(&s->layer_stores);
	for (i = 0; i < ARRAY_LEN(s->options); i++)
		strv_done(&s->options[i]);
}

void storage_config_done(struct storage_config *c)
{
	free(c->graphroot);
	free(c->runroot);
	free(c->driver);
	free(c->imagestore);
	free(c->auto_user);
	id_maps_copy_done(&c->remap);
	strv_done(&c->pull_options);
	strv_done(&c->driver_priority);
	strv_done(&c->driver_options);
	strv_done(&c->sources);
	*c = (struct storage_config){ 0 };
}

/* ---- one file -------------------------------------------------------------------------- */

static int take_text(
	const struct toml_value *table, const char *key, char **slot, struct imbrex_error *err)
{
	const char *text;
	char *copy;
	int r;

	r = toml_string(table, key, &text, err);
	if (r <= 0)
		return r;
	copy = strdup(text);
	if (!copy)
		return fail_nomem(err);
	free(*slot);
	*slot = copy;
	return 0;
}

static int take_list(const struct toml_value *table, const char *key, struct strv *slot,
	struct imbrex_error *err)
{
	AUTO_STRV fresh = { 0 };
	bool append = false;
	size_t i;
	int r;

	r = toml_strings(table, key, &fresh, &append, err);
	if (r <= 0)
		return r;
	if (!append)
		strv_done(slot);
	for (i = 0; i < fresh.n; i++) {
		if (strv_add(slot, fresh.items[i]) < 0)
			return fail_nomem(err);
	}
	return 0;
}

/* Replace or add "PREFIXkey=value" in a list. */
static int set_option(struct strv *list, const char *prefix, const char *key, const char *value)
{
	AUTO_FREE char *head = format_text("%s%s=", prefix, key);
	size_t i;

	if (!head)
		return -ENOMEM;
	for (i = 0; i < list->n; i++) {
		if (str_after(list->items[i], head)) {
			strv_remove(list, i);
			break;
		}
	}
	return strv_addf(list, "%s%s", head, value);
}

static int take_options(const struct toml_value *table, const char *prefix, const char *const *keys,
	struct strv *list, struct imbrex_error *err)
{
	const char *value;
	size_t i;
	int r;

	for (i = 0; keys[i]; i++) {
		r = toml_scalar_text(table, keys[i], &value, err);
		if (r < 0)
			return r;
		if (r > 0 && set_option(list, prefix, keys[i], value) < 0)
			return fail_nomem(err);
	}
	return 0;
}

/* In the older layout force_mask is a number; drivers read it as octal digits. */
static int take_force_mask(
	const struct toml_value *table, struct strv *list, struct imbrex_error *err)
{
	char digits[32];
	const char *text;
	int64_t number;
	int r;

	r = toml_integer(table, "force_mask", &number, NULL);
	if (r > 0) {
		(void)snprintf(digits, sizeof(digits), "%llo", (unsigned long long)number);
		text = digits;
	} else {
		r = toml_scalar_text(table, "force_mask", &text, err);
		if (r <= 0)
			return r;
	}
	return set_option(list, "", "force_mask", text) < 0 ? fail_nomem(err) : 0;
}

/* A table of strings, merged with that of earlier files key by key. */
static int take_pull_options(
	const struct toml_value *table, struct strv *list, struct imbrex_error *err)
{
	const struct toml_value *v;
	const char *text;
	size_t i;
	int r;

	for (v = table ? toml_first(table) : NULL; v; v = toml_next(v)) {
		const char *key = toml_key(v);
		AUTO_FREE char *line = NULL;

		r = toml_string(table, key, &text, err);
		if (r < 0)
			return r;
		line = format_text("%s=%s", key, text);
		if (!line)
			return fail_nomem(err);
		for (i = 0; i < list->n && strcmp(list->items[i], key) < 0;)
			i++;
		if (i < list->n && str_after(list->items[i], key) &&
			list->items[i][strlen(key)] == '=')
			strv_remove(list, i);
		if (strv_insert(list, i, line) < 0)
			return fail_nomem(err);
	}
	return 0;
}

static int take_userns(const struct toml_value *table, struct settings *s, struct imbrex_error *err)
{
	static const char *const keys[] = { "auto-userns-min-size", "auto-userns-max-size" };
	int64_t *const slots[] = { &s->auto_min_ids, &s->auto_max_ids };
	size_t i;
	int r;

	r = take_text(table, "root-auto-userns-user", &s->auto_user, err);
	for (i = 0; r >= 0 && i < ARRAY_LEN(keys); i++) {
		r = toml_integer(table, keys[i], slots[i], err);
		if (r > 0 && (*slots[i] < 0 || *slots[i] > UINT32_MAX))
			r = toml_fail(
				toml_get(table, keys[i]), err, "%s is no number of ids", keys[i]);
	}
	return r < 0 ? r : 0;
}

static int take_remap(const struct toml_value *table, struct settings *s, struct imbrex_error *err)
{
	int r;

	r = take_text(table, "remap-uids", &s->remap_uids, err);
	if (r == 0)
		r = take_text(table, "remap-gids", &s->remap_gids, err);
	if (r == 0)
		r = take_text(table, "remap-user", &s->remap_user, err);
	return r < 0 ? r : take_text(table, "remap-group", &s->remap_group, err);
}

static int take_driver_tables(
	const struct toml_doc *doc, struct settings *s, struct imbrex_error *err)
{
	static const char *const generic[] = { "size", "mount_program", "skip_mount_home",
		"ignore_chown_errors", NULL };
	static const char *const last[] = { "mountopt", NULL };
	static const char *const overlay[] = { "ignore_chown_errors", "mount_program", "mountopt",
		"size", "inodes", "skip_mount_home", "force_mask", "use_composefs", "sync", NULL };
	static const char *const vfs[] = { "ignore_chown_errors", NULL };
	static const char *const btrfs[] = { "min_space", "size", NULL };
	static const char *const zfs[] = { "fsname", "mountopt", "size", NULL };
	const struct toml_value *options = toml_table(doc, "storage.options");
	int r;

	r = take_options(options, "", generic, &s->options[0], err);
	if (r == 0)
		r = take_force_mask(options, &s->options[0], err);
	if (r == 0)
		r = take_options(options, "", last, &s->options[0], err);
	if (r == 0)
		r = take_options(toml_get(options, "btrfs"), "btrfs.", btrfs, &s->options[1], err);
	if (r == 0)
		r = take_options(
			toml_get(options, "overlay"), "overlay.", overlay, &s->options[2], err);
	if (r == 0)
		r = take_options(toml_get(options, "vfs"), "vfs.", vfs, &s->options[3], err);
	if (r == 0)
		r = take_options(toml_get(options, "zfs"), "zfs.", zfs, &s->options[3], err);
	return r;
}

static int take_document(const struct toml_doc *doc, struct settings *s, struct imbrex_error *err)
{
	const struct toml_value *storage = toml_table(doc, "storage");
	const struct toml_value *options = toml_table(doc, "storage.options");
	int r;

	r = take_text(storage, "driver", &s->driver, err);
	if (r == 0)
		r = take_list(storage, "driver_priority", &s->priority, err);
	if (r == 0)
		r = take_text(storage, "runroot", &s->runroot, err);
	if (r == 0)
		r = take_text(storage, "graphroot", &s->graphroot, err);
	if (r == 0)
		r = take_text(storage, "imagestore", &s->imagestore, err);
	if (r == 0)
		r = take_text(storage, "rootless_storage_path", &s->rootless_storage_path, err);
	if (r == 0)
		r = toml_bool(storage, "transient_store", &s->transient_store, err);
	if (r >= 0)
		r = toml_bool(options, "disable-volatile", &s->disable_volatile, err);
	if (r >= 0)
		r = take_list(options, "additionalimagestores", &s->image_stores, err);
	if (r == 0)
		r = take_list(options, "additionallayerstores", &s->layer_stores, err);
	if (r == 0)
		r = take_userns(options, s, err);
	if (r == 0)
		r = take_remap(options, s, err);
	if (r == 0)
		r = take_pull_options(toml_get(options, "pull_options"), &s->pull_options, err);
	return r < 0 ? r : take_driver_tables(doc, s, err);
}

static int read_file(
	const char *path, struct settings *s, struct strv *sources, struct imbrex_error *err)
{
	AUTO_STR text = STR_INIT(LIMIT_CONF_BYTES);
	AUTO_CLOSE int fd = -EBADF;
	AUTO_TOML *doc = NULL;
	int r;

	/* An administrator's file: a link to it is fine, unlike inside a store. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return fail_errno(err, "open '%s'", path);
	r = read_to_end(fd, &text);
	if (r < 0)
		return fail_code(err, r, "read '%s'", path);
	r = toml_parse(path, str_text(&text), text.len, &doc, err);
	if (r == 0)
		r = take_document(doc, s, err);
	if (r == 0 && strv_add(sources, path) < 0)
		r = fail_nomem(err);
	return r;
}

/* ---- which files ----------------------------------------------------------------------- */

static char *home_of(uid_t uid)
{
	const char *home = getenv("HOME");
	struct passwd pw;
	struct passwd *found = NULL;
	char text[4096]; /* a line of passwd; a longer one counts as none */

	if (home && *home == '/')
		return strdup(home);
	if (getpwuid_r(uid, &pw, text, sizeof(text), &found) != 0 || !found)
		return strdup("/");
	return strdup(pw.pw_dir);
}

/* "$VARIABLE/containers" or "<home>/<fallback>/containers". */
static char *user_dir(const char *variable, const char *home, const char *fallback)
{
	const char *base = getenv(variable);

	if (base && *base == '/')
		return format_text("%s/containers", base);
	return format_text("%s/%s/containers", home, fallback);
}

/* A drop-in replaces the one of the same file name from an earlier directory. */
static int add_drop_ins(const char *dir, struct strv *paths)
{
	DIR *d = opendir(dir);
	struct dirent *entry;
	struct stat st;
	int r = 0;

	if (!d)
		return 0;
	while (r == 0 && (entry = readdir(d))) {
		AUTO_FREE char *path = format_text("%s/%s", dir, entry->d_name);
		size_t i;

		if (!path)
			r = -ENOMEM;
		if (r < 0 || !str_ends(entry->d_name, ".conf") || stat(path, &st) < 0 ||
			!S_ISREG(st.st_mode))
			continue;
		for (i = 0; i < paths->n; i++) {
			if (str_eq(strrchr(paths->items[i], '/') + 1, entry->d_name)) {
				strv_remove(paths, i);
				break;
			}
		}
		for (i = 0; i < paths->n; i++) {
			if (strcmp(strrchr(paths->items[i], '/') + 1, entry->d_name) > 0)
				break;
		}
		r = strv_insert(paths, i, path);
	}
	(void)closedir(d);
	return r;
}

static int drop_ins(
	const struct storage_config_request *request, const char *user, struct strv *paths)
{
	static const char *const bases[] = { "/usr/share/containers/", "/etc/containers/" };
	const char *who = request->rootless ? "rootless" : "rootful";
	size_t i;
	int r = 0;

	for (i = 0; r == 0 && i < ARRAY_LEN(bases); i++) {
		AUTO_FREE char *all = format_text("%sstorage.conf.d", bases[i]);
		AUTO_FREE char *some = format_text("%sstorage.%s.conf.d", bases[i], who);
		AUTO_FREE char *one = format_text(
			"%sstorage.rootless.conf.d/%u", bases[i], (unsigned int)request->uid);

		if (!all || !some || !one)
			return -ENOMEM;
		r = add_drop_ins(all, paths);
		if (r == 0)
			r = add_drop_ins(some, paths);
		if (r == 0 && request->rootless)
			r = add_drop_ins(one, paths);
	}
	return r < 0 || !user ? r : add_drop_ins(user, paths);
}

/* A user's graphroot is not the machine's, whatever the machine's file says. */
static void drop_machine_roots(const struct storage_config_request *request, struct settings *s)
{
	if (!request->rootless || request->uid == 0)
		return;
	free(take_ptr(s->graphroot));
	free(take_ptr(s->runroot));
}

static int read_default_files(const struct storage_config_request *request, const char *user_conf,
	const char *user_drop_ins, struct settings *s, struct strv *sources,
	struct imbrex_error *err)
{
	const char *candidates[] = { user_conf, MAIN_ETC, MAIN_USR };
	AUTO_STRV paths = { 0 };
	size_t i;
	int r;

	for (i = 0; i < ARRAY_LEN(candidates); i++) {
		if (!candidates[i] || access(candidates[i], F_OK) < 0)
			continue;
		r = read_file(candidates[i], s, sources, err);
		if (r < 0)
			return r;
		if (i > 0)
			drop_machine_roots(request, s);
		break;
	}
	if (drop_ins(request, user_drop_ins, &paths) < 0)
		return fail_nomem(err);
	for (i = 0; i < paths.n; i++) {
		r = read_file(paths.items[i], s, sources, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* root has files of its own only where XDG_CONFIG_HOME says so: podman 4 and 5 look no further. */
static bool has_user_files(const struct storage_config_request *request)
{
	const char *base = getenv("XDG_CONFIG_HOME");

	return request->rootless || (base && *base == '/');
}

static int read_files(const struct storage_config_request *request, const char *home,
	struct settings *s, struct strv *sources, struct imbrex_error *err)
{
	AUTO_FREE char *user = user_dir("XDG_CONFIG_HOME", home, ".config");
	AUTO_FREE char *user_conf = user ? format_text("%s/storage.conf", user) : NULL;
	AUTO_FREE char *user_drop_ins = user ? format_text("%s/storage.conf.d", user) : NULL;
	const char *named = request->config_file;
	const char *by_env = getenv("CONTAINERS_STORAGE_CONF");
	const char *override = getenv("CONTAINERS_STORAGE_CONF_OVERRIDE");
	int r;

	if (!user_conf || !user_drop_ins)
		return fail_nomem(err);
	if (named && *named) {
		r = read_file(named, s, sources, err);
	} else if (by_env && *by_env) {
		/* It takes the place of the machine's file: so podman 4 and 5 have it. */
		r = read_file(by_env, s, sources, err);
		drop_machine_roots(request, s);
	} else {
		r = read_default_files(request, has_user_files(request) ? user_conf : NULL,
			has_user_files(request) ? user_drop_ins : NULL, s, sources, err);
	}
	if (r == 0 && override && *override)
		r = read_file(override, s, sources, err);
	return r;
}

/* ---- values ---------------------------------------------------------------------------- */

static int split_words(const char *text, struct strv *ret)
{
	while (*text) {
		size_t len = strcspn(text, ",");

		if (len && strv_addf(ret, "%.*s", (int)len, text) < 0)
			return -ENOMEM;
		text += len + (text[len] == ',');
	}
	return 0;
}

static int choose_options(
	const struct storage_config_request *request, const struct settings *s, struct strv *ret)
{
	const char *env = getenv("STORAGE_OPTS");
	size_t i;
	size_t k;
	int r = 0;

	if (request->options) {
		for (i = 0; r == 0 && request->options[i]; i++)
			r = strv_add(ret, request->options[i]);
		return r;
	}
	if (env)
		return split_words(env, ret);
	for (i = 0; r == 0 && i < s->image_stores.n; i++)
		r = strv_addf(ret, "imagestore=%s", s->image_stores.items[i]);
	for (i = 0; r == 0 && i < s->layer_stores.n; i++)
		r = strv_addf(ret, "additionallayerstore=%s", s->layer_stores.items[i]);
	for (i = 0; r == 0 && i < ARRAY_LEN(s->options); i++) {
		for (k = 0; r == 0 && k < s->options[i].n; k++)
			r = strv_add(ret, s->options[i].items[k]);
	}
	return r;
}

/* Options of the drivers that are not in use would be refused by the one that is. */
static void keep_options_of(const char *driver, struct strv *options)
{
	static const char *const prefixes[] = { "overlay.", "overlay2.", "vfs.", "btrfs.", "zfs." };
	size_t i = 0;
	size_t k;

	while (i < options->n) {
		bool other = false;

		for (k = 0; k < ARRAY_LEN(prefixes); k++) {
			const char *own = str_after(prefixes[k], driver);

			other = other || (str_after(options->items[i], prefixes[k]) &&
						 !(own && str_eq(own, ".")));
		}
		if (other && *driver)
			strv_remove(options, i);
		else
			i++;
	}
}

static const char *set_or_null(const char *text)
{
	return text && *text ? text : NULL;
}

static int choose_remap(
	const struct settings *s, struct id_maps_copy *ret, struct imbrex_error *err)
{
	const struct remap words = { .uids = set_or_null(s->remap_uids),
		.gids = set_or_null(s->remap_gids),
		.user = set_or_null(s->remap_user),
		.group = set_or_null(s->remap_group) };

	return remap_maps(&words, ret, err);
}

static int choose(const struct storage_config_request *request, const char *home,
	struct settings *s, struct storage_config *ret, struct imbrex_error *err)
{
	const char *env = getenv("STORAGE_DRIVER");
	const char *driver = request->driver && *request->driver ? request->driver
			     : env && *env                       ? env
			     : s->driver                         ? s->driver
								 : "";
	const char *imagestore = request->imagestore ? request->imagestore : s->imagestore;
	AUTO_FREE char *data = user_dir("XDG_DATA_HOME", home, ".local/share");
	struct storage_roots said = { .graphroot = s->graphroot,
		.runroot = s->runroot,
		.rootless_storage_path = s->rootless_storage_path };
	int r;

	ret->driver = strdup(str_eq(driver, "overlay2") ? "overlay" : driver);
	ret->imagestore = imagestore && *imagestore ? storage_path_settle(imagestore) : strdup("");
	ret->transient_store = request->transient_store || s->transient_store;
	ret->disable_volatile = s->disable_volatile;
	ret->auto_user = strdup(s->auto_user ? s->auto_user : "");
	ret->auto_min_ids = (uint32_t)s->auto_min_ids;
	ret->auto_max_ids = (uint32_t)s->auto_max_ids;
	if (!data || !ret->driver || !ret->imagestore || !ret->auto_user ||
		choose_options(request, s, &ret->driver_options) < 0 ||
		strv_copy(&ret->driver_priority, &s->priority) < 0 ||
		strv_copy(&ret->pull_options, &s->pull_options) < 0)
		return fail_nomem(err);
	if (!request->all_options && !request->options && !getenv("STORAGE_OPTS"))
		keep_options_of(ret->driver, &ret->driver_options);
	said.data_dir = data;
	r = choose_remap(s, &ret->remap, err);
	if (r == 0)
		r = storage_roots_choose(request, &said, ret, err);
	if (r < 0)
		return r;
	if (*ret->imagestore && str_eq(ret->imagestore, ret->graphroot))
		return fail(err, IMBREX_EINVAL, "imagestore and graphroot are both '%s'",
			ret->graphroot);
	return 0;
}

int storage_config_load(const struct storage_config_request *request, struct storage_config *ret,
	struct imbrex_error *err)
{
	AUTO_FREE char *home = home_of(request->uid);
	struct storage_config config = { 0 };
	struct settings s = { 0 };
	int r;

	if (!home)
		return fail_nomem(err);
	r = read_files(request, home, &s, &config.sources, err);
	if (r == 0)
		r = choose(request, home, &s, &config, err);
	settings_done(&s);
	if (r < 0) {
		storage_config_done(&config);
		return r;
	}
	*ret = config;
	return 0;
}
