/* SPDX-License-Identifier: Apache-2.0 */
/* Links while the library lacks this one; goes with the commit that adds it. */
#ifndef CLI_STORAGE_PENDING_H
#define CLI_STORAGE_PENDING_H

#pragma weak imbrex_dedup

#endif
