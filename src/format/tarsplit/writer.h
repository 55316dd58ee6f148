/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records a tar stream, less the content of its files, as tar-split JSON lines, so that the same
 * bytes can be put together again later (tarsplit/assemble.h). docs/formats/tar-split.md.
 *
 * new -> observer, given to tar_reader_new() -> the reader runs and finishes -> ids -> free.
 * The reader's finish finishes `next`. Free the reader before the writer. One thread.
 * Error tier: err.
 */
#ifndef FORMAT_TARSPLIT_WRITER_H
#define FORMAT_TARSPLIT_WRITER_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/macros.h"
#include "format/tar/reader.h"
#include "stream/sink.h"

struct tarsplit_writer;

/*
 * next   taken on success; receives the JSON lines, not compressed
 * Errors of the observer: EFORMAT if two entries have the same clean name (the format cannot tell
 *        them apart), ENOMEM, and what next returns.
 */
int tarsplit_writer_new(
	struct sink *next, struct tarsplit_writer **ret, struct imbrex_error *err) MUST_CHECK;
void tarsplit_writer_free(struct tarsplit_writer *w);
DEFINE_CLEANUP(tarsplit_writer, struct tarsplit_writer, tarsplit_writer_free)
#define AUTO_TARSPLIT_WRITER AUTO(tarsplit_writer) struct tarsplit_writer

/* Valid as long as the writer. */
struct tar_observer tarsplit_writer_observer(struct tarsplit_writer *w);

/*
 * The uids and gids of all entries but whiteouts, each once, ascending: the layer record of
 * containers/storage lists them. Valid until free; call after the reader has finished.
 */
void tarsplit_writer_uids(const struct tarsplit_writer *w, const uint32_t **ret, size_t *ret_n);
void tarsplit_writer_gids(const struct tarsplit_writer *w, const uint32_t **ret, size_t *ret_n);
/* Bytes of the tar stream seen so far. */
uint64_t tarsplit_writer_tar_bytes(const struct tarsplit_writer *w);

#endif
