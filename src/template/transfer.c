/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Containers between files and machines: what is sent and received is put together here.
 *
 * load, in up to three tries: the rest of what was cut; what differs from a snapshot that both
 * have; all of it. A try counts as refused as long as no stream has begun, and costs one
 * connection; only where there is something to go on from or to differ from there is more than one.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/limits.h"
#include "base/str.h"
#include "format/zfsstream.h"
#include "image/squashfs.h"
#include "os/atomic.h"
#include "os/fd.h"
#include "stream/fdsink.h"
#include "stream/pump.h"
#include "template/clone.h"
#include "template/evict.h"
#include "template/mountpoint.h"
#include "template/peer.h"
#include "template/receive.h"
#include "template/send.h"
#include "template/task.h"

static const struct imbrex_transfer_opts no_opts;

static int make_pipe(int *ret_read, int *ret_write, struct imbrex_error *err)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return fail_errno(err, "make a pipe");
	*ret_read = fds[0];
	*ret_write = fds[1];
	return 0;
}

static int sweep(struct imbrex_templates *t, struct imbrex_error *err)
{
	int r = receive_sweep(t, err);

	return r < 0 ? r : template_sweep(t, EVICT_DUE, err);
}

static int make_container(struct imbrex_templates *t, const char *key, const char *name,
	const struct imbrex_transfer_opts *opts, struct imbrex_error *err)
{
	const struct clone_opts how = {
		.replace = opts->replace, .no_setuid = !opts->setuid, .no_devices = !opts->devices
	};

	return clone_create(t, key, name, &how, err);
}

/* Told before anything travels. */
static int check_name(
	struct imbrex_templates *t, const char *name, bool replace, struct imbrex_error *err)
{
	int r = imbrex_clone_exists(t, name, err);

	if (r > 0 && !replace)
		return fail(err, IMBREX_EEXIST, "Container already exists: %s", name);
	return r < 0 ? r : 0;
}

/* ---- files ----------------------------------------------------------------------------- */

PUBLIC int imbrex_transfer_probe(const char *file, struct imbrex_error *err)
{
	AUTO_CLOSE int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char buf[ZFS_MAGIC_BYTES];
	struct stat st;
	size_t n = 0;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return fail_errno(err, "open '%s'", file);
	if (!S_ISREG(st.st_mode))
		return 0;
	r = read_all(fd, buf, sizeof(buf), &n);
	return r < 0 ? fail_code(err, r, "read '%s'", file) : zfs_stream_claims(buf, n);
}

struct new_file {
	struct atomic_file file;
	int dir;
};

static void new_file_done(struct new_file *f)
{
	atomic_file_abort(&f->file);
	f->dir = close_fd(f->dir);
}
#define AUTO_NEW_FILE __attribute__((cleanup(new_file_done))) struct new_file
#define NEW_FILE_INIT                                   \
	{                                               \
		.file = ATOMIC_FILE_INIT, .dir = -EBADF \
	}

static int new_file_open(
	struct new_file *f, const char *path, bool replace, struct imbrex_error *err)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	AUTO_FREE char *dir = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");

	if (!dir)
		return fail_nomem(err);
	f->dir = open_root_dir_at(AT_FDCWD, dir, err);
	if (f->dir < 0)
		return f->dir;
	if (!replace && exists_at(f->dir, name))
		return fail(err, IMBREX_EEXIST, "File already exists: %s", path);
	return atomic_file_open(&f->file, f->dir, name, err);
}

static int new_file_commit(struct new_file *f, struct imbrex_error *err)
{
	return atomic_file_commit(&f->file, 0644, ATOMIC_SYNC, NULL, err);
}

PUBLIC int imbrex_transfer_export(struct imbrex_templates *t, const char *name, const char *file,
	const struct imbrex_transfer_opts *opts, struct imbrex_error *err)
{
	AUTO_NEW_FILE f = NEW_FILE_INIT;
	struct send_job job = { .name = name };
	struct zfs_name container;
	int r = clone_find(t, name, &container, err);

	if (r == 0)
		r = new_file_open(&f, file, opts && opts->replace, err);
	if (r < 0)
		return r;
	job.fd = f.file.fd;
	r = send_container(t, &job, err);
	return r < 0 ? r : new_file_commit(&f, err);
}

