/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an image's configuration says about running it, as the files that enroot keeps in a root
 * file system. Pure text: bytes as enroot generates them where the configuration holds nothing that
 * could be read as something else, and quoted where it does.
 *
 * run_files_make -> use -> run_files_done. Errors: err.
 * Source: docs/formats/enroot-rc.md
 */
#ifndef IMAGE_RUNFILES_H
#define IMAGE_RUNFILES_H

#include "base/error.h"
#include "base/str.h"
#include "oci/config.h"

struct run_files {
	struct str fstab, environment, rc, rc_local;
	struct str workdir; /* clean path relative to the root; "" for the root itself */
};

int run_files_make(const struct oci_config *c, const char *provenance, struct run_files *ret,
	struct imbrex_error *err) MUST_CHECK;
void run_files_done(struct run_files *f);
#define AUTO_RUN_FILES __attribute__((cleanup(run_files_done))) struct run_files

#endif
