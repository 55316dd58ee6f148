/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tar reader: a push parser whose unit is the 512-byte block.
 *
 * States (what the next byte is) and who leaves them:
 *
 *   HEADER --take_header--> EXTENSION (x g L K with data) --take_extension--> PADDING
 *      |                    PAYLOAD (a file with data)    --take_payload----> PADDING
 *      |                    PADDING                       --take_padding----> HEADER
 *      '--zero block------> ZERO --second zero block------> TRAILER (for good)
 *
 * Invariants:
 *  1. `block` is part of a header only while block_len > 0; a header that arrives whole is read
 *     where it lies. Payload is never copied.
 *  2. `left` counts the bytes still to come in EXTENSION, PAYLOAD and PADDING; it is never 0 on
 *     entry to these states. `padding` is what follows PAYLOAD or EXTENSION.
 *  3. `pax`, `gnu_name` and `gnu_link` describe the next entry; extension_bytes is 0 if and only
 *     if none of them has been seen since the last entry.
 *  4. Every byte is shown to the observer once, before anything is decided by it.
 */
#include "format/tar/reader.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "base/limits.h"
#include "base/str.h"
#include "format/tar/block.h"
#include "format/tar/path.h"
#include "format/tar/pax.h"

/* Linux: 12 bits of major and 20 bits of minor number. */
#define DEV_MAJOR_MAX 0xfff
#define DEV_MINOR_MAX 0xfffff
/* (uid_t)-1 means "no id" to the kernel. */
#define ID_MAX 0xfffffffeu
enum state {
	STATE_HEADER = 1,
	STATE_EXTENSION,
	STATE_PAYLOAD,
	STATE_PADDING,
	STATE_ZERO,
	STATE_TRAILER
};

struct tar_reader {
	struct sink sink;
	struct entry_sink *entries; /* owned */
	struct tar_observer observer;
	enum state state;
	char extension_type;      /* in EXTENSION */
	bool begun;               /* the entry in question has begun and must end */
	bool to_entries;          /* in PAYLOAD: entries get it; it is dropped else */
	uint64_t left;            /* see invariant 2 */
	uint32_t padding;         /* behind PAYLOAD and EXTENSION; 0..511 */
	uint64_t offset;          /* of the next byte */
	uint64_t header_offset;   /* of the header block in question */
	uint64_t n_headers;       /* entries and global headers so far */
	uint64_t extension_bytes; /* of all extensions of the next entry, blocks included */
	size_t block_len;
	char block[TAR_BLOCK_BYTES] __attribute__((aligned(8)));
	struct pax pax;
	struct str gnu_name;
	struct str gnu_link;
	struct tar_fields header; /* the last one decoded */
	char path[TAR_PATH_SIZE]; /* clean, of the entry in question */
	char link[TAR_PATH_SIZE];
};

static struct tar_reader *reader_of(struct sink *s)
{
	return CONTAINER_OF(s, struct tar_reader, sink);
}

static int fail_at(struct tar_reader *t, int r, struct imbrex_error *err)
{
	return wrap(err, r, "tar header at byte %" PRIu64, t->header_offset);
}

static int fail_entry(struct tar_reader *t, int r, struct imbrex_error *err)
{
	return wrap(
		err, r, "tar entry '%.256s' at byte %" PRIu64, t->header.name, t->header_offset);
}

static int observe_raw(struct tar_reader *t, const void *buf, size_t len, struct imbrex_error *err)
{
	if (!t->observer.raw || !len)
		return 0;
	return t->observer.raw(t->observer.ctx, buf, len, err);
}

static int observe_trailer(struct tar_reader *t, struct imbrex_error *err)
{
	return t->observer.trailer ? t->observer.trailer(t->observer.ctx, err) : 0;
}

static int observe_file(struct tar_reader *t, uint64_t size_bytes, struct imbrex_error *err)
{
	bool global = t->header.type == TAR_TYPE_PAX_GLOBAL;
	struct tar_file file = {
		.name = t->header.name,
		.name_len = strlen(t->header.name),
		.size_bytes = size_bytes,
		.uid = global ? 0 : (uint32_t)t->header.uid,
		.gid = global ? 0 : (uint32_t)t->header.gid,
	};

	return t->observer.file ? t->observer.file(t->observer.ctx, &file, err) : 0;
}

