/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mounting by a program (fuse-overlayfs), where the kernel cannot or may not.
 */
#include <string.h>
#include <unistd.h>

#include "driver/overlay_plan.h"
#include "os/mountfd.h"
#include "os/proc.h"

/* ",uidmapping=INSIDE:OUTSIDE:COUNT:…", or the one id that there is. */
static int program_map(struct str *s, const char *kind, const struct imbrex_id_map *map, size_t n)
{
	size_t i;
	int r;

	if (n == 1 && map[0].count == 1)
		return str_printf(s, ",squash_to_%s=%u", kind, map[0].outside);
	r = str_printf(s, ",%smapping=", kind);
	for (i = 0; r == 0 && i < n; i++)
		r = str_printf(
			s, "%s%u:%u:%u", i ? ":" : "", map[i].inside, map[i].outside, map[i].count);
	return r;
}

static int program_words(const struct overlay *o, const struct overlay_plan *p, struct str *s,
	struct imbrex_error *err)
{
	size_t i;
	int r;

	r = str_puts(s, "lowerdir=");
	for (i = 0; r == 0 && i < p->lowers.n; i++) {
		if (strpbrk(p->lowers.items[i], ":,\\"))
			return fail(err, IMBREX_ENOTSUP,
				"'%s' has a character that a mount program cannot take",
				p->lowers.items[i]);
		r = str_printf(s, "%s%s", i ? ":" : "", p->lowers.items[i]);
	}
	if (r == 0 && p->upper)
		r = str_printf(s, ",upperdir=%s,workdir=%s", p->upper, p->work);
	if (r == 0 && p->is_volatile)
		r = str_puts(s, ",volatile");
	if (r == 0 && (p->words.attrs & MOUNT_ATTR_RDONLY || !p->upper))
		r = str_puts(s, ",ro");
	if (r == 0 && p->words.attrs & MOUNT_ATTR_NODEV)
		r = str_puts(s, ",nodev");
	if (r == 0 && p->words.attrs & MOUNT_ATTR_NOSUID)
		r = str_puts(s, ",nosuid");
	if (r == 0 && p->words.attrs & MOUNT_ATTR_NOEXEC)
		r = str_puts(s, ",noexec");
	for (i = 0; r == 0 && i < p->words.options.n; i++)
		r = str_printf(s, ",%s", p->words.options.items[i]);
	if (r == 0 && p->label)
		r = str_printf(s, ",context=\"%s\"", p->label);
	if (r == 0 && p->maps)
		r = program_map(s, "uid", p->maps->uids, p->maps->n_uids);
	if (r == 0 && p->maps)
		r = program_map(s, "gid", p->maps->gids, p->maps->n_gids);
	if (r == 0 && o->options.has_force_mask)
		r = str_puts(s, ",xattr_permissions=2");
	return r < 0 ? fail_code(err, r, "mount options of '%s'", p->target) : 0;
}

int overlay_program_mount(
	struct overlay *o, const char *id, const struct overlay_plan *p, struct imbrex_error *err)
{
	static const char *const env[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL };
	AUTO_STR words = STR_INIT(1024u * 1024u);
	int r;

	r = program_words(o, p, &words, err);
	if (r == 0)
		r = proc_check(
			&(struct proc_spec){
				.argv = (const char *const[]){ o->options.mount_program, "-o",
					str_text(&words), p->target, NULL },
				.env = env,
				.cause_is_last = true,
			},
			NULL, err);
	if (r < 0 && access("/dev/fuse", R_OK | W_OK) < 0)
		r = hint(err, r, "this user may not open /dev/fuse");
	return r < 0 ? wrap(err, r, "layer %s", id) : 0;
}
