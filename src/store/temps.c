/* SPDX-License-Identifier: Apache-2.0 */
/* Temporary directories of layers in the making; see the header. */
#include "store/temps.h"

#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

int store_temps_open(struct imbrex_store *s, struct store_temps *ret, struct imbrex_error *err)
{
	AUTO_FREE char *layers_tmp = format_text("%s/tmp", s->layers.dir);
	AUTO_TEMPS temps = { .s = s };
	char root[NAME_MAX];
	int r;

	if (!layers_tmp)
		return fail_nomem(err);
	if (s->read_only)
		return store_fail_read_only(s, err);
	driver_temp_root(s->driver, root, sizeof(root));
	/* A pull that was killed may have left gigabytes. Failing to reclaim them is no reason to
	 * stop: gc says what is in the way. */
	(void)!tempdir_recover(s->graphfd, root, NULL);
	(void)!tempdir_recover(s->graphfd, layers_tmp, NULL);
	r = tempdir_new(s->graphfd, root, &temps.driver, err);
	if (r == 0 && s->imagefd >= 0) {
		(void)!tempdir_recover(s->imagefd, root, NULL);
		r = tempdir_new(s->imagefd, root, &temps.image, err);
	}
	if (r == 0)
		r = tempdir_new(s->graphfd, layers_tmp, &temps.layers, err);
	if (r < 0)
		return r;
	*ret = temps;
	temps = (struct store_temps){ 0 };
	return 0;
}

void store_temps_close(struct store_temps *t)
{
	char root[NAME_MAX];

	tempdir_free(take_ptr(t->layers));
	if (!t->driver)
		return;
	tempdir_free(take_ptr(t->driver));
	tempdir_free(take_ptr(t->image));
	/* Older peers take it for a layer: it is there only while in use. */
	driver_temp_root(t->s->driver, root, sizeof(root));
	(void)unlinkat(t->s->graphfd, root, AT_REMOVEDIR);
	if (t->s->imagefd >= 0)
		(void)unlinkat(t->s->imagefd, root, AT_REMOVEDIR);
}
