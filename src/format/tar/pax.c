/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records of pax extended headers; see the header.
 *
 * Invariant: values point into p->data, which does not move between pax_parse() and pax_clear().
 * The byte that ends a keyword ('=') and the one that ends a value ('\n') become NUL.
 */
#include "format/tar/pax.h"

#include <string.h>

#define XATTR_KEYWORD  "SCHILY.xattr."
#define SPARSE_KEYWORD "GNU.sparse."
#define NSEC_PER_SEC   1000000000

static const char *const keywords[PAX_N_KEYS] = {
	[PAX_PATH] = "path",
	[PAX_LINKPATH] = "linkpath",
	[PAX_UNAME] = "uname",
	[PAX_GNAME] = "gname",
	[PAX_SIZE] = "size",
	[PAX_UID] = "uid",
	[PAX_GID] = "gid",
	[PAX_MTIME] = "mtime",
	[PAX_ATIME] = "atime",
	[PAX_CTIME] = "ctime",
};

/* One record of the block. */
struct record {
	char *key; /* NUL terminated */
	size_t key_len;
	char *value; /* NUL terminated */
	size_t value_len;
};

/*
 * Attributes that a layer must not set: those that steer overlayfs, fuse-overlayfs and
 * containers/storage, and SELinux labels, which belong to the host. Attributes of namespaces that
 * Linux does not have (macOS writes them) cannot be set, and are no reason to refuse the layer.
 */
static bool xattr_is_kept(const char *name)
{
	static const char *const dropped[] = { "trusted.overlay.", "user.overlay.",
		"user.fuseoverlayfs.", "user.containers.override_stat" };
	static const char *const namespaces[] = { "user.", "trusted.", "security.", "system." };
	size_t i;

	for (i = 0; i < ARRAY_LEN(dropped); i++) {
		if (str_after(name, dropped[i]))
			return false;
	}
	if (str_eq(name, "security.selinux"))
		return false;
	for (i = 0; i < ARRAY_LEN(namespaces); i++) {
		if (str_after(name, namespaces[i]))
			return true;
	}
	return false;
}

static int add_xattr(
	struct pax *p, const char *name, const struct record *rec, struct imbrex_error *err)
{
	size_t name_len = rec->key_len - (size_t)(name - rec->key);
	const char *dot = strchr(name, '.');
	struct entry_xattr *xattrs;
	size_t cap;

	if (!name_len || (dot && !dot[1]))
		return fail(err, IMBREX_EFORMAT, "xattr name '%s' is not complete", name);
	if (!xattr_is_kept(name))
		return 0;
	if (name_len > LIMIT_XATTR_NAME_BYTES)
		return fail(err, IMBREX_ELIMIT, "xattr name '%.64s...' is longer than %d bytes",
			name, LIMIT_XATTR_NAME_BYTES);
	if (rec->value_len > LIMIT_XATTR_VALUE_BYTES)
		return fail(err, IMBREX_ELIMIT, "value of xattr '%s' is %zu bytes, more than %u",
			name, rec->value_len, LIMIT_XATTR_VALUE_BYTES);
	if (p->n_xattrs == p->cap_xattrs) {
		cap = p->cap_xattrs ? p->cap_xattrs * 2 : 8;
		xattrs = reallocarray(p->xattrs, cap, sizeof(*xattrs));
		if (!xattrs)
			return fail_nomem(err);
		p->xattrs = xattrs;
		p->cap_xattrs = cap;
	}
	p->xattrs[p->n_xattrs++] = (struct entry_xattr){
		.name = name,
		.value = rec->value,
		.value_len = rec->value_len,
	};
	return 0;
}

/* By name; of equal names the one further back in the block, which wins, comes first. */
static int compare_xattrs(const void *a, const void *b)
{
	const struct entry_xattr *x = a;
	const struct entry_xattr *y = b;
	int r = strcmp(x->name, y->name);

	if (r)
		return r;
	return x->name > y->name ? -1 : x->name < y->name;
}

/* Sorting keeps a block of many names from costing quadratic time. */
static int sort_xattrs(struct pax *p, struct imbrex_error *err)
{
	size_t n = 0;
	size_t i;

	if (p->n_xattrs > 1)
		qsort(p->xattrs, p->n_xattrs, sizeof(*p->xattrs), compare_xattrs);
	for (i = 0; i < p->n_xattrs; i++) {
		if (n && str_eq(p->xattrs[n - 1].name, p->xattrs[i].name))
			continue;
		p->xattrs[n++] = p->xattrs[i];
	}
	p->n_xattrs = n;
	if (n > LIMIT_XATTRS_PER_ENTRY)
		return fail(err, IMBREX_ELIMIT, "%zu xattrs on one entry are more than %d", n,
			LIMIT_XATTRS_PER_ENTRY);
	return 0;
}

