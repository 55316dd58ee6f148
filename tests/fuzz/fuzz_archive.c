/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An image archive of any bytes, as a file, as a stream, and as a stream of an image that was
 * announced: manifest, then every blob it names.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "oci/manifest.h"
#include "os/fd.h"
#include "stream/null.h"
#include "transport/archive.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_blob(struct source *s, const struct oci_descriptor *d)
{
	AUTO_SINK struct sink *sink = NULL;
	struct imbrex_error err;

	if (null_sink_new(&sink, &err) == 0 && s->ops->blob(s, d, sink, &err) < 0)
		return;
}

static void read_image(struct source *s)
{
	struct source_manifest m = { 0 };
	AUTO_OCI_MANIFEST parsed = { 0 };
	struct imbrex_error err;

	if (s->ops->manifest(s, NULL, &m, &err) < 0)
		return;
	if (oci_manifest_parse(
		    m.media_type, str_text(&m.manifest), m.manifest.len, &parsed, &err) == 0) {
		read_blob(s, &parsed.config);
		for (size_t i = 0; i < parsed.n_layers; i++)
			read_blob(s, &parsed.layers[i]);
	}
	source_manifest_done(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* The last pass is told what the image of the corpus consists of. */
	const struct hash_value diff_ids[2] = { { .algorithm = HASH_SHA256 },
		{ .algorithm = HASH_SHA256, .bytes = { 1 } } };
	const struct archive_options opts = { 0 };
	const struct archive_options telling = { .diff_ids = diff_ids, .n_diff_ids = 2 };
	AUTO_CLOSE int fd = memfd_create("archive", MFD_CLOEXEC);
	AUTO_SOURCE struct source *file = NULL;
	AUTO_SOURCE struct source *stream = NULL;
	AUTO_SOURCE struct source *told = NULL;
	struct imbrex_error err;
	char path[FD_PATH_BYTES];

	if (fd < 0 || write_all(fd, data, size) < 0 || lseek(fd, 0, SEEK_SET) < 0)
		abort();
	fd_path(fd, path);
	if (archive_source_open(path, &opts, &file, &err) == 0)
		read_image(file);
	if (archive_stream_open(fd, "fuzz", &opts, &stream, &err) == 0)
		read_image(stream);
	if (lseek(fd, 0, SEEK_SET) == 0 &&
		archive_stream_open(fd, "fuzz", &telling, &told, &err) == 0)
		read_image(told);
	return 0;
}
