/* SPDX-License-Identifier: Apache-2.0 */
/* Origins, kinds of hosts, escaping, and which token servers a registry may name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include "base/limits.h"
#include "registry/auth.h"
#include "registry/http.h"

/* Behind our headers: it defines a macro fail(). */
#include <cmocka.h>

static void origins_have_scheme_host_and_port(void **state)
{
	static const struct {
		const char *url;
		const char *scheme;
		const char *host;
		unsigned int port;
	} rows[] = {
		{ "https://Quay.IO/v2/", "https", "quay.io", 443 },
		{ "HTTP://a.example:8080?x", "http", "a.example", 8080 },
		{ "http://a.example:80", "http", "a.example", 80 },
		{ "http://[::1]:5000/x", "http", "[::1]", 5000 },
		{ "http://2130706433/", "http", "127.0.0.1", 80 },
		{ "http://0x7f.1/", "http", "127.0.0.1", 80 },
		{ "https:///x", "https", "x", 443 }, /* as libcurl connects */
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(rows); i++) {
		struct imbrex_error err = { 0 };
		struct http_origin o;

		if (http_origin_parse(rows[i].url, &o, &err) < 0)
			fail_msg("%s: %s", rows[i].url, err.message);
		assert_string_equal(o.scheme, rows[i].scheme);
		assert_string_equal(o.host, rows[i].host);
		assert_int_equal(o.port, rows[i].port);
	}
}

static void other_urls_are_refused(void **state)
{
	static const struct {
		const char *url;
		const char *message;
	} rows[] = {
		{ "", "not an http or https URL" },
		{ "ftp://a/", "not an http or https URL" },
		{ "file:///etc/passwd", "not an http or https URL" },
		{ "https://", "not an http or https URL" },
		{ "http://a b/", "not an http or https URL" },
		{ "http://a:99999/", "not an http or https URL" },
		{ "https://user@a/", "URL with a user name" },
		{ "https://user:pass@a/", "URL with a user name" },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(rows); i++) {
		struct imbrex_error err = { 0 };
		struct http_origin o;

		assert_int_equal(http_origin_parse(rows[i].url, &o, &err), IMBREX_EINVAL);
		assert_string_equal(err.message, rows[i].message);
	}
}

static void hosts_are_told_apart(void **state)
{
	static const struct {
		const char *host;
		enum http_host_class want;
	} rows[] = {
		{ "quay.io", HTTP_HOST_NAME },
		{ "1.2.3.4.example", HTTP_HOST_NAME },
		{ "localhost", HTTP_HOST_LOOPBACK },
		{ "x.localhost", HTTP_HOST_LOOPBACK },
		{ "127.0.0.1", HTTP_HOST_LOOPBACK },
		{ "127.9.9.9", HTTP_HOST_LOOPBACK },
		{ "0.0.0.0", HTTP_HOST_LOOPBACK },
		{ "[::1]", HTTP_HOST_LOOPBACK },
		{ "[::]", HTTP_HOST_LOOPBACK },
		{ "[::ffff:127.0.0.1]", HTTP_HOST_LOOPBACK },
		{ "169.254.169.254", HTTP_HOST_LINK_LOCAL },
		{ "[fe80::1]", HTTP_HOST_LINK_LOCAL },
		{ "[fe80::1%25eth0]", HTTP_HOST_LINK_LOCAL },
		{ "[::ffff:169.254.169.254]", HTTP_HOST_LINK_LOCAL },
		{ "10.0.0.1", HTTP_HOST_ADDRESS },
		{ "[2001:db8::1]", HTTP_HOST_ADDRESS },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(http_host_classify(rows[i].host), rows[i].want);
}

static void text_is_escaped_for_a_query(void **state)
{
	AUTO_STR s = STR_INIT(200);

	assert_int_equal(http_escape(&s, "repository:a/b:pull a&b=%\xff~-._"), 0);
	assert_string_equal(s.data, "repository%3Aa%2Fb%3Apull%20a%26b%3D%25%FF~-._");
}

static void token_servers_must_be_worth_the_trust(void **state)
{
	static const struct {
		const char *registry;
		const char *realm;
		int want;
		const char *message; /* NULL if allowed */
	} rows[] = {
		{ "https://registry-1.docker.io", "https://auth.docker.io/token", 0, NULL },
		{ "http://reg.example", "http://auth.example/token", 0, NULL },
		{ "http://127.0.0.1:5000", "http://127.0.0.1:5001/token", 0, NULL },
		{ "https://10.0.0.1", "https://10.0.0.2/token", 0, NULL },
		{ "https://quay.io", "http://quay.io/token", IMBREX_EPERM,
			"token server quay.io: plain http is refused" },
		{ "https://quay.io", "https://127.0.0.1/token", IMBREX_EPERM,
			"token server 127.0.0.1: an address that a registry at quay.io may not "
			"send us to" },
		{ "https://quay.io", "https://0x7f000001/token", IMBREX_EPERM,
			"token server 127.0.0.1: an address that a registry at quay.io may not "
			"send us to" },
		{ "https://quay.io", "https://10.1.2.3/token", IMBREX_EPERM,
			"token server 10.1.2.3: an address that a registry at quay.io may not send "
			"us to" },
		{ "https://10.0.0.1", "https://169.254.169.254/", IMBREX_EPERM,
			"token server 169.254.169.254: an address that a registry at 10.0.0.1 may "
			"not send us to" },
		{ "https://10.0.0.1", "https://localhost/", IMBREX_EPERM,
			"token server localhost: an address that a registry at 10.0.0.1 may not "
			"send us to" },
		{ "https://quay.io", "//quay.io/token", IMBREX_EINVAL,
			"token server: not an http or https URL" },
		{ "https://quay.io", "https://u@quay.io/token", IMBREX_EINVAL,
			"token server: URL with a user name" },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(rows); i++) {
		struct imbrex_error err = { 0 };
		struct http_origin o;

		assert_int_equal(http_origin_parse(rows[i].registry, &o, &err), 0);
		assert_int_equal(auth_check_realm(&o, rows[i].realm, &err), rows[i].want);
		if (rows[i].message)
			assert_string_equal(err.message, rows[i].message);
	}
}

static void headers_are_found_in_any_case_and_by_index(void **state)
{
	AUTO_RESPONSE r = { 0 };

	assert_int_equal(strv_add(&r.headers, "WWW-Authenticate: Basic"), 0);
	assert_int_equal(strv_add(&r.headers, "X-Other:\t y"), 0);
	assert_int_equal(strv_add(&r.headers, "www-authenticate:Bearer"), 0);
	assert_string_equal(http_header(&r, "Www-Authenticate", 0), "Basic");
	assert_string_equal(http_header(&r, "Www-Authenticate", 1), "Bearer");
	assert_null(http_header(&r, "Www-Authenticate", 2));
	assert_string_equal(http_header(&r, "x-other", 0), "y");
	assert_null(http_header(&r, "X-Oth", 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(origins_have_scheme_host_and_port),
		cmocka_unit_test(other_urls_are_refused),
		cmocka_unit_test(hosts_are_told_apart),
		cmocka_unit_test(text_is_escaped_for_a_query),
		cmocka_unit_test(token_servers_must_be_worth_the_trust),
		cmocka_unit_test(headers_are_found_in_any_case_and_by_index),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
