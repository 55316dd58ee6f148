/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One pass over argv. Operands are moved to the front as they are met, so nothing is copied and
 * every value is a pointer into argv.
 */
#include "cli/opt.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/str.h"

/* Longer words are never a slip of a finger away from an option. */
#define WORD_MAX 32

/* argv while it is read. */
struct cursor {
	char **argv;
	size_t argc;
	size_t i; /* next to read */
};

struct names {
	const struct opt_parser *parser;
};

/* Edits that turn one word into the other: insert, delete, replace, swap neighbours. */
static size_t distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	size_t rows[3][WORD_MAX + 1];
	size_t *before = rows[0], *above = rows[1], *row = rows[2], *spare;
	size_t i, j, cost;

	for (j = 0; j <= b_len; j++)
		above[j] = before[j] = j;
	for (i = 1; i <= a_len; i++) {
		row[0] = i;
		for (j = 1; j <= b_len; j++) {
			cost = a[i - 1] != b[j - 1];
			row[j] = MIN(above[j - 1] + cost, MIN(above[j], row[j - 1]) + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = MIN(row[j], before[j - 2] + 1);
		}
		spare = before;
		before = above;
		above = row;
		row = spare;
	}
	return above[b_len];
}

static const char *name_at(const void *ctx, size_t i)
{
	const struct opt_parser *p = ((const struct names *)ctx)->parser;
	const struct opt *o;
	size_t s;

	for (s = 0; s < p->n_sets; s++) {
		for (o = p->sets[s].opts; o && o->name; o++) {
			if (i-- == 0)
				return o->name;
		}
	}
	return NULL;
}

static const struct opt *find_name(
	const struct opt_parser *p, const char *name, size_t len, void **ret_values)
{
	const struct opt *o;
	size_t s;

	for (s = 0; s < p->n_sets; s++) {
		for (o = p->sets[s].opts; o && o->name; o++) {
			if (strncmp(o->name, name, len) == 0 && o->name[len] == '\0') {
				*ret_values = p->sets[s].values;
				return o;
			}
		}
	}
	return NULL;
}

static const struct opt *find_letter(const struct opt_parser *p, char letter, void **ret_values)
{
	const struct opt *o;
	size_t s;

	for (s = 0; s < p->n_sets; s++) {
		for (o = p->sets[s].opts; o && o->name; o++) {
			if (o->letter == letter) {
				*ret_values = p->sets[s].values;
				return o;
			}
		}
	}
	return NULL;
}

static int add_item(struct opt_list *list, const char *value, struct imbrex_error *err)
{
	const char **items;

	items = realloc(list->items, (list->n + 2) * sizeof(*items));
	if (!items)
		return fail_nomem(err);
	items[list->n++] = value;
	items[list->n] = NULL;
	list->items = items;
	return 0;
}

static int set_number(
	const struct opt *o, const char *value, unsigned int *ret, struct imbrex_error *err)
{
	unsigned long n;
	char *end;

	errno = 0;
	n = strtoul(value, &end, 10);
	if (value[0] < '0' || value[0] > '9' || *end || errno || n < 1 || n > UINT_MAX)
		return fail(err, IMBREX_EINVAL, "option --%s takes a number from 1 on, not '%s'",
			o->name, value);
	*ret = (unsigned int)n;
	return 0;
}

static int set_switch(const struct opt *o, const char *value, int *ret, struct imbrex_error *err)
{
	if (!value || str_eq(value, "true"))
		*ret = 1;
	else if (str_eq(value, "false"))
		*ret = -1;
	else
		return fail(err, IMBREX_EINVAL, "option --%s is true or false, not '%s'", o->name,
			value);
	return 0;
}

static const char *choice_at(const void *ctx, size_t i)
{
	const char *const *choices = ctx;

	return choices[i];
}

static int set_choice(const struct opt *o, const char *value, int *ret, struct imbrex_error *err)
{
	char all[128] = "";
	const char *nearest;
	size_t i, len = 0;
	int r;

	for (i = 0; o->choices[i]; i++) {
		if (str_eq(o->choices[i], value)) {
			*ret = (int)i;
			return 0;
		}
		if (len < sizeof(all))
			len += (size_t)snprintf(
				all + len, sizeof(all) - len, "%s%s", i ? ", " : "", o->choices[i]);
	}
	r = fail(err, IMBREX_EINVAL, "option --%s is one of %s, not '%s'", o->name, all, value);
	nearest = opt_nearest(value, choice_at, o->choices);
	return nearest ? hint(err, r, "did you mean '%s'?", nearest) : r;
}

static int set_value(const struct opt *o, void *values, const char *value, struct imbrex_error *err)
{
	char *at = (char *)values + o->offset;

	switch (o->type) {
	case OPT_FLAG:
		*(bool *)at = true;
		return 0;
	case OPT_NO_FLAG:
		*(bool *)at = false;
		return 0;
	case OPT_SWITCH:
		return set_switch(o, value, (int *)(void *)at, err);
	case OPT_TEXT:
		*(const char **)(void *)at = value;
		return 0;
	case OPT_LIST:
		return add_item((struct opt_list *)(void *)at, value, err);
	case OPT_NUMBER:
		return set_number(o, value, (unsigned int *)(void *)at, err);
	case OPT_CHOICE:
		return set_choice(o, value, (int *)(void *)at, err);
	}
	return fail(err, IMBREX_EINVAL, "option --%s cannot be set", o->name);
}

