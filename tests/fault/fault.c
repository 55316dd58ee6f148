/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fault MODE DRIVER PYTHON SCRIPT: one question of the fault suite, see docs/TESTING.md.
 *
 * IMBREX_FAULT_STRIDE=n takes every nth call, IMBREX_FAULT_FULL=1 all of them, and
 * IMBREX_FAULT_VERBOSE=1 prints the messages.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "modes.h"

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(const struct world *w);
	} modes[] = {
		{ "failures", test_failures },
		{ "crash", test_crash },
		{ "order", test_order },
		{ "space", test_space },
		{ "races", test_races },
		{ "rootfs", test_rootfs },
	};
	struct world w;
	size_t i;

	if (argc != 5) {
		(void)fprintf(stderr, "usage: fault MODE DRIVER PYTHON SCRIPT\n");
		return 2;
	}
	for (i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (strcmp(argv[1], modes[i].name) != 0)
			continue;
		world_new(&w, argv[2], argv[3], argv[4]);
		modes[i].run(&w);
		printf("%u problems\n", problems());
		return problems() ? 1 : 0;
	}
	(void)fprintf(stderr, "fault: no mode '%s'\n", argv[1]);
	return 2;
}
