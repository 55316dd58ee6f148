/* SPDX-License-Identifier: Apache-2.0 */
/* Links while the library lacks these two; goes with the commit that adds them. */
#ifndef CLI_STORAGE_PENDING_H
#define CLI_STORAGE_PENDING_H

#pragma weak imbrex_copy
#pragma weak imbrex_dedup

#endif
