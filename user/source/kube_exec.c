/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "source/kube_exec.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "base/timestamp.h"

#define RUN_SECONDS 60
/* Between the end of its output and its own end. */
#define WAIT_MICROSECONDS 10000
#define OUTPUT_MAX (1u << 20)

struct kube_exec_run {
	const struct kube_config *config;
	kube_exec_done done;
	void *data;
	pid_t pid;
	int pipe;
	struct event *readable, *timer, *deadline;
	char *output;
	size_t length, capacity;
};

static void json_release(json_t **json)
{
	json_decref(*json);
}

/* ------------------------------------------------------------------ what it printed */

void kube_exec_credential_clear(struct kube_exec_credential *credential)
{
	free(credential->token);
	free(credential->certificate);
	free(credential->key);
	*credential = (struct kube_exec_credential){0};
}

static int copy_member(const json_t *status, const char *name, char **out)
{
	const char *text = json_string_value(json_object_get(status, name));

	if (!text || !*text)
		return 0;
	*out = strdup(text);
	return *out ? 0 : -ENOMEM;
}

static int refuse(char **problem, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int refuse(char **problem, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	*problem = text_format_list(format, arguments);
	va_end(arguments);
	return *problem ? -EINVAL : -ENOMEM;
}

static int read_status(const json_t *root, struct kube_exec_credential *out, char **problem)
{
	const char *kind = json_string_value(json_object_get(root, "kind"));
	const json_t *status = json_object_get(root, "status");
	const char *expires = json_string_value(json_object_get(status, "expirationTimestamp"));
	int error;

	if (!kind || strcmp(kind, "ExecCredential"))
		return refuse(problem, "expected an ExecCredential, found %s", kind ? kind : "no kind");
	error = copy_member(status, "token", &out->token);
	if (!error)
		error = copy_member(status, "clientCertificateData", &out->certificate);
	if (!error)
		error = copy_member(status, "clientKeyData", &out->key);
	if (error)
		return error;
	if (!out->token && !out->certificate)
		return refuse(problem, "status: expected a token or a client certificate, found neither");
	if (!out->certificate != !out->key)
		return refuse(problem, "status: expected both clientCertificateData and clientKeyData, found one");
	if (expires && timestamp_parse(expires, &out->expires))
		return refuse(problem, "status: expirationTimestamp: expected a time");
	return 0;
}

int kube_exec_decode(const char *text, size_t length, struct kube_exec_credential *out, char **problem)
{
	_cleanup_(kube_exec_credential_clear) struct kube_exec_credential credential = {0};
	_cleanup_(json_release) json_t *root = NULL;
	json_error_t place;
	int error;

	root = json_loadb(text, length, JSON_REJECT_DUPLICATES, &place);
	if (!root)
		return refuse(problem, "expected JSON: line %d: %s", place.line, place.text);
	error = read_status(root, &credential, problem);
	if (error)
		return error;
	*out = credential;
	credential = (struct kube_exec_credential){0};
	return 0;
}

/* ------------------------------------------------------------------ life */

static void free_event(struct event *event)
{
	if (event)
		event_free(event);
}

static void run_free(struct kube_exec_run *run)
{
	free_event(run->readable);
	free_event(run->timer);
	free_event(run->deadline);
	close_fd(&run->pipe);
	if (run->pid > 0) {
		kill(-run->pid, SIGKILL);
		while (waitpid(run->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	free(run->output);
	free(run);
}

void kube_exec_cancel(struct kube_exec_run *run)
{
	if (run)
		run_free(run);
}

static void finish(struct kube_exec_run *run, const char *problem)
{
	_cleanup_(kube_exec_credential_clear) struct kube_exec_credential credential = {0};
	_cleanup_free_ char *decoding = NULL, *message = NULL;
	const char *command = run->config->exec.command;
	kube_exec_done done = run->done;
	void *data = run->data;

	if (!problem && kube_exec_decode(run->output ? run->output : "", run->length, &credential, &decoding))
		problem = decoding ? decoding : "no memory";
	if (problem)
		message = text_format("%s: %s", command, problem);
	run_free(run);
	if (problem)
		done(NULL, message ? message : "no memory", data);
	else
		done(&credential, NULL, data);
}

/* ------------------------------------------------------------------ while it runs */

static void look_for_end(struct kube_exec_run *run)
{
	const struct timeval pause = {.tv_usec = WAIT_MICROSECONDS};
	char problem[64];
	int status;
	pid_t ended = waitpid(run->pid, &status, WNOHANG);

	if (!ended) {
		event_add(run->timer, &pause);
		return;
	}
	run->pid = 0;
	if (ended > 0 && WIFEXITED(status) && !WEXITSTATUS(status)) {
		finish(run, NULL);
		return;
	}
	if (ended > 0 && WIFEXITED(status))
		snprintf(problem, sizeof(problem), "ended with status %d", WEXITSTATUS(status));
	else
		snprintf(problem, sizeof(problem), "was ended by signal %d", ended > 0 ? WTERMSIG(status) : 0);
	finish(run, problem);
}

static void on_timer(evutil_socket_t fd, short what, void *data)
{
	(void)fd;
	(void)what;
	look_for_end(data);
}

static void on_deadline(evutil_socket_t fd, short what, void *data)
{
	char problem[64];

	(void)fd;
	(void)what;
	snprintf(problem, sizeof(problem), "did not end within %d s", RUN_SECONDS);
	finish(data, problem);
}

static void on_readable(evutil_socket_t fd, short what, void *data)
{
	struct kube_exec_run *run = data;
	ssize_t count;

	(void)what;
	if (run->length >= OUTPUT_MAX) {
		finish(run, "printed more than 1 MB");
		return;
	}
	if (array_reserve(&run->output, &run->capacity, run->length + 4096, 1)) {
		finish(run, "no memory");
		return;
	}
	count = read(fd, run->output + run->length, run->capacity - run->length);
	if (count < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (count > 0) {
		run->length += (size_t)count;
		return;
	}
	event_del(run->readable);
	look_for_end(run);
}

/* ------------------------------------------------------------------ start */

static char *exec_info(const struct kube_config *config)
{
	_cleanup_(json_release) json_t *info = json_pack("{s:s, s:s, s:{s:b}}", "apiVersion", config->exec.api_version,
							 "kind", "ExecCredential", "spec", "interactive", 0);
	_cleanup_free_ char *text = NULL;
	json_t *cluster;

	if (info && config->exec.provide_cluster_info) {
		cluster = json_pack("{s:s}", "server", config->server);
		json_object_set_new(json_object_get(info, "spec"), "cluster", cluster);
	}
	text = info ? json_dumps(info, JSON_COMPACT) : NULL;
	return text ? text_format("KUBERNETES_EXEC_INFO=%s", text) : NULL;
}

static size_t count_texts(char *const *texts)
{
	size_t count = 0;

	while (texts && texts[count])
		count++;
	return count;
}

/* What the program adds comes first: the first of a name is the one that counts. */
static char **make_environment(const struct kube_exec *exec, char *info)
{
	size_t own = count_texts(exec->environment), inherited = count_texts(environ), count = 0;
	char **environment = calloc(own + inherited + 2, sizeof(*environment));

	if (!environment)
		return NULL;
	environment[count++] = info;
	memcpy(environment + count, exec->environment, own * sizeof(*environment));
	memcpy(environment + count + own, environ, inherited * sizeof(*environment));
	return environment;
}

static char **make_arguments(const struct kube_exec *exec)
{
	size_t count = count_texts(exec->arguments);
	char **arguments = calloc(count + 2, sizeof(*arguments));

	if (!arguments)
		return NULL;
	arguments[0] = exec->command;
	memcpy(arguments + 1, exec->arguments, count * sizeof(*arguments));
	return arguments;
}

static int spawn_with(const struct kube_exec *exec, char *info, posix_spawn_file_actions_t *actions,
		      posix_spawnattr_t *attributes, pid_t *pid)
{
	_cleanup_free_ char **environment = make_environment(exec, info), **arguments = make_arguments(exec);

	if (!environment || !arguments)
		return -ENOMEM;
	return -posix_spawnp(pid, exec->command, actions, attributes, arguments, environment);
}

/* A group of its own, so that what it starts ends with it; and signals as a program expects them. */
static int spawn(const struct kube_config *config, int output, pid_t *pid)
{
	_cleanup_free_ char *info = exec_info(config);
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t defaults, none;
	int error;

	if (!info)
		return -ENOMEM;
	sigemptyset(&none);
	sigemptyset(&defaults);
	sigaddset(&defaults, SIGPIPE);
	if (posix_spawn_file_actions_init(&actions))
		return -ENOMEM;
	if (posix_spawnattr_init(&attributes)) {
		posix_spawn_file_actions_destroy(&actions);
		return -ENOMEM;
	}
	posix_spawnattr_setflags(&attributes,
				 POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
	posix_spawnattr_setpgroup(&attributes, 0);
	posix_spawnattr_setsigdefault(&attributes, &defaults);
	posix_spawnattr_setsigmask(&attributes, &none);
	error = -posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	if (!error)
		error = -posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
	if (!error)
		error = spawn_with(&config->exec, info, &actions, &attributes, pid);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return error;
}

static int add_events(struct kube_exec_run *run, struct event_base *loop)
{
	const struct timeval limit = {.tv_sec = RUN_SECONDS};

	run->readable = event_new(loop, run->pipe, EV_READ | EV_PERSIST, on_readable, run);
	run->timer = evtimer_new(loop, on_timer, run);
	run->deadline = evtimer_new(loop, on_deadline, run);
	if (!run->readable || !run->timer || !run->deadline || event_add(run->readable, NULL) ||
	    event_add(run->deadline, &limit))
		return -ENOMEM;
	return 0;
}

int kube_exec_start(const struct kube_config *config, struct event_base *loop, kube_exec_done done, void *data,
		    struct kube_exec_run **out)
{
	struct kube_exec_run *run = calloc(1, sizeof(*run));
	_cleanup_fd_ int output = -1;
	int pipe[2], error;

	if (!run)
		return -ENOMEM;
	run->pipe = -1;
	if (pipe2(pipe, O_CLOEXEC)) {
		error = -errno;
		run_free(run);
		return error;
	}
	*run = (struct kube_exec_run){.config = config, .done = done, .data = data, .pipe = pipe[0]};
	output = pipe[1];
	evutil_make_socket_nonblocking(run->pipe);
	error = spawn(config, output, &run->pid);
	if (!error)
		error = add_events(run, loop);
	if (error) {
		run_free(run);
		return error;
	}
	*out = run;
	return 0;
}
