/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Progress of a pull.
 *
 * Invariants: (1) every field is read and written under the mutex; (2) on a terminal the cursor
 * stands at the beginning of the line below the block of `n_drawn` lines, always; (3) progress is
 * advice: without memory an item is not shown, and nothing else happens.
 */
#include "cli/progress.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/str.h"
#include "cli/out.h"

#define REDRAW_NS    100000000   /* at most ten times a second */
#define PLAIN_NS     10000000000 /* a plain line every ten seconds or quarter */
#define RATE_SPAN_NS 3000000000  /* what the rate is averaged over */
#define ITEMS_DRAWN  8           /* unfinished items that are shown one by one */
#define BAR_COLUMNS  24
#define LINE_BYTES   512

enum item_state {
	ITEM_RUNNING = 1,
	ITEM_DONE,
	ITEM_SKIPPED
};

struct item {
	char name[80];
	enum item_state state;
	uint64_t done_bytes, total_bytes; /* total 0: unknown */
	uint64_t said_bytes;              /* at the last plain line */
	int64_t said_ns;
};

struct progress {
	pthread_mutex_t lock;
	enum progress_style style;
	struct item *items; /* owned; in the order of their first event */
	size_t n_items;
	size_t n_drawn;      /* lines of the block that is on the terminal */
	int64_t drawn_ns;    /* 0: never */
	int64_t rate_ns;     /* where the span of the rate begins */
	uint64_t rate_bytes; /* all bytes at that time */
	double rate;         /* bytes a second; 0: not known yet */
	char step[80];       /* what has no size and is done now; "" if nothing */
	bool utf8;
};

