/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A netrc file is words between white space; line ends matter only to comments and to `macdef`,
 * whose body runs to the next empty line.
 */
#include "registry/netrc.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/limits.h"
#include "base/str.h"

struct reader {
	const char *text; /* NUL terminated */
	unsigned int line;
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void skip_blanks(struct reader *r)
{
	for (;;) {
		while (is_blank(*r->text)) {
			if (*r->text == '\n')
				r->line++;
			r->text++;
		}
		if (*r->text != '#')
			return;
		r->text += strcspn(r->text, "\n");
	}
}

/* The body of a macro ends at an empty line. */
static void skip_macro(struct reader *r)
{
	const char *end = strstr(r->text, "\n\n");
	const char *p, *stop = end ? end + 1 : r->text + strlen(r->text);

	for (p = r->text; p < stop; p++)
		r->line += *p == '\n';
	r->text = stop;
}

static char unescape(char c)
{
	switch (c) {
	case 'n':
		return '\n';
	case 'r':
		return '\r';
	case 't':
		return '\t';
	default:
		return c;
	}
}

static int read_quoted(struct reader *r, struct str *word, struct imbrex_error *err)
{
	for (r->text++; *r->text != '"'; r->text++) {
		char c = *r->text;

		if (c == '\\' && r->text[1])
			c = unescape(*++r->text);
		else if (!c || c == '\n')
			return fail(err, IMBREX_EFORMAT, "line %u: a quoted word does not end",
				r->line);
		if (str_putc(word, c) < 0)
			return fail_nomem(err);
	}
	r->text++;
	return 1;
}

/* 1 a word, 0 the end. */
static int read_word(struct reader *r, bool comments, struct str *word, struct imbrex_error *err)
{
	size_t n;

	str_clear(word);
	if (comments)
		skip_blanks(r);
	else
		for (; is_blank(*r->text); r->text++)
			r->line += *r->text == '\n';
	if (!*r->text)
		return 0;
	if (*r->text == '"')
		return read_quoted(r, word, err);
	n = strcspn(r->text, " \t\r\n");
	if (str_append(word, r->text, n) < 0)
		return fail_nomem(err);
	r->text += n;
	return 1;
}

/* The word that must follow `keyword`; it may begin with '#', as passwords do. */
static int read_value(
	struct reader *r, const char *keyword, struct str *word, struct imbrex_error *err)
{
	int n = read_word(r, /* comments= */ false, word, err);

	if (n == 0)
		return fail(err, IMBREX_EFORMAT, "line %u: nothing follows '%s'", r->line, keyword);
	return n < 0 ? n : 0;
}

static bool is_machine(const char *name, const char *registry)
{
	static const char *const hub[] = { "docker.io", "registry-1.docker.io", "index.docker.io",
		"auth.docker.io" };
	size_t i, host_len = strlen(registry);
	const char *colon = strrchr(registry, ':');

	if (strcasecmp(name, registry) == 0)
		return true;
	if (colon && !strchr(colon, ']')) /* not the colons of an IPv6 address */
		host_len = (size_t)(colon - registry);
	if (strlen(name) == host_len && strncasecmp(name, registry, host_len) == 0)
		return true;
	for (i = 0; str_eq(registry, "docker.io") && i < ARRAY_LEN(hub); i++) {
		if (strcasecmp(name, hub[i]) == 0)
			return true;
	}
	return false;
}

static int keep(char **to, const struct str *word, struct imbrex_error *err)
{
	if (*to)
		explicit_bzero(*to, strlen(*to));
	free(*to);
	*to = strdup(str_text(word));
	return *to ? 0 : fail_nomem(err);
}

/* One keyword that has a value. */
static int read_field(struct reader *r, const char *keyword, const char *registry, bool *ours,
	struct str *word, struct credentials *ret, struct imbrex_error *err)
{
	int n = read_value(r, keyword, word, err);

	if (n < 0)
		return n;
	if (str_eq(keyword, "machine"))
		*ours = is_machine(str_text(word), registry);
	else if (*ours && str_eq(keyword, "login"))
		return keep(&ret->username, word, err);
	else if (*ours && str_eq(keyword, "password"))
		return keep(&ret->password, word, err);
	return 0;
}

static int read_all(struct reader *r, const char *registry, struct str *word,
	struct credentials *ret, struct imbrex_error *err)
{
	static const char *const keywords[] = { "machine", "login", "password", "account" };
	bool ours = false;
	size_t i;
	int n;

	for (;;) {
		n = read_word(r, /* comments= */ true, word, err);
		if (n <= 0)
			return n;
		for (i = 0; i < ARRAY_LEN(keywords) && !str_eq(str_text(word), keywords[i]); i++)
			;
		if (ours && (i == 0 || str_eq(str_text(word), "default")))
			return 0; /* our entry ended */
		if (i < ARRAY_LEN(keywords))
			n = read_field(r, keywords[i], registry, &ours, word, ret, err);
		else if (str_eq(str_text(word), "macdef"))
			skip_macro(r);
		else if (!str_eq(str_text(word), "default"))
			n = fail(err, IMBREX_EFORMAT, "line %u: unknown word", r->line);
		if (n < 0)
			return n;
	}
}

int netrc_find(const char *text, size_t len, const char *registry, struct credentials *ret,
	struct imbrex_error *err)
{
	struct reader r = { .text = text, .line = 1 };
	AUTO_STR word = STR_INIT(LIMIT_CONF_BYTES);
	struct credentials c = { 0 };
	int n;

	if (memchr(text, '\0', len))
		return fail(err, IMBREX_EFORMAT, "a NUL byte");
	n = read_all(&r, registry, &word, &c, err);
	if (word.data)
		explicit_bzero(word.data, word.cap);
	if (n < 0 || !c.username || !c.password) {
		credentials_done(&c);
		return n < 0 ? n : 0;
	}
	*ret = c;
	return 1;
}
