/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ring of slots. The caller reads packed bytes into the slot at `head` and takes unpacked ones
 * from the slot at `tail`; threads work on those between that are READY, oldest first.
 *
 *   FREE -put-> READY -thread-> WORKING -> DONE -get-> FREE
 *          `--> DONE (nothing to decompress, or no threads)
 *
 * (1) `state` of a slot is read and changed under the lock; its buffers belong to whoever moved it
 *     to its state. (2) Only the caller moves head and tail.
 */
#include "format/squashfs/unpacker.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "stream/thread.h"

#define THREADS_MAX      64
#define SLOTS_PER_THREAD 4

enum slot_state {
	SLOT_FREE = 0,
	SLOT_READY,
	SLOT_WORKING,
	SLOT_DONE
};

struct slot {
	enum slot_state state;
	uint8_t *packed, *unpacked; /* owned; made when first needed */
	uint32_t packed_len;
	uint32_t unpacked_len; /* wanted */
	int result;            /* of the compressor, when DONE */
};

struct worker {
	struct unpacker *unpacker;
	sqfs_compressor_t *cmp; /* owned */
	pthread_t thread;
};

struct unpacker {
	struct file_bridge *file; /* borrowed */
	size_t block_bytes;
	sqfs_compressor_t *cmp; /* owned; the caller's own */
	struct slot *slots;     /* owned */
	size_t n_slots, head, n_used;
	struct worker *workers; /* owned */
	size_t n_workers, n_started;
	pthread_mutex_t lock;
	pthread_cond_t ready, done;
	bool stop; /* under the lock */
};

static void unpack(sqfs_compressor_t *cmp, struct slot *s)
{
	s->result = cmp->do_block(cmp, s->packed, s->packed_len, s->unpacked, s->unpacked_len);
}

/* The oldest slot that waits, or NULL. Under the lock. */
static struct slot *next_ready(struct unpacker *u)
{
	size_t i;

	for (i = 0; i < u->n_used; i++) {
		struct slot *s = &u->slots[(u->head + u->n_slots - u->n_used + i) % u->n_slots];

		if (s->state == SLOT_READY)
			return s;
	}
	return NULL;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct unpacker *u = w->unpacker;
	struct slot *s;

	(void)pthread_mutex_lock(&u->lock);
	while (!u->stop) {
		s = next_ready(u);
		if (!s) {
			(void)pthread_cond_wait(&u->ready, &u->lock);
			continue;
		}
		s->state = SLOT_WORKING;
		(void)pthread_mutex_unlock(&u->lock);
		unpack(w->cmp, s);
		(void)pthread_mutex_lock(&u->lock);
		s->state = SLOT_DONE;
		(void)pthread_cond_signal(&u->done);
	}
	(void)pthread_mutex_unlock(&u->lock);
	return NULL;
}

/* Threads are started when there is work for more than one. Failing to is no failure. */
static void start_workers(struct unpacker *u)
{
	while (u->n_started < u->n_workers) {
		struct worker *w = &u->workers[u->n_started];

		if (thread_start(&w->thread, work, w) < 0) {
			u->n_workers = u->n_started;
			return;
		}
		u->n_started++;
	}
}

int unpacker_new(const struct squashfs_api *api, struct file_bridge *file,
	const sqfs_compressor_config_t *config, unsigned int n_threads, struct unpacker **ret,
	struct imbrex_error *err)
{
	AUTO_UNPACKER *u = calloc(1, sizeof(*u));
	int r;

	if (!u)
		return fail_nomem(err);
	(void)pthread_mutex_init(&u->lock, NULL);
	(void)pthread_cond_init(&u->ready, NULL);
	(void)pthread_cond_init(&u->done, NULL);
	u->file = file;
	u->block_bytes = config->block_size;
	n_threads = MIN(n_threads, (unsigned int)THREADS_MAX);
	u->n_slots = n_threads > 1 ? SLOTS_PER_THREAD * (size_t)n_threads : 1;
	u->slots = calloc(u->n_slots, sizeof(*u->slots));
	u->workers = calloc((size_t)n_threads + 1, sizeof(*u->workers));
	if (!u->slots || !u->workers)
		return fail_nomem(err);
	r = compressor_new(api, config, &u->cmp);
	while (r == 0 && n_threads > 1 && u->n_workers < n_threads) {
		struct worker *w = &u->workers[u->n_workers];

		w->unpacker = u;
		r = compressor_new(api, config, &w->cmp);
		u->n_workers += r == 0;
	}
	if (r)
		return squashfs_fail(err, r, true, "start the decompressor");
	*ret = take_ptr(u);
	return 0;
}

void unpacker_free(struct unpacker *u)
{
	size_t i;

	if (!u)
		return;
	(void)pthread_mutex_lock(&u->lock);
	u->stop = true;
	(void)pthread_cond_broadcast(&u->ready);
	(void)pthread_mutex_unlock(&u->lock);
	for (i = 0; i < u->n_started; i++)
		(void)pthread_join(u->workers[i].thread, NULL);
	for (i = 0; u->workers && i < u->n_workers; i++)
		sqfs_destroy(u->workers[i].cmp);
	for (i = 0; u->slots && i < u->n_slots; i++) {
		free(u->slots[i].packed);
		free(u->slots[i].unpacked);
	}
	sqfs_destroy(u->cmp);
	free(u->workers);
	free(u->slots);
	(void)pthread_cond_destroy(&u->done);
	(void)pthread_cond_destroy(&u->ready);
	(void)pthread_mutex_destroy(&u->lock);
	free(u);
}

bool unpacker_is_full(const struct unpacker *u)
{
	return u->n_used == u->n_slots;
}

static int make_buffers(struct unpacker *u, struct slot *s, struct imbrex_error *err)
{
	if (!s->packed)
		s->packed = malloc(u->block_bytes);
	if (!s->unpacked)
		s->unpacked = malloc(u->block_bytes);
	return s->packed && s->unpacked ? 0 : fail_nomem(err);
}

/* Read the slot's bytes. 1: they must be decompressed. */
static int fill_slot(
	struct unpacker *u, struct slot *s, const struct packed_block *b, struct imbrex_error *err)
{
	uint32_t size = SQFS_ON_DISK_BLOCK_SIZE(b->size);
	bool is_packed = SQFS_IS_BLOCK_COMPRESSED(b->size);
	int r;

	assert(b->out_size > 0 && b->out_size <= u->block_bytes);
	if (size > u->block_bytes || (!is_packed && size && size != b->out_size))
		return fail(err, IMBREX_EFORMAT,
			"squashfs: a data block has %u bytes, where %u are expected", size,
			b->out_size);
	r = make_buffers(u, s, err);
	if (r < 0)
		return r;
	s->packed_len = size;
	s->unpacked_len = b->out_size;
	s->result = (int)b->out_size;
	if (size == 0) {
		memset(s->unpacked, 0, b->out_size);
		return 0;
	}
	r = u->file->base.read_at(
		&u->file->base, b->offset, is_packed ? s->packed : s->unpacked, size);
	if (r)
		return file_bridge_fail(err, u->file, r, true, "read a data block");
	return is_packed;
}

int unpacker_put(struct unpacker *u, const struct packed_block *b, struct imbrex_error *err)
{
	struct slot *s = &u->slots[u->head];
	int r;

	assert(!unpacker_is_full(u) && s->state == SLOT_FREE);
	r = fill_slot(u, s, b, err);
	if (r < 0)
		return r;
	/* The first of several is worth a thread only if another follows. */
	if (r > 0 && u->n_used > 0)
		start_workers(u);
	if (r > 0 && u->n_workers == 0)
		unpack(u->cmp, s);
	(void)pthread_mutex_lock(&u->lock);
	s->state = r > 0 && u->n_workers > 0 ? SLOT_READY : SLOT_DONE;
	u->head = (u->head + 1) % u->n_slots;
	u->n_used++;
	if (s->state == SLOT_READY)
		(void)pthread_cond_signal(&u->ready);
	(void)pthread_mutex_unlock(&u->lock);
	return 0;
}

int unpacker_get(struct unpacker *u, const uint8_t **ret, size_t *ret_len, struct imbrex_error *err)
{
	struct slot *s;
	bool mine;

	if (u->n_used == 0)
		return 0;
	s = &u->slots[(u->head + u->n_slots - u->n_used) % u->n_slots];
	(void)pthread_mutex_lock(&u->lock);
	/* Nobody has begun with it: quicker done here than handed over. */
	mine = s->state == SLOT_READY;
	if (mine)
		s->state = SLOT_WORKING;
	while (!mine && s->state != SLOT_DONE)
		(void)pthread_cond_wait(&u->done, &u->lock);
	(void)pthread_mutex_unlock(&u->lock);
	if (mine)
		unpack(u->cmp, s);
	(void)pthread_mutex_lock(&u->lock);
	s->state = SLOT_FREE;
	u->n_used--;
	(void)pthread_mutex_unlock(&u->lock);
	if (s->result < 0)
		return squashfs_fail(err, s->result, true, "unpack a data block");
	if ((uint32_t)s->result != s->unpacked_len)
		return fail(err, IMBREX_EFORMAT,
			"squashfs: a data block unpacks to %d bytes, where %u are expected",
			s->result, s->unpacked_len);
	*ret = s->unpacked;
	*ret_len = s->unpacked_len;
	return 1;
}
