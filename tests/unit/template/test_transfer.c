/* SPDX-License-Identifier: Apache-2.0 */
/* What machines tell each other, and what of a URI reaches ssh. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "template/guids.h"
#include "template/peer.h"
#include "template/task.h"

#include <cmocka.h>

#include "base/limits.h"

static void uris_name_a_machine_and_a_container(void **state)
{
	static const struct {
		const char *uri, *target, *port, *name;
	} cases[] = {
		{ "zfs://host/box", "host", "", "box" },
		{ "zfs://me@host.example.org/box", "me@host.example.org", "", "box" },
		{ "zfs://10.0.0.1:2222/a.b_c-d", "10.0.0.1", "2222", "a.b_c-d" },
		{ "zfs://host", "host", "", "" },
		{ "zfs://host/", "host", "", "" },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct imbrex_error err = { 0 };
		AUTO_PEER p = { 0 };

		assert_int_equal(peer_parse(cases[i].uri, &p, &err), 0);
		assert_string_equal(p.target, cases[i].target);
		assert_string_equal(p.port, cases[i].port);
		assert_string_equal(p.name, cases[i].name);
	}
}

static void other_uris_are_refused(void **state)
{
	static const char *const uris[] = { "", "zfs:/host/x", "docker://host/x", "zfs://",
		"zfs:///x",
		/* Options of ssh. */
		"zfs://-oProxyCommand=id/x", "zfs://-v@host/x", "zfs://a@-host/x",
		/* For the shell over there. */
		"zfs://host/a b", "zfs://host/a;id", "zfs://host/$(id)", "zfs://host/`id`",
		"zfs://host/a'b", "zfs://host/a\nb", "zfs://ho st/x", "zfs://host;id/x",
		/* Options of enroot, names that are none. */
		"zfs://host/-x", "zfs://host/..", "zfs://host/.templates", "zfs://host/a/b",
		"zfs://host:/x", "zfs://host:123456/x", "zfs://host:a/x", "zfs://a@b@c/x" };
	size_t i;

	for (i = 0; i < ARRAY_LEN(uris); i++) {
		AUTO_FREE char *want = format_text("Invalid zfs:// URI: %s", uris[i]);
		struct imbrex_error err = { 0 };
		AUTO_PEER p = { 0 };

		assert_int_equal(peer_parse(uris[i], &p, &err), IMBREX_EINVAL);
		/* Line breaks do not come through. */
		if (!strchr(uris[i], '\n'))
			assert_string_equal(err.message, want);
		assert_null(p.uri);
	}
}

/* A program in ssh's place that shows how it was called. */
static char *fake_ssh(const char *body)
{
	char path[] = "/tmp/imbrex-ssh.XXXXXX";
	AUTO_FREE char *text = format_text("#!/bin/sh\n%s\n", body);
	int fd = mkstemp(path);

	assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	assert_int_equal(fchmod(fd, 0700), 0);
	assert_int_equal(close(fd), 0);
	return strdup(path);
}

static void call(
	const char *body, const char *word, struct str *out, struct imbrex_error *err, int want)
{
	AUTO_FREE char *ssh = fake_ssh(body);
	const struct imbrex_transfer_opts opts = { .ssh = ssh };
	AUTO_STRV words = { 0 };
	AUTO_PEER p = { 0 };

	assert_int_equal(peer_parse("zfs://me@host:22/box", &p, err), 0);
	assert_true(strv_add(&words, "export") == 0 && strv_add(&words, word) == 0);
	assert_int_equal(
		peer_run(&p, &opts, &(struct peer_call){ .words = &words, .out = out }, err), want);
	assert_int_equal(unlink(ssh), 0);
}

static void ssh_is_called_with_one_command(void **state)
{
	AUTO_STR out = STR_INIT(4096);
	struct imbrex_error err = { 0 };

	call("for a; do echo \"<$a>\"; done", "box", &out, &err, 0);
	assert_string_equal(str_text(&out), "<-T>\n<-oClearAllForwardings=yes>\n<-p22>\n<-->\n<me@"
					    "host>\n<enroot export box>\n");
}

static void words_for_a_shell_are_refused(void **state)
{
	static const char *const words[] = { "a b", "$x", "a;b", "a'b", "", "a\nb", "*", "~" };
	size_t i;

	for (i = 0; i < ARRAY_LEN(words); i++) {
		AUTO_STR out = STR_INIT(4096);
		struct imbrex_error err = { 0 };

		call("echo called", words[i], &out, &err, IMBREX_EINVAL);
		assert_non_null(strstr(err.message, "is no word for another machine"));
		assert_int_equal(out.len, 0);
	}
}

static void what_fails_there_is_told_here(void **state)
{
	static const struct {
		const char *body, *want;
	} cases[] = {
		{ "echo '[INFO] x' >&2; echo '[ERROR] No such container: box' >&2; exit 1",
			"ssh transport failed for zfs://me@host:22/box: No such container: box" },
		{ "echo 'ssh: connect to host: refused' >&2; exit 255",
			"ssh transport failed for zfs://me@host:22/box: ssh: connect to host: "
			"refused" },
		{ "exit 3", "ssh transport failed for zfs://me@host:22/box: status 3" },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_STR out = STR_INIT(4096);
		struct imbrex_error err = { 0 };

		call(cases[i].body, "box", &out, &err, IMBREX_EFAIL);
		assert_string_equal(err.message, cases[i].want);
	}
}

