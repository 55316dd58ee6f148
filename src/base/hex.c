/* SPDX-License-Identifier: Apache-2.0 */
/* Hexadecimal, base64 and random names; see the header. */
#include "base/hex.h"

#include <string.h>
#include <sys/random.h>

static const char hex_digits[] = "0123456789abcdef";
static const char base64_digits[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void hex_encode(const void *data, size_t len, char *ret)
{
	const unsigned char *bytes = data;
	size_t i;

	for (i = 0; i < len; i++) {
		ret[2 * i] = hex_digits[bytes[i] >> 4];
		ret[2 * i + 1] = hex_digits[bytes[i] & 15];
	}
	ret[2 * len] = '\0';
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

bool hex_is_lower(const char *text, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if (hex_value(text[i]) < 0)
			return false;
	}
	return true;
}

int hex_decode(const char *text, size_t text_len, void *ret, size_t len)
{
	unsigned char *bytes = ret;
	size_t i;

	if (text_len != 2 * len || !hex_is_lower(text, text_len))
		return -EINVAL;
	for (i = 0; i < len; i++)
		bytes[i] =
			(unsigned char)(hex_value(text[2 * i]) << 4 | hex_value(text[2 * i + 1]));
	return 0;
}

size_t base64_encode(const void *data, size_t len, char *ret)
{
	const unsigned char *in = data;
	char *out = ret;
	size_t i;

	for (i = 0; i + 2 < len; i += 3) {
		unsigned int v =
			(unsigned int)in[i] << 16 | (unsigned int)in[i + 1] << 8 | in[i + 2];

		*out++ = base64_digits[v >> 18];
		*out++ = base64_digits[v >> 12 & 63];
		*out++ = base64_digits[v >> 6 & 63];
		*out++ = base64_digits[v & 63];
	}
	if (i < len) {
		unsigned int v = (unsigned int)in[i] << 16;

		if (i + 1 < len)
			v |= (unsigned int)in[i + 1] << 8;
		*out++ = base64_digits[v >> 18];
		*out++ = base64_digits[v >> 12 & 63];
		*out++ = i + 1 < len ? base64_digits[v >> 6 & 63] : '=';
		*out++ = '=';
	}
	return (size_t)(out - ret);
}

static int base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+')
		return 62;
	if (c == '/')
		return 63;
	return -1;
}

int base64_decode(const char *text, size_t text_len, void *ret, size_t *ret_len)
{
	unsigned char *out = ret;
	size_t pad = 0;
	size_t i;

	if (text_len % 4)
		return -EINVAL;
	if (text_len && text[text_len - 1] == '=')
		pad = text[text_len - 2] == '=' ? 2 : 1;
	for (i = 0; i < text_len; i += 4) {
		bool last = i + 4 == text_len;
		int a = base64_value(text[i]);
		int b = base64_value(text[i + 1]);
		int c = last && pad == 2 ? 0 : base64_value(text[i + 2]);
		int d = last && pad >= 1 ? 0 : base64_value(text[i + 3]);

		if (a < 0 || b < 0 || c < 0 || d < 0)
			return -EINVAL;
		*out++ = (unsigned char)(a << 2 | b >> 4);
		if (!(last && pad == 2))
			*out++ = (unsigned char)((b & 15) << 4 | c >> 2);
		if (!(last && pad >= 1))
			*out++ = (unsigned char)((c & 3) << 6 | d);
	}
	*ret_len = (size_t)(out - (unsigned char *)ret);
	return 0;
}

int random_bytes(void *ret, size_t len)
{
	unsigned char *at = ret;

	while (len) {
		ssize_t n = getrandom(at, len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

int random_id(char ret[ID_HEX_LEN + 1])
{
	unsigned char bytes[ID_HEX_LEN / 2];
	int r;

	do {
		r = random_bytes(bytes, sizeof(bytes));
		if (r < 0)
			return r;
		hex_encode(bytes, sizeof(bytes), ret);
	} while (strspn(ret, "0123456789") >= 12);
	return 0;
}

int random_link_name(char ret[LINK_NAME_LEN + 1])
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
	unsigned char bytes[LINK_NAME_LEN];
	size_t i;
	int r;

	r = random_bytes(bytes, sizeof(bytes));
	if (r < 0)
		return r;
	for (i = 0; i < LINK_NAME_LEN; i++)
		ret[i] = digits[bytes[i] & 31];
	ret[LINK_NAME_LEN] = '\0';
	return 0;
}

int random_digits(char ret[11])
{
	uint64_t v;
	int i;
	int r;

	r = random_bytes(&v, sizeof(v));
	if (r < 0)
		return r;
	for (i = 0; i < 10; i++) {
		ret[i] = (char)('0' + v % 10);
		v /= 10;
	}
	ret[10] = '\0';
	return 0;
}

bool id_is_valid(const char *text)
{
	return strlen(text) == ID_HEX_LEN && hex_is_lower(text, ID_HEX_LEN);
}
