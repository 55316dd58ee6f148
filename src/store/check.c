/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is the store consistent? Records against each other and against the directories, under shared
 * locks; then, unless quick, every layer's bytes against its DiffID and its inodes against its
 * entries, under none: what is removed while we read is no problem, and nobody waits for us.
 */
#include "store/check.h"

#include <stdlib.h>
#include <string.h>

#include "store/garbage.h"
#include "store/layer.h"
#include "store/object.h"
#include "store/tables.h"

static void forget_pending(struct check *c)
{
	size_t i;

	for (i = 0; i < c->n_layers; i++) {
		free(c->layers[i].id);
		id_maps_copy_done(&c->layers[i].maps);
		strv_done(&c->layers[i].below);
	}
	free(take_ptr(c->layers));
	c->n_layers = 0;
	for (i = 0; i < c->n_documents; i++) {
		free(c->documents[i].id);
		free(c->documents[i].key);
	}
	free(take_ptr(c->documents));
	c->n_documents = 0;
}

void check_done(struct check *c)
{
	forget_pending(c);
	findings_done(&c->found);
}

static int check_held(struct check *c, struct imbrex_error *err)
{
	const struct garbage_opts opts = { .max_age_sec = c->opts->max_age_sec };
	AUTO_HOLD hold = HOLD_NONE;
	int r;

	r = store_hold(c->s, HOLD_GRAPH | HOLD_READ_ALL, &hold, err);
	if (r == 0)
		r = check_records(c, err);
	return r < 0 ? r : garbage_find(c->s, &opts, &c->found, err);
}

/* Damage is found by reading what is on disk, not what was noted of it. */
static void distrust_tables(struct imbrex_store *s)
{
	struct store_table *t;
	size_t i;

	for (i = 0; (t = store_tables(s, &layer_records, i)); i++)
		store_table_distrust(t);
	for (i = 0; (t = store_tables(s, &image_records, i)); i++)
		store_table_distrust(t);
	store_table_distrust(&s->containers);
}

int check_all(struct check *c, const struct strv *only, struct imbrex_error *err)
{
	int r;

	forget_pending(c);
	distrust_tables(c->s);
	r = check_held(c, err);
	return r < 0 || c->opts->quick ? r : check_content(c, only, err);
}

/* ---- one object ------------------------------------------------------------------------ */

static int verify_layers(struct check *c, struct json_span top, struct imbrex_error *err)
{
	struct layer_walk w;
	int r = 0;

	for (layer_walk(c->s, top, &w); r == 0 && w.more; layer_walk_next(c->s, &w))
		r = check_layer(c, &w.at, err);
	return r;
}

static int verify_held(
	struct check *c, const char *name, unsigned int kinds, struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	AUTO_FREE char *id = NULL;
	struct object o;
	int r;

	r = store_hold(c->s, HOLD_GRAPH | HOLD_READ_ALL, &hold, err);
	if (r == 0)
		r = object_find(c->s, name, kinds, OBJECT_CONTAINERS_FIRST, &o, err);
	if (r == IMBREX_ENOENT && (kinds & IMBREX_KIND_IMAGE)) {
		o.kind = IMBREX_KIND_IMAGE;
		r = store_find_image(c->s, name, &o.at, err);
	}
	if (r < 0)
		return r;
	id = record_text(found_record(&o.at), RECORD_ID);
	if (!id)
		return fail_nomem(err);
	if (o.kind == IMBREX_KIND_LAYER)
		return check_layer(c, &o.at, err);
	r = check_documents_of(c, &o.at, id, err);
	return r < 0 ? r
		     : verify_layers(c,
			       record_plain(found_record(&o.at),
				       o.kind == IMBREX_KIND_IMAGE ? IMAGE_LAYER : CONTAINER_LAYER),
			       err);
}

PUBLIC int imbrex_verify(struct imbrex_store *s, const char *name, unsigned int kinds,
	struct imbrex_problem **ret, size_t *ret_n, struct imbrex_error *err)
{
	static const struct imbrex_check_opts opts = { 0 };
	AUTO_CHECK c = { .s = s, .opts = &opts };
	int r;

	distrust_tables(s);
	r = verify_held(&c, name, kinds, err);
	if (r == 0)
		r = check_content(&c, NULL, err);
	if (r < 0)
		return r;
	*ret = c.found.items;
	*ret_n = c.found.n;
	c.found = (struct findings){ 0 };
	return 0;
}
