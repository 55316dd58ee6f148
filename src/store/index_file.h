/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An index kept in a file of the run root, so that the next command need not parse the table.
 *
 * It holds for exactly one state of the table's files: the one in its stamp. Whoever finds another
 * stamp than the table's parses, and writes a new file; whoever saves the table does so too. The
 * file is replaced whole and never changed, so it can be mapped. It is not synced, and not believed
 * after a reboot: the stamp names the boot.
 *
 * Threading: no state. Leaf tier: 0 or -errno; none of it is worth more than another parse.
 * Format: docs/formats/index.md
 */
#ifndef STORE_INDEX_FILE_H
#define STORE_INDEX_FILE_H

#include <sys/stat.h>

#include "base/strv.h"
#include "os/lock.h"
#include "store/index.h"

#define INDEX_FILES 3 /* that a table is made of */

/* What of a file must be as it was. */
struct index_file_stamp {
	uint64_t dev;
	uint64_t ino; /* 0: no such file */
	uint64_t bytes;
	int64_t mtime_sec;
	int64_t ctime_sec;
	uint32_t mtime_nsec;
	uint32_t ctime_nsec;
};

/* All of it is compared as bytes. */
struct index_stamp {
	uint8_t boot[16];
	uint8_t token[LOCK_TOKEN_BYTES]; /* of the lock file, and zeros */
	uint64_t token_bytes;
	struct index_file_stamp files[INDEX_FILES];
};
static_assert(sizeof(struct index_file_stamp) == 48, "part of the file's format");
static_assert(sizeof(struct index_stamp) == 232, "part of the file's format");

/* Of a table without files, as yet. */
int index_stamp_init(struct index_stamp *ret, const struct lock_token *token) MUST_CHECK;
void index_stamp_file(struct index_stamp *s, int n, const struct stat *st);

/*
 * Map the index if it is of that stamp. `kind` is what the records are: "layer".
 *
 * ret           done by index_done()
 * ret_checksum  what index_checksum() is, if nobody damaged it
 * Errors        -ESTALE another stamp, -EBADMSG no index
 */
int index_file_load(int dirfd, const char *path, const char *kind, const struct index_stamp *stamp,
	struct index *ret, uint64_t *ret_checksum) MUST_CHECK;
/* The same for bytes that were mapped: takes `map` in every case. */
int index_adopt(void *map, size_t bytes, const char *kind, const struct index_stamp *stamp,
	struct index *ret, uint64_t *ret_checksum) MUST_CHECK;

/* Write it to dirfd/INDEX_DIR/name; `at` (may be NULL) are the offsets of the records instead of
 * those in the entries. */
#define INDEX_DIR "imbrex/index"
int index_file_save(int dirfd, const char *name, const char *kind, const struct index_stamp *stamp,
	const struct index *x, const uint32_t *at) MUST_CHECK;

/*
 * Names below INDEX_DIR of what no table needs, appended to `ret`: indexes of another boot, those
 * that were not written anew for a week (of a store that is gone, or that nobody changes), and what
 * a writer that died has left for a day. None of `own`, whatever its age: these are replaced.
 * Losing one that was needed costs a parse.
 */
int index_file_strays(int dirfd, const struct strv *own, struct strv *ret) MUST_CHECK;
int index_file_remove(int dirfd, const char *name) MUST_CHECK;

#endif
