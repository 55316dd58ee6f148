/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Progress events of one operation, from many threads to one callback, and the way to stop the
 * siblings of a failed job: every watched stream refuses further bytes once one was canceled.
 * Threading: all functions may be called from any thread.
 */
#ifndef IMAGE_PROGRESS_H
#define IMAGE_PROGRESS_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/hash.h"
#include "imbrex/progress.h"
#include "stream/sink.h"

struct progress {
	imbrex_progress_fn fn; /* may be NULL */
	void *userdata;
	pthread_mutex_t mutex; /* one event at a time */
	atomic_bool canceled;
};

void progress_init(struct progress *p, imbrex_progress_fn fn, void *userdata);
void progress_done(struct progress *p);
void progress_note(struct progress *p, const char *text);
void progress_skip(struct progress *p, const struct hash_value *item);
void progress_cancel(struct progress *p);

/*
 * A stage that reports what passes as progress of `item`, and fails with ECANCELED once the
 * operation was canceled. Takes `next` on success.
 */
int progress_sink_new(struct progress *p, const struct hash_value *item, uint64_t total_bytes,
	struct sink *next, struct sink **ret, struct imbrex_error *err) MUST_CHECK;

#endif
