/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mount options, by whom they are for: the mount, the overlay file system, or the driver.
 */
#include <string.h>

#include "driver/overlay.h"
#include "os/mountfd.h"

void overlay_words_done(struct overlay_words *w)
{
	strv_done(&w->options);
}

int overlay_words_add(struct overlay_words *w, const char *list, struct imbrex_error *err)
{
	const char *p = list ? list : "";

	while (*p) {
		size_t n = strcspn(p, ",");
		AUTO_FREE char *word = strndup(p, n);

		if (!word)
			return fail_nomem(err);
		p += n;
		p += *p == ',';
		if (n == 0 || str_eq(word, "userxattr"))
			continue;
		if (str_eq(word, "volatile"))
			w->is_volatile = true;
		else if (!mount_attr_from_word(word, &w->attrs) && strv_add(&w->options, word) < 0)
			return fail_nomem(err);
	}
	return 0;
}
