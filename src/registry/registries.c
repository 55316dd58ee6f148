/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The merged settings of all registries.conf files, and the two questions asked of them.
 *
 * One [[registry]] table applies to a reference: the one with the longest prefix that matches at a
 * component's border. Locations replace the prefix in front of the rest of the name.
 */
#include "registry/registries.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>

#include "base/limits.h"
#include "base/str.h"
#include "base/strv.h"
#include "os/userns.h"
#include "registry/conffile.h"
#include "toml/toml.h"

#define CONF_WHAT "registries configuration"

enum mirror_use {
	MIRROR_ALL = 0,
	MIRROR_DIGEST_ONLY = 1,
	MIRROR_TAG_ONLY = 2,
};

struct mirror {
	char *location;
	bool insecure;
	enum mirror_use use;
};

struct rule {
	char *prefix;   /* "host", "host/path" or "*.host" */
	char *location; /* NULL: the name stays as it is */
	bool insecure;
	bool blocked;
	struct mirror *mirrors;
	size_t n_mirrors;
};

enum short_name_mode {
	SHORT_NAMES_PERMISSIVE = 0, /* also what "disabled" means where nobody is asked */
	SHORT_NAMES_ENFORCING = 1,
};

struct registries {
	struct rule *rules;
	size_t n_rules;
	struct strv aliases; /* name, value, name, value ... */
	struct strv search;
	enum short_name_mode mode;
};

static void rule_done(struct rule *rule)
{
	size_t i;

	for (i = 0; i < rule->n_mirrors; i++)
		free(rule->mirrors[i].location);
	free(rule->mirrors);
	free(rule->prefix);
	free(rule->location);
	*rule = (struct rule){ 0 };
}

/* A location without its trailing slashes, or NULL on no memory. */
static char *clean_location(const char *text)
{
	size_t len = strlen(text);

	while (len && text[len - 1] == '/')
		len--;
	return strndup(text, len);
}

static int check_location(
	const struct toml_value *at, const char *what, const char *text, struct imbrex_error *err)
{
	if (!text[0])
		return toml_fail(at, err, "%s is empty", what);
	if (strstr(text, "://"))
		return toml_fail(at, err, "%s '%.200s' has a scheme, which does not belong there",
			what, text);
	if (text[0] == '/' || strpbrk(text, " \t?#"))
		return toml_fail(
			at, err, "%s '%.200s' is not a registry or repository", what, text);
	return 0;
}

static int read_mirror_use(const struct toml_value *table, bool by_digest, enum mirror_use *ret,
	struct imbrex_error *err)
{
	const char *text = "";
	int r;

	r = toml_string(table, "pull-from-mirror", &text, err);
	if (r < 0)
		return r;
	if (!text[0])
		*ret = by_digest ? MIRROR_DIGEST_ONLY : MIRROR_ALL;
	else if (by_digest)
		return toml_fail(table, err,
			"pull-from-mirror and mirror-by-digest-only exclude each other");
	else if (str_eq(text, "all"))
		*ret = MIRROR_ALL;
	else if (str_eq(text, "digest-only"))
		*ret = MIRROR_DIGEST_ONLY;
	else if (str_eq(text, "tag-only"))
		*ret = MIRROR_TAG_ONLY;
	else
		return toml_fail(table, err, "pull-from-mirror '%.40s' is not known", text);
	return 0;
}

static int read_mirror(
	const struct toml_value *table, bool by_digest, struct rule *rule, struct imbrex_error *err)
{
	struct mirror m = { 0 };
	struct mirror *more;
	const char *location = "";
	int r;

	r = toml_string(table, "location", &location, err);
	if (r >= 0)
		r = check_location(table, "location of a mirror", location, err);
	if (r >= 0)
		r = toml_bool(table, "insecure", &m.insecure, err);
	if (r >= 0)
		r = read_mirror_use(table, by_digest, &m.use, err);
	if (r < 0)
		return r;
	more = reallocarray(rule->mirrors, rule->n_mirrors + 1, sizeof(*more));
	if (!more)
		return fail_nomem(err);
	rule->mirrors = more;
	m.location = clean_location(location);
	if (!m.location)
		return fail_nomem(err);
	rule->mirrors[rule->n_mirrors++] = m;
	return 0;
}

