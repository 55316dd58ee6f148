/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The verbs of the native face, one per cmd_<verb>.c. face.c lists them in the order of --help.
 */
#ifndef CLI_IMBREX_VERBS_H
#define CLI_IMBREX_VERBS_H

#include "cli/cli.h"

extern const struct verb verb_pull, verb_images, verb_layers, verb_inspect, verb_history, verb_tag,
	verb_untag, verb_rmi;
extern const struct verb verb_create, verb_ps, verb_mount, verb_umount, verb_run, verb_start,
	verb_rm;
extern const struct verb verb_df, verb_info, verb_check, verb_verify, verb_gc;
extern const struct verb verb_enroot, verb_storage, verb_unshare, verb_completion, verb_version,
	verb_help, verb_names;

#endif
