/* SPDX-License-Identifier: Apache-2.0 */
/* The id maps that flags ask for. Threading: none. Errors: err. */
#ifndef CLI_STORAGE_IDMAP_H
#define CLI_STORAGE_IDMAP_H

#include "cli/storage/storage.h"

/* Owned; maps borrows from the rest. */
struct idmap_flags {
	struct imbrex_id_map *uids, *gids;
	size_t n_uids, n_gids;
	struct imbrex_id_maps maps;
};
void idmap_flags_done(struct idmap_flags *f);
#define AUTO_IDMAP_FLAGS __attribute__((cleanup(idmap_flags_done))) struct idmap_flags

/* --hostuidmap, --uidmap, --subuidmap and their likes. */
int idmap_flags_read(const struct plumbing_flags *flags, struct idmap_flags *ret,
	struct imbrex_error *err) MUST_CHECK;
/*
 * "CONTAINER:HOST:SIZE", any number of them behind one another with ':' or ',' between, appended to
 * a list.
 *
 * what  "uid" or "gid", for the message
 */
int idmap_parse(const char *text, const char *what, struct imbrex_id_map **map, size_t *n,
	struct imbrex_error *err) MUST_CHECK;

#define FLAGS_IDMAP                                                                               \
	{ { "--hostuidmap" }, FLAG_BOOL, FLAG_AT(host_uids), "Force host UID map" },              \
		{ { "--hostgidmap" }, FLAG_BOOL, FLAG_AT(host_gids), "Force host GID map" },      \
		{ { "--uidmap" }, FLAG_TEXT, FLAG_AT(uid_map), "UID map" },                       \
		{ { "--gidmap" }, FLAG_TEXT, FLAG_AT(gid_map), "GID map" },                       \
		{ { "--subuidmap" }, FLAG_TEXT, FLAG_AT(sub_uids), "subuid UID map for a user" }, \
	{                                                                                         \
		{ "--subgidmap" }, FLAG_TEXT, FLAG_AT(sub_gids), "subgid GID map for a group"     \
	}

#endif
