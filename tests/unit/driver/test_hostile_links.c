/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layers that try to reach outside of their directory: by links, by whiteouts, by being changed
 * while they are applied. Each case either fails with the message given or does something harmless;
 * a canary tree beside the layer keeps every inode, mode, owner and time.
 */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include <cmocka.h>

#include "driver_fixture.h"

#include "driver/apply.h"
#include "tree_text.h"

#define NODES_MAX 8

struct hostile {
	const char *name; /* what the layer does */
	struct node nodes[NODES_MAX];
	const char *message; /* NULL: harmless, `tree` is the result */
	const char *tree;
};

struct place {
	char dir[64];
	int outside; /* holds `canary` and `in` */
	int in;      /* the layer */
};

static void place_open(struct place *p)
{
	(void)snprintf(p->dir, sizeof(p->dir), "/tmp/imbrex-hostile-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	p->outside = open(p->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(mkdirat(p->outside, "canary", 0755), 0);
	assert_int_equal(mkdirat(p->outside, "canary/dir", 0700), 0);
	assert_int_equal(mknodat(p->outside, "canary/file", S_IFREG | 0640, 0), 0);
	assert_int_equal(mkdirat(p->outside, "in", 0755), 0);
	p->in = openat(p->outside, "in", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(p->in >= 0);
}

static void place_close(struct place *p)
{
	struct imbrex_error err = { 0 };

	(void)close(p->in);
	assert_ok(remove_tree_at(p->outside, "in", &err), &err);
	assert_ok(remove_tree_at(p->outside, "canary", &err), &err);
	(void)close(p->outside);
	assert_int_equal(rmdir(p->dir), 0);
}

/* Inode numbers, link counts and all times but those of reading. */
static void canary_text(const struct place *p, struct str *out)
{
	static const char *const paths[] = { "canary", "canary/dir", "canary/file" };
	struct stat st;
	size_t i;

	for (i = 0; i < ARRAY_LEN(paths); i++) {
		assert_int_equal(fstatat(p->outside, paths[i], &st, AT_SYMLINK_NOFOLLOW), 0);
		assert_int_equal(str_printf(out, "%s %llu %o %u:%u %u %lld.%09ld %lld.%09ld\n",
					 paths[i], (unsigned long long)st.st_ino, st.st_mode,
					 st.st_uid, st.st_gid, (unsigned int)st.st_nlink,
					 (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec,
					 (long long)st.st_ctim.tv_sec, st.st_ctim.tv_nsec),
			0);
	}
	assert_int_equal(count_names(p->outside), 2);
}

/* As push(), with failures. */
static int try_push(struct entry_sink *sink, const struct node *n, struct imbrex_error *err)
{
	size_t len = n->text ? strlen(n->text) : 0;
	struct entry e = { .path = n->path,
		.type = n->type,
		.mode = n->mode,
		.uid = n->uid,
		.gid = n->gid,
		.dev_major = n->dev_major,
		.dev_minor = n->dev_minor,
		.size_bytes = len,
		.link = n->link };
	int r = sink->ops->begin(sink, &e, err);

	if (r == 0 && len)
		r = sink->ops->data(sink, n->text, len, err);
	return r < 0 ? r : sink->ops->end(sink, err);
}

static int apply_nodes(const struct place *p, enum apply_whiteouts whiteouts,
	const struct node *nodes, size_t n, struct imbrex_error *err)
{
	const struct apply_opts opts = { .whiteouts = whiteouts,
		.opaque_xattr = "trusted.overlay.opaque",
		.apply_root = whiteouts == APPLY_REMOVE };
	AUTO_ENTRY_SINK struct entry_sink *sink = NULL;
	int fd = fcntl(p->in, F_DUPFD_CLOEXEC, 3);
	size_t i;
	int r;

	assert_ok(apply_new(fd, &opts, &sink, err), err);
	for (i = 0; i < n && nodes[i].path; i++) {
		r = try_push(sink, &nodes[i], err);
		if (r < 0)
			return r;
	}
	return sink->ops->finish(sink, err);
}

static void run_case(const struct hostile *h, enum apply_whiteouts whiteouts)
{
	AUTO_STR before = STR_INIT(4096);
	AUTO_STR after = STR_INIT(4096);
	AUTO_STR tree = STR_INIT(1u << 20);
	struct imbrex_error err = { 0 };
	struct place p;
	int r;

	place_open(&p);
	canary_text(&p, &before);
	r = apply_nodes(&p, whiteouts, h->nodes, NODES_MAX, &err);
	canary_text(&p, &after);
	if (r == 0)
		tree_text(p.in, 0, &tree);
	if ((r < 0) != (h->message != NULL))
		print_error("%s: status %d: %s\n", h->name, r, err.message);
	assert_int_equal(r < 0, h->message != NULL);
	if (h->message)
		assert_string_equal(err.message, h->message);
	else
		assert_string_equal(str_text(&tree), h->tree);
	assert_string_equal(str_text(&before), str_text(&after));
	place_close(&p);
}

#define LINK(p, t)                                                        \
	{                                                                 \
		.path = p, .type = ENTRY_SYMLINK, .mode = 0777, .link = t \
	}
#define HARD(p, t)                                                         \
	{                                                                  \
		.path = p, .type = ENTRY_HARDLINK, .mode = 0640, .link = t \
	}
#define FILE_(p, t)                                                    \
	{                                                              \
		.path = p, .type = ENTRY_FILE, .mode = 0644, .text = t \
	}
#define DIR_(p)                                            \
	{                                                  \
		.path = p, .type = ENTRY_DIR, .mode = 0755 \
	}
#define GONE(p)                                   \
	{                                         \
		.path = p, .type = ENTRY_WHITEOUT \
	}
#define OPAQUE(p)                               \
	{                                       \
		.path = p, .type = ENTRY_OPAQUE \
	}
#define NODE(p, t)                                                                 \
	{                                                                          \
		.path = p, .type = t, .mode = 0600, .dev_major = 1, .dev_minor = 3 \
	}
#define UP              "../../../../../../../../../../../.."
#define HARD_ERROR(l)   "layer entry 'h': hard link to '" l "'"
#define T0              " 0.000000000"
#define LINE_DIR(p)     p " 40755 0:0\n"
#define LINE_LINK(p, t) p " 120777 0:0" T0 " -> " t "\n"
#define LINE_FILE(p, t) p " 100644 0:0" T0 " '" t "'\n"

static const struct hostile link_cases[] = {
	{ "write through an absolute link to a directory outside",
		{ LINK("l", "/tmp"), FILE_("l/x", "x") },
		"layer entry 'l/x': parent 'l' is a dangling symbolic link", NULL },
	{ "write through a relative link that climbs out",
		{ LINK("l", "../canary"), FILE_("l/x", "x") },
		"layer entry 'l/x': parent 'l' is a dangling symbolic link", NULL },
	{ "write through a link of many ..", { LINK("l", UP "/tmp"), FILE_("l/x", "x") },
		"layer entry 'l/x': parent 'l' is a dangling symbolic link", NULL },
	{ "climb out by a link in a directory",
		{ DIR_("d"), LINK("d/l", "../../canary"), FILE_("d/l/file", "x") },
		"layer entry 'd/l/file': parent 'd/l' is a dangling symbolic link", NULL },
	{ "a link to .. of the root is the root", { LINK("l", ".."), FILE_("l/x", "x") }, NULL,
		LINE_LINK("l", "..") LINE_FILE("x", "x") },
	{ "a link to / is the root", { LINK("l", "/"), FILE_("l/x", "x") }, NULL,
		LINE_LINK("l", "/") LINE_FILE("x", "x") },
	{ "a link to the root of the root by many ..",
		{ DIR_("d"), LINK("d/l", UP), FILE_("d/l/x", "x") }, NULL,
		LINE_DIR("d") LINE_LINK("d/l", UP) LINE_FILE("x", "x") },
	{ "a chain of two links that ends outside",
		{ LINK("a", "b"), LINK("b", "../canary"), FILE_("a/file", "x") },
		"layer entry 'a/file': parent 'a' is a dangling symbolic link", NULL },
	{ "a chain of links that ends inside",
		{ DIR_("d"), LINK("a", "b"), LINK("b", "/d"), FILE_("a/x", "x") }, NULL,
		LINE_LINK("a", "b") LINE_LINK("b", "/d") LINE_DIR("d") LINE_FILE("d/x", "x") },
	{ "a loop of one link", { LINK("l", "l"), FILE_("l/x", "x") },
		"layer entry 'l/x': open parent 'l': Too many levels of symbolic links", NULL },
	{ "a loop of two links", { LINK("a", "b"), LINK("b", "a"), FILE_("a/x", "x") },
		"layer entry 'a/x': open parent 'a': Too many levels of symbolic links", NULL },
	{ "a loop as grandparent", { LINK("a", "a"), FILE_("a/b/x", "x") },
		"layer entry 'a/b/x': open parent 'a/b': Too many levels of symbolic links", NULL },
	{ "a magic link of /proc", { LINK("l", "/proc/self/root"), FILE_("l/tmp/x", "x") },
		"layer entry 'l/tmp/x': parent 'l' is a dangling symbolic link", NULL },
	{ "a link to /proc/self/cwd", { LINK("l", "/proc/self/cwd"), FILE_("l/x", "x") },
		"layer entry 'l/x': parent 'l' is a dangling symbolic link", NULL },
	{ "a file that replaces a link does not follow it",
		{ LINK("l", "../canary/file"), FILE_("l", "x") }, NULL, LINE_FILE("l", "x") },
	{ "a directory that replaces a link does not follow it",
		{ LINK("l", "../canary/dir"), DIR_("l"), FILE_("l/x", "x") }, NULL,
		LINE_DIR("l") LINE_FILE("l/x", "x") },
	{ "a link that replaces a directory with content",
		{ DIR_("d"), FILE_("d/x", "x"), LINK("d", "../canary"), FILE_("d/dir", "y") },
		"layer entry 'd/dir': parent 'd' is a dangling symbolic link", NULL },
	{ "a link over a directory, then a file beside",
		{ DIR_("d"), FILE_("d/x", "x"), LINK("d", "../canary"), FILE_("e", "y") }, NULL,
		LINE_LINK("d", "../canary") LINE_FILE("e", "y") },
	{ "a directory swapped for a link under a kept parent",
		{ DIR_("a"), DIR_("a/b"), FILE_("a/b/x", "x"), LINK("a/b", "../../canary"),
			FILE_("a/b/file", "y") },
		"layer entry 'a/b/file': parent 'a/b' is a dangling symbolic link", NULL },
	{ "a hard link replaces a link",
		{ LINK("h", "../canary/file"), FILE_("f", "x"),
			{ "h", ENTRY_HARDLINK, 0644, .link = "f" } },
		NULL, LINE_FILE("f", "x") "h 100644 0:0" T0 " 'x' = f\n" },
	{ "a device replaces a link", { LINK("l", "../canary/file"), NODE("l", ENTRY_CHAR) }, NULL,
		"l 20600 0:0" T0 " 1,3\n" },
	{ "a fifo replaces a link", { LINK("l", "../canary/file"), NODE("l", ENTRY_FIFO) }, NULL,
		"l 10600 0:0" T0 "\n" },
	{ "the root as a link", { LINK(".", "../canary") },
		"layer entry '.': the root of a layer can only be a directory", NULL },
	{ "the root as a file", { FILE_(".", "x") },
		"layer entry '.': the root of a layer can only be a directory", NULL },
	{ "the root as a hard link", { HARD(".", "x") },
		"layer entry '.': the root of a layer can only be a directory", NULL },
	{ "the root as a device", { NODE(".", ENTRY_BLOCK) },
		"layer entry '.': the root of a layer can only be a directory", NULL },
	{ "a file as parent", { FILE_("f", "x"), FILE_("f/x", "x") },
		"layer entry 'f/x': parent 'f' is not a directory", NULL },
	{ "a device as parent", { NODE("c", ENTRY_CHAR), FILE_("c/x", "x") },
		"layer entry 'c/x': parent 'c' is not a directory", NULL },
	{ "a fifo as parent does not block", { NODE("p", ENTRY_FIFO), FILE_("p/x", "x") },
		"layer entry 'p/x': parent 'p' is not a directory", NULL },
	{ "a link to a fifo as parent",
		{ NODE("p", ENTRY_FIFO), LINK("l", "p"), FILE_("l/x", "x") },
		"layer entry 'l/x': parent 'l' is not a directory", NULL },
	{ "hard link to a path outside", { HARD("h", "../canary/file") },
		HARD_ERROR("../canary/file") ": Invalid cross-device link", NULL },
	{ "hard link to an absolute path", { HARD("h", "/etc/passwd") },
		HARD_ERROR("/etc/passwd") ": Invalid cross-device link", NULL },
	{ "hard link through a link that leads outside",
		{ LINK("l", "../canary"), HARD("h", "l/file") },
		HARD_ERROR("l/file") ": No such file or directory", NULL },
	{ "hard link through an absolute link", { LINK("l", "/etc"), HARD("h", "l/passwd") },
		HARD_ERROR("l/passwd") ": No such file or directory", NULL },
	{ "hard link through a link inside",
		{ DIR_("d"), FILE_("d/f", "x"), LINK("l", "/d"),
			{ "h", ENTRY_HARDLINK, 0644, .link = "l/f" } },
		NULL,
		LINE_DIR("d") LINE_FILE("d/f", "x") "h 100644 0:0" T0
						    " 'x' = d/f\n" LINE_LINK("l", "/d") },
	{ "hard link to a link is the link itself", { LINK("l", "../canary/file"), HARD("h", "l") },
		NULL,
		"h 120777 0:0" T0 " -> ../canary/file\n"
		"l 120777 0:0" T0 " -> ../canary/file = h\n" },
	{ "write through a hard link to a link",
		{ LINK("l", "../canary/file"), HARD("h", "l"), FILE_("h", "x") }, NULL,
		LINE_FILE("h", "x") LINE_LINK("l", "../canary/file") },
	{ "hard link to a directory", { DIR_("d"), HARD("h", "d") },
		"layer entry 'h': hard link to the directory 'd'", NULL },
	{ "hard link to the root", { HARD("h", ".") },
		"layer entry 'h': hard link to '.', which names no file", NULL },
	{ "hard link to ..", { HARD("h", "..") },
		"layer entry 'h': hard link to '..', which names no file", NULL },
	{ "hard link to d/..", { DIR_("d"), HARD("h", "d/..") },
		"layer entry 'h': hard link to 'd/..', which names no file", NULL },
	{ "hard link to nothing", { HARD("h", "") },
		"layer entry 'h': hard link to '', which names no file", NULL },
	{ "hard link to itself", { HARD("h", "h") }, HARD_ERROR("h") ": No such file or directory",
		NULL },
	{ "hard link to a later entry", { HARD("h", "later"), FILE_("later", "x") },
		HARD_ERROR("later") ": No such file or directory", NULL },
	{ "hard link to a device", { NODE("c", ENTRY_CHAR), HARD("h", "c") }, NULL,
		"c 20640 0:0" T0 " 1,3\n"
		"h 20640 0:0" T0 " 1,3 = c\n" },
	{ "hard link below a file", { FILE_("f", "x"), HARD("h", "f/x") },
		HARD_ERROR("f/x") ": Not a directory", NULL },
	{ "hard link replaces a directory with content",
		{ FILE_("f", "x"), DIR_("h"), FILE_("h/y", "y"),
			{ "h", ENTRY_HARDLINK, 0644, .link = "f" } },
		NULL, LINE_FILE("f", "x") "h 100644 0:0" T0 " 'x' = f\n" },
	{ "hard link removes its own target's directory",
		{ DIR_("d"), FILE_("d/f", "x"), { "d", ENTRY_HARDLINK, 0644, .link = "d/f" } },
		"layer entry 'd': hard link to 'd/f': No such file or directory", NULL },
	{ "mode and owner go to the link, not to what it names",
		{ { "l", ENTRY_SYMLINK, 04777, 5, 6, .link = "../canary/file" } }, NULL,
		"l 120777 5:6" T0 " -> ../canary/file\n" },
	{ "directory metadata never goes through a link",
		{ LINK("l", "../canary/dir"), { "l", ENTRY_DIR, 0777, 5, 6 } }, NULL,
		"l 40777 5:6\n" },
	{ "an empty link target", { LINK("l", "") },
		"layer entry 'l': make symbolic link: No such file or directory", NULL },
};

static void links_never_lead_outside(void **state)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(link_cases); i++) {
		run_case(&link_cases[i], APPLY_OVERLAY);
		run_case(&link_cases[i], APPLY_REMOVE);
		run_case(&link_cases[i], APPLY_AUFS);
	}
}

static const struct hostile remove_cases[] = {
	{ "whiteout of a link takes the link", { LINK("l", "../canary"), GONE("l") }, NULL, "" },
	{ "whiteout through a link outside", { LINK("l", "../canary"), GONE("l/file") },
		"layer entry 'l/file': parent 'l' is a dangling symbolic link", NULL },
	{ "whiteout through an absolute link", { LINK("l", "/tmp"), GONE("l/x") },
		"layer entry 'l/x': parent 'l' is a dangling symbolic link", NULL },
	{ "whiteout of a directory that holds links",
		{ DIR_("d"), LINK("d/a", "../../canary"), LINK("d/b", "/"), GONE("d") }, NULL, "" },
	{ "whiteout through a link inside",
		{ DIR_("d"), FILE_("d/f", "x"), LINK("l", "/d"), GONE("l/f") }, NULL,
		LINE_DIR("d") LINE_LINK("l", "/d") },
	{ "whiteout below a file", { FILE_("f", "x"), GONE("f/x") }, NULL, LINE_FILE("f", "x") },
	{ "whiteout of what is not there", { GONE("x") }, NULL, "" },
	{ "whiteout of the root", { GONE(".") },
		"layer entry '.': the root of a layer can only be a directory", NULL },
	{ "whiteout of one hard link", { FILE_("a", "x"), HARD("b", "a"), GONE("a") }, NULL,
		"b 100640 0:0" T0 " 'x'\n" },
	{ "opaque through a link outside", { LINK("l", "../canary"), OPAQUE("l") },
		"layer entry 'l': parent 'l' is a dangling symbolic link", NULL },
	{ "opaque of a file", { FILE_("f", "x"), OPAQUE("f") }, NULL, LINE_FILE("f", "x") },
	{ "opaque below a fifo", { NODE("p", ENTRY_FIFO), OPAQUE("p/x") }, NULL,
		"p 10600 0:0" T0 "\n" },
	{ "opaque through a link to the root keeps what the layer made",
		{ FILE_("f", "x"), LINK("l", "/"), OPAQUE("l") }, NULL, "" },
};

static void whiteouts_never_remove_outside(void **state)
{
	size_t i;

	/* The last case is one of names: by "l" nothing of this layer is known, so all goes. */
	for (i = 0; i < ARRAY_LEN(remove_cases); i++)
		run_case(&remove_cases[i], APPLY_REMOVE);
}

static const struct hostile overlay_cases[] = {
	{ "whiteout through a link outside", { LINK("l", "../canary"), GONE("l/file") },
		"layer entry 'l/file': parent 'l' is a dangling symbolic link", NULL },
	{ "whiteout below a whiteout", { GONE("d"), GONE("d/x") }, NULL, "d 20000 0:0 0,0\n" },
	{ "opaque mark on a whiteout", { GONE("d"), OPAQUE("d") }, NULL, "d 20000 0:0 0,0\n" },
	{ "a file below a whiteout", { GONE("d"), FILE_("d/x", "x") },
		"layer entry 'd/x': parent 'd' is not a directory", NULL },
	{ "whiteout twice", { GONE("d"), GONE("d") }, NULL, "d 20000 0:0 0,0\n" },
	{ "a file where its whiteout was", { GONE("f"), FILE_("f", "x") }, NULL,
		LINE_FILE("f", "x") },
	{ "whiteout of a file of the same layer", { FILE_("f", "x"), GONE("f") }, NULL,
		LINE_FILE("f", "x") },
	{ "whiteout of a link of the same layer", { LINK("l", "../canary"), GONE("l") }, NULL,
		LINE_LINK("l", "../canary") },
	{ "whiteout of a directory of the same layer hides what is below",
		{ DIR_("d"), FILE_("d/x", "x"), GONE("d") }, NULL,
		"d 40755 0:0 trusted.overlay.opaque=79\n" LINE_FILE("d/x", "x") },
	{ "hard link to a whiteout", { GONE("w"), { "h", ENTRY_HARDLINK, 0, .link = "w" } }, NULL,
		"h 20000 0:0 0,0\nw 20000 0:0 0,0 = h\n" },
};

/* Times of whiteouts are those of their making. */
static void strip_whiteout_times(struct str *text, struct str *out)
{
	const char *p = str_text(text);

	while (*p) {
		size_t n = strcspn(p, "\n");
		const char *mark = strstr(p, " 20000 0:0 ");

		if (mark && mark < p + n) {
			const char *time = mark + strlen(" 20000 0:0");

			assert_int_equal(str_append(out, p, (size_t)(time - p)), 0);
			time += 1 + strcspn(time + 1, " \n");
			assert_int_equal(str_append(out, time, (size_t)(p + n - time)), 0);
		} else {
			assert_int_equal(str_append(out, p, n), 0);
		}
		assert_int_equal(str_putc(out, '\n'), 0);
		p += n + (p[n] == '\n');
	}
}

static void overlay_marks_stay_inside(void **state)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(overlay_cases); i++) {
		const struct hostile *h = &overlay_cases[i];
		AUTO_STR before = STR_INIT(4096);
		AUTO_STR after = STR_INIT(4096);
		AUTO_STR tree = STR_INIT(65536);
		AUTO_STR plain = STR_INIT(65536);
		struct imbrex_error err = { 0 };
		struct place p;
		int r;

		place_open(&p);
		canary_text(&p, &before);
		r = apply_nodes(&p, APPLY_OVERLAY, h->nodes, NODES_MAX, &err);
		canary_text(&p, &after);
		if (r == 0) {
			tree_text(p.in, 0, &tree);
			strip_whiteout_times(&tree, &plain);
		}
		assert_string_equal(h->message ? err.message : str_text(&plain),
			h->message ? h->message : h->tree);
		assert_string_equal(str_text(&before), str_text(&after));
		place_close(&p);
	}
}

