/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is done about damage. Everything is rebuilt from something that proves it: content from
 * bytes that add up to the recorded digest, records from content whose id follows from it, names
 * from each other. What is in use is left alone. Long work is done under no lock; what it made is
 * put in place under a short one, after looking again.
 *
 *   repair.c           rounds: look, mend, look again
 *   repair_table.c     tables that cannot be read, records recorded twice
 *   repair_record.c    records made again, and values in them set right
 *   repair_layer.c     layers' content made again, or fetched
 *   repair_copy.c      copies of layers under other owners made again
 *   repair_document.c  documents of images
 *   repair_remove.c    what cannot be saved, on demand
 *
 * Each part: 1 mended (or, with `dry`, would try); 0 refused, and the problem's action says why;
 * negative with err. Error tier: err.
 */
#ifndef STORE_REPAIR_H
#define STORE_REPAIR_H

#include "base/str.h"
#include "oci/descriptor.h"
#include "store/check.h"
#include "stream/sink.h"

/* Another place that has the image: where content comes from that is here no more. */
struct repair_source {
	void *ctx;
	/* The blob of the layer with this DiffID. ENOENT: it has none. */
	int (*find_layer)(void *ctx, const struct hash_value *diff_id,
		const struct oci_descriptor **ret, struct imbrex_error *err);
	/* Push its bytes as they are, and finish the sink. */
	int (*blob)(void *ctx, const struct oci_descriptor *d, struct sink *to,
		struct imbrex_error *err);
	/* A manifest, index or configuration. ENOENT: it has none of that digest. */
	int (*document)(void *ctx, const struct hash_value *digest, struct str *ret,
		struct imbrex_error *err);
};

struct repair {
	struct imbrex_store *s;
	const struct imbrex_check_opts *opts;
	const struct repair_source *source; /* NULL: none */
	struct check *c;                    /* this round's */
	struct strv touched;                /* layers whose content is to be read again */
	bool dry;                           /* say what would be done, do nothing */
};

/* Look, and mend if opts->repair. ret: all problems that were found, each once. */
int store_check(struct imbrex_store *s, const struct imbrex_check_opts *opts,
	const struct repair_source *source, struct findings *ret,
	struct imbrex_error *err) MUST_CHECK;

/* All tables exclusively, damaged ones too. */
int repair_hold(struct repair *r, struct store_hold *ret, struct imbrex_error *err) MUST_CHECK;
/* The own record of that id; false if there is none. */
bool repair_get(
	struct repair *r, const struct record_type *type, const char *id, struct found *ret);
/* Is the layer, or one that stands on it, mounted? Layers are held. */
bool repair_in_use(struct imbrex_store *s, const char *id);

/* repair_table.c */
int repair_table(struct repair *r, struct imbrex_problem *p, struct imbrex_error *err) MUST_CHECK;
int repair_aside(struct repair *r, struct imbrex_problem *p, struct imbrex_error *err) MUST_CHECK;
int repair_twice(struct repair *r, struct imbrex_problem *p, struct imbrex_error *err) MUST_CHECK;
int repair_mounts(struct repair *r, struct imbrex_problem *p, struct imbrex_error *err) MUST_CHECK;

/* repair_record.c */
/* Make the record of layer `id`, which something needs, from what lies on disk. */
int repair_adopt(struct repair *r, struct imbrex_problem *p, const char *id,
	struct imbrex_error *err) MUST_CHECK;
int repair_record(struct repair *r, struct imbrex_problem *p, struct imbrex_error *err) MUST_CHECK;
int repair_parent(struct repair *r, struct imbrex_problem *p, struct imbrex_error *err) MUST_CHECK;
int repair_layer_data(
	struct repair *r, struct imbrex_problem *p, struct imbrex_error *err) MUST_CHECK;
/* The record of an image that a container needs, from its documents. */
int repair_lost_image(
	struct repair *r, struct imbrex_problem *p, struct imbrex_error *err) MUST_CHECK;
/* After its table was lost: images that their documents describe, containers that own a layer. */
int repair_lost_images(struct repair *r, struct imbrex_error *err) MUST_CHECK;
int repair_lost_containers(struct repair *r, struct imbrex_error *err) MUST_CHECK;

/* repair_layer.c */
int repair_layer(struct repair *r, struct imbrex_problem *p, struct imbrex_error *err) MUST_CHECK;

/* repair_copy.c: REPAIR_NO_COPY if the layer is no copy that an image lists. */
#define REPAIR_NO_COPY 2
int repair_copy(struct repair *r, struct imbrex_problem *p, struct imbrex_error *err) MUST_CHECK;

/* repair_document.c */
int repair_document(
	struct repair *r, struct imbrex_problem *p, struct imbrex_error *err) MUST_CHECK;

/* repair_remove.c: what was asked to be removed if it cannot be saved, and was not. */
int repair_remove(struct repair *r, struct imbrex_error *err) MUST_CHECK;

#endif
