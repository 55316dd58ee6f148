/* SPDX-License-Identifier: Apache-2.0 */
#include "image/document.h"

#include "base/error.h"
#include "base/limits.h"
#include "stream/buffer.h"
#include "stream/digest.h"
#include "stream/exact.h"

int image_fetch_document(
	struct source *s, const struct oci_descriptor *d, struct str *ret, struct imbrex_error *err)
{
	AUTO_SINK struct sink *end = NULL;
	AUTO_SINK struct sink *digest = NULL;
	AUTO_SINK struct sink *chain = NULL;
	int r;

	r = buffer_sink_new(LIMIT_CONFIG_BYTES, ret, &end, err);
	if (r < 0)
		return r;
	r = digest_sink_new(d->digest.algorithm, &d->digest, NULL, end, &digest, err);
	if (r < 0)
		return r;
	end = NULL;
	r = exact_sink_new(d->size_bytes, digest, &chain, err);
	if (r < 0)
		return r;
	digest = NULL;
	return s->ops->blob(s, d, chain, err);
}