static void xattrs_that_steer_overlay_are_dropped(void **state)
{
	static const char *const dropped[] = { "trusted.overlay.opaque", "trusted.overlay.redirect",
		"trusted.overlay.metacopy", "trusted.overlay.origin", "user.overlay.opaque",
		"user.overlay.redirect", "security.selinux", "user.containers.override_stat",
		"user.fuseoverlayfs.origin" };
	static const char *const kept[] = { "user.note", "trusted.other",
		"trusted.overlay.overlay.opaque", "user.overlayish" };
	struct entry_xattr x[ARRAY_LEN(dropped) + ARRAY_LEN(kept)];
	struct entry e = { .path = "d", .type = ENTRY_DIR, .mode = 0755, .xattrs = x };
	const struct apply_opts opts = { .opaque_xattr = "trusted.overlay.opaque" };
	AUTO_ENTRY_SINK struct entry_sink *sink = NULL;
	AUTO_STR tree = STR_INIT(4096);
	struct imbrex_error err = { 0 };
	struct place p;
	size_t i;

	for (i = 0; i < ARRAY_LEN(dropped); i++)
		x[e.n_xattrs++] = (struct entry_xattr){ dropped[i], "y", 1 };
	for (i = 0; i < ARRAY_LEN(kept); i++)
		x[e.n_xattrs++] = (struct entry_xattr){ kept[i], "y", 1 };
	place_open(&p);
	assert_ok(apply_new(fcntl(p.in, F_DUPFD_CLOEXEC, 3), &opts, &sink, &err), &err);
	assert_ok(sink->ops->begin(sink, &e, &err), &err);
	assert_ok(sink->ops->end(sink, &err), &err);
	assert_ok(sink->ops->finish(sink, &err), &err);
	tree_text(p.in, 0, &tree);
	assert_string_equal(str_text(&tree),
		"d 40755 0:0 trusted.other=79 trusted.overlay.overlay.opaque=79 user.note=79 "
		"user.overlayish=79\n");
	place_close(&p);
}

