/* SPDX-License-Identifier: Apache-2.0 */
/* How the API is reached: kubeconfig files, credentials of programs, pauses; and what of it is of interest. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/base64.h"
#include "model/decode.h"
#include "source/kube_backoff.h"
#include "source/kube_config.h"
#include "source/kube_exec.h"
#include "source/kube_interest.h"

/* ------------------------------------------------------------------ base64 */

static void base64_texts(void **state)
{
	static const char *const texts[][2] = {
		{"", ""},       {"Zg==", "f"},       {"Zm8=", "fo"},        {"Zm9v", "foo"},
		{"Zm9vYg", "foob"}, {"Zm9v\nYmFy", "foobar"}, {"+/+/", "\xfb\xff\xbf"},
	};
	static const char *const wrong[] = {"Z", "Zm9v!", "Zg==Zg==", "Zm9vY"};
	size_t length, i;
	char *out;

	(void)state;
	for (i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		assert_int_equal(base64_decode(texts[i][0], &out, &length), 0);
		assert_string_equal(out, texts[i][1]);
		assert_int_equal(length, strlen(texts[i][1]));
		free(out);
	}
	for (i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		assert_int_equal(base64_decode(wrong[i], &out, &length), -EINVAL);
}

/* ------------------------------------------------------------------ kubeconfig */

struct fixture {
	char directory[64];
	char path[96];
	struct kube_config config;
	char *problem;
};

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	assert_non_null(fixture);
	strcpy(fixture->directory, "/tmp/egressd-source_kube.XXXXXX");
	assert_non_null(mkdtemp(fixture->directory));
	snprintf(fixture->path, sizeof(fixture->path), "%s/config", fixture->directory);
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;
	char command[96];

	kube_config_clear(&fixture->config);
	free(fixture->problem);
	snprintf(command, sizeof(command), "rm -rf '%s'", fixture->directory);
	assert_int_equal(system(command), 0);
	free(fixture);
	return 0;
}

static int read_config(struct fixture *fixture, const char *context, const char *text)
{
	FILE *file = fopen(fixture->path, "we");

	assert_non_null(file);
	fputs(text, file);
	assert_int_equal(fclose(file), 0);
	kube_config_clear(&fixture->config);
	free(fixture->problem);
	fixture->problem = NULL;
	return kube_config_read(fixture->path, context, &fixture->config, &fixture->problem);
}

#define CONFIG(cluster, user)                                                                        \
	"apiVersion: v1\nkind: Config\ncurrent-context: one\n"                                       \
	"contexts:\n- {name: two, context: {cluster: b, user: b}}\n"                                 \
	"- {name: one, context: {cluster: a, user: a}}\n"                                            \
	"clusters:\n- {name: a, cluster: {" cluster "}}\n- {name: b, cluster: {server: 'https://b'}}\n" \
	"users:\n- {name: a, user: {" user "}}\n- {name: b, user: {token: bee}}\n"

static void contexts_and_tokens(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(read_config(fixture, NULL, CONFIG("server: 'https://a:6443//'", "token: t")), 0);
	assert_string_equal(fixture->config.server, "https://a:6443");
	assert_string_equal(fixture->config.token, "t");
	assert_int_equal(read_config(fixture, "two", CONFIG("server: 'https://a'", "token: t")), 0);
	assert_string_equal(fixture->config.server, "https://b");
	assert_string_equal(fixture->config.token, "bee");
	assert_int_equal(read_config(fixture, "three", CONFIG("server: 'https://a'", "token: t")), -EINVAL);
	assert_non_null(strstr(fixture->problem, "contexts: expected one called \"three\", found none"));
}

/* Paths begin at the file's directory; data in the file counts before a path. */
static void files_and_data(void **state)
{
	struct fixture *fixture = *state;
	char expected[128];

	assert_int_equal(read_config(fixture, NULL,
				     CONFIG("server: 'https://a', certificate-authority: ca.crt, tls-server-name: s",
					    "client-certificate-data: Zm9v, client-certificate: x, "
					    "client-key: /k, tokenFile: t")),
			 0);
	snprintf(expected, sizeof(expected), "%s/ca.crt", fixture->directory);
	assert_string_equal(fixture->config.ca.path, expected);
	assert_string_equal(fixture->config.server_name, "s");
	assert_string_equal(fixture->config.certificate.data, "foo");
	assert_null(fixture->config.certificate.path);
	assert_string_equal(fixture->config.key.path, "/k");
	snprintf(expected, sizeof(expected), "%s/t", fixture->directory);
	assert_string_equal(fixture->config.token_file, expected);
}

