/* SPDX-License-Identifier: Apache-2.0 */
/* Splitting of driver options; each driver has its own table of keys. */
#include "driver/options.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/str.h"

/* Drivers that a prefix may name, whether this build has them or not. overlay2 is overlay. */
static const char *const known_drivers[] = { "overlay", "overlay2", "vfs", "btrfs", "zfs" };

int option_split(
	const char *text, const char *driver, struct driver_option *ret, struct imbrex_error *err)
{
	const char *eq = strchr(text, '=');
	const char *dot;
	size_t i, n, prefix = 0;
	char name[DRIVER_OPTION_KEY_BYTES];

	n = eq ? (size_t)(eq - text) : strlen(text);
	if (!eq || n == 0 || n >= sizeof(name))
		return fail(err, IMBREX_EINVAL, "storage option '%s' is not of the form key=value",
			text);
	for (i = 0; i < n; i++)
		name[i] = (char)tolower((unsigned char)text[i]);
	name[n] = 0;
	dot = strchr(name, '.');
	if (dot) {
		prefix = (size_t)(dot - name) + 1;
		name[prefix - 1] = 0;
		for (i = 0; i < ARRAY_LEN(known_drivers); i++)
			if (str_eq(known_drivers[i], name))
				break;
		if (i == ARRAY_LEN(known_drivers))
			return fail(err, IMBREX_EINVAL,
				"storage option '%s': there is no driver '%s'", text, name);
		if (!str_eq(name, driver) &&
			!(str_eq(name, "overlay2") && str_eq(driver, "overlay")))
			return 0;
	}
	memcpy(ret->key, name + prefix, n + 1 - prefix);
	ret->value = eq + 1;
	return 1;
}

int option_bool(const char *name, const char *value, bool *ret, struct imbrex_error *err)
{
	static const struct {
		const char *text;
		bool value;
	} words[] = { { "1", true }, { "t", true }, { "T", true }, { "TRUE", true },
		{ "true", true }, { "True", true }, { "0", false }, { "f", false }, { "F", false },
		{ "FALSE", false }, { "false", false }, { "False", false } };
	size_t i;

	for (i = 0; i < ARRAY_LEN(words); i++) {
		if (str_eq(words[i].text, value)) {
			*ret = words[i].value;
			return 0;
		}
	}
	return fail(err, IMBREX_EINVAL, "option %s: '%s' is neither true nor false", name, value);
}

/* Past the suffix: how far it shifts, or negative if it is none. */
static int suffix_shift(const char *p)
{
	static const char letters[] = "kmgtp";
	const char *at;
	int shift = 0;

	p += *p == ' ';
	at = *p ? strchr(letters, tolower((unsigned char)*p)) : NULL;
	if (at) {
		shift = 10 * (int)(at - letters + 1);
		p++;
		p += *p == 'i' || *p == 'I';
	}
	p += *p == 'b' || *p == 'B';
	return *p ? -1 : shift;
}

/* What comes after the point, times 2^shift; *p is moved to the first byte that is no digit. */
static uint64_t fraction(const char **p, int shift)
{
	uint64_t scale = UINT64_C(1) << shift;
	uint64_t value = 0;
	uint64_t unit = 1;
	size_t n;

	/* Nine digits are more than a byte of anything that has a use. */
	for (n = 0; isdigit((unsigned char)(*p)[0]); (*p)++, n++) {
		if (n >= 9)
			continue;
		value = value * 10 + (uint64_t)((*p)[0] - '0');
		unit *= 10;
	}
	/* Less than 2^30 each: what is lost is less than a byte for each unit of 2^30. */
	return shift <= 30 ? value * scale / unit : (value << 30) / unit * (scale >> 30);
}