static void names_may_be_any_bytes(void **state)
{
	static const char *const names[] = { "new\nline", "\xff\xfe", "a b", "-rf", "\x01", "a\\b",
		"\"quote\"", "$(id)", "*", ".hidden", "..x", "x..", "...", "a:b,c", "Case",
		"case" };
	struct imbrex_error err = { 0 };
	struct node nodes[ARRAY_LEN(names)];
	char longest[256], deep[4096];
	struct place p;
	size_t i;

	memset(nodes, 0, sizeof(nodes));
	for (i = 0; i < ARRAY_LEN(names); i++)
		nodes[i] = (struct node)FILE_(names[i], "x");
	place_open(&p);
	assert_ok(apply_nodes(&p, APPLY_OVERLAY, nodes, ARRAY_LEN(nodes), &err), &err);
	for (i = 0; i < ARRAY_LEN(names); i++)
		assert_true(exists_at(p.in, names[i]));
	memset(longest, 'x', 255);
	longest[255] = 0;
	assert_ok(apply_nodes(&p, APPLY_OVERLAY, &(struct node)FILE_(longest, "x"), 1, &err), &err);
	/* Its .wh. file would be four bytes longer. */
	assert_int_equal(
		apply_nodes(&p, APPLY_AUFS, &(struct node)GONE(longest), 1, &err), IMBREX_ELIMIT);
	for (i = 0; i < 4094; i += 2)
		memcpy(deep + i, "d/", 2);
	deep[4094] = 'f';
	deep[4095] = 0;
	assert_ok(apply_nodes(&p, APPLY_OVERLAY, &(struct node)FILE_(deep, "x"), 1, &err), &err);
	assert_true(exists_at(p.in, deep));
	place_close(&p);
}

