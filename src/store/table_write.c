/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table's records on their way to a file. Neighbours that still lie one comma apart in the file
 * they came from are one piece; a piece that is not in memory is copied from file to file.
 */
#include "store/record.h"

#include <fcntl.h>
#include <string.h>

#include "base/limits.h"
#include "os/fd.h"

/* Copied at once, and then sent to the disk while the next is copied. */
#define PIECE_BYTES (2u * 1024 * 1024)

/* Records that are written as one. */
struct run {
	const char *owned; /* text of a changed record; NULL: it is in the file */
	uint64_t at;       /* offset in the file */
	uint64_t len;
	size_t first;
	size_t end; /* number behind the last record */
};

static const struct record *changed_record(const struct table *t, size_t number)
{
	return number < t->n_seen && t->seen[number] && t->seen[number]->owned ? t->seen[number]
									       : NULL;
}

/* The next run of a place at or behind number `from`. */
static bool next_run(const struct table *t, enum record_place place, size_t from, struct run *ret)
{
	const struct index_entry *entries = t->index.entries;
	const size_t n = t->index.c.n_entries;
	const struct record *changed;
	size_t i = from;

	while (i < n && (!entries[i].len || entries[i].place != place))
		i++;
	if (i == n)
		return false;
	changed = changed_record(t, i);
	*ret = (struct run){
		.owned = changed ? changed->text : NULL,
		.at = entries[i].at,
		.len = entries[i].len,
		.first = i,
		.end = i + 1,
	};
	for (i++; !changed && i < n; i++) {
		if (!entries[i].len || entries[i].place != place || changed_record(t, i) ||
			entries[i].at != ret->at + ret->len + 1)
			break;
		ret->len += entries[i].len + 1;
		ret->end = i + 1;
	}
	return true;
}

/* An index that was made here, or proven, says nothing else. */
static bool is_there(const struct table_text *text, const struct run *run)
{
	return run->owned || (run->at <= text->len && run->len <= text->len - run->at);
}

/* ---- into memory ----------------------------------------------------------------------- */

int table_format(struct table *t, enum record_place place, struct str *ret)
{
	const struct table_text *text = &t->texts[place];
	bool first = true;
	size_t at = 0;
	struct run run;
	int r;

	r = table_read(t, place, NULL);
	if (r < 0)
		return r;
	r = str_putc(ret, '[');
	for (; r == 0 && next_run(t, place, at, &run); at = run.end) {
		if (!is_there(text, &run))
			return IMBREX_EFORMAT;
		if (!first)
			r = str_putc(ret, ',');
		if (r == 0)
			r = str_append(ret, run.owned ? run.owned : text->data + run.at, run.len);
		first = false;
	}
	for (at = 0; r == 0 && at < t->aside[place].n; at++, first = false) {
		r = first ? 0 : str_putc(ret, ',');
		if (r == 0)
			r = str_puts(ret, t->aside[place].items[at]);
	}
	if (r == 0)
		r = str_putc(ret, ']');
	return r < 0 ? IMBREX_ENOMEM : 0;
}

/* ---- into a file ----------------------------------------------------------------------- */

struct writer {
	int fd;
	bool early;
	uint64_t sent; /* offset up to which writing to the disk was begun */
	uint64_t at;   /* offset of what is in buf */
	struct str buf;
};

static void send_early(struct writer *w)
{
	/* A hint only: what counts is the sync at the end, which finds less to do. */
	if (w->early)
		(void)sync_file_range(
			w->fd, (off_t)w->sent, (off_t)(w->at - w->sent), SYNC_FILE_RANGE_WRITE);
	w->sent = w->at;
}

static int flush(struct writer *w)
{
	int r = w->buf.len ? write_all(w->fd, w->buf.data, w->buf.len) : 0;

	if (r < 0)
		return r;
	w->at += w->buf.len;
	str_clear(&w->buf);
	if (w->at - w->sent >= PIECE_BYTES)
		send_early(w);
	return 0;
}