/* Headers are the unit of memory and of work per byte, so they are counted. */
static int count_header(struct tar_reader *t, struct imbrex_error *err)
{
	t->n_headers++;
	if (t->n_headers > LIMIT_LAYER_ENTRIES)
		return fail(err, IMBREX_ELIMIT, "the tar archive has more than %u entries",
			LIMIT_LAYER_ENTRIES);
	return 0;
}

static void forget_extensions(struct tar_reader *t)
{
	if (!t->extension_bytes)
		return;
	pax_clear(&t->pax);
	str_clear(&t->gnu_name);
	str_clear(&t->gnu_link);
	t->extension_bytes = 0;
}

/* GNU names win over pax, pax over the block; with the final name the old file type is settled. */
static int apply_extensions(struct tar_reader *t, struct imbrex_error *err)
{
	struct tar_fields *h = &t->header;
	int r;

	if (t->extension_bytes) {
		r = tar_fields_apply(h, &t->pax, err);
		if (r < 0)
			return r;
		if (*str_text(&t->gnu_name))
			h->name = str_text(&t->gnu_name);
		if (*str_text(&t->gnu_link))
			h->link = str_text(&t->gnu_link);
	}
	if (h->type == TAR_TYPE_FILE_V7)
		h->type = str_ends(h->name, "/") ? TAR_TYPE_DIR : TAR_TYPE_FILE;
	return 0;
}

static int entry_type_of(const struct tar_fields *h, enum entry_type *ret, struct imbrex_error *err)
{
	static const struct {
		char type;
		enum entry_type entry_type;
	} types[] = {
		{ TAR_TYPE_FILE, ENTRY_FILE },
		{ TAR_TYPE_CONTIGUOUS, ENTRY_FILE },
		{ TAR_TYPE_DIR, ENTRY_DIR },
		{ TAR_TYPE_SYMLINK, ENTRY_SYMLINK },
		{ TAR_TYPE_LINK, ENTRY_HARDLINK },
		{ TAR_TYPE_CHAR, ENTRY_CHAR },
		{ TAR_TYPE_BLOCK, ENTRY_BLOCK },
		{ TAR_TYPE_FIFO, ENTRY_FIFO },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(types); i++) {
		if (types[i].type == h->type) {
			*ret = types[i].entry_type;
			return 0;
		}
	}
	if (h->type == TAR_TYPE_GNU_SPARSE)
		return fail(err, IMBREX_ENOTSUP, "sparse files (type 'S') are not supported");
	if (h->type > ' ' && h->type < 0x7f)
		return fail(err, IMBREX_EFORMAT, "unknown entry type '%c'", h->type);
	return fail(err, IMBREX_EFORMAT, "unknown entry type 0x%02x", (unsigned char)h->type);
}

static int check_ranges(const struct tar_fields *h, enum entry_type type, struct imbrex_error *err)
{
	bool device = type == ENTRY_CHAR || type == ENTRY_BLOCK;

	if (h->uid < 0 || h->uid > ID_MAX)
		return fail(err, IMBREX_EFORMAT, "uid %" PRId64 " is out of range", h->uid);
	if (h->gid < 0 || h->gid > ID_MAX)
		return fail(err, IMBREX_EFORMAT, "gid %" PRId64 " is out of range", h->gid);
	if (type == ENTRY_FILE && (uint64_t)h->size > LIMIT_LAYER_BYTES)
		return fail(err, IMBREX_ELIMIT, "size %" PRId64 " is more than %llu", h->size,
			LIMIT_LAYER_BYTES);
	if (device && (h->dev_major < 0 || h->dev_major > DEV_MAJOR_MAX || h->dev_minor < 0 ||
			      h->dev_minor > DEV_MINOR_MAX))
		return fail(err, IMBREX_EFORMAT,
			"device number %" PRId64 ":%" PRId64 " is out of range", h->dev_major,
			h->dev_minor);
	return 0;
}

