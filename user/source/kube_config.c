/* SPDX-License-Identifier: Apache-2.0 */
#include "source/kube_config.h"

#include <errno.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "model/document.h"
#include "source/manifest_file.h"

#define CONFIG_SIZE_MAX (4u << 20)

static void free_list(char **list)
{
	char **item;

	for (item = list; list && *item; item++)
		free(*item);
	free(list);
}

static void clear_pem(struct kube_pem *pem)
{
	free(pem->path);
	free(pem->data);
}

void kube_config_clear(struct kube_config *config)
{
	free(config->origin);
	free(config->server);
	free(config->server_name);
	free(config->proxy);
	clear_pem(&config->ca);
	clear_pem(&config->certificate);
	clear_pem(&config->key);
	free(config->token);
	free(config->token_file);
	free(config->exec.command);
	free(config->exec.api_version);
	free_list(config->exec.arguments);
	free_list(config->exec.environment);
	*config = (struct kube_config){0};
}

bool kube_pem_is_set(const struct kube_pem *pem)
{
	return pem->path || pem->data;
}

/* ------------------------------------------------------------------ kubeconfig */

struct reading {
	const char *path;
	char *directory; /* what relative paths in it begin at */
	const char *context; /* NULL: current-context */
	struct kube_config config;
	char *problem;
	bool seen;
};

