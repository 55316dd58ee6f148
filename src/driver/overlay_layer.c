/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One layer directory of the overlay driver, and the short links in l/ that lead to it.
 *
 * What a store says is not believed: a link name is 26 characters of A-Z2-7, `lower` is a list of
 * "l/<link name>", and a link in l/ leads to "../<one name>/diff" - so nothing read here can name
 * a path outside the home. Layer directories are opened without following a last symbolic link.
 */
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>

#include "driver/overlay.h"
#include "os/atomic.h"
#include "os/fd.h"

static const char link_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

int overlay_check_id(const char *id, struct imbrex_error *err)
{
	static const char *const taken[] = { "l", "staging", "tempdirs" };
	size_t i, n = strlen(id);

	for (i = 0; i < ARRAY_LEN(taken); i++)
		if (str_eq(id, taken[i]))
			break;
	if (n == 0 || n > 128 || id[0] == '.' || strchr(id, '/') || i < ARRAY_LEN(taken))
		return fail(err, IMBREX_EINVAL, "'%.128s' is not a layer id", id);
	return 0;
}

bool overlay_is_link_name(const char *name, size_t len)
{
	size_t i;

	if (len != OVERLAY_LINK_LEN)
		return false;
	for (i = 0; i < len; i++)
		if (!name[i] || !strchr(link_alphabet, name[i]))
			return false;
	return true;
}

int overlay_random_link(char ret[OVERLAY_LINK_LEN + 1], struct imbrex_error *err)
{
	unsigned char bytes[OVERLAY_LINK_LEN];
	size_t i;

	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		return fail_errno(err, "get random bytes");
	for (i = 0; i < OVERLAY_LINK_LEN; i++)
		ret[i] = link_alphabet[bytes[i] & 31];
	ret[i] = 0;
	return 0;
}

int overlay_layer_open(const struct overlay *o, const char *id, struct overlay_layer *ret,
	struct imbrex_error *err)
{
	size_t i;
	int fd, r;

	r = overlay_check_id(id, err);
	if (r < 0)
		return r;
	for (i = 0; i < o->n_homes; i++) {
		fd = openat(o->homes[i].fd, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd >= 0) {
			ret->fd = fd;
			ret->home = i;
			return 0;
		}
		if (errno == ENOTDIR || errno == ELOOP)
			return fail(err, IMBREX_EFORMAT, "layer %s: '%s/%s' is not a directory", id,
				o->homes[i].path, id);
		if (errno != ENOENT)
			return fail_errno(err, "layer %s: open '%s/%s'", id, o->homes[i].path, id);
	}
	return fail(err, IMBREX_ENOENT, "layer %s: no directory in '%s'", id, o->homes[0].path);
}

void overlay_layer_done(struct overlay_layer *l)
{
	l->fd = close_fd(l->fd);
	str_done(&l->lower);
}

static int check_lower(const char *id, const char *lower, struct imbrex_error *err)
{
	const char *p = lower;
	size_t n, count = 0;

	while (*p) {
		const char *name = str_after(p, "l/");

		n = strcspn(p, ":");
		if (!name || n < 2 || !overlay_is_link_name(name, n - 2))
			return fail(err, IMBREX_EFORMAT, "layer %s: file 'lower' has '%.*s'", id,
				(int)MIN(n, 200), p);
		count++;
		p += n;
		p += *p == ':';
	}
	if (count > OVERLAY_LOWERS_MAX)
		return fail(err, IMBREX_ELIMIT, "layer %s: %zu layers below it, limit is %d", id,
			count, OVERLAY_LOWERS_MAX);
	return 0;
}

int overlay_layer_read(const char *id, struct overlay_layer *l, struct imbrex_error *err)
{
	AUTO_STR link = STR_INIT(4096);
	AUTO_STR lower = STR_INIT(OVERLAY_LOWER_BYTES);
	int r;

	r = read_file_at(l->fd, "link", link.max_len, &link, err);
	if (r < 0)
		return wrap(err, r, "layer %s", id);
	if (!overlay_is_link_name(str_text(&link), link.len))
		return fail(err, IMBREX_EFORMAT, "layer %s: file 'link' has '%.60s'", id,
			str_text(&link));
	r = read_file_at(l->fd, "lower", lower.max_len, &lower, err);
	if (r < 0 && r != IMBREX_ENOENT)
		return wrap(err, r, "layer %s", id);
	r = check_lower(id, str_text(&lower), err);
	if (r < 0)
		return r;
	memcpy(l->link, link.data, OVERLAY_LINK_LEN + 1);
	str_done(&l->lower);
	l->lower = lower;
	lower = (struct str)STR_INIT(0);
	return 0;
}

