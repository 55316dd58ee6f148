/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One pass from left to right.
 *
 *   "-"  "word"  ""     the first operand: the end
 *   "--"                the end; not an operand
 *   "-NAME[=VALUE]"     NAME is what stands after the first dash, so "--json" is the name "-json"
 *   "-WORD", undefined  each letter is a flag of its own, tried from left to right; what they set
 *                       stays set if a later one is undefined. "=VALUE" behind it is lost.
 *   "-help" "-h"        where no table has them: the usage
 */
#include "cli/storage/flag.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"
#include "cli/storage/text.h"

/* The column of the descriptions: behind the longest flag, and not before this one. */
#define USAGE_WIDTH_MIN 20
#define USAGE_PADDING   3
#define MESSAGE_MAX     (64u * 1024u)

static const char *shown_name(const struct flag *f)
{
	size_t i;

	for (i = 0; i < FLAG_NAMES_MAX && f->names[i]; i++) {
		if (f->names[i][0] != '#')
			return f->names[i];
	}
	return NULL;
}

/* ---- values ------------------------------------------------------------------------------ */

static int list_add(struct flag_list *list, const char *value)
{
	const char **items;

	items = reallocarray(list->items, list->n + 2, sizeof(*items));
	if (!items)
		return -ENOMEM;
	items[list->n++] = value;
	items[list->n] = NULL;
	list->items = items;
	return 0;
}

static bool parse_bool(const char *text, bool *ret)
{
	static const char *const yes[] = { "1", "t", "T", "TRUE", "true", "True" };
	static const char *const no[] = { "0", "f", "F", "FALSE", "false", "False" };
	size_t i;

	for (i = 0; i < ARRAY_LEN(yes); i++) {
		if (str_eq(text, yes[i]) || str_eq(text, no[i])) {
			*ret = str_eq(text, yes[i]);
			return true;
		}
	}
	return false;
}

/* The one pair of quotes around a value, cut off in place. */
static char *trim_quotes(char *value)
{
	size_t len = strlen(value);

	if (len < 2 || (*value != '"' && *value != '\'') || value[len - 1] != *value)
		return value;
	value[len - 1] = '\0';
	return value + 1;
}

static int value_text(const struct flag *f, const void *values, struct str *ret)
{
	const void *at = (const char *)values + f->offset;
	const struct flag_list *list = at;
	const char *text;
	size_t i;
	int r;

	switch (f->type) {
	case FLAG_BOOL:
		return str_puts(ret, *(const bool *)at ? "true" : "");
	case FLAG_TEXT:
		text = *(const char *const *)at;
		return str_puts(ret, text ? text : "");
	case FLAG_LIST:
		r = str_putc(ret, '[');
		for (i = 0; r == 0 && i < list->n; i++)
			r = str_printf(ret, "%s%s", i ? " " : "", list->items[i]);
		return r < 0 ? r : str_putc(ret, ']');
	}
	return -EINVAL;
}

void flag_values_done(const struct flag_table *table)
{
	const struct flag *f;

	for (f = table->flags; f && f->names[0]; f++) {
		if (f->type == FLAG_LIST)
			free(((struct flag_list *)(void *)((char *)table->values + f->offset))
					->items);
	}
}

/* ---- the set ----------------------------------------------------------------------------- */

void flag_set_done(struct flag_set *set)
{
	strv_done(&set->defaults);
}

/* "~" for the home directory, as people write it; what is not set reads "". */
static int default_text(const struct flag *f, const void *values, char **ret)
{
	const char *home = getenv("HOME");
	AUTO_STR text = STR_INIT(MESSAGE_MAX);
	const char *rest;
	int r;

	r = value_text(f, values, &text);
	if (r < 0)
		return r;
	rest = home && home[0] && !str_eq(home, "/") ? str_after(str_text(&text), home) : NULL;
	*ret = rest ? format_text("~%s", rest) : str_take(&text);
	return *ret ? 0 : -ENOMEM;
}