static int fail(struct reading *reading, const struct value *at, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static int fail(struct reading *reading, const struct value *at, const char *format, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list arguments;

	va_start(arguments, format);
	text = text_format_list(format, arguments);
	va_end(arguments);
	free(reading->problem);
	reading->problem = at ? text_format("%s:%u:%u: %s", reading->path, at->line, at->column, text ? text : "") :
				text_format("%s: %s", reading->path, text ? text : "");
	return -EINVAL;
}

/* A field that is there and not null; NULL also where `mapping` is none. */
static const struct value *field(const struct value *mapping, const char *name)
{
	const struct value *value = NULL;

	if (mapping && mapping->type == VALUE_MAPPING)
		value = value_get(mapping, name);
	return value && value->type != VALUE_NULL ? value : NULL;
}

/* A copy of the text; an empty one is absent. */
static int read_text(struct reading *reading, const struct value *mapping, const char *name, char **out)
{
	const struct value *value = field(mapping, name);

	if (!value)
		return 0;
	if (value->type != VALUE_STRING)
		return fail(reading, value, "%s: expected a string", name);
	if (!value->text[0])
		return 0;
	*out = strdup(value->text);
	return *out ? 0 : -ENOMEM;
}

static int make_absolute(const struct reading *reading, char **path)
{
	char *absolute;

	if (!*path || **path == '/')
		return 0;
	absolute = text_format("%s/%s", reading->directory, *path);
	if (!absolute)
		return -ENOMEM;
	free(*path);
	*path = absolute;
	return 0;
}

static int read_path(struct reading *reading, const struct value *mapping, const char *name, char **out)
{
	int error = read_text(reading, mapping, name, out);

	return error ? error : make_absolute(reading, out);
}

/* NAME is a path, NAME-data the same in base64; data counts where both are. */
static int read_pem(struct reading *reading, const struct value *mapping, const char *name, struct kube_pem *out)
{
	_cleanup_free_ char *data_name = text_format("%s-data", name), *text = NULL;
	int error = data_name ? 0 : -ENOMEM;

	if (!error)
		error = read_text(reading, mapping, data_name, &text);
	if (error)
		return error;
	if (!text)
		return read_path(reading, mapping, name, &out->path);
	error = base64_decode(text, &out->data, &out->length);
	if (error == -EINVAL)
		return fail(reading, field(mapping, data_name), "%s: expected base64", data_name);
	return error;
}

/* The item of the list `list_name` that is called so, and in it what `member` names. */
static int find_named(struct reading *reading, const struct value *root, const char *list_name, const char *member,
		      const char *name, const struct value **out)
{
	const struct value *list = field(root, list_name);
	size_t i;

	for (i = 0; list && list->type == VALUE_SEQUENCE && i < list->count; i++) {
		const struct value *item_name = field(list->items[i], "name");

		if (!item_name || item_name->type != VALUE_STRING || strcmp(item_name->text, name))
			continue;
		*out = field(list->items[i], member);
		if (*out && (*out)->type == VALUE_MAPPING)
			return 0;
		return fail(reading, list->items[i], "%s \"%s\": expected a mapping %s", list_name, name, member);
	}
	return fail(reading, list, "%s: expected one called \"%s\", found none", list_name, name);
}

static int check_server(struct reading *reading, const struct value *cluster)
{
	char *server = reading->config.server;
	size_t length = server ? strlen(server) : 0;

	if (!server)
		return fail(reading, cluster, "server: expected the URL of the API server");
	if (strncmp(server, "https://", 8) || !server[8])
		return fail(reading, field(cluster, "server"), "server: expected https://..., found %s", server);
	while (length && server[length - 1] == '/')
		server[--length] = '\0';
	return 0;
}

static int read_cluster(struct reading *reading, const struct value *cluster)
{
	struct kube_config *config = &reading->config;
	const struct value *insecure = field(cluster, "insecure-skip-tls-verify");
	int error;

	if (insecure && (insecure->type != VALUE_BOOLEAN || insecure->boolean))
		return fail(reading, insecure, "insecure-skip-tls-verify: expected false, "
					       "egressd always verifies the API server");
	error = read_text(reading, cluster, "server", &config->server);
	if (!error)
		error = check_server(reading, cluster);
	if (!error)
		error = read_text(reading, cluster, "tls-server-name", &config->server_name);
	if (!error)
		error = read_text(reading, cluster, "proxy-url", &config->proxy);
	if (!error)
		error = read_pem(reading, cluster, "certificate-authority", &config->ca);
	return error;
}

static int read_arguments(struct reading *reading, const struct value *list, char ***out)
{
	size_t i;

	if (list && list->type != VALUE_SEQUENCE)
		return fail(reading, list, "args: expected a list");
	*out = calloc((list ? list->count : 0) + 1, sizeof(**out));
	if (!*out)
		return -ENOMEM;
	for (i = 0; list && i < list->count; i++) {
		if (list->items[i]->type != VALUE_STRING)
			return fail(reading, list->items[i], "args: expected strings");
		(*out)[i] = strdup(list->items[i]->text);
		if (!(*out)[i])
			return -ENOMEM;
	}
	return 0;
}

static int read_environment(struct reading *reading, const struct value *list, char ***out)
{
	size_t i;
	int error;

	if (list && list->type != VALUE_SEQUENCE)
		return fail(reading, list, "env: expected a list");
	*out = calloc((list ? list->count : 0) + 1, sizeof(**out));
	if (!*out)
		return -ENOMEM;
	for (i = 0; list && i < list->count; i++) {
		_cleanup_free_ char *name = NULL, *value = NULL;

		error = read_text(reading, list->items[i], "name", &name);
		if (!error)
			error = read_text(reading, list->items[i], "value", &value);
		if (!error && !name)
			error = fail(reading, list->items[i], "env: expected a name");
		if (error)
			return error;
		(*out)[i] = text_format("%s=%s", name, value ? value : "");
		if (!(*out)[i])
			return -ENOMEM;
	}
	return 0;
}

static int read_exec(struct reading *reading, const struct value *exec)
{
	struct kube_exec *out = &reading->config.exec;
	const struct value *info = field(exec, "provideClusterInfo");
	int error = read_text(reading, exec, "command", &out->command);

	if (!error)
		error = read_text(reading, exec, "apiVersion", &out->api_version);
	if (error)
		return error;
	if (!out->command)
		return fail(reading, exec, "exec: expected a command");
	if (!out->api_version || (strcmp(out->api_version, "client.authentication.k8s.io/v1") &&
				  strcmp(out->api_version, "client.authentication.k8s.io/v1beta1")))
		return fail(reading, exec, "exec: apiVersion: expected client.authentication.k8s.io/v1 or v1beta1, "
					   "found %s", out->api_version ? out->api_version : "none");
	out->provide_cluster_info = info && info->type == VALUE_BOOLEAN && info->boolean;
	/* One with a slash is a path beside the file; one without is looked for in PATH. */
	if (strchr(out->command, '/'))
		error = make_absolute(reading, &out->command);
	if (!error)
		error = read_arguments(reading, field(exec, "args"), &out->arguments);
	if (!error)
		error = read_environment(reading, field(exec, "env"), &out->environment);
	return error;
}

static int read_user(struct reading *reading, const struct value *user)
{
	static const char *const refused[] = {"username", "password", "auth-provider", "as", "as-groups", "as-uid"};
	struct kube_config *config = &reading->config;
	const struct value *exec = field(user, "exec");
	size_t i;
	int error;

	for (i = 0; i < ARRAY_SIZE(refused); i++)
		if (field(user, refused[i]))
			return fail(reading, field(user, refused[i]), "%s: expected a token, tokenFile, "
				    "client-certificate or exec; this is not supported", refused[i]);
	error = read_text(reading, user, "token", &config->token);
	if (!error)
		error = read_path(reading, user, "tokenFile", &config->token_file);
	if (!error)
		error = read_pem(reading, user, "client-certificate", &config->certificate);
	if (!error)
		error = read_pem(reading, user, "client-key", &config->key);
	if (!error && kube_pem_is_set(&config->certificate) != kube_pem_is_set(&config->key))
		error = fail(reading, user, "expected both client-certificate and client-key, found one of them");
	if (!error && exec)
		error = read_exec(reading, exec);
	return error;
}

static int read_context(struct reading *reading, const struct value *root)
{
	_cleanup_free_ char *current = NULL, *cluster = NULL, *user = NULL;
	const struct value *context, *found;
	int error = read_text(reading, root, "current-context", &current);

	if (error)
		return error;
	if (!reading->context && !current)
		return fail(reading, root, "current-context: expected the name of a context, found none");
	error = find_named(reading, root, "contexts", "context", reading->context ? reading->context : current,
			   &context);
	if (!error)
		error = read_text(reading, context, "cluster", &cluster);
	if (!error && !cluster)
		error = fail(reading, context, "cluster: expected the name of a cluster, found none");
	if (!error)
		error = find_named(reading, root, "clusters", "cluster", cluster, &found);
	if (!error)
		error = read_cluster(reading, found);
	if (!error)
		error = read_text(reading, context, "user", &user);
	if (error || !user)
		return error;
	error = find_named(reading, root, "users", "user", user, &found);
	return error ? error : read_user(reading, found);
}

static int read_document(const struct value *root, void *context)
{
	struct reading *reading = context;

	if (reading->seen)
		return fail(reading, root, "expected one document, found another");
	reading->seen = true;
	if (root->type != VALUE_MAPPING)
		return fail(reading, root, "expected a kubeconfig");
	return read_context(reading, root);
}

static int parse(struct reading *reading, const char *text, size_t length)
{
	_cleanup_(problem_list_clear) struct problem_list problems = {0};
	int error = document_parse(reading->path, text, length, read_document, reading, &problems);
	char place[1024];

	if (error == -EINVAL && !reading->problem && problems.count)
		reading->problem = strdup(problem_format(&problems.items[0], place, sizeof(place)));
	if (!error && !reading->seen)
		error = fail(reading, NULL, "expected a kubeconfig, found nothing");
	return error;
}

static int read_file(struct reading *reading)
{
	_cleanup_(manifest_content_clear) struct manifest_content content = {0};
	_cleanup_free_ char *copy = strdup(reading->path);
	int error;

	reading->directory = copy ? strdup(dirname(copy)) : NULL;
	reading->config.origin = strdup(reading->path);
	if (!reading->directory || !reading->config.origin)
		return -ENOMEM;
	error = manifest_file_read(reading->path, MANIFEST_ANY_LINK, CONFIG_SIZE_MAX, &content);
	if (error) {
		fail(reading, NULL, "cannot be read: %s", strerror(-error));
		return error;
	}
	return parse(reading, content.text, content.length);
}

int kube_config_read(const char *path, const char *context, struct kube_config *out, char **problem)
{
	struct reading reading = {.path = path, .context = context};
	int error = read_file(&reading);

	free(reading.directory);
	if (error) {
		kube_config_clear(&reading.config);
		*problem = reading.problem;
		return error;
	}
	*out = reading.config;
	return 0;
}

/* ------------------------------------------------------------------ in the cluster */

#define SERVICE_ACCOUNT "/var/run/secrets/kubernetes.io/serviceaccount"

static int fill_in_cluster(const char *directory, const char *host, const char *port, struct kube_config *out)
{
	bool bare_ipv6 = strchr(host, ':') && host[0] != '[';

	out->origin = strdup("in-cluster");
	out->server = text_format(bare_ipv6 ? "https://[%s]:%s" : "https://%s:%s", host, port);
	out->ca.path = text_format("%s/ca.crt", directory);
	out->token_file = text_format("%s/token", directory);
	return out->origin && out->server && out->ca.path && out->token_file ? 0 : -ENOMEM;
}

int kube_config_in_cluster(const char *directory, struct kube_config *out, char **problem)
{
	const char *host = getenv("KUBERNETES_SERVICE_HOST"), *port = getenv("KUBERNETES_SERVICE_PORT");
	struct kube_config config = {0};
	int error;

	if (!directory)
		directory = SERVICE_ACCOUNT;
	if (!host || !*host || !port || !*port) {
		*problem = strdup("KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set: expected to run in "
				  "a pod, or a --kubeconfig");
		return -ENOENT;
	}
	error = fill_in_cluster(directory, host, port, &config);
	if (!error && access(config.token_file, R_OK)) {
		error = -errno;
		*problem = text_format("%s: cannot be read: %s", config.token_file, strerror(-error));
	}
	if (error) {
		kube_config_clear(&config);
		return error;
	}
	*out = config;
	return 0;
}
