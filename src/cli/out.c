/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Words and tables for people. Width is counted in code points: ids, sizes and image references are
 * ASCII, and a double-width letter in a name costs alignment, nothing else.
 */
#include "cli/out.h"

#include <inttypes.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#include "base/error.h"

/* A cell is cut at this many bytes; the longest honest one is a list of image names. */
#define CELL_BYTES_MAX (64u * 1024u)
#define GAP            2
#define SHRINK_MIN     12

static bool is_continuation(unsigned char c)
{
	return (c & 0xC0) == 0x80;
}

static size_t text_width(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += !is_continuation((unsigned char)*s);
	return n;
}

/* Bytes of the first `columns` code points. */
static size_t bytes_of_columns(const char *s, size_t columns)
{
	size_t i;

	for (i = 0; s[i]; i++) {
		if (is_continuation((unsigned char)s[i]))
			continue;
		if (columns-- == 0)
			break;
	}
	return i;
}

/* Length of the well-formed UTF-8 sequence at s (RFC 3629), 0 if there is none. */
static size_t utf8_len(const unsigned char *s)
{
	size_t n = s[0] < 0x80                   ? 1
		   : s[0] >= 0xC2 && s[0] < 0xE0 ? 2
		   : (s[0] & 0xF0) == 0xE0       ? 3
		   : s[0] >= 0xF0 && s[0] < 0xF5 ? 4
						 : 0;
	size_t i;

	for (i = 1; i < n; i++) {
		if (!is_continuation(s[i]))
			return 0;
	}
	if ((s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xED && s[1] > 0x9F) ||
		(s[0] == 0xF0 && s[1] < 0x90) || (s[0] == 0xF4 && s[1] > 0x8F))
		return 0;
	return n;
}

static bool is_control(const unsigned char *s, size_t len)
{
	return (len == 1 && (s[0] < 0x20 || s[0] == 0x7F)) ||
	       (len == 2 && s[0] == 0xC2 && s[1] < 0xA0);
}

/* Seconds since 1970 of an RFC 3339 time. */
static bool parse_time(const char *s, int64_t *ret)
{
	struct tm tm = { .tm_year = 0 };
	int hours = 0, minutes = 0, used = 0;
	char sign;

	if (sscanf(s, "%4d-%2d-%2d%*1[Tt ]%2d:%2d:%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
		    &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &used) != 6)
		return false;
	s += used;
	if (*s == '.')
		s += 1 + strspn(s + 1, "0123456789");
	if (*s != 'Z' && *s != 'z' && sscanf(s, "%c%2d:%2d", &sign, &hours, &minutes) != 3)
		return false;
	/* The zero time of Go stands for "not known". */
	if (tm.tm_year < 1970)
		return false;
	tm.tm_year -= 1900;
	tm.tm_mon--;
	*ret = timegm(&tm);
	if (hours || minutes)
		*ret -= (*s == '-' ? -60 : 60) * (hours * 60 + minutes);
	return true;
}

const char *out_ago(const char *time, int64_t now_sec, char buf[OUT_WORD_BYTES])
{
	static const struct {
		const char *name;
		int64_t sec, below_sec;
	} units[] = {
		{ "second", 1, 60 },
		{ "minute", 60, 3600 },
		{ "hour", 3600, 86400 },
		{ "day", 86400, 14 * 86400 },
		{ "week", 7 * 86400, 60 * 86400 },
		{ "month", 30 * 86400, 730 * 86400 },
		{ "year", 365 * 86400, INT64_MAX },
	};
	int64_t then, age, n;
	size_t i = 0;

	if (!parse_time(time, &then))
		return "-";
	age = now_sec - then;
	if (age < 1)
		return "just now";
	while (age >= units[i].below_sec)
		i++;
	n = age / units[i].sec;
	(void)snprintf(
		buf, OUT_WORD_BYTES, "%" PRId64 " %s%s ago", n, units[i].name, n == 1 ? "" : "s");
	return buf;
}

