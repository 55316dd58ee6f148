/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A directory tree as text, one line an inode, so that two trees compare by assert_string_equal:
 * path, type, mode, owner, mtime, device, link target or content, first name of a hard link,
 * xattrs. Header only; include after driver_fixture.h.
 */
#ifndef TREE_TEXT_H
#define TREE_TEXT_H

#include <stdio.h>
#include <sys/sysmacros.h>

#include "base/map.h"
#include "driver/treewalk.h"
#include "os/xattr.h"

#define TREE_DIR_TIMES 1u /* also of directories */

static inline int compare_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static inline void add_xattrs(const struct tree_item *item, struct str *out)
{
	AUTO_STR names = STR_INIT(65536);
	AUTO_STRV sorted = { 0 };
	size_t i;

	assert_int_equal(listxattr_at(item->dirfd, item->name, &names), 0);
	for (i = 0; i < names.len; i += strlen(names.data + i) + 1)
		assert_int_equal(strv_add(&sorted, names.data + i), 0);
	if (sorted.n)
		qsort(sorted.items, sorted.n, sizeof(*sorted.items), compare_text);
	for (i = 0; i < sorted.n; i++) {
		AUTO_STR value = STR_INIT(65536);
		size_t k;

		assert_int_equal(getxattr_at(item->dirfd, item->name, sorted.items[i], &value), 0);
		assert_int_equal(str_printf(out, " %s=", sorted.items[i]), 0);
		for (k = 0; k < value.len; k++)
			assert_int_equal(str_printf(out, "%02x", (unsigned char)value.data[k]), 0);
	}
}

static inline void add_content(const struct tree_item *item, struct str *out)
{
	AUTO_STR text = STR_INIT(64u << 20);
	struct imbrex_error err = { 0 };
	uint64_t sum = 0xcbf29ce484222325u;
	size_t i;

	if (S_ISLNK(item->st.st_mode)) {
		assert_ok(read_link_at(item->dirfd, item->name, &text, &err), &err);
		assert_int_equal(str_printf(out, " -> %s", str_text(&text)), 0);
	} else if (S_ISREG(item->st.st_mode)) {
		assert_ok(read_file_at(item->dirfd, item->name, text.max_len, &text, &err), &err);
		if (text.len <= 64)
			assert_int_equal(str_printf(out, " '%s'", str_text(&text)), 0);
		for (i = 0; i < text.len; i++)
			sum = (sum ^ (unsigned char)text.data[i]) * 0x100000001b3u;
		if (text.len > 64)
			assert_int_equal(
				str_printf(out, " %zu:%016llx", text.len, (unsigned long long)sum),
				0);
	} else if (S_ISCHR(item->st.st_mode) || S_ISBLK(item->st.st_mode)) {
		assert_int_equal(
			str_printf(out, " %u,%u", major(item->st.st_rdev), minor(item->st.st_rdev)),
			0);
	}
}

static inline void add_item(const struct tree_item *item, unsigned int flags, struct map *links,
	struct strv *firsts, struct str *out)
{
	const struct stat *st = &item->st;
	const uint64_t key[2] = { st->st_dev, st->st_ino };
	bool with_time = !S_ISDIR(st->st_mode) || flags & TREE_DIR_TIMES;
	void *first = NULL;

	assert_int_equal(
		str_printf(out, "%s %o %u:%u", item->path, st->st_mode, st->st_uid, st->st_gid), 0);
	if (with_time)
		assert_int_equal(str_printf(out, " %lld.%09ld", (long long)st->st_mtim.tv_sec,
					 st->st_mtim.tv_nsec),
			0);
	add_content(item, out);
	if (!S_ISDIR(st->st_mode) && st->st_nlink > 1) {
		if (map_get(links, (const char *)key, sizeof(key), &first)) {
			assert_int_equal(str_printf(out, " = %s", (char *)first), 0);
		} else {
			assert_int_equal(strv_add(firsts, item->path), 0);
			assert_int_equal(map_add(links, (const char *)key, sizeof(key),
						 firsts->items[firsts->n - 1]),
				0);
		}
	}
	add_xattrs(item, out);
	assert_int_equal(str_putc(out, '\n'), 0);
}

/* Appends; the root itself is not listed. */
static inline void tree_text(int rootfd, unsigned int flags, struct str *out)
{
	AUTO_TREE_WALK *w = NULL;
	AUTO_MAP *links = map_new();
	AUTO_STRV firsts = { 0 };
	struct tree_item item;
	struct imbrex_error err = { 0 };
	int r;

	assert_non_null(links);
	assert_ok(tree_walk_new(rootfd, &w, &err), &err);
	while ((r = tree_walk_next(w, &item, &err)) > 0)
		add_item(&item, flags, links, &firsts, out);
	assert_ok(r, &err);
}

#endif
