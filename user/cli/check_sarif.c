/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include <egressd/version.h>

#include "base/cleanup.h"
#include "cli/check_report.h"
#include "cli/lint.h"
#include "cli/memory.h"
#include "cli/output.h"

#define SARIF_SCHEMA "https://json.schemastore.org/sarif-2.1.0.json"

/* What the rules are about, for code review tools that list them. */
static const struct {
	const char *id, *text;
} descriptions[] = {
	{"syntax", "The file is not YAML or JSON"},
	{"field", "A field has a value that is not allowed there, is unknown or is missing"},
	{"file", "A file cannot be read"},
	{"limit", "A limit of what can be read or enforced is exceeded"},
	{"conflict", "Two objects are the same, or claim the same address or port"},
	{"unknown-kind", "Objects of this kind decide nothing about egress"},
	{"mixed-service", "A service's port is denied because only some of its backends are allowed"},
	{LINT_EMPTY_SELECTOR, "A selector matches nothing"},
	{LINT_UNKNOWN_NAMESPACE, "Pods are in a namespace without object, whose labels selectors ask for"},
	{LINT_EXCEPT_OUTSIDE, "An except is outside its block, or takes all of it away"},
	{LINT_DNS_FORGOTTEN, "Pods that are isolated cannot resolve names"},
	{LINT_REDUNDANT_RULE, "Another rule allows all that a rule allows"},
	{LINT_EGRESS_IDLE, "A policy's egress does nothing, since its policyTypes lacks Egress"},
	{LINT_PORT_ZERO, "A rule has port 0, which nothing listens on"},
};

/* A path as a relative or absolute reference of RFC 3986; the caller frees it. */
static char *path_to_uri(const char *path)
{
	char *uri = allocate(strlen(path) * 3 + sizeof("file://"), 1), *end = uri;

	if (*path == '/')
		end = stpcpy(end, "file://");
	/* A reviewer's tool compares with the repository's own paths. */
	while (!strncmp(path, "./", 2))
		path += 2;
	for (; *path; path++) {
		unsigned char c = (unsigned char)*path;

		if (isalnum(c) || strchr("/-._~", c))
			*end++ = (char)c;
		else
			end += sprintf(end, "%%%02X", c);
	}
	return uri;
}

static const char *sarif_level(enum problem_severity severity)
{
	return severity == PROBLEM_NOTICE ? "note" : severity_name(severity);
}

static json_t *encode_text(const char *text)
{
	json_t *object = json_new_object();

	json_put_text(object, "text", text);
	return object;
}

static json_t *encode_location(const struct problem *problem)
{
	json_t *location = json_new_object(), *physical = json_new_object(), *artifact = json_new_object();
	_cleanup_free_ char *uri = path_to_uri(problem->file);

	json_put_text(artifact, "uri", uri);
	json_put(physical, "artifactLocation", artifact);
	if (problem->line) {
		json_t *region = json_new_object();

		json_put_number(region, "startLine", problem->line);
		if (problem->column)
			json_put_number(region, "startColumn", problem->column);
		json_put(physical, "region", region);
	}
	json_put(location, "physicalLocation", physical);
	return location;
}

/* The index of a rule in the driver's list, to which it is added when it is new. */
static size_t rule_index(json_t *rules, const char *id)
{
	size_t i, count = json_array_size(rules);
	json_t *rule;

	for (i = 0; i < count; i++)
		if (!strcmp(json_string_value(json_object_get(json_array_get(rules, i), "id")), id))
			return i;
	rule = json_new_object();
	json_put_text(rule, "id", id);
	for (i = 0; i < ARRAY_SIZE(descriptions); i++)
		if (!strcmp(descriptions[i].id, id))
			json_put(rule, "shortDescription", encode_text(descriptions[i].text));
	json_append(rules, rule);
	return count;
}

static json_t *encode_result(const struct problem *problem, json_t *rules)
{
	_cleanup_free_ char *text = problem->object ? format_text("%s: %s", problem->object, problem->message)
						    : copy_text(problem->message);
	json_t *result = json_new_object(), *locations = json_new_array();

	json_put_text(result, "ruleId", problem->rule);
	json_put_number(result, "ruleIndex", rule_index(rules, problem->rule));
	json_put_text(result, "level", sarif_level(problem->severity));
	json_put(result, "message", encode_text(text));
	if (problem->file)
		json_append(locations, encode_location(problem));
	json_put(result, "locations", locations);
	return result;
}

void check_print_sarif(const struct check_result *result)
{
	json_t *log = json_new_object(), *runs = json_new_array(), *run = json_new_object();
	json_t *tool = json_new_object(), *driver = json_new_object();
	json_t *rules = json_new_array(), *results = json_new_array();
	size_t i;

	for (i = 0; i < result->problems->count; i++)
		json_append(results, encode_result(&result->problems->items[i], rules));
	json_put_text(driver, "name", "egressctl");
	json_put_text(driver, "version", EGRESSD_VERSION);
	json_put(driver, "rules", rules);
	json_put(tool, "driver", driver);
	json_put(run, "tool", tool);
	json_put_text(run, "columnKind", "unicodeCodePoints");
	json_put(run, "results", results);
	json_append(runs, run);
	json_put_text(log, "$schema", SARIF_SCHEMA);
	json_put_text(log, "version", "2.1.0");
	json_put(log, "runs", runs);
	json_print(log);
}
