/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a check found, by object: problems of a layer are those of the images above it too, and an
 * image's are its containers'.
 *
 * report_look -> (the library checks, and may repair) -> report_build -> use -> report_done.
 * Threading: none. Errors: err, or leaf tier.
 */
#ifndef CLI_STORAGE_REPORT_H
#define CLI_STORAGE_REPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/macros.h"
#include "imbrex/imbrex.h"

enum section {
	SECTION_LAYERS = 0,
	SECTION_RO_LAYERS,
	SECTION_IMAGES,
	SECTION_RO_IMAGES,
	SECTION_CONTAINERS,
	SECTION_OTHER, /* of the store itself: upstream has no place for it */
	N_SECTIONS
};

/* One problem of one object. */
struct report_line {
	enum section section;
	const char *id;                       /* of the object; borrowed */
	const struct imbrex_problem *problem; /* its own, or of what it stands on */
	size_t next;                          /* of the same image; see report.c */
};

struct report {
	struct imbrex_problem *problems; /* owned; the library's */
	size_t n_problems;
	struct report_line *lines; /* owned; by section, then id, then as they were found */
	size_t n, cap;
	size_t objects[N_SECTIONS];    /* with problems */
	size_t unrepaired[N_SECTIONS]; /* objects with problems that are left */
	/* Who stands on whom, before anything is repaired. Owned; empty if it cannot be told. */
	struct imbrex_layer *layers;
	struct imbrex_image *images;
	struct imbrex_container *containers;
	bool *image_is_read_only;
	size_t n_layers, n_images, n_containers;
};

/* Note who stands on whom. A store too damaged to tell is no failure. */
int report_look(struct imbrex_store *s, struct report *r, struct imbrex_error *err) MUST_CHECK;
/* -ENOMEM. From r->problems. */
int report_build(struct report *r) MUST_CHECK;
void report_done(struct report *r);
#define AUTO_REPORT __attribute__((cleanup(report_done))) struct report

/* Are these two lines about one object? */
bool report_same_object(const struct report_line *a, const struct report_line *b);
enum section report_section(const struct imbrex_problem *p);

#endif
