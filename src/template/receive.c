/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream becomes a template; see the header.
 *
 *   bytes ─▶ follow records ─▶ hash ─▶ pipe ─▶ zfs receive STORE/.transfers/WORD@pristine
 *                │ first record: from which snapshot? does it go on?           │
 *                ▼                                                             ▼ hash known
 *              refuse, before anything is received                   .templates/KEY, or nothing new
 */
#include "template/receive.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/str.h"
#include "format/zfsstream.h"
#include "oci/digest.h"
#include "os/clock.h"
#include "os/fd.h"
#include "stream/digest.h"
#include "stream/pump.h"
#include "template/evict.h"
#include "template/guids.h"
#include "template/lease.h"
#include "template/task.h"
#include "template/work.h"

#define COMPONENT     ".transfers"
#define TOKEN         "receive_resume_token"
#define KEEP_SEC      86400u
#define WORD_HEX      40
#define NO_TOKEN      "-"
#define RECEIVE_PROPS 2

/* ---- names and locks ------------------------------------------------------------------- */

static int parent_name(struct imbrex_templates *t, struct zfs_name *ret, struct imbrex_error *err)
{
	return zfs_name_child(ret, &t->fs, COMPONENT, err);
}

static int lock(struct imbrex_templates *t, const char *component, bool wait, int *ret_fd,
	struct imbrex_error *err)
{
	AUTO_FREE char *name = format_text(COMPONENT "/%s", component);

	return name ? lease_lock(t->data_fd, name, wait, ret_fd, err) : fail_nomem(err);
}

/* A component that says nothing and is the same each time; random without a word. */
static int component_of(const char *word, char ret[WORD_HEX + 1], struct imbrex_error *err)
{
	struct hash_value hash;
	char id[ID_HEX_LEN + 1];
	int r = 0;

	if (word)
		r = hash_bytes(HASH_SHA256, word, strlen(word), &hash);
	else
		r = random_id(id);
	if (r < 0)
		return fail_code(err, r, "name a transfer");
	(void)snprintf(ret, WORD_HEX + 1, "%.*s", WORD_HEX, word ? digest_hex(&hash) : id);
	return 0;
}

static int name_of(struct imbrex_templates *t, const char *component, struct zfs_name *ret,
	struct imbrex_error *err)
{
	struct zfs_name parent;
	int r = parent_name(t, &parent, err);

	return r < 0 ? r : zfs_name_child(ret, &parent, component, err);
}

static int prepare(struct imbrex_templates *t, struct imbrex_error *err)
{
	static const struct zfs_property items[] = { { "canmount", "noauto" } };
	const struct zfs_properties props = { items, ARRAY_LEN(items) };
	struct zfs_name parent;
	int r = parent_name(t, &parent, err);

	if (r == 0)
		r = zfs_exists(t->z, &parent, err);
	if (r != 0)
		return r < 0 ? r : 0;
	r = zfs_create(t->z, &parent, &props, err);
	return r == IMBREX_EEXIST ? 0 : r;
}

/* ---- what is there --------------------------------------------------------------------- */

/* NULL if it cannot go on, or is not there. */
static int token_of(struct imbrex_templates *t, const struct zfs_name *name, char **ret,
	struct imbrex_error *err)
{
	AUTO_FREE char *token = NULL;
	int r = zfs_get(t->z, name, TOKEN, &token, NULL, err);

	*ret = NULL;
	if (r == IMBREX_ENOENT)
		return 0;
	if (r == 0 && zfs_token_is_valid(token))
		*ret = take_ptr(token);
	return r;
}

int receive_token(
	struct imbrex_templates *t, const char *word, char **ret, struct imbrex_error *err)
{
	char component[WORD_HEX + 1];
	struct zfs_name name;
	int r = component_of(word, component, err);

	if (r == 0)
		r = name_of(t, component, &name, err);
	return r < 0 ? r : token_of(t, &name, ret, err);
}

int receive_forget(struct imbrex_templates *t, const char *word, struct imbrex_error *err)
{
	char component[WORD_HEX + 1];
	AUTO_CLOSE int fd = -EBADF;
	struct zfs_name name;
	int r = component_of(word, component, err);

	if (r == 0)
		r = name_of(t, component, &name, err);
	if (r == 0)
		r = lock(t, component, /* wait= */ true, &fd, err);
	return r < 0 ? r : template_destroy(t, &name, err);
}

/* ---- leftovers ------------------------------------------------------------------------- */

static int is_old(struct imbrex_templates *t, const struct zfs_name *name)
{
	AUTO_FREE char *created = NULL;
	struct timespec now;
	uint64_t sec;

	if (zfs_get(t->z, name, "creation", &created, NULL, NULL) < 0)
		return false;
	now_realtime(&now);
	sec = evict_parse_seconds(created);
	return sec && (uint64_t)now.tv_sec > sec && (uint64_t)now.tv_sec - sec > KEEP_SEC;
}

