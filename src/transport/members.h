/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The members of a tar archive that carries an image, as opposed to a layer: names, sizes and links
 * only. Payload is pushed on, or skipped without being read where the input can seek.
 *
 * members_new -> (members_write | members_skip)* -> members_finish -> members_free
 *
 * format/tar/ reads layers, entry by entry with all their metadata; this reads the box they come
 * in, where owners, modes and times mean nothing and a payload of many gigabytes is passed over.
 * ustar, GNU long names, GNU base-256 numbers and the pax records path, linkpath and size are
 * understood; sparse members are refused.
 *
 * One thread. Error tier: err; messages name the member or the byte offset.
 */
#ifndef TRANSPORT_MEMBERS_H
#define TRANSPORT_MEMBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/macros.h"
#include "stream/sink.h"

enum member_type {
	MEMBER_FILE = 1,
	MEMBER_DIR,
	MEMBER_SYMLINK,
	MEMBER_HARDLINK,
	MEMBER_OTHER, /* devices, FIFOs: no image has them; passed over */
};

struct member {
	enum member_type type;
	const char *name;    /* clean: no leading "/" or "./", no empty, "." or ".." component */
	const char *link;    /* MEMBER_SYMLINK verbatim, MEMBER_HARDLINK clean like name; else "" */
	uint64_t size_bytes; /* of a MEMBER_FILE, else 0 */
	uint64_t offset_bytes; /* where its payload begins in the archive */
};

struct member_events {
	void *ctx;
	/*
	 * A member. *ret is NULL on entry; a sink put there gets the payload, is finished at its
	 * end and stays the property of `ctx`. 1 instead of 0 ends the reading: nothing more is
	 * looked at.
	 */
	int (*member)(
		void *ctx, const struct member *m, struct sink **ret, struct imbrex_error *err);
	/* The sink of the last member was finished. May be NULL. */
	int (*end)(void *ctx, struct imbrex_error *err);
};

struct members;

/* *events is copied. */
int members_new(const struct member_events *events, struct members **ret,
	struct imbrex_error *err) MUST_CHECK;
void members_free(struct members *m);
DEFINE_CLEANUP(members, struct members, members_free)
#define AUTO_MEMBERS AUTO(members) struct members

/* Push archive bytes, split anywhere. 1 once the end of the archive was met, else 0. */
int members_write(
	struct members *m, const void *buf, size_t len, struct imbrex_error *err) MUST_CHECK;
/* Archive bytes from here on that nobody wants to see; 0 if the next ones are needed. */
uint64_t members_skippable(const struct members *m);
/* The input has passed over `len` <= members_skippable() bytes. */
void members_skip(struct members *m, uint64_t len);
/* All bytes were pushed. EFORMAT if the archive ends inside a member, or was no archive. */
int members_finish(struct members *m, struct imbrex_error *err) MUST_CHECK;

/* As a sink in front of which decompression may stand; `m` is borrowed. finish: members_finish().
 */
int members_sink_new(struct members *m, struct sink **ret, struct imbrex_error *err) MUST_CHECK;

#endif
