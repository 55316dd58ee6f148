/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mountinfo lines: "36 35 98:0 /root /target rw,noatime master:1 - ext3 /dev/root rw,errors=x".
 *
 * The whole text is copied once; fields become NUL-terminated where they lie, and the octal
 * escapes for space, tab, newline and backslash are undone in place (they only shrink).
 */
#include "os/mountinfo.h"

#include <fcntl.h>
#include <string.h>

#include "base/error.h"
#include "base/limits.h"
#include "base/str.h"
#include "os/fd.h"

#define MOUNTINFO_PATH "/proc/self/mountinfo"

static bool is_octal(char c)
{
	return c >= '0' && c <= '7';
}

static void unescape(char *s)
{
	char *to = s;

	while (*s) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && is_octal(s[2]) &&
			is_octal(s[3]) && (s[1] != '0' || s[2] != '0' || s[3] != '0')) {
			*to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 4;
		} else {
			*to++ = *s++;
		}
	}
	*to = '\0';
}

/* Cuts the next field off *line; NULL at the end of the line. An empty field is a field. */
static char *next_field(char **line)
{
	char *field = *line;
	char *space;

	if (!field)
		return NULL;
	space = strchr(field, ' ');
	if (space)
		*space++ = '\0';
	*line = space;
	return field;
}

static bool parse_number(const char *s, char end, uint64_t max, uint64_t *ret, const char **ret_end)
{
	uint64_t value = 0;

	if (*s < '0' || *s > '9')
		return false;
	for (; *s >= '0' && *s <= '9'; s++) {
		if (__builtin_mul_overflow(value, (uint64_t)10, &value) ||
			__builtin_add_overflow(value, (uint64_t)(*s - '0'), &value) || value > max)
			return false;
	}
	if (*s != end)
		return false;
	*ret = value;
	if (ret_end)
		*ret_end = s + 1;
	return true;
}

static bool parse_device(const char *s, struct mount_entry *e)
{
	uint64_t dev_major;
	uint64_t dev_minor;

	if (!parse_number(s, ':', UINT32_MAX, &dev_major, &s) ||
		!parse_number(s, '\0', UINT32_MAX, &dev_minor, NULL))
		return false;
	e->dev_major = (uint32_t)dev_major;
	e->dev_minor = (uint32_t)dev_minor;
	return true;
}

/* The optional fields up to the lone "-", joined again by spaces in place. */
static char *take_propagation(char **line)
{
	char *start = *line;
	char *end = start;

	for (;;) {
		char *field = next_field(line);

		if (!field)
			return NULL;
		if (str_eq(field, "-")) {
			if (end == start) /* none: the "-" is where they would begin */
				*start = '\0';
			return start;
		}
		if (end != start)
			*end = ' ';
		end = field + strlen(field);
	}
}

/* The name of the field that is wrong, or NULL. */
static const char *parse_line(char *line, struct mount_entry *e)
{
	char *fields[6];
	char *rest;
	size_t i;

	for (i = 0; i < ARRAY_LEN(fields); i++) {
		fields[i] = next_field(&line);
		if (!fields[i])
			return "number of fields";
	}
	if (!parse_number(fields[0], '\0', UINT64_MAX, &e->id, NULL))
		return "mount id";
	if (!parse_number(fields[1], '\0', UINT64_MAX, &e->parent_id, NULL))
		return "parent id";
	if (!parse_device(fields[2], e))
		return "device number";
	e->propagation = take_propagation(&line);
	if (!e->propagation)
		return "separator";
	for (i = 3; i < 5; i++)
		unescape(fields[i]);
	e->root = fields[3];
	e->target = fields[4];
	e->options = fields[5];
	rest = next_field(&line);
	if (!rest || !rest[0])
		return "file system type";
	unescape(rest);
	e->fs_type = rest;
	rest = next_field(&line);
	if (rest)
		unescape(rest);
	e->source = rest ? rest : "";
	if (line)
		unescape(line); /* the last field, spaces and all */
	e->super_options = line ? line : "";
	return NULL;
}

