/* SPDX-License-Identifier: Apache-2.0 */
/*
 * passwd(5) and group(5) of an image, without libc's NSS: that would load modules and read
 * configuration of whichever root it happens to be in. One pass per question, nothing is kept.
 */
#include "run/passwd.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/limits.h"
#include "base/str.h"
#include "os/beneath.h"
#include "os/fd.h"

struct text {
	const char *at, *end;
};

struct field {
	const char *data;
	size_t len;
};

#define PASSWD_FIELDS 7
#define GROUP_FIELDS  4

struct spec {
	struct field user, group;
	bool has_group;
};

/* Next line cut at its colons; the last field keeps any further ones. Returns the count, 0 = end.
 */
static size_t next_line(struct text *t, struct field *fields, size_t max)
{
	const char *line, *eol, *colon;
	size_t n;

	while (t->at && t->at < t->end) {
		line = t->at;
		eol = memchr(line, '\n', (size_t)(t->end - line));
		if (!eol)
			eol = t->end;
		t->at = eol < t->end ? eol + 1 : eol;
		if (memchr(line, '\0', (size_t)(eol - line)))
			continue;
		for (n = 0; n < max; n++) {
			colon = n + 1 < max ? memchr(line, ':', (size_t)(eol - line)) : NULL;
			fields[n].data = line;
			fields[n].len = (size_t)((colon ? colon : eol) - line);
			if (!colon)
				return n + 1;
			line = colon + 1;
		}
	}
	return 0;
}

static bool is_number(const struct field *f)
{
	size_t i;

	for (i = 0; i < f->len; i++)
		if (f->data[i] < '0' || f->data[i] > '9')
			return false;
	return f->len > 0;
}

/* 2^32-1 means "no id" to the kernel and is no number here. */
static bool to_id(const struct field *f, uint32_t *ret)
{
	uint64_t value = 0;
	size_t i;

	if (!is_number(f))
		return false;
	for (i = 0; i < f->len; i++) {
		value = value * 10 + (uint64_t)(f->data[i] - '0');
		if (value >= UINT32_MAX)
			return false;
	}
	*ret = (uint32_t)value;
	return true;
}

static bool field_eq(const struct field *a, const struct field *b)
{
	return a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
}

static int parse_spec(const char *text, struct spec *ret, struct imbrex_error *err)
{
	const char *colon;
	size_t len = strnlen(text, RUN_USER_BYTES + 1);

	if (len > RUN_USER_BYTES)
		return fail(err, IMBREX_ELIMIT, "user has more than %u bytes", RUN_USER_BYTES);
	colon = memchr(text, ':', len);
	*ret = (struct spec){ .has_group = colon };
	ret->user = (struct field){ text, colon ? (size_t)(colon - text) : len };
	if (colon)
		ret->group = (struct field){ colon + 1, len - (size_t)(colon + 1 - text) };
	if (!ret->user.len || (colon && !ret->group.len) ||
		(colon && memchr(ret->group.data, ':', ret->group.len)))
		return fail(err, IMBREX_EINVAL, "user '%s' is not USER or USER:GROUP", text);
	return 0;
}

static int take_home(const struct field *f, struct run_user *user, struct imbrex_error *err)
{
	if (!f->len || f->data[0] != '/' || f->len > LIMIT_PATH_BYTES)
		return 0;
	user->home = strndup(f->data, f->len);
	return user->home ? 0 : fail_nomem(err);
}

/* Fills uid, gid, home; *ret_name is the name of the entry, empty if a number has none. */
static int find_user(const struct spec *s, struct text passwd, struct run_user *user,
	struct field *ret_name, struct imbrex_error *err)
{
	struct field f[PASSWD_FIELDS];
	uint32_t wanted = 0, uid, gid;
	bool by_number = is_number(&s->user);
	size_t n;

	if (by_number && !to_id(&s->user, &wanted))
		return fail(err, IMBREX_EINVAL, "user id '%.*s' is not below 4294967295",
			(int)MIN(s->user.len, 40), s->user.data);
	*ret_name = (struct field){ "", 0 };
	while ((n = next_line(&passwd, f, ARRAY_LEN(f)))) {
		if (n < PASSWD_FIELDS || !f[0].len || !to_id(&f[2], &uid) || !to_id(&f[3], &gid))
			continue;
		if (by_number ? uid != wanted : !field_eq(&f[0], &s->user))
			continue;
		user->uid = uid;
		user->gid = gid;
		*ret_name = f[0];
		return take_home(&f[5], user, err);
	}
	if (!by_number)
		return fail(err, IMBREX_ENOENT, "user '%.*s' is not in /etc/passwd of the image",
			(int)s->user.len, s->user.data);
	user->uid = wanted;
	user->gid = 0;
	return 0;
}

static int find_group(const struct field *wanted, struct text group, struct run_user *user,
	struct imbrex_error *err)
{
	struct field f[GROUP_FIELDS];
	uint32_t gid;
	size_t n;