static void programs(void **state)
{
	struct fixture *fixture = *state;
	char expected[128];

	assert_int_equal(read_config(fixture, NULL,
				     CONFIG("server: 'https://a'",
					    "exec: {apiVersion: client.authentication.k8s.io/v1, command: ./bin/login, "
					    "args: [a, b c], env: [{name: 'N', value: v}], provideClusterInfo: true}")),
			 0);
	snprintf(expected, sizeof(expected), "%s/./bin/login", fixture->directory);
	assert_string_equal(fixture->config.exec.command, expected);
	assert_string_equal(fixture->config.exec.arguments[1], "b c");
	assert_null(fixture->config.exec.arguments[2]);
	assert_string_equal(fixture->config.exec.environment[0], "N=v");
	assert_true(fixture->config.exec.provide_cluster_info);
}

static void wrong_configs(void **state)
{
	static const char *const wrong[][2] = {
		{CONFIG("server: 'http://a'", ""), "server: expected https://..., found http://a"},
		{CONFIG("", ""), "server: expected the URL of the API server"},
		{CONFIG("server: 'https://a', insecure-skip-tls-verify: true", ""), "egressd always verifies"},
		{CONFIG("server: 'https://a'", "username: u"), "username: expected a token"},
		{CONFIG("server: 'https://a'", "client-certificate: c"), "expected both client-certificate and client-key"},
		{CONFIG("server: 'https://a', certificate-authority-data: '?'", ""), "expected base64"},
		{CONFIG("server: 'https://a'", "exec: {command: c}"), "exec: apiVersion: expected"},
		{CONFIG("server: 'https://a'", "token: [t]"), "token: expected a string"},
		{"kind: Config\n", "current-context: expected the name of a context"},
		{"[]\n", "expected a kubeconfig"},
		{"", "found nothing"},
		{"a: [\n", "config:"},
	};
	struct fixture *fixture = *state;
	size_t i;

	for (i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		assert_int_equal(read_config(fixture, NULL, wrong[i][0]), -EINVAL);
		assert_non_null(fixture->problem);
		if (!strstr(fixture->problem, wrong[i][1]))
			fail_msg("expected '%s', got '%s'", wrong[i][1], fixture->problem);
		/* Where it is. */
		assert_memory_equal(fixture->problem, fixture->path, strlen(fixture->path));
	}
	unlink(fixture->path);
	free(fixture->problem);
	assert_int_equal(kube_config_read(fixture->path, NULL, &fixture->config, &fixture->problem), -ENOENT);
	assert_non_null(strstr(fixture->problem, "cannot be read: No such file"));
}

static void in_cluster(void **state)
{
	struct fixture *fixture = *state;
	char path[96];
	FILE *file;

	unsetenv("KUBERNETES_SERVICE_HOST");
	assert_int_equal(kube_config_in_cluster(fixture->directory, &fixture->config, &fixture->problem), -ENOENT);
	assert_non_null(strstr(fixture->problem, "--kubeconfig"));
	free(fixture->problem);
	setenv("KUBERNETES_SERVICE_HOST", "fd00::1", 1);
	setenv("KUBERNETES_SERVICE_PORT", "443", 1);
	assert_int_equal(kube_config_in_cluster(fixture->directory, &fixture->config, &fixture->problem), -ENOENT);
	snprintf(path, sizeof(path), "%s/token", fixture->directory);
	assert_non_null(strstr(fixture->problem, path));
	file = fopen(path, "we");
	assert_non_null(file);
	fclose(file);
	assert_int_equal(kube_config_in_cluster(fixture->directory, &fixture->config, &fixture->problem), 0);
	assert_string_equal(fixture->config.server, "https://[fd00::1]:443");
	assert_string_equal(fixture->config.token_file, path);
}

/* ------------------------------------------------------------------ programs that print credentials */

#define CREDENTIAL(status) "{\"apiVersion\":\"client.authentication.k8s.io/v1\",\"kind\":\"ExecCredential\",\"status\":" status "}"