int flag_set_init(struct flag_set *set)
{
	const struct flag *f;
	char *text;
	size_t t;
	int r;

	for (t = 0; t < FLAG_TABLES_MAX; t++) {
		for (f = set->tables[t].flags; f && f->names[0]; f++) {
			r = default_text(f, set->tables[t].values, &text);
			if (r == 0)
				r = strv_take(&set->defaults, text);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

static const struct flag *find(
	const struct flag_set *set, const char *name, size_t len, size_t *ret_table)
{
	const struct flag *f;
	const char *known;
	size_t t, i;

	for (t = 0; t < FLAG_TABLES_MAX; t++) {
		for (f = set->tables[t].flags; f && f->names[0]; f++) {
			for (i = 0; i < FLAG_NAMES_MAX && f->names[i]; i++) {
				known = f->names[i] + (f->names[i][0] == '#');
				if (strncmp(known, name, len) == 0 && known[len] == '\0') {
					*ret_table = t;
					return f;
				}
			}
		}
	}
	return NULL;
}

/* ---- usage ------------------------------------------------------------------------------- */

struct usage_line {
	const struct flag *flag;
	char *left; /* owned: "  --json, -j=true" */
	size_t width;
};

static const char *sort_name(const struct flag *f)
{
	return f->names[0] + strspn(f->names[0], "#-");
}

static int compare_lines(const void *a, const void *b)
{
	const char *x = sort_name(((const struct usage_line *)a)->flag);
	const char *y = sort_name(((const struct usage_line *)b)->flag);
	int order = strcasecmp(x, y);

	return order ? order : strcmp(x, y);
}

static int usage_left(const struct flag *f, const char *value, struct usage_line *ret)
{
	AUTO_STR left = STR_INIT(MESSAGE_MAX);
	size_t i;
	int r = str_puts(&left, "  ");

	for (i = 0; r == 0 && i < FLAG_NAMES_MAX && f->names[i]; i++) {
		if (f->names[i][0] != '#')
			r = str_printf(&left, "%s%s", left.len > 2 ? ", " : "", f->names[i]);
	}
	if (r == 0 && *value && !str_eq(value, "0") && !str_eq(value, "false"))
		r = str_printf(&left, "=%s", value);
	if (r < 0)
		return r;
	for (i = 0; i < left.len; i++)
		ret->width += ((unsigned char)left.data[i] & 0xC0) != 0x80;
	ret->flag = f;
	ret->left = str_take(&left);
	return ret->left ? 0 : -ENOMEM;
}

int flag_print_usage(FILE *out, const struct flag_set *set)
{
	struct usage_line *lines;
	const struct flag *f;
	size_t n = 0, width = USAGE_WIDTH_MIN, t, i;
	int r = 0;

	lines = calloc(set->defaults.n + 1, sizeof(*lines));
	if (!lines)
		return -ENOMEM;
	for (t = 0; t < FLAG_TABLES_MAX; t++) {
		for (f = set->tables[t].flags; r == 0 && f && f->names[0]; f++) {
			r = usage_left(f, set->defaults.items[n], &lines[n]);
			width = MAX(width, lines[n].width + USAGE_PADDING);
			n++;
		}
	}
	qsort(lines, n, sizeof(*lines), compare_lines);
	if (r == 0)
		(void)fputc('\n', out);
	for (i = 0; i < n; i++) {
		if (r == 0)
			(void)fprintf(out, "%s%*s %s\n", lines[i].left,
				(int)(width - lines[i].width), "", lines[i].flag->usage);
		free(lines[i].left);
	}
	free(lines);
	return r;
}

/* ---- parsing ----------------------------------------------------------------------------- */

/* What became of one word. */
enum outcome {
	OUTCOME_TAKEN = 1, /* a flag, and its value */
	OUTCOME_END,       /* no flag: flags end here */
	OUTCOME_UNDEFINED, /* no such flag, but its letters may be */
	OUTCOME_WRONG,     /* said so */
	OUTCOME_HELP
};

struct parse {
	const struct flag_set *set;
	char **next; /* of argv */
	struct flag_parsed *parsed;
};

static int undefined(struct parse *p, const char *name, size_t len)
{
	int r;

	r = strv_addf(&p->parsed->messages, "flag provided but not defined: -%.*s", (int)len, name);
	return r < 0 ? r : OUTCOME_WRONG;
}

static int wrong_bool(struct parse *p, const char *name, size_t len, const char *value)
{
	AUTO_STR quoted = STR_INIT(MESSAGE_MAX);
	int r;

	r = text_quote(&quoted, value);
	if (r == 0)
		r = strv_addf(&p->parsed->messages,
			"invalid boolean value %s for  -%.*s: strconv.ParseBool: parsing %s: "
			"invalid syntax",
			str_text(&quoted), (int)len, name, str_text(&quoted));
	return r < 0 ? r : OUTCOME_WRONG;
}

static int warn_old_name(struct parse *p, const struct flag *f, const char *name, size_t len)
{
	size_t i;

	for (i = 0; i < FLAG_NAMES_MAX && f->names[i]; i++) {
		if (f->names[i][0] == '#' && strncmp(f->names[i] + 1, name, len) == 0 &&
			f->names[i][len + 1] == '\0')
			return strv_addf(&p->parsed->warnings,
				"Warning: '%.*s' is deprecated, it will be replaced by '%s' soon. "
				"See usage.",
				(int)len, name, shown_name(f));
	}
	return 0;
}

/* name: after the first dash, `len` bytes; value: behind '=', NULL if there is none. */
static int set_value(struct parse *p, const struct flag *f, void *at, const char *name, size_t len,
	const char *value)
{
	int r;

	if (f->type == FLAG_BOOL) {
		*(bool *)at = false;
		if (!parse_bool(value ? value : "true", at))
			return wrong_bool(p, name, len, value);
		return OUTCOME_TAKEN;
	}
	if (!value && *p->next)
		value = *p->next++;
	if (!value) {
		r = strv_addf(
			&p->parsed->messages, "flag needs an argument: -%.*s", (int)len, name);
		return r < 0 ? r : OUTCOME_WRONG;
	}
	if (f->type == FLAG_LIST) {
		r = list_add(at, value);
		return r < 0 ? r : OUTCOME_TAKEN;
	}
	*(const char **)at = value;
	return OUTCOME_TAKEN;
}

static bool name_is(const char *name, size_t len, const char *word)
{
	return strlen(word) == len && memcmp(name, word, len) == 0;
}

/* One flag whose word is `word`; its value may be the next of argv. */
static int parse_flag(struct parse *p, char *word)
{
	char *name = word + 1;
	size_t len = strcspn(name, "="), table;
	char *value = name[len] ? trim_quotes(name + len + 1) : NULL;
	const struct flag *f;
	int r, outcome;

	if (len == 0) {
		r = strv_addf(&p->parsed->messages, "bad flag syntax: %s", word);
		return r < 0 ? r : OUTCOME_WRONG;
	}
	f = find(p->set, word, len + 1, &table);
	if (!f && (name_is(name, len, "-help") || name_is(name, len, "help") ||
			  name_is(name, len, "h"))) {
		p->parsed->help = true;
		return OUTCOME_HELP;
	}
	if (!f)
		return *name == '-' ? undefined(p, name, len) : OUTCOME_UNDEFINED;
	outcome =
		set_value(p, f, (char *)p->set->tables[table].values + f->offset, name, len, value);
	if (outcome != OUTCOME_TAKEN)
		return outcome;
	r = warn_old_name(p, f, word, len + 1);
	return r < 0 ? r : outcome;
}

/* The letters of an undefined word. A dash among them reads "--", which is nothing. */
static int parse_letters(struct parse *p, const char *name)
{
	size_t len = strcspn(name, "="), i, n;
	char letter[8];
	int outcome = OUTCOME_TAKEN;

	n = text_rune_len(name);
	if (n == len && n == 1)
		return undefined(p, name, len);
	for (i = 0; i < len; i += n) {
		n = text_rune_len(name + i);
		(void)snprintf(letter, sizeof(letter), "-%.*s", (int)n, name + i);
		if (str_eq(letter, "--"))
			continue;
		outcome = parse_flag(p, letter);
		if (outcome < 0)
			return outcome;
		if (outcome != OUTCOME_TAKEN)
			return undefined(p, name, len);
	}
	return OUTCOME_TAKEN;
}

static int parse_word(struct parse *p)
{
	char *word = *p->next;
	int outcome;

	if (!word || word[0] != '-' || word[1] == '\0')
		return OUTCOME_END;
	p->next++;
	if (str_eq(word, "--"))
		return OUTCOME_END;
	outcome = parse_flag(p, word);
	return outcome == OUTCOME_UNDEFINED ? parse_letters(p, word + 1) : outcome;
}

void flag_parsed_done(struct flag_parsed *p)
{
	strv_done(&p->warnings);
	strv_done(&p->messages);
}

int flag_parse(const struct flag_set *set, char **argv, struct flag_parsed *ret)
{
	struct parse p = { .set = set, .next = argv, .parsed = ret };
	int outcome;

	do {
		outcome = parse_word(&p);
	} while (outcome == OUTCOME_TAKEN);
	if (outcome < 0)
		return outcome;
	ret->failed = outcome != OUTCOME_END;
	ret->operands = p.next;
	for (ret->n_operands = 0; p.next[ret->n_operands];)
		ret->n_operands++;
	return 0;
}
