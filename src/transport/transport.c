/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the sources share: following indexes, checking documents, blobs that are files, names.
 */
#include "transport/transport.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "base/limits.h"
#include "oci/digest.h"
#include "oci/reference.h"
#include "os/beneath.h"
#include "os/fd.h"
#include "stream/pump.h"
#include "transport/documents.h"

static void str_move(struct str *to, struct str *from)
{
	str_done(to);
	*to = *from;
	*from = (struct str){ .max_len = from->max_len };
}

static int fetch_checked(document_fetch_fn fetch, void *ctx, const struct oci_descriptor *d,
	struct str *ret, struct imbrex_error *err)
{
	AUTO_STR text = STR_INIT(LIMIT_MANIFEST_BYTES);
	int r;

	if (d->size_bytes > LIMIT_MANIFEST_BYTES)
		return fail(err, IMBREX_ELIMIT,
			"manifest %s: %" PRIu64 " bytes announced, more than %u",
			digest_short(&d->digest), d->size_bytes, LIMIT_MANIFEST_BYTES);
	text.max_len = (size_t)d->size_bytes;
	r = fetch(ctx, d, &text, err);
	if (r < 0)
		return r;
	r = documents_check(d, &text, err);
	if (r < 0)
		return r;
	str_move(ret, &text);
	return 0;
}

const char *documents_media_type(enum oci_media media)
{
	switch (media) {
	case OCI_MEDIA_MANIFEST:
		return OCI_TYPE_MANIFEST;
	case OCI_MEDIA_INDEX:
		return OCI_TYPE_INDEX;
	case OCI_MEDIA_DOCKER_MANIFEST:
		return OCI_TYPE_DOCKER_MANIFEST;
	case OCI_MEDIA_DOCKER_LIST:
		return OCI_TYPE_DOCKER_LIST;
	default:
		return NULL;
	}
}

/* Move a checked document into the result. */
static int keep(enum oci_media media, const struct oci_descriptor *d, struct str *text,
	struct str *ret_text, char **ret_type, struct hash_value *ret_digest,
	struct imbrex_error *err)
{
	char *type = strdup(documents_media_type(media));

	if (!type)
		return fail_nomem(err);
	str_move(ret_text, text);
	free(*ret_type);
	*ret_type = type;
	*ret_digest = d->digest;
	return 0;
}

int documents_check(
	const struct oci_descriptor *d, const struct str *text, struct imbrex_error *err)
{
	struct hash_value actual;
	int r;

	if (text->len != d->size_bytes)
		return fail(err, IMBREX_EDIGEST,
			"document %s: has %zu bytes but %" PRIu64 " were announced",
			digest_short(&d->digest), text->len, d->size_bytes);
	r = hash_bytes(d->digest.algorithm, str_text(text), text->len, &actual);
	if (r < 0)
		return fail_code(err, r, "hash document %s", digest_short(&d->digest));
	if (!hash_equal(&actual, &d->digest))
		return fail(err, IMBREX_EDIGEST, "document %s: content is %s",
			digest_text(&d->digest), digest_text(&actual));
	return 0;
}

/* One step: the manifest was found (0), or *ret_next is where an index points to (1). */
static int follow(document_fetch_fn fetch, void *ctx, const struct oci_descriptor *at,
	unsigned int depth, const struct platform *want, struct source_manifest *ret,
	struct oci_descriptor *ret_next, struct imbrex_error *err)
{
	AUTO_STR text = { 0 };
	AUTO_OCI_INDEX index = { 0 };
	const struct oci_descriptor *entry;
	enum oci_media media;
	int r;