static void the_largest_ids_are_kept(void **state)
{
	struct imbrex_error err = { 0 };
	struct place p;
	struct stat st;

	place_open(&p);
	assert_ok(
		apply_nodes(&p, APPLY_OVERLAY,
			&(struct node){ "f", ENTRY_FILE, 0644, 2147483648u, 4294967294u }, 1, &err),
		&err);
	assert_int_equal(fstatat(p.in, "f", &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(st.st_uid, 2147483648u);
	assert_int_equal(st.st_gid, 4294967294u);
	place_close(&p);
}

/* Somebody who may write to the layer swaps names in it for links while it is applied. */
enum swap {
	SWAP_DIR,
	SWAP_FILE,
	SWAP_PARENT,
	SWAP_EXCHANGE,
	SWAP_KINDS
};

struct swapper {
	const struct place *p;
	enum swap kind;
	_Atomic bool stop;
};

static void swap_once(const struct place *p, enum swap kind)
{
	switch (kind) {
	case SWAP_DIR:
		(void)!renameat(p->in, "d", p->in, "moved");
		(void)!symlinkat("../canary", p->in, "d");
		(void)!unlinkat(p->in, "d", 0);
		(void)!renameat(p->in, "moved", p->in, "d");
		break;
	case SWAP_FILE:
		(void)!unlinkat(p->in, "d/file", 0);
		(void)!symlinkat("../../canary/file", p->in, "d/file");
		break;
	case SWAP_PARENT:
		(void)!renameat(p->in, "d/sub", p->in, "stolen");
		(void)!symlinkat("../../canary/dir", p->in, "d/sub");
		(void)!unlinkat(p->in, "d/sub", 0);
		(void)!renameat(p->in, "stolen", p->in, "d/sub");
		break;
	default:
		(void)!symlinkat("../canary", p->in, "evil");
		(void)!syscall(SYS_renameat2, p->in, "evil", p->in, "d", 2 /* RENAME_EXCHANGE */);
	}
}

static void *swap_loop(void *arg)
{
	struct swapper *s = arg;

	while (!s->stop)
		swap_once(s->p, s->kind);
	return NULL;
}

static void race(enum swap kind, enum apply_whiteouts whiteouts)
{
	const struct node nodes[NODES_MAX] = { DIR_("d"), FILE_("d/file", "x"), DIR_("d/sub"),
		FILE_("d/sub/file", "y"), GONE("d/dir"), { "d/dir", ENTRY_DIR, 0777, 5, 6 },
		OPAQUE("d"), FILE_("d/sub/late", "z") };
	struct swapper s = { .kind = kind };
	AUTO_STR before = STR_INIT(4096);
	AUTO_STR after = STR_INIT(4096);
	struct place p;
	pthread_t thread;
	size_t i;

	place_open(&p);
	s.p = &p;
	canary_text(&p, &before);
	assert_int_equal(pthread_create(&thread, NULL, swap_loop, &s), 0);
	/* Whether a round fails is the scheduler's affair; where it writes is ours. */
	for (i = 0; i < 150; i++) {
		struct imbrex_error err = { 0 };

		(void)!apply_nodes(&p, whiteouts, nodes, NODES_MAX, &err);
		(void)!remove_tree_at(p.in, "d", &err);
	}
	s.stop = true;
	assert_int_equal(pthread_join(thread, NULL), 0);
	canary_text(&p, &after);
	assert_string_equal(str_text(&before), str_text(&after));
	place_close(&p);
}

static void swapping_names_meanwhile_changes_nothing_outside(void **state)
{
	int kind;

	for (kind = 0; kind < SWAP_KINDS; kind++) {
		race((enum swap)kind, APPLY_OVERLAY);
		race((enum swap)kind, APPLY_REMOVE);
	}
}

/* The layer swaps at every border between two calls: deterministic, every place once. */
static void swapping_between_any_two_entries_changes_nothing_outside(void **state)
{
	const struct node nodes[] = { DIR_("d"), FILE_("d/file", "x"), DIR_("d/sub"),
		FILE_("d/sub/file", "y"), HARD("d/hard", "d/file"), GONE("d/dir"),
		{ "d", ENTRY_DIR, 0777, 5, 6 }, FILE_("d/sub/late", "z"), OPAQUE("d") };
	size_t at, i, style;

	for (style = APPLY_OVERLAY; style <= APPLY_REMOVE; style++) {
		for (at = 0; at <= ARRAY_LEN(nodes); at++) {
			const struct apply_opts opts = { .whiteouts = (enum apply_whiteouts)style,
				.opaque_xattr = "trusted.overlay.opaque" };
			AUTO_ENTRY_SINK struct entry_sink *sink = NULL;
			AUTO_STR before = STR_INIT(4096);
			AUTO_STR after = STR_INIT(4096);
			struct imbrex_error err = { 0 };
			struct place p;
			int r = 0;

			place_open(&p);
			canary_text(&p, &before);
			assert_ok(apply_new(fcntl(p.in, F_DUPFD_CLOEXEC, 3), &opts, &sink, &err),
				&err);
			for (i = 0; i < ARRAY_LEN(nodes) && r == 0; i++) {
				if (i == at) {
					(void)!renameat(p.in, "d", p.in, "moved");
					(void)!symlinkat("../canary", p.in, "d");
				}
				r = try_push(sink, &nodes[i], &err);
			}
			if (r == 0)
				(void)!sink->ops->finish(sink, &err);
			canary_text(&p, &after);
			assert_string_equal(str_text(&before), str_text(&after));
			place_close(&p);
		}
	}
}

static void repeated_opaque_marks_cost_nothing_more(void **state)
{
	enum {
		N_FILES = 2000,
		N_MARKS = 20000
	};
	const struct apply_opts opts = { .whiteouts = APPLY_REMOVE };
	AUTO_ENTRY_SINK struct entry_sink *sink = NULL;
	struct imbrex_error err = { 0 };
	struct timespec begin, end;
	struct place p;
	char name[32];
	int i;

	place_open(&p);
	assert_ok(apply_new(fcntl(p.in, F_DUPFD_CLOEXEC, 3), &opts, &sink, &err), &err);
	for (i = 0; i < N_FILES; i++) {
		(void)snprintf(name, sizeof(name), "d/%d", i);
		assert_ok(try_push(sink, &(struct node)FILE_(name, ""), &err), &err);
	}
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
	for (i = 0; i < N_MARKS; i++)
		assert_ok(try_push(sink, &(struct node)OPAQUE("d"), &err), &err);
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
	assert_ok(sink->ops->finish(sink, &err), &err);
	/* Walking each time would be 40 million steps, minutes under a sanitizer. */
	assert_true(end.tv_sec - begin.tv_sec < 10);
	place_close(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(links_never_lead_outside),
		cmocka_unit_test(whiteouts_never_remove_outside),
		cmocka_unit_test(overlay_marks_stay_inside),
		cmocka_unit_test(xattrs_that_steer_overlay_are_dropped),
		cmocka_unit_test(names_may_be_any_bytes),
		cmocka_unit_test(the_largest_ids_are_kept),
		cmocka_unit_test(swapping_names_meanwhile_changes_nothing_outside),
		cmocka_unit_test(swapping_between_any_two_entries_changes_nothing_outside),
		cmocka_unit_test(repeated_opaque_marks_cost_nothing_more),
	};

	if (geteuid() != 0) {
		print_message("skipped: owners, devices and whiteouts need root\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
