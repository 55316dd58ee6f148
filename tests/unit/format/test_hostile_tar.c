/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does the tar reader answer every hostile archive with one clear error, or with entries that
 * harm nobody? Tables by class; each row says why it is hostile and what must come of it. What
 * only a directory can decide (links through links, type changes) is tested with the drivers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"
#include "format/tar_harness.h"

/* Behind ours: it defines fail(). */
#include <cmocka.h>

/* "TYPE PATH[ -> LINK]" of each entry, joined by ";". */
static void brief(const char *listing, struct str *ret)
{
	while (*listing) {
		size_t len = strcspn(listing, "\n");
		const char *first = memchr(listing, ' ', len);
		const char *second = first ? strchr(first + 1, ' ') : NULL;
		const char *link = memmem(listing, len, " -> ", 4);
		const char *end = link ? strchr(link + 4, ' ') : NULL;

		must(str_append(ret, listing, second ? (size_t)(second - listing) : len));
		if (link && (!end || end > listing + len))
			end = listing + len;
		if (link)
			must(str_append(ret, link, (size_t)(end - link)));
		listing += len + (listing[len] == '\n');
		if (*listing)
			must(str_putc(ret, ';'));
	}
}

/*
 * Exactly one of `error` (must be in the message) and `entries` (brief listing) is given. The
 * archive is pushed whole and byte by byte; what is accepted must come back from assembly.
 */
static void check(const char *why, const struct str *tar, const char *error, const char *entries)
{
	static const size_t chunks[] = { TEXT_MAX, 1 };
	size_t i;

	for (i = 0; i < ARRAY_LEN(chunks) && (i == 0 || tar->len < 300000); i++) {
		AUTO_STR got = STR_INIT(TEXT_MAX);
		AUTO_STR again = STR_INIT(TEXT_MAX);
		struct outcome o;

		run_tar(&o, str_text(tar), tar->len, chunks[i], true);
		brief(str_text(&o.listing), &got);
		if (error && o.status >= 0)
			fail_msg("%s: accepted as '%s'", why, str_text(&got));
		if (error && !strstr(o.err.message, error))
			fail_msg("%s: '%s' and not '%s'", why, o.err.message, error);
		if (error && strstr(str_text(&o.listing), "end\n"))
			fail_msg("%s: refused, but entries were finished", why);
		if (entries && o.status < 0)
			fail_msg("%s: %s", why, o.err.message);
		if (entries && strcmp(str_text(&got), entries) != 0)
			fail_msg("%s: '%s' and not '%s'", why, str_text(&got), entries);
		if (entries) {
			assert_int_equal(reassemble(&o, TEXT_MAX, &again, NULL), 0);
			assert_int_equal(again.len, tar->len);
			assert_memory_equal(str_text(&again), str_text(tar), tar->len);
		}
		outcome_done(&o);
	}
}

/* ---- paths ---------------------------------------------------------------------------------- */

struct path_case {
	const char *why;
	const char *name;
	char type; /* '0' if 0 */
	const char *error;
	const char *entries;
	const char *repeat; /* put `times` times before name */
	size_t times;
	const char *link;
};

#define X255                                                               \
	"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"  \
	"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" \
	"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" \
	"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

static const struct path_case paths[] = {
	{ "parent", "..", 0, "tar entry '..' at byte 1024: path leaves the layer" },
	{ "parent as directory", "../", '5', "path leaves the layer" },
	{ "below the parent", "../x", 0, "tar entry '../x' at byte 1024: path leaves the layer" },
	{ "far up", "../../../../etc/passwd", 0, "path leaves the layer" },
	{ "down once, up twice", "a/../../x", 0, "path leaves the layer" },
	{ "up behind a dot", "./../x", 0, "path leaves the layer" },
	{ "up behind slashes", "a//..//../x", 0, "path leaves the layer" },
	{ "absolute and up", "/../x", 0, "path leaves the layer" },
	{ "absolute and up at the end", "/a/../..", 0, "path leaves the layer" },
	{ "up and down again", "../a/../b", 0, "path leaves the layer" },
	{ "up at the very end", "a/b/../../..", 0, "path leaves the layer" },
	{ "up within", "a/../b", 0, NULL, "file b;end" },
	{ "up within, to the root", "a/..", '5', NULL, "dir .;end" },
	{ "up within, deep", "a/b/c/../../d", 0, NULL, "file a/d;end" },
	{ "three dots are a name", ".../x", 0, NULL, "file .../x;end" },
	{ "dots before a name", "..x/y..", 0, NULL, "file ..x/y..;end" },
	{ "absolute", "/etc/passwd", 0, NULL, "file etc/passwd;end" },
	{ "absolute, many slashes", "////etc////passwd", 0, NULL, "file etc/passwd;end" },
	{ "two slashes", "//x", 0, NULL, "file x;end" },
	{ "dots within", "./a/./b/.", '5', NULL, "dir a/b;end" },
	{ "root as directory", ".", '5', NULL, "dir .;end" },
	{ "root with slash", "./", '5', NULL, "dir .;end" },
	{ "slash as directory", "/", '5', NULL, "dir .;end" },
	{ "root as file", ".", 0, "the layer's root must be a directory" },
	{ "slash as file", "/", 0, "the layer's root must be a directory" },
	{ "root as symlink", ".", '2', "the layer's root must be a directory", NULL, NULL, 0, "/" },
	{ "slash as symlink", "/", '2', "the layer's root must be a directory", NULL, NULL, 0,
		"/" },
	{ "root as symlink by detour", "a/..", '2', "the layer's root must be a directory", NULL,
		NULL, 0, "/etc" },
	{ "root as hard link", "./", '1', "the layer's root must be a directory", NULL, NULL, 0,
		"x" },
	{ "root as fifo", ".", '6', "the layer's root must be a directory" },
	{ "root as device", "//", '3', "the layer's root must be a directory" },
	{ "slash behind a file", "a/", 0, NULL, "file a;end" },
	{ "newline and escape", "a\n\x1b[31mb", 0, NULL, "file a\\x0a\\x1b[31mb;end" },
	{ "not UTF-8", "\xff\xfe/\xc0\xaf", 0, NULL, "file \\xff\\xfe/\\xc0\\xaf;end" },
	{ "backslashes", "a\\..\\..\\b", 0, NULL, "file a\\x5c..\\x5c..\\x5cb;end" },
	{ "percent", "%n%s%2e%2e/x", 0, NULL, "file %n%s%2e%2e/x;end" },
	{ "space", " ", 0, NULL, "file \\x20;end" },
	{ "dash", "-rf", 0, NULL, "file -rf;end" },
	{ "longest component", X255, 0, NULL, "file " X255 ";end" },
	{ "component too long", X255 "x", 0, "a path component of 256 bytes is longer than 255" },
	{ "component too long within", "a/" X255 "x/b", 0, "a path component of 256 bytes" },
	{ "path too long", "x", 0, "the path is longer than 4095 bytes", NULL, X255 "/", 16 },
	{ "long only before cleaning", "x", 0, NULL, "file x;end", "./", 5000 },
	{ "slashes only before cleaning", "x", 0, NULL, "file x;end", "/", 9000 },
	{ "down and up 2000 times", "x", 0, NULL, "file x;end", "a/../", 2000 },
	{ "up 2000 times", "x", 0, "path leaves the layer", NULL, "../", 2000 },
	{ "10000 components", "x", 0, "the path is longer than 4095 bytes", NULL, "a/", 10000 },
};