static int parse_text(struct mountinfo *m, size_t len, struct imbrex_error *err)
{
	size_t n_lines = 1;
	char *line = m->text;
	char *end = m->text + len;
	size_t i;

	for (i = 0; i < len; i++)
		n_lines += m->text[i] == '\n';
	m->entries = calloc(n_lines, sizeof(*m->entries));
	if (!m->entries)
		return fail_nomem(err);
	while (line < end) {
		char *newline = memchr(line, '\n', (size_t)(end - line));
		const char *wrong;

		if (newline)
			*newline = '\0';
		wrong = parse_line(line, &m->entries[m->n]);
		if (wrong)
			return fail(
				err, IMBREX_EFORMAT, "mountinfo line %zu: bad %s", m->n + 1, wrong);
		m->n++;
		line = newline ? newline + 1 : end;
	}
	return 0;
}

int mountinfo_parse(const char *text, size_t len, struct mountinfo *ret, struct imbrex_error *err)
{
	AUTO_MOUNTINFO m = MOUNTINFO_INIT;
	int r;

	if (len > LIMIT_MOUNTINFO_BYTES)
		return fail(err, IMBREX_ELIMIT, "mountinfo is larger than %u bytes",
			LIMIT_MOUNTINFO_BYTES);
	if (len && memchr(text, '\0', len))
		return fail(err, IMBREX_EFORMAT, "mountinfo has a NUL byte");
	m.text = malloc(len + 1);
	if (!m.text)
		return fail_nomem(err);
	if (len)
		memcpy(m.text, text, len);
	m.text[len] = '\0';
	r = parse_text(&m, len, err);
	if (r < 0)
		return r;
	*ret = m;
	m = (struct mountinfo)MOUNTINFO_INIT;
	return 0;
}

int mountinfo_read(struct mountinfo *ret, struct imbrex_error *err)
{
	AUTO_STR text = STR_INIT(LIMIT_MOUNTINFO_BYTES);
	int r;

	r = read_file_at(AT_FDCWD, MOUNTINFO_PATH, LIMIT_MOUNTINFO_BYTES, &text, err);
	if (r < 0)
		return r;
	return mountinfo_parse(str_text(&text), text.len, ret, err);
}

void mountinfo_done(struct mountinfo *m)
{
	free(m->text);
	free(m->entries);
	*m = (struct mountinfo)MOUNTINFO_INIT;
}

const struct mount_entry *mountinfo_find(const struct mountinfo *m, const char *target)
{
	size_t i;

	for (i = m->n; i > 0; i--) {
		if (str_eq(m->entries[i - 1].target, target))
			return &m->entries[i - 1];
	}
	return NULL;
}

const struct mount_entry *mountinfo_find_holding(const struct mountinfo *m, const char *path)
{
	const struct mount_entry *best = NULL;
	size_t best_len = 0;
	size_t i;

	for (i = 0; i < m->n; i++) {
		const struct mount_entry *e = &m->entries[i];
		size_t len = strlen(e->target);
		const char *rest = str_after(path, e->target);

		if (!rest || len < best_len)
			continue;
		if (rest[0] == '\0' || rest[0] == '/' || str_eq(e->target, "/")) {
			best = e;
			best_len = len;
		}
	}
	return best;
}

const char *mount_option_find(const char *options, const char *key, size_t *ret_len)
{
	const size_t key_len = strlen(key);
	size_t len;

	for (; *options; options += len + (options[len] == ',')) {
		len = strcspn(options, ",");
		if (len < key_len || memcmp(options, key, key_len) != 0)
			continue;
		if (len == key_len) {
			*ret_len = 0;
			return options + len;
		}
		if (options[key_len] == '=') {
			*ret_len = len - key_len - 1;
			return options + key_len + 1;
		}
	}
	return NULL;
}
