/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bounded ring of blocks between the driving thread (producer) and one consumer thread.
 *
 *	FILLING --finish()--> ENDED --drained--> next finished --> consumer returns
 *	   `------free()----> STOPPED --------------------------> consumer returns
 *
 * Invariants
 * (1) Blocks [head, head + n_full) belong to the consumer, block `tail` (the one after them) to the
 *     producer; so block contents need no lock.
 * (2) The producer touches block `tail` only after it has seen n_full < n_blocks.
 * (3) The consumer calls `next` without the lock, and nothing else calls `next` while it lives.
 * (4) `status` changes once, from 0; after that the consumer never calls `next` again.
 */
#include "stream/queue.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/limits.h"
#include "stream/thread.h"

enum queue_state {
	QUEUE_FILLING,
	QUEUE_ENDED,   /* the producer has posted its last block */
	QUEUE_STOPPED, /* what is queued is to be dropped */
};

struct queue {
	struct sink sink;
	struct sink *next; /* owned */
	size_t n_blocks;
	uint8_t *blocks; /* owned; n_blocks of STREAM_BLOCK_BYTES */
	size_t *lens;    /* owned; bytes in each block, set when posted */
	pthread_t thread;
	bool joined;

	/* Producer only: */
	size_t tail;   /* index of the block being filled */
	size_t n_fill; /* bytes in it */

	pthread_mutex_t lock;
	pthread_cond_t to_consumer;
	pthread_cond_t to_producer;
	/* Under lock: */
	size_t head; /* index of the oldest posted block */
	size_t n_full;
	enum queue_state state;
	int status;                /* of next */
	struct imbrex_error error; /* valid if status < 0 */
};

static uint8_t *block_at(struct queue *q, size_t i)
{
	return q->blocks + i * STREAM_BLOCK_BYTES;
}

/* One call into `next` without the lock, or false when nothing is left to do. Lock held. */
static bool consume(struct queue *q)
{
	bool block;
	int r;

	while (!q->n_full && q->state == QUEUE_FILLING)
		(void)pthread_cond_wait(&q->to_consumer, &q->lock);
	if (q->state == QUEUE_STOPPED)
		return false;
	block = q->n_full > 0;
	(void)pthread_mutex_unlock(&q->lock);
	if (block)
		r = sink_write(q->next, block_at(q, q->head), q->lens[q->head], &q->error);
	else
		r = sink_finish(q->next, &q->error);
	(void)pthread_mutex_lock(&q->lock);
	q->status = MIN(r, 0);
	if (block) {
		q->head = (q->head + 1) % q->n_blocks;
		q->n_full--;
	}
	(void)pthread_cond_signal(&q->to_producer);
	return block && r >= 0;
}

static void *consumer_run(void *arg)
{
	struct queue *q = arg;

	(void)pthread_mutex_lock(&q->lock);
	while (consume(q))
		;
	(void)pthread_mutex_unlock(&q->lock);
	return NULL;
}

static int consumer_failed(struct queue *q, int status, struct imbrex_error *err)
{
	if (err)
		*err = q->error;
	return status;
}

/* Wait until block `tail` is ours. */
static int wait_room(struct queue *q, struct imbrex_error *err)
{
	int r;

	(void)pthread_mutex_lock(&q->lock);
	while (q->n_full == q->n_blocks && !q->status)
		(void)pthread_cond_wait(&q->to_producer, &q->lock);
	r = q->status;
	(void)pthread_mutex_unlock(&q->lock);
	return r < 0 ? consumer_failed(q, r, err) : 0;
}

static void post(struct queue *q)
{
	(void)pthread_mutex_lock(&q->lock);
	q->lens[q->tail] = q->n_fill;
	q->n_full++;
	(void)pthread_cond_signal(&q->to_consumer);
	(void)pthread_mutex_unlock(&q->lock);
	q->tail = (q->tail + 1) % q->n_blocks;
	q->n_fill = 0;
}

static int queue_write(struct sink *s, const void *buf, size_t len, struct imbrex_error *err)
{
	struct queue *q = CONTAINER_OF(s, struct queue, sink);
	const uint8_t *bytes = buf;
	int r;

	while (len) {
		size_t n = MIN(len, STREAM_BLOCK_BYTES - q->n_fill);

		if (q->n_fill == 0) {
			r = wait_room(q, err);
			if (r < 0)
				return r;
		}
		memcpy(block_at(q, q->tail) + q->n_fill, bytes, n);
		q->n_fill += n;
		bytes += n;
		len -= n;
		if (q->n_fill == STREAM_BLOCK_BYTES)
			post(q);
	}
	return 0;
}

static void join(struct queue *q, enum queue_state state)
{
	(void)pthread_mutex_lock(&q->lock);
	q->state = state;
	(void)pthread_cond_signal(&q->to_consumer);
	(void)pthread_mutex_unlock(&q->lock);
	(void)pthread_join(q->thread, NULL);
	q->joined = true;
}

static int queue_finish(struct sink *s, struct imbrex_error *err)
{
	struct queue *q = CONTAINER_OF(s, struct queue, sink);

	if (q->n_fill)
		post(q);
	join(q, QUEUE_ENDED);
	return q->status < 0 ? consumer_failed(q, q->status, err) : 0;
}

static void queue_free(struct sink *s)
{
	struct queue *q = CONTAINER_OF(s, struct queue, sink);

	if (!q->joined)
		join(q, QUEUE_STOPPED);
	(void)pthread_cond_destroy(&q->to_producer);
	(void)pthread_cond_destroy(&q->to_consumer);
	(void)pthread_mutex_destroy(&q->lock);
	sink_free(q->next);
	free(q->lens);
	free(q->blocks);
	free(q);
}

static const struct sink_ops queue_ops = {
	.name = "queue",
	.write = queue_write,
	.finish = queue_finish,
	.free = queue_free,
};

int queue_sink_new(size_t n_blocks, struct sink *next, struct sink **ret, struct imbrex_error *err)
{
	AUTO_FREE struct queue *q = calloc(1, sizeof(*q));
	AUTO_FREE uint8_t *blocks = NULL;
	AUTO_FREE size_t *lens = NULL;
	int r;

	assert(n_blocks > 0);
	blocks = reallocarray(NULL, n_blocks, STREAM_BLOCK_BYTES);
	lens = calloc(n_blocks, sizeof(*lens));
	if (!q || !blocks || !lens)
		return fail_nomem(err);
	q->sink.ops = &queue_ops;
	q->next = next;
	q->n_blocks = n_blocks;
	q->blocks = blocks;
	q->lens = lens;
	/* Default attributes: glibc's initialisers cannot fail. */
	(void)pthread_mutex_init(&q->lock, NULL);
	(void)pthread_cond_init(&q->to_consumer, NULL);
	(void)pthread_cond_init(&q->to_producer, NULL);
	r = thread_start(&q->thread, consumer_run, q);
	if (r < 0)
		return fail_code(err, r, "start a thread");
	blocks = NULL; /* q owns them from here on */
	lens = NULL;
	*ret = &take_ptr(q)->sink;
	return 0;
}
