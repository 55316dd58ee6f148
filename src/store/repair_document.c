/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Documents of images: the same bytes lie under another key, in another image, or at the source;
 * all are known by their digest.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "oci/digest.h"
#include "os/fd.h"
#include "store/bigdata.h"
#include "store/repair.h"

struct wanted {
	const char *key;
	struct hash_value digest; /* not set: nothing says */
	bool is_empty;            /* no bytes */
	struct str data;
};

/* What the key says, or the record. */
static void find_digest(const struct found *f, struct wanted *w)
{
	const char *text = str_after(w->key, "manifest-");
	struct bigdata_facts facts;

	if (!text)
		text = w->key;
	if (digest_parse(text, strlen(text), &w->digest, NULL) < 0)
		w->digest = (struct hash_value){ .algorithm = HASH_NONE };
	if (!bigdata_facts(f, w->key, &facts))
		return;
	if (!hash_is_set(&w->digest))
		w->digest = facts.digest;
	w->is_empty = facts.size == 0;
}

static bool is_it(struct wanted *w)
{
	struct hash_value is;

	if (w->is_empty && !w->data.len)
		return true;
	return hash_is_set(&w->digest) &&
	       hash_bytes(w->digest.algorithm, str_text(&w->data), w->data.len, &is) == 0 &&
	       hash_equal(&is, &w->digest);
}

/* Under any key of an image. 1 found. */
static int search_image(struct repair *r, const struct found *f, struct wanted *w)
{
	AUTO_STRV keys = { 0 };
	size_t i;

	if (record_list(found_record(f), IMAGE_BIG_DATA_NAMES, &keys) < 0)
		return -ENOMEM;
	for (i = 0; i < keys.n; i++) {
		str_clear(&w->data);
		if (bigdata_get(r->s, f->t, f->index, keys.items[i], LIMIT_CONFIG_BYTES, &w->data,
			    NULL) == 0 &&
			is_it(w))
			return 1;
	}
	str_clear(&w->data);
	return 0;
}

static int search_store(struct repair *r, struct wanted *w)
{
	struct found f;
	bool more;
	int e = w->is_empty;

	for (more = store_first(r->s, &image_records, &f); e == 0 && more;
		more = store_next(r->s, &f))
		e = search_image(r, &f, w);
	return e;
}

static int search(struct repair *r, const char *id, struct wanted *w, struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	struct found f;
	int e;

	e = store_hold(r->s, HOLD_IMAGES, &hold, err);
	if (e < 0)
		return e;
	if (!repair_get(r, &image_records, id, &f))
		return 0;
	find_digest(&f, w);
	e = search_store(r, w);
	if (e < 0)
		return fail_nomem(err);
	store_release(&hold);
	if (e == 0 && r->source && hash_is_set(&w->digest)) {
		str_clear(&w->data);
		e = r->source->document(r->source->ctx, &w->digest, &w->data, NULL) == 0 &&
		    is_it(w);
	}
	return e;
}

static int put(struct repair *r, const char *id, const struct wanted *w, struct imbrex_error *err)
{
	const struct bigdata item = {
		.key = w->key, .data = str_text(&w->data), .len = w->data.len
	};
	AUTO_HOLD hold = HOLD_NONE;
	struct found f;
	int e;

	e = repair_hold(r, &hold, err);
	if (e < 0 || !repair_get(r, &image_records, id, &f))
		return e;
	e = bigdata_put(r->s, f.t, f.index, &item, 1, err);
	if (e < 0)
		return e;
	f.t->dirty[found_record(&f)->place] = true;
	return store_save(r->s, f.t, err);
}

int repair_document(struct repair *r, struct imbrex_problem *p, struct imbrex_error *err)
{
	struct wanted w = { .key = p->about, .data = STR_INIT(LIMIT_CONFIG_BYTES) };
	int e;

	e = search(r, p->id, &w, err);
	if (e == 0)
		e = problem_set_action(p, err,
			r->opts->from ? "neither the store nor the source has it"
				      : "the store has no other copy; --from SOURCE can bring it "
					"back");
	else if (e > 0) {
		e = problem_set_action(p, err, "write it again");
		if (e == 0 && !r->dry)
			e = put(r, p->id, &w, err);
		e = e < 0 ? e : 1;
	}
	str_done(&w.data);
	return e;
}