static void test_paths_stay_in_the_layer(UNUSED void **state)
{
	size_t i;
	size_t k;

	for (i = 0; i < ARRAY_LEN(paths); i++) {
		const struct path_case *c = &paths[i];
		AUTO_STR tar = STR_INIT(TEXT_MAX);
		AUTO_STR name = STR_INIT(TEXT_MAX);
		AUTO_STR data = STR_INIT(TEXT_MAX);

		for (k = 0; k < c->times; k++)
			must(str_puts(&name, c->repeat));
		must(str_puts(&name, c->name));
		put_record(&data, "path", name.data, name.len);
		put_extension(&tar, 'x', data.data, data.len);
		put_block(&tar, &(struct block){ .name = "n", .type = c->type, .link = c->link });
		put_end(&tar);
		check(c->why, &tar, c->error, c->entries);
	}
}

/* The same name by every means there is. */
static void test_no_way_of_naming_leads_out(UNUSED void **state)
{
	static const char evil[] = "../../x";
	AUTO_STR by_block = STR_INIT(TEXT_MAX);
	AUTO_STR by_prefix = STR_INIT(TEXT_MAX);
	AUTO_STR by_gnu = STR_INIT(TEXT_MAX);
	AUTO_STR by_join = STR_INIT(TEXT_MAX);
	AUTO_STR by_global = STR_INIT(TEXT_MAX);
	AUTO_STR hidden = STR_INIT(TEXT_MAX);
	AUTO_STR record = STR_INIT(TEXT_MAX);

	put_block(&by_block, &(struct block){ .name = evil });
	check("name field", &by_block, "tar entry '../../x' at byte 0: path leaves", NULL);
	put_block(&by_prefix, &(struct block){ .name = "x", .prefix = "../.." });
	check("prefix field", &by_prefix, "tar entry '../../x' at byte 0: path leaves", NULL);
	put_block(&by_join, &(struct block){ .name = "./x",
				    .prefix = "a/../."
					      "." });
	check("joined", &by_join, "path leaves the layer", NULL);
	put_extension(&by_gnu, 'L', evil, sizeof(evil));
	put_block(&by_gnu, &(struct block){ .name = "ok" });
	check("GNU long name", &by_gnu, "tar entry '../../x' at byte 1024: path leaves", NULL);
	put_record(&record, "path", evil, strlen(evil));
	put_extension(&by_global, 'g', record.data, record.len);
	put_block(&by_global, &(struct block){ .name = "ok" });
	check("global header: no entry is named by it", &by_global, NULL, "file ok;end");
	put_extension(&hidden, 'L', "ok\0../../x", 11);
	put_block(&hidden, &(struct block){ .name = evil });
	check("behind the NUL of a GNU name", &hidden, NULL, "file ok;end");
}

static void test_names_are_neither_empty_nor_repeated(UNUSED void **state)
{
	static const struct {
		const char *why;
		const char *first;
		const char *second;
		const char *error;
		const char *entries;
	} pairs[] = {
		{ "same name", "a", "a", "tar entry 'a' occurs twice" },
		{ "same when clean", "a", "./a", "tar entry './a' occurs twice" },
		{ "with slash", "d/", "d", "tar entry 'd' occurs twice" },
		{ "by detour", "a", "b/../a", "tar entry 'b/../a' occurs twice" },
		{ "doubled slash", "d/a", "d//a", "tar entry 'd//a' occurs twice" },
		{ "case twins", "README", "readme", NULL, "file README;file readme;end" },
		{ "two forms of one letter", "\xc3\xa9", "e\xcc\x81", NULL,
			"file \\xc3\\xa9;file e\\xcc\\x81;end" },
		{ "absolute twin, as in Go", "/a", "a", NULL, "file a;file a;end" },
		{ "prefix of the other", "a", "ab", NULL, "file a;file ab;end" },
	};
	AUTO_STR empty = STR_INIT(TEXT_MAX);
	AUTO_STR v7 = STR_INIT(TEXT_MAX);
	size_t i;

	put_block(&empty, &(struct block){ .name = "" });
	check("empty", &empty, "tar entry '' at byte 0: the name is empty", NULL);
	put_block(&v7, &(struct block){ .name = "", .type = '5', .dialect = TAR_DIALECT_V7 });
	check("empty directory name", &v7, "the name is empty", NULL);
	for (i = 0; i < ARRAY_LEN(pairs); i++) {
		AUTO_STR tar = STR_INIT(TEXT_MAX);

		put_block(&tar, &(struct block){ .name = pairs[i].first });
		put_block(&tar, &(struct block){ .name = pairs[i].second });
		check(pairs[i].why, &tar, pairs[i].error, pairs[i].entries);
	}
}

static void test_link_targets_stay_in_the_layer(UNUSED void **state)
{
	static const struct path_case links[] = {
		{ "hard link up", "../x", '1', "hard link to '../x': path leaves the layer" },
		{ "hard link far up", "a/../../../etc/shadow", '1', "path leaves the layer" },
		{ "hard link, absolute", "/etc/shadow", '1', NULL, "hardlink n -> etc/shadow;end" },
		{ "hard link, absolute and up", "/../x", '1', "path leaves the layer" },
		{ "hard link to the root", ".", '1', "hard link to the layer's root" },
		{ "hard link to slash", "/", '1', "hard link to the layer's root" },
		{ "hard link to the root by detour", "a/..", '1', "hard link to the layer's root" },
		{ "hard link to nothing", "", '1', "the link target is empty" },
		{ "hard link to a whiteout", "a/.wh.b", '1',
			"hard link to the whiteout 'a/.wh.b'" },
		{ "hard link to opaque", ".wh..wh..opq", '1', "hard link to the whiteout" },
		{ "hard link below a whiteout", ".wh.a/b", '1', "hard link to the whiteout" },
		{ "hard link to AUFS store", ".wh..wh.plnk/1", '1', "hard link to the whiteout" },
		{ "hard link to itself: for the driver", "n", '1', NULL, "hardlink n -> n;end" },
		{ "symlink to nothing", "", '2', "the link target is empty" },
		{ "symlink up: resolved in the root", "../../../etc", '2', NULL,
			"symlink n -> ../../../etc;end" },
		{ "symlink absolute", "/etc/shadow", '2', NULL, "symlink n -> /etc/shadow;end" },
		{ "symlink to itself", "n", '2', NULL, "symlink n -> n;end" },
		{ "symlink verbatim", ".//x/", '2', NULL, "symlink n -> .//x/;end" },
	};
	AUTO_STR longest = STR_INIT(TEXT_MAX);
	AUTO_STR target = STR_INIT(TEXT_MAX);
	size_t i;

	for (i = 0; i < ARRAY_LEN(links); i++) {
		AUTO_STR tar = STR_INIT(TEXT_MAX);

		put_block(
			&tar, &(struct block){
				      .name = "n", .type = links[i].type, .link = links[i].name });
		check(links[i].why, &tar, links[i].error, links[i].entries);
	}
	for (i = 0; i <= LIMIT_PATH_BYTES; i++)
		must(str_putc(&target, 'x'));
	put_pax(&longest, "linkpath", str_text(&target));
	put_block(&longest, &(struct block){ .name = "n", .type = '2', .link = "x" });
	check("symlink too long", &longest, "the link target is longer than 4095 bytes", NULL);
}

