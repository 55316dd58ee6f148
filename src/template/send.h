/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a container holds now, as a stream: a snapshot is made, sent and destroyed.
 *
 * The snapshot is called after its maker ("enroot-export-BOOT:PID:START"), so that the next command
 * knows one whose maker died. One for another machine ("enroot-send-…") is kept for a day if it
 * could not be sent to its end, since the rest of it may be asked for. Errors: err.
 */
#ifndef TEMPLATE_SEND_H
#define TEMPLATE_SEND_H

#include "template/guids.h"
#include "template/store.h"

struct send_job {
	const char *name;         /* of the container */
	int fd;                   /* borrowed */
	const struct guids *have; /* of the other side; NULL: none */
	const char *token;        /* the rest of what was cut; NULL: all of it */
	bool may_go_on;           /* the other side can keep a part of it */
};
int send_container(struct imbrex_templates *t, const struct send_job *job,
	struct imbrex_error *err) MUST_CHECK;
/* Is it a token of one of the container's snapshots, which is still there? 1, 0. */
int send_knows(struct imbrex_templates *t, const char *name, const char *token,
	struct imbrex_error *err) MUST_CHECK;
/* Snapshots of ours that nobody makes any more; `all`: those that may be asked for, too. */
int send_sweep(struct imbrex_templates *t, const struct zfs_name *container, bool all,
	struct imbrex_error *err) MUST_CHECK;

#endif
