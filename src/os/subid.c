/* SPDX-License-Identifier: Apache-2.0 */
/* Subordinate id ranges; see the header. */
#include "os/subid.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/str.h"
#include "os/fd.h"

#define NSSWITCH_PATH "/etc/nsswitch.conf"

/* Decimal digits only, all of them, at most 2^32 - 1. */
static bool parse_u32(const char *text, size_t len, uint32_t *ret)
{
	uint64_t value = 0;
	size_t i;

	if (len == 0 || len > 10)
		return false;
	for (i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		value = value * 10 + (uint64_t)(text[i] - '0');
	}
	if (value > UINT32_MAX)
		return false;
	*ret = (uint32_t)value;
	return true;
}

static bool is_owner(const char *owner, size_t len, const char *user, uid_t uid)
{
	uint32_t number;

	if (user && strlen(user) == len && memcmp(owner, user, len) == 0)
		return true;
	return parse_u32(owner, len, &number) && number == uid;
}

static bool parse_line(
	const char *line, size_t len, const char *user, uid_t uid, struct subid_range *ret)
{
	const char *end = line + len;
	const char *start = memchr(line, ':', len);
	const char *count;

	if (!start || start == line)
		return false;
	count = memchr(start + 1, ':', (size_t)(end - start - 1));
	if (!count || !is_owner(line, (size_t)(start - line), user, uid))
		return false;
	if (!parse_u32(start + 1, (size_t)(count - start - 1), &ret->start))
		return false;
	if (!parse_u32(count + 1, (size_t)(end - count - 1), &ret->count) || ret->count == 0)
		return false;
	/* 2^32 - 1 is "no id": the last usable one lies below it. */
	return (uint64_t)ret->start + ret->count <= UINT32_MAX;
}

void subid_parse(
	const char *text, size_t len, const char *user, uid_t uid, struct subid_ranges *ret)
{
	const char *end = text + len;

	ret->n = 0;
	while (text < end && ret->n < ARRAY_LEN(ret->items)) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		size_t line_len = (size_t)((newline ? newline : end) - text);

		if (parse_line(text, line_len, user, uid, &ret->items[ret->n]))
			ret->n++;
		text += line_len + (newline ? 1 : 0);
	}
}

int subid_read(const char *path, const char *user, uid_t uid, struct subid_ranges *ret,
	struct imbrex_error *err)
{
	AUTO_STR text = STR_INIT(LIMIT_SUBID_BYTES);
	struct imbrex_error why = { 0 };
	int r;

	r = read_file_at(AT_FDCWD, path, LIMIT_SUBID_BYTES, &text, &why);
	if (r < 0 && r != IMBREX_ENOENT) {
		if (err)
			*err = why;
		return r;
	}
	subid_parse(str_text(&text), text.len, user, uid, ret);
	return 0;
}

bool subid_source(const char *text, char ret[SUBID_SOURCE_BYTES])
{
	static const char blank[] = " \t";

	while (*text) {
		size_t len = strcspn(text, "\n");
		const char *p = text + strspn(text, blank);
		const char *word = str_after(p, "subid");
		size_t n;

		text += len;
		text += *text == '\n';
		word = word ? word + strspn(word, blank) : NULL;
		if (!word || *word != ':')
			continue;
		word++;
		word += strspn(word, blank);
		n = strcspn(word, " \t\n#[");
		if (n == 0 || n >= SUBID_SOURCE_BYTES || (n == 5 && memcmp(word, "files", n) == 0))
			return false;
		memcpy(ret, word, n);
		ret[n] = 0;
		return true;
	}
	return false;
}

int subid_find(const char *path, const char *user, uid_t uid, struct subid_ranges *ret,
	struct imbrex_error *err)
{
	AUTO_STR text = STR_INIT(LIMIT_CONF_BYTES);
	char source[SUBID_SOURCE_BYTES], number[16];
	struct imbrex_error ignored;
	int r;

	if (read_file_at(AT_FDCWD, NSSWITCH_PATH, text.max_len, &text, &ignored) < 0 ||
		!subid_source(str_text(&text), source))
		return subid_read(path, user, uid, ret, err);
	(void)snprintf(number, sizeof(number), "%u", uid);
	r = subid_ask(NULL, str_eq(path, SUBGID_PATH), user ? user : number, ret, err);
	return r < 0 ? wrap(err, r, "%s says 'subid: %s'", NSSWITCH_PATH, source) : 0;
}