	if (is_number(wanted)) {
		if (!to_id(wanted, &gid))
			return fail(err, IMBREX_EINVAL, "group id '%.*s' is not below 4294967295",
				(int)MIN(wanted->len, 40), wanted->data);
		user->gid = gid;
		return 0;
	}
	while ((n = next_line(&group, f, ARRAY_LEN(f)))) {
		if (n < 3 || !to_id(&f[2], &gid) || !field_eq(&f[0], wanted))
			continue;
		user->gid = gid;
		return 0;
	}
	return fail(err, IMBREX_ENOENT, "group '%.*s' is not in /etc/group of the image",
		(int)wanted->len, wanted->data);
}

static bool is_member(const struct field *members, const struct field *name)
{
	struct field one = { members->data, 0 };
	const char *end = members->data + members->len, *comma;

	while (one.data < end) {
		comma = memchr(one.data, ',', (size_t)(end - one.data));
		one.len = (size_t)((comma ? comma : end) - one.data);
		if (field_eq(&one, name))
			return true;
		one.data += one.len + 1;
	}
	return false;
}

static int collect_groups(const struct field *name, struct text group, struct run_user *user,
	struct imbrex_error *err)
{
	struct field f[GROUP_FIELDS];
	size_t n, cap = 0;
	uint32_t gid;
	gid_t *grown;

	while ((n = next_line(&group, f, ARRAY_LEN(f)))) {
		if (n < GROUP_FIELDS || !to_id(&f[2], &gid) || !is_member(&f[3], name))
			continue;
		if (user->n_groups == RUN_GROUPS_MAX)
			return fail(err, IMBREX_ELIMIT, "user '%.*s' is in more than %u groups",
				(int)MIN(name->len, 256), name->data, RUN_GROUPS_MAX);
		if (user->n_groups == cap) {
			cap = cap ? 2 * cap : 16;
			grown = reallocarray(user->groups, cap, sizeof(*grown));
			if (!grown)
				return fail_nomem(err);
			user->groups = grown;
		}
		user->groups[user->n_groups++] = gid;
	}
	return 0;
}

/* Empty text if there is no such file. O_PATH first: opening a device or FIFO can have effects. */
static int read_inside(int rootfd, const char *path, struct str *ret, struct imbrex_error *err)
{
	AUTO_CLOSE int fd = -EBADF;
	struct stat st;
	int r;

	fd = open_beneath(rootfd, path, O_PATH, 0, BENEATH_IN_ROOT);
	if (fd == -ENOENT || fd == -ENOTDIR)
		return 0;
	if (fd < 0)
		return fail_code(err, fd, "open '/%s' of the image", path);
	if (fstat(fd, &st) < 0)
		return fail_errno(err, "stat '/%s' of the image", path);
	if (!S_ISREG(st.st_mode))
		return fail(err, IMBREX_EFORMAT, "'/%s' of the image is not a regular file", path);
	if (st.st_size > LIMIT_PASSWD_BYTES)
		return fail(err, IMBREX_ELIMIT, "'/%s' of the image has more than %u bytes", path,
			LIMIT_PASSWD_BYTES);
	(void)close_fd(fd);
	fd = open_beneath(rootfd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, BENEATH_IN_ROOT);
	if (fd < 0)
		return fail_code(err, fd, "open '/%s' of the image", path);
	r = read_to_end(fd, ret);
	if (r < 0)
		return fail_code(err, r, "read '/%s' of the image", path);
	return 0;
}

void run_user_done(struct run_user *u)
{
	free(u->groups);
	free(u->home);
	*u = (struct run_user){ 0 };
}

int run_user_resolve(const char *spec, const char *passwd, size_t passwd_len, const char *group,
	size_t group_len, struct run_user *ret_user, struct imbrex_error *err)
{
	struct text passwd_text = { passwd, passwd ? passwd + passwd_len : NULL };
	struct text group_text = { group, group ? group + group_len : NULL };
	AUTO_RUN_USER user = { 0 };
	struct field name = { "", 0 };
	struct spec s = { 0 };
	int r;

	r = parse_spec(spec, &s, err);
	if (r < 0)
		return r;
	r = find_user(&s, passwd_text, &user, &name, err);
	if (r < 0)
		return r;
	if (s.has_group)
		r = find_group(&s.group, group_text, &user, err);
	else if (name.len)
		r = collect_groups(&name, group_text, &user, err);
	if (r < 0)
		return r;
	*ret_user = user;
	user = (struct run_user){ 0 };
	return 0;
}

int run_user_lookup(
	int rootfd, const char *spec, struct run_user *ret_user, struct imbrex_error *err)
{
	AUTO_STR passwd = STR_INIT(LIMIT_PASSWD_BYTES);
	AUTO_STR group = STR_INIT(LIMIT_PASSWD_BYTES);
	int r;

	r = read_inside(rootfd, "etc/passwd", &passwd, err);
	if (r < 0)
		return r;
	r = read_inside(rootfd, "etc/group", &group, err);
	if (r < 0)
		return r;
	return run_user_resolve(
		spec, passwd.data, passwd.len, group.data, group.len, ret_user, err);
}