/* ---- format --------------------------------------------------------------------------------- */

static void test_damaged_blocks_are_refused(UNUSED void **state)
{
	static const struct {
		const char *why;
		struct block block;
		const char *error;
		const char *entries;
	} blocks[] = {
		{ "wrong checksum", { .name = "a", .checksum = "0000000" },
			"tar header at byte 0: the checksum does not match" },
		{ "checksum is no number", { .name = "a", .checksum = "xxxxxxx" }, "the checksum" },
		{ "checksum empty", { .name = "a", .checksum = "\0\0\0\0\0\0\0" }, "the checksum" },
		{ "checksum in base-256", { .name = "a", .checksum = "\x80\0\0\0\0\0\x10" },
			"the checksum" },
		{ "letters in mode",
			{ .name = "a", .patch_at = 100, .patch = "rwxr-xr", .patch_len = 7 },
			"tar header at byte 0: the mode field is no number" },
		{ "digit 8 in uid",
			{ .name = "a", .patch_at = 108, .patch = "0000008", .patch_len = 7 },
			"the uid field is no number" },
		{ "minus in gid",
			{ .name = "a", .patch_at = 116, .patch = "-000001", .patch_len = 7 },
			"the gid field is no number" },
		{ "hex in size", { .name = "a", .patch_at = 124, .patch = "0x100", .patch_len = 5 },
			"the size field is no number" },
		{ "space within size",
			{ .name = "a", .patch_at = 124, .patch = "1 1", .patch_len = 3 },
			"the size field is no number" },
		{ "size -1 in base-256",
			{ .name = "a",
				.patch_at = 124,
				.patch = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
				.patch_len = 12 },
			"the size field is negative" },
		{ "size -2^62 in base-256",
			{ .name = "a",
				.patch_at = 124,
				.patch = "\xff\xff\xff\xff\xc0\0\0\0\0\0\0\0",
				.patch_len = 12 },
			"the size field is negative" },
		{ "size 2^63 in base-256",
			{ .name = "a",
				.patch_at = 124,
				.patch = "\x80\0\0\0\x80\0\0\0\0\0\0\0",
				.patch_len = 12 },
			"the size field is too large" },
		{ "size 2^94 in base-256",
			{ .name = "a",
				.patch_at = 124,
				.patch = "\xa0\0\0\0\0\0\0\0\0\0\0\0",
				.patch_len = 12 },
			"the size field is too large" },
		{ "size 2^62 in base-256",
			{ .name = "a",
				.patch_at = 124,
				.patch = "\x80\0\0\0\x40\0\0\0\0\0\0\0",
				.patch_len = 12 },
			"size 4611686018427387904 is more than 1099511627776" },
		{ "size one above the limit",
			{ .name = "a",
				.patch_at = 124,
				.patch = "\x80\0\0\0\0\0\x01\0\0\0\0\x01",
				.patch_len = 12 },
			"size 1099511627777 is more than" },
		{ "mtime 2^63 in base-256",
			{ .name = "a",
				.patch_at = 136,
				.patch = "\x80\0\0\0\x80\0\0\0\0\0\0\0",
				.patch_len = 12 },
			"the mtime field is too large" },
		{ "letters in dev_major",
			{ .name = "a", .patch_at = 329, .patch = "abc", .patch_len = 3 },
			"the dev_major field is no number" },
		{ "letters in dev_major of v7: it has none",
			{ .name = "a",
				.dialect = TAR_DIALECT_V7,
				.patch_at = 329,
				.patch = "abc",
				.patch_len = 3 },
			NULL, "file a;end" },
		{ "number fields empty",
			{ .name = "a",
				.patch_at = 100,
				.patch = "        \0\0\0\0\0\0\0\0        ",
				.patch_len = 24 },
			NULL, "file a;end" },
		{ "unknown magic: v7 rules",
			{ .name = "a", .patch_at = 257, .patch = "WEIRD", .patch_len = 5 }, NULL,
			"file a;end" },
		{ "prefix of v7: it has none",
			{ .name = "a", .prefix = "../..", .dialect = TAR_DIALECT_V7 }, NULL,
			"file a;end" },
		{ "prefix of GNU: it has none, but Go 1.7",
			{ .name = "a", .prefix = "../..", .dialect = TAR_DIALECT_GNU },
			"path leaves the layer" },
		{ "GNU times are no prefix",
			{ .name = "a", .prefix = "00000000012", .dialect = TAR_DIALECT_GNU }, NULL,
			"file a;end" },
		{ "unterminated name and prefix", { .name = X255, .name_len = 100, .prefix = X255 },
			NULL,
			"file "
			"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
			"x"
			"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
			"xxxxxx/"
			"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
			"xxxxxxxxxx"
			"xxxxxxxxxxxxxxxx;end" },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(blocks); i++) {
		AUTO_STR tar = STR_INIT(TEXT_MAX);

		put_block(&tar, &blocks[i].block);
		check(blocks[i].why, &tar, blocks[i].error, blocks[i].entries);
	}
}

