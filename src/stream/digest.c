/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The digest stage: hashes what passes, compares at finish. Hashing costs as much as inflating, so
 * it runs beside the rest of the chain: the helper thread hashes the very buffer that the driving
 * thread is pushing on, and write returns when both are through. Nothing is copied.
 *
 * Invariants
 * (1) Between post() and wait_done() the helper alone touches the hasher; at other times only the
 *     driving thread does.
 * (2) write never returns while the helper reads the borrowed buffer, whatever `next` returned.
 * (3) The helper exists from the first large write on; without it every byte is hashed inline.
 */
#include "stream/digest.h"

#include <assert.h>

#include "stream/thread.h"

/* Below this a hand-over to another thread (two wake-ups, about 10 us) costs more than it saves. */
#define HELPER_MIN_BYTES (16u * 1024u)

enum helper_state {
	HELPER_NONE,    /* not started: no large write yet */
	HELPER_RUNS,    /* thread to be joined */
	HELPER_REFUSED, /* the system gave no thread: inline from now on */
};

struct digest_stage {
	struct sink sink;
	struct sink *next;            /* owned */
	struct hasher *hasher;        /* owned; see (1) */
	struct hash_value expect;     /* valid if has_expect */
	struct hash_value *ret_value; /* borrowed; NULL: nobody asks */
	bool has_expect;

	enum helper_state helper;
	pthread_t thread; /* valid if HELPER_RUNS */
	pthread_mutex_t lock;
	pthread_cond_t posted; /* job or stop was set */
	pthread_cond_t done;   /* job was cleared */
	/* Under lock: */
	const void *job;           /* buffer to hash; NULL: idle */
	size_t job_len;            /* bytes */
	int job_status;            /* of the last job */
	struct imbrex_error error; /* valid if job_status < 0 */
	bool stop;
};

static void *helper_run(void *arg)
{
	struct digest_stage *d = arg;

	(void)pthread_mutex_lock(&d->lock);
	for (;;) {
		int r;

		while (!d->job && !d->stop)
			(void)pthread_cond_wait(&d->posted, &d->lock);
		if (d->stop)
			break;
		(void)pthread_mutex_unlock(&d->lock);
		r = hasher_update(d->hasher, d->job, d->job_len, &d->error);
		(void)pthread_mutex_lock(&d->lock);
		d->job_status = r;
		d->job = NULL;
		(void)pthread_cond_signal(&d->done);
	}
	(void)pthread_mutex_unlock(&d->lock);
	return NULL;
}

static bool helper_ready(struct digest_stage *d)
{
	if (d->helper == HELPER_NONE)
		d->helper =
			thread_start(&d->thread, helper_run, d) < 0 ? HELPER_REFUSED : HELPER_RUNS;
	return d->helper == HELPER_RUNS;
}

static void post(struct digest_stage *d, const void *buf, size_t len)
{
	(void)pthread_mutex_lock(&d->lock);
	assert(!d->job);
	d->job = buf;
	d->job_len = len;
	(void)pthread_cond_signal(&d->posted);
	(void)pthread_mutex_unlock(&d->lock);
}

static int wait_done(struct digest_stage *d)
{
	int r;

	(void)pthread_mutex_lock(&d->lock);
	while (d->job)
		(void)pthread_cond_wait(&d->done, &d->lock);
	r = d->job_status;
	(void)pthread_mutex_unlock(&d->lock);
	return r;
}

static int digest_write(struct sink *s, const void *buf, size_t len, struct imbrex_error *err)
{
	struct digest_stage *d = CONTAINER_OF(s, struct digest_stage, sink);
	int hashed;
	int r;

	if (len < HELPER_MIN_BYTES || !helper_ready(d)) {
		r = hasher_update(d->hasher, buf, len, err);
		if (r < 0)
			return r;
		return sink_write(d->next, buf, len, err);
	}
	post(d, buf, len);
	r = sink_write(d->next, buf, len, err);
	hashed = wait_done(d);
	if (r < 0)
		return r;
	if (hashed < 0 && err)
		*err = d->error;
	return hashed;
}

static int digest_finish(struct sink *s, struct imbrex_error *err)
{
	struct digest_stage *d = CONTAINER_OF(s, struct digest_stage, sink);
	struct hash_value value;
	char expect_text[HASH_TEXT_MAX];
	char text[HASH_TEXT_MAX];
	int r;

	r = hasher_final(d->hasher, &value, err);
	if (r < 0)
		return r;
	if (d->has_expect && !hash_equal(&value, &d->expect))
		return fail(err, IMBREX_EDIGEST, "content is %s but %s was announced",
			hash_format(&value, text), hash_format(&d->expect, expect_text));
	if (d->ret_value)
		*d->ret_value = value;
	return sink_finish(d->next, err);
}

static void helper_stop(struct digest_stage *d)
{
	if (d->helper != HELPER_RUNS)
		return;
	(void)pthread_mutex_lock(&d->lock);
	d->stop = true;
	(void)pthread_cond_signal(&d->posted);
	(void)pthread_mutex_unlock(&d->lock);
	(void)pthread_join(d->thread, NULL);
}

static void digest_free(struct sink *s)
{
	struct digest_stage *d = CONTAINER_OF(s, struct digest_stage, sink);

	helper_stop(d);
	(void)pthread_cond_destroy(&d->done);
	(void)pthread_cond_destroy(&d->posted);
	(void)pthread_mutex_destroy(&d->lock);
	hasher_free(d->hasher);
	sink_free(d->next);
	free(d);
}

static const struct sink_ops digest_ops = {
	.name = "digest",
	.write = digest_write,
	.finish = digest_finish,
	.free = digest_free,
};

int digest_sink_new(enum hash_algorithm algorithm, const struct hash_value *expect,
	struct hash_value *ret_value, struct sink *next, struct sink **ret,
	struct imbrex_error *err)
{
	AUTO_FREE struct digest_stage *d = calloc(1, sizeof(*d));
	int r;

	assert(!expect || expect->algorithm == algorithm);
	if (!d)
		return fail_nomem(err);
	r = hasher_new(algorithm, &d->hasher, err);
	if (r < 0)
		return r;
	d->sink.ops = &digest_ops;
	d->next = next;
	d->ret_value = ret_value;
	if (expect) {
		d->expect = *expect;
		d->has_expect = true;
	}
	/* Default attributes: glibc's initialisers cannot fail. */
	(void)pthread_mutex_init(&d->lock, NULL);
	(void)pthread_cond_init(&d->posted, NULL);
	(void)pthread_cond_init(&d->done, NULL);
	*ret = &take_ptr(d)->sink;
	return 0;
}