/* Cut the record at *at out of the block and move *at behind it. */
static int next_record(struct pax *p, size_t *at, struct record *ret, struct imbrex_error *err)
{
	char *start = p->data.data + *at;
	size_t left = p->data.len - *at;
	size_t len = 0;
	size_t i;
	char *eq;

	for (i = 0; i < left && start[i] >= '0' && start[i] <= '9' && len <= LIMIT_PAX_BYTES; i++)
		len = len * 10 + (size_t)(start[i] - '0');
	if (i == left || start[i] != ' ' || !i)
		return fail(err, IMBREX_EFORMAT,
			"record at byte %zu does not begin with its length and a space", *at);
	if (len > left)
		return fail(err, IMBREX_EFORMAT,
			"record at byte %zu announces %zu bytes but %zu are left", *at, len, left);
	i++;
	if (len < i + 2 || start[len - 1] != '\n')
		return fail(err, IMBREX_EFORMAT,
			"record at byte %zu does not end with a newline where its length says",
			*at);
	eq = memchr(start + i, '=', len - 1 - i);
	if (!eq)
		return fail(err, IMBREX_EFORMAT, "record at byte %zu has no '='", *at);
	ret->key = start + i;
	ret->key_len = (size_t)(eq - ret->key);
	ret->value = eq + 1;
	ret->value_len = len - i - ret->key_len - 2;
	if (!ret->key_len || memchr(ret->key, '\0', ret->key_len))
		return fail(err, IMBREX_EFORMAT, "record at byte %zu has no proper keyword", *at);
	*eq = '\0';
	start[len - 1] = '\0';
	*at += len;
	return 0;
}

static int note_value(
	struct pax *p, enum pax_key key, const struct record *rec, struct imbrex_error *err)
{
	if (memchr(rec->value, '\0', rec->value_len))
		return fail(err, IMBREX_EFORMAT, "value of '%s' holds a NUL byte", rec->key);
	p->values[key] = rec->value_len ? rec->value : NULL;
	return 0;
}

static int note_record(
	struct pax *p, bool global, const struct record *rec, struct imbrex_error *err)
{
	const char *xattr = str_after(rec->key, XATTR_KEYWORD);
	enum pax_key key;

	for (key = 0; key < PAX_N_KEYS; key++) {
		if (str_eq(rec->key, keywords[key]))
			return note_value(p, key, rec, err);
	}
	if (global)
		return 0;
	if (xattr)
		return add_xattr(p, xattr, rec, err);
	if (str_after(rec->key, SPARSE_KEYWORD))
		return fail(err, IMBREX_ENOTSUP, "sparse files ('%s') are not supported", rec->key);
	return 0;
}

void pax_done(struct pax *p)
{
	str_done(&p->data);
	free(p->xattrs);
	p->xattrs = NULL;
	p->cap_xattrs = 0;
	p->n_xattrs = 0;
}

void pax_clear(struct pax *p)
{
	str_clear(&p->data);
	memset(p->values, 0, sizeof(p->values));
	p->n_xattrs = 0;
}

int pax_parse(struct pax *p, bool global, struct imbrex_error *err)
{
	struct record rec = { 0 };
	size_t at = 0;
	int r;

	while (at < p->data.len) {
		r = next_record(p, &at, &rec, err);
		if (r < 0)
			return r;
		r = note_record(p, global, &rec, err);
		if (r < 0)
			return r;
	}
	return sort_xattrs(p, err);
}

int pax_integer(const char *text, int64_t *ret)
{
	bool negative = *text == '-';
	int64_t value = 0;

	if (*text == '-' || *text == '+')
		text++;
	if (!*text)
		return -EINVAL;
	for (; *text; text++) {
		int digit = *text - '0';

		if (digit < 0 || digit > 9)
			return -EINVAL;
		if (__builtin_mul_overflow(value, (int64_t)10, &value) ||
			__builtin_add_overflow(value, (int64_t)(negative ? -digit : digit), &value))
			return -ERANGE;
	}
	*ret = value;
	return 0;
}

int pax_time(const char *text, int64_t *ret_sec, uint32_t *ret_nsec)
{
	const char *dot = strchrnul(text, '.');
	char seconds[32];
	int64_t nsec = 0;
	int64_t sec;
	int digits = 0;
	int r;

	if ((size_t)(dot - text) >= sizeof(seconds))
		return -ERANGE;
	memcpy(seconds, text, (size_t)(dot - text));
	seconds[dot - text] = '\0';
	r = pax_integer(seconds, &sec);
	if (r < 0)
		return r;
	for (dot += *dot == '.'; *dot; dot++) {
		if (*dot < '0' || *dot > '9')
			return -EINVAL;
		if (digits++ < 9)
			nsec = nsec * 10 + (*dot - '0');
	}
	for (; digits < 9; digits++)
		nsec *= 10;
	if (*text == '-' && nsec) {
		if (__builtin_sub_overflow(sec, (int64_t)1, &sec))
			return -ERANGE;
		nsec = NSEC_PER_SEC - nsec;
	}
	*ret_sec = sec;
	*ret_nsec = (uint32_t)nsec;
	return 0;
}