/* `path` is clean; of no whiteout, whose type is of no meaning. Fills t->link. */
static int check_link(struct tar_reader *t, enum entry_type type, struct imbrex_error *err)
{
	const char *link = t->header.link;
	char decoded[TAR_PATH_SIZE];
	size_t len = strlen(link);
	int r;

	if (!len)
		return fail(err, IMBREX_EFORMAT, "the link target is empty");
	if (type == ENTRY_SYMLINK) {
		if (len > LIMIT_PATH_BYTES)
			return fail(err, IMBREX_ELIMIT, "the link target is longer than %d bytes",
				LIMIT_PATH_BYTES);
		memcpy(t->link, link, len + 1);
		return 0;
	}
	r = tar_path_clean(link, t->link, err);
	if (r < 0)
		return wrap(err, r, "hard link to '%.256s'", link);
	if (str_eq(t->link, "."))
		return fail(err, IMBREX_EFORMAT, "hard link to the layer's root");
	memcpy(decoded, t->link, strlen(t->link) + 1);
	r = tar_path_decode(decoded, NULL);
	if (r != TAR_NAME_PLAIN)
		return fail(err, IMBREX_EFORMAT, "hard link to the whiteout '%.256s'", link);
	return 0;
}

static int begin_entry(struct tar_reader *t, enum entry_type type, struct imbrex_error *err)
{
	const struct tar_fields *h = &t->header;
	struct entry e = {
		.path = t->path,
		.type = type,
		.mode = (uint32_t)h->mode & 07777,
		.uid = (uint32_t)h->uid,
		.gid = (uint32_t)h->gid,
		.mtime_sec = h->mtime_sec,
		.mtime_nsec = h->mtime_nsec,
		.atime_sec = h->has_atime ? h->atime_sec : h->mtime_sec,
		.atime_nsec = h->has_atime ? h->atime_nsec : h->mtime_nsec,
	};

	if (type == ENTRY_SYMLINK || type == ENTRY_HARDLINK)
		e.link = t->link;
	if (type == ENTRY_FILE)
		e.size_bytes = (uint64_t)h->size;
	if (type == ENTRY_CHAR || type == ENTRY_BLOCK) {
		e.dev_major = (uint32_t)h->dev_major;
		e.dev_minor = (uint32_t)h->dev_minor;
	}
	if (type != ENTRY_WHITEOUT && type != ENTRY_OPAQUE) {
		e.xattrs = t->pax.xattrs;
		e.n_xattrs = t->pax.n_xattrs;
	}
	return t->entries->ops->begin(t->entries, &e, err);
}

/*
 * Validate what the header says. `type` is what its type field means; *ret what the entry is, or
 * 0 for one to be ignored. Fills t->path and t->link.
 */
static int decide_entry(
	struct tar_reader *t, enum entry_type type, enum entry_type *ret, struct imbrex_error *err)
{
	int kind;
	int r;

	r = check_ranges(&t->header, type, err);
	if (r < 0)
		return r;
	r = tar_path_clean(t->header.name, t->path, err);
	if (r < 0)
		return r;
	kind = tar_path_decode(t->path, err);
	if (kind < 0)
		return kind;
	*ret = 0;
	if (kind == TAR_NAME_WHITEOUT)
		*ret = ENTRY_WHITEOUT;
	if (kind == TAR_NAME_OPAQUE)
		*ret = ENTRY_OPAQUE;
	if (kind != TAR_NAME_PLAIN)
		return 0;
	*ret = type;
	if (type != ENTRY_DIR && str_eq(t->path, "."))
		return fail(err, IMBREX_EFORMAT, "the layer's root must be a directory");
	if (type == ENTRY_SYMLINK || type == ENTRY_HARDLINK)
		return check_link(t, type, err);
	return 0;
}