PUBLIC int imbrex_transfer_create(struct imbrex_templates *t, const char *file, const char *name,
	const struct imbrex_transfer_opts *opts, struct imbrex_error *err)
{
	AUTO_CLOSE int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct receive_job job = { .fd = fd };
	char key[ID_HEX_LEN + 1];
	int r;

	opts = opts ? opts : &no_opts;
	if (fd < 0)
		return fail_errno(err, "open '%s'", file);
	r = check_name(t, name, opts->replace, err);
	if (r == 0)
		r = sweep(t, err);
	if (r < 0)
		return r;
	r = receive_template(t, &job, key, err);
	return r < 0 ? wrap(err, r, "'%s'", file) : make_container(t, key, name, opts, err);
}

/* ---- from another machine -------------------------------------------------------------- */

PUBLIC int imbrex_transfer_name(const char *uri, char **ret, struct imbrex_error *err)
{
	AUTO_PEER p = { 0 };
	int r = peer_parse(uri, &p, err);

	if (r == 0)
		*ret = take_ptr(p.name);
	return r;
}

static int peer_with_name(const char *uri, struct peer *ret, struct imbrex_error *err)
{
	int r = peer_parse(uri, ret, err);

	if (r == 0 && !*ret->name)
		return fail(err, IMBREX_EINVAL, "Invalid zfs:// URI: %.300s", uri);
	return r;
}

/* ssh, on a thread of its own. */
struct inflow {
	const struct peer *peer;
	const struct imbrex_transfer_opts *opts;
	struct strv words; /* owned */
	struct task task;
	int read_fd, write_fd; /* owned */
};

static int run_ssh(void *ctx, struct imbrex_error *err)
{
	struct inflow *f = ctx;
	const struct peer_call call = { .words = &f->words, .stdout_fd = f->write_fd };
	int r = peer_run(f->peer, f->opts, &call, err);

	f->write_fd = close_fd(f->write_fd);
	return r;
}

static int inflow_open(struct inflow *f, const struct peer *peer,
	const struct imbrex_transfer_opts *opts, const char *option, const char *value,
	struct imbrex_error *err)
{
	const char *const all[] = { "export", "--zfs-send", option, value, peer->name };
	size_t i;
	int r;

	*f = (struct inflow){ .peer = peer, .opts = opts, .read_fd = -EBADF, .write_fd = -EBADF };
	for (i = 0, r = 0; r == 0 && i < ARRAY_LEN(all); i++)
		r = all[i] ? strv_add(&f->words, all[i]) : 0;
	if (r < 0)
		return fail_nomem(err);
	r = make_pipe(&f->read_fd, &f->write_fd, err);
	return r < 0 ? r : task_start(&f->task, run_ssh, f, err);
}

/* Ends it, whether all has been read or not. What it said stays in its task. */
static void inflow_close(struct inflow *f)
{
	f->read_fd = close_fd(f->read_fd);
	(void)task_join(&f->task, NULL);
	f->write_fd = close_fd(f->write_fd);
	strv_done(&f->words);
}
#define AUTO_INFLOW __attribute__((cleanup(inflow_close))) struct inflow

static int at_end(void *ctx, struct imbrex_error *err)
{
	return task_join(ctx, err);
}

struct pull {
	struct imbrex_templates *t;
	struct peer peer;
	const struct imbrex_transfer_opts *opts;
	char *word; /* owned; of what goes on */
	char key[ID_HEX_LEN + 1];
};

static void pull_done(struct pull *p)
{
	peer_done(&p->peer);
	free(p->word);
}
#define AUTO_PULL __attribute__((cleanup(pull_done))) struct pull

