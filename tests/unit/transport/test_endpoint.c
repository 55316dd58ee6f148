/* SPDX-License-Identifier: Apache-2.0 */
/* Is the engine found where the docker program finds it, and with the same certificates? */
#include "fixture.h"
#include "transport/endpoint.h"

#define CONTEXT_HASH                                                                 \
	"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" /* "test" \
									    */

static int setup(void **state)
{
	static const char *const names[] = { "DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG",
		"DOCKER_TLS", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH" };
	int r = box_setup(state);

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		(void)unsetenv(names[i]);
	(void)setenv("HOME", ((struct box *)*state)->path, 1);
	return r;
}

static void hosts_are_parsed(void **state)
{
	static const struct {
		const char *host, *socket, *url;
	} cases[] = {
		{ "unix:///run/docker.sock", "/run/docker.sock", "http://localhost" },
		{ "tcp://h", NULL, "http://h:2375" },
		{ "tcp://h:1234", NULL, "http://h:1234" },
		{ "tcp://[::1]", NULL, "http://[::1]:2375" },
		{ "tcp://[::1]:7", NULL, "http://[::1]:7" },
		{ "tcp://h/prefix/", NULL, "http://h:2375/prefix" },
		{ "http://h:80/", NULL, "http://h:80" },
		{ "https://h", NULL, "https://h:2376" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_ENDPOINT e = { 0 };

		assert_int_equal(endpoint_parse(cases[i].host, &e, NULL), 0);
		assert_string_equal(e.text, cases[i].host);
		assert_string_equal(e.url, cases[i].url);
		if (cases[i].socket)
			assert_string_equal(e.socket_path, cases[i].socket);
		else
			assert_null(e.socket_path);
	}
}

static void what_is_no_host_is_refused(void **state)
{
	static const struct {
		const char *host;
		int status;
		const char *message;
	} cases[] = {
		{ "unix://relative", IMBREX_EINVAL,
			"engine 'unix://relative': not an absolute path" },
		{ "tcp://", IMBREX_EINVAL, "engine 'tcp://': no host" },
		{ "tcp://u@h", IMBREX_EINVAL, "engine 'tcp://u@h': URL with a user name" },
		{ "tcp://a b", IMBREX_EINVAL, "engine 'tcp://a b': not an http or https URL" },
		{ "ssh://h", IMBREX_ENOTSUP, "engine 'ssh://h': ssh is not spoken" },
		{ "fd://", IMBREX_ENOTSUP, "engine 'fd://': not a kind of socket that is known" },
		{ "h:2375", IMBREX_EINVAL, "engine 'h:2375': unknown scheme" },
		{ "", IMBREX_EINVAL, "engine '': unknown scheme" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_ENDPOINT e = { 0 };
		struct imbrex_error err = { 0 };

		assert_int_equal(endpoint_parse(cases[i].host, &e, &err), cases[i].status);
		assert_string_equal(err.message, cases[i].message);
	}
}

static void find(struct endpoint *e)
{
	struct imbrex_error err = { 0 };

	assert_int_equal(endpoint_find(e, &err), 0);
}

static void without_anything_it_is_the_socket_of_the_system(void **state)
{
	AUTO_ENDPOINT e = { 0 };

	find(&e);
	assert_string_equal(e.socket_path, "/var/run/docker.sock");
}

static void put_certificates(const struct box *box, const char *dir)
{
	static const char *const names[] = { "ca.pem", "cert.pem", "key.pem" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		AUTO_FREE char *path = format_text("%s/%s", dir, names[i]);

		put_text(box, path, names[i]);
	}
}

static void the_environment_says_how_tls_is_spoken(void **state)
{
	AUTO_ENDPOINT plain = { 0 };
	AUTO_ENDPOINT verified = { 0 };
	AUTO_ENDPOINT trusting = { 0 };

	put_certificates(*state, ".docker");
	put_certificates(*state, "certs");
	(void)setenv("DOCKER_HOST", "tcp://h", 1);
	find(&plain);
	assert_string_equal(plain.url, "http://h:2375");
	assert_null(plain.cert_path);

	(void)setenv("DOCKER_TLS_VERIFY", "1", 1);
	find(&verified);
	assert_string_equal(verified.url, "https://h:2376");
	assert_false(verified.insecure);
	assert_string_equal(str_text(&verified.ca_pem), "ca.pem");
	assert_string_equal(verified.cert_path, box_path(*state, ".docker/cert.pem"));
	assert_string_equal(verified.key_path, box_path(*state, ".docker/key.pem"));

	(void)unsetenv("DOCKER_TLS_VERIFY");
	(void)setenv("DOCKER_TLS", "1", 1);
	(void)setenv("DOCKER_CERT_PATH", box_path(*state, "certs"), 1);
	find(&trusting);
	assert_true(trusting.insecure);
	assert_int_equal(trusting.ca_pem.len, 0);
	assert_string_equal(trusting.cert_path, box_path(*state, "certs/cert.pem"));
}

static void half_a_key_pair_is_refused(void **state)
{
	AUTO_ENDPOINT e = { 0 };
	AUTO_FREE char *want = NULL;
	struct imbrex_error err = { 0 };

	put_text(*state, ".docker/ca.pem", "");
	put_text(*state, ".docker/key.pem", "");
	(void)setenv("DOCKER_HOST", "tcp://h", 1);
	(void)setenv("DOCKER_TLS_VERIFY", "1", 1);
	assert_int_equal(endpoint_find(&e, &err), IMBREX_ENOENT);
	want = format_text("engine 'tcp://h': '%s' has only one of cert.pem, key.pem",
		box_path(*state, ".docker"));
	assert_string_equal(err.message, want);
}

static void a_context_has_certificates_of_its_own(void **state)
{
	AUTO_ENDPOINT e = { 0 };
	AUTO_ENDPOINT skipping = { 0 };

	put_text(*state, ".docker/config.json", "{\"currentContext\":\"test\",\"auths\":{}}");
	put_text(*state, ".docker/contexts/meta/" CONTEXT_HASH "/meta.json",
		"{\"Endpoints\":{\"docker\":{\"Host\":\"tcp://far:1\"}}}");
	put_certificates(*state, ".docker/contexts/tls/" CONTEXT_HASH "/docker");
	find(&e);
	assert_string_equal(e.url, "https://far:1");
	assert_false(e.insecure);
	assert_string_equal(str_text(&e.ca_pem), "ca.pem");
	assert_non_null(e.key_path);

	put_text(*state, ".docker/contexts/meta/" CONTEXT_HASH "/meta.json",
		"{\"Endpoints\":{\"docker\":{\"Host\":\"tcp://far:1\",\"SkipTLSVerify\":true}}}");
	find(&skipping);
	assert_true(skipping.insecure);
}

static void the_default_context_is_none(void **state)
{
	AUTO_ENDPOINT e = { 0 };

	(void)setenv("DOCKER_CONTEXT", "default", 1);
	find(&e);
	assert_string_equal(e.socket_path, "/var/run/docker.sock");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hosts_are_parsed),
		cmocka_unit_test(what_is_no_host_is_refused),
		cmocka_unit_test_setup_teardown(
			without_anything_it_is_the_socket_of_the_system, setup, box_teardown),
		cmocka_unit_test_setup_teardown(
			the_environment_says_how_tls_is_spoken, setup, box_teardown),
		cmocka_unit_test_setup_teardown(half_a_key_pair_is_refused, setup, box_teardown),
		cmocka_unit_test_setup_teardown(
			a_context_has_certificates_of_its_own, setup, box_teardown),
		cmocka_unit_test_setup_teardown(the_default_context_is_none, setup, box_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
