/* SPDX-License-Identifier: Apache-2.0 */
/* Facts into records and out of them; see the header. */
#include "store/layer_facts.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/str.h"

static int copy_ids(const uint32_t *ids, size_t n, const uint32_t **ret)
{
	uint32_t *copy = NULL;

	if (n) {
		copy = reallocarray(NULL, n, sizeof(*copy));
		if (!copy)
			return -ENOMEM;
		memcpy(copy, ids, n * sizeof(*copy));
	}
	*ret = copy;
	return 0;
}

int layer_facts_copy(
	const struct layer_facts *from, struct layer_facts *ret, struct imbrex_error *err)
{
	struct layer_facts copy = *from;

	copy.uids = copy.gids = NULL;
	if (copy_ids(from->uids, from->n_uids, &copy.uids) < 0 ||
		copy_ids(from->gids, from->n_gids, &copy.gids) < 0) {
		layer_facts_done(&copy);
		return fail_nomem(err);
	}
	*ret = copy;
	return 0;
}

void layer_facts_done(struct layer_facts *f)
{
	free((void *)(uintptr_t)f->uids);
	free((void *)(uintptr_t)f->gids);
	f->uids = f->gids = NULL;
	f->n_uids = f->n_gids = 0;
}

static int set_digest(struct table *t, size_t index, int field, const struct hash_value *value,
	struct imbrex_error *err)
{
	char text[HASH_TEXT_MAX];

	return record_set_text(t, index, field, hash_format(value, text), err);
}

/* Zero is told by absence, as Go leaves it out. */
static int set_number(
	struct table *t, size_t index, int field, uint64_t value, struct imbrex_error *err)
{
	AUTO_FREE char *text = format_text("%llu", (unsigned long long)value);

	if (!text)
		return fail_nomem(err);
	return record_set(t, index, field, value ? text : NULL, err);
}

static int set_ids(struct table *t, size_t index, int field, const uint32_t *ids, size_t n,
	struct imbrex_error *err)
{
	AUTO_STR text = STR_INIT(LIMIT_RECORDS_BYTES);
	size_t i;
	int r = 0;

	for (i = 0; r == 0 && i < n; i++)
		r = str_printf(&text, "%c%u", i ? ',' : '[', ids[i]);
	if (r < 0 || str_putc(&text, ']') < 0)
		return fail_nomem(err);
	return record_set(t, index, field, n ? str_text(&text) : NULL, err);
}

static const int fact_fields[LAYER_N_FACTS] = { LAYER_COMPRESSED_DIGEST, LAYER_COMPRESSED_SIZE,
	LAYER_DIFF_DIGEST, LAYER_TOC_DIGEST, LAYER_DIFF_SIZE, LAYER_COMPRESSION, LAYER_UIDSET,
	LAYER_GIDSET };

void layer_facts_text_done(struct layer_facts_text *text)
{
	size_t i;

	for (i = 0; i < LAYER_N_FACTS; i++)
		free(take_ptr(text->values[i]));
}

int layer_facts_take(
	struct table *t, size_t index, struct layer_facts_text *ret, struct imbrex_error *err)
{
	int r = 0, found = 0;
	size_t i;

	for (i = 0; r == 0 && i < LAYER_N_FACTS; i++) {
		struct json_span raw = record_raw(table_at(t, index), fact_fields[i]);

		if (!raw.len)
			continue;
		found = 1;
		ret->values[i] = strndup(raw.at, raw.len);
		if (!ret->values[i])
			return fail_nomem(err);
		r = record_set(t, index, fact_fields[i], NULL, err);
	}
	return r < 0 ? r : found;
}

int layer_facts_put(struct table *t, size_t index, const struct layer_facts_text *text,
	struct imbrex_error *err)
{
	int r = 0, found = 0;
	size_t i;

	for (i = 0; r == 0 && i < LAYER_N_FACTS; i++) {
		if (!text->values[i])
			continue;
		found = 1;
		r = record_set(t, index, fact_fields[i], text->values[i], err);
	}
	return r < 0 ? r : found;
}

int layer_facts_record(
	struct table *t, size_t index, const struct layer_facts *f, struct imbrex_error *err)
{
	int r;

	r = record_set(t, index, LAYER_TOC_DIGEST, NULL, err);
	if (r < 0)
		return r;
	r = set_digest(t, index, LAYER_COMPRESSED_DIGEST,
		hash_is_set(&f->compressed_digest) ? &f->compressed_digest : &f->diff_digest, err);
	if (r == 0)
		r = set_number(t, index, LAYER_COMPRESSED_SIZE, f->compressed_bytes, err);
	if (r == 0)
		r = set_digest(t, index, LAYER_DIFF_DIGEST, &f->diff_digest, err);
	if (r == 0)
		r = set_number(t, index, LAYER_DIFF_SIZE, f->diff_bytes, err);
	if (r == 0)
		r = set_number(t, index, LAYER_COMPRESSION, (uint64_t)f->compression, err);
	if (r == 0)
		r = set_ids(t, index, LAYER_UIDSET, f->uids, f->n_uids, err);
	if (r == 0)
		r = set_ids(t, index, LAYER_GIDSET, f->gids, f->n_gids, err);
	return r;
}