static void test_malformed_pax_headers_are_refused(UNUSED void **state)
{
	static const struct {
		const char *why;
		const char *data;
		size_t len; /* strlen(data) if 0 */
		const char *error;
		const char *entries;
	} blocks[] = {
		{ "no length", "path=x\n", 0,
			"tar header at byte 0: record at byte 0 does not begin" },
		{ "length only", "12", 0, "does not begin with its length and a space" },
		{ "no space", "9path=x\n", 0, "does not begin with its length" },
		{ "negative length", "-9 path=x\n", 0, "does not begin with its length" },
		{ "signed length", "+10 path=x\n", 0, "does not begin with its length" },
		{ "length zero", "0 path=x\n", 0, "does not end with a newline" },
		{ "length shorter than itself", "2 path=x\n", 0, "does not end with a newline" },
		{ "length one too small", "9 path=xy\n", 0, "does not end with a newline" },
		{ "length one too large", "12 path=xy\n", 0, "announces 12 bytes but 11 are left" },
		{ "length of 2^64", "18446744073709551626 path=x\n", 0, "does not begin with" },
		{ "length of 21 digits", "000000000000000000009 path=x\n", 0,
			"does not end with a newline" },
		{ "no newline", "10 path=xy", 0, "does not end with a newline" },
		{ "no equals sign", "8 pathx\n", 0, "record at byte 0 has no '='" },
		{ "no keyword", "5 =x\n", 0, "has no proper keyword" },
		{ "NUL in keyword", "10 pa\0h=x\n", 10, "has no proper keyword" },
		{ "NUL in path", "12 path=a\0b\n", 12, "value of 'path' holds a NUL byte" },
		{ "NUL in linkpath", "16 linkpath=a\0b\n", 16,
			"value of 'linkpath' holds a NUL byte" },
		{ "NUL in size", "11 size=1\0\n", 11, "value of 'size' holds a NUL byte" },
		{ "NUL in uname", "13 uname=a\0b\n", 13, "value of 'uname' holds a NUL byte" },
		{ "second record malformed", "10 path=xy\nzz", 0, "does not end with a newline" },
		{ "second record cut", "11 path=xy\n10 a=", 0,
			"record at byte 11 announces 10 bytes but 5 are left" },
		{ "padding taken for records", "11 path=xy\n\0\0\0", 14,
			"record at byte 11 does not" },
		{ "size is no number", "11 size=1k\n", 0, "the pax size '1k' is no number" },
		{ "size negative", "11 size=-1\n", 0, "the pax size is negative" },
		{ "size of 2^63", "28 size=9223372036854775808\n", 0, "is no number" },
		{ "size in hex", "12 size=0x1\n", 0, "the pax size '0x1' is no number" },
		{ "size with a space", "11 size= 1\n", 0, "is no number" },
		{ "size with a fraction", "12 size=1.0\n", 0, "is no number" },
		{ "uid is no number", "12 uid=root\n", 0, "the pax uid 'root' is no number" },
		{ "uid negative", "10 uid=-1\n", 0, "uid -1 is out of range" },
		{ "uid 2^32-1 means none", "18 uid=4294967295\n", 0,
			"uid 4294967295 is out of range" },
		{ "gid 2^32", "18 gid=4294967296\n", 0, "gid 4294967296 is out of range" },
		{ "gid 2^63", "27 gid=9223372036854775808\n", 0, "is no number" },
		{ "mtime is no time", "13 mtime=now\n", 0, "the pax mtime 'now' is no time" },
		{ "mtime without seconds", "12 mtime=.5\n", 0, "the pax mtime '.5' is no time" },
		{ "mtime with two points", "15 mtime=1.5.5\n", 0, "is no time" },
		{ "mtime in scientific form", "13 mtime=1e9\n", 0, "is no time" },
		{ "mtime below 64 bits", "32 mtime=-9223372036854775808.5\n", 0, "is no time" },
		{ "ctime is checked as in Go", "11 ctime=x\n", 0, "the pax ctime 'x' is no time" },
		{ "sparse 1.0", "22 GNU.sparse.major=1\n", 0,
			"sparse files ('GNU.sparse.major') are not supported" },
		{ "sparse 0.0", "26 GNU.sparse.numblocks=1\n", 0, "sparse files" },
		{ "sparse 0.1", "22 GNU.sparse.map=0,1\n", 0, "sparse files" },
		{ "sparse with a name of its own", "24 GNU.sparse.name=../x\n", 0, "sparse files" },
		{ "unknown keyword", "19 VENDOR.what=../\n", 0, NULL, "file n;end" },
		{ "empty path keeps the name", "8 path=\n", 0, NULL, "file n;end" },
		{ "path twice", "11 path=a1\n11 path=b2\n", 0, NULL, "file b2;end" },
		{ "path set and unset", "11 path=a1\n8 path=\n", 0, NULL, "file n;end" },
		{ "charset", "21 hdrcharset=BINARY\n", 0, NULL, "file n;end" },
		{ "empty block", "", 0, NULL, "file n;end" },
		{ "leading zeros in a length", "0012 path=a\n", 0, NULL, "file a;end" },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(blocks); i++) {
		AUTO_STR tar = STR_INIT(TEXT_MAX);

		put_extension(&tar, 'x', blocks[i].data,
			blocks[i].len ? blocks[i].len : strlen(blocks[i].data));
		put_block(&tar, &(struct block){ .name = "n" });
		check(blocks[i].why, &tar, blocks[i].error, blocks[i].entries);
	}
}

/* A file of 700 bytes with a pax header: 512 + 512 + 512 + 1024 + 1024 bytes. */
static void put_sample(struct str *tar)
{
	static const char data[700] = "data";

	put_pax(tar, "mtime", "1.5");
	put_block(tar, &(struct block){ .name = "f", .size = sizeof(data) });
	put_data(tar, data, sizeof(data));
	put_end(tar);
}

static void test_an_archive_cut_anywhere_is_noticed(UNUSED void **state)
{
	static const struct {
		size_t len;
		const char *error;
		const char *entries;
	} cuts[] = {
		{ 0, NULL, "end" },
		{ 1, "tar archive ends at byte 1, within a header" },
		{ 511, "within a header" },
		{ 512, "tar archive ends at byte 512, within the extended header at byte 0" },
		{ 520, "tar archive ends at byte 520, within the extended header at byte 0" },
		{ 525, "tar archive ends at byte 525 between an extended header and its entry" },
		{ 1024, "tar archive ends at byte 1024 between an extended header and its entry" },
		{ 1025, "within a header" },
		{ 1535, "tar archive ends at byte 1535, within a header" },
		{ 1536, "tar archive ends at byte 1536, 700 bytes before the end of entry 'f'" },
		{ 2048, "tar archive ends at byte 2048, 188 bytes before the end of entry 'f'" },
		{ 2235, "tar archive ends at byte 2235, 1 bytes before the end of entry 'f'" },
		{ 2236, NULL, "file f;end" }, /* Go accepts the end of the stream within padding */
		{ 2300, NULL, "file f;end" },
		{ 2560, NULL, "file f;end" },
		{ 2561, "within a header" },
		{ 3072, NULL, "file f;end" }, /* one block of zeros */
		{ 3073, "tar archive ends at byte 3073, within a header" },
		{ 3584, NULL, "file f;end" },
	};
	AUTO_STR tar = STR_INIT(TEXT_MAX);
	size_t i;

	put_sample(&tar);
	assert_int_equal(tar.len, 3584);
	for (i = 0; i < ARRAY_LEN(cuts); i++) {
		char why[32];
		struct str cut = { .data = tar.data, .len = cuts[i].len };

		(void)snprintf(why, sizeof(why), "cut at %zu", cuts[i].len);
		check(why, &cut, cuts[i].error, cuts[i].entries);
	}
}

/* Every single-byte change of a header is refused or changes nothing that is checked here. */
static void test_flipped_bytes_never_crash_the_reader(UNUSED void **state)
{
	AUTO_STR tar = STR_INIT(TEXT_MAX);
	size_t n_refused = 0;
	size_t i;

	put_sample(&tar);
	for (i = 0; i < tar.len; i++) {
		struct outcome o;

		tar.data[i] ^= 0x55;
		run_tar(&o, tar.data, tar.len, TEXT_MAX, true);
		if (o.status < 0) {
			n_refused++;
			assert_true(o.err.message[0] != '\0');
		}
		outcome_done(&o);
		tar.data[i] ^= 0x55;
	}
	assert_true(n_refused > 1000); /* two headers and the records at least */
}

