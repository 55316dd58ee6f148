/* SPDX-License-Identifier: Apache-2.0 */
/* A sum of numbers with units. */
#include "cli/storage/duration.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/error.h"
#include "base/str.h"
#include "cli/storage/text.h"

static const struct {
	const char *name;
	int64_t ns;
} units[] = {
	{ "ns", 1 },
	{ "us", 1000 },
	{ "µs", 1000 }, /* U+00B5, the sign */
	{ "μs", 1000 }, /* U+03BC, the letter */
	{ "ms", 1000 * 1000 },
	{ "s", 1000 * 1000 * 1000 },
	{ "m", 60ll * 1000 * 1000 * 1000 },
	{ "h", 3600ll * 1000 * 1000 * 1000 },
};

/* unit: the one at fault, `unit_len` bytes; NULL if it is something else */
static int invalid(struct imbrex_error *err, const char *what, const char *unit, size_t unit_len,
	const char *text)
{
	AUTO_STR quoted = STR_INIT(IMBREX_ERROR_MESSAGE_MAX);

	(void)!text_quote(&quoted, text); /* a longer one is cut in the message anyway */
	if (unit)
		return fail(err, IMBREX_EINVAL, "time: %s \"%.*s\" in duration %s", what,
			(int)unit_len, unit, str_text(&quoted));
	return fail(err, IMBREX_EINVAL, "time: %s duration %s", what, str_text(&quoted));
}

static size_t count_digits(const char *s)
{
	return strspn(s, "0123456789");
}

/* Digits as a number; false if it is too large. */
static bool read_number(const char *s, size_t n, int64_t *ret)
{
	int64_t value = 0;

	for (; n; n--, s++) {
		if (__builtin_mul_overflow(value, 10, &value) ||
			__builtin_add_overflow(value, *s - '0', &value))
			return false;
	}
	*ret = value;
	return true;
}

/* Digits behind a point, of a unit; what is less than a nanosecond is dropped. */
static int64_t read_fraction(const char *s, size_t n, int64_t unit_ns)
{
	int64_t ns = 0;

	for (; n; n--, s++) {
		unit_ns /= 10;
		ns += unit_ns * (*s - '0');
	}
	return ns;
}

/* One number and its unit, added to *sum. */
static int read_term(const char **at, int64_t *sum, const char *text, struct imbrex_error *err)
{
	const char *digits = *at;
	size_t n = count_digits(digits);
	const char *point = digits + n;
	const char *fraction = *point == '.' ? point + 1 : point;
	size_t n_fraction = *point == '.' ? count_digits(fraction) : 0;
	const char *unit = fraction + n_fraction;
	size_t unit_len = strcspn(unit, ".0123456789");
	int64_t value;
	size_t i;

	if (!n && !n_fraction)
		return invalid(err, "invalid", NULL, 0, text);
	if (!unit_len)
		return invalid(err, "missing unit in", NULL, 0, text);
	for (i = 0; i < ARRAY_LEN(units); i++) {
		if (strlen(units[i].name) == unit_len && !strncmp(units[i].name, unit, unit_len))
			break;
	}
	if (i == ARRAY_LEN(units))
		return invalid(err, "unknown unit", unit, unit_len, text);
	if (!read_number(digits, n, &value) || __builtin_mul_overflow(value, units[i].ns, &value) ||
		__builtin_add_overflow(
			value, read_fraction(fraction, n_fraction, units[i].ns), &value) ||
		__builtin_add_overflow(*sum, value, sum))
		return invalid(err, "invalid", NULL, 0, text);
	*at = unit + unit_len;
	return 0;
}

int duration_parse(const char *text, int64_t *ret_ns, struct imbrex_error *err)
{
	const char *at = text + (*text == '-' || *text == '+');
	int64_t sum = 0;
	int r;

	if (!str_eq(at, "0")) {
		do {
			r = read_term(&at, &sum, text, err);
			if (r < 0)
				return r;
		} while (*at);
	}
	*ret_ns = *text == '-' ? -sum : sum;
	return 0;
}
