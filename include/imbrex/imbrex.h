/* SPDX-License-Identifier: Apache-2.0 */
/* Everything, and the version. */
#ifndef IMBREX_IMBREX_H
#define IMBREX_IMBREX_H

#include "imbrex/check.h"
#include "imbrex/container.h"
#include "imbrex/error.h"
#include "imbrex/idmap.h"
#include "imbrex/image.h"
#include "imbrex/layer.h"
#include "imbrex/mount.h"
#include "imbrex/object.h"
#include "imbrex/progress.h"
#include "imbrex/rootfs.h"
#include "imbrex/run.h"
#include "imbrex/store.h"
#include "imbrex/template.h"
#include "imbrex/transfer.h"

#ifdef __cplusplus
extern "C" {
#endif

/* "MAJOR.MINOR.PATCH" of the library that is loaded. */
IMBREX_API const char *imbrex_version(void);

#ifdef __cplusplus
}
#endif
#endif