static int sweep_one(void *ctx, const struct zfs_child *child, struct imbrex_error *err)
{
	struct imbrex_templates *t = ctx;
	AUTO_FREE char *token = NULL;
	AUTO_CLOSE int fd = -EBADF;
	struct zfs_name parent, name;
	const char *component;
	int r = parent_name(t, &parent, err);

	component = r == 0 ? zfs_name_below(child->name, &parent) : NULL;
	if (!component || strlen(component) != WORD_HEX)
		return r;
	r = name_of(t, component, &name, err);
	if (r == 0)
		r = lock(t, component, /* wait= */ false, &fd, err);
	if (r <= 0)
		return r; /* somebody is at it */
	r = token_of(t, &name, &token, err);
	if (r < 0 || (token && !is_old(t, &name)))
		return r;
	/* Best effort: the next one tries again. */
	(void)!template_destroy(t, &name, NULL);
	return 0;
}

int receive_sweep(struct imbrex_templates *t, struct imbrex_error *err)
{
	struct zfs_name parent;
	int r = parent_name(t, &parent, err);

	if (r == 0)
		r = zfs_children(t->z, &parent, NULL, sweep_one, t, err);
	return r == IMBREX_ENOENT ? 0 : r;
}

/* ---- the end of the chain: zfs receive ------------------------------------------------- */

struct intake {
	struct sink sink;
	struct imbrex_templates *t;
	struct receive_job *job;
	char component[WORD_HEX + 1];
	struct zfs_name name, snapshot, origin;
	char lease[LEASE_TEXT_BYTES];
	struct zfs_property props[RECEIVE_PROPS];
	struct zfs_receive_opts opts;
	int write_fd, read_fd; /* owned */
	struct task task;
	bool resumed;
	bool broken; /* zfs receive has ended before the stream */
	char *key;   /* ID_HEX_LEN + 1; borrowed */
	struct hash_value hash;
};

static int receive(void *ctx, struct imbrex_error *err)
{
	struct intake *in = ctx;
	int r = zfs_receive(in->t->z, &in->snapshot, in->read_fd, &in->opts, err);

	/* Whoever writes is told. */
	in->read_fd = close_fd(in->read_fd);
	return r;
}

static int find_origin(struct intake *in, uint64_t guid, struct imbrex_error *err)
{
	int r = guids_find(in->t, guid, &in->origin, err);

	if (r == 0)
		return fail(err, IMBREX_ENOENT,
			"ZFS stream: it is a difference to a snapshot (GUID %" PRIu64
			") that is not here",
			guid);
	if (r > 0)
		in->props[in->opts.props.n++] = (struct zfs_property){ "origin", in->origin.text };
	return r < 0 ? r : 0;
}

/* What is to be received is known; nothing of it has passed. */
static int begin(void *ctx, const struct zfs_begin *b, struct imbrex_error *err)
{
	struct intake *in = ctx;
	int r = zfs_exists(in->t->z, &in->name, err);
	bool there = r > 0;

	if (r < 0)
		return r;
	in->resumed = (b->features & ZFS_FEATURE_RESUMING) != 0;
	if (in->resumed && !there)
		return fail(err, IMBREX_ENOENT,
			"ZFS stream: it goes on where another one was cut, which is not here");
	in->opts.props.items = in->props;
	if (!in->resumed) {
		r = there ? template_destroy(in->t, &in->name, err) : 0;
		in->props[in->opts.props.n++] = (struct zfs_property){ LEASE_PROPERTY, in->lease };
		if (r == 0 && b->from_guid)
			r = find_origin(in, b->from_guid, err);
	}
	if (r < 0)
		return r;
	in->job->begun = true;
	return task_start(&in->task, receive, in, err);
}

static int intake_write(struct sink *s, const void *buf, size_t len, struct imbrex_error *err)
{
	struct intake *in = CONTAINER_OF(s, struct intake, sink);
	int r = write_all(in->write_fd, buf, len);

	in->broken = r < 0;
	return r < 0 ? fail_code(err, r, "write to zfs receive") : 0;
}

static int intake_finish(struct sink *s, struct imbrex_error *err)
{
	struct intake *in = CONTAINER_OF(s, struct intake, sink);

	in->write_fd = close_fd(in->write_fd);
	return task_join(&in->task, err);
}

/* What it lives in is its maker's. */
static void intake_free(struct sink *s)
{
	struct intake *in = CONTAINER_OF(s, struct intake, sink);

	in->write_fd = close_fd(in->write_fd);
	(void)task_join(&in->task, NULL);
	in->read_fd = close_fd(in->read_fd);
}