/* 1: nothing of it came, so something else may be tried. */
static int try_pull(struct pull *p, const char *option, const char *value, struct imbrex_error *err)
{
	AUTO_INFLOW f = { .read_fd = -EBADF, .write_fd = -EBADF };
	struct receive_job job = { .word = p->word };
	struct imbrex_error why = { 0 };
	int r;

	r = inflow_open(&f, &p->peer, p->opts, option, value, err);
	if (r < 0)
		return r;
	job.fd = f.read_fd;
	job.at_end = at_end;
	job.ctx = &f.task;
	r = receive_template(p->t, &job, p->key, &why);
	inflow_close(&f);
	if (r == 0)
		return 0;
	/* No stream, because over there something is wrong: that is what to tell. */
	if (!job.begun && f.task.r < 0) {
		r = f.task.r;
		why = f.task.err;
	}
	if (err)
		*err = why;
	if (!job.begun && option)
		return 1;
	return strstr(why.message, p->peer.uri)
		       ? r
		       : wrap(err, r, "Receive from %s failed", p->peer.uri);
}

static int try_rest(struct pull *p, struct imbrex_error *err)
{
	AUTO_FREE char *token = NULL;
	int r = receive_token(p->t, p->word, &token, err);

	if (r < 0)
		return r;
	if (!token)
		return 1;
	template_note(p->t, IMBREX_NOTE_INFO, "Going on where the stream was cut...");
	r = try_pull(p, "--zfs-resume", token, err);
	if (r == 1)
		r = receive_forget(p->t, p->word, err) < 0 ? IMBREX_EFAIL : 1;
	return r;
}

static int try_difference(struct pull *p, struct imbrex_error *err)
{
	AUTO_STR list = STR_INIT(LIMIT_TRANSFER_STATUS_BYTES);
	AUTO_GUIDS have = { 0 };
	int r = guids_collect(p->t, &have, err);

	if (r < 0)
		return r;
	if (!have.n)
		return 1;
	if (guids_format(&have, &list) < 0)
		return fail_nomem(err);
	return try_pull(p, "--zfs-have", str_text(&list), err);
}

static int pull(struct pull *p, const char *uri, struct imbrex_error *err)
{
	int r = peer_with_name(uri, &p->peer, err);

	if (r == 0)
		r = sweep(p->t, err);
	if (r < 0)
		return r;
	p->word = format_text("load %s", uri);
	if (!p->word)
		return fail_nomem(err);
	r = try_rest(p, err);
	if (r == 1)
		r = try_difference(p, err);
	return r == 1 ? try_pull(p, NULL, NULL, err) : r;
}

PUBLIC int imbrex_transfer_load(struct imbrex_templates *t, const char *uri, const char *name,
	const struct imbrex_transfer_opts *opts, struct imbrex_error *err)
{
	AUTO_PULL p = { .t = t, .opts = opts ? opts : &no_opts };
	int r = check_name(t, name, p.opts->replace, err);

	if (r == 0)
		r = pull(&p, uri, err);
	return r < 0 ? r : make_container(t, p.key, name, p.opts, err);
}

PUBLIC int imbrex_transfer_squash(struct imbrex_templates *t, const char *uri, const char *file,
	const struct imbrex_squashfs_opts *squashfs, const struct imbrex_transfer_opts *opts,
	struct imbrex_error *err)
{
	AUTO_PULL p = { .t = t, .opts = opts ? opts : &no_opts };
	struct template_view view = TEMPLATE_VIEW_INIT;
	char path[FD_PATH_BYTES];
	struct zfs_name name;
	int r, c;

	r = pull(&p, uri, err);
	if (r == 0)
		r = template_name(&t->templates, p.key, &name, err);
	if (r == 0)
		r = template_view_open(t, &name, &view, err);
	if (r < 0)
		return r;
	fd_path(view.fd, path);
	r = imbrex_squashfs_create(path, file, squashfs, err);
	c = template_view_close(t, &view, r < 0 ? NULL : err);
	return r < 0 ? r : c;
}

/* ---- to a file, without ZFS ------------------------------------------------------------ */

static int take_any(void *ctx, const struct zfs_begin *b, struct imbrex_error *err)
{
	return 0;
}

