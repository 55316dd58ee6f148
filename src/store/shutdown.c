/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a store: everything unmounted (shutdown), or everything removed (wipe). */
#include <stdlib.h>
#include <string.h>

#include "imbrex/store.h"
#include "store/container.h"
#include "store/layer.h"
#include "store/object.h"

/* Ids of layers that the books call mounted. */
static int list_mounted(struct imbrex_store *s, struct strv *ret, struct imbrex_error *err)
{
	size_t i;
	int r;

	r = store_mounts_load(s, err);
	for (i = 0; r == 0 && i < s->n_mounts; i++) {
		if (strv_add(ret, s->mounts[i].id) < 0)
			r = fail_nomem(err);
	}
	return r;
}

/* What could be unmounted leaves the list. The first failure is told. */
static int unmount_all(struct imbrex_store *s, struct strv *ids, struct imbrex_error *err)
{
	struct imbrex_error why = { 0 };
	int failed = 0;
	size_t i = 0;
	int r;

	while (i < ids->n) {
		r = container_unmount_layer(s, ids->items[i], failed < 0 ? &why : err);
		if (r < 0) {
			failed = failed < 0 ? failed : r;
			i++;
		} else {
			strv_remove(ids, i);
		}
	}
	return failed;
}

static int shut_down(
	struct imbrex_store *s, bool force, struct strv *still, struct imbrex_error *err)
{
	AUTO_HOLD hold = HOLD_NONE;
	int r;

	r = store_hold(s, HOLD_GRAPH | HOLD_LAYERS_W, &hold, err);
	if (r == 0)
		r = list_mounted(s, still, err);
	if (r == 0 && force)
		r = unmount_all(s, still, err);
	if (r < 0)
		return r;
	if (still->n)
		return fail_reason(err, IMBREX_EBUSY, IMBREX_REASON_LAYER_MOUNTED,
			"layer %s is mounted", still->items[0]);
	/* Peers that run set their driver up anew when they see this. */
	r = lock_token_write(&s->graph_lock, NULL, err);
	if (r == 0 && s->driver->ops->retire)
		r = s->driver->ops->retire(s->driver, err);
	return r;
}

PUBLIC int imbrex_store_shutdown(
	struct imbrex_store *s, bool force, char ***ret_still, struct imbrex_error *err)
{
	AUTO_STRV still = { 0 };
	char **taken;
	int r;

	r = shut_down(s, force, &still, err);
	if (!ret_still)
		return r;
	taken = strings_take(&still);
	if (!taken)
		return fail_nomem(err);
	*ret_still = taken;
	return r;
}

/* ---- wipe -------------------------------------------------------------------------------- */

/* All records out of a table; what belongs to them follows when it has been saved. */
static int drop_all(struct store_table *t, struct imbrex_error *err)
{
	ptrdiff_t i;
	int r = 0;

	for (i = table_next(&t->t, -1); r == 0 && i >= 0; i = table_next(&t->t, i)) {
		struct record *rec = table_at(&t->t, (size_t)i);
		AUTO_FREE char *id = record_text(rec, RECORD_ID);

		if (!id)
			return fail_nomem(err);
		r = object_id_is_safe(id) ? store_drop(t, id, err) : 0;
		t->dirty[rec->place] = true;
		table_remove(&t->t, (size_t)i);
	}
	return r;
}

PUBLIC int imbrex_store_wipe(struct imbrex_store *s, struct imbrex_error *err)
{
	struct store_table *first = store_first_root(s);
	struct store_table *const tables[] = { &s->containers, &s->images,
		first ? first : &s->layers, &s->layers };
	const size_t n = first ? 4 : 3;
	AUTO_HOLD hold = HOLD_NONE;
	AUTO_STRV mounted = { 0 };
	size_t i;
	int r;

	r = store_hold(s, HOLD_GRAPH | HOLD_WRITE_ALL, &hold, err);
	if (r == 0)
		r = list_mounted(s, &mounted, err);
	if (r == 0)
		r = unmount_all(s, &mounted, err);
	for (i = 0; r == 0 && i < n; i++)
		r = drop_all(tables[i], err);
	/* Records that name something go first. */
	return r < 0 ? r : store_save_all(s, tables, n, err);
}
