/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all of this module shares: the store's dataset, the names below it, notes, time.
 *
 *   STORE                      mounted at the data path
 *   STORE/.templates/KEY       an image; snapshot "pristine"
 *   STORE/.layers/CHAIN        a layer with all below it, by its chain ID; snapshot "done"
 *   STORE/NAME                 a container: clone of a template
 *
 * What is under construction has ".tmp" after its name. Errors: err.
 * Source: the dataset layout of enroot's ZFS fork; imbrex-zfs-templates(7).
 */
#ifndef TEMPLATE_STORE_H
#define TEMPLATE_STORE_H

#include "imbrex/template.h"
#include "zfs/zfs.h"

#define TEMPLATE_USED_PROPERTY     "enroot:last_used"
#define TEMPLATE_IMPORTED_PROPERTY "enroot:imported"
#define TEMPLATE_TEMP_SUFFIX       ".tmp"

/* Templates or layers: what differs between the two. */
struct template_kind {
	const char *component;  /* of the dataset that holds them all: ".templates" */
	const char *snapshot;   /* what makes one complete: "pristine" */
	const char *noun;       /* for messages */
	struct zfs_name parent; /* the dataset that holds them all */
	uint64_t warm_sec;
	bool ready; /* the parent is there and mounted */
};

struct imbrex_templates {
	struct zfs *z;      /* owned */
	struct zfs_name fs; /* STORE */
	char *data_path;    /* owned; resolved, without a slash at its end */
	int data_fd;        /* owned; its directory */
	char *helper;       /* owned; NULL: none installed */
	struct template_kind templates, layers;
	const struct strv *keep; /* borrowed; keys of layers that are about to be used; NULL */
	unsigned int pressure_percent;
	bool layer_chain;
	imbrex_note_fn note;
	void *userdata;
};

/* As imbrex_templates_open(), with ZFS as the caller wants it (tests). */
int templates_open(const struct imbrex_templates_opts *opts, const struct zfs_options *zfs,
	struct imbrex_templates **ret, struct imbrex_error *err) MUST_CHECK;
DEFINE_CLEANUP(templates, struct imbrex_templates, imbrex_templates_close)
#define AUTO_TEMPLATES AUTO(templates) struct imbrex_templates

void template_note(struct imbrex_templates *t, enum imbrex_note level, const char *fmt, ...)
	PRINTF_LIKE(3, 4);

/* EINVAL if it is not 64 lower-case digits. */
int template_check_key(const char *key, struct imbrex_error *err) MUST_CHECK;
/* KEY, and its snapshot. */
int template_name(const struct template_kind *kind, const char *key, struct zfs_name *ret,
	struct imbrex_error *err) MUST_CHECK;
int template_snapshot_name(const struct template_kind *kind, const char *key, struct zfs_name *ret,
	struct imbrex_error *err) MUST_CHECK;
/* "NAME.tmp" of a KEY, or of another word. */
int template_temp_name(const struct template_kind *kind, const char *word, struct zfs_name *ret,
	struct imbrex_error *err) MUST_CHECK;
/* The part of a dataset's name below STORE; "" for itself. Borrowed. */
const char *template_relative(const struct imbrex_templates *t, const struct zfs_name *name);
/* 1 if it is there, complete; 0 if not. */
int template_has(struct imbrex_templates *t, const struct template_kind *kind, const char *key,
	struct imbrex_error *err) MUST_CHECK;

/* STORE/.templates or STORE/.layers is there and, where that is possible, mounted. */
int template_prepare(struct imbrex_templates *t, struct template_kind *kind,
	struct imbrex_error *err) MUST_CHECK;

/* One user property, best effort. */
void template_set(struct imbrex_templates *t, const struct zfs_name *name, const char *property,
	const char *value);
/* It is used now. */
void template_touch(struct imbrex_templates *t, const struct zfs_name *name);
/* It is complete since now. */
void template_date(struct imbrex_templates *t, const struct zfs_name *name);

/*
 * Destroy what is below a name, unmounted first by whoever may; patient while it is only busy. What
 * is not there is a success.
 */
int template_destroy(struct imbrex_templates *t, const struct zfs_name *name,
	struct imbrex_error *err) MUST_CHECK;

#endif