static void put_zeros(struct str *tar, size_t n_blocks)
{
	static const char zeros[TAR_BLOCK_BYTES];

	while (n_blocks--)
		must(str_append(tar, zeros, sizeof(zeros)));
}

static void test_odd_ends(UNUSED void **state)
{
	AUTO_STR only_zeros = STR_INIT(TEXT_MAX);
	AUTO_STR many_zeros = STR_INIT(TEXT_MAX);
	AUTO_STR lone = STR_INIT(TEXT_MAX);
	AUTO_STR first = STR_INIT(TEXT_MAX);
	AUTO_STR second = STR_INIT(TEXT_MAX);
	AUTO_STR garbage = STR_INIT(TEXT_MAX);
	AUTO_STR pending = STR_INIT(TEXT_MAX);
	AUTO_STR gnu_pending = STR_INIT(TEXT_MAX);
	AUTO_STR text = STR_INIT(TEXT_MAX);

	put_zeros(&only_zeros, 2);
	check("nothing but the end", &only_zeros, NULL, "end");
	put_block(&many_zeros, &(struct block){ .name = "a" });
	put_zeros(&many_zeros, 5000);
	check("2.5 MB of zeros", &many_zeros, NULL, "file a;end");
	put_block(&lone, &(struct block){ .name = "a" });
	put_zeros(&lone, 1);
	put_block(&lone, &(struct block){ .name = "b" });
	check("a lone block of zeros", &lone,
		"tar archive has a single block of zeros before byte 1024", NULL);
	put_zeros(&first, 1);
	put_block(&first, &(struct block){ .name = "b" });
	check("a lone block of zeros in front", &first, "single block of zeros before byte 512",
		NULL);
	put_block(&second, &(struct block){ .name = "a" });
	put_end(&second);
	put_block(&second, &(struct block){ .name = "../../x" });
	put_end(&second);
	check("a second archive behind the end", &second, NULL, "file a;end");
	put_block(&garbage, &(struct block){ .name = "a" });
	put_end(&garbage);
	must(str_puts(&garbage, "#!/bin/sh\n"));
	check("a script behind the end", &garbage, NULL, "file a;end");
	put_pax(&pending, "path", "x");
	put_end(&pending);
	check("a pax header describes nothing", &pending,
		"tar archive ends at byte 1024 between an extended header and its entry", NULL);
	put_extension(&gnu_pending, 'L', "x", 2);
	put_end(&gnu_pending);
	check("a GNU name describes nothing", &gnu_pending,
		"tar archive ends at byte 1024 between an extended header", NULL);
	must(str_puts(&text, "this is no tar archive, but a text of more than five hundred and "));
	put_padding(&text);
	check("no tar at all", &text, "tar header at byte 0: the checksum does not match", NULL);
}

/* Two sources for one fact: which one wins must not depend on who looks. */
static void test_conflicting_headers_are_read_as_go_reads_them(UNUSED void **state)
{
	static const char inner[] = "inner";
	AUTO_STR size = STR_INIT(TEXT_MAX);
	AUTO_STR zero = STR_INIT(TEXT_MAX);
	AUTO_STR smuggle = STR_INIT(TEXT_MAX);
	AUTO_STR both = STR_INIT(TEXT_MAX);
	AUTO_STR twice = STR_INIT(TEXT_MAX);
	AUTO_STR gnu_twice = STR_INIT(TEXT_MAX);
	AUTO_STR between = STR_INIT(TEXT_MAX);
	AUTO_STR gnu_between = STR_INIT(TEXT_MAX);
	AUTO_STR next = STR_INIT(TEXT_MAX);
	AUTO_STR dir = STR_INIT(TEXT_MAX);
	AUTO_STR hardlink = STR_INIT(TEXT_MAX);
	AUTO_STR symlink = STR_INIT(TEXT_MAX);
	AUTO_STR linkname = STR_INIT(TEXT_MAX);
	AUTO_STR old_dir = STR_INIT(TEXT_MAX);

	put_pax(&size, "size", "5");
	put_block(&size, &(struct block){ .name = "a", .size = 100000 });
	put_data(&size, inner, 5);
	put_block(&size, &(struct block){ .name = "b" });
	check("pax size wins over the block's", &size, NULL, "file a;file b;end");
	put_pax(&zero, "size", "0");
	put_block(&zero, &(struct block){ .name = "a", .size = 512 });
	put_block(&zero, &(struct block){ .name = "hidden" });
	check("pax size 0 wins too", &zero, NULL, "file a;file hidden;end");
	/* A reader that gives the pax size to the GNU header would see other entries. */
	put_pax(&smuggle, "size", "1024");
	put_extension(&smuggle, 'L', "name", 5);
	put_block(&smuggle, &(struct block){ .name = "x" });
	put_block(&smuggle, &(struct block){ .name = "content" });
	put_zeros(&smuggle, 1);
	put_block(&smuggle, &(struct block){ .name = "b" });
	check("pax size goes to the entry, not to the GNU name", &smuggle, NULL,
		"file name;file b;end");
	put_pax(&both, "path", "pax");
	put_extension(&both, 'L', "gnu", 4);
	put_block(&both, &(struct block){ .name = "block" });
	check("GNU name wins over pax", &both, NULL, "file gnu;end");
	put_pax(&twice, "path", "first");
	put_pax(&twice, "mtime", "1");
	put_block(&twice, &(struct block){ .name = "block" });
	check("a second pax header replaces the first", &twice, NULL, "file block;end");
	put_extension(&gnu_twice, 'L', "first", 6);
	put_extension(&gnu_twice, 'L', "second", 7);
	put_block(&gnu_twice, &(struct block){ .name = "block" });
	check("a second GNU name replaces the first", &gnu_twice, NULL, "file second;end");
	put_pax(&between, "path", "pax");
	put_extension(&between, 'g', "", 0);
	put_block(&between, &(struct block){ .name = "block" });
	check("global header between pax and entry", &between,
		"tar header at byte 1024: a global header comes between an extended header and its "
		"entry",
		NULL);
	put_extension(&gnu_between, 'K', "x", 2);
	put_extension(&gnu_between, 'g', "", 0);
	check("global header behind GNU link", &gnu_between, "a global header comes between", NULL);
	put_pax(&next, "path", "named");
	put_block(&next, &(struct block){ .name = "a" });
	put_block(&next, &(struct block){ .name = "b" });
	check("a pax header is good for one entry", &next, NULL, "file named;file b;end");
	put_block(&dir, &(struct block){ .name = "d", .type = '5', .size = 512 });
	put_block(&dir, &(struct block){ .name = "f" });
	check("directories have no payload", &dir, NULL, "dir d;file f;end");
	put_block(&hardlink, &(struct block){ .name = "h", .type = '1', .link = "x", .size = 512 });
	put_block(&hardlink, &(struct block){ .name = "f" });
	check("hard links have no payload", &hardlink, NULL, "hardlink h -> x;file f;end");
	put_pax(&symlink, "size", "512");
	put_block(&symlink, &(struct block){ .name = "s", .type = '2', .link = "x" });
	put_block(&symlink, &(struct block){ .name = "f" });
	check("symlinks have no payload, by pax neither", &symlink, NULL,
		"symlink s -> x;file f;end");
	put_extension(&linkname, 'K', "gnu-target", 11);
	put_pax(&linkname, "linkpath", "pax-target");
	put_block(&linkname, &(struct block){ .name = "s", .type = '2', .link = "x" });
	check("GNU link wins over pax", &linkname, NULL, "symlink s -> gnu-target;end");
	put_pax(&old_dir, "path", "d/");
	put_block(&old_dir, &(struct block){ .name = "x", .type_is_nul = true });
	check("the final name says if an old file is a directory", &old_dir, NULL, "dir d;end");
}

