/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One element of a damaged table after the other; see the header. Behind damage the next element is
 * where the text looks like the beginning of a record: every writer begins one with its id.
 */
#include "store/salvage.h"

#include <string.h>

#include "base/limits.h"
#include "json/scan.h"

#define RECORD_BEGINS "{\"id\":"

struct cursor {
	const char *at;
	const char *end;
};

static bool is_between(char c)
{
	return c == ',' || c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* One whole value at the cursor. */
static bool take_value(struct cursor *c, struct json_span *ret)
{
	struct json_scan s;

	json_scan_init(&s, c->at, (size_t)(c->end - c->at));
	if (json_scan_skip(&s, ret, NULL) < 0 || !ret->len)
		return false;
	c->at = ret->at + ret->len;
	return true;
}

static bool find_record(struct cursor *c)
{
	const char *found = NULL;

	if (c->end - c->at > 1)
		found = memmem(c->at + 1, (size_t)(c->end - c->at - 1), RECORD_BEGINS,
			strlen(RECORD_BEGINS));
	c->at = found ? found : c->end;
	return found != NULL;
}

static int add_record(struct table *t, struct json_span text, enum record_place place,
	struct salvage *ret, struct imbrex_error *err)
{
	struct json_span id;
	size_t last;
	int r;

	r = table_append(t, text.at, text.len, place, err);
	if (r < 0)
		return r;
	last = table_slots(t) - 1;
	id = record_plain(table_at(t, last), RECORD_ID);
	if (id.len && table_find_id(t, id.at, id.len) != (ptrdiff_t)last) {
		r = strv_addf(
			&t->odd, "%s %.*s is recorded twice", t->type->noun, (int)id.len, id.at);
		table_remove(t, last);
		return r < 0 ? fail_nomem(err) : 0;
	}
	ret->n_records++;
	return 0;
}

/* The members of the object at the cursor that are whole, as an object of their own. */
static int whole_members(const struct cursor *c, struct str *to)
{
	const char *end = NULL;
	struct json_span key;
	struct json_span value;
	struct json_scan s;
	int r;

	json_scan_init(&s, c->at, (size_t)(c->end - c->at));
	r = json_scan_object_begin(&s, NULL);
	while (r >= 0 && json_scan_object_next(&s, &key, NULL) > 0) {
		if (json_scan_skip(&s, &value, NULL) < 0)
			break;
		/* A number that the text ends in may be the beginning of a longer one. */
		if (value.at + value.len == c->end)
			break;
		end = value.at + value.len;
	}
	if (!end)
		return 0;
	r = str_append(to, c->at, (size_t)(end - c->at));
	return r < 0 ? r : str_putc(to, '}');
}

/* A layer's record can be made again from what lies in its directory, those of others cannot. */
static int add_partial(struct table *t, const struct cursor *c, enum record_place place,
	struct salvage *ret, struct imbrex_error *err)
{
	int needed = t->type == &image_records       ? IMAGE_LAYER
		     : t->type == &container_records ? CONTAINER_LAYER
						     : -1;
	AUTO_STR text = STR_INIT(LIMIT_RECORDS_BYTES);
	size_t before = ret->n_records;
	size_t last;
	int r;

	if (needed < 0)
		return 0;
	if (whole_members(c, &text) < 0)
		return fail_nomem(err);
	if (!text.len)
		return 0;
	r = add_record(t, (struct json_span){ .at = text.data, .len = text.len }, place, ret, err);
	if (r < 0 || ret->n_records == before)
		return r;
	last = table_slots(t) - 1;
	if (record_plain(table_at(t, last), RECORD_ID).len &&
		record_plain(table_at(t, last), needed).len) {
		ret->n_partial++;
		return 0;
	}
	table_remove(t, last);
	ret->n_records = before;
	return 0;
}

static int take_element(struct table *t, struct cursor *c, enum record_place place,
	struct salvage *ret, struct imbrex_error *err)
{
	struct json_span value;
	AUTO_FREE char *copy = NULL;
	int r;

	if (!take_value(c, &value)) {
		ret->n_lost++;
		r = *c->at == '{' ? add_partial(t, c, place, ret, err) : 0;
		(void)find_record(c);
		return r;
	}
	if (*value.at == '{')
		return add_record(t, value, place, ret, err);
	if (t->aside[place].n == LIMIT_RECORDS_ASIDE) {
		ret->n_lost++;
		return 0;
	}
	copy = strndup(value.at, value.len);
	return !copy || strv_add(&t->aside[place], copy) < 0 ? fail_nomem(err) : 0;
}

int table_salvage(struct table *t, const char *text, size_t len, enum record_place place,
	struct salvage *ret, struct imbrex_error *err)
{
	struct cursor c = { .at = text, .end = text + len };
	struct salvage found = { 0 };
	bool closed = false;
	int r = 0;

	while (c.at < c.end && is_between(*c.at))
		c.at++;
	if (c.at == c.end || *c.at != '[') {
		found.n_lost++;
		(void)find_record(&c);
	} else {
		c.at++;
	}
	while (r == 0 && c.at < c.end) {
		if (is_between(*c.at)) {
			c.at++;
		} else if (*c.at == ']') {
			closed = true;
			c.at++;
		} else if (closed) {
			found.n_lost++; /* behind the end */
			(void)find_record(&c);
			closed = false;
		} else {
			r = take_element(t, &c, place, &found, err);
		}
	}
	if (r < 0)
		return r;
	found.n_lost += !closed && !found.n_lost;
	*ret = found;
	return 0;
}
