/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operating system, architecture and variant in the words of the OCI specifications (Go's GOOS and
 * GOARCH), and which platform can run on which.
 * A plain value of fixed size: fields beyond their room are refused where they are parsed.
 * Threading: pure functions. Error tier: err.
 */
#ifndef OCI_PLATFORM_H
#define OCI_PLATFORM_H

#include <stdbool.h>

#include "base/error.h"

#define PLATFORM_WORD_MAX 32
#define PLATFORM_TEXT_MAX (3 * PLATFORM_WORD_MAX)

struct platform {
	char os[PLATFORM_WORD_MAX];           /* "linux"; "" if not said */
	char architecture[PLATFORM_WORD_MAX]; /* "amd64"; "" if not said */
	char variant[PLATFORM_WORD_MAX];      /* "v7"; "" if none */
};

/* What this machine runs, by uname(2): ENOTSUP for a machine without a name in the OCI sense. */
int platform_host(struct platform *ret, struct imbrex_error *err) MUST_CHECK;
/*
 * "os/arch[/variant]", or "arch[/variant]" for linux. Names that uname(1) and people use (x86_64,
 * aarch64, armhf, ...) are turned into those of the specification.
 */
int platform_parse(const char *text, struct platform *ret, struct imbrex_error *err) MUST_CHECK;
/*
 * From the three fields of a document, each may be NULL; normalized as above ("arm64" with "v8"
 * has no variant). EFORMAT for a word that is too long or holds anything but letters, digits and .
 * _ -
 */
int platform_set(const char *os, const char *architecture, const char *variant,
	struct platform *ret, struct imbrex_error *err) MUST_CHECK;
/* "linux/arm/v7" plus NUL. Returns ret. */
const char *platform_format(const struct platform *p, char ret[PLATFORM_TEXT_MAX]);
/*
 * How well `offered` serves `wanted`: 0 not at all, else larger is better. A variant of arm serves
 * itself and newer machines (v7 takes v7, v6, v5); a wanted variant that is not said takes any,
 * the host's newest first; an offered one that is not said is taken as the oldest; amd64 alike (v3
 * takes v3, v2, none).
 */
unsigned int platform_rank(const struct platform *wanted, const struct platform *offered);

#endif