static void test_extension_headers_are_limited(UNUSED void **state)
{
	AUTO_STR one = STR_INIT(TEXT_MAX);
	AUTO_STR gnu = STR_INIT(TEXT_MAX);
	AUTO_STR negative = STR_INIT(TEXT_MAX);
	AUTO_STR chain = STR_INIT(TEXT_MAX);
	AUTO_STR empty_chain = STR_INIT(TEXT_MAX);
	AUTO_STR long_name = STR_INIT(TEXT_MAX);
	size_t i;

	put_block(&one, &(struct block){ .name = "x", .type = 'x', .size = LIMIT_PAX_BYTES + 1 });
	check("pax header too large", &one,
		"tar header at byte 0: an extended header of 1048577 bytes is more than 1048576",
		NULL);
	put_block(&gnu, &(struct block){ .name = "x", .type = 'L', .size = 8589934591 });
	check("GNU name of 8 GiB", &gnu, "an extended header of 8589934591 bytes", NULL);
	put_block(&negative, &(struct block){ .name = "x",
				     .type = 'x',
				     .patch_at = 124,
				     .patch = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
				     .patch_len = 12 });
	check("pax header of negative size", &negative, "the size field is negative", NULL);
	for (i = 0; i < 5; i++) {
		put_block(&chain,
			&(struct block){ .name = "x", .type = 'L', .size = LIMIT_PAX_BYTES });
		put_zeros(&chain, LIMIT_PAX_BYTES / TAR_BLOCK_BYTES);
	}
	check("many large extensions", &chain,
		"the extended headers of one entry are more than 4194304 bytes", NULL);
	for (i = 0; i < 9000; i++)
		put_block(&empty_chain, &(struct block){ .name = "x", .type = 'x' });
	check("many empty extensions", &empty_chain, "the extended headers of one entry", NULL);
	for (i = 0; i < 100000; i++)
		must(str_putc(&long_name, 'n'));
	AUTO_STR tar = STR_INIT(TEXT_MAX);

	put_extension(&tar, 'L', long_name.data, long_name.len);
	put_block(&tar, &(struct block){ .name = "x" });
	check("GNU name of 100 kB", &tar, "a path component of 100000 bytes", NULL);
}

/* ---- types ---------------------------------------------------------------------------------- */

static void test_types(UNUSED void **state)
{
	static const struct {
		const char *why;
		char type;
		size_t patch_at;
		const void *patch;
		size_t patch_len;
		const char *error;
		const char *entries;
	} types[] = {
		{ "sparse", 'S', 0, NULL, 0, "tar entry 'n' at byte 0: sparse files (type 'S')" },
		{ "multi-volume", 'M', 0, NULL, 0,
			"tar entry 'n' at byte 0: unknown entry type 'M'" },
		{ "volume label", 'V', 0, NULL, 0, "unknown entry type 'V'" },
		{ "GNU directory dump", 'D', 0, NULL, 0, "unknown entry type 'D'" },
		{ "old GNU long name", 'N', 0, NULL, 0, "unknown entry type 'N'" },
		{ "Solaris pax", 'X', 0, NULL, 0, "unknown entry type 'X'" },
		{ "Solaris ACL", 'A', 0, NULL, 0, "unknown entry type 'A'" },
		{ "socket of star", 's', 0, NULL, 0, "unknown entry type 's'" },
		{ "reserved", '8', 0, NULL, 0, "unknown entry type '8'" },
		{ "space", ' ', 0, NULL, 0, "unknown entry type 0x20" },
		{ "control byte", '\x1b', 0, NULL, 0, "unknown entry type 0x1b" },
		{ "high byte", '\xff', 0, NULL, 0, "unknown entry type 0xff" },
		{ "contiguous file", '7', 0, NULL, 0, NULL, "file n 0644 0:0 0 0\nend\n" },
		{ "fifo", '6', 0, NULL, 0, NULL, "fifo n 0644 0:0 0\nend\n" },
		{ "setuid, setgid and sticky stay", '0', 100, "0007777", 7, NULL,
			"file n 7777 0:0 0 0\nend\n" },
		{ "type bits in mode", '0', 100, "0140755", 7, NULL, "file n 0755 0:0 0 0\nend\n" },
		{ "negative mode", '0', 100, "\xff\xff\xff\xff\xff\xff\xff\xff", 8, NULL,
			"file n 7777 0:0 0 0\nend\n" },
		{ "uid 2^31", '0', 108, "\x80\0\0\0\x80\0\0\0", 8, NULL,
			"file n 0644 2147483648:0 0 0\nend\n" },
		{ "uid 2^32-2", '0', 108, "\x80\0\0\0\xff\xff\xff\xfe", 8, NULL,
			"file n 0644 4294967294:0 0 0\nend\n" },
		{ "uid 2^32-1", '0', 108, "\x80\0\0\0\xff\xff\xff\xff", 8,
			"tar entry 'n' at byte 0: uid 4294967295 is out of range" },
		{ "gid 2^32", '0', 116, "\x80\0\0\x01\0\0\0\0", 8,
			"gid 4294967296 is out of range" },
		{ "uid -1", '0', 108, "\xff\xff\xff\xff\xff\xff\xff\xff", 8,
			"uid -1 is out of range" },
		{ "gid -2", '5', 116, "\xff\xff\xff\xff\xff\xff\xff\xfe", 8,
			"gid -2 is out of range" },
		{ "uid of a whiteout is checked too", '0', 108, "\xff\xff\xff\xff\xff\xff\xff\xff",
			8, "uid -1 is out of range" },
		{ "mtime -1", '0', 136, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12,
			NULL, "file n 0644 0:0 -1 0\nend\n" },
		{ "mtime 2^63-1", '0', 136, "\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", 12, NULL,
			"file n 0644 0:0 9223372036854775807 0\nend\n" },
		{ "mtime -2^63", '0', 136, "\xff\xff\xff\xff\x80\0\0\0\0\0\0\0", 12, NULL,
			"file n 0644 0:0 -9223372036854775808 0\nend\n" },
		{ "device 0:0: for the driver", '3', 329, "0000000", 7, NULL,
			"char n 0644 0:0 0 0,0\nend\n" },
		{ "largest device number", '4', 329, "0007777\0003777777", 15, NULL,
			"block n 0644 0:0 0 4095,1048575\nend\n" },
		{ "major 4096", '3', 329, "0010000", 7, "device number 4096:0 is out of range" },
		{ "minor 2^20", '4', 337, "4000000", 7, "device number 0:1048576 is out of range" },
		{ "major -1", '3', 329, "\xff\xff\xff\xff\xff\xff\xff\xff", 8,
			"device number -1:0 is out of range" },
		{ "device number of a file is ignored", '0', 329, "7777777", 7, NULL,
			"file n 0644 0:0 0 0\nend\n" },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(types); i++) {
		AUTO_STR tar = STR_INIT(TEXT_MAX);
		struct outcome o;

		put_block(&tar, &(struct block){ .name = "n",
					.type = types[i].type,
					.patch_at = types[i].patch_at,
					.patch = types[i].patch,
					.patch_len = types[i].patch_len });
		run_tar(&o, tar.data, tar.len, TEXT_MAX, true);
		if (types[i].error && (o.status >= 0 || !strstr(o.err.message, types[i].error)))
			fail_msg("%s: '%s'", types[i].why, o.err.message);
		if (types[i].entries && strcmp(str_text(&o.listing), types[i].entries) != 0)
			fail_msg(
				"%s: '%s' '%s'", types[i].why, str_text(&o.listing), o.err.message);
		outcome_done(&o);
	}
}

