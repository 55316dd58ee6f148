/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hostile compressed streams. Each row says why it is hostile, what comes of it, and how the
 * message begins. Rows that end well are there because they must not cost more than honest input.
 */
#include "harness.h"

#include "config.h"

#if HAVE_BZIP2
#include <bzlib.h>
#endif
#if HAVE_LZMA
#include <lzma.h>
#endif

#include "stream/compress.h"
#include "stream/detect.h"
#include "stream/gzip.h"

/* A member's header without options, and the trailer of an empty one. */
#define GZ_HEADER   "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
#define GZ_EMPTY    GZ_HEADER "\x03\x00" GZ_TRAILER
#define GZ_TRAILER  "\0\0\0\0\0\0\0\0"
#define GZ_FLAGS(f) "\x1f\x8b\x08" f "\x00\x00\x00\x00\x00\xff"
/* Deflate that decodes "abc" as a stored block, and its check value and size. */
#define STORED_ABC             \
	"\x01\x03\x00\xfc\xff" \
	"abc"
#define CRC_ABC     "\xc2\x41\x24\x35"
#define MORE        "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
#define ZSTD_MAGIC  "\x28\xb5\x2f\xfd"
#define BYTES(text) .bytes = (text), .len = sizeof(text) - 1

struct hostile {
	const char *why;
	enum compression format;
	const char *bytes; /* NULL: make() */
	size_t len;
	void (*make)(struct str *to);
	int status;
	const char *message; /* begins so */
	uint64_t out_bytes;  /* of a row that ends well */
	uint64_t out_max;    /* of a row that fails: no more than this passes; 0: 1 MiB */
};

static void append(struct str *to, const void *buf, size_t len)
{
	assert_int_equal(str_append(to, buf, len), 0);
}
#define APPEND(to, text) append((to), (text), sizeof(text) - 1)

static void append_through(struct sink *s, struct seen *seen, struct str *to, uint64_t n_zeros)
{
	AUTO_FREE void *zeros = calloc(1, 1024 * 1024);
	struct imbrex_error err = { 0 };

	assert_non_null(zeros);
	for (; n_zeros; n_zeros -= MIN(n_zeros, 1024u * 1024u))
		assert_int_equal(
			sink_write(s, zeros, (size_t)MIN(n_zeros, 1024u * 1024u), &err), 0);
	assert_int_equal(sink_finish(s, &err), 0);
	sink_free(s);
	append(to, seen->text.data, seen->text.len);
	seen_done(seen);
}

static void make_gzip_bomb(struct str *to)
{
	struct seen seen = SEEN_INIT;
	struct sink *s;

	assert_int_equal(gzip_sink_new(9, record_new(&seen), &s, NULL), 0);
	append_through(s, &seen, to, 200u << 20);
}

static void make_fast_gzip(struct str *to)
{
	struct seen seen = SEEN_INIT;
	struct sink *s;

	assert_int_equal(gzip_fast_sink_new(record_new(&seen), &s, NULL), 0);
	append_through(s, &seen, to, 100u << 20);
}

static void make_empty_members(struct str *to)
{
	size_t i;

	for (i = 0; i < 100000; i++)
		APPEND(to, GZ_EMPTY);
}

static void make_name_of_8_mib(struct str *to)
{
	AUTO_FREE char *name = malloc(8u << 20);

	assert_non_null(name);
	memset(name, 'n', 8u << 20);
	APPEND(to, GZ_FLAGS("\x08"));
	append(to, name, 8u << 20);
}

static void make_padding_of_8_mib(struct str *to)
{
	AUTO_FREE char *zeros = calloc(1, 8u << 20);

	assert_non_null(zeros);
	APPEND(to, GZ_EMPTY);
	append(to, zeros, 8u << 20);
	APPEND(to, "x");
}

/* Blocks that say "128 KiB of this byte" in four bytes each. */
static void add_rle_blocks(struct str *to, size_t n, bool last)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (last && i == n - 1)
			APPEND(to, "\x03\x00\x10x");
		else
			APPEND(to, "\x02\x00\x10x");
	}
}

