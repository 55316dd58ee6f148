/* SPDX-License-Identifier: Apache-2.0 */
/* Words of mksquashfs, as a table. Source: mksquashfs(1) of squashfs-tools 4.5. */
#include "format/squashfs/options.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"

#define BLOCK_BYTES_MIN 4096u
#define BLOCK_BYTES_MAX (1024u * 1024u)

/* Bits of the compressors' options. Source: squashfs 4.0 compressor options on disk. */
#define FLAG_LZ4_HC 0x0001

static const char *const compressors[] = {
	[SQUASHFS_GZIP] = "gzip",
	[SQUASHFS_LZMA] = "lzma",
	[SQUASHFS_LZO] = "lzo",
	[SQUASHFS_XZ] = "xz",
	[SQUASHFS_LZ4] = "lz4",
	[SQUASHFS_ZSTD] = "zstd",
};

const char *squashfs_compressor_name(unsigned int compressor)
{
	return compressor < ARRAY_LEN(compressors) ? compressors[compressor] : NULL;
}

void squashfs_options_init(struct squashfs_options *o)
{
	*o = (struct squashfs_options){
		.compressor = SQUASHFS_GZIP,
		.block_bytes = 128u * 1024u,
	};
}

enum option_kind {
	OPTION_FLAG,    /* a bool is set */
	OPTION_IGNORED, /* no value, no meaning here */
	OPTION_IGNORED_ONE /* one value, no meaning here */,
	OPTION_NUMBER,
	OPTION_COMPRESSOR,
	OPTION_BLOCK,
	OPTION_LEVEL,
	OPTION_WINDOW,
	OPTION_DICTIONARY,
	OPTION_LZ4_HC,
	OPTION_PROCESSORS,
	OPTION_UNCOMPRESSED
};

struct option {
	const char *name;
	enum option_kind kind;
	size_t offset;     /* of the member */
	size_t set_offset; /* OPTION_NUMBER: of the bool that says it is there */
};

#define AT(member) offsetof(struct squashfs_options, member)

static const struct option options[] = {
	{ "-comp", OPTION_COMPRESSOR, 0, 0 },
	{ "-b", OPTION_BLOCK, 0, 0 },
	{ "-noI", OPTION_FLAG, AT(no_inodes), 0 },
	{ "-noInodeCompression", OPTION_FLAG, AT(no_inodes), 0 },
	{ "-noD", OPTION_FLAG, AT(no_data), 0 },
	{ "-noDataCompression", OPTION_FLAG, AT(no_data), 0 },
	{ "-noF", OPTION_FLAG, AT(no_fragments), 0 },
	{ "-noFragmentCompression", OPTION_FLAG, AT(no_fragments), 0 },
	{ "-noX", OPTION_FLAG, AT(no_xattr_blocks), 0 },
	{ "-noXattrCompression", OPTION_FLAG, AT(no_xattr_blocks), 0 },
	{ "-noId", OPTION_FLAG, AT(no_ids), 0 },
	{ "-noIdTableCompression", OPTION_FLAG, AT(no_ids), 0 },
	{ "-no-compression", OPTION_UNCOMPRESSED, 0, 0 },
	{ "-no-fragments", OPTION_FLAG, AT(without_fragments), 0 },
	{ "-no-duplicates", OPTION_FLAG, AT(without_duplicates), 0 },
	{ "-no-exports", OPTION_FLAG, AT(without_exports), 0 },
	{ "-no-xattrs", OPTION_FLAG, AT(without_xattrs), 0 },
	{ "-all-root", OPTION_FLAG, AT(all_root), 0 },
	{ "-root-owned", OPTION_FLAG, AT(all_root), 0 },
	{ "-force-uid", OPTION_NUMBER, AT(uid), AT(has_uid) },
	{ "-force-gid", OPTION_NUMBER, AT(gid), AT(has_gid) },
	{ "-mkfs-time", OPTION_NUMBER, AT(image_time_sec), AT(has_image_time) },
	{ "-fstime", OPTION_NUMBER, AT(image_time_sec), AT(has_image_time) },
	{ "-all-time", OPTION_NUMBER, AT(all_time_sec), AT(has_all_time) },
	{ "-nopad", OPTION_FLAG, AT(no_padding), 0 },
	{ "-processors", OPTION_PROCESSORS, 0, 0 },
	{ "-Xcompression-level", OPTION_LEVEL, 0, 0 },
	{ "-Xwindow-size", OPTION_WINDOW, 0, 0 },
	{ "-Xdict-size", OPTION_DICTIONARY, 0, 0 },
	{ "-Xhc", OPTION_LZ4_HC, 0, 0 },
	/* Always so: */
	{ "-reproducible", OPTION_IGNORED, 0, 0 },
	{ "-noappend", OPTION_IGNORED, 0, 0 },
	{ "-exports", OPTION_IGNORED, 0, 0 },
	{ "-xattrs", OPTION_IGNORED, 0, 0 },
	{ "-duplicate-checks", OPTION_IGNORED, 0, 0 },
	{ "-exit-on-error", OPTION_IGNORED, 0, 0 },
	/* About messages and resources: */
	{ "-no-progress", OPTION_IGNORED, 0, 0 },
	{ "-progress", OPTION_IGNORED, 0, 0 },
	{ "-percentage", OPTION_IGNORED, 0, 0 },
	{ "-quiet", OPTION_IGNORED, 0, 0 },
	{ "-info", OPTION_IGNORED, 0, 0 },
	{ "-no-recovery", OPTION_IGNORED, 0, 0 },
	{ "-mem", OPTION_IGNORED_ONE, 0, 0 },
	{ "-throttle", OPTION_IGNORED_ONE, 0, 0 },
	{ "-read-queue", OPTION_IGNORED_ONE, 0, 0 },
	{ "-write-queue", OPTION_IGNORED_ONE, 0, 0 },
	{ "-fragment-queue", OPTION_IGNORED_ONE, 0, 0 },
};

