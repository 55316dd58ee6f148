/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Image references: [domain/]path[:tag][@digest], by the grammar and the defaults that docker,
 * podman and containerd share. Transport prefixes ("docker://") are cut off before.
 *
 *   reference_parse | reference_parse_local -> use -> reference_done
 *
 * Threading: none shared. Error tier: err; EINVAL with the reason and the text, because a person
 * typed it.
 */
#ifndef OCI_REFERENCE_H
#define OCI_REFERENCE_H

#include "base/error.h"
#include "base/hash.h"

struct reference {
	char *domain;             /* owned; "docker.io", "localhost:5000", "[::1]:80" */
	char *path;               /* owned; "library/alpine" */
	char *tag;                /* owned; NULL if none */
	struct hash_value digest; /* not set if none */
};

void reference_done(struct reference *ref);
static inline void cleanup_reference(struct reference *ref)
{
	reference_done(ref);
}
#define AUTO_REFERENCE __attribute__((cleanup(cleanup_reference))) struct reference

/*
 * What a registry is asked for. The first component is a domain if it holds a dot, a colon or an
 * upper-case letter, or is "localhost"; without one the domain is docker.io, where a path of one
 * component gets "library/" before it. index.docker.io is docker.io. No tag is added.
 *
 * Limits LIMIT_REFERENCE_BYTES the whole, 255 the path, 128 the tag
 * Source github.com/distribution/reference, reference.go (grammar) and normalize.go (defaults)
 */
int reference_parse(const char *text, struct reference *ret, struct imbrex_error *err) MUST_CHECK;
/*
 * What a local name stands for: as reference_parse(), but the domain that is left out is
 * "localhost" and no "library/" is added ("a:1" is localhost/a:1, as in podman tag and build).
 */
int reference_parse_local(
	const char *text, struct reference *ret, struct imbrex_error *err) MUST_CHECK;
/* Give a reference without tag and digest the tag "latest". */
int reference_default_tag(struct reference *ref, struct imbrex_error *err) MUST_CHECK;
int reference_copy(
	const struct reference *from, struct reference *ret, struct imbrex_error *err) MUST_CHECK;

/*
 * Fresh texts for free(); NULL on no memory.
 * name: "docker.io/library/alpine"; text: with tag and digest; familiar: as people write it
 * ("alpine:3"), such that reference_parse() gives the same reference again.
 */
char *reference_name(const struct reference *ref) MUST_CHECK;
char *reference_text(const struct reference *ref) MUST_CHECK;
char *reference_familiar(const struct reference *ref) MUST_CHECK;

/* [\w][\w.-]{0,127} */
bool reference_tag_is_valid(const char *tag);

#endif