/* The payload of the entry in question has passed, or it has none. */
static int end_payload(struct tar_reader *t, struct imbrex_error *err)
{
	int r;

	r = t->observer.end ? t->observer.end(t->observer.ctx, err) : 0;
	if (r < 0 || !t->begun)
		return r;
	t->begun = false;
	return t->entries->ops->end(t->entries, err);
}

/* A header block that is an entry of its own, its extensions being known. */
static int take_entry(struct tar_reader *t, struct imbrex_error *err)
{
	enum entry_type type = 0;
	uint64_t size;
	int r;

	r = apply_extensions(t, err);
	if (r < 0)
		return fail_entry(t, r, err);
	r = entry_type_of(&t->header, &type, err);
	if (r < 0)
		return fail_entry(t, r, err);
	size = type == ENTRY_FILE ? (uint64_t)t->header.size : 0;
	r = decide_entry(t, type, &type, err);
	if (r < 0)
		return fail_entry(t, r, err);
	r = observe_file(t, size, err);
	if (r < 0)
		return r;
	t->begun = type != 0;
	t->to_entries = type == ENTRY_FILE;
	if (t->begun) {
		r = begin_entry(t, type, err);
		if (r < 0)
			return r;
	}
	forget_extensions(t);
	if (!size)
		return end_payload(t, err);
	t->state = STATE_PAYLOAD;
	t->left = size;
	t->padding = tar_padding(size);
	return 0;
}

static int take_global(struct tar_reader *t, struct imbrex_error *err)
{
	int r;

	r = pax_parse(&t->pax, /* global= */ true, err);
	if (r < 0)
		return fail_at(t, r, err);
	if (t->pax.values[PAX_PATH])
		t->header.name = t->pax.values[PAX_PATH];
	r = observe_file(t, /* size_bytes= */ 0, err);
	if (r < 0)
		return r;
	forget_extensions(t);
	return t->observer.end ? t->observer.end(t->observer.ctx, err) : 0;
}

/* All data of an extension has been collected. */
static int take_extension(struct tar_reader *t, struct imbrex_error *err)
{
	int r;

	t->state = t->padding ? STATE_PADDING : STATE_HEADER;
	t->left = t->padding;
	switch (t->extension_type) {
	case TAR_TYPE_PAX_GLOBAL:
		return take_global(t, err);
	case TAR_TYPE_PAX:
		r = pax_parse(&t->pax, /* global= */ false, err);
		return r < 0 ? fail_at(t, r, err) : 0;
	default:
		return 0;
	}
}

static struct str *extension_buffer(struct tar_reader *t, char type)
{
	switch (type) {
	case TAR_TYPE_PAX:
	case TAR_TYPE_PAX_GLOBAL:
		return &t->pax.data;
	case TAR_TYPE_GNU_NAME:
		return &t->gnu_name;
	case TAR_TYPE_GNU_LINK:
		return &t->gnu_link;
	default:
		return NULL;
	}
}

/* A header block of an extension. A second one of a kind replaces the first, as in Go. */
static int begin_extension(struct tar_reader *t, struct imbrex_error *err)
{
	uint64_t size = (uint64_t)t->header.size;
	int r;

	if (t->header.type == TAR_TYPE_PAX_GLOBAL) {
		if (t->extension_bytes)
			return fail(err, IMBREX_EFORMAT,
				"a global header comes between an extended header and its entry");
		r = count_header(t, err);
		if (r < 0)
			return r;
	}
	if (size > LIMIT_PAX_BYTES)
		return fail(err, IMBREX_ELIMIT,
			"an extended header of %" PRIu64 " bytes is more than %u", size,
			LIMIT_PAX_BYTES);
	t->extension_bytes += TAR_BLOCK_BYTES + size;
	if (t->extension_bytes > LIMIT_TAR_EXTENSION_BYTES)
		return fail(err, IMBREX_ELIMIT,
			"the extended headers of one entry are more than %u bytes",
			LIMIT_TAR_EXTENSION_BYTES);
	if (extension_buffer(t, t->header.type) == &t->pax.data)
		pax_clear(&t->pax);
	else
		str_clear(extension_buffer(t, t->header.type));
	t->state = STATE_EXTENSION;
	t->extension_type = t->header.type;
	t->left = size;
	t->padding = tar_padding(size);
	return 0;
}

