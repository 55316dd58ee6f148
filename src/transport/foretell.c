/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of layers as docker before 25 makes them.
 *
 * It writes a folder for each layer, named by a digest over a configuration that is empty but for
 * the chain ID and the name below it, so that all but the top one can be computed. The top one's
 * is over the image's whole configuration; but it says in its own document whose child it is, and
 * documents pass before the layers beside them.
 */
#include "transport/foretell.h"

#include <string.h>

#include "base/hex.h"
#include "base/limits.h"
#include "base/map.h"
#include "base/str.h"
#include "json/doc.h"
#include "oci/chain.h"
#include "oci/digest.h"

/* An empty container configuration, as Go's encoder writes it. */
#define EMPTY_CONFIG                                                                       \
	"{\"Hostname\":\"\",\"Domainname\":\"\",\"User\":\"\",\"AttachStdin\":false,"      \
	"\"AttachStdout\":false,\"AttachStderr\":false,\"Tty\":false,\"OpenStdin\":false," \
	"\"StdinOnce\":false,\"Env\":null,\"Cmd\":null,\"Image\":\"\",\"Volumes\":null,"   \
	"\"WorkingDir\":\"\",\"Entrypoint\":null,\"OnBuild\":null,\"Labels\":null}"

struct foretell {
	struct hash_value *diff_ids; /* owned */
	size_t n;
	struct map *by_name; /* owned; folder -> its layer in diff_ids */
};

static int add_name(struct foretell *f, const char *hex, size_t position)
{
	int r = map_add(f->by_name, hex, ID_HEX_LEN, &f->diff_ids[position]);

	return r == -EEXIST ? 0 : r; /* the first one counts */
}

/* Name of the layer with that chain ID on the one called `parent` (not set: on none). */
static int name_of(const struct hash_value *chain, const struct hash_value *parent,
	struct hash_value *ret, struct imbrex_error *err)
{
	bool base = !hash_is_set(parent);
	AUTO_FREE char *text =
		format_text("{\"container_config\":" EMPTY_CONFIG
			    ",\"created\":\"1970-01-01T00:00:00Z\",\"layer_id\":\"%s\"%s%s%s}",
			digest_text(chain), base ? "" : ",\"parent\":\"",
			base ? "" : digest_text(parent), base ? "" : "\"");
	int r;

	if (!text)
		return fail_nomem(err);
	r = hash_bytes(HASH_SHA256, text, strlen(text), ret);
	return r < 0 ? fail_code(err, r, "hash the name of a layer") : 0;
}

static int compute_names(struct foretell *f, struct imbrex_error *err)
{
	struct hash_value chain = { 0 }, name = { 0 };

	for (size_t i = 0; i + 1 < f->n; i++) {
		struct hash_value next;
		int r = chain_id(i ? &chain : NULL, &f->diff_ids[i], &next, err);

		if (r < 0)
			return r;
		chain = next;
		r = name_of(&chain, &name, &next, err);
		if (r < 0)
			return r;
		name = next;
		if (add_name(f, digest_hex(&name), i) < 0)
			return fail_nomem(err);
	}
	return 0;
}

int foretell_new(const struct hash_value *diff_ids, size_t n, struct foretell **ret,
	struct imbrex_error *err)
{
	AUTO_FORETELL *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return fail_nomem(err);
	f->by_name = map_new();
	f->diff_ids = calloc(n + 1, sizeof(*f->diff_ids));
	if (!f->by_name || !f->diff_ids)
		return fail_nomem(err);
	if (n)
		memcpy(f->diff_ids, diff_ids, n * sizeof(*diff_ids));
	f->n = n;
	r = compute_names(f, err);
	if (r < 0)
		return r;
	*ret = take_ptr(f);
	return 0;
}

void foretell_free(struct foretell *f)
{
	if (!f)
		return;
	map_free(f->by_name);
	free(f->diff_ids);
	free(f);
}

/* "<64 digits>" in front of exactly this. */
static bool is_hex_and(const char *member, const char *rest)
{
	return strlen(member) > ID_HEX_LEN && hex_is_lower(member, ID_HEX_LEN) &&
	       str_eq(member + ID_HEX_LEN, rest);
}

int foretell_document(struct foretell *f, const char *member, const char *text, size_t len,
	struct imbrex_error *err)
{
	AUTO_JSON_DOC *doc = NULL;
	struct json_ref root, at;
	const char *parent = NULL;
	size_t position = 0;

	if (f->n == 0 || !is_hex_and(member, "/json") ||
		json_doc_parse("json", text, len, LIMIT_CONFIG_BYTES, &doc, NULL) < 0)
		return 0;
	root = json_doc_root(doc);
	at = json_get(&root, "parent");
	if (json_opt_string(&at, &parent, NULL) < 0)
		return 0;
	if (parent && *parent) {
		void *below;

		if (strlen(parent) != ID_HEX_LEN ||
			!map_get(f->by_name, parent, ID_HEX_LEN, &below))
			return 0;
		position = (size_t)((struct hash_value *)below - f->diff_ids) + 1;
	}
	if (position < f->n && add_name(f, member, position) < 0)
		return fail_nomem(err);
	return 0;
}

/* The DiffID with these digits, if the image has it. */
static const struct hash_value *by_digest(const struct foretell *f, const char *hex)
{
	struct hash_value digest;

	if (digest_parse_hex(hex, ID_HEX_LEN, &digest, NULL) < 0)
		return NULL;
	for (size_t i = 0; i < f->n; i++) {
		if (hash_equal(&f->diff_ids[i], &digest))
			return &f->diff_ids[i];
	}
	return NULL;
}

const struct hash_value *foretell_member(const struct foretell *f, const char *member)
{
	const char *blob = str_after(member, "blobs/sha256/");
	void *found;

	if (blob)
		return strlen(blob) == ID_HEX_LEN ? by_digest(f, blob) : NULL;
	if (is_hex_and(member, ".tar"))
		return by_digest(f, member);
	if (is_hex_and(member, "/layer.tar") && map_get(f->by_name, member, ID_HEX_LEN, &found))
		return found;
	return NULL;
}
