/* SPDX-License-Identifier: Apache-2.0 */
/* What the runtime hands over: CNI_* in the environment, the configuration on standard input. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <egressd/contract.h>

#include "base/cleanup.h"
#include "cni/cni.h"
#include "report/state.h"

/* A prevResult has a few hundred bytes. */
#define CONFIG_MAX (4u << 20)

const char *const cni_versions[] = {"0.3.0", "0.3.1", "0.4.0", "1.0.0", CNI_VERSION_NEWEST, NULL};

/* What each command needs. */
static const struct command_form {
	const char *name;
	bool container, netns, ifname;
	const char *since; /* the version of the specification that has it */
} forms[] = {
	[CNI_ADD] = {"ADD", true, true, true, "0.3.0"},     [CNI_DEL] = {"DEL", true, false, true, "0.3.0"},
	[CNI_CHECK] = {"CHECK", true, true, true, "0.4.0"}, [CNI_STATUS] = {"STATUS", false, false, false, "1.1.0"},
	[CNI_GC] = {"GC", false, false, false, "1.1.0"},    [CNI_VERSION] = {"VERSION", false, false, false, "0.3.0"},
};

/* ------------------------------------------------------------------ environment */

static const char *variable(const char *name)
{
	const char *value = getenv(name);

	return value ? value : "";
}

static int read_command(struct cni_request *request, struct cni_error *error)
{
	const char *name = variable("CNI_COMMAND");
	size_t i;

	for (i = 0; i < ARRAY_SIZE(forms); i++) {
		if (!strcmp(name, forms[i].name)) {
			request->command = (enum cni_command)i;
			return 0;
		}
	}
	return cni_fail(error, CNI_INVALID_ENVIRONMENT, "CNI_COMMAND",
			"expected ADD, DEL, CHECK, STATUS, GC or VERSION, found \"%s\"", name);
}

static int read_environment(struct cni_request *request, struct cni_error *error)
{
	const struct command_form *form = &forms[request->command];

	request->container = variable("CNI_CONTAINERID");
	request->netns = variable("CNI_NETNS");
	request->ifname = variable("CNI_IFNAME");
	if (form->container && !cni_is_container_id(request->container))
		return cni_fail(error, CNI_INVALID_ENVIRONMENT, "CNI_CONTAINERID",
				"expected letters, digits, '_', '.' and '-', found \"%s\"", request->container);
	if (form->ifname && !cni_is_ifname(request->ifname))
		return cni_fail(error, CNI_INVALID_ENVIRONMENT, "CNI_IFNAME",
				"expected the name of an interface, found \"%s\"", request->ifname);
	if (form->netns && request->netns[0] != '/')
		return cni_fail(error, CNI_INVALID_ENVIRONMENT, "CNI_NETNS",
				"expected the absolute path of a network namespace, found \"%s\"", request->netns);
	return 0;
}

static int copy_argument(char **out, const char *value)
{
	free(*out);
	*out = strdup(value);
	return *out ? 0 : -ENOMEM;
}

/* CNI_ARGS is "KEY=VALUE;KEY=VALUE;..."; what is not ours is passed over. */
static int read_arguments(struct cni_request *request)
{
	_cleanup_free_ char *copy = strdup(variable("CNI_ARGS"));
	char *rest = copy, *item;
	int error = copy_argument(&request->namespace, "");

	if (!error)
		error = copy_argument(&request->pod, "");
	if (!error)
		error = copy_argument(&request->uid, "");
	while (copy && !error && (item = strsep(&rest, ";"))) {
		char *value = strchr(item, '=');

		if (!value)
			continue;
		*value++ = '\0';
		if (!strcmp(item, "K8S_POD_NAMESPACE"))
			error = copy_argument(&request->namespace, value);
		else if (!strcmp(item, "K8S_POD_NAME"))
			error = copy_argument(&request->pod, value);
		else if (!strcmp(item, "K8S_POD_UID"))
			error = copy_argument(&request->uid, value);
	}
	return copy ? error : -ENOMEM;
}

/* ------------------------------------------------------------------ configuration */

static int read_input(char **out, size_t *length, struct cni_error *error)
{
	_cleanup_free_ char *text = malloc(CONFIG_MAX + 1);
	size_t count;

	if (!text)
		return cni_fail(error, CNI_IO_FAILURE, "no memory", "%s", "");
	count = fread(text, 1, CONFIG_MAX + 1, stdin);
	if (ferror(stdin))
		return cni_fail(error, CNI_IO_FAILURE, "the configuration on standard input cannot be read", "%s",
				strerror(errno));
	if (count > CONFIG_MAX)
		return cni_fail(error, CNI_DECODING_FAILURE, "the configuration is too long", "at most %u bytes",
				CONFIG_MAX);
	*out = take(text);
	*length = count;
	return 0;
}