static const struct sink_ops intake_ops = {
	.name = "zfs receive",
	.write = intake_write,
	.finish = intake_finish,
	.free = intake_free,
};

/* ---- one stream ------------------------------------------------------------------------ */

static int make_chain(struct intake *in, struct sink **ret, struct imbrex_error *err)
{
	AUTO_SINK struct sink *digest = NULL;
	struct sink *end = &in->sink;
	int fds[2];
	int r;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return fail_errno(err, "make a pipe");
	in->read_fd = fds[0];
	in->write_fd = fds[1];
	in->sink.ops = &intake_ops;
	r = digest_sink_new(HASH_SHA256, NULL, &in->hash, end, &digest, err);
	if (r < 0) {
		sink_free(end);
		return r;
	}
	r = zfs_stream_sink_new(begin, in, digest, ret, err);
	if (r == 0)
		digest = NULL;
	return r;
}

static int pass(struct intake *in, struct imbrex_error *err)
{
	struct imbrex_error why = { 0 };
	struct sink *chain = NULL;
	int r = make_chain(in, &chain, &why);

	if (r == 0)
		r = pump_fd(in->job->fd, chain, UINT64_MAX, &why);
	if (r == 0 && in->job->at_end)
		r = in->job->at_end(in->job->ctx, &why);
	if (r == 0)
		r = sink_finish(chain, &why);
	sink_free(chain);
	/* What it complains of is why it does not read on. */
	if (in->broken && in->task.r < 0) {
		r = in->task.r;
		why = in->task.err;
	}
	if (r < 0 && err)
		*err = why;
	return r;
}

/* A stream that came in two pieces has no hash of its own: its template gets a key that no other
 * has. */
static int choose_key(struct intake *in, struct imbrex_error *err)
{
	struct hash_value hash = in->hash;
	AUTO_FREE char *text = NULL;
	char id[ID_HEX_LEN + 1];
	int r = 0;

	if (in->resumed) {
		r = random_id(id);
		text = format_text("resumed %s %s", id, digest_hex(&in->hash));
		if (r == 0)
			r = text ? hash_bytes(HASH_SHA256, text, strlen(text), &hash) : -ENOMEM;
	}
	if (r < 0)
		return fail_code(err, r, "name a template");
	(void)snprintf(in->key, ID_HEX_LEN + 1, "%s", digest_hex(&hash));
	return 0;
}

static int publish(struct intake *in, struct imbrex_error *err)
{
	const struct template_start start = { .receive = true };
	AUTO_WORK w = TEMPLATE_WORK_INIT;
	int r = choose_key(in, err);

	if (r == 0)
		r = template_work_begin(&w, in->t, &in->t->templates, in->key, &start, err);
	if (r > 0)
		return template_destroy(in->t, &in->name, err);
	if (r < 0)
		return r;
	/* Of whoever received the first half, perhaps. */
	if (in->resumed)
		template_set(in->t, &in->name, LEASE_PROPERTY, w.lease);
	r = zfs_rename(in->t->z, &in->name, &w.name, err);
	if (r < 0)
		return r;
	w.made = true;
	return template_work_commit(&w, err);
}

/* Kept only if it can go on. */
static void give_up(struct intake *in)
{
	AUTO_FREE char *token = NULL;

	if (!in->job->begun)
		return;
	if (in->job->word && token_of(in->t, &in->name, &token, NULL) == 0 && token) {
		template_note(in->t, IMBREX_NOTE_INFO,
			"What has come is kept for a day: the same command goes on");
		return;
	}
	(void)!template_destroy(in->t, &in->name, NULL);
}

static int run(void *ctx, struct imbrex_error *err)
{
	struct intake *in = ctx;
	AUTO_CLOSE int fd = -EBADF;
	int r = component_of(in->job->word, in->component, err);

	if (r == 0)
		r = name_of(in->t, in->component, &in->name, err);
	if (r == 0)
		r = zfs_name_snapshot(&in->snapshot, &in->name, in->t->templates.snapshot, err);
	if (r == 0)
		r = lease_mine(in->lease, err);
	if (r == 0)
		r = prepare(in->t, err);
	if (r == 0)
		r = lock(in->t, in->component, /* wait= */ true, &fd, err);
	if (r < 0)
		return r;
	in->opts.resumable = in->job->word != NULL;
	r = pass(in, err);
	if (r == 0)
		r = publish(in, err);
	if (r < 0)
		give_up(in);
	return r;
}

int receive_template(struct imbrex_templates *t, struct receive_job *job,
	char ret_key[ID_HEX_LEN + 1], struct imbrex_error *err)
{
	struct intake in = {
		.t = t, .job = job, .key = ret_key, .write_fd = -EBADF, .read_fd = -EBADF
	};

	job->begun = false;
	return task_run(run, &in, err);
}