static void make_zstd_bomb(struct str *to)
{
	APPEND(to, ZSTD_MAGIC "\x00\x38");
	add_rle_blocks(to, 100000, true);
}

static void make_zstd_bomb_of_frames(struct str *to)
{
	size_t i;

	for (i = 0; i < 20000; i++) {
		APPEND(to, ZSTD_MAGIC "\x00\x38");
		add_rle_blocks(to, 1, true);
	}
}

static void make_skippable_frames(struct str *to)
{
	size_t i;

	for (i = 0; i < 100000; i++)
		APPEND(to, "\x53\x2a\x4d\x18\x00\x00\x00\x00");
}

static void make_empty_frames(struct str *to)
{
	size_t i;

	for (i = 0; i < 50000; i++)
		APPEND(to, ZSTD_MAGIC "\x00\x38\x01\x00\x00");
}

static void make_empty_blocks(struct str *to)
{
	size_t i;

	APPEND(to, ZSTD_MAGIC "\x00\x38");
	for (i = 0; i < 100000; i++)
		APPEND(to, "\x00\x00\x00");
	APPEND(to, "\x01\x00\x00");
}

static void make_zstd_checked(struct str *to)
{
	struct seen seen = SEEN_INIT;
	struct sink *s;

	assert_int_equal(zstd_compress_sink_new(3, 1, record_new(&seen), &s, NULL), 0);
	append_through(s, &seen, to, 100);
	to->data[to->len - 1] ^= 1;
}

#if HAVE_LZMA
static void make_xz(struct str *to, size_t n_zeros)
{
	AUTO_FREE uint8_t *zeros = calloc(1, n_zeros);
	size_t room_len = 1024 * 1024;
	size_t used = 0;
	char *room;

	assert_non_null(zeros);
	assert_int_equal(str_reserve(to, room_len, &room), 0);
	assert_int_equal(lzma_easy_buffer_encode(0, LZMA_CHECK_CRC32, NULL, zeros, n_zeros,
				 (uint8_t *)room, &used, room_len),
		LZMA_OK);
	to->len += used;
}

static void make_xz_bomb(struct str *to)
{
	make_xz(to, 80u << 20);
}

static void make_xz_cut(struct str *to)
{
	make_xz(to, 1000);
	to->len -= 5;
}

static void make_xz_garbage(struct str *to)
{
	make_xz(to, 1000);
	APPEND(to, "garbage after the stream");
}

static void make_xz_bad_footer(struct str *to)
{
	make_xz(to, 1000);
	to->data[to->len - 1] = 'z';
}

/* Headers alone: a dictionary of 1.5 GiB wants that much memory before the first byte. */
static void make_xz_memory(struct str *to)
{
	lzma_stream_flags flags = { .check = LZMA_CHECK_CRC32 };
	lzma_options_lzma options;
	lzma_filter filters[] = { { LZMA_FILTER_LZMA2, &options }, { LZMA_VLI_UNKNOWN, NULL } };
	lzma_block block = { .check = LZMA_CHECK_CRC32,
		.filters = filters,
		.compressed_size = LZMA_VLI_UNKNOWN,
		.uncompressed_size = LZMA_VLI_UNKNOWN };
	uint8_t header[LZMA_STREAM_HEADER_SIZE];
	uint8_t block_header[LZMA_BLOCK_HEADER_SIZE_MAX];

	assert_false(lzma_lzma_preset(&options, 0));
	options.dict_size = 1536u << 20;
	assert_int_equal(lzma_stream_header_encode(&flags, header), LZMA_OK);
	assert_int_equal(lzma_block_header_size(&block), LZMA_OK);
	assert_int_equal(lzma_block_header_encode(&block, block_header), LZMA_OK);
	append(to, header, sizeof(header));
	append(to, block_header, block.header_size);
	APPEND(to, MORE);
}
#endif