static int64_t now_ns(void)
{
	struct timespec ts = { .tv_sec = 0 };

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static struct item *find_item(struct progress *p, const char *name)
{
	struct item *items;
	size_t i;

	for (i = 0; i < p->n_items; i++) {
		if (strncmp(p->items[i].name, name, sizeof(p->items[i].name) - 1) == 0)
			return &p->items[i];
	}
	items = realloc(p->items, (p->n_items + 1) * sizeof(*items));
	if (!items)
		return NULL;
	p->items = items;
	items += p->n_items++;
	*items = (struct item){ .state = ITEM_RUNNING };
	(void)snprintf(items->name, sizeof(items->name), "%s", name);
	return items;
}

/* "12.3 MiB of 80.0 MiB", or only what is there if the whole is not known. */
static void amount(uint64_t done, uint64_t total, char *buf, size_t len)
{
	char a[OUT_WORD_BYTES], b[OUT_WORD_BYTES];

	(void)snprintf(buf, len, "%s%s%s", out_size((int64_t)done, a), total ? " of " : "",
		total ? out_size((int64_t)total, b) : "");
}

static const char *short_name(const char *name, char buf[OUT_WORD_BYTES * 2])
{
	return str_after(name, "sha256:") ? out_id(name, false, buf) : name;
}

/* One line, cut at the width of the terminal. Names and texts may come from outside. */
static void put_line(const char *line, size_t width)
{
	AUTO_STR clean = STR_INIT(LINE_BYTES * 4);
	const char *text;
	size_t i, columns = 0;

	if (out_clean(&clean, line) < 0)
		return;
	text = str_text(&clean);
	for (i = 0; text[i]; i++) {
		if (((unsigned char)text[i] & 0xC0) != 0x80 && columns++ == width - 1)
			break;
	}
	(void)fprintf(stderr, "%.*s\033[K\n", (int)i, text);
}

static void draw_item(const struct progress *p, const struct item *item, size_t width)
{
	const char *full = p->utf8 ? "█" : "#", *empty = p->utf8 ? "░" : "-";
	char id[OUT_WORD_BYTES * 2], bytes[OUT_WORD_BYTES * 2], bar[BAR_COLUMNS * 3 + 1] = "";
	char line[LINE_BYTES];
	size_t filled = 0, i, len = 0;

	if (item->total_bytes)
		filled = (size_t)(BAR_COLUMNS * ((double)MIN(item->done_bytes, item->total_bytes) /
							(double)item->total_bytes));
	for (i = 0; item->total_bytes && i < BAR_COLUMNS; i++)
		len += (size_t)snprintf(
			bar + len, sizeof(bar) - len, "%s", i < filled ? full : empty);
	amount(item->done_bytes, item->total_bytes, bytes, sizeof(bytes));
	(void)snprintf(
		line, sizeof(line), "%-12.40s  %s  %s", short_name(item->name, id), bar, bytes);
	put_line(line, width);
}

/* "3 of 7, 120 MiB of 200 MiB, 35.2 MiB/s, 2 s left" */
static void draw_total(
	const struct progress *p, uint64_t done, uint64_t total, size_t n_ready, size_t width)
{
	char bytes[OUT_WORD_BYTES * 2], rate[OUT_WORD_BYTES], line[LINE_BYTES];
	size_t len;
	uint64_t left_sec;

	amount(done, total, bytes, sizeof(bytes));
	len = (size_t)snprintf(
		line, sizeof(line), "%zu of %zu ready, %s", n_ready, p->n_items, bytes);
	if (p->rate > 0 && len < sizeof(line)) {
		len += (size_t)snprintf(
			line + len, sizeof(line) - len, ", %s/s", out_size((int64_t)p->rate, rate));
		if (total > done && len < sizeof(line)) {
			left_sec = (uint64_t)((double)(total - done) / p->rate) + 1;
			len += (size_t)snprintf(line + len, sizeof(line) - len,
				left_sec < 60 ? ", %" PRIu64 " s left"
					      : ", %" PRIu64 ":%02u min left",
				left_sec < 60 ? left_sec : left_sec / 60,
				(unsigned int)(left_sec % 60));
		}
	}
	if (p->step[0] && len < sizeof(line))
		(void)snprintf(line + len, sizeof(line) - len, ", %s", p->step);
	put_line(line, width);
}

static void erase(struct progress *p)
{
	if (p->n_drawn)
		(void)fprintf(stderr, "\033[%zuA\r\033[J", p->n_drawn);
	p->n_drawn = 0;
}

static void update_rate(struct progress *p, uint64_t done, int64_t now)
{
	int64_t span = now - p->rate_ns;

	if (!p->rate_ns) {
		p->rate_ns = now;
		p->rate_bytes = done;
	} else if (span > RATE_SPAN_NS || (p->rate <= 0 && span > REDRAW_NS * 5)) {
		p->rate = (double)(done - MIN(p->rate_bytes, done)) * 1e9 / (double)span;
		p->rate_ns = now;
		p->rate_bytes = done;
	}
}

static void draw(struct progress *p, bool now_please)
{
	int64_t now = now_ns();
	uint64_t done = 0, total = 0;
	size_t width, i, n = 0, n_ready = 0;

	if (!now_please && p->drawn_ns && now - p->drawn_ns < REDRAW_NS)
		return;
	p->drawn_ns = now;
	width = MAX(out_columns(STDERR_FILENO), (size_t)20);
	for (i = 0; i < p->n_items; i++) {
		if (p->items[i].state != ITEM_SKIPPED) {
			done += p->items[i].done_bytes;
			total += MAX(p->items[i].total_bytes, p->items[i].done_bytes);
		}
		n_ready += p->items[i].state != ITEM_RUNNING;
	}
	update_rate(p, done, now);
	flockfile(stderr);
	if (p->n_drawn)
		(void)fprintf(stderr, "\033[%zuA\r", p->n_drawn);
	for (i = 0; i < p->n_items && n < ITEMS_DRAWN; i++) {
		if (p->items[i].state == ITEM_RUNNING) {
			draw_item(p, &p->items[i], width);
			n++;
		}
	}
	draw_total(p, done, total, n_ready, width);
	(void)fputs("\033[J", stderr);
	(void)fflush(stderr);
	funlockfile(stderr);
	p->n_drawn = n + 1;
}

/* The name, and the text of a NOTE, may come from outside. */
static void say(const char *item, const char *text)
{
	AUTO_STR clean = STR_INIT(LINE_BYTES);
	char id[OUT_WORD_BYTES * 2];
	int r = 0;

	if (item && *item) {
		r = out_clean(&clean, short_name(item, id));
		if (r == 0)
			r = str_puts(&clean, ": ");
	}
	if (r == 0)
		r = out_clean(&clean, text);
	if (r == 0 || r == -EFBIG)
		(void)fprintf(stderr, "%s\n", str_text(&clean));
}

static void plain_event(struct item *item, const struct imbrex_progress *e)
{
	char bytes[OUT_WORD_BYTES * 2], text[LINE_BYTES];
	int64_t now = now_ns();

	amount(e->done_bytes, e->total_bytes, bytes, sizeof(bytes));
	switch (e->kind) {
	case IMBREX_PROGRESS_START:
		if (e->total_bytes)
			amount(e->total_bytes, 0, bytes, sizeof(bytes));
		(void)snprintf(text, sizeof(text), "fetching%s%s", e->total_bytes ? " " : "",
			e->total_bytes ? bytes : "");
		break;
	case IMBREX_PROGRESS_BYTES:
		if (now - item->said_ns < PLAIN_NS &&
			(!e->total_bytes || e->done_bytes >= e->total_bytes ||
				e->done_bytes - item->said_bytes < e->total_bytes / 4))
			return;
		(void)snprintf(text, sizeof(text), "%s", bytes);
		break;
	case IMBREX_PROGRESS_DONE:
		(void)snprintf(text, sizeof(text), "done");
		break;
	case IMBREX_PROGRESS_SKIP:
		(void)snprintf(text, sizeof(text), "already here");
		break;
	case IMBREX_PROGRESS_NOTE:
		return;
	}
	item->said_ns = now;
	item->said_bytes = e->done_bytes;
	say(e->item, text);
}

static void json_event(const struct imbrex_progress *e)
{
	static const char *const names[] = {
		[IMBREX_PROGRESS_START] = "start",
		[IMBREX_PROGRESS_BYTES] = "bytes",
		[IMBREX_PROGRESS_DONE] = "done",
		[IMBREX_PROGRESS_SKIP] = "skip",
		[IMBREX_PROGRESS_NOTE] = "note",
	};

	flockfile(stderr);
	(void)fprintf(stderr, "{\"event\":\"%s\",\"item\":", names[e->kind]);
	json_string(stderr, e->item ? e->item : "");
	if (e->text) {
		(void)fputs(",\"text\":", stderr);
		json_string(stderr, e->text);
	}
	(void)fprintf(stderr, ",\"done_bytes\":%" PRIu64 ",\"total_bytes\":%" PRIu64 "}\n",
		e->done_bytes, e->total_bytes);
	funlockfile(stderr);
}

static void update_item(struct item *item, const struct imbrex_progress *e)
{
	item->done_bytes = e->done_bytes;
	item->total_bytes = e->total_bytes ? e->total_bytes : item->total_bytes;
	if (e->kind == IMBREX_PROGRESS_DONE) {
		item->state = ITEM_DONE;
		item->done_bytes = MAX(item->done_bytes, item->total_bytes);
	} else if (e->kind == IMBREX_PROGRESS_SKIP) {
		item->state = ITEM_SKIPPED;
	} else {
		item->state = ITEM_RUNNING;
	}
}

static void handle(struct progress *p, const struct imbrex_progress *e)
{
	struct item *item;

	if (e->kind < IMBREX_PROGRESS_START || e->kind > IMBREX_PROGRESS_NOTE)
		return;
	if (p->style == PROGRESS_JSON) {
		/* Bytes arrive by the block: ten events a second are enough for anyone. */
		if (e->kind == IMBREX_PROGRESS_BYTES && now_ns() - p->drawn_ns < REDRAW_NS)
			return;
		p->drawn_ns = now_ns();
		json_event(e);
		return;
	}
	p->step[0] = '\0';
	if (e->kind == IMBREX_PROGRESS_NOTE && p->style == PROGRESS_TTY && p->n_items &&
		!(e->item && *e->item)) {
		(void)snprintf(p->step, sizeof(p->step), "%s", e->text ? e->text : "");
	} else if (e->kind == IMBREX_PROGRESS_NOTE) {
		erase(p);
		say(e->item, e->text ? e->text : "");
	} else {
		item = find_item(p, e->item ? e->item : "");
		if (!item)
			return;
		if (p->style == PROGRESS_PLAIN)
			plain_event(item, e);
		update_item(item, e);
	}
	if (p->style == PROGRESS_TTY && p->n_items)
		draw(p, e->kind != IMBREX_PROGRESS_BYTES);
}

struct progress *progress_new(const struct globals *globals)
{
	enum progress_style style = (enum progress_style)globals->progress;
	const char *term = getenv("TERM");
	struct progress *p;

	if (style == PROGRESS_AUTO)
		style = globals->quiet                                           ? PROGRESS_NONE
			: isatty(STDERR_FILENO) && term && !str_eq(term, "dumb") ? PROGRESS_TTY
										 : PROGRESS_PLAIN;
	if (style == PROGRESS_NONE)
		return NULL;
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->style = style;
	p->utf8 = out_is_utf8();
	(void)pthread_mutex_init(&p->lock, NULL);
	return p;
}

void progress_event(void *userdata, const struct imbrex_progress *event)
{
	struct progress *p = userdata;

	(void)pthread_mutex_lock(&p->lock);
	handle(p, event);
	(void)pthread_mutex_unlock(&p->lock);
}

void progress_free(struct progress *p)
{
	if (!p)
		return;
	if (p->style == PROGRESS_TTY)
		erase(p);
	(void)pthread_mutex_destroy(&p->lock);
	free(p->items);
	free(p);
}
