/* SPDX-License-Identifier: Apache-2.0 */
/* The override xattr; see the header. */
#include "driver/override.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#define NEW_ROOT_MODE 0555

void override_format(const struct entry *e, char ret[OVERRIDE_TEXT_BYTES])
{
	char type[32];

	switch (e->type) {
	case ENTRY_DIR:
		(void)snprintf(type, sizeof(type), "dir");
		break;
	case ENTRY_FIFO:
		(void)snprintf(type, sizeof(type), "pipe");
		break;
	case ENTRY_CHAR:
	case ENTRY_BLOCK:
		(void)snprintf(type, sizeof(type), "%s-%u-%u",
			e->type == ENTRY_CHAR ? "char" : "block", e->dev_major, e->dev_minor);
		break;
	default:
		(void)snprintf(type, sizeof(type), "file");
	}
	(void)snprintf(ret, OVERRIDE_TEXT_BYTES, "%u:%u:%04o:%s", e->uid, e->gid, e->mode, type);
}

int override_inherit(int dir, int below)
{
	struct entry e = { .type = ENTRY_DIR, .mode = NEW_ROOT_MODE };
	char text[OVERRIDE_TEXT_BYTES];
	ssize_t n = -1;
	struct stat st;

	if (below >= 0) {
		n = fgetxattr(below, OVERRIDE_XATTR, text, sizeof(text));
		if (n < 0 && errno != ENODATA)
			return -errno;
		if (n < 0 && fstat(below, &st) < 0)
			return -errno;
		if (n < 0) {
			e.uid = st.st_uid;
			e.gid = st.st_gid;
			e.mode = st.st_mode & 07777;
		}
	}
	if (n < 0) {
		override_format(&e, text);
		n = (ssize_t)strlen(text);
	}
	return fsetxattr(dir, OVERRIDE_XATTR, text, (size_t)n, 0) < 0 ? -errno : 0;
}
