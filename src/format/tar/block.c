/* SPDX-License-Identifier: Apache-2.0 */
#include "format/tar/block.h"

#include <errno.h>
#include <string.h>

static int parse_field(
	const char *field, size_t len, const char *what, int64_t *ret, struct imbrex_error *err)
{
	int r = tar_number_parse(field, len, ret);

	if (r < 0)
		return fail(err, IMBREX_EFORMAT, "the %s field is %s", what,
			r == -ERANGE ? "too large" : "no number");
	return 0;
}
#define PARSE_FIELD(h, field, ret, err) \
	parse_field((h)->field, sizeof((h)->field), #field, ret, err)

static int parse_numbers(const struct tar_header *h, enum tar_dialect dialect,
	struct tar_fields *ret, struct imbrex_error *err)
{
	int r;

	r = PARSE_FIELD(h, mode, &ret->mode, err);
	if (r < 0)
		return r;
	r = PARSE_FIELD(h, uid, &ret->uid, err);
	if (r < 0)
		return r;
	r = PARSE_FIELD(h, gid, &ret->gid, err);
	if (r < 0)
		return r;
	r = PARSE_FIELD(h, size, &ret->size, err);
	if (r < 0)
		return r;
	if (ret->size < 0)
		return fail(err, IMBREX_EFORMAT, "the size field is negative");
	r = PARSE_FIELD(h, mtime, &ret->mtime_sec, err);
	if (r < 0)
		return r;
	ret->dev_major = 0;
	ret->dev_minor = 0;
	if (dialect == TAR_DIALECT_V7)
		return 0;
	r = PARSE_FIELD(h, dev_major, &ret->dev_major, err);
	if (r < 0)
		return r;
	return PARSE_FIELD(h, dev_minor, &ret->dev_minor, err);
}

/* GNU keeps times where ustar has the prefix; returns false if what is there are no times. */
static bool parse_gnu_times(const char *block, struct tar_fields *ret)
{
	int64_t ctime;

	if (block[TAR_GNU_ATIME_OFFSET]) {
		if (tar_number_parse(block + TAR_GNU_ATIME_OFFSET, 12, &ret->atime_sec) < 0)
			return false;
		ret->has_atime = true;
	}
	return !block[TAR_GNU_CTIME_OFFSET] ||
	       tar_number_parse(block + TAR_GNU_CTIME_OFFSET, 12, &ctime) == 0;
}

static bool is_ascii(const char *s, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if ((unsigned char)s[i] >= 0x80)
			return false;
	}
	return true;
}

/*
 * Length of the name prefix in this dialect; times of star and GNU are read on the way. Go up to
 * 1.7 wrote prefixes into GNU headers: where the times are malformed, ASCII is taken as a prefix.
 */
static int parse_prefix(const struct tar_header *h, enum tar_dialect dialect,
	struct tar_fields *ret, size_t *ret_len, struct imbrex_error *err)
{
	const char *block = (const char *)h;
	size_t len = strnlen(h->prefix, sizeof(h->prefix));
	int r;

	ret->has_atime = false;
	ret->atime_nsec = 0;
	*ret_len = 0;
	switch (dialect) {
	case TAR_DIALECT_V7:
		return 0;
	case TAR_DIALECT_USTAR:
		*ret_len = len;
		return 0;
	case TAR_DIALECT_STAR:
		r = parse_field(block + TAR_STAR_ATIME_OFFSET, 12, "atime", &ret->atime_sec, err);
		if (r < 0)
			return r;
		ret->has_atime = true;
		*ret_len = MIN(len, (size_t)TAR_STAR_PREFIX_BYTES);
		return 0;
	case TAR_DIALECT_GNU:
		if (parse_gnu_times(block, ret))
			return 0;
		ret->has_atime = false;
		*ret_len = is_ascii(h->prefix, len) ? len : 0;
		return 0;
	}
	return fail(err, IMBREX_EFAIL, "unknown tar dialect %d", (int)dialect);
}

int tar_block_parse(const struct tar_header *h, struct tar_fields *ret, struct imbrex_error *err)
{
	enum tar_dialect dialect = tar_dialect(h);
	size_t name_len = strnlen(h->name, sizeof(h->name));
	size_t link_len = strnlen(h->link, sizeof(h->link));
	size_t prefix_len;
	char *at = ret->block_name;
	int r;

	if (!tar_checksum_ok(h))
		return fail_reason(err, IMBREX_EFORMAT, IMBREX_REASON_NO_ARCHIVE,
			"the checksum does not match");
	r = parse_numbers(h, dialect, ret, err);
	if (r < 0)
		return r;
	r = parse_prefix(h, dialect, ret, &prefix_len, err);
	if (r < 0)
		return r;
	if (prefix_len) {
		memcpy(at, h->prefix, prefix_len);
		at += prefix_len;
		*at++ = '/';
	}
	memcpy(at, h->name, name_len);
	at[name_len] = '\0';
	memcpy(ret->block_link, h->link, link_len);
	ret->block_link[link_len] = '\0';
	ret->type = h->type;
	ret->name = ret->block_name;
	ret->link = ret->block_link;
	ret->mtime_nsec = 0;
	return 0;
}

static int apply_pax_integer(const struct pax *p, enum pax_key key, const char *what, int64_t *ret,
	struct imbrex_error *err)
{
	if (p->values[key] && pax_integer(p->values[key], ret) < 0)
		return fail(err, IMBREX_EFORMAT, "the pax %s '%.64s' is no number", what,
			p->values[key]);
	return 0;
}

static int apply_pax_time(const struct pax *p, enum pax_key key, const char *what, int64_t *ret_sec,
	uint32_t *ret_nsec, struct imbrex_error *err)
{
	if (p->values[key] && pax_time(p->values[key], ret_sec, ret_nsec) < 0)
		return fail(
			err, IMBREX_EFORMAT, "the pax %s '%.64s' is no time", what, p->values[key]);
	return 0;
}

int tar_fields_apply(struct tar_fields *h, const struct pax *p, struct imbrex_error *err)
{
	uint32_t nsec;
	int64_t sec;
	int r;

	if (p->values[PAX_PATH])
		h->name = p->values[PAX_PATH];
	if (p->values[PAX_LINKPATH])
		h->link = p->values[PAX_LINKPATH];
	r = apply_pax_integer(p, PAX_SIZE, "size", &h->size, err);
	if (r < 0)
		return r;
	if (h->size < 0)
		return fail(err, IMBREX_EFORMAT, "the pax size is negative");
	r = apply_pax_integer(p, PAX_UID, "uid", &h->uid, err);
	if (r < 0)
		return r;
	r = apply_pax_integer(p, PAX_GID, "gid", &h->gid, err);
	if (r < 0)
		return r;
	r = apply_pax_time(p, PAX_MTIME, "mtime", &h->mtime_sec, &h->mtime_nsec, err);
	if (r < 0)
		return r;
	r = apply_pax_time(p, PAX_ATIME, "atime", &h->atime_sec, &h->atime_nsec, err);
	if (r < 0)
		return r;
	h->has_atime |= p->values[PAX_ATIME] != NULL;
	return apply_pax_time(p, PAX_CTIME, "ctime", &sec, &nsec, err);
}
