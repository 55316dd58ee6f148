/* SPDX-License-Identifier: Apache-2.0 */
/* "[INFO] text" on stderr, coloured where enroot colours it. */
#include <stdarg.h>
#include <string.h>

#include "cli/enroot/enroot.h"
#include "cli/out.h"

/* What `tput colors` of 15 or more amounts to. */
static bool has_colors(void)
{
	const char *term = getenv("TERM");

	if (!isatty(STDERR_FILENO) || !term)
		return false;
	return strstr(term, "256color") || strstr(term, "direct") || strstr(term, "16color") ||
	       getenv("COLORTERM");
}

static void PRINTF_LIKE(3, 0)
	print_line(const char *word, const char *color, const char *fmt, va_list ap)
{
	bool colors = has_colors();
	AUTO_STR text = STR_INIT(16384);
	AUTO_STR clean = STR_INIT(65536);

	(void)fflush(stdout);
	(void)!str_vprintf(&text, fmt, ap);
	(void)fprintf(stderr, "%s[%s]%s %s\n", colors ? color : "", word,
		colors ? "\033(B\033[m" : "",
		out_clean(&clean, str_text(&text)) == 0 ? str_text(&clean) : "");
}

void enroot_info(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	print_line("INFO", "\033[94m", fmt, ap);
	va_end(ap);
}

void enroot_warn(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	print_line("WARN", "\033[33m", fmt, ap);
	va_end(ap);
}

int enroot_error(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	print_line("ERROR", "\033[31m", fmt, ap);
	va_end(ap);
	return EXIT_FAILURE;
}

int enroot_fail(const struct imbrex_error *err)
{
	int status = enroot_error(
		"%s", err->message[0] ? err->message : imbrex_status_name(err->status));

	if (err->hint[0])
		enroot_info("%s", err->hint);
	return status;
}