#if HAVE_BZIP2
static void make_bzip2(struct str *to, size_t n_zeros)
{
	AUTO_FREE char *zeros = calloc(1, n_zeros);
	unsigned int room_len = 1024 * 1024;
	char *room;

	assert_non_null(zeros);
	assert_int_equal(str_reserve(to, room_len, &room), 0);
	assert_int_equal(
		BZ2_bzBuffToBuffCompress(room, &room_len, zeros, (unsigned int)n_zeros, 1, 0, 0),
		BZ_OK);
	to->len += room_len;
}

static void make_bzip2_bomb(struct str *to)
{
	make_bzip2(to, 80u << 20);
}

static void make_bzip2_cut(struct str *to)
{
	make_bzip2(to, 1000);
	to->len -= 5;
}

static void make_bzip2_garbage(struct str *to)
{
	make_bzip2(to, 1000);
	APPEND(to, "garbage");
}

static void make_bzip2_bad_block_crc(struct str *to)
{
	make_bzip2(to, 1000);
	to->data[10] ^= 1;
}

static void make_bzip2_streams(struct str *to)
{
	size_t i;

	for (i = 0; i < 1000; i++)
		APPEND(to, "BZh1\x17\x72\x45\x38\x50\x90\0\0\0\0");
}
#endif

