/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parser of WWW-Authenticate values. The grammar is awkward: commas separate both challenges and
 * their parameters, so after a comma a word that is followed by '=' belongs to the challenge at
 * hand, and any other word begins a new one.
 *
 *   value     = [ item *( "," item ) ]          (empty items are allowed)
 *   item      = scheme [ 1*SP ( token68 / param ) ] / param
 *   param     = token *SP "=" *SP ( token / quoted-string )
 */
#include "registry/challenge.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/str.h"

struct cursor {
	const char *text;
	size_t len;
	size_t at;
};

static int peek(const struct cursor *c)
{
	return c->at < c->len ? (unsigned char)c->text[c->at] : -1;
}

static bool skip_blanks(struct cursor *c)
{
	size_t start = c->at;

	while (peek(c) == ' ' || peek(c) == '\t')
		c->at++;
	return c->at > start;
}

static bool is_alnum(int ch)
{
	return (ch >= '0' && ch <= '9') || (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z');
}

static bool is_token_char(int ch)
{
	return is_alnum(ch) || (ch > 0 && strchr("!#$%&'*+-.^_`|~", ch));
}

static bool is_token68_char(int ch)
{
	return is_alnum(ch) || (ch > 0 && strchr("-._~+/", ch));
}

static int malformed(const struct cursor *c, const char *what, struct imbrex_error *err)
{
	return fail(err, IMBREX_EFORMAT, "WWW-Authenticate at byte %zu: %s", c->at, what);
}

static size_t token_len(const struct cursor *c)
{
	size_t n = 0;

	while (c->at + n < c->len && is_token_char((unsigned char)c->text[c->at + n]))
		n++;
	return n;
}

static char *lower_copy(const char *text, size_t len)
{
	char *s = strndup(text, len);
	size_t i;

	for (i = 0; s && s[i]; i++) {
		if (s[i] >= 'A' && s[i] <= 'Z')
			s[i] = (char)(s[i] + 32);
	}
	return s;
}

/* The cursor is behind the opening quote. */
static int parse_quoted(struct cursor *c, char **ret, struct imbrex_error *err)
{
	AUTO_STR value = STR_INIT(LIMIT_CHALLENGE_BYTES);
	int ch;

	for (;;) {
		ch = peek(c);
		if (ch == '"')
			break;
		if (ch == '\\') {
			c->at++;
			ch = peek(c);
		}
		if (ch < 0)
			return malformed(c, "a quoted string does not end", err);
		if ((ch < 0x20 && ch != '\t') || ch == 0x7f)
			return malformed(c, "a control character", err);
		if (str_putc(&value, (char)ch) < 0)
			return fail_nomem(err);
		c->at++;
	}
	c->at++;
	*ret = str_take(&value);
	return *ret ? 0 : fail_nomem(err);
}

/* The cursor is at the name of a parameter of `name_len` bytes that '=' follows. */
static int parse_param(
	struct cursor *c, size_t name_len, struct challenge *to, struct imbrex_error *err)
{
	struct challenge_param *p;
	size_t n;

	if (to->n_params == CHALLENGE_PARAMS_MAX)
		return fail(err, IMBREX_ELIMIT, "WWW-Authenticate: more than %d parameters",
			CHALLENGE_PARAMS_MAX);
	p = &to->params[to->n_params];
	p->name = lower_copy(c->text + c->at, name_len);
	if (!p->name)
		return fail_nomem(err);
	to->n_params++; /* freed with the challenge from here on */
	c->at += name_len;
	(void)skip_blanks(c);
	c->at++; /* the '=' the caller saw */
	(void)skip_blanks(c);
	if (peek(c) == '"') {
		c->at++;
		return parse_quoted(c, &p->value, err);
	}
	n = token_len(c);
	if (!n)
		return malformed(c, "a parameter has no value", err);
	p->value = strndup(c->text + c->at, n);
	c->at += n;
	return p->value ? 0 : fail_nomem(err);
}

/* Is the token of `n` bytes at the cursor the name of a parameter? */
static bool is_param(const struct cursor *c, size_t n)
{
	struct cursor look = *c;

	look.at += n;
	(void)skip_blanks(&look);
	if (peek(&look) != '=')
		return false;
	look.at++;
	(void)skip_blanks(&look);
	return peek(&look) == '"' || is_token_char(peek(&look));
}

/* "abc==" behind a scheme: letters, then '='s, then the end of the item. */
static size_t token68_len(const struct cursor *c)
{
	struct cursor look = *c;
	size_t n;

	while (is_token68_char(peek(&look)))
		look.at++;
	while (peek(&look) == '=')
		look.at++;
	n = look.at - c->at;
	(void)skip_blanks(&look);
	return peek(&look) == ',' || peek(&look) < 0 ? n : 0;
}

static int parse_scheme(struct cursor *c, size_t n, struct challenges *to, struct imbrex_error *err)
{
	struct challenge *item;
	size_t len;

	if (to->n == CHALLENGES_MAX)
		return fail(err, IMBREX_ELIMIT, "WWW-Authenticate: more than %d challenges",
			CHALLENGES_MAX);
	item = &to->items[to->n];
	item->scheme = lower_copy(c->text + c->at, n);
	if (!item->scheme)
		return fail_nomem(err);
	to->n++;
	c->at += n;
	if (!skip_blanks(c))
		return 0;
	n = token_len(c);
	if (n && is_param(c, n))
		return parse_param(c, n, item, err);
	len = token68_len(c);
	if (!len)
		return 0;
	item->token = strndup(c->text + c->at, len);
	c->at += len;
	return item->token ? 0 : fail_nomem(err);
}

static int parse_item(
	struct cursor *c, bool *have_scheme, struct challenges *to, struct imbrex_error *err)
{
	size_t n = token_len(c);

	if (!n)
		return malformed(c, "expected a word", err);
	if (!is_param(c, n)) {
		*have_scheme = true;
		return parse_scheme(c, n, to, err);
	}
	if (!*have_scheme)
		return malformed(c, "a parameter before any scheme", err);
	return parse_param(c, n, &to->items[to->n - 1], err);
}

void challenges_done(struct challenges *c)
{
	size_t i, j;

	for (i = 0; i < c->n; i++) {
		struct challenge *item = &c->items[i];

		for (j = 0; j < item->n_params; j++) {
			free(item->params[j].name);
			free(item->params[j].value);
		}
		free(item->scheme);
		free(item->token);
	}
	memset(c, 0, sizeof(*c));
}

int challenges_parse(struct challenges *to, const char *value, size_t len, struct imbrex_error *err)
{
	struct cursor c = { .text = value, .len = len };
	bool have_scheme = false;
	int r;

	if (len > LIMIT_CHALLENGE_BYTES)
		return fail(err, IMBREX_ELIMIT, "WWW-Authenticate: more than %u bytes",
			LIMIT_CHALLENGE_BYTES);
	for (;;) {
		(void)skip_blanks(&c);
		if (peek(&c) < 0)
			return 0;
		if (peek(&c) != ',') {
			r = parse_item(&c, &have_scheme, to, err);
			if (r < 0)
				return r;
			(void)skip_blanks(&c);
		}
		if (peek(&c) >= 0 && peek(&c) != ',')
			return malformed(&c, "expected a comma", err);
		if (peek(&c) == ',')
			c.at++;
	}
}

const char *challenge_param(const struct challenge *c, const char *name)
{
	size_t i;

	for (i = 0; i < c->n_params; i++) {
		if (strcmp(c->params[i].name, name) == 0)
			return c->params[i].value;
	}
	return NULL;
}