/* ---- xattrs --------------------------------------------------------------------------------- */

static void test_xattrs(UNUSED void **state)
{
	static const struct {
		const char *name;
		const char *value;
		const char *error;
		const char *kept; /* of the listing; "" none */
	} xattrs[] = {
		{ "user.a", "1", NULL, " user.a=1" },
		{ "user.a", "", NULL, " user.a=" },
		{ "security.capability", "caps", NULL, " security.capability=caps" },
		{ "security.ima", "x", NULL, " security.ima=x" },
		{ "system.posix_acl_access", "acl", NULL, " system.posix_acl_access=acl" },
		{ "trusted.x", "1", NULL, " trusted.x=1" },
		{ "security.selinux", "label", NULL, "" },
		{ "trusted.overlay.opaque", "y", NULL, "" },
		{ "trusted.overlay.redirect", "/etc", NULL, "" },
		{ "trusted.overlay.metacopy", "", NULL, "" },
		{ "trusted.overlay.whiteout", "y", NULL, "" },
		{ "trusted.overlay.overlay.opaque", "y", NULL, "" },
		{ "user.overlay.opaque", "y", NULL, "" },
		{ "user.overlay.origin", "x", NULL, "" },
		{ "user.fuseoverlayfs.opaque", "y", NULL, "" },
		{ "user.containers.override_stat", "0:0:4755", NULL, "" },
		{ "user.overlayfs", "not reserved", NULL, " user.overlayfs=not reserved" },
		{ "com.apple.quarantine", "q", NULL, "" },
		{ "nodots", "x", NULL, "" },
		{ "USER.overlay.opaque", "y", NULL, "" },
		{ "", "x", "tar header at byte 0: xattr name '' is not complete" },
		{ "user.", "x", "xattr name 'user.' is not complete" },
		{ "trusted.", "x", "xattr name 'trusted.' is not complete" },
		{ "security.", "x", "xattr name 'security.' is not complete" },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(xattrs); i++) {
		AUTO_STR tar = STR_INIT(TEXT_MAX);
		AUTO_STR want = STR_INIT(TEXT_MAX);
		char key[256];
		struct outcome o;

		(void)snprintf(key, sizeof(key), "SCHILY.xattr.%s", xattrs[i].name);
		put_pax(&tar, key, xattrs[i].value);
		put_block(&tar, &(struct block){ .name = "n" });
		run_tar(&o, tar.data, tar.len, 100, true);
		if (xattrs[i].error) {
			assert_true(o.status < 0);
			assert_non_null(strstr(o.err.message, xattrs[i].error));
		} else {
			must(str_printf(&want, "file n 0644 0:0 0%s 0\nend\n", xattrs[i].kept));
			assert_string_equal(str_text(&o.listing), str_text(&want));
		}
		outcome_done(&o);
	}
}

static void put_xattrs(struct str *tar, size_t n, size_t name_len, size_t value_len)
{
	AUTO_STR data = STR_INIT(TEXT_MAX);
	AUTO_STR value = STR_INIT(TEXT_MAX);
	size_t i;

	while (value.len < value_len)
		must(str_putc(&value, 'v'));
	for (i = 0; i < n; i++) {
		char key[512];

		(void)snprintf(key, sizeof(key), "SCHILY.xattr.user.%0*zu", (int)name_len - 5, i);
		put_record(&data, key, str_text(&value), value.len);
	}
	put_extension(tar, 'x', data.data, data.len);
	put_block(tar, &(struct block){ .name = "n" });
}

static void test_xattrs_are_limited(UNUSED void **state)
{
	AUTO_STR value = STR_INIT(TEXT_MAX);
	AUTO_STR value_ok = STR_INIT(TEXT_MAX);
	AUTO_STR name = STR_INIT(TEXT_MAX);
	AUTO_STR name_ok = STR_INIT(TEXT_MAX);
	AUTO_STR many = STR_INIT(TEXT_MAX);
	AUTO_STR many_ok = STR_INIT(TEXT_MAX);
	AUTO_STR same = STR_INIT(TEXT_MAX);
	AUTO_STR data = STR_INIT(TEXT_MAX);
	AUTO_STR control = STR_INIT(TEXT_MAX);
	struct outcome o;
	size_t i;

	put_xattrs(&value, 1, 10, LIMIT_XATTR_VALUE_BYTES + 1);
	check("value too large", &value, "is 65537 bytes, more than 65536", NULL);
	put_xattrs(&value_ok, 1, 10, LIMIT_XATTR_VALUE_BYTES);
	check("largest value", &value_ok, NULL, "file n;end");
	put_xattrs(&name, 1, LIMIT_XATTR_NAME_BYTES + 1, 1);
	check("name too long", &name, "is longer than 255 bytes", NULL);
	put_xattrs(&name_ok, 1, LIMIT_XATTR_NAME_BYTES, 1);
	check("longest name", &name_ok, NULL, "file n;end");
	put_xattrs(&many, 10000, 20, 1);
	check("10000 names", &many, "10000 xattrs on one entry are more than 1024", NULL);
	put_xattrs(&many_ok, LIMIT_XATTRS_PER_ENTRY, 20, 1);
	check("as many as there may be", &many_ok, NULL, "file n;end");
	for (i = 0; i < 20000; i++)
		put_record(&data, "SCHILY.xattr.user.same", i % 2 ? "odd" : "even", i % 2 ? 3 : 4);
	put_extension(&same, 'x', data.data, data.len);
	put_block(&same, &(struct block){ .name = "n" });
	run_tar(&o, same.data, same.len, TEXT_MAX, true);
	assert_string_equal(str_text(&o.listing), "file n 0644 0:0 0 user.same=odd 0\nend\n");
	outcome_done(&o);
	put_pax(&control, "SCHILY.xattr.user.\x1b[31m", "x");
	put_block(&control, &(struct block){ .name = "n", .checksum = "0000000" });
	check("terminal codes in a name reach nobody", &control, "the checksum does not", NULL);
}

