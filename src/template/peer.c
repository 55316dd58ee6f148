/* SPDX-License-Identifier: Apache-2.0 */
/* Another machine, reached by ssh; see the header. */
#include "template/peer.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/limits.h"
#include "os/proc.h"

#define SCHEME          "zfs://"
#define COMPLAINT_BYTES 512
#define REMOTE_DEFAULT  "enroot"

static const char *const ssh_programs[] = { "/usr/bin/ssh", "/usr/local/bin/ssh", NULL };

/* ---- URIs ------------------------------------------------------------------------------ */

static bool only(const char *text, size_t len, const char *others)
{
	size_t i;

	for (i = 0; i < len; i++) {
		char c = text[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			    (c && strchr(others, c))))
			return false;
	}
	return len > 0;
}

/* Nothing that ssh would take for an option, or a shell for more than a word. */
static bool is_target(const char *at, size_t len)
{
	const char *user_end = memchr(at, '@', len);
	size_t user_len = user_end ? (size_t)(user_end - at) : 0;
	const char *host = user_end ? user_end + 1 : at;
	size_t host_len = len - (size_t)(host - at);

	if (user_end && (!only(at, user_len, "._-") || at[0] == '-'))
		return false;
	return only(host, host_len, "._-") && host[0] != '-' && host[0] != '.';
}

bool peer_name_is_valid(const char *name)
{
	size_t len = strlen(name);

	return len < 256 && only(name, len, "._:-") && name[0] != '.' && name[0] != '-';
}

static bool split(const char *uri, struct peer *p)
{
	const char *at = str_after(uri, SCHEME);
	size_t len = at ? strcspn(at, "/") : 0;
	const char *colon = at ? memchr(at, ':', len) : NULL;
	size_t target_len = colon ? (size_t)(colon - at) : len;
	size_t port_len = colon ? len - target_len - 1 : 0;

	if (!at || !is_target(at, target_len))
		return false;
	if (colon && (port_len == 0 || port_len > 5 || strspn(colon + 1, "0123456789") < port_len))
		return false;
	if (at[len] && at[len + 1] && !peer_name_is_valid(at + len + 1))
		return false;
	(void)snprintf(p->port, sizeof(p->port), "%.*s", (int)port_len, colon ? colon + 1 : "");
	p->uri = strdup(uri);
	p->target = strndup(at, target_len);
	p->name = strdup(at[len] ? at + len + 1 : "");
	return true;
}

int peer_parse(const char *uri, struct peer *ret, struct imbrex_error *err)
{
	AUTO_PEER p = { 0 };

	if (!split(uri, &p))
		return fail(err, IMBREX_EINVAL, "Invalid zfs:// URI: %.300s", uri);
	if (!p.uri || !p.target || !p.name)
		return fail_nomem(err);
	*ret = p;
	p = (struct peer){ 0 };
	return 0;
}

void peer_done(struct peer *p)
{
	free(p->uri);
	free(p->target);
	free(p->name);
	*p = (struct peer){ 0 };
}

/* ---- calls ----------------------------------------------------------------------------- */

/* What ssh needs to find keys and to ask for passwords. */
static int add_environment(struct strv *env)
{
	static const char *const names[] = { "HOME", "USER", "LOGNAME", "SSH_AUTH_SOCK",
		"SSH_ASKPASS", "SSH_ASKPASS_REQUIRE", "DISPLAY", "TERM" };
	size_t i;
	int r = strv_add(env, "PATH=/usr/bin:/bin:/usr/sbin:/sbin");

	for (i = 0; r == 0 && i < ARRAY_LEN(names); i++) {
		const char *value = getenv(names[i]);

		if (value)
			r = strv_addf(env, "%s=%s", names[i], value);
	}
	return r;
}

static bool is_plain_word(const char *word)
{
	return only(word, strlen(word), "._:,/+-");
}

/* One text for the shell over there; EINVAL for a word that it could misread. */
static int join(
	const char *program, const struct strv *words, struct str *ret, struct imbrex_error *err)
{
	size_t i;
	int r;

	if (!is_plain_word(program))
		return fail(
			err, IMBREX_EINVAL, "'%.200s' is no program of another machine", program);
	r = str_puts(ret, program);
	for (i = 0; r == 0 && i < words->n; i++) {
		if (!is_plain_word(words->items[i]))
			return fail(err, IMBREX_EINVAL, "'%.200s' is no word for another machine",
				words->items[i]);
		r = str_printf(ret, " %s", words->items[i]);
	}
	return r < 0 ? fail(err, IMBREX_ELIMIT, "a command for another machine is too long") : 0;
}

static int fill_argv(struct strv *argv, const struct peer *p, const char *ssh, const char *command)
{
	int r = strv_add(argv, ssh);

	if (r == 0)
		r = strv_add(argv, "-T");
	if (r == 0)
		r = strv_add(argv, "-oClearAllForwardings=yes");
	if (r == 0 && p->port[0])
		r = strv_addf(argv, "-p%s", p->port);
	if (r == 0)
		r = strv_add(argv, "--");
	if (r == 0)
		r = strv_add(argv, p->target);
	return r == 0 ? strv_add(argv, command) : r;
}

static int complain(const struct peer *p, int status, struct str *said, struct imbrex_error *err)
{
	const char *words = str_text(said);
	const char *error = strstr(words, "[ERROR] ");
	int len;

	words = error ? error + strlen("[ERROR] ") : words;
	len = (int)strcspn(words, "\r\n");
	if (!len)
		return fail(err, IMBREX_EFAIL, "ssh transport failed for %s: status %d", p->uri,
			status);
	return fail(err, IMBREX_EFAIL, "ssh transport failed for %s: %.*s", p->uri, len, words);
}

int peer_run(const struct peer *p, const struct imbrex_transfer_opts *opts,
	const struct peer_call *call, struct imbrex_error *err)
{
	const char *ssh = opts && opts->ssh ? opts->ssh : proc_find(ssh_programs);
	const char *program = opts && opts->remote ? opts->remote : REMOTE_DEFAULT;
	AUTO_STR command = STR_INIT(LIMIT_TRANSFER_STATUS_BYTES);
	AUTO_STR said = STR_INIT(COMPLAINT_BYTES);
	AUTO_STRV argv = { 0 };
	AUTO_STRV env = { 0 };
	struct proc_spec spec = { .stdin_fd = call->stdin_fd, .stdout_fd = call->stdout_fd };
	int r, status;

	if (!ssh)
		return hint(err,
			fail(err, IMBREX_ENOTSUP, "ssh(1) is not installed, which %s needs",
				p->uri),
			"install openssh-client");
	if (*ssh != '/')
		return fail(err, IMBREX_EINVAL, "'%.200s' is no absolute path of ssh(1)", ssh);
	r = join(program, call->words, &command, err);
	if (r < 0)
		return r;
	if (fill_argv(&argv, p, ssh, str_text(&command)) < 0 || add_environment(&env) < 0)
		return fail_nomem(err);
	spec.argv = (const char *const *)argv.items;
	spec.env = (const char *const *)env.items;
	r = proc_hear(&spec, call->out, &said, &status, err);
	if (r < 0)
		return wrap(err, r, "%s", p->uri);
	return status ? complain(p, status, &said, err) : 0;
}
