/* SPDX-License-Identifier: Apache-2.0 */
/* Is a text a digest? In the words of Go's go-digest. Threading: none. Errors: err. */
#ifndef CLI_STORAGE_DIGEST_H
#define CLI_STORAGE_DIGEST_H

#include "base/macros.h"
#include "imbrex/error.h"

/* EINVAL if it is none, or of an algorithm that nobody has. Source: image-spec, descriptor.md. */
int digest_check(const char *text, struct imbrex_error *err) MUST_CHECK;

#endif