static const struct hostile rows[] = {
	{ "nothing at all", COMPRESSION_GZIP, BYTES(""), .status = IMBREX_EFORMAT,
		.message = "gzip stream is empty" },
	{ "a single byte", COMPRESSION_GZIP, BYTES("\x1f"), .status = IMBREX_EFORMAT,
		.message = "gzip stream ends inside a member after 1 bytes" },
	{ "zeros only: padding of nothing", COMPRESSION_GZIP, BYTES(MORE), .status = IMBREX_EFORMAT,
		.message = "no gzip member at byte 0" },
	{ "a zlib wrapper", COMPRESSION_GZIP, BYTES("\x78\x9c\x03\x00\x00\x00\x00\x01" MORE),
		.status = IMBREX_EFORMAT, .message = "no gzip member at byte 0" },
	{ "an unknown method", COMPRESSION_GZIP,
		BYTES("\x1f\x8b\x07\x00\x00\x00\x00\x00\x00\xff" MORE), .status = IMBREX_EFORMAT,
		.message = "gzip member at byte 0: method 7 is not deflate" },
	{ "reserved flags", COMPRESSION_GZIP, BYTES(GZ_FLAGS("\xe0") MORE),
		.status = IMBREX_EFORMAT,
		.message = "gzip member at byte 0: reserved flags 0xe0 are set" },
	{ "an extra field longer than the file", COMPRESSION_GZIP,
		BYTES(GZ_FLAGS("\x04") "\xff\xff" MORE), .status = IMBREX_EFORMAT,
		.message = "gzip stream ends inside a member after 28 bytes" },
	{ "a name of 8 MiB without end", COMPRESSION_GZIP, .make = make_name_of_8_mib,
		.status = IMBREX_EFORMAT,
		.message = "gzip stream ends inside a member after 8388618 bytes" },
	{ "a comment without end", COMPRESSION_GZIP, BYTES(GZ_FLAGS("\x10") "comment"),
		.status = IMBREX_EFORMAT,
		.message = "gzip stream ends inside a member after 17 bytes" },
	{ "a wrong header check", COMPRESSION_GZIP, BYTES(GZ_FLAGS("\x02") "\xad\xde" MORE),
		.status = IMBREX_EFORMAT, .message = "gzip member at byte 0: header has check 0x" },
	{ "a wrong CRC", COMPRESSION_GZIP, BYTES(GZ_HEADER STORED_ABC "\xef\xbe\xad\xde\x03\0\0\0"),
		.status = IMBREX_EFORMAT,
		.message = "gzip member at byte 0: content has CRC 0x352441c2 but trailer says "
			   "0xdeadbeef" },
	{ "a wrong size", COMPRESSION_GZIP, BYTES(GZ_HEADER STORED_ABC CRC_ABC "\x04\0\0\0"),
		.status = IMBREX_EFORMAT,
		.message = "gzip member at byte 0: content has 3 bytes but trailer says 4" },
	{ "a cut in the middle of a block", COMPRESSION_GZIP,
		BYTES(GZ_HEADER "\x01\x03\x00\xfc\xff"
				"a"),
		.status = IMBREX_EFORMAT,
		.message = "gzip stream ends inside a member after 16 bytes" },
	{ "a cut in the trailer", COMPRESSION_GZIP, BYTES(GZ_HEADER STORED_ABC CRC_ABC "\x03"),
		.status = IMBREX_EFORMAT,
		.message = "gzip stream ends inside a member after 23 bytes" },
	{ "no final block", COMPRESSION_GZIP, BYTES(GZ_HEADER "\x00\x00\x00\xff\xff"),
		.status = IMBREX_EFORMAT,
		.message = "gzip stream ends inside a member after 15 bytes" },
	{ "text after the last member", COMPRESSION_GZIP, BYTES(GZ_EMPTY "garbage"),
		.status = IMBREX_EFORMAT,
		.message = "gzip stream has garbage after its last member, at byte 20" },
	{ "garbage behind 8 MiB of padding", COMPRESSION_GZIP, .make = make_padding_of_8_mib,
		.status = IMBREX_EFORMAT,
		.message = "gzip stream has garbage after its last member, at byte 8388628" },
	{ "a member behind padding", COMPRESSION_GZIP, BYTES(GZ_EMPTY "\0" GZ_EMPTY),
		.status = IMBREX_EFORMAT,
		.message = "gzip stream has garbage after its last member, at byte 21" },
	{ "a second member that is none", COMPRESSION_GZIP, BYTES(GZ_EMPTY "\x1f\x00" MORE),
		.status = IMBREX_EFORMAT, .message = "no gzip member at byte 20" },
	{ "a second member that is cut", COMPRESSION_GZIP, BYTES(GZ_EMPTY GZ_HEADER),
		.status = IMBREX_EFORMAT,
		.message = "gzip stream ends inside a member after 30 bytes" },
	{ "the reserved block type", COMPRESSION_GZIP, BYTES(GZ_HEADER "\x07" MORE),
		.status = IMBREX_EFORMAT,
		.message = "gzip member at byte 0: malformed deflate data" },
	{ "a stored block whose lengths disagree", COMPRESSION_GZIP,
		BYTES(GZ_HEADER "\x01\x05\x00\x00\x00" MORE), .status = IMBREX_EFORMAT,
		.message = "gzip member at byte 0: malformed deflate data" },
	{ "a match before the first byte", COMPRESSION_GZIP, BYTES(GZ_HEADER "\x03\x02\x00" MORE),
		.status = IMBREX_EFORMAT,
		.message = "gzip member at byte 0: malformed deflate data" },
	{ "a match into the member before", COMPRESSION_GZIP,
		BYTES(GZ_HEADER STORED_ABC CRC_ABC "\x03\0\0\0" GZ_HEADER "\x03\x02\x00" MORE),
		.status = IMBREX_EFORMAT,
		.message = "gzip member at byte 26: malformed deflate data" },
	{ "length symbol 286", COMPRESSION_GZIP, BYTES(GZ_HEADER "\x1b\x03\x00" MORE),
		.status = IMBREX_EFORMAT,
		.message = "gzip member at byte 0: malformed deflate data" },
	{ "distance symbol 30", COMPRESSION_GZIP, BYTES(GZ_HEADER "\x4b\x04\x3e\x00" MORE),
		.status = IMBREX_EFORMAT,
		.message = "gzip member at byte 0: malformed deflate data" },
	{ "288 literal codes", COMPRESSION_GZIP, BYTES(GZ_HEADER "\xfd\x00\x00" MORE MORE),
		.status = IMBREX_EFORMAT,
		.message = "gzip member at byte 0: malformed deflate data" },
	{ "an over-subscribed code", COMPRESSION_GZIP,
		BYTES(GZ_HEADER "\x05\x00\x92\x04" MORE MORE), .status = IMBREX_EFORMAT,
		.message = "gzip member at byte 0: malformed deflate data" },
	{ "a repeat of no code length", COMPRESSION_GZIP,
		BYTES(GZ_HEADER "\x05\x00\x02\x24" MORE MORE), .status = IMBREX_EFORMAT,
		.message = "gzip member at byte 0: malformed deflate data" },
	{ "200 MiB of zeros at deflate's maximum, which honest layers reach", COMPRESSION_GZIP,
		.make = make_gzip_bomb, .out_bytes = 200u << 20 },
	{ "100 MiB in one block, as igzip writes", COMPRESSION_GZIP, .make = make_fast_gzip,
		.out_bytes = 100u << 20 },
	{ "100,000 empty members", COMPRESSION_GZIP, .make = make_empty_members, .out_bytes = 0 },

	{ "nothing at all", COMPRESSION_ZSTD, BYTES(""), .status = IMBREX_EFORMAT,
		.message = "zstd stream is empty" },
	{ "half a magic number", COMPRESSION_ZSTD, BYTES("\x28\xb5"), .status = IMBREX_EFORMAT,
		.message = "zstd stream ends inside a frame after 2 bytes" },
	{ "gzip", COMPRESSION_ZSTD, BYTES(GZ_EMPTY), .status = IMBREX_EFORMAT,
		.message = "no zstd frame at byte 0" },
	{ "a frame of zstd 0.7, whose decoder nobody tests", COMPRESSION_ZSTD,
		BYTES("\x27\xb5\x2f\xfd\x00\x38" MORE), .status = IMBREX_EFORMAT,
		.message = "no zstd frame at byte 0" },
	{ "such a frame behind an honest one", COMPRESSION_ZSTD,
		BYTES(ZSTD_MAGIC "\x00\x38\x01\x00\x00"
				 "\x27\xb5\x2f\xfd\x00\x38" MORE),
		.status = IMBREX_EFORMAT, .message = "no zstd frame at byte 9" },
	{ "a window of 2 GiB", COMPRESSION_ZSTD, BYTES(ZSTD_MAGIC "\x00\xa8\x01\x00\x00" MORE),
		.status = IMBREX_ELIMIT,
		.message = "zstd frame at byte 0: window is beyond the limit of 134217728 bytes" },
	{ "a window one step beyond the limit", COMPRESSION_ZSTD,
		BYTES(ZSTD_MAGIC "\x00\x89\x01\x00\x00" MORE), .status = IMBREX_ELIMIT,
		.message = "zstd frame at byte 0: window is beyond the limit of 134217728 bytes" },
	{ "a window at the limit", COMPRESSION_ZSTD, BYTES(ZSTD_MAGIC "\x00\x88\x01\x00\x00"),
		.out_bytes = 0 },
	{ "a single segment that claims 1 TiB", COMPRESSION_ZSTD,
		BYTES(ZSTD_MAGIC "\xe0\0\0\0\0\0\x01\0\0\x01\x00\x00"), .status = IMBREX_ELIMIT,
		.message = "zstd frame at byte 0: window is beyond the limit of 134217728 bytes" },
	{ "a dictionary that nobody has", COMPRESSION_ZSTD,
		BYTES(ZSTD_MAGIC "\x01\x38\x07\x01\x00\x00"), .status = IMBREX_EFORMAT,
		.message = "zstd frame at byte 0: Dictionary mismatch" },
	{ "the reserved bit", COMPRESSION_ZSTD, BYTES(ZSTD_MAGIC "\x08\x38\x01\x00\x00"),
		.status = IMBREX_EFORMAT,
		.message = "zstd frame at byte 0: Unsupported frame parameter" },
	{ "the reserved block type", COMPRESSION_ZSTD,
		BYTES(ZSTD_MAGIC "\x00\x38\x07\x00\x00" MORE), .status = IMBREX_EFORMAT,
		.message = "zstd frame at byte 0: " },
	{ "a block beyond the maximum", COMPRESSION_ZSTD,
		BYTES(ZSTD_MAGIC "\x00\x38\xfd\xff\xff" MORE), .status = IMBREX_EFORMAT,
		.message = "zstd frame at byte 0: " },
	{ "a content size that lies", COMPRESSION_ZSTD,
		BYTES(ZSTD_MAGIC "\x20\x05\x19\x00\x00"
				 "abc"),
		.status = IMBREX_EFORMAT, .message = "zstd frame at byte 0: " },
	{ "a wrong checksum", COMPRESSION_ZSTD, .make = make_zstd_checked, .status = IMBREX_EFORMAT,
		.message = "zstd frame at byte 0: Restored data doesn't match checksum" },
	{ "a cut in the middle of a block", COMPRESSION_ZSTD,
		BYTES(ZSTD_MAGIC "\x00\x38\x19\x00\x00"
				 "a"),
		.status = IMBREX_EFORMAT,
		.message = "zstd stream ends inside a frame after 10 bytes" },
	{ "a header whose tail looks like a skippable frame", COMPRESSION_ZSTD,
		BYTES(ZSTD_MAGIC "\x50\x2a\x4d\x18\x05\x00\x00\x00"
				 "hello"),
		.status = IMBREX_EFORMAT, .message = "no zstd frame at byte 11" },
	{ "garbage behind the last frame", COMPRESSION_ZSTD,
		BYTES(ZSTD_MAGIC "\x00\x38\x01\x00\x00"
				 "garbage"),
		.status = IMBREX_EFORMAT, .message = "no zstd frame at byte 9" },
	{ "zeros behind the last frame: zstd knows no padding", COMPRESSION_ZSTD,
		BYTES(ZSTD_MAGIC "\x00\x38\x01\x00\x00" MORE), .status = IMBREX_EFORMAT,
		.message = "no zstd frame at byte 9" },
	{ "a skippable frame of 4 GiB that is not there", COMPRESSION_ZSTD,
		BYTES("\x50\x2a\x4d\x18\xff\xff\xff\xff" MORE), .status = IMBREX_EFORMAT,
		.message = "zstd stream ends inside a frame after 24 bytes" },
	{ "100,000 skippable frames", COMPRESSION_ZSTD, .make = make_skippable_frames,
		.out_bytes = 0 },
	{ "50,000 empty frames", COMPRESSION_ZSTD, .make = make_empty_frames, .out_bytes = 0 },
	{ "100,000 empty blocks", COMPRESSION_ZSTD, .make = make_empty_blocks, .out_bytes = 0 },
	{ "12 GiB in 400 kB", COMPRESSION_ZSTD, .make = make_zstd_bomb, .status = IMBREX_ELIMIT,
		.message = "zstd stream expands 20", .out_max = 65u << 20 },
	{ "a bomb of many frames", COMPRESSION_ZSTD, .make = make_zstd_bomb_of_frames,
		.status = IMBREX_ELIMIT, .message = "zstd stream expands 51",
		.out_max = 65u << 20 },

#if HAVE_LZMA
	{ "nothing at all", COMPRESSION_XZ, BYTES(""), .status = IMBREX_EFORMAT,
		.message = "xz stream is empty" },
	{ "something else", COMPRESSION_XZ, BYTES(GZ_EMPTY), .status = IMBREX_EFORMAT,
		.message = "no xz stream near byte " },
	{ "a cut", COMPRESSION_XZ, .make = make_xz_cut, .status = IMBREX_EFORMAT,
		.message = "xz stream ends early after " },
	{ "garbage behind the stream", COMPRESSION_XZ, .make = make_xz_garbage,
		.status = IMBREX_EFORMAT, .message = "xz stream is malformed near byte " },
	{ "a footer that is none", COMPRESSION_XZ, .make = make_xz_bad_footer,
		.status = IMBREX_EFORMAT, .message = "xz stream is malformed near byte " },
	{ "a dictionary of 1.5 GiB", COMPRESSION_XZ, .make = make_xz_memory,
		.status = IMBREX_ELIMIT, .message = "xz stream needs 161" },
	{ "80 MiB in 12 kB", COMPRESSION_XZ, .make = make_xz_bomb, .status = IMBREX_ELIMIT,
		.message = "xz stream expands ", .out_max = 65u << 20 },
#endif
#if HAVE_BZIP2
	{ "nothing at all", COMPRESSION_BZIP2, BYTES(""), .status = IMBREX_EFORMAT,
		.message = "bzip2 stream is empty" },
	{ "an impossible block size", COMPRESSION_BZIP2, BYTES("BZh0" MORE),
		.status = IMBREX_EFORMAT, .message = "no bzip2 stream at byte 0" },
	{ "a cut", COMPRESSION_BZIP2, .make = make_bzip2_cut, .status = IMBREX_EFORMAT,
		.message = "bzip2 input ends inside a stream after " },
	{ "garbage behind the stream", COMPRESSION_BZIP2, .make = make_bzip2_garbage,
		.status = IMBREX_EFORMAT, .message = "no bzip2 stream at byte " },
	{ "a wrong block CRC", COMPRESSION_BZIP2, .make = make_bzip2_bad_block_crc,
		.status = IMBREX_EFORMAT, .message = "bzip2 stream at byte 0: malformed data" },
	{ "80 MiB in a few hundred bytes", COMPRESSION_BZIP2, .make = make_bzip2_bomb,
		.status = IMBREX_ELIMIT, .message = "bzip2 stream expands ", .out_max = 65u << 20 },
	{ "1,000 empty streams", COMPRESSION_BZIP2, .make = make_bzip2_streams, .out_bytes = 0 },
#endif
};