/* Decimal, with K or M behind it if `units`; false if it is none or beyond 32 bits. */
static bool parse_number(const char *text, bool units, uint32_t *ret)
{
	unsigned long long n;
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno || n > UINT32_MAX)
		return false;
	if (units && (*end == 'K' || *end == 'k' || *end == 'M' || *end == 'm')) {
		n *= *end == 'K' || *end == 'k' ? 1024 : 1024 * 1024;
		end++;
	}
	if (*end || n > UINT32_MAX)
		return false;
	*ret = (uint32_t)n;
	return true;
}

static bool set_compressor(struct squashfs_options *o, const char *value)
{
	size_t i;

	for (i = SQUASHFS_GZIP; i < ARRAY_LEN(compressors); i++) {
		if (str_eq(compressors[i], value)) {
			o->compressor = (enum squashfs_compressor)i;
			return true;
		}
	}
	return false;
}

static bool set_value(struct squashfs_options *o, const struct option *opt, const char *value)
{
	uint32_t n;

	if (opt->kind == OPTION_IGNORED_ONE)
		return true;
	if (opt->kind == OPTION_COMPRESSOR)
		return set_compressor(o, value);
	/* A dictionary may be given as a percentage of the block: left to the default. */
	if (opt->kind == OPTION_DICTIONARY && str_ends(value, "%"))
		return true;
	if (!parse_number(value, opt->kind == OPTION_BLOCK || opt->kind == OPTION_DICTIONARY, &n))
		return false;
	switch (opt->kind) {
	case OPTION_NUMBER:
		*(uint32_t *)(void *)((char *)o + opt->offset) = n;
		*(bool *)((char *)o + opt->set_offset) = true;
		return true;
	case OPTION_BLOCK:
		o->block_bytes = n;
		return n >= BLOCK_BYTES_MIN && n <= BLOCK_BYTES_MAX && (n & (n - 1)) == 0;
	case OPTION_LEVEL:
		o->level = n;
		return n >= 1 && n <= 22;
	case OPTION_WINDOW:
		o->window_bits = n;
		return n >= 8 && n <= 15;
	case OPTION_DICTIONARY:
		o->dictionary_bytes = n;
		return n >= 8192 && n <= BLOCK_BYTES_MAX;
	case OPTION_PROCESSORS:
		o->processors = n;
		return n >= 1 && n <= 4096;
	default:
		return false;
	}
}

static bool set_flag(struct squashfs_options *o, const struct option *opt)
{
	switch (opt->kind) {
	case OPTION_FLAG:
		*(bool *)((char *)o + opt->offset) = true;
		return true;
	case OPTION_UNCOMPRESSED:
		o->no_inodes = o->no_data = o->no_fragments = true;
		o->no_xattr_blocks = o->no_ids = true;
		return true;
	case OPTION_LZ4_HC:
		o->flags |= FLAG_LZ4_HC;
		return true;
	case OPTION_IGNORED:
		return true;
	default:
		return false;
	}
}

int squashfs_options_parse(
	struct squashfs_options *o, const char *const *words, struct imbrex_error *err)
{
	const struct option *opt;
	size_t i;

	for (; words && *words; words++) {
		opt = NULL;
		for (i = 0; i < ARRAY_LEN(options) && !opt; i++)
			opt = str_eq(options[i].name, *words) ? &options[i] : NULL;
		if (!opt)
			return fail(err, IMBREX_EINVAL, "mksquashfs option '%s' is not supported",
				*words);
		if (set_flag(o, opt))
			continue;
		if (!words[1])
			return fail(
				err, IMBREX_EINVAL, "mksquashfs option '%s' needs a value", *words);
		words++;
		if (!set_value(o, opt, *words))
			return fail(err, IMBREX_EINVAL, "mksquashfs option '%s': bad value '%s'",
				opt->name, *words);
	}
	return 0;
}
