/* SPDX-License-Identifier: Apache-2.0 */
/* Whose is this path? See the header. */
#include "driver/where.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "os/beneath.h"
#include "os/fd.h"

void driver_place_done(struct driver_place *p)
{
	free(p->id);
	free(p->inside);
	*p = (struct driver_place){ 0 };
}

bool path_word(const char **path, char *word, size_t size)
{
	const char *p = *path + strspn(*path, "/");
	size_t n = strcspn(p, "/");

	if (!n || n >= size)
		return false;
	memcpy(word, p, n);
	word[n] = '\0';
	*path = p + n;
	return true;
}

int place_set(struct driver_place *ret, const char *id, const char *role, const char *inside,
	struct imbrex_error *err)
{
	AUTO_FREE char *own_id = strdup(id);
	AUTO_FREE char *own_inside = strdup(inside ? inside : "");

	if (!own_id || !own_inside)
		return fail_nomem(err);
	ret->id = take_ptr(own_id);
	ret->inside = take_ptr(own_inside);
	ret->role = role;
	return 0;
}

int tree_holds(int rootfd, const char *inside, struct imbrex_error *err)
{
	AUTO_CLOSE int fd = -EBADF;

	inside += strspn(inside, "/");
	fd = open_beneath(
		rootfd, *inside ? inside : ".", O_PATH | O_NOFOLLOW, 0, BENEATH_NO_SYMLINKS);
	if (fd >= 0)
		return 1;
	if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP)
		return 0;
	return fail_code(err, fd, "look for '%s'", inside);
}