static void ssh_has_an_absolute_path(void **state)
{
	const struct imbrex_transfer_opts opts = { .ssh = "ssh" };
	struct imbrex_error err = { 0 };
	AUTO_STRV words = { 0 };
	AUTO_PEER p = { 0 };

	assert_int_equal(peer_parse("zfs://host/box", &p, &err), 0);
	assert_int_equal(
		peer_run(&p, &opts, &(struct peer_call){ .words = &words }, &err), IMBREX_EINVAL);
	assert_string_equal(err.message, "'ssh' is no absolute path of ssh(1)");
}

static void a_status_is_read_as_it_is_written(void **state)
{
	struct transfer_status s = { .token = strdup("1-ab-cd") };
	AUTO_TRANSFER_STATUS again = { 0 };
	AUTO_FREE char *text = NULL;

	assert_int_equal(guids_add(&s.guids, 1, NULL), 0);
	assert_int_equal(guids_add(&s.guids, UINT64_MAX, NULL), 0);
	text = transfer_status_format(&s);
	transfer_status_done(&s);
	assert_string_equal(text, "imbrex-zfs-status:v1\nresume=1-ab-cd\nguid=1\n"
				  "guid=18446744073709551615\n");
	assert_int_equal(transfer_status_parse(text, strlen(text), &again, NULL), 0);
	assert_string_equal(again.token, "1-ab-cd");
	assert_int_equal(again.guids.n, 2);
	assert_true(guids_has(&again.guids, 1) && guids_has(&again.guids, UINT64_MAX));
	assert_false(guids_has(&again.guids, 2));
}

static void other_statuses_are_refused(void **state)
{
	static const struct {
		const char *text, *want; /* "": it is taken */
	} cases[] = {
		{ "imbrex-zfs-status:v1\n", "" },
		{ "imbrex-zfs-status:v1\nnews=1\n\nguid=7\n", "" },
		{ "", "it is no status of a ZFS store" },
		{ "Usage: enroot import\n", "it is no status of a ZFS store" },
		{ "imbrex-zfs-status:v2\n", "it is no status of a ZFS store" },
		{ "imbrex-zfs-status:v1\nguid=7", "status of a ZFS store: it is cut" },
		{ "imbrex-zfs-status:v1\nguid=x\n", "status of a ZFS store: 'guid=x'" },
		{ "imbrex-zfs-status:v1\nguid=0\n", "status of a ZFS store: 'guid=0'" },
		{ "imbrex-zfs-status:v1\nguid=18446744073709551616\n",
			"status of a ZFS store: 'guid=18446744073709551616'" },
		/* It would become a word of a command line. */
		{ "imbrex-zfs-status:v1\nresume=-x\n", "status of a ZFS store: no token" },
		{ "imbrex-zfs-status:v1\nresume=a b\n", "status of a ZFS store: no token" },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_TRANSFER_STATUS s = { 0 };
		struct imbrex_error err = { 0 };
		int r = transfer_status_parse(cases[i].text, strlen(cases[i].text), &s, &err);

		assert_int_equal(r, *cases[i].want ? IMBREX_EFORMAT : 0);
		assert_string_equal(err.message, cases[i].want);
	}
}

static void lists_of_guids_have_an_end(void **state)
{
	static const char *const wrong[] = { "", ",", "1,", ",1", "1,,2", "1 2", "-1", "0x1",
		"1;2" };
	AUTO_STR text = STR_INIT(LIMIT_TRANSFER_STATUS_BYTES);
	struct imbrex_error err = { 0 };
	AUTO_GUIDS g = { 0 };
	size_t i;

	for (i = 0; i < ARRAY_LEN(wrong); i++) {
		AUTO_GUIDS none = { 0 };

		assert_int_equal(guids_parse(wrong[i], &none, &err), IMBREX_EINVAL);
	}
	for (i = 1; i <= LIMIT_TRANSFER_GUIDS; i++)
		assert_int_equal(guids_add(&g, i, &err), 0);
	assert_int_equal(guids_format(&g, &text), 0);
	assert_int_equal(guids_add(&g, i, &err), IMBREX_ELIMIT);
	assert_string_equal(err.message, "more than 1024 GUIDs");
	{
		AUTO_GUIDS same = { 0 };

		assert_int_equal(guids_parse(str_text(&text), &same, &err), 0);
		assert_int_equal(same.n, LIMIT_TRANSFER_GUIDS);
		assert_memory_equal(same.items, g.items, same.n * sizeof(*same.items));
	}
	assert_int_equal(str_puts(&text, ",9"), 0);
	assert_int_equal(guids_parse(str_text(&text), &g, &err), IMBREX_ELIMIT);
}

static int write_to_nobody(void *ctx, struct imbrex_error *err)
{
	return write(*(int *)ctx, "x", 1) == 1 ? 0 : IMBREX_ECANCELED;
}

static void a_pipe_without_reader_ends_a_task_only(void **state)
{
	struct imbrex_error err = { 0 };
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(close(fds[0]), 0);
	assert_int_equal(task_run(write_to_nobody, &fds[1], &err), IMBREX_ECANCELED);
	assert_int_equal(close(fds[1]), 0);
}

int main(void)
{
	const struct CMUnitTest all[] = {
		cmocka_unit_test(uris_name_a_machine_and_a_container),
		cmocka_unit_test(other_uris_are_refused),
		cmocka_unit_test(ssh_is_called_with_one_command),
		cmocka_unit_test(words_for_a_shell_are_refused),
		cmocka_unit_test(what_fails_there_is_told_here),
		cmocka_unit_test(ssh_has_an_absolute_path),
		cmocka_unit_test(a_status_is_read_as_it_is_written),
		cmocka_unit_test(other_statuses_are_refused),
		cmocka_unit_test(lists_of_guids_have_an_end),
		cmocka_unit_test(a_pipe_without_reader_ends_a_task_only),
	};

	return cmocka_run_group_tests(all, NULL, NULL);
}
