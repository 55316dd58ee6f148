/* SPDX-License-Identifier: Apache-2.0 */
/* A libsubid that knows one user, "central", in the way that shadow's does. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct subid_range {
	unsigned long start;
	unsigned long count;
};

static bool started;

__attribute__((visibility("default"))) bool subid_init(const char *program, FILE *log);
__attribute__((visibility("default"))) int subid_get_uid_ranges(
	const char *owner, struct subid_range **ret);
__attribute__((visibility("default"))) int subid_get_gid_ranges(
	const char *owner, struct subid_range **ret);

bool subid_init(const char *program, FILE *log)
{
	started = program && !log;
	return started;
}

int subid_get_uid_ranges(const char *owner, struct subid_range **ret)
{
	static const struct subid_range ranges[] = { { 500000, 65536 }, { 7, 0 },
		{ 4294967290u, 10 }, { 1UL << 40, 1 }, { 900000, 1000 } };

	if (!started || strcmp(owner, "central") != 0)
		return -1;
	*ret = malloc(sizeof(ranges));
	if (!*ret)
		return -1;
	memcpy(*ret, ranges, sizeof(ranges));
	return 5;
}

int subid_get_gid_ranges(const char *owner, struct subid_range **ret)
{
	*ret = NULL;
	return 0;
}
