/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Texts of the plumbing face, letter for letter as containers-storage prints them: it is written in
 * Go, and scripts match on what Go makes of a string, a list or an error.
 *
 * Threading: none. Errors: leaf tier.
 */
#ifndef CLI_STORAGE_TEXT_H
#define CLI_STORAGE_TEXT_H

#include <stddef.h>
#include <stdio.h>

#include "base/macros.h"
#include "base/str.h"
#include "imbrex/object.h"

/* Bytes of the UTF-8 sequence at `s` (not at its end), 1 where there is none. */
size_t text_rune_len(const char *s);
/* Append in double quotes, what is not printable escaped: Go's %q. */
int text_quote(struct str *s, const char *text) MUST_CHECK;
/* "[a b]" of a NULL terminated list; NULL counts as empty. */
void text_print_list(FILE *f, const char *const *words);

/* JSON, compact, with <, > and & escaped: Go's encoding/json. */
void text_json(FILE *f, const char *text);
/* An array of strings; "null" where Go has no list: `words` NULL, or empty and not `empty_list`. */
void text_json_list(FILE *f, const char *const *words, bool empty_list);
/* Order of keys in a JSON object. */
int text_compare(const void *a, const void *b);

/* What the operating system says of an errno, in Go's spelling. buf is used where it differs. */
const char *text_errno(int errnum, char buf[80]);

#define TEXT_ERROR_MAX 2560
/*
 * What upstream prints for a failure of ours: its own words where the failure has a reason that it
 * knows too, else our message.
 *
 * kind  what the command is about
 * name  the object that was asked for; NULL if none
 */
const char *text_error(const struct imbrex_error *err, unsigned int kind, const char *name,
	char buf[TEXT_ERROR_MAX]);

#endif