const char *out_size(int64_t bytes, char buf[OUT_WORD_BYTES])
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double value = (double)bytes;
	size_t i = 0;

	if (bytes < 0)
		return "-";
	/* 999.5 would print as four digits. */
	while (value >= 999.5 && i + 1 < ARRAY_LEN(units)) {
		value /= 1024;
		i++;
	}
	(void)snprintf(
		buf, OUT_WORD_BYTES, "%.*f %s", i == 0 || value >= 99.95 ? 0 : 1, value, units[i]);
	return buf;
}

const char *out_id(const char *id, bool whole, char buf[OUT_WORD_BYTES * 2])
{
	const char *digits = str_after(id, "sha256:");

	(void)snprintf(
		buf, OUT_WORD_BYTES * 2, "%.*s", whole ? 79 : 12, !whole && digits ? digits : id);
	return buf;
}

size_t out_columns(int fd)
{
	const char *columns = getenv("COLUMNS");
	struct winsize size;
	unsigned long n;

	if (!isatty(fd))
		return 0;
	if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col)
		return size.ws_col;
	n = columns ? strtoul(columns, NULL, 10) : 0;
	return n >= 20 && n < 10000 ? n : 80;
}

bool out_is_utf8(void)
{
	static const char *const names[] = { "LC_ALL", "LC_CTYPE", "LANG" };
	const char *value;
	size_t i;

	for (i = 0; i < ARRAY_LEN(names); i++) {
		value = getenv(names[i]);
		if (value && *value)
			return strcasestr(value, "utf-8") || strcasestr(value, "utf8");
	}
	return false;
}

int out_clean(struct str *s, const char *text)
{
	const unsigned char *at = (const unsigned char *)text;
	size_t len;
	int r;

	for (; *at; at += len) {
		len = utf8_len(at);
		if (len && !is_control(at, len)) {
			r = str_append(s, at, len);
		} else {
			r = str_putc(s, '?');
			len = len ? len : 1;
		}
		if (r < 0)
			return r;
	}
	return 0;
}

int out_join(struct str *s, char *const *words)
{
	size_t i;
	int r;

	for (i = 0; words[i]; i++) {
		r = i ? str_puts(s, ", ") : 0;
		if (r < 0)
			return r;
		r = str_puts(s, words[i]);
		if (r < 0)
			return r;
	}
	return 0;
}

static int add_cell(struct table *t, const char *cell)
{
	AUTO_STR text = STR_INIT(CELL_BYTES_MAX);
	int r;

	r = out_clean(&text, cell);
	if (r < 0 && r != -EFBIG)
		return r;
	return strv_add(&t->cells, str_text(&text));
}

