/* SPDX-License-Identifier: Apache-2.0 */
/* Progress events; see the header. Bytes are reported in steps, not for every write. */
#include "image/progress.h"

#include <stdlib.h>

/* Often enough for a smooth bar, seldom enough to cost nothing. */
#define REPORT_STEP_BYTES (512u * 1024u)

struct progress_sink {
	struct sink sink;
	struct progress *progress; /* borrowed */
	struct sink *next;         /* owned */
	char item[HASH_TEXT_MAX];
	uint64_t done_bytes;
	uint64_t reported_bytes;
	uint64_t total_bytes;
};

void progress_init(struct progress *p, imbrex_progress_fn fn, void *userdata)
{
	p->fn = fn;
	p->userdata = userdata;
	(void)pthread_mutex_init(&p->mutex, NULL);
	atomic_init(&p->canceled, false);
}

void progress_done(struct progress *p)
{
	(void)pthread_mutex_destroy(&p->mutex);
}

static void emit(struct progress *p, const struct imbrex_progress *event)
{
	if (!p->fn)
		return;
	(void)pthread_mutex_lock(&p->mutex);
	p->fn(p->userdata, event);
	(void)pthread_mutex_unlock(&p->mutex);
}

void progress_note(struct progress *p, const char *text)
{
	emit(p, &(struct imbrex_progress){
			.kind = IMBREX_PROGRESS_NOTE, .item = "", .text = text });
}

void progress_skip(struct progress *p, const struct hash_value *item)
{
	char text[HASH_TEXT_MAX];

	emit(p, &(struct imbrex_progress){
			.kind = IMBREX_PROGRESS_SKIP, .item = hash_format(item, text) });
}

void progress_cancel(struct progress *p)
{
	atomic_store(&p->canceled, true);
}

static void report(struct progress_sink *s, enum imbrex_progress_kind kind)
{
	s->reported_bytes = s->done_bytes;
	emit(s->progress, &(struct imbrex_progress){
				  .kind = kind,
				  .item = s->item,
				  .done_bytes = s->done_bytes,
				  .total_bytes = s->total_bytes,
			  });
}

static int watch_write(struct sink *sink, const void *buf, size_t len, struct imbrex_error *err)
{
	struct progress_sink *s = (struct progress_sink *)sink;
	int r;

	if (atomic_load(&s->progress->canceled))
		return fail(err, IMBREX_ECANCELED, "stopped, because another layer failed");
	r = sink_write(s->next, buf, len, err);
	if (r < 0)
		return r;
	s->done_bytes += len;
	if (s->done_bytes - s->reported_bytes >= REPORT_STEP_BYTES)
		report(s, IMBREX_PROGRESS_BYTES);
	return 0;
}

static int watch_finish(struct sink *sink, struct imbrex_error *err)
{
	struct progress_sink *s = (struct progress_sink *)sink;
	int r;

	r = sink_finish(s->next, err);
	if (r == 0)
		report(s, IMBREX_PROGRESS_DONE);
	return r;
}

static void watch_free(struct sink *sink)
{
	struct progress_sink *s = (struct progress_sink *)sink;

	sink_free(s->next);
	free(s);
}

static const struct sink_ops watch_ops = {
	.name = "progress",
	.write = watch_write,
	.finish = watch_finish,
	.free = watch_free,
};

int progress_sink_new(struct progress *p, const struct hash_value *item, uint64_t total_bytes,
	struct sink *next, struct sink **ret, struct imbrex_error *err)
{
	struct progress_sink *s = calloc(1, sizeof(*s));

	if (!s)
		return fail_nomem(err);
	s->sink.ops = &watch_ops;
	s->progress = p;
	s->next = next;
	s->total_bytes = total_bytes;
	(void)hash_format(item, s->item);
	report(s, IMBREX_PROGRESS_START);
	*ret = &s->sink;
	return 0;
}
