/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One pax extended header: "<length> <keyword>=<value>\n" records.
 *
 * zero-initialise with PAX_INIT -> (collect into data -> pax_parse -> use -> pax_clear)* ->
 * pax_done. Error tier: err, without the place: the caller wraps.
 */
#ifndef FORMAT_TAR_PAX_H
#define FORMAT_TAR_PAX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/limits.h"
#include "base/str.h"
#include "tree/entry.h"

/* The keywords that change an entry. An empty value means: keep what the header block says. */
enum pax_key {
	PAX_PATH,
	PAX_LINKPATH,
	PAX_UNAME, /* only checked */
	PAX_GNAME, /* only checked */
	PAX_SIZE,
	PAX_UID,
	PAX_GID,
	PAX_MTIME,
	PAX_ATIME,
	PAX_CTIME, /* only checked */
	PAX_N_KEYS
};

struct pax {
	struct str data;                /* the records; values are cut out of it in place */
	const char *values[PAX_N_KEYS]; /* borrowed from data; NULL if absent or empty */
	struct entry_xattr *xattrs;     /* owned array; its strings are borrowed from data */
	size_t n_xattrs;
	size_t cap_xattrs;
};
#define PAX_INIT                                  \
	{                                         \
		.data = STR_INIT(LIMIT_PAX_BYTES) \
	}

void pax_done(struct pax *p);
/* Forget the records, keep the memory. */
void pax_clear(struct pax *p);

/*
 * Split p->data into records. Of a keyword given twice the last one wins. `global`: only the form
 * is checked and PAX_PATH noted, because global records do not change entries (as in Go).
 *
 * Xattrs come out sorted by name, without those no layer may set: docs/formats/tar.md#xattrs.
 *
 * Errors EFORMAT malformed record; ENOTSUP sparse file.
 * Limits LIMIT_XATTR_NAME_BYTES, LIMIT_XATTR_VALUE_BYTES, LIMIT_XATTRS_PER_ENTRY: ELIMIT.
 */
int pax_parse(struct pax *p, bool global, struct imbrex_error *err) MUST_CHECK;

/* Decimal, signed. Leaf tier: -EINVAL, -ERANGE. */
int pax_integer(const char *text, int64_t *ret) MUST_CHECK;
/* "seconds.fraction", either may be negative as a whole; digits beyond the ninth are dropped. */
int pax_time(const char *text, int64_t *ret_sec, uint32_t *ret_nsec) MUST_CHECK;

#endif