static int write_stream(struct inflow *in, int fd, struct imbrex_error *err)
{
	AUTO_CLOSE int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	AUTO_SINK struct sink *file = NULL;
	AUTO_SINK struct sink *chain = NULL;
	int r;

	if (copy < 0)
		return fail_errno(err, "write a stream");
	r = fd_sink_new(copy, &file, err);
	if (r < 0)
		return r;
	copy = -EBADF;
	r = zfs_stream_sink_new(take_any, NULL, file, &chain, err);
	if (r < 0)
		return r;
	file = NULL;
	r = pump_fd(in->read_fd, chain, UINT64_MAX, err);
	if (r == 0)
		r = task_join(&in->task, err);
	return r < 0 ? r : sink_finish(chain, err);
}

PUBLIC int imbrex_transfer_fetch(const char *uri, const char *file,
	const struct imbrex_transfer_opts *opts, struct imbrex_error *err)
{
	AUTO_INFLOW in = { .read_fd = -EBADF, .write_fd = -EBADF };
	AUTO_NEW_FILE f = NEW_FILE_INIT;
	AUTO_PEER peer = { 0 };
	struct imbrex_error why = { 0 };
	int r;

	r = peer_with_name(uri, &peer, err);
	if (r == 0)
		r = new_file_open(&f, file, opts && opts->replace, err);
	if (r == 0)
		r = inflow_open(&in, &peer, opts, NULL, NULL, err);
	if (r < 0)
		return r;
	r = write_stream(&in, f.file.fd, &why);
	inflow_close(&in);
	if (r == 0)
		return new_file_commit(&f, err);
	if (in.task.r < 0)
		why = in.task.err;
	if (err)
		*err = why;
	return strstr(why.message, uri) ? r : wrap(err, r, "Receive from %s failed", uri);
}

/* ---- to another machine ---------------------------------------------------------------- */

struct outflow {
	struct imbrex_templates *t;
	struct send_job job;
	int read_fd, write_fd; /* owned */
};

static void outflow_close(struct outflow *f)
{
	f->read_fd = close_fd(f->read_fd);
	f->write_fd = close_fd(f->write_fd);
}
#define AUTO_OUTFLOW __attribute__((cleanup(outflow_close))) struct outflow

static int run_send(void *ctx, struct imbrex_error *err)
{
	struct outflow *f = ctx;
	int r = send_container(f->t, &f->job, err);

	f->write_fd = close_fd(f->write_fd);
	return r;
}

static int add_words(struct strv *words, const char *option, const char *name)
{
	const char *const all[] = { "import", option, "-n", name };
	size_t i;
	int r = 0;

	for (i = 0; r == 0 && i < ARRAY_LEN(all); i++)
		r = strv_add(words, all[i]);
	return r;
}

/* What is there already; 0 if whoever is there does not know what that means. */
static int ask_status(const struct peer *peer, const char *name,
	const struct imbrex_transfer_opts *opts, struct transfer_status *ret,
	struct imbrex_error *err)
{
	AUTO_STR text = STR_INIT(LIMIT_TRANSFER_STATUS_BYTES);
	AUTO_STRV words = { 0 };

	if (add_words(&words, "--zfs-status", name) < 0)
		return fail_nomem(err);
	if (peer_run(peer, opts, &(struct peer_call){ .words = &words, .out = &text }, NULL) < 0)
		return 0;
	return transfer_status_parse(str_text(&text), text.len, ret, NULL) == 0;
}

/* The one of two failures that is not the other's echo. */
static int outcome(const struct peer *peer, int there, const struct imbrex_error *there_err,
	struct task *here, struct imbrex_error *err)
{
	struct imbrex_error why = { 0 };
	int r = task_join(here, &why);
	bool echo = strstr(why.message, "roken pipe") || strstr(why.message, "status 141");

	if (r < 0 && !(there < 0 && echo)) {
		if (err)
			*err = why;
		return r;
	}
	if (there < 0 && err)
		*err = *there_err;
	return there;
}

