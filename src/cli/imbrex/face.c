/* SPDX-License-Identifier: Apache-2.0 */
/* The native face: its verbs, grouped by what they are about. */
#include "cli/imbrex/verbs.h"

static const struct verb *const image_verbs[] = { &verb_pull, &verb_images, &verb_layers,
	&verb_inspect, &verb_history, &verb_tag, &verb_untag, &verb_rmi, NULL };
static const struct verb *const container_verbs[] = { &verb_run, &verb_create, &verb_start,
	&verb_ps, &verb_mount, &verb_umount, &verb_rm, NULL };
static const struct verb *const store_verbs[] = { &verb_df, &verb_info, &verb_check, &verb_verify,
	&verb_gc, NULL };
static const struct verb *const other_verbs[] = { &verb_storage, &verb_enroot, &verb_unshare,
	&verb_completion, &verb_version, &verb_help, NULL };

static const struct verb_group groups[] = {
	{ "Images", image_verbs },
	{ "Containers", container_verbs },
	{ "The store", store_verbs },
	{ "Other", other_verbs },
	{ NULL },
};

static const struct verb *const hidden[] = { &verb_names, NULL };

static const struct example examples[] = {
	{ "imbrex pull docker.io/library/debian:12", "fetch an image" },
	{ "imbrex run debian:12 cat /etc/os-release", "run a program in it, leave nothing behind" },
	{ "imbrex create --name box debian:12", "make a container that stays" },
	{ "imbrex start box bash", "work in it, as often as you like" },
	{ "imbrex layers --tree", "see what images share" },
	{ NULL },
};

const struct face face_imbrex = {
	.name = "imbrex",
	.summary = "Keep container images in a podman-compatible store, and run programs in them.",
	.examples = examples,
	.groups = groups,
	.hidden = hidden,
};