	r = fetch_checked(fetch, ctx, at, &text, err);
	if (r < 0)
		return r;
	r = oci_document_media(at->media_type, str_text(&text), text.len, &media, err);
	if (r == 0 && oci_media_is_manifest(media))
		return keep(media, at, &text, &ret->manifest, &ret->media_type, &ret->digest, err);
	if (r == 0)
		r = oci_index_parse(at->media_type, str_text(&text), text.len, &index, err);
	if (r == 0)
		r = oci_index_select(&index, want, depth, &entry, err);
	if (r < 0)
		return wrap(err, r, "%s", digest_short(&at->digest));
	if (depth == 0) {
		r = keep(media, at, &text, &ret->list, &ret->list_media_type, &ret->list_digest,
			err);
		if (r < 0)
			return r;
	}
	r = oci_descriptor_copy(entry, ret_next, err);
	return r < 0 ? r : 1;
}

static int choose(document_fetch_fn fetch, void *ctx, const struct oci_descriptor *top,
	const struct platform *want, struct source_manifest *ret, struct imbrex_error *err)
{
	struct oci_descriptor at = { 0 };
	int r = oci_descriptor_copy(top, &at, err);

	if (r < 0)
		return r;
	r = 1;
	for (unsigned int depth = 0; r > 0; depth++) {
		struct oci_descriptor next = { 0 };

		r = follow(fetch, ctx, &at, depth, want, ret, &next, err);
		oci_descriptor_done(&at);
		at = next;
	}
	return r;
}

int documents_choose(document_fetch_fn fetch, void *ctx, const struct oci_descriptor *top,
	const struct platform *want, struct source_manifest *ret, struct imbrex_error *err)
{
	struct source_manifest m = { 0 };
	int r = choose(fetch, ctx, top, want, &m, err);

	if (r < 0) {
		source_manifest_done(&m);
		return r;
	}
	m.name = ret->name;
	*ret = m;
	return 0;
}

int blob_file_open(
	int rootfd, const char *file, const struct oci_descriptor *d, struct imbrex_error *err)
{
	AUTO_CLOSE int fd = open_beneath(
		rootfd, file, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, BENEATH_NO_SYMLINKS);
	struct stat st;

	if (fd == -ELOOP || fd == -EXDEV)
		return fail(err, IMBREX_EFORMAT, "blob %s: '%s' is a symbolic link",
			digest_short(&d->digest), file);
	if (fd < 0)
		return fail_code(err, fd, "blob %s: open '%s'", digest_short(&d->digest), file);
	if (fstat(fd, &st) < 0)
		return fail_errno(err, "blob %s: stat '%s'", digest_short(&d->digest), file);
	if (!S_ISREG(st.st_mode))
		return fail(err, IMBREX_EFORMAT, "blob %s: '%s' is not a regular file",
			digest_short(&d->digest), file);
	if ((uint64_t)st.st_size != d->size_bytes)
		return fail(err, IMBREX_EDIGEST,
			"blob %s: '%s' has %" PRIu64 " bytes but %" PRIu64 " were announced",
			digest_short(&d->digest), file, (uint64_t)st.st_size, d->size_bytes);
	return take_fd(fd);
}

int blob_file_push(int rootfd, const char *file, const struct oci_descriptor *d, struct sink *to,
	struct imbrex_error *err)
{
	AUTO_CLOSE int fd = blob_file_open(rootfd, file, d, err);
	int r;

	if (fd < 0)
		return fd;
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL); /* advice only */
	r = pump_fd(fd, to, d->size_bytes, err);
	if (r < 0)
		return r;
	return sink_finish(to, err);
}

int blob_file_read(int rootfd, const char *file, const struct oci_descriptor *d, struct str *ret,
	struct imbrex_error *err)
{
	AUTO_CLOSE int fd = blob_file_open(rootfd, file, d, err);
	int r;

	if (fd < 0)
		return fd;
	r = read_to_end(fd, ret);
	if (r < 0)
		return fail_code(err, r, "blob %s: read '%s'", digest_short(&d->digest), file);
	return 0;
}