static void credentials(void **state)
{
	static const char *const wrong[][2] = {
		{"", "expected JSON"},
		{"{}", "expected an ExecCredential"},
		{CREDENTIAL("{}"), "expected a token or a client certificate"},
		{CREDENTIAL("{\"clientCertificateData\":\"c\"}"), "found one"},
		{CREDENTIAL("{\"token\":\"t\",\"expirationTimestamp\":\"soon\"}"), "expected a time"},
	};
	static const char good[] = CREDENTIAL("{\"token\":\"t\",\"expirationTimestamp\":\"1970-01-01T00:01:00Z\"}");
	struct kube_exec_credential credential;
	char *problem = NULL;
	size_t i;

	(void)state;
	assert_int_equal(kube_exec_decode(good, strlen(good), &credential, &problem), 0);
	assert_string_equal(credential.token, "t");
	assert_int_equal(credential.expires, 60);
	kube_exec_credential_clear(&credential);
	for (i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		assert_int_equal(kube_exec_decode(wrong[i][0], strlen(wrong[i][0]), &credential, &problem), -EINVAL);
		assert_non_null(strstr(problem, wrong[i][1]));
		free(problem);
	}
}

/* ------------------------------------------------------------------ pauses */

static void pauses_grow_within_their_limits(void **state)
{
	struct kube_backoff backoff = {0};
	uint32_t random = 1, least = 800, wait;
	int i;

	(void)state;
	for (i = 0; i < 200; i++) {
		random = random * 1664525u + 1013904223u;
		wait = kube_backoff_next(&backoff, random, 0);
		assert_in_range(wait, least < 22500 ? least : 22500, 30000);
		assert_true(wait <= 2 * least || least > 15000);
		if (least < 30000)
			least *= 2;
	}
	kube_backoff_reset(&backoff);
	assert_in_range(kube_backoff_next(&backoff, UINT32_MAX, 0), 800, 1600);
	assert_int_equal(kube_backoff_next(&backoff, 0, 0), 1600);
	/* What the server asks for counts, within reason. */
	assert_in_range(kube_backoff_next(&backoff, 7, 20), 20000, 21000);
	assert_in_range(kube_backoff_next(&backoff, 7, 4000000), 300000, 301000);
}

/* ------------------------------------------------------------------ interest */

static bool interest(const char *manifests)
{
	struct problem_list problems = {0};
	struct object_list objects = {0};
	struct store *store;
	bool interested;
	size_t i;

	assert_int_equal(store_new(&store), 0);
	assert_int_equal(decode_buffer("m.yaml", manifests, strlen(manifests), &objects, &problems), 0);
	for (i = 0; i < objects.count; i++)
		assert_int_equal(store_put(store, objects.items[i]), 0);
	interested = kube_interest_in_remote_pods(store, "here");
	object_list_clear(&objects);
	problem_list_clear(&problems);
	store_free(store);
	return interested;
}

#define POD(node, more) \
	"apiVersion: v1\nkind: Pod\nmetadata: {name: p, labels: {app: a}}\nspec: {nodeName: " node more "}\n---\n"
#define POLICY(app, rules)                                                       \
	"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: m}\n" \
	"spec: {podSelector: {matchLabels: {app: " app "}}, policyTypes: [Egress], egress: [" rules "]}\n---\n"

static void remote_pods_matter_only_to_policies_that_speak_of_them(void **state)
{
	(void)state;
	assert_false(interest(""));
	assert_false(interest(POD("here", "")));
	assert_false(interest(POD("here", "") POLICY("a", "")));
	assert_false(interest(POD("here", "") POLICY("a", "{}")));
	assert_false(interest(POD("here", "") POLICY("a", "{to: [{ipBlock: {cidr: 10.0.0.0/8}}], ports: [{port: 80}]}")));
	assert_true(interest(POD("here", "") POLICY("a", "{to: [{podSelector: {}}]}")));
	assert_true(interest(POD("here", "") POLICY("a", "{to: [{namespaceSelector: {}}]}")));
	assert_true(interest(POD("here", "") POLICY("a", "{ports: [{port: http}]}")));
	/* Another's pod, another pod, a pod whose traffic is its node's. */
	assert_false(interest(POD("there", "") POLICY("a", "{to: [{podSelector: {}}]}")));
	assert_false(interest(POD("here", "") POLICY("b", "{to: [{podSelector: {}}]}")));
	assert_false(interest(POD("here", ", hostNetwork: true") POLICY("a", "{to: [{podSelector: {}}]}")));
}

