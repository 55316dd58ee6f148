/* SPDX-License-Identifier: Apache-2.0 */
/* What the administrator says in enroot.conf; see the header. */
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/limits.h"
#include "base/str.h"
#include "zfsmount/zfsmount.h"

void mount_config_done(struct mount_config *c)
{
	free(c->data_path);
	*c = (struct mount_config){ 0 };
}

/* ---- values ---------------------------------------------------------------------------- */

struct caller {
	char uid[16];
	const char *user; /* NULL: not known */
};

/* What a word behind "$" stands for, and its length; NULL: nothing known. */
static const char *meaning(const char *at, const struct caller *who, size_t *ret_len)
{
	const struct {
		const char *word;
		const char *value;
	} all[] = {
		{ "$(id -u)", who->uid },
		{ "$(id -un)", who->user },
		{ "$(whoami)", who->user },
		{ "${UID}", who->uid },
		{ "${USER}", who->user },
		{ "$UID", who->uid },
		{ "$USER", who->user },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(all); i++) {
		const char *rest = str_after(at, all[i].word);
		bool bare = all[i].word[1] != '(' && all[i].word[1] != '{';

		if (!rest || (bare && (*rest == '_' || (*rest >= '0' && *rest <= '9') ||
					      (*rest >= 'A' && *rest <= 'Z') ||
					      (*rest >= 'a' && *rest <= 'z'))))
			continue;
		*ret_len = (size_t)(rest - at);
		return all[i].value;
	}
	return NULL;
}

/* False: it has something that a shell would evaluate. */
static bool expand(const char *value, const struct caller *who, struct str *ret)
{
	char quote = 0;
	int r = 0;

	for (; *value && r == 0; value++) {
		size_t len;
		const char *text;

		if (*value == quote || (!quote && strchr("'\"", *value))) {
			quote = quote ? 0 : *value;
		} else if (*value == '$' && quote != '\'') {
			text = meaning(value, who, &len);
			if (!text)
				return false;
			r = str_puts(ret, text);
			value += len - 1;
		} else if (!quote && strchr(" \t", *value)) {
			value += strspn(value, " \t");
			return !*value || *value == '#';
		} else if (strchr("`\\", *value) || (!quote && strchr("~;|&<>()*?[#", *value))) {
			return false;
		} else {
			r = str_putc(ret, *value);
		}
	}
	return r == 0 && !quote;
}

static bool is_clean_path(const char *path)
{
	const char *at;
	size_t len;

	if (path[0] != '/' || !path[1])
		return false;
	for (at = path + 1;; at += len + 1) {
		len = strcspn(at, "/");
		if (len == 0 || (len <= 2 && strncmp(at, "..", len) == 0))
			return false;
		if (!at[len])
			return true;
	}
}

/* ---- lines ----------------------------------------------------------------------------- */

static int take_options(
	const char *value, const char *file, struct mount_config *c, struct imbrex_error *err)
{
	static const char *const words[] = { "nosuid", "nodev", "suid", "dev" };
	size_t i, len;

	for (; *value; value += len) {
		value += strspn(value, ", \t");
		len = strcspn(value, ", \t");
		if (!len)
			break;
		for (i = 0; i < ARRAY_LEN(words); i++)
			if (strlen(words[i]) == len && strncmp(words[i], value, len) == 0)
				break;
		if (i == ARRAY_LEN(words))
			return fail(err, IMBREX_EINVAL,
				"%s: ENROOT_ZFS_MOUNT_OPTIONS has '%.*s', which is none of "
				"nosuid, nodev, suid, dev",
				file, (int)len, value);
		if (i % 2)
			c->dev = i == 3;
		else
			c->suid = i == 2;
	}
	return 0;
}