int table_row(struct table *t, const char *const *cells)
{
	size_t i;
	int r;

	for (i = 0; i < t->n_columns; i++) {
		r = add_cell(t, cells[i]);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Take from the columns that may shrink, the widest first, until the line fits. */
static void shrink(const struct table *t, size_t *widths, size_t width)
{
	size_t total = GAP * (t->n_columns - 1), over, widest, i;

	for (i = 0; i < t->n_columns; i++)
		total += widths[i];
	while (total > width) {
		widest = t->n_columns;
		for (i = 0; i < t->n_columns; i++) {
			if (t->columns[i].shrink && widths[i] > SHRINK_MIN &&
				(widest == t->n_columns || widths[i] > widths[widest]))
				widest = i;
		}
		if (widest == t->n_columns)
			return;
		over = MIN(total - width, widths[widest] - SHRINK_MIN);
		widths[widest] -= over;
		total -= over;
	}
}

/* Blanks are owed until something follows them: no line ends in any. */
static void print_row(FILE *f, const struct table *t, const char *const *cells,
	const size_t *widths, size_t width)
{
	const char *mark = out_is_utf8() ? "…" : "~";
	size_t i, have, room, used = 0, blanks = 0;

	for (i = 0; i < t->n_columns; i++) {
		room = widths[i];
		if (width && used + room > width)
			room = width > used ? width - used : 0;
		have = MIN(text_width(cells[i]), room);
		if (t->columns[i].right)
			blanks += room - have;
		if (have)
			(void)fprintf(f, "%*s", (int)blanks, "");
		if (have && text_width(cells[i]) > room)
			(void)fprintf(f, "%.*s%s", (int)bytes_of_columns(cells[i], room - 1),
				cells[i], mark);
		else if (have)
			(void)fputs(cells[i], f);
		blanks = (have ? 0 : blanks) + GAP;
		if (!t->columns[i].right)
			blanks += room - have;
		used += widths[i] + GAP;
	}
	(void)fputc('\n', f);
}

int table_print(FILE *f, const struct table *t, size_t width)
{
	AUTO_FREE size_t *widths = calloc(t->n_columns, sizeof(*widths));
	AUTO_FREE const char **titles = calloc(t->n_columns, sizeof(*titles));
	size_t i;

	if (!widths || !titles)
		return -ENOMEM;
	for (i = 0; i < t->n_columns; i++) {
		titles[i] = t->columns[i].title;
		widths[i] = text_width(titles[i]);
	}
	for (i = 0; i < t->cells.n; i++)
		widths[i % t->n_columns] =
			MAX(widths[i % t->n_columns], text_width(t->cells.items[i]));
	if (width)
		shrink(t, widths, width);
	print_row(f, t, titles, widths, width);
	for (i = 0; i + t->n_columns <= t->cells.n; i += t->n_columns)
		print_row(f, t, (const char *const *)&t->cells.items[i], widths, width);
	return 0;
}

void table_done(struct table *t)
{
	strv_done(&t->cells);
}

/* ---- JSON -------------------------------------------------------------------------------- */

static void json_flush(struct json_out *j)
{
	if (j->used)
		(void)fwrite(j->buf, 1, j->used, j->f);
	j->used = 0;
}

static void put(struct json_out *j, const char *s, size_t len)
{
	if (len > sizeof(j->buf) - j->used)
		json_flush(j);
	if (len > sizeof(j->buf)) {
		(void)fwrite(s, 1, len, j->f);
		return;
	}
	memcpy(j->buf + j->used, s, len);
	j->used += len;
}

static void put_char(struct json_out *j, char c)
{
	if (j->used == sizeof(j->buf))
		json_flush(j);
	j->buf[j->used++] = c;
}

static void put_text(struct json_out *j, const char *s)
{
	put(j, s, strlen(s));
}

static void json_newline(struct json_out *j)
{
	unsigned int i;

	put_char(j, '\n');
	for (i = 0; i < j->depth; i++)
		put(j, "  ", 2);
}

#define EACH_BYTE(b) (0x0101010101010101ull * (b))

/* Does any of eight bytes need more than to be copied? Bytes above ASCII count as such. */
static bool is_special(uint64_t word)
{
	uint64_t quote = word ^ EACH_BYTE('"');
	uint64_t slash = word ^ EACH_BYTE('\\');

	return (word | (word - EACH_BYTE(' ')) | (word + EACH_BYTE(1)) | (quote - EACH_BYTE(1)) |
		       (slash - EACH_BYTE(1))) &
	       EACH_BYTE(0x80);
}

/* How many bytes at s are ASCII with nothing to escape. */
static size_t plain_len(const unsigned char *s, size_t left)
{
	uint64_t word;
	size_t i = 0;

	for (; left - i >= sizeof(word); i += sizeof(word)) {
		memcpy(&word, s + i, sizeof(word));
		if (is_special(word))
			break;
	}
	while (i < left && s[i] >= ' ' && s[i] < 0x7f && s[i] != '"' && s[i] != '\\')
		i++;
	return i;
}

static void put_string(struct json_out *j, const char *value)
{
	const unsigned char *end = (const unsigned char *)value + strlen(value);
	const unsigned char *s = (const unsigned char *)value;
	char code[8];
	size_t len;

	put_char(j, '"');
	for (; *s; s += len) {
		/* Most text is: whole runs of it at once. */
		len = plain_len(s, (size_t)(end - s));
		if (len) {
			put(j, (const char *)s, len);
			continue;
		}
		len = utf8_len(s);
		if (!len) {
			put_text(j, "\\ufffd");
			len = 1;
		} else if (*s == '"' || *s == '\\') {
			put_char(j, '\\');
			put_char(j, (char)*s);
		} else if (is_control(s, len)) {
			(void)snprintf(code, sizeof(code), "\\u%04x", len == 1 ? s[0] : s[1]);
			put_text(j, code);
		} else {
			put(j, (const char *)s, len);
		}
	}
	put_char(j, '"');
}

void json_string(FILE *f, const char *value)
{
	struct json_out j = { .f = f };

	put_string(&j, value);
	json_flush(&j);
}

static void json_member(struct json_out *j, const char *key)
{
	if (j->started)
		put_char(j, ',');
	if (j->depth)
		json_newline(j);
	j->started = true;
	if (key) {
		put_string(j, key);
		put(j, ": ", 2);
	}
}

/* A value is complete: if it is the outermost, nothing may follow that takes it out of the buffer.
 */
static void json_done(struct json_out *j)
{
	if (!j->depth)
		json_flush(j);
}

void json_begin(struct json_out *j, const char *key, char bracket)
{
	json_member(j, key);
	put_char(j, bracket);
	j->depth++;
	j->started = false;
}

void json_end(struct json_out *j, char bracket)
{
	j->depth--;
	if (j->started)
		json_newline(j);
	put_char(j, bracket);
	j->started = true;
	if (!j->depth)
		put_char(j, '\n');
	json_done(j);
}

void json_text(struct json_out *j, const char *key, const char *value)
{
	json_member(j, key);
	put_string(j, value);
	json_done(j);
}

void json_texts(struct json_out *j, const char *key, char *const *values)
{
	size_t i;

	json_member(j, key);
	put_char(j, '[');
	for (i = 0; values[i]; i++) {
		if (i)
			put(j, ", ", 2);
		put_string(j, values[i]);
	}
	put_char(j, ']');
	json_done(j);
}

void json_number(struct json_out *j, const char *key, int64_t value)
{
	uint64_t left = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
	char digits[20];
	size_t i = sizeof(digits);

	json_member(j, key);
	do {
		digits[--i] = (char)('0' + left % 10);
		left /= 10;
	} while (left);
	if (value < 0)
		put_char(j, '-');
	put(j, digits + i, sizeof(digits) - i);
	json_done(j);
}

void json_bool(struct json_out *j, const char *key, bool value)
{
	json_member(j, key);
	put_text(j, value ? "true" : "false");
	json_done(j);
}

/* The string at s with its quotes. */
static size_t string_len(const char *s)
{
	size_t i = 1;

	while (s[i] && s[i] != '"')
		i += s[i] == '\\' && s[i + 1] ? 2 : 1;
	return s[i] ? i + 1 : i;
}

void json_raw(struct json_out *j, const char *key, const char *text)
{
	static const char space[] = " \t\r\n";
	size_t len;

	json_member(j, key);
	for (; *text; text += len) {
		len = 1;
		if (strchr(space, *text))
			continue;
		if (*text == '"') {
			len = string_len(text);
			put(j, text, len);
		} else if (*text == '{' || *text == '[') {
			put_char(j, *text);
			j->depth++;
			len += strspn(text + 1, space);
			if (text[len] == '}' || text[len] == ']') {
				put_char(j, text[len++]);
				j->depth--;
			} else {
				json_newline(j);
			}
		} else if (*text == '}' || *text == ']') {
			j->depth--;
			json_newline(j);
			put_char(j, *text);
		} else if (*text == ',') {
			put_char(j, ',');
			json_newline(j);
		} else {
			put(j, *text == ':' ? ": " : text, *text == ':' ? 2 : 1);
		}
	}
	json_done(j);
}

int out_finish(struct imbrex_error *err)
{
	errno = 0;
	if (fflush(stdout) != 0 || ferror(stdout))
		return fail_code(err, errno ? errno : EIO, "write to stdout");
	return 0;
}
