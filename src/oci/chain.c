/* SPDX-License-Identifier: Apache-2.0 */
/* Layer and image ids; see the header. Every rule hashes one short ASCII text. */
#include "oci/chain.h"

#include <assert.h>
#include <string.h>

#include "base/limits.h"
#include "base/str.h"

static int hash_text(const struct str *text, struct hash_value *ret, struct imbrex_error *err)
{
	int r;

	r = hash_bytes(HASH_SHA256, text->data, text->len, ret);
	return r < 0 ? fail_code(err, r, "hash of a layer chain") : 0;
}

static int id_of_text(const struct str *text, char ret[ID_HEX_LEN + 1], struct imbrex_error *err)
{
	struct hash_value v;
	int r;

	r = hash_text(text, &v, err);
	if (r < 0)
		return r;
	hex_encode(v.bytes, hash_len(HASH_SHA256), ret);
	return 0;
}

static int id_of_component(const char *parent, const char *prefix, const struct hash_value *v,
	char ret[ID_HEX_LEN + 1], struct imbrex_error *err)
{
	AUTO_STR text = STR_INIT(512);
	char hex[HASH_HEX_MAX];
	int r;

	assert(hash_is_set(v));
	r = str_printf(
		&text, "%.*s+%s%s", ID_HEX_LEN, parent ? parent : "", prefix, hash_hex(v, hex));
	if (r < 0)
		return fail_nomem(err);
	return id_of_text(&text, ret, err);
}

int layer_id(const char *parent, const struct hash_value *diff, char ret[ID_HEX_LEN + 1],
	struct imbrex_error *err)
{
	if ((!parent || !*parent) && diff->algorithm == HASH_SHA256) {
		hex_encode(diff->bytes, hash_len(HASH_SHA256), ret);
		return 0;
	}
	return id_of_component(parent, "", diff, ret, err);
}

int layer_id_toc(const char *parent, const struct hash_value *toc, char ret[ID_HEX_LEN + 1],
	struct imbrex_error *err)
{
	return id_of_component(parent, "@TOC=", toc, ret, err);
}

int image_id(const struct hash_value *config, const struct hash_value *tocs, size_t n_tocs,
	char ret[ID_HEX_LEN + 1], struct imbrex_error *err)
{
	AUTO_STR text = STR_INIT(256 + LIMIT_IMAGE_LAYERS * HASH_TEXT_MAX);
	char digest[HASH_TEXT_MAX];
	bool any_toc = false;
	size_t i;
	int r;

	assert(hash_is_set(config));
	for (i = 0; i < n_tocs; i++)
		any_toc = any_toc || hash_is_set(&tocs[i]);
	if (!any_toc && config->algorithm == HASH_SHA256) {
		hex_encode(config->bytes, hash_len(HASH_SHA256), ret);
		return 0;
	}
	/* podman leaves the config out of the text (containers/image, storage_dest.go). */
	if (any_toc)
		r = str_puts(&text, "@With TOC:");
	else
		r = str_puts(&text, hash_hex(config, digest));
	for (i = 0; any_toc && i < n_tocs && r >= 0; i++)
		r = str_printf(&text, "%s|", hash_format(&tocs[i], digest));
	if (r == -EFBIG)
		return fail(err, IMBREX_ELIMIT, "image of more than %d layers", LIMIT_IMAGE_LAYERS);
	if (r < 0)
		return fail_nomem(err);
	return id_of_text(&text, ret, err);
}

int chain_id(const struct hash_value *parent, const struct hash_value *diff, struct hash_value *ret,
	struct imbrex_error *err)
{
	AUTO_STR text = STR_INIT(2 * HASH_TEXT_MAX);
	char own[HASH_TEXT_MAX];
	char below[HASH_TEXT_MAX];
	int r;

	assert(hash_is_set(diff));
	if (!parent || !hash_is_set(parent)) {
		*ret = *diff;
		return 0;
	}
	r = str_printf(&text, "%s %s", hash_format(parent, below), hash_format(diff, own));
	if (r < 0)
		return fail_nomem(err);
	return hash_text(&text, ret, err);
}
