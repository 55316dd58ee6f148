/* SPDX-License-Identifier: Apache-2.0 */
#include "toml/word.h"

#include <errno.h>
#include <string.h>

/* Digits of a base with single underscores between them. */
static int parse_digits(const char *text, unsigned int base, uint64_t *ret)
{
	uint64_t value = 0;
	bool digit = false;

	for (; *text; text++) {
		unsigned int d;

		if (*text == '_') {
			if (!digit || !text[1])
				return -EINVAL;
			digit = false;
			continue;
		}
		if (*text >= '0' && *text <= '9')
			d = (unsigned int)(*text - '0');
		else if (*text >= 'a' && *text <= 'f')
			d = (unsigned int)(*text - 'a') + 10;
		else if (*text >= 'A' && *text <= 'F')
			d = (unsigned int)(*text - 'A') + 10;
		else
			return -EINVAL;
		if (d >= base)
			return -EINVAL;
		digit = true;
		if (__builtin_mul_overflow(value, (uint64_t)base, &value) ||
			__builtin_add_overflow(value, (uint64_t)d, &value))
			return -ERANGE;
	}
	*ret = value;
	return digit ? 0 : -EINVAL;
}

int toml_parse_integer(const char *text, int64_t *ret)
{
	bool negative = *text == '-';
	const char *at = text + (*text == '-' || *text == '+');
	unsigned int base = 10;
	uint64_t value;
	int r;

	if (at == text && at[0] == '0' && (at[1] == 'x' || at[1] == 'o' || at[1] == 'b')) {
		base = at[1] == 'x' ? 16 : at[1] == 'o' ? 8 : 2;
		at += 2;
	} else if (at[0] == '0' && at[1]) {
		return -EINVAL;
	}
	r = parse_digits(at, base, &value);
	if (r < 0)
		return r;
	if (value > (uint64_t)INT64_MAX + negative)
		return -ERANGE;
	*ret = negative ? (int64_t)(0 - value) : (int64_t)value;
	return 0;
}

/* Steps over digits with single underscores between them; NULL if there are none. */
static const char *pass_digits(const char *at)
{
	for (;;) {
		if (*at < '0' || *at > '9')
			return NULL;
		while (*at >= '0' && *at <= '9')
			at++;
		if (*at != '_')
			return at;
		at++;
	}
}

bool toml_is_float(const char *text)
{
	const char *at = text + (*text == '-' || *text == '+');

	if (strcmp(at, "inf") == 0 || strcmp(at, "nan") == 0)
		return true;
	if (at[0] == '0' && ((at[1] >= '0' && at[1] <= '9') || at[1] == '_'))
		return false;
	at = pass_digits(at);
	if (at && *at == '.')
		at = pass_digits(at + 1);
	if (at && (*at == 'e' || *at == 'E')) {
		at++;
		at = pass_digits(at + (*at == '-' || *at == '+'));
	}
	return at && !*at;
}

/* Does `text` follow `shape`, where 0 stands for a digit? Returns what is left, or NULL. */
static const char *pass_shape(const char *text, const char *shape)
{
	for (; *shape; shape++, text++) {
		if (*shape == '0' ? *text < '0' || *text > '9' : *text != *shape)
			return NULL;
	}
	return text;
}

bool toml_is_time(const char *text)
{
	const char *at = pass_shape(text, "0000-00-00");

	if (at && !*at)
		return true;
	if (at && (*at == 'T' || *at == 't' || *at == ' '))
		at = pass_shape(at + 1, "00:00:00");
	else
		at = at ? NULL : pass_shape(text, "00:00:00");
	if (at && *at == '.')
		at = pass_digits(at + 1);
	if (at && (*at == 'Z' || *at == 'z'))
		at++;
	else if (at && (*at == '+' || *at == '-'))
		at = pass_shape(at + 1, "00:00");
	return at && !*at;
}
