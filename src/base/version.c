/* SPDX-License-Identifier: Apache-2.0 */
/* The version of the library, as it was built. */
#include "config.h"
#include "imbrex/imbrex.h"

const char *imbrex_version(void)
{
	return IMBREX_VERSION;
}