static int push(struct outflow *f, const struct peer *peer, const char *name,
	const struct imbrex_transfer_opts *opts, struct imbrex_error *err)
{
	struct peer_call call = { .words = NULL };
	struct imbrex_error why = { 0 };
	AUTO_STRV words = { 0 };
	struct task task;
	int r;

	if (add_words(&words, "--zfs-recv", name) < 0)
		return fail_nomem(err);
	r = make_pipe(&f->read_fd, &f->write_fd, err);
	f->job.fd = f->write_fd;
	if (r == 0)
		r = task_start(&task, run_send, f, err);
	if (r < 0)
		return r;
	call.words = &words;
	call.stdin_fd = f->read_fd;
	r = peer_run(peer, opts, &call, &why);
	f->read_fd = close_fd(f->read_fd);
	return outcome(peer, r, &why, &task, err);
}

PUBLIC int imbrex_transfer_push(struct imbrex_templates *t, const char *name, const char *uri,
	const struct imbrex_transfer_opts *opts, struct imbrex_error *err)
{
	AUTO_OUTFLOW f = { .t = t, .read_fd = -EBADF, .write_fd = -EBADF };
	AUTO_TRANSFER_STATUS status = { 0 };
	AUTO_PEER peer = { 0 };
	struct zfs_name container;
	const char *there;
	int r;

	r = peer_parse(uri, &peer, err);
	if (r == 0)
		r = clone_find(t, name, &container, err);
	if (r < 0)
		return r;
	there = *peer.name ? peer.name : name;
	r = ask_status(&peer, there, opts, &status, err);
	if (r < 0)
		return r;
	f.job = (struct send_job){ .name = name, .have = &status.guids, .may_go_on = r > 0 };
	if (status.token)
		r = send_knows(t, name, status.token, err);
	if (r < 0)
		return r;
	if (status.token && r > 0) {
		f.job.token = status.token;
		template_note(t, IMBREX_NOTE_INFO, "Going on where the stream was cut...");
	}
	return push(&f, &peer, there, opts, err);
}

/* ---- what the other machine calls ------------------------------------------------------ */

PUBLIC int imbrex_transfer_send(struct imbrex_templates *t, const char *name, int fd,
	const char *have, const char *token, struct imbrex_error *err)
{
	AUTO_GUIDS guids = { 0 };
	struct send_job job = {
		.name = name, .fd = fd, .have = &guids, .token = token, .may_go_on = true
	};
	int r = have ? guids_parse(have, &guids, err) : 0;

	return r < 0 ? r : send_container(t, &job, err);
}

static char *word_of_name(const char *name)
{
	return format_text("receive %s", name);
}

PUBLIC int imbrex_transfer_receive(struct imbrex_templates *t, int fd, const char *name,
	const struct imbrex_transfer_opts *opts, struct imbrex_error *err)
{
	AUTO_FREE char *word = word_of_name(name);
	struct receive_job job = { .fd = fd, .word = word };
	char key[ID_HEX_LEN + 1];
	int r;

	opts = opts ? opts : &no_opts;
	if (!word)
		return fail_nomem(err);
	r = check_name(t, name, opts->replace, err);
	if (r == 0)
		r = sweep(t, err);
	if (r == 0)
		r = receive_template(t, &job, key, err);
	return r < 0 ? r : make_container(t, key, name, opts, err);
}

PUBLIC int imbrex_transfer_status(
	struct imbrex_templates *t, const char *name, char **ret, struct imbrex_error *err)
{
	AUTO_TRANSFER_STATUS s = { 0 };
	AUTO_FREE char *word = word_of_name(name);
	int r = imbrex_clone_exists(t, name, err);

	if (!word)
		return fail_nomem(err);
	if (r >= 0)
		r = receive_token(t, word, &s.token, err);
	if (r == 0)
		r = guids_collect(t, &s.guids, err);
	if (r < 0)
		return r;
	*ret = transfer_status_format(&s);
	return *ret ? 0 : fail_nomem(err);
}