/* Length of `name` without the suffixes that say "archive". */
static size_t stem_len(const char *name, size_t len)
{
	static const char *const suffixes[] = { ".gz", ".xz", ".zst", ".bz2", ".tgz", ".txz",
		".tar", ".oci", ".sqsh" };
	bool again = true;

	while (again) {
		again = false;
		for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
			size_t n = strlen(suffixes[i]);

			if (len > n && memcmp(name + len - n, suffixes[i], n) == 0) {
				len -= n;
				again = true;
			}
		}
	}
	return len;
}

/* Letters and digits, single separators between them: always a valid path component. */
static int component(const char *name, size_t len, struct str *ret)
{
	char pending = '\0';
	int r = 0;

	for (size_t i = 0; i < len && r == 0; i++) {
		char c = name[i];

		if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) {
			if (pending && ret->len > 0)
				r = str_putc(ret, pending);
			pending = '\0';
			if (r == 0)
				r = str_putc(ret, c);
		} else if (!pending) {
			pending = c == '.' || c == '_' ? c : '-';
		}
	}
	return r;
}

int name_from_path(const char *path, const char *tag, char **ret, struct imbrex_error *err)
{
	AUTO_STR name = STR_INIT(LIMIT_NAME_BYTES);
	size_t end = strlen(path);
	size_t begin;
	char *text;

	while (end > 0 && path[end - 1] == '/')
		end--;
	begin = end;
	while (begin > 0 && path[begin - 1] != '/')
		begin--;
	if (component(path + begin, stem_len(path + begin, end - begin), &name) < 0)
		return fail_nomem(err);
	if (name.len == 0 || name.len > 128) {
		*ret = NULL;
		return 0;
	}
	if (!tag || !reference_tag_is_valid(tag))
		tag = "latest";
	text = format_text("localhost/%s:%s", str_text(&name), tag);
	if (!text)
		return fail_nomem(err);
	*ret = text;
	return 0;
}

int name_from_ref(const char *path, const char *ref_name, char **ret, struct imbrex_error *err)
{
	AUTO_REFERENCE ref = { 0 };
	char *text;
	int r;

	if (!ref_name || !strpbrk(ref_name, "/:"))
		return name_from_path(path, ref_name, ret, err);
	if (reference_parse_local(ref_name, &ref, NULL) < 0)
		return name_from_path(path, NULL, ret, err);
	r = reference_default_tag(&ref, err);
	if (r < 0)
		return r;
	text = reference_text(&ref);
	if (!text)
		return fail_nomem(err);
	*ret = text;
	return 0;
}

/* The full name that `text` stands for; NULL if it is none. */
static char *full_name(const char *text)
{
	AUTO_REFERENCE ref = { 0 };

	if (reference_parse(text, &ref, NULL) < 0 || reference_default_tag(&ref, NULL) < 0)
		return NULL;
	return reference_text(&ref);
}

int name_found_by(
	const char *reference, const struct strv *names, char **ret, struct imbrex_error *err)
{
	AUTO_FREE char *wanted = full_name(reference);
	const char *slash = strrchr(reference, '/');
	AUTO_FREE char *end = format_text(
		"/%s%s", reference, strpbrk(slash ? slash : reference, ":@") ? "" : ":latest");

	*ret = NULL;
	if (!wanted)
		return 0;
	if (!end)
		return fail_nomem(err);
	for (size_t i = 0; i < names->n; i++) {
		AUTO_FREE char *name = full_name(names->items[i]);

		if (!name || (!str_eq(name, wanted) && (*ret || !str_ends(name, end))))
			continue;
		free(*ret);
		*ret = take_ptr(name);
		if (str_eq(*ret, wanted))
			return 0;
	}
	return 0;
}

void source_manifest_done(struct source_manifest *m)
{
	str_done(&m->manifest);
	str_done(&m->list);
	free(m->media_type);
	free(m->list_media_type);
	free(m->name);
	*m = (struct source_manifest){ 0 };
}