static int put(struct writer *w, const char *text, size_t len)
{
	int r;

	/* Small pieces are gathered. */
	if (len < PIECE_BYTES / 4) {
		r = str_append(&w->buf, text, len);
		return r == 0 && w->buf.len >= PIECE_BYTES / 4 ? flush(w) : r;
	}
	r = flush(w);
	while (r == 0 && len) {
		size_t n = MIN(len, PIECE_BYTES);

		r = write_all(w->fd, text, n);
		text += n;
		len -= n;
		w->at += n;
		if (r == 0)
			send_early(w);
	}
	return r;
}

static int copy(struct writer *w, int from, uint64_t at, uint64_t len)
{
	int r = flush(w);

	if (r == 0 && lseek(from, (off_t)at, SEEK_SET) < 0)
		r = -errno;
	while (r == 0 && len) {
		uint64_t n = MIN(len, (uint64_t)PIECE_BYTES);

		r = copy_fd_range(from, w->fd, n);
		len -= n;
		w->at += n;
		if (r == 0)
			send_early(w);
	}
	return r;
}

static int write_run(struct writer *w, const struct table_text *text, const struct run *run)
{
	if (!is_there(text, run))
		return -ENODATA;
	if (run->owned)
		return put(w, run->owned, run->len);
	if (!text->have)
		return put(w, text->data + run->at, run->len);
	return copy(w, text->fd, run->at, run->len);
}

/* Where each record of the run lies, now that the run begins at `at`. */
static void place_run(struct table *t, const struct run *run, uint64_t at)
{
	size_t i;

	for (i = run->first; i < run->end; i++) {
		if (t->index.entries[i].len)
			t->saved_at[i] =
				(uint32_t)(at +
					   (run->owned ? 0 : t->index.entries[i].at - run->at));
	}
}

/* The first time, the other places' records are where the index says. */
static int remember_places(struct table *t)
{
	const size_t n = t->index.c.n_entries;
	uint32_t *saved_at = reallocarray(NULL, n + 1, sizeof(*saved_at));
	size_t i;

	if (!saved_at)
		return -ENOMEM;
	for (i = 0; i < n; i++)
		saved_at[i] = i < t->n_saved ? t->saved_at[i] : t->index.entries[i].at;
	free(t->saved_at);
	t->saved_at = saved_at;
	t->n_saved = n;
	return 0;
}

static int write_runs(struct table *t, enum record_place place, struct writer *w)
{
	struct table_text *text = &t->texts[place];
	struct run run;
	size_t from = 0;
	size_t i;
	int r = 0;

	/*
	 * A file begins as it began, mostly; from byte 0 on a file system that can do so shares
	 * blocks instead of copying them.
	 */
	if (next_run(t, place, 0, &run) && !run.owned && run.at == 1 && text->have &&
		is_there(text, &run)) {
		r = copy(w, text->fd, 0, 1 + run.len);
		place_run(t, &run, 1);
		from = run.end;
	} else {
		r = str_putc(&w->buf, '[');
	}
	for (; r == 0 && next_run(t, place, from, &run); from = run.end) {
		if (w->at + w->buf.len > 1)
			r = str_putc(&w->buf, ',');
		place_run(t, &run, w->at + w->buf.len);
		if (w->at + w->buf.len + run.len >= LIMIT_RECORDS_BYTES)
			return -EOVERFLOW;
		if (r == 0)
			r = write_run(w, text, &run);
	}
	for (i = 0; r == 0 && i < t->aside[place].n; i++) {
		r = w->at + w->buf.len > 1 ? str_putc(&w->buf, ',') : 0;
		if (r == 0)
			r = put(w, t->aside[place].items[i], strlen(t->aside[place].items[i]));
	}
	if (r == 0)
		r = str_putc(&w->buf, ']');
	return r < 0 ? r : flush(w);
}

int table_write(struct table *t, enum record_place place, int fd, bool early)
{
	struct writer w = { .fd = fd, .early = early, .buf = STR_INIT(2 * PIECE_BYTES) };
	int r;

	r = remember_places(t);
	if (r == 0)
		r = write_runs(t, place, &w);
	str_done(&w.buf);
	return r;
}