int overlay_link_target(const struct overlay *o, size_t home, const char *link, struct str *ret_id,
	struct imbrex_error *err)
{
	AUTO_STR target = STR_INIT(4096);
	char path[OVERLAY_LINK_LEN + 3] = "l/";
	const char *id, *end;
	int r;

	memcpy(path + 2, link, OVERLAY_LINK_LEN + 1);
	r = read_link_at(o->homes[home].fd, path, &target, err);
	if (r < 0)
		return r;
	id = str_after(str_text(&target), "../");
	end = id ? strchr(id, '/') : NULL;
	if (!end || !str_eq(end, "/diff") || end == id || id[0] == '.')
		return fail(
			err, IMBREX_EFORMAT, "link 'l/%s' leads to '%s'", link, str_text(&target));
	if (str_append(ret_id, id, (size_t)(end - id)) < 0)
		return fail_nomem(err);
	return 0;
}

/* l/<link> -> ../<id>/diff, replacing whatever else has that name. */
static int make_link(
	struct overlay *o, size_t home, const char *link, const char *id, struct imbrex_error *err)
{
	int links = o->homes[home].links;
	AUTO_FREE char *target = format_text("../%s/diff", id);
	AUTO_STR have = STR_INIT(4096);
	struct imbrex_error ignored;

	if (!target)
		return fail_nomem(err);
	if (symlinkat(target, links, link) == 0)
		return 0;
	if (errno != EEXIST)
		return fail_errno(err, "layer %s: make link 'l/%s'", id, link);
	if (read_link_at(links, link, &have, &ignored) == 0 && str_eq(str_text(&have), target))
		return 0;
	if (unlinkat(links, link, 0) < 0 || symlinkat(target, links, link) < 0)
		return fail_errno(err, "layer %s: replace link 'l/%s'", id, link);
	return 0;
}

/* Give layers whose `link` file is lost the name that l/ has for them. */
static int adopt_links(struct overlay *o, size_t home, struct imbrex_error *err)
{
	struct imbrex_error ignored;
	const struct dirent *d;
	int fd = openat(o->homes[home].links, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	int r = 0;

	if (!dir) {
		(void)close_fd(fd);
		return fail_errno(err, "read '%s/l'", o->homes[home].path);
	}
	while (r == 0 && (d = readdir(dir)) != NULL) {
		AUTO_OVERLAY_LAYER layer = OVERLAY_LAYER_INIT;
		AUTO_STR id = STR_INIT(4096);

		if (!overlay_is_link_name(d->d_name, strlen(d->d_name)) ||
			overlay_link_target(o, home, d->d_name, &id, &ignored) < 0 ||
			overlay_layer_open(o, str_text(&id), &layer, &ignored) < 0 ||
			layer.home != home || exists_at(layer.fd, "link"))
			continue;
		r = atomic_write_at(layer.fd, "link", 0644, d->d_name, OVERLAY_LINK_LEN,
			ATOMIC_SYNC_FILE, NULL, err);
		if (r < 0)
			r = wrap(err, r, "layer %s", str_text(&id));
	}
	(void)closedir(dir);
	return r;
}

int overlay_repair_links(struct overlay *o, struct imbrex_error *err)
{
	AUTO_STRV ids = { 0 };
	struct imbrex_error ignored;
	size_t i;
	int r;

	if (o->config.read_only)
		return fail(err, IMBREX_EPERM, "'%s/l' needs repair in a read-only store",
			o->homes[0].path);
	for (i = 0; i < o->n_own; i++) {
		r = adopt_links(o, i, err);
		if (r < 0)
			return r;
	}
	r = overlay_ops.list(&o->base, &ids, err);
	if (r < 0)
		return r;
	for (i = 0; i < ids.n; i++) {
		AUTO_OVERLAY_LAYER layer = OVERLAY_LAYER_INIT;

		if (overlay_layer_open(o, ids.items[i], &layer, &ignored) < 0 ||
			layer.home >= o->n_own ||
			overlay_layer_read(ids.items[i], &layer, &ignored) < 0)
			continue;
		r = make_link(o, layer.home, layer.link, ids.items[i], err);
		if (r < 0)
			return r;
	}
	return 0;
}