/* A whole header block, 8-byte alignment not promised. */
static int take_header(struct tar_reader *t, const void *block, struct imbrex_error *err)
{
	int r;

	r = observe_raw(t, block, TAR_BLOCK_BYTES, err);
	if (r < 0)
		return r;
	t->header_offset = t->offset - TAR_BLOCK_BYTES;
	if (tar_block_is_zero(block)) {
		if (t->extension_bytes)
			return fail_reason(err, IMBREX_EFORMAT, IMBREX_REASON_CUT_OFF,
				"tar archive ends at byte %" PRIu64
				" between an extended header and its entry",
				t->header_offset);
		t->state = t->state == STATE_ZERO ? STATE_TRAILER : STATE_ZERO;
		return t->state == STATE_TRAILER ? observe_trailer(t, err) : 0;
	}
	if (t->state == STATE_ZERO)
		return fail(err, IMBREX_EFORMAT,
			"tar archive has a single block of zeros before byte %" PRIu64,
			t->header_offset);
	r = tar_block_parse(block, &t->header, err);
	if (r < 0)
		return fail_at(t, r, err);
	if (extension_buffer(t, t->header.type)) {
		r = begin_extension(t, err);
		if (r < 0)
			return fail_at(t, r, err);
		return t->left ? 0 : take_extension(t, err);
	}
	r = count_header(t, err);
	return r < 0 ? r : take_entry(t, err);
}

/* Each write_*() consumes up to `len` bytes, says how many, and leaves its state when it is due. */
static int write_header(struct tar_reader *t, const char *buf, size_t len, size_t *ret_used,
	struct imbrex_error *err)
{
	size_t n = MIN(len, TAR_BLOCK_BYTES - t->block_len);

	t->offset += n;
	*ret_used = n;
	if (n == TAR_BLOCK_BYTES)
		return take_header(t, buf, err);
	memcpy(t->block + t->block_len, buf, n);
	t->block_len += n;
	if (t->block_len < TAR_BLOCK_BYTES)
		return 0;
	t->block_len = 0;
	return take_header(t, t->block, err);
}

static int write_extension(struct tar_reader *t, const char *buf, size_t len, size_t *ret_used,
	struct imbrex_error *err)
{
	size_t n = MIN(len, t->left);
	int r;

	r = observe_raw(t, buf, n, err);
	if (r < 0)
		return r;
	r = str_append(extension_buffer(t, t->extension_type), buf, n);
	if (r < 0)
		return fail_code(err, r, "tar header at byte %" PRIu64, t->header_offset);
	t->offset += n;
	t->left -= n;
	*ret_used = n;
	return t->left ? 0 : take_extension(t, err);
}

static int write_payload(struct tar_reader *t, const char *buf, size_t len, size_t *ret_used,
	struct imbrex_error *err)
{
	size_t n = MIN(len, t->left);
	int r = 0;

	if (t->observer.payload)
		r = t->observer.payload(t->observer.ctx, buf, n, err);
	if (r < 0)
		return r;
	if (t->to_entries) {
		r = t->entries->ops->data(t->entries, buf, n, err);
		if (r < 0)
			return r;
	}
	t->offset += n;
	t->left -= n;
	*ret_used = n;
	if (t->left)
		return 0;
	t->state = t->padding ? STATE_PADDING : STATE_HEADER;
	t->left = t->padding;
	return end_payload(t, err);
}

static int write_padding(struct tar_reader *t, const char *buf, size_t len, size_t *ret_used,
	struct imbrex_error *err)
{
	size_t n = MIN(len, t->left);

	t->offset += n;
	t->left -= n;
	*ret_used = n;
	if (!t->left)
		t->state = STATE_HEADER;
	return observe_raw(t, buf, n, err);
}