/* ---- whiteouts ------------------------------------------------------------------------------ */

static void test_whiteouts(UNUSED void **state)
{
	static const struct path_case whiteouts[] = {
		{ "plain", ".wh.a", 0, NULL, "whiteout a;end" },
		{ "below", "d/.wh.a", 0, NULL, "whiteout d/a;end" },
		{ "not clean", "./d//./.wh.a", 0, NULL, "whiteout d/a;end" },
		{ "absolute", "/.wh.etc", 0, NULL, "whiteout etc;end" },
		{ "with slash", ".wh.a/", '5', NULL, "whiteout a;end" },
		{ "as symlink", ".wh.a", '2', NULL, "whiteout a;end", NULL, 0, "/etc" },
		{ "as hard link out", ".wh.a", '1', NULL, "whiteout a;end", NULL, 0, "../../x" },
		{ "as device", ".wh.a", '3', NULL, "whiteout a;end" },
		{ "as unknown type", ".wh.a", 'Q', "unknown entry type 'Q'" },
		{ "of nothing", ".wh.", 0,
			"tar entry '.wh.' at byte 0: a whiteout of '' names nothing" },
		{ "of nothing below", "d/.wh.", 0, "a whiteout of '' names nothing" },
		{ "of the directory itself", ".wh..", 0, "a whiteout of '.' names nothing" },
		{ "of the parent", "d/.wh...", 0, "a whiteout of '..' names nothing" },
		{ "of three dots", "d/.wh....", 0, NULL, "whiteout d/...;end" },
		{ "out of the layer", "../.wh.a", 0, "path leaves the layer" },
		{ "out and in", "d/../../.wh.a", 0, "path leaves the layer" },
		{ "through a whiteout", ".wh.a/b", 0, "the path leads through a whiteout" },
		{ "through a whiteout, deep", "d/.wh.a/b/c", '5',
			"the path leads through a whiteout" },
		{ "whiteout below a whiteout", ".wh.a/.wh.b", 0,
			"the path leads through a whiteout" },
		{ "cleaned away", ".wh.a/../b", 0, NULL, "file b;end" },
		{ "opaque", "d/.wh..wh..opq", 0, NULL, "opaque d;end" },
		{ "opaque root", ".wh..wh..opq", 0, NULL, "opaque .;end" },
		{ "opaque root, absolute", "/.wh..wh..opq", 0, NULL, "opaque .;end" },
		{ "opaque as directory", "d/.wh..wh..opq/", '5', NULL, "opaque d;end" },
		{ "below opaque", "d/.wh..wh..opq/x", 0, NULL, "end" },
		{ "opaque in capitals", "d/.WH..WH..OPQ", 0, NULL, "file d/.WH..WH..OPQ;end" },
		{ "AUFS metadata", ".wh..wh.aufs", 0, NULL, "end" },
		{ "AUFS link store", ".wh..wh.plnk", '5', NULL, "end" },
		{ "in the AUFS link store", ".wh..wh.plnk/12.34", 0, NULL, "end" },
		{ "AUFS orphans below", "d/.wh..wh.orph/x", 0, NULL, "end" },
		{ "whiteout of a whiteout", ".wh..wh.a", 0, NULL, "end" },
		{ "opaque with a tail", ".wh..wh..opqx", 0, NULL, "end" },
		{ "dot missing", ".wha", 0, NULL, "file .wha;end" },
		{ "dot in front missing", "wh.a", 0, NULL, "file wh.a;end" },
		{ "whiteout of dot name", ".wh..bashrc", 0, NULL, "whiteout .bashrc;end" },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(whiteouts); i++) {
		AUTO_STR tar = STR_INIT(TEXT_MAX);

		put_block(&tar, &(struct block){ .name = whiteouts[i].name,
					.type = whiteouts[i].type,
					.link = whiteouts[i].link });
		check(whiteouts[i].why, &tar, whiteouts[i].error, whiteouts[i].entries);
	}
}

static void test_whiteouts_carry_nothing(UNUSED void **state)
{
	AUTO_STR payload = STR_INIT(TEXT_MAX);
	AUTO_STR ignored = STR_INIT(TEXT_MAX);
	AUTO_STR xattr = STR_INIT(TEXT_MAX);
	AUTO_STR twins = STR_INIT(TEXT_MAX);
	struct outcome o;

	put_block(&payload, &(struct block){ .name = ".wh.a", .size = 5 });
	put_data(&payload, "hello", 5);
	put_block(&payload, &(struct block){ .name = "b" });
	check("payload is dropped", &payload, NULL, "whiteout a;file b;end");
	put_block(&ignored, &(struct block){ .name = ".wh..wh.plnk/1", .size = 5 });
	put_data(&ignored, "hello", 5);
	put_block(&ignored, &(struct block){ .name = "b" });
	check("payload of AUFS is dropped", &ignored, NULL, "file b;end");
	put_pax(&xattr, "SCHILY.xattr.user.a", "1");
	put_block(&xattr, &(struct block){ .name = ".wh.a" });
	run_tar(&o, xattr.data, xattr.len, TEXT_MAX, true);
	assert_string_equal(str_text(&o.listing), "whiteout a 0644 0:0 0\nend\n");
	outcome_done(&o);
	put_block(&twins, &(struct block){ .name = ".wh.a" });
	put_block(&twins, &(struct block){ .name = "a" });
	check("whiteout and file of one name", &twins, NULL, "whiteout a;file a;end");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths_stay_in_the_layer),
		cmocka_unit_test(test_no_way_of_naming_leads_out),
		cmocka_unit_test(test_names_are_neither_empty_nor_repeated),
		cmocka_unit_test(test_link_targets_stay_in_the_layer),
		cmocka_unit_test(test_damaged_blocks_are_refused),
		cmocka_unit_test(test_malformed_pax_headers_are_refused),
		cmocka_unit_test(test_an_archive_cut_anywhere_is_noticed),
		cmocka_unit_test(test_flipped_bytes_never_crash_the_reader),
		cmocka_unit_test(test_odd_ends),
		cmocka_unit_test(test_conflicting_headers_are_read_as_go_reads_them),
		cmocka_unit_test(test_extension_headers_are_limited),
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_xattrs),
		cmocka_unit_test(test_xattrs_are_limited),
		cmocka_unit_test(test_whiteouts),
		cmocka_unit_test(test_whiteouts_carry_nothing),
	};

	return cmocka_run_group_tests_name("hostile tar", tests, NULL, NULL);
}