/* The stage under test: zlib as a second decoder of gzip where the build has two. */
static struct sink *stage_new(enum compression c, bool second, struct seen *seen)
{
	struct sink *s;

	if (c == COMPRESSION_GZIP && second)
		assert_int_equal(gunzip_sink_new_with(GUNZIP_ZLIB, record_new(seen), &s, NULL), 0);
	else
		assert_int_equal(unpack_sink_new(c, record_new(seen), &s, NULL), 0);
	return s;
}

/* Prints what is wrong, so that one run shows all rows that fail. */
static bool row_holds(const struct hostile *row, const struct str *input, size_t piece, bool second)
{
	const char *want = row->message ? row->message : "";
	uint64_t out_max = row->out_max ? row->out_max : 1u << 20;
	struct imbrex_error err = { 0 };
	struct seen seen = SEEN_INIT;
	bool ok;
	int r;

	seen.discard = true;
	r = drive(stage_new(row->format, second, &seen), input->data, input->len, piece, &err);
	ok = r == row->status && strncmp(err.message, want, strlen(want)) == 0 && seen.n_frees == 1;
	if (row->status == 0)
		ok = ok && seen.n_bytes == row->out_bytes && seen.n_finishes == 1;
	else
		ok = ok && seen.n_bytes <= out_max && seen.n_finishes == 0 && err.message[0];
	if (!ok)
		print_error("%s: %s (pieces of %zu%s): status %d, %llu bytes, '%s'\n",
			compression_name(row->format), row->why, piece, second ? ", zlib" : "", r,
			(unsigned long long)seen.n_bytes, err.message);
	return ok;
}

static void hostile_streams_get_one_clear_error_and_no_finish(void **state)
{
	static const size_t pieces[] = { 0, 1, 7, 100000 };
	size_t n_bad = 0;
	size_t i;
	size_t j;

	for (i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_STR input = STR_INIT(TEXT_MAX);

		if (rows[i].make)
			rows[i].make(&input);
		else
			append(&input, rows[i].bytes, rows[i].len);
		for (j = 0; j < ARRAY_LEN(pieces); j++) {
			if (input.len > 1000000 && pieces[j] && pieces[j] < 100)
				continue;
			n_bad += !row_holds(&rows[i], &input, pieces[j], false);
			if (rows[i].format == COMPRESSION_GZIP)
				n_bad += !row_holds(&rows[i], &input, pieces[j], true);
		}
	}
	assert_int_equal(n_bad, 0);
}

static void the_table_has_at_least_thirty_rows(void **state)
{
	assert_true(ARRAY_LEN(rows) >= 30);
}

int main(void)
{
	const struct CMUnitTest group[] = {
		cmocka_unit_test(hostile_streams_get_one_clear_error_and_no_finish),
		cmocka_unit_test(the_table_has_at_least_thirty_rows),
	};

	return cmocka_run_group_tests(group, NULL, NULL);
}