static int write_some(struct tar_reader *t, const char *buf, size_t len, size_t *ret_used,
	struct imbrex_error *err)
{
	switch (t->state) {
	case STATE_HEADER:
	case STATE_ZERO:
		return write_header(t, buf, len, ret_used, err);
	case STATE_EXTENSION:
		return write_extension(t, buf, len, ret_used, err);
	case STATE_PAYLOAD:
		return write_payload(t, buf, len, ret_used, err);
	case STATE_PADDING:
		return write_padding(t, buf, len, ret_used, err);
	case STATE_TRAILER:
		t->offset += len;
		*ret_used = len;
		return observe_raw(t, buf, len, err);
	}
	return fail(err, IMBREX_EFAIL, "tar reader in unknown state %d", (int)t->state);
}

static int reader_write(struct sink *s, const void *buf, size_t len, struct imbrex_error *err)
{
	struct tar_reader *t = reader_of(s);
	const char *at = buf;
	size_t used = 0;
	int r;

	if (len > LIMIT_LAYER_BYTES - t->offset)
		return fail(err, IMBREX_ELIMIT, "the tar archive is larger than %llu bytes",
			LIMIT_LAYER_BYTES);
	for (; len; at += used, len -= used) {
		r = write_some(t, at, len, &used, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Go takes an archive without end marker as whole, and one that ends within padding. */
static int check_whole(struct tar_reader *t, struct imbrex_error *err)
{
	switch (t->state) {
	case STATE_EXTENSION:
		return fail_reason(err, IMBREX_EFORMAT, IMBREX_REASON_CUT_OFF,
			"tar archive ends at byte %" PRIu64
			", within the extended header at byte %" PRIu64,
			t->offset, t->header_offset);
	case STATE_PAYLOAD:
		return fail_reason(err, IMBREX_EFORMAT, IMBREX_REASON_CUT_OFF,
			"tar archive ends at byte %" PRIu64 ", %" PRIu64
			" bytes before the end of entry '%.256s'",
			t->offset, t->left, t->path);
	default:
		break;
	}
	if (t->block_len)
		return fail_reason(err, IMBREX_EFORMAT, IMBREX_REASON_CUT_OFF,
			"tar archive ends at byte %" PRIu64 ", within a header", t->offset);
	if (t->extension_bytes)
		return fail_reason(err, IMBREX_EFORMAT, IMBREX_REASON_CUT_OFF,
			"tar archive ends at byte %" PRIu64
			" between an extended header and its entry",
			t->offset);
	return 0;
}

static int reader_finish(struct sink *s, struct imbrex_error *err)
{
	struct tar_reader *t = reader_of(s);
	int r;

	r = check_whole(t, err);
	if (r < 0)
		return r;
	if (t->state != STATE_TRAILER) {
		r = observe_trailer(t, err);
		if (r < 0)
			return r;
	}
	if (t->observer.finish) {
		r = t->observer.finish(t->observer.ctx, err);
		if (r < 0)
			return r;
	}
	return t->entries->ops->finish(t->entries, err);
}

static void reader_free(struct sink *s)
{
	struct tar_reader *t = reader_of(s);

	entry_sink_free(t->entries);
	pax_done(&t->pax);
	str_done(&t->gnu_name);
	str_done(&t->gnu_link);
	free(t);
}

static const struct sink_ops reader_ops = {
	.name = "tar reader",
	.write = reader_write,
	.finish = reader_finish,
	.free = reader_free,
};

int tar_reader_new(struct entry_sink *entries, const struct tar_observer *observer,
	struct sink **ret, struct imbrex_error *err)
{
	struct tar_reader *t = calloc(1, sizeof(*t));

	if (!t)
		return fail_nomem(err);
	t->sink.ops = &reader_ops;
	t->entries = entries;
	if (observer)
		t->observer = *observer;
	t->state = STATE_HEADER;
	t->pax = (struct pax)PAX_INIT;
	t->gnu_name = (struct str)STR_INIT(LIMIT_PAX_BYTES);
	t->gnu_link = (struct str)STR_INIT(LIMIT_PAX_BYTES);
	*ret = &t->sink;
	return 0;
}
