/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values of enroot.conf. enroot hands them to a shell; here they are read:
 *
 *   'text' "text" \c    quotes, kept blanks
 *   $NAME ${NAME} ${NAME:-text} ${NAME-text} ${NAME:+text} ${NAME+text}
 *   ~ ~/path            the home directory, at the beginning of a word
 *   $(nproc) $(id -u) $(id -g) $(id -un) $(id -gn) $(hostname) $(hostname -s) $(uname -m)
 *   # comment           behind a blank
 *
 * Anything else that a shell would run or redirect is refused. Patterns (*, ?, [) stay as they are.
 * What a variable holds is split at blanks outside of quotes, as there.
 */
#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "cli/enroot/enroot.h"

#define DEPTH_MAX 8

struct expansion {
	const char *p;
	expand_lookup_fn lookup;
	struct str *to;
	const char *problem; /* NULL: none */
	bool pending_blank;  /* something was written, then blanks came */
	unsigned int depth;
};

static void put(struct expansion *x, const char *text, size_t len)
{
	if (x->pending_blank && x->to->len)
		(void)!str_putc(x->to, ' ');
	x->pending_blank = false;
	if (str_append(x->to, text, len) < 0)
		x->problem = "is too long";
}

/* Unquoted: blanks separate words, and words are joined by one blank. */
static void put_split(struct expansion *x, const char *text)
{
	size_t len;

	for (; *text && !x->problem; text += len) {
		len = strspn(text, " \t\n");
		if (len) {
			x->pending_blank = true;
			continue;
		}
		len = strcspn(text, " \t\n");
		put(x, text, len);
	}
}

static void put_value(struct expansion *x, const char *text, bool quoted)
{
	if (quoted)
		put(x, text, strlen(text));
	else
		put_split(x, text);
}

static bool is_name_char(char c, bool first)
{
	return c == '_' || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	       (!first && c >= '0' && c <= '9');
}

static size_t name_length(const char *p)
{
	size_t n = 0;

	while (is_name_char(p[n], n == 0))
		n++;
	return n;
}

static const char *lookup(struct expansion *x, const char *name, size_t len, char buf[256])
{
	if (len >= 256)
		return NULL;
	memcpy(buf, name, len);
	buf[len] = 0;
	if (str_eq(buf, "UID") || str_eq(buf, "EUID")) {
		(void)snprintf(buf, 256, "%u", (unsigned int)geteuid());
		return buf;
	}
	return x->lookup(buf);
}

static void expand(struct expansion *x, bool quoted, const char *stop);

/* Behind "${": NAME, perhaps an operator and a word, then "}". */
static void expand_braces(struct expansion *x, bool quoted)
{
	size_t len = name_length(x->p);
	char buf[256];
	const char *value = len ? lookup(x, x->p, len, buf) : NULL;
	bool colon, set, use_word;
	char op;

	x->p += len;
	if (len && *x->p == '}') {
		x->p++;
		if (value)
			put_value(x, value, quoted);
		else
			x->problem = "has a variable that is not set";
		return;
	}
	colon = *x->p == ':';
	op = x->p[colon];
	if (!len || (op != '-' && op != '+')) {
		x->problem = "has an expansion that is not understood";
		return;
	}
	x->p += colon + 1;
	set = value && (!colon || *value);
	use_word = op == '-' ? !set : set;
	if (use_word) {
		expand(x, quoted, "}");
	} else {
		struct str nowhere = STR_INIT(65536);
		struct expansion skip = *x;

		skip.to = &nowhere;
		expand(&skip, quoted, "}");
		str_done(&nowhere);
		x->p = skip.p;
		x->problem = skip.problem;
		if (op == '-')
			put_value(x, value, quoted);
	}
	if (!x->problem && *x->p++ != '}')
		x->problem = "has a brace that is not closed";
}

static const char *user_name(char *buf, size_t len)
{
	struct passwd pw, *found = NULL;
	static char text[4096];

	if (getpwuid_r(geteuid(), &pw, text, sizeof(text), &found) == 0 && found)
		(void)snprintf(buf, len, "%s", pw.pw_name);
	return buf;
}

static const char *group_name(char *buf, size_t len)
{
	struct group gr, *found = NULL;
	static char text[65536];

	if (getgrgid_r(getegid(), &gr, text, sizeof(text), &found) == 0 && found)
		(void)snprintf(buf, len, "%s", gr.gr_name);
	return buf;
}

/* What a command known by name prints; NULL: not known. */
static const char *command_output(const char *command, char buf[256])
{
	struct utsname u;
	cpu_set_t cpus;

	*buf = 0;
	if (str_eq(command, "nproc"))
		(void)snprintf(buf, 256, "%d",
			sched_getaffinity(0, sizeof(cpus), &cpus) == 0 ? CPU_COUNT(&cpus) : 1);
	else if (str_eq(command, "id -u"))
		(void)snprintf(buf, 256, "%u", (unsigned int)geteuid());
	else if (str_eq(command, "id -g"))
		(void)snprintf(buf, 256, "%u", (unsigned int)getegid());
	else if (str_eq(command, "id -un") || str_eq(command, "whoami"))
		return user_name(buf, 256);
	else if (str_eq(command, "id -gn"))
		return group_name(buf, 256);
	else if (uname(&u) < 0)
		return NULL;
	else if (str_eq(command, "hostname") || str_eq(command, "uname -n"))
		(void)snprintf(buf, 256, "%s", u.nodename);
	else if (str_eq(command, "hostname -s"))
		(void)snprintf(buf, 256, "%.*s", (int)strcspn(u.nodename, "."), u.nodename);
	else if (str_eq(command, "uname -m"))
		(void)snprintf(buf, 256, "%s", u.machine);
	else
		return NULL;
	return buf;
}

static void expand_command(struct expansion *x, bool quoted)
{
	const char *end = strchr(x->p, ')');
	char command[64], buf[256];
	const char *output = NULL;

	if (end && (size_t)(end - x->p) < sizeof(command)) {
		memcpy(command, x->p, (size_t)(end - x->p));
		command[end - x->p] = 0;
		output = command_output(command, buf);
	}
	if (!output) {
		x->problem = "has a command, which is not run";
		return;
	}
	x->p = end + 1;
	put_value(x, output, quoted);
}

/* Behind "$". */
static void expand_dollar(struct expansion *x, bool quoted)
{
	size_t len = name_length(x->p);
	const char *value;
	char buf[256];

	if (*x->p == '{') {
		x->p++;
		expand_braces(x, quoted);
	} else if (*x->p == '(') {
		x->p++;
		expand_command(x, quoted);
	} else if (len) {
		value = lookup(x, x->p, len, buf);
		x->p += len;
		if (value)
			put_value(x, value, quoted);
		else
			x->problem = "has a variable that is not set";
	} else {
		put(x, "$", 1);
	}
}

static void expand_single(struct expansion *x)
{
	const char *end = strchr(x->p, '\'');

	if (!end) {
		x->problem = "has a quote that is not closed";
		return;
	}
	put(x, x->p, (size_t)(end - x->p));
	x->p = end + 1;
}

static void expand_escape(struct expansion *x, bool quoted)
{
	if (quoted && !strchr("$`\"\\", *x->p))
		put(x, "\\", 1);
	if (!*x->p)
		return;
	put(x, x->p++, 1);
}

static void expand_plain(struct expansion *x, const char *start, const char *stop)
{
	char c = *x->p++;

	if (c == ' ' || c == '\t') {
		x->pending_blank = true;
	} else if (c == '#' && (x->p - 1 == start || strchr(" \t", x->p[-2])) && !*stop) {
		x->p += strlen(x->p);
	} else if (c == '~' && (x->p - 1 == start || strchr(" \t", x->p[-2])) &&
		   strchr("/ \t", *x->p)) {
		const char *home = x->lookup("HOME");

		put_value(x, home ? home : "~", true);
	} else if (strchr("`;|&<>()", c)) {
		x->problem = c == '`' ? "has a command, which is not run"
				      : "has what a shell would execute";
	} else {
		put(x, &c, 1);
	}
}

static void expand(struct expansion *x, bool quoted, const char *stop)
{
	const char *start = x->p;

	if (++x->depth > DEPTH_MAX)
		x->problem = "is nested too deeply";
	while (!x->problem && *x->p && !strchr(stop, *x->p)) {
		char c = *x->p;

		if (c == '\\') {
			x->p++;
			expand_escape(x, quoted);
		} else if (c == '$') {
			x->p++;
			expand_dollar(x, quoted);
		} else if (c == '"' && !quoted) {
			x->p++;
			put(x, "", 0);
			expand(x, true, "\"");
			if (!x->problem && *x->p++ != '"')
				x->problem = "has a quote that is not closed";
		} else if (c == '\'' && !quoted) {
			x->p++;
			expand_single(x);
		} else if (quoted && c != '`') {
			put(x, x->p++, 1);
		} else {
			expand_plain(x, start, stop);
		}
	}
	x->depth--;
}

const char *expand_value(const char *text, expand_lookup_fn fn, struct str *ret)
{
	struct expansion x = { .p = text, .lookup = fn, .to = ret };

	expand(&x, false, "");
	return x.problem;
}

static bool is_setting(const char *name, size_t len)
{
	static const char *const others[] = { "SSL_CERT_DIR", "SSL_CERT_FILE", "all_proxy",
		"no_proxy", "http_proxy", "https_proxy" };
	size_t i;

	if (len > 7 && memcmp(name, "ENROOT_", 7) == 0) {
		for (i = 7; i < len; i++) {
			if (name[i] != '_' && (name[i] < 'A' || name[i] > 'Z'))
				return false;
		}
		return true;
	}
	for (i = 0; i < len; i++) {
		if (!is_name_char(name[i], i == 0))
			return false;
	}
	if ((len > 9 && memcmp(name, "MELLANOX_", 9) == 0) ||
		(len > 7 && memcmp(name, "NVIDIA_", 7) == 0))
		return true;
	for (i = 0; i < ARRAY_LEN(others); i++) {
		if (strlen(others[i]) == len && memcmp(others[i], name, len) == 0)
			return true;
	}
	return false;
}

bool config_line_split(
	const char *line, size_t *ret_name_at, size_t *ret_name_len, size_t *ret_value_at)
{
	*ret_name_at = strspn(line, " \t=");
	*ret_name_len = strcspn(line + *ret_name_at, " \t=");
	*ret_value_at = *ret_name_at + *ret_name_len;
	*ret_value_at += strspn(line + *ret_value_at, " \t=");
	return is_setting(line + *ret_name_at, *ret_name_len);
}