static int take_line(const char *line, const char *file, const struct caller *who, bool *seen,
	struct mount_config *c, struct imbrex_error *err)
{
	static const char *const names[] = { "ENROOT_DATA_PATH", "ENROOT_ZFS_MOUNT_OPTIONS" };
	AUTO_STR value = STR_INIT(LIMIT_PATH_BYTES);
	size_t which, len;

	line += strspn(line, " \t");
	len = strcspn(line, " \t=");
	for (which = 0; which < ARRAY_LEN(names); which++)
		if (strlen(names[which]) == len && strncmp(names[which], line, len) == 0)
			break;
	if (which == ARRAY_LEN(names) || seen[which])
		return 0;
	seen[which] = true;
	line += len;
	line += strspn(line, " \t=");
	if (!expand(line, who, &value))
		return fail(err, IMBREX_EINVAL, "%s: the value of %s is not understood: '%.200s'",
			file, names[which], line);
	if (which == 1)
		return take_options(str_text(&value), file, c, err);
	if (!is_clean_path(str_text(&value)))
		return fail(err, IMBREX_EINVAL,
			"%s: ENROOT_DATA_PATH is no absolute path without '.' and '..': '%.200s'",
			file, str_text(&value));
	c->data_path = str_take(&value);
	return c->data_path ? 0 : fail_nomem(err);
}

int mount_config_parse(const char *text, size_t len, const char *file, uid_t uid, const char *user,
	struct mount_config *ret, struct imbrex_error *err)
{
	AUTO_FREE char *copy = strndup(text, len);
	AUTO_MOUNT_CONFIG c = { 0 };
	struct caller who = { .user = user };
	bool seen[2] = { false, false };
	char *rest = copy, *line;
	int r = 0;

	if (!copy)
		return fail_nomem(err);
	if (strlen(copy) != len)
		return fail(err, IMBREX_EINVAL, "%s: it is no text", file);
	/* A name that is a path of its own leads elsewhere. */
	if (user && (!*user || strchr(user, '/') || str_eq(user, ".") || str_eq(user, "..")))
		who.user = NULL;
	(void)snprintf(who.uid, sizeof(who.uid), "%u", (unsigned int)uid);
	while (r == 0 && (line = strsep(&rest, "\n")) != NULL)
		r = take_line(line, file, &who, seen, &c, err);
	if (r < 0)
		return r;
	if (!c.data_path)
		return fail(err, IMBREX_ENOENT, "ENROOT_DATA_PATH is not set in %s", file);
	*ret = c;
	c = (struct mount_config){ 0 };
	return 0;
}

/* ---- the file -------------------------------------------------------------------------- */

static int read_text(int fd, const char *file, struct str *ret, struct imbrex_error *err)
{
	char buf[4096];
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0)
		if (str_append(ret, buf, (size_t)n) < 0)
			return fail(err, IMBREX_ELIMIT, "%s: it is too large", file);
	return n < 0 ? fail_errno(err, "read '%s'", file) : 0;
}

int mount_config_read(
	const char *file, uid_t uid, struct mount_config *ret, struct imbrex_error *err)
{
	AUTO_CLOSE int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	AUTO_STR text = STR_INIT(LIMIT_CONF_BYTES);
	char buf[16384];
	struct passwd pw, *found = NULL;
	struct stat st;
	int r;

	if (fd < 0)
		return fail_errno(err, "open '%s'", file);
	if (fstat(fd, &st) < 0)
		return fail_errno(err, "stat '%s'", file);
	if (!S_ISREG(st.st_mode) || st.st_uid != 0 || st.st_mode & 022)
		return fail(err, IMBREX_EPERM,
			"%s: it must be a file that only root can change (owner 0, mode 0644)",
			file);
	r = read_text(fd, file, &text, err);
	if (r < 0)
		return r;
	if (getpwuid_r(uid, &pw, buf, sizeof(buf), &found) != 0)
		found = NULL;
	return mount_config_parse(
		str_text(&text), text.len, file, uid, found ? found->pw_name : NULL, ret, err);
}
