/* SPDX-License-Identifier: Apache-2.0 */
/* overlay: which layer a path below <graphroot>/overlay belongs to, and which layer brings a file.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "driver/overlay.h"
#include "driver/where.h"
#include "os/fd.h"

/* "diff", or "diff1" and on: the content of a layer with changed owners. */
static bool is_diff(const char *word)
{
	const char *n = str_after(word, "diff");

	return n && strspn(n, "0123456789") == strlen(n);
}

static const char *role_of(const char *word)
{
	static const struct {
		const char *name;
		const char *role;
	} roles[] = {
		{ "", "directory" },
		{ "merged", "mount" },
		{ "work", "work" },
		{ "empty", "work" },
		{ "mapped", "mount" },
		{ "link", "record" },
		{ "lower", "record" },
		{ "additionallayer", "record" },
		{ "composefs-data", "composefs" },
		{ "composefs-layers", "mount" },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(roles); i++) {
		if (str_eq(roles[i].name, word))
			return roles[i].role;
	}
	return is_diff(word) ? "content" : "other";
}

static int locate_link(
	struct overlay *o, const char *path, struct driver_place *ret, struct imbrex_error *err)
{
	AUTO_STR id = STR_INIT(LIMIT_NAME_BYTES);
	char link[OVERLAY_LINK_LEN + 1];
	int r;

	if (!path_word(&path, link, sizeof(link)) || !overlay_is_link_name(link, strlen(link)))
		return place_set(ret, "", "link", "", err);
	r = overlay_link_target(o, 0, link, &id, err);
	return r < 0 ? r : place_set(ret, str_text(&id), "link", "", err);
}

int overlay_locate(
	struct driver *d, const char *path, struct driver_place *ret, struct imbrex_error *err)
{
	char id[NAME_MAX + 1];
	char word[NAME_MAX + 1] = "";
	const char *role;

	if (!path_word(&path, id, sizeof(id)))
		return place_set(ret, "", "directory", "", err);
	if (str_eq(id, "l"))
		return locate_link(overlay_of(d), path, ret, err);
	if (str_eq(id, "staging") || str_eq(id, "tempdirs"))
		return place_set(ret, "", "temporary", "", err);
	if (overlay_check_id(id, NULL) < 0 || !is_dir_at(overlay_of(d)->homes[0].fd, id))
		return place_set(ret, "", "other", "", err);
	(void)path_word(&path, word, sizeof(word));
	role = role_of(word);
	return place_set(ret, id, role,
		str_eq(role, "content") || str_eq(word, "merged") ? (*path ? path : "/") : "", err);
}

int overlay_holds(struct driver *d, const char *id, const char *below, const char *inside,
	struct imbrex_error *err)
{
	AUTO_OVERLAY_LAYER layer = OVERLAY_LAYER_INIT;
	char name[16] = "diff";
	unsigned int i;
	int r;

	(void)below;
	r = overlay_layer_open(overlay_of(d), id, &layer, err);
	for (i = 1; r == 0; i++) {
		AUTO_CLOSE int diff = openat(layer.fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC);

		if (diff < 0)
			return 0;
		r = tree_holds(diff, inside, err);
		(void)snprintf(name, sizeof(name), "diff%u", i);
	}
	return r;
}
