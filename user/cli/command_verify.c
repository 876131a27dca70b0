/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "cli/answer.h"
#include "cli/command.h"
#include "cli/explain.h"
#include "cli/memory.h"
#include "cli/offline.h"
#include "cli/options.h"
#include "cli/resolve.h"
#include "cli/verify.h"

/* Does the answer hold what the test expects? -EINVAL where the tables do not hold together. */
static int compare(const struct test_case *test, const struct answer *answer, bool *as_expected)
{
	enum answer_breadth breadth;

	if (!answer->any_port) {
		*as_expected = answer_allows(answer) == test->expect_allow;
		return 0;
	}
	if (answer_breadth(answer, &breadth))
		return -EINVAL;
	*as_expected = breadth == (test->expect_allow ? ALLOWS_EVERYTHING : ALLOWS_NOTHING);
	return 0;
}

static const char *outcome(const struct test_case *test, const struct answer *answer)
{
	if (answer->any_port)
		return test->expect_allow ? "not everything is allowed" : "not everything is denied";
	return answer_allows(answer) ? "got allow" : "got deny";
}

static void explain_failure(const struct test_case *test, const struct answer *answer, FILE *file)
{
	fprintf(file, "line %u: expected %s, %s\n", test->line, test->expect_allow ? "allow" : "deny",
		outcome(test, answer));
	answer_print(answer, "", file);
}

/* All addresses of the destination must do what is expected. */
static void judge_address(const struct offline *offline, struct test_case *test, const struct source *source,
			  const struct ip_address *address, FILE *file)
{
	_cleanup_(answer_clear) struct answer answer = {0};
	const struct flow flow = {
		.destination = *address,
		.protocol = test->to.has_protocol ? test->to.protocol : IPPROTO_ICMP,
		.port = test->to.port,
	};
	bool as_expected;

	if (!offline_answer(offline, test->from_text, source, &flow, &answer)) {
		answer.any_port = !test->to.has_protocol;
		if (!compare(test, &answer, &as_expected)) {
			test->passed &= as_expected && !answer_contradicts(&answer);
			if (!test->passed)
				explain_failure(test, &answer, file);
			return;
		}
	}
	test->passed = false;
	fprintf(file, "line %u: the compiled tables do not hold together\n", test->line);
}

static void run_test(const struct offline *offline, struct test_case *test, FILE *file)
{
	const struct ip_address *addresses;
	struct source source;
	const char *problem;
	int count, i;

	if (offline_source(offline, &test->from, &source, &problem)) {
		fprintf(file, "line %u: from %s: %s\n", test->line, test->from_text, problem);
		return;
	}
	count = resolve_destination(offline->store, source.pod, &test->to, &addresses, &problem);
	if (count < 0) {
		fprintf(file, "line %u: to %s: %s\n", test->line, test->to_text, problem);
		return;
	}
	test->passed = true;
	for (i = 0; test->passed && i < count; i++)
		judge_address(offline, test, &source, &addresses[i], file);
}

/* True when all passed. */
static bool run_tests(const struct offline *offline, struct test_list *tests)
{
	bool all = true;
	size_t i, size;

	for (i = 0; i < tests->count; i++) {
		FILE *file = open_memstream(&tests->items[i].explanation, &size);

		if (!file)
			out_of_memory();
		run_test(offline, &tests->items[i], file);
		if (fclose(file) || !tests->items[i].explanation)
			out_of_memory();
		all &= tests->items[i].passed;
	}
	return all;
}

static int verify(const struct text_list *paths, const char *node_addresses, const char *tests_path,
		  enum output_format output)
{
	_cleanup_(test_list_clear) struct test_list tests = {0};
	_cleanup_(offline_clear) struct offline offline = {0};
	bool passed;

	if (test_file_read(tests_path, &tests) || offline_load(paths, node_addresses, &offline))
		return EXIT_ERROR;
	passed = run_tests(&offline, &tests);
	if (output == OUTPUT_JUNIT)
		verify_print_junit(tests_path, &tests);
	else
		verify_print_tap(&tests);
	return passed ? EXIT_SUCCESS : EXIT_DIFFERENT;
}

int command_verify(struct invocation *invocation)
{
	_cleanup_(text_list_clear) struct text_list paths = {0};
	const char *node_addresses = NULL;
	const struct command_option options[] = {
		{"file", 'f', OPTION_TEXTS, &paths},
		{"node-addresses", 0, OPTION_TEXT, &node_addresses},
	};
	int first, i;

	if (!options_parse(invocation, options, ARRAY_SIZE(options), &first))
		return EXIT_ERROR;
	if (first == invocation->argc || !paths.count) {
		log_error("verify needs manifests (-f PATH) and a file of tests");
		return EXIT_ERROR;
	}
	/* -f PATH... TESTS.yaml: the last one is the tests, what stands before it are further paths. */
	for (i = first; i < invocation->argc - 1; i++)
		array_push(paths.items, paths.count, paths.capacity, invocation->argv[i]);
	return verify(&paths, node_addresses, invocation->argv[invocation->argc - 1], invocation->settings.output);
}
