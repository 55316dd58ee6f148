/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GUIDs of snapshots: what a machine has, told to another one, so that only differences travel.
 *
 * Threading: one thread per object. Errors: err.
 */
#ifndef TEMPLATE_GUIDS_H
#define TEMPLATE_GUIDS_H

#include "base/str.h"
#include "template/store.h"

struct guids {
	uint64_t *items; /* owned; none is 0 */
	size_t n;
};
void guids_done(struct guids *g);
#define AUTO_GUIDS __attribute__((cleanup(guids_done))) struct guids

/* ELIMIT beyond LIMIT_TRANSFER_GUIDS. */
int guids_add(struct guids *g, uint64_t guid, struct imbrex_error *err) MUST_CHECK;
bool guids_has(const struct guids *g, uint64_t guid);
/* One decimal number. 0 if it is none. */
uint64_t guid_parse(const char *text, size_t len);
/* "1,2,3"; EINVAL for anything else. */
int guids_parse(const char *text, struct guids *ret, struct imbrex_error *err) MUST_CHECK;
int guids_format(const struct guids *g, struct str *ret) MUST_CHECK; /* -ENOMEM, -EFBIG */

/* Of all templates and layers of a store, as many as may be told. */
int guids_collect(
	struct imbrex_templates *t, struct guids *ret, struct imbrex_error *err) MUST_CHECK;
/* The snapshot of a template or layer that has this GUID: 1, or 0. */
int guids_find(struct imbrex_templates *t, uint64_t guid, struct zfs_name *ret,
	struct imbrex_error *err) MUST_CHECK;

/*
 * What a machine says when it is asked what it has:
 *
 *   imbrex-zfs-status:v1
 *   resume=TOKEN          only where a stream was cut
 *   guid=NUMBER           one a line
 *
 * Lines of other keys are left out of account. Each line ends with LF.
 */
struct transfer_status {
	char *token; /* owned; NULL: none */
	struct guids guids;
};
void transfer_status_done(struct transfer_status *s);
#define AUTO_TRANSFER_STATUS __attribute__((cleanup(transfer_status_done))) struct transfer_status
/* EFORMAT if it is no such text. */
int transfer_status_parse(const char *text, size_t len, struct transfer_status *ret,
	struct imbrex_error *err) MUST_CHECK;
char *transfer_status_format(const struct transfer_status *s) MUST_CHECK;

#endif