static int read_version(struct cni_request *request, struct cni_error *error)
{
	const json_t *value = json_object_get(request->config, "cniVersion");
	const char *version = json_string_value(value);
	size_t i, since = 0;

	if (!version)
		return cni_fail(error, CNI_INVALID_CONFIG, "cniVersion", "expected a version, found none");
	for (i = 0; cni_versions[i]; i++) {
		if (!strcmp(cni_versions[i], forms[request->command].since))
			since = i;
		if (strcmp(cni_versions[i], version))
			continue;
		request->version = cni_versions[i];
		if (!strcmp(cni_versions[since], forms[request->command].since))
			return 0;
		return cni_fail(error, CNI_INCOMPATIBLE_VERSION, "the command is not of this version of CNI",
				"%s came with %s, the configuration is of %s", forms[request->command].name,
				forms[request->command].since, version);
	}
	return cni_fail(error, CNI_INCOMPATIBLE_VERSION, "this version of CNI is not supported",
			"expected 0.3.0, 0.3.1, 0.4.0, 1.0.0 or 1.1.0, found \"%s\"", version);
}

/* *out stays what it is where the configuration has no such field. */
static int read_path(const struct cni_request *request, const char *field, const char **out, struct cni_error *error)
{
	const json_t *value = json_object_get(request->config, field);
	const char *text = json_string_value(value);

	if (!value)
		return 0;
	if (!text || text[0] != '/')
		return cni_fail(error, CNI_INVALID_CONFIG, field, "expected an absolute path");
	*out = text;
	return 0;
}

static int read_on_agent_down(struct cni_request *request, struct cni_error *error)
{
	const json_t *value = json_object_get(request->config, "onAgentDown");
	const char *text = json_string_value(value);

	request->on_agent_down = text && !strcmp(text, "fail") ? ON_AGENT_DOWN_FAIL : ON_AGENT_DOWN_DENY;
	if (value && (!text || (strcmp(text, "fail") && strcmp(text, "deny"))))
		return cni_fail(error, CNI_INVALID_CONFIG, "onAgentDown", "expected \"deny\" or \"fail\"");
	return 0;
}

/* A field that is misspelt would be a setting that is silently not in force. */
static int refuse_unknown_fields(const struct cni_request *request, struct cni_error *error)
{
	static const char *const known[] = {
		"cniVersion",
		"name",
		"type",
		"prevResult",
		"stateDir",
		"pinDir",
		"onAgentDown",
		/* Of the specification, or added by runtimes. */
		"args",
		"capabilities",
		"dns",
		"ipam",
		"ipMasq",
		"runtimeConfig",
		"disableCheck",
		"disableGC",
		"loadOnlyInlinedPlugins",
		"cniVersions",
		"plugins",
	};
	const char *field;
	json_t *value;
	size_t i;

	json_object_foreach(request->config, field, value) {
		for (i = 0; i < ARRAY_SIZE(known) && strcmp(field, known[i]); i++)
			;
		if (i == ARRAY_SIZE(known) && strncmp(field, "cni.dev/", 8))
			return cni_fail(error, CNI_INVALID_CONFIG, "unknown field",
					"expected stateDir, pinDir or onAgentDown, found \"%.100s\"", field);
	}
	return 0;
}

static int read_fields(struct cni_request *request, struct cni_error *error)
{
	const json_t *previous = json_object_get(request->config, "prevResult");

	request->network = json_string_value(json_object_get(request->config, "name"));
	if (!request->network || !*request->network)
		return cni_fail(error, CNI_INVALID_CONFIG, "name", "expected the name of the network");
	if (previous && !json_is_object(previous))
		return cni_fail(error, CNI_INVALID_CONFIG, "prevResult", "expected an object");
	request->previous = previous;
	/* What is wrong there must not keep a pod from being torn down. */
	if (request->command != CNI_DEL &&
	    (refuse_unknown_fields(request, error) || read_on_agent_down(request, error)))
		return error->code;
	if (read_path(request, "stateDir", &request->state, error) ||
	    read_path(request, "pinDir", &request->pin, error))
		return error->code;
	return 0;
}

static int read_config(struct cni_request *request, struct cni_error *error)
{
	_cleanup_free_ char *text = NULL;
	json_error_t place;
	size_t length = 0;

	if (read_input(&text, &length, error))
		return error->code;
	/* Any JSON that a runtime sends is passed on as it came, NUL characters too. */
	request->config = json_loadb(text, length, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &place);
	if (!request->config)
		return cni_fail(error, CNI_DECODING_FAILURE, "the configuration is no JSON", "line %d, column %d: %s",
				place.line, place.column, place.text);
	if (!json_is_object(request->config))
		return cni_fail(error, CNI_DECODING_FAILURE, "the configuration is no JSON object", "%s", "");
	return read_version(request, error);
}

int cni_request_read(struct cni_request *request, struct cni_error *error)
{
	*request = (struct cni_request){
		.version = CNI_VERSION_NEWEST,
		.state = STATE_DIRECTORY,
		.pin = EGRESS_PIN_PARENT,
	};
	if (read_command(request, error))
		return error->code;
	/* It asks for the versions, whatever its own. */
	if (request->command == CNI_VERSION)
		return 0;
	if (read_config(request, error) || read_environment(request, error) || read_fields(request, error))
		return error->code;
	if (read_arguments(request))
		return cni_fail(error, CNI_IO_FAILURE, "no memory", "%s", "");
	return 0;
}

void cni_request_clear(struct cni_request *request)
{
	json_decref(request->config);
	free(request->namespace);
	free(request->pod);
	free(request->uid);
	*request = (struct cni_request){0};
}
