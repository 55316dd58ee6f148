/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strings as Go quotes them, JSON as it encodes it, and one table of reasons.
 *
 * Source: Go strconv.Quote, encoding/json; the error values of containers/storage.
 */
#include "cli/storage/text.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

/* What an error may quote of a name; the longest that a store keeps is far shorter. */
#define QUOTED_MAX 1200u

/* The code point at `s` and its length; -1 and 1 where there is no well-formed one (RFC 3629). */
static int32_t decode(const char *text, size_t *ret_len)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t n = s[0] < 0x80                   ? 1
		   : s[0] >= 0xC2 && s[0] < 0xE0 ? 2
		   : (s[0] & 0xF0) == 0xE0       ? 3
		   : s[0] >= 0xF0 && s[0] < 0xF5 ? 4
						 : 0;
	static const unsigned char first[] = { 0, 0x7F, 0x1F, 0x0F, 0x07 };
	static const int32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	int32_t rune = n ? s[0] & first[n] : -1;
	size_t i;

	*ret_len = 1;
	for (i = 1; i < n; i++) {
		if ((s[i] & 0xC0) != 0x80)
			return -1;
		rune = rune << 6 | (s[i] & 0x3F);
	}
	if (n == 0 || rune < least[n] || rune > 0x10FFFF || (rune >= 0xD800 && rune < 0xE000))
		return -1;
	*ret_len = n;
	return rune;
}

size_t text_rune_len(const char *s)
{
	size_t len;

	(void)decode(s, &len);
	return len;
}

/* Blanks, controls, marks of direction and private use: what would not be seen. */
static bool is_printable(int32_t c)
{
	static const struct {
		int32_t from, to;
	} hidden[] = { { 0, 0x1F }, { 0x7F, 0xA0 }, { 0xAD, 0xAD }, { 0x61C, 0x61C },
		{ 0x1680, 0x1680 }, { 0x180E, 0x180E }, { 0x2000, 0x200F }, { 0x2028, 0x202F },
		{ 0x205F, 0x206F }, { 0x3000, 0x3000 }, { 0xD800, 0xF8FF }, { 0xFEFF, 0xFEFF },
		{ 0xFFF0, 0xFFFB }, { 0xFFFE, 0xFFFF }, { 0xE0000, 0x10FFFF } };
	size_t i;

	for (i = 0; i < ARRAY_LEN(hidden); i++) {
		if (c >= hidden[i].from && c <= hidden[i].to)
			return false;
	}
	return true;
}

static int quote_rune(struct str *s, const char *text, size_t len, int32_t rune)
{
	static const char escaped[] = "\a\b\f\n\r\t\v\\\"";
	static const char letters[] = "abfnrtv\\\"";
	const char *at = rune > 0 && rune < 0x80 ? strchr(escaped, rune) : NULL;

	if (rune < 0)
		return str_printf(s, "\\x%02x", (unsigned char)*text);
	if (at)
		return str_printf(s, "\\%c", letters[at - escaped]);
	if (is_printable(rune))
		return str_append(s, text, len);
	if (rune < 0x80)
		return str_printf(s, "\\x%02" PRIx32, (uint32_t)rune);
	return str_printf(s, rune < 0x10000 ? "\\u%04" PRIx32 : "\\U%08" PRIx32, (uint32_t)rune);
}

int text_quote(struct str *s, const char *text)
{
	int32_t rune;
	size_t len;
	int r;

	r = str_putc(s, '"');
	for (; r == 0 && *text; text += len) {
		rune = decode(text, &len);
		r = quote_rune(s, text, len, rune);
	}
	return r < 0 ? r : str_putc(s, '"');
}

void text_print_list(FILE *f, const char *const *words)
{
	size_t i;

	(void)fputc('[', f);
	for (i = 0; words && words[i]; i++)
		(void)fprintf(f, "%s%s", i ? " " : "", words[i]);
	(void)fputc(']', f);
}

static void json_rune(FILE *f, const char *text, size_t len, int32_t rune)
{
	static const char escaped[] = "\b\f\n\r\t\\\"";
	static const char letters[] = "bfnrt\\\"";
	const char *at = rune > 0 && rune < 0x80 ? strchr(escaped, rune) : NULL;

	if (rune < 0)
		(void)fputs("\\ufffd", f);
	else if (at)
		(void)fprintf(f, "\\%c", letters[at - escaped]);
	else if (rune < 0x20 || rune == '<' || rune == '>' || rune == '&' || rune == 0x2028 ||
		 rune == 0x2029)
		(void)fprintf(f, "\\u%04" PRIx32, (uint32_t)rune);
	else
		(void)fwrite(text, 1, len, f);
}

void text_json(FILE *f, const char *text)
{
	int32_t rune;
	size_t len;

	(void)fputc('"', f);
	for (; *text; text += len) {
		rune = decode(text, &len);
		json_rune(f, text, len, rune);
	}
	(void)fputc('"', f);
}

void text_json_list(FILE *f, const char *const *words, bool empty_list)
{
	size_t i;

	if (!words || (!words[0] && !empty_list)) {
		(void)fputs("null", f);
		return;
	}
	(void)fputc('[', f);
	for (i = 0; words[i]; i++) {
		if (i)
			(void)fputc(',', f);
		text_json(f, words[i]);
	}
	(void)fputc(']', f);
}