int option_bytes(const char *name, const char *value, uint64_t *ret, struct imbrex_error *err)
{
	const char *digits = value + strspn(value, "0123456789");
	const char *tail = digits;
	uint64_t bytes = 0;
	const char *p;
	int shift;

	if (*tail == '.')
		tail += 1 + strspn(tail + 1, "0123456789");
	shift = suffix_shift(tail);
	if (digits == value || tail == digits + 1 || shift < 0)
		return fail(err, IMBREX_EINVAL,
			"option %s: '%s' is not a size (10485760, 10m, 1.5G)", name, value);
	for (p = value; p < digits; p++) {
		if (__builtin_mul_overflow(bytes, UINT64_C(10), &bytes) ||
			__builtin_add_overflow(bytes, (uint64_t)(*p - '0'), &bytes))
			return fail(err, IMBREX_ELIMIT, "option %s: '%s' does not fit 63 bits",
				name, value);
	}
	if (__builtin_mul_overflow(bytes, UINT64_C(1) << shift, &bytes))
		bytes = UINT64_MAX;
	if (*p == '.' && bytes <= INT64_MAX) {
		p++;
		bytes += fraction(&p, shift);
	}
	if (bytes > INT64_MAX)
		return fail(
			err, IMBREX_ELIMIT, "option %s: '%s' does not fit 63 bits", name, value);
	*ret = bytes;
	return 0;
}

/* ---- lists --------------------------------------------------------------------------------- */

static int add_word(const char *name, const char *word, size_t len, bool is_path, struct strv *ret,
	struct imbrex_error *err)
{
	if (is_path && *word != '/')
		return fail(err, IMBREX_EINVAL, "option %s: '%.*s' is not an absolute path", name,
			(int)len, word);
	return strv_take(ret, strndup(word, len)) < 0 ? fail_nomem(err) : 0;
}

static int split_list(const char *name, const char *value, bool are_paths, struct strv *ret,
	struct imbrex_error *err)
{
	int r = 0;

	while (r == 0 && *value) {
		size_t n = strcspn(value, ",");

		if (n)
			r = add_word(name, value, n, are_paths, ret, err);
		value += n + (value[n] == ',');
	}
	return r;
}

int option_words(const char *name, const char *value, struct strv *ret, struct imbrex_error *err)
{
	return split_list(name, value, /* are_paths= */ false, ret, err);
}

int option_paths(const char *name, const char *value, struct strv *ret, struct imbrex_error *err)
{
	return split_list(name, value, /* are_paths= */ true, ret, err);
}

/* ---- tables -------------------------------------------------------------------------------- */

int option_set_bool(void *at, const char *name, const char *value, struct imbrex_error *err)
{
	return option_bool(name, value, at, err);
}

int option_set_bytes(void *at, const char *name, const char *value, struct imbrex_error *err)
{
	return option_bytes(name, value, at, err);
}

int option_set_words(void *at, const char *name, const char *value, struct imbrex_error *err)
{
	return option_words(name, value, at, err);
}

int option_set_paths(void *at, const char *name, const char *value, struct imbrex_error *err)
{
	return option_paths(name, value, at, err);
}

static int set_option(const struct option_table *t, const struct driver_option *opt, void *to,
	struct imbrex_error *err)
{
	char name[2 * DRIVER_OPTION_KEY_BYTES];
	size_t i;

	(void)snprintf(name, sizeof(name), "%s%s%s", t->of_layer ? "" : t->driver,
		t->of_layer ? "" : ".", opt->key);
	for (i = 0; i < t->n_keys; i++)
		if (str_eq(t->keys[i].key, opt->key))
			return t->keys[i].set(
				(char *)to + t->keys[i].offset, name, opt->value, err);
	if (t->of_layer)
		return fail(err, IMBREX_EINVAL, "layer option '%s' is unknown", name);
	return fail(err, IMBREX_EINVAL, "unknown option '%s'", name);
}

int option_table_read(const struct option_table *t, const struct strv *options, void *to,
	struct imbrex_error *err)
{
	size_t i;
	int r = 0;

	for (i = 0; r >= 0 && options && i < options->n; i++) {
		struct driver_option opt;

		r = option_split(options->items[i], t->driver, &opt, err);
		if (r > 0)
			r = set_option(t, &opt, to, err);
	}
	return r < 0 ? r : 0;
}