static int parse_long(const struct opt_parser *p, struct cursor *c, struct imbrex_error *err)
{
	const char *name = c->argv[c->i++] + 2;
	const char *equals = strchr(name, '=');
	size_t len = equals ? (size_t)(equals - name) : strlen(name);
	const char *value = equals ? equals + 1 : NULL;
	struct names names = { .parser = p };
	char word[WORD_MAX + 1];
	const char *nearest;
	const struct opt *o;
	void *values;
	int r;

	o = find_name(p, name, len, &values);
	if (!o) {
		r = fail(err, IMBREX_EINVAL, "unknown option '--%.*s'", (int)MIN(len, 200u), name);
		(void)snprintf(word, sizeof(word), "%.*s", (int)MIN(len, (size_t)WORD_MAX), name);
		nearest = opt_nearest(word, name_at, &names);
		return nearest ? hint(err, r, "did you mean '--%s'?", nearest) : r;
	}
	if (value && !o->arg)
		return fail(err, IMBREX_EINVAL, "option --%s takes no value", o->name);
	if (!value && opt_takes_value(o)) {
		if (c->i == c->argc)
			return fail(err, IMBREX_EINVAL, "option --%s needs a value: %s", o->name,
				o->arg);
		value = c->argv[c->i++];
	}
	return set_value(o, values, value, err);
}

static int parse_letters(const struct opt_parser *p, struct cursor *c, struct imbrex_error *err)
{
	const char *s = c->argv[c->i++] + 1;
	const struct opt *o;
	const char *value;
	void *values;
	int r;

	for (; *s; s++) {
		o = find_letter(p, *s, &values);
		if (!o)
			return fail(err, IMBREX_EINVAL, "unknown option '-%c'", *s);
		if (!opt_takes_value(o)) {
			r = set_value(o, values, NULL, err);
			if (r < 0)
				return r;
			continue;
		}
		value = s + 1;
		if (!*value) {
			if (c->i == c->argc)
				return fail(err, IMBREX_EINVAL, "option -%c needs a value: %s", *s,
					o->arg);
			value = c->argv[c->i++];
		}
		return set_value(o, values, value, err);
	}
	return 0;
}

/* Short verbs are close to one another: two edits make "push" of "pull". */
static bool too_far(size_t edits, size_t len)
{
	return edits > (len <= 5 ? 1u : len <= 8 ? 2u : 3u);
}

int opt_parse(
	const struct opt_parser *p, int argc, char **argv, size_t *ret_n, struct imbrex_error *err)
{
	struct cursor c = { .argv = argv, .argc = (size_t)argc };
	size_t n = 0;
	int r;

	while (c.i < c.argc) {
		const char *arg = c.argv[c.i];

		if (str_eq(arg, "--")) {
			c.i++;
			break;
		}
		if (arg[0] != '-' || !arg[1]) {
			argv[n++] = argv[c.i++];
			if (n == p->operands_first)
				break;
			continue;
		}
		r = arg[1] == '-' ? parse_long(p, &c, err) : parse_letters(p, &c, err);
		if (r < 0)
			return r;
	}
	while (c.i < c.argc)
		argv[n++] = argv[c.i++];
	*ret_n = n;
	return 0;
}

void opt_done(const struct opt_set *set)
{
	const struct opt *o;
	struct opt_list *list;

	for (o = set->opts; o && o->name; o++) {
		if (o->type != OPT_LIST)
			continue;
		list = (struct opt_list *)(void *)((char *)set->values + o->offset);
		free(list->items);
		*list = (struct opt_list){ .n = 0 };
	}
}

void opt_print(FILE *f, const struct opt *opts)
{
	const struct opt *o;
	char left[64];

	for (o = opts; o && o->name; o++) {
		(void)snprintf(left, sizeof(left), "  %c%c%c --%s%s%s%s", o->letter ? '-' : ' ',
			o->letter ? o->letter : ' ', o->letter ? ',' : ' ', o->name,
			o->type == OPT_SWITCH ? "[" : "", o->arg ? "=" : "", o->arg ? o->arg : "");
		(void)fprintf(f, "%s%s", left, o->type == OPT_SWITCH ? "]" : "");
		if (strlen(left) > 32)
			(void)fprintf(f, "\n%34s%s\n", "", o->help);
		else
			(void)fprintf(f, "%*s%s\n",
				34 - (int)strlen(left) - (o->type == OPT_SWITCH), "", o->help);
	}
}

const char *opt_nearest(
	const char *word, const char *(*next)(const void *ctx, size_t i), const void *ctx)
{
	size_t len = strlen(word), best_edits = SIZE_MAX, edits, i;
	const char *best = NULL, *candidate;

	if (len < 2 || len > WORD_MAX)
		return NULL;
	for (i = 0; (candidate = next(ctx, i)) != NULL; i++) {
		if (strlen(candidate) > WORD_MAX)
			continue;
		edits = distance(word, len, candidate, strlen(candidate));
		if (edits < best_edits) {
			best_edits = edits;
			best = candidate;
		}
	}
	return best && !too_far(best_edits, len) ? best : NULL;
}
