/* SPDX-License-Identifier: Apache-2.0 */
/*
 * $ENROOT_CONFIG_PATH/.credentials: lines "machine HOST login USER password SECRET". A secret of
 * "$NAME" is a variable of the environment. One of "$(command)" is refused: nothing is run.
 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>

#include "cli/enroot/enroot.h"

static char *next_word(char **line)
{
	char *word;

	*line += strspn(*line, " \t");
	if (!**line)
		return NULL;
	word = *line;
	*line += strcspn(*line, " \t");
	if (**line)
		*(*line)++ = 0;
	return word;
}

/* 1: a secret, in *ret; -1: message printed. */
static int take_secret(const char *text, const char *path, char **ret)
{
	const char *value = text;
	char *end;

	if (text[0] == '$' && text[1] == '(') {
		(void)enroot_error("Commands in %s are not run: put the password itself, or "
				   "$VARIABLE, there",
			path);
		return -1;
	}
	if (text[0] == '$') {
		AUTO_FREE char *name = strdup(text[1] == '{' ? text + 2 : text + 1);

		end = name ? strchr(name, '}') : NULL;
		if (end)
			*end = 0;
		value = name ? getenv(name) : NULL;
		if (!value) {
			(void)enroot_error("%s: variable %s is not set", path, name ? name : "");
			return -1;
		}
	}
	*ret = strdup(value);
	return *ret ? 1 : -1;
}

static bool is_host(const char *machine, const char *registry, size_t host_len)
{
	if (strlen(machine) == host_len && memcmp(machine, registry, host_len) == 0)
		return true;
	return str_eq(machine, registry);
}

/* 1: this line's; 0: another's. */
static int match_line(char *line, const struct enroot_uri *u, const char *path, char **ret_user,
	char **ret_password)
{
	size_t host_len = strcspn(u->registry, ":");
	const char *words[5];
	char *rest = line;
	size_t i;

	for (i = 0; i < ARRAY_LEN(words); i++) {
		words[i] = next_word(&rest);
		if (!words[i])
			return 0;
	}
	if (!str_eq(words[0], "machine") || !str_eq(words[2], "login") ||
		!str_eq(words[4], "password") || !is_host(words[1], u->registry, host_len) ||
		(*u->user && !str_eq(words[3], u->user)))
		return 0;
	rest += strspn(rest, " \t");
	*ret_user = strdup(words[3]);
	return *ret_user ? take_secret(rest, path, ret_password) : -1;
}

static int ask(const char *user, const char *registry, char **ret)
{
	struct termios old, quiet;
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;

	if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &old) < 0) {
		(void)enroot_error("No password for user %s at %s", user, registry);
		return -1;
	}
	quiet = old;
	quiet.c_lflag &= ~(tcflag_t)ECHO;
	(void)fprintf(stderr, "Enter host password for user '%s':", user);
	(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
	n = getline(&line, &cap, stdin);
	(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &old);
	(void)fputc('\n', stderr);
	if (n > 0 && line[n - 1] == '\n')
		line[n - 1] = 0;
	*ret = n > 0 ? line : NULL;
	if (n <= 0)
		free(line);
	return n > 0 ? 1 : -1;
}

int enroot_credentials(const struct enroot_uri *u, char **ret_user, char **ret_password)
{
	AUTO_FREE char *path = format_text("%s/.credentials", getenv("ENROOT_CONFIG_PATH"));
	FILE *f = path ? fopen(path, "re") : NULL;
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;
	int r = 0;

	*ret_user = *ret_password = NULL;
	while (f && r == 0 && (n = getline(&line, &cap, f)) > 0) {
		if (line[n - 1] == '\n')
			line[n - 1] = 0;
		r = match_line(line, u, path, ret_user, ret_password);
	}
	if (line)
		explicit_bzero(line, cap);
	free(line);
	if (f)
		(void)fclose(f);
	if (r == 0 && *u->user) {
		*ret_user = strdup(u->user);
		r = ask(u->user, u->registry, ret_password);
	}
	return r;
}