static int read_mirrors(const struct toml_value *table, struct rule *rule, struct imbrex_error *err)
{
	const struct toml_value *list = NULL, *v;
	bool by_digest = false;
	int r;

	r = toml_bool(table, "mirror-by-digest-only", &by_digest, err);
	if (r >= 0)
		r = toml_tables(table, "mirror", &list, err);
	if (r < 0 || !list)
		return r < 0 ? r : 0;
	for (v = toml_first(list); v; v = toml_next(v)) {
		r = read_mirror(v, by_digest, rule, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int fill_rule(const struct toml_value *table, struct rule *rule, struct imbrex_error *err)
{
	const char *prefix = "", *location = "";
	bool wild;
	int r;

	r = toml_string(table, "prefix", &prefix, err);
	if (r >= 0)
		r = toml_string(table, "location", &location, err);
	if (r >= 0)
		r = toml_bool(table, "insecure", &rule->insecure, err);
	if (r >= 0)
		r = toml_bool(table, "blocked", &rule->blocked, err);
	if (r < 0)
		return r;
	if (!prefix[0])
		prefix = location;
	wild = strncmp(prefix, "*.", 2) == 0;
	r = check_location(table, "prefix of a registry", prefix, err);
	if (r == 0 && (strchr(wild ? prefix + 1 : prefix, '*') || (wild && strpbrk(prefix, "/:@"))))
		r = toml_fail(table, err, "prefix '%.200s': a wildcard is '*.' before a host only",
			prefix);
	if (r == 0 && !location[0] && !wild)
		r = toml_fail(table, err, "registry '%.200s' has no location", prefix);
	if (r == 0 && location[0])
		r = check_location(table, "location of a registry", location, err);
	if (r < 0)
		return r;
	rule->prefix = clean_location(prefix);
	rule->location = location[0] ? clean_location(location) : NULL;
	if (!rule->prefix || (location[0] && !rule->location))
		return fail_nomem(err);
	return read_mirrors(table, rule, err);
}

/* Takes `rule` on success. */
static int put_rule(struct registries *r, struct rule *rule, struct imbrex_error *err)
{
	struct rule *more;
	size_t i;

	for (i = 0; i < r->n_rules; i++) {
		if (str_eq(r->rules[i].prefix, rule->prefix)) {
			rule_done(&r->rules[i]);
			r->rules[i] = *rule;
			return 0;
		}
	}
	more = reallocarray(r->rules, r->n_rules + 1, sizeof(*more));
	if (!more)
		return fail_nomem(err);
	r->rules = more;
	r->rules[r->n_rules++] = *rule;
	return 0;
}

static int read_rules(struct registries *r, const struct toml_value *root, struct imbrex_error *err)
{
	const struct toml_value *list = NULL, *v;
	int n;

	n = toml_tables(root, "registry", &list, err);
	if (n < 0 || !list)
		return n < 0 ? n : 0;
	for (v = toml_first(list); v; v = toml_next(v)) {
		struct rule rule = { 0 };

		n = fill_rule(v, &rule, err);
		if (n == 0)
			n = put_rule(r, &rule, err);
		if (n < 0) {
			rule_done(&rule);
			return n;
		}
	}
	return 0;
}

static int put_alias(
	struct registries *r, const char *name, const char *value, struct imbrex_error *err)
{
	size_t i;

	for (i = 0; i < r->aliases.n; i += 2) {
		if (str_eq(r->aliases.items[i], name)) {
			strv_remove(&r->aliases, i + 1);
			strv_remove(&r->aliases, i);
			break;
		}
	}
	if (!value[0]) /* an empty value erases */
		return 0;
	if (strv_add(&r->aliases, name) < 0 || strv_add(&r->aliases, value) < 0)
		return fail_nomem(err);
	return 0;
}

static int read_aliases(
	struct registries *r, const struct toml_value *root, struct imbrex_error *err)
{
	const struct toml_value *table = toml_get(root, "aliases"), *v;
	const char *value;
	int n;

	if (!table)
		return 0;
	if (toml_kind(table) != TOML_TABLE)
		return toml_fail(table, err, "aliases is not a table");
	for (v = toml_first(table); v; v = toml_next(v)) {
		n = toml_string(table, toml_key(v), &value, err);
		if (n == 1)
			n = put_alias(r, toml_key(v), value, err);
		if (n < 0)
			return n;
	}
	return 0;
}

static int read_mode(struct registries *r, const struct toml_value *root, struct imbrex_error *err)
{
	const char *text = "";
	int n;

	n = toml_string(root, "short-name-mode", &text, err);
	if (n <= 0 || !text[0])
		return n < 0 ? n : 0;
	if (str_eq(text, "enforcing"))
		r->mode = SHORT_NAMES_ENFORCING;
	else if (str_eq(text, "permissive") || str_eq(text, "disabled"))
		r->mode = SHORT_NAMES_PERMISSIVE;
	else
		return toml_fail(toml_get(root, "short-name-mode"), err,
			"short-name-mode '%.40s' is not known", text);
	return 0;
}

static int read_document(
	struct registries *r, const struct toml_value *root, struct imbrex_error *err)
{
	AUTO_STRV search = { 0 };
	int n;

	if (toml_get(root, "registries"))
		return hint(err,
			toml_fail(toml_get(root, "registries"), err,
				"this is the old version 1 of the format, which is not supported"),
			"write [[registry]] tables, see containers-registries.conf(5)");
	n = toml_strings(root, "unqualified-search-registries", &search, NULL, err);
	if (n < 0)
		return n;
	if (n == 1) {
		strv_done(&r->search);
		r->search = search;
		search = (struct strv){ 0 };
	}
	n = read_mode(r, root, err);
	if (n == 0)
		n = read_rules(r, root, err);
	return n == 0 ? read_aliases(r, root, err) : n;
}

/* 1 read, 0 no such file. */
static int load_file(struct registries *r, int dirfd, const char *path, struct imbrex_error *err)
{
	AUTO_STR text = STR_INIT(LIMIT_CONF_BYTES + 1);
	int n;

	n = conffile_read(dirfd, path, CONF_WHAT, &text, err);
	if (n <= 0)
		return n;
	n = registries_read(r, path, str_text(&text), text.len, err);
	return n < 0 ? n : 1;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int list_conf_files(DIR *dir, const char *path, struct strv *ret, struct imbrex_error *err)
{
	struct dirent *de;

	while ((errno = 0, de = readdir(dir))) {
		if (de->d_name[0] == '.' || !str_ends(de->d_name, ".conf"))
			continue;
		if (ret->n == LIMIT_CONF_FILES)
			return fail(err, IMBREX_ELIMIT, "'%s' holds more than %d files", path,
				LIMIT_CONF_FILES);
		if (strv_add(ret, de->d_name) < 0)
			return fail_nomem(err);
	}
	if (errno)
		return fail_errno(err, "read '%s'", path);
	if (ret->n)
		qsort(ret->items, ret->n, sizeof(*ret->items), compare_names);
	return 0;
}

static int load_folder(struct registries *r, const char *path, struct imbrex_error *err)
{
	DIR *dir = opendir(path);
	AUTO_STRV names = { 0 };
	size_t i;
	int n;

	if (!dir) {
		if (errno == ENOENT || errno == ENOTDIR)
			return 0;
		return fail_errno(err, "open '%s'", path);
	}
	n = list_conf_files(dir, path, &names, err);
	for (i = 0; n >= 0 && i < names.n; i++)
		n = load_file(r, dirfd(dir), names.items[i], err);
	(void)closedir(dir);
	return n < 0 ? n : 0;
}

static char *user_path(const char *variable, const char *below_home, const char *rest)
{
	const char *dir = getenv(variable), *home = getenv("HOME");

	if (dir && dir[0] == '/')
		return format_text("%s/containers/%s", dir, rest);
	return format_text("%s/%s/containers/%s", home && home[0] == '/' ? home : "/nonexistent",
		below_home, rest);
}

static int load_main(struct registries *r, struct imbrex_error *err)
{
	const char *named = getenv("CONTAINERS_REGISTRIES_CONF");
	AUTO_FREE char *user = NULL;
	int n;

	if (named && named[0]) {
		n = load_file(r, AT_FDCWD, named, err);
		return n == 0 ? fail(err, IMBREX_ENOENT, CONF_WHAT " '%s' does not exist", named)
			      : n;
	}
	user = user_path("XDG_CONFIG_HOME", ".config", "registries.conf");
	if (!user)
		return fail_nomem(err);
	n = load_file(r, AT_FDCWD, user, err);
	return n == 0 ? load_file(r, AT_FDCWD, "/etc/containers/registries.conf", err) : n;
}

#define RECORDED_ALIASES "/var/cache/containers/short-name-aliases.conf"

/* Root of a user namespace may meet the directory of the machine's root, which is closed to him. */
static bool is_other_roots(const char *path)
{
	return !in_initial_userns() && access(path, R_OK) < 0 && errno == EACCES;
}

static int load_all(struct registries *r, struct imbrex_error *err)
{
	AUTO_FREE char *folder = user_path("XDG_CONFIG_HOME", ".config", "registries.conf.d");
	AUTO_FREE char *recorded =
		geteuid() == 0 && !is_other_roots(RECORDED_ALIASES)
			? strdup(RECORDED_ALIASES)
			: user_path("XDG_CACHE_HOME", ".cache", "short-name-aliases.conf");
	int n;

	if (!folder || !recorded)
		return fail_nomem(err);
	n = load_main(r, err);
	if (n >= 0)
		n = load_folder(r, "/etc/containers/registries.conf.d", err);
	if (n >= 0)
		n = load_folder(r, folder, err);
	return n >= 0 ? load_file(r, AT_FDCWD, recorded, err) : n;
}

/* "alpine" of "alpine:3@sha256:..". */
static size_t name_len(const char *text)
{
	size_t len = strcspn(text, "@"), i;

	for (i = len; i > 0 && text[i - 1] != '/'; i--) {
		if (text[i - 1] == ':')
			return i - 1;
	}
	return len;
}

static int add_candidate(struct candidates *c, struct reference *take, struct imbrex_error *err)
{
	struct reference *more = reallocarray(c->items, c->n + 1, sizeof(*more));

	if (!more)
		return fail_nomem(err);
	c->items = more;
	c->items[c->n++] = *take;
	*take = (struct reference){ 0 };
	return 0;
}

/* `name` with what follows the name in `text`. */
static int add_text(
	struct candidates *c, const char *name, const char *text, struct imbrex_error *err)
{
	AUTO_FREE char *full = format_text("%s%s", name, text + name_len(text));
	AUTO_REFERENCE ref = { 0 };
	int r;

	if (!full)
		return fail_nomem(err);
	r = reference_parse(full, &ref, err);
	return r < 0 ? r : add_candidate(c, &ref, err);
}

static const char *alias_of(const struct registries *r, const char *text)
{
	size_t i, len = name_len(text);

	for (i = 0; i < r->aliases.n; i += 2) {
		const char *name = r->aliases.items[i];

		if (strlen(name) == len && memcmp(name, text, len) == 0)
			return r->aliases.items[i + 1];
	}
	return NULL;
}

static int list_candidates(const struct registries *r, const char *text, struct imbrex_error *err)
{
	AUTO_STR list = STR_INIT(IMBREX_ERROR_MESSAGE_MAX);
	size_t i;

	/* Cut when full: the message that holds it is no longer. */
	for (i = 0; i < r->search.n; i++)
		(void)!str_printf(&list, "%s%s/%s", i ? ", " : "", r->search.items[i], text);
	return hint(err,
		fail(err, IMBREX_EINVAL, "short name '%s' is ambiguous: %s", text, str_text(&list)),
		"name the registry, or put the name into [aliases] of registries.conf");
}

static int resolve_short(const struct registries *r, const char *text, struct candidates *ret,
	struct imbrex_error *err)
{
	const char *alias = alias_of(r, text);
	size_t i;
	int n;

	if (alias)
		return add_text(ret, alias, text, err);
	if (!r->search.n)
		return hint(err,
			fail(err, IMBREX_EINVAL,
				"short name '%s' has no alias, and no "
				"unqualified-search-registries "
				"are set",
				text),
			"name the registry, as in docker.io/library/alpine");
	if (r->mode == SHORT_NAMES_ENFORCING && r->search.n > 1)
		return list_candidates(r, text, err);
	for (i = 0; i < r->search.n; i++) {
		AUTO_FREE char *name =
			format_text("%s/%.*s", r->search.items[i], (int)name_len(text), text);

		n = name ? add_text(ret, name, text, err) : fail_nomem(err);
		if (n < 0)
			return n;
	}
	return 0;
}

/* Bytes of `name` ("host/path:tag") that the prefix covers; 0 if it does not match. */
static size_t match_len(const char *name, const char *prefix)
{
	size_t len = strlen(prefix), host_len = strcspn(name, "/"), bare;

	if (prefix[0] == '*') {
		bare = strcspn(name, "/:");
		if (bare >= len && memcmp(name + bare - (len - 1), prefix + 1, len - 1) == 0)
			return bare;
		return 0;
	}
	if (strncmp(name, prefix, len) != 0)
		return 0;
	if (!name[len] || name[len] == '/')
		return len;
	/* Another port is another registry. */
	return (name[len] == ':' || name[len] == '@') && len > host_len ? len : 0;
}

static const struct rule *find_rule(const struct registries *r, const char *name, size_t *ret_len)
{
	const struct rule *best = NULL;
	size_t i, len;

	*ret_len = 0;
	for (i = 0; i < r->n_rules; i++) {
		len = match_len(name, r->rules[i].prefix);
		if (len > *ret_len) {
			best = &r->rules[i];
			*ret_len = len;
		}
	}
	return best;
}

/* The endpoint at `location` (NULL: unchanged) for a name of which `len` bytes are replaced. */
static int add_location(struct endpoints *e, const char *location, bool insecure, const char *name,
	size_t len, struct imbrex_error *err)
{
	AUTO_FREE char *text = location ? format_text("%s%s", location, name + len) : strdup(name);
	AUTO_REFERENCE ref = { 0 };
	int r;

	if (!text)
		return fail_nomem(err);
	r = reference_parse(text, &ref, err);
	if (r < 0)
		return wrap(err, r, CONF_WHAT);
	return endpoints_add(e, ref.domain, ref.path, insecure, err);
}

static bool mirror_serves(const struct mirror *m, bool by_digest)
{
	return m->use == MIRROR_ALL || (m->use == MIRROR_DIGEST_ONLY) == by_digest;
}

int registries_new(struct registries **ret, struct imbrex_error *err)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : fail_nomem(err);
}

void registries_free(struct registries *r)
{
	size_t i;

	if (!r)
		return;
	for (i = 0; i < r->n_rules; i++)
		rule_done(&r->rules[i]);
	free(r->rules);
	strv_done(&r->aliases);
	strv_done(&r->search);
	free(r);
}

int registries_read(struct registries *r, const char *name, const char *text, size_t len,
	struct imbrex_error *err)
{
	AUTO_TOML *doc = NULL;
	int n;

	n = toml_parse(name, text, len, &doc, err);
	return n < 0 ? n : read_document(r, toml_root(doc), err);
}

int registries_load(const char *only, struct registries **ret, struct imbrex_error *err)
{
	AUTO_REGISTRIES struct registries *r = NULL;
	int n;

	n = registries_new(&r, err);
	if (n < 0)
		return n;
	if (only) {
		n = load_file(r, AT_FDCWD, only, err);
		if (n == 0)
			n = fail(err, IMBREX_ENOENT, CONF_WHAT " '%s' does not exist", only);
	} else {
		n = load_all(r, err);
	}
	if (n < 0)
		return n;
	*ret = take_ptr(r);
	return 0;
}

void candidates_done(struct candidates *c)
{
	size_t i;

	for (i = 0; i < c->n; i++)
		reference_done(&c->items[i]);
	free(c->items);
	*c = (struct candidates){ 0 };
}

int registries_resolve(const struct registries *r, const char *text, struct candidates *ret,
	struct imbrex_error *err)
{
	AUTO_REFERENCE ref = { 0 };
	AUTO_CANDIDATES c = { 0 };
	bool is_short;
	int n;

	n = reference_parse(text, &ref, err);
	if (n < 0)
		return n;
	is_short = str_eq(ref.domain, "docker.io") && !str_after(text, "docker.io/") &&
		   !str_after(text, "index.docker.io/");
	n = is_short ? resolve_short(r, text, &c, err) : add_candidate(&c, &ref, err);
	if (n < 0)
		return n;
	*ret = c;
	c = (struct candidates){ 0 };
	return 0;
}

int registries_endpoints(const struct registries *r, const struct reference *ref,
	struct endpoints *ret, struct imbrex_error *err)
{
	AUTO_FREE char *name = reference_text(ref);
	const struct rule *rule;
	size_t i, len;
	int n;

	if (!name)
		return fail_nomem(err);
	rule = find_rule(r, name, &len);
	if (!rule)
		return endpoints_add(ret, ref->domain, ref->path, /* insecure= */ false, err);
	if (rule->blocked)
		return fail(err, IMBREX_EPERM, "registry '%s' is blocked by registries.conf",
			rule->prefix);
	for (i = 0; i < rule->n_mirrors; i++) {
		const struct mirror *m = &rule->mirrors[i];

		if (!mirror_serves(m, hash_is_set(&ref->digest)))
			continue;
		n = add_location(ret, m->location, m->insecure, name, len, err);
		if (n < 0)
			return n;
	}
	return add_location(ret, rule->location, rule->insecure, name, len, err);
}
