/* SPDX-License-Identifier: Apache-2.0 */
/* WWW-Authenticate values from any server: no crash, no leak, and what was read has its words. */
#include <assert.h>
#include <stdint.h>

#include "registry/challenge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_CHALLENGES c = { 0 };
	size_t i, j;

	if (challenges_parse(&c, (const char *)data, size, NULL) < 0)
		return 0;
	for (i = 0; i < c.n; i++) {
		assert(c.items[i].scheme[0]);
		for (j = 0; j < c.items[i].n_params; j++)
			assert(challenge_param(&c.items[i], c.items[i].params[j].name));
	}
	return 0;
}
