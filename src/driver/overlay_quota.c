/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits of single layers: "size" in bytes, "inodes". They rest on project quota, which only XFS
 * mounted with `pquota` gives to overlay.
 *
 * Source: containers/storage, drivers/overlay and drivers/quota.
 */
#include <string.h>

#include "driver/options.h"
#include "driver/overlay.h"
#include "os/probe.h"

static int refuse(struct overlay *o, const char *key, bool image, struct imbrex_error *err)
{
	uint32_t magic = 0;
	int r;

	if (!str_eq(key, "size") && !str_eq(key, "inodes"))
		return fail(err, IMBREX_EINVAL, "layer option '%s' is unknown", key);
	if (image)
		return fail(err, IMBREX_EINVAL,
			"layer option '%s' is for writable layers only, not for layers of images",
			key);
	(void)!fs_magic(o->homes[0].fd, &magic);
	r = fail(err, IMBREX_ENOTSUP,
		"layer option '%s' needs XFS mounted with 'pquota', and '%s' lies on %s", key,
		o->homes[0].path, fs_name(magic));
	return hint(err, r, "put the store on XFS with project quota, or leave the option out");
}

int overlay_limit_layer(
	struct overlay *o, int dir, const struct driver_layer_opts *opts, struct imbrex_error *err)
{
	size_t i;

	for (i = 0; opts && opts->options && i < opts->options->n; i++) {
		struct driver_option opt;
		int r = option_split(opts->options->items[i], "overlay", &opt, err);

		if (r < 0)
			return r;
		if (r > 0)
			return refuse(o, opt.key, opts->image, err);
	}
	return 0;
}
