/* SPDX-License-Identifier: Apache-2.0 */
/* A fresh store in a temporary directory for each test, and what tests ask of it. Include before
 * <cmocka.h>. */
#ifndef UNIT_STORE_FIXTURE_H
#define UNIT_STORE_FIXTURE_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "imbrex/imbrex.h"
#include "os/beneath.h"
#include "os/fd.h"

struct fixture {
	char *dir;
	char *graphroot;
	char *runroot;
	const char *driver;
	struct imbrex_store *s;
};

/* NULL and the message in *err on failure. */
static inline struct imbrex_store *fixture_open(
	const struct fixture *f, const char *const *options, struct imbrex_error *err)
{
	static const char *const none[] = { NULL };
	const struct imbrex_store_opts opts = { .graphroot = f->graphroot,
		.runroot = f->runroot,
		.driver = f->driver,
		.storage_opts = options ? options : none };
	struct imbrex_store *s = NULL;

	return imbrex_store_open(&opts, &s, err) < 0 ? NULL : s;
}

static inline int fixture_set_up(void **state)
{
	const char *base = getenv("TMPDIR");
	struct fixture *f = calloc(1, sizeof(*f));
	struct imbrex_error err = { 0 };

	if (!f)
		return -1;
	(void)setenv("CONTAINERS_STORAGE_CONF", "/dev/null", 1);
	f->driver = "vfs";
	f->dir = format_text("%s/imbrex-store-XXXXXX", base ? base : "/tmp");
	if (!f->dir || !mkdtemp(f->dir))
		return -1;
	f->graphroot = format_text("%s/root", f->dir);
	f->runroot = format_text("%s/run", f->dir);
	f->s = fixture_open(f, NULL, &err);
	if (!f->s)
		(void)fprintf(stderr, "%s\n", err.message);
	*state = f;
	return f->s ? 0 : -1;
}

static inline int fixture_tear_down(void **state)
{
	struct fixture *f = *state;
	struct imbrex_error err = { 0 };
	char *name = strrchr(f->dir, '/');
	AUTO_CLOSE int base = -EBADF;
	int r;

	imbrex_store_close(f->s);
	*name++ = '\0';
	base = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = remove_tree_detach_at(base, name, &err);
	if (r < 0)
		(void)fprintf(stderr, "%s\n", err.message);
	free(f->dir);
	free(f->graphroot);
	free(f->runroot);
	free(f);
	return r;
}

static inline bool fixture_exists(const struct fixture *f, const char *name)
{
	AUTO_FREE char *path = format_text("%s/%s", f->dir, name);

	return path && access(path, F_OK) == 0;
}

/* A file of the store; free(). */
static inline char *fixture_text(const struct fixture *f, const char *name)
{
	AUTO_FREE char *path = format_text("%s/%s", f->dir, name);
	AUTO_STR text = STR_INIT(16u * 1024 * 1024);

	if (!path || read_file_at(AT_FDCWD, path, text.max_len, &text, NULL) < 0)
		return strdup("");
	return str_take(&text);
}

#endif