/* ------------------------------------------------------------------ objects */

static void api_objects(void **state)
{
	static const char good[] = "{\"metadata\":{\"name\":\"n\",\"namespace\":\"s\",\"resourceVersion\":\"7\","
				   "\"uid\":\"u\",\"new\":1},\"spec\":{\"nodeName\":\"here\"},\"new\":{}}";
	static const char bad[] = "{\"metadata\":{\"name\":\"n\",\"namespace\":\"s\",\"resourceVersion\":\"8\"},"
				  "\"spec\":{\"podSelector\":{},\"egress\":[{\"future\":1}]}}";
	struct problem_list problems = {0};
	struct api_object object = {0};

	(void)state;
	assert_int_equal(decode_api_object(OBJECT_POD, good, strlen(good), &object, &problems), 0);
	assert_string_equal(object.resource_version, "7");
	assert_string_equal(object.object->pod.node_name, "here");
	assert_int_equal(object.object->place.line, 0);
	api_object_clear(&object);
	/* Known to be there, though nobody can say what it means. */
	assert_int_equal(decode_api_object(OBJECT_NETWORK_POLICY, bad, strlen(bad), &object, &problems), 0);
	assert_null(object.object);
	assert_string_equal(object.namespace, "s");
	assert_int_equal(problems.errors, 1);
	api_object_clear(&object);
	assert_int_equal(decode_api_object(OBJECT_POD, "{}", 2, &object, &problems), -EINVAL);
	assert_int_equal(decode_api_object(OBJECT_POD, "[1]", 3, &object, &problems), -EINVAL);
	assert_int_equal(decode_api_object(OBJECT_POD, "{\"metadata\":", 12, &object, &problems), -EINVAL);
	problem_list_clear(&problems);
}

/* The API server took them, as decimal numbers; a policy that is refused here would isolate nobody. */
static void leading_zeros_from_the_api(void **state)
{
	static const char policy[] = "{\"metadata\":{\"name\":\"n\",\"namespace\":\"s\"},\"spec\":{\"podSelector\":{},"
				     "\"egress\":[{\"to\":[{\"ipBlock\":{\"cidr\":\"010.0.0.0/08\","
				     "\"except\":[\"10.0.0.08/032\"]}}]}]}}";
	static const char pod[] = "{\"metadata\":{\"name\":\"n\",\"namespace\":\"s\"},"
				  "\"status\":{\"podIP\":\"10.0.0.010\"}}";
	struct problem_list problems = {0};
	struct api_object object = {0};
	const struct ip_block *block;
	char text[IP_PREFIX_TEXT_SIZE];

	(void)state;
	assert_int_equal(decode_api_object(OBJECT_NETWORK_POLICY, policy, strlen(policy), &object, &problems), 0);
	assert_non_null(object.object);
	block = &object.object->policy.rules[0].peers[0].block;
	assert_string_equal(ip_prefix_format(&block->cidr, text), "10.0.0.0/8");
	assert_string_equal(ip_prefix_format(&block->except[0], text), "10.0.0.8/32");
	api_object_clear(&object);
	assert_int_equal(decode_api_object(OBJECT_POD, pod, strlen(pod), &object, &problems), 0);
	assert_non_null(object.object);
	assert_string_equal(ip_address_format(&object.object->pod.addresses[0], text), "10.0.0.10");
	api_object_clear(&object);
	assert_int_equal(problems.count, 0);
	problem_list_clear(&problems);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(base64_texts),
		cmocka_unit_test_setup_teardown(contexts_and_tokens, set_up, tear_down),
		cmocka_unit_test_setup_teardown(files_and_data, set_up, tear_down),
		cmocka_unit_test_setup_teardown(programs, set_up, tear_down),
		cmocka_unit_test_setup_teardown(wrong_configs, set_up, tear_down),
		cmocka_unit_test_setup_teardown(in_cluster, set_up, tear_down),
		cmocka_unit_test(credentials),
		cmocka_unit_test(pauses_grow_within_their_limits),
		cmocka_unit_test(remote_pods_matter_only_to_policies_that_speak_of_them),
		cmocka_unit_test(api_objects),
		cmocka_unit_test(leading_zeros_from_the_api),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