int text_compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

const char *text_errno(int errnum, char buf[80])
{
	const char *text = strerrordesc_np(errnum);

	if (!text)
		(void)snprintf(buf, 80, "errno %d", errnum);
	else
		/* glibc's words, in lower case: "no such file or directory". */
		(void)snprintf(buf, 80, "%c%s",
			isupper((unsigned char)text[1]) ? text[0] : tolower((unsigned char)*text),
			text + 1);
	return buf;
}

/* ---- reasons ----------------------------------------------------------------------------- */

enum wrapping {
	BARE = 0, /* the text alone */
	LOCATING, /* locating image with ID "NAME": the text */
	AFTER     /* our message, which says who: the text */
};

struct reason_text {
	const char *text;
	enum wrapping wrapping;
};

static const struct reason_text reasons[] = {
	[IMBREX_REASON_CONTAINER_UNKNOWN] = { "container not known", BARE },
	[IMBREX_REASON_IMAGE_UNKNOWN] = { "image not known", LOCATING },
	[IMBREX_REASON_LAYER_UNKNOWN] = { "layer not known", BARE },
	[IMBREX_REASON_NOT_CONTAINER] = { "identifier is not a container", BARE },
	[IMBREX_REASON_NOT_IMAGE] = { "identifier is not an image", BARE },
	[IMBREX_REASON_NOT_LAYER] = { "identifier is not a layer", BARE },
	[IMBREX_REASON_NOT_ANY] = { "identifier is not a layer, image, or container", BARE },
	[IMBREX_REASON_ID_IN_USE] = { "that ID is already in use", AFTER },
	[IMBREX_REASON_NAME_IN_USE] = { "that name is already in use", AFTER },
	[IMBREX_REASON_IMAGE_USED_BY_CONTAINER] = { "image is in use by a container", AFTER },
	[IMBREX_REASON_LAYER_HAS_CHILDREN] = { "layer has children", AFTER },
	[IMBREX_REASON_LAYER_USED_BY_IMAGE] = { "layer is in use by an image", AFTER },
	[IMBREX_REASON_LAYER_USED_BY_CONTAINER] = { "layer is in use by a container", AFTER },
	[IMBREX_REASON_LAYER_NOT_MOUNTED] = { "layer is not mounted", BARE },
	[IMBREX_REASON_LAYER_MOUNTED] = { "layer is in use by a container", AFTER },
	[IMBREX_REASON_PARENT_IS_CONTAINER] = { "would-be parent layer is a container", BARE },
	[IMBREX_REASON_SIZE_UNKNOWN] = { "size is not known", BARE },
	[IMBREX_REASON_DIGEST_UNKNOWN] = { "could not compute digest of item", BARE },
	[IMBREX_REASON_BAD_DATA_NAME] = { "not a valid name for a big data item", AFTER },
	[IMBREX_REASON_DATA_UNKNOWN] = { "file does not exist", AFTER },
	[IMBREX_REASON_READ_ONLY] = { "called a write method on a read-only store", AFTER },
	[IMBREX_REASON_NOT_ENOUGH_IDS] = { "not enough unused IDs in user namespace", BARE },
	[IMBREX_REASON_DRIVER_UNKNOWN] = { "driver not supported", AFTER },
	[IMBREX_REASON_CUT_OFF] = { "unexpected EOF", AFTER },
	[IMBREX_REASON_NO_ARCHIVE] = { "invalid tar header", AFTER },
	[IMBREX_REASON_FILE_CHANGED] = { "file integrity checksum failed", AFTER },
};

/* The message, with what the operating system said at its end in Go's spelling. */
static const char *plain_message(const struct imbrex_error *err, char buf[TEXT_ERROR_MAX])
{
	const char *said = err->errnum ? strerrordesc_np(err->errnum) : NULL;
	size_t len = strlen(err->message);
	char text[80];

	if (!len)
		return imbrex_status_name(err->status);
	if (!said || !str_ends(err->message, said))
		return err->message;
	(void)snprintf(buf, TEXT_ERROR_MAX, "%.*s%s", (int)(len - strlen(said)), err->message,
		text_errno(err->errnum, text));
	return buf;
}

const char *text_error(const struct imbrex_error *err, unsigned int kind, const char *name,
	char buf[TEXT_ERROR_MAX])
{
	AUTO_STR quoted = STR_INIT(QUOTED_MAX);
	const struct reason_text *reason;

	if (!err->reason || (size_t)err->reason >= ARRAY_LEN(reasons))
		return plain_message(err, buf);
	reason = &reasons[err->reason];
	if (reason->wrapping == LOCATING && name) {
		/* A name beyond the limit is cut; it names nothing anyway. */
		(void)!text_quote(&quoted, name);
		(void)snprintf(buf, TEXT_ERROR_MAX, "locating image with ID %s: %s",
			str_text(&quoted), reason->text);
		return buf;
	}
	if (reason->wrapping == AFTER && str_ends(err->message, reason->text))
		return err->message;
	/* A layer's id or name that is taken is said in these words alone. */
	if (reason->wrapping != AFTER ||
		(err->status == IMBREX_EEXIST && kind == IMBREX_KIND_LAYER))
		return reason->text;
	(void)snprintf(buf, TEXT_ERROR_MAX, "%s: %s", err->message, reason->text);
	return buf;
}
