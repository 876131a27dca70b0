/* SPDX-License-Identifier: Apache-2.0 */
#include "source/kube_client.h"

#include <curl/curl.h>
#include <errno.h>
#include <event2/event.h>
#include <jansson.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>

#include <egressd/version.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/text.h"
#include "source/kube_exec.h"
#include "source/manifest_file.h"

#define CONNECT_SECONDS 10L
/* An answer that stops in the middle, and a peer that acknowledges nothing, also no probe of a connection that idles. */
#define SILENCE_SECONDS 30u
/* Of an answer that is no success, for its message. */
#define FAILURE_TEXT_MAX 65536
#define FILE_SIZE_MAX (1u << 20)
/* What expires within this time is not worth sending any more. */
#define EXPIRY_MARGIN_SECONDS 30
/* A program for credentials that fails, or whose credentials have expired already, is not run more often than this. */
#define EXEC_PAUSE_SECONDS 5

struct kube_request {
	struct kube_client *client;
	struct kube_request *next, *previous;
	struct kube_request_handler handler;
	char *method, *path, *body, *content_type;
	bool watch;
	CURL *easy;
	struct curl_slist *headers, *connect;
	bool running;  /* known to the multi handle */
	bool sent_token_from_exec;
	int refused;   /* what `piece` returned */
	char error_text[CURL_ERROR_SIZE];
	char *failure; /* body of an answer that is no success */
	size_t failure_length, failure_capacity;
};

struct kube_client {
	struct kube_config config;
	unsigned int silence; /* seconds without a byte after which a watch is dead */
	struct event_base *loop;
	CURLM *multi;
	struct event *timer; /* curl's */
	struct event *begin; /* to start what waits */
	struct kube_request *requests; /* all that are not done */
	struct kube_exec_run *exec;
	struct kube_exec_credential credential;
	bool has_credential;
	char *exec_problem;
	time_t exec_ended; /* CLOCK_MONOTONIC: a clock that is set back must not make the pause longer */
	int64_t skew;
};

/* ------------------------------------------------------------------ requests */

static void unlink_request(struct kube_request *request)
{
	if (request->previous)
		request->previous->next = request->next;
	else
		request->client->requests = request->next;
	if (request->next)
		request->next->previous = request->previous;
}

static void request_free(struct kube_request *request)
{
	if (request->running)
		curl_multi_remove_handle(request->client->multi, request->easy);
	if (request->easy)
		curl_easy_cleanup(request->easy);
	curl_slist_free_all(request->headers);
	curl_slist_free_all(request->connect);
	free(request->method);
	free(request->path);
	free(request->body);
	free(request->content_type);
	free(request->failure);
	free(request);
}

void kube_request_cancel(struct kube_request *request)
{
	if (!request)
		return;
	unlink_request(request);
	request_free(request);
}

static void finish(struct kube_request *request, const struct kube_answer *answer)
{
	struct kube_request_handler handler = request->handler;

	unlink_request(request);
	handler.done(answer, handler.data);
	request_free(request);
}

static void finish_unsent(struct kube_request *request, int error, const char *message)
{
	struct kube_answer answer = {.error = error, .message = message};

	finish(request, &answer);
}

const char *kube_client_server(const struct kube_client *client)
{
	return client->config.server;
}

int64_t kube_client_skew(const struct kube_client *client)
{
	return client->skew;
}

char *kube_escape(const char *text)
{
	char *escaped = curl_easy_escape(NULL, text, 0), *copy = escaped ? strdup(escaped) : NULL;

	curl_free(escaped);
	return copy;
}

/* ------------------------------------------------------------------ what comes in */

static bool is_success(CURL *easy)
{
	long status = 0;

	curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
	return status >= 200 && status < 300;
}

static void keep_failure(struct kube_request *request, const char *bytes, size_t length)
{
	size_t room = FAILURE_TEXT_MAX - request->failure_length;

	if (length > room)
		length = room;
	if (array_reserve(&request->failure, &request->failure_capacity, request->failure_length + length, 1))
		return;
	memcpy(request->failure + request->failure_length, bytes, length);
	request->failure_length += length;
}

static bool is_json(CURL *easy)
{
	const char *type = NULL;

	curl_easy_getinfo(easy, CURLINFO_CONTENT_TYPE, &type);
	return type && !strncasecmp(type, "application/json", strlen("application/json"));
}

static size_t on_piece(char *bytes, size_t size, size_t count, void *data)
{
	struct kube_request *request = data;
	size_t length = size * count;

	if (!is_success(request->easy)) {
		keep_failure(request, bytes, length);
		return length;
	}
	if (!is_json(request->easy)) {
		keep_failure(request, bytes, length);
		request->refused = -EPROTO;
		return 0;
	}
	request->refused = request->handler.piece(bytes, length, request->handler.data);
	return request->refused ? 0 : length;
}

/* The server's clock, in the header "Date". */
static size_t on_header(char *bytes, size_t size, size_t count, void *data)
{
	struct kube_request *request = data;
	size_t length = size * count;
	char text[64];
	time_t date;

	/* The empty line behind the headers. */
	if (length <= 2 && request->handler.opened && is_success(request->easy) && is_json(request->easy))
		request->handler.opened(request->handler.data);
	if (length < 6 || length >= sizeof(text) || strncasecmp(bytes, "date:", 5))
		return length;
	memcpy(text, bytes + 5, length - 5);
	text[length - 5] = '\0';
	date = curl_getdate(text, NULL);
	if (date > 0)
		request->client->skew = (int64_t)date - (int64_t)time(NULL);
	return length;
}

/* ------------------------------------------------------------------ how it ended */

/* "message" of a Status, as the API server explains itself. */
static char *status_message(const struct kube_request *request)
{
	json_t *root = json_loadb(request->failure ? request->failure : "", request->failure_length, 0, NULL);
	const char *text = json_string_value(json_object_get(root, "message"));
	char *message = text && *text ? strdup(text) : NULL;

	json_decref(root);
	return message;
}

static char *first_words(const struct kube_request *request)
{
	char words[81] = "";
	size_t length = request->failure_length < sizeof(words) - 1 ? request->failure_length : sizeof(words) - 1;

	if (length)
		memcpy(words, request->failure, length);
	return strdup(words);
}

static char *describe_status(struct kube_request *request, long status)
{
	_cleanup_free_ char *explained = status_message(request), *words = first_words(request);

	if (explained)
		return text_format("%ld: %s", status, explained);
	return text_format("%ld: %s", status, words ? words : "");
}

/* A certificate that is not valid yet or any more may be a clock that is wrong: say what time it is here. */
static char *describe_transfer(struct kube_request *request, CURLcode code)
{
	const char *text = request->error_text[0] ? request->error_text : curl_easy_strerror(code);
	char now[32] = "";
	time_t seconds = time(NULL);
	struct tm parts;

	if (!strstr(text, "not yet valid") && !strstr(text, "expired"))
		return strdup(text);
	if (gmtime_r(&seconds, &parts))
		strftime(now, sizeof(now), "%Y-%m-%dT%H:%M:%SZ", &parts);
	return text_format("%s (this node's clock says %s)", text, now);
}

static char *describe_type(struct kube_request *request)
{
	_cleanup_free_ char *words = first_words(request);
	const char *type = NULL;

	curl_easy_getinfo(request->easy, CURLINFO_CONTENT_TYPE, &type);
	return text_format("expected application/json, found %s: %s", type ? type : "no content type",
			   words ? words : "");
}

static char *describe(struct kube_request *request, CURLcode code, long status)
{
	if (request->refused == -EPROTO && !is_json(request->easy))
		return describe_type(request);
	if (request->refused)
		return strdup(strerror(-request->refused));
	if (code)
		return describe_transfer(request, code);
	if (status < 200 || status >= 300)
		return describe_status(request, status);
	return strdup("");
}

static int transfer_error(const struct kube_request *request, CURLcode code)
{
	if (request->refused)
		return request->refused;
	switch (code) {
	case CURLE_OK:
		return 0;
	case CURLE_OUT_OF_MEMORY:
		return -ENOMEM;
	case CURLE_OPERATION_TIMEDOUT:
		return -ETIMEDOUT;
	default:
		return -EIO;
	}
}

static void on_done(struct kube_request *request, CURLcode code)
{
	struct kube_client *client = request->client;
	_cleanup_free_ char *message = NULL;
	struct kube_answer answer = {0};
	curl_off_t retry_after = 0;

	curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &answer.status);
	curl_easy_getinfo(request->easy, CURLINFO_RETRY_AFTER, &retry_after);
	answer.retry_after = retry_after > 0 && retry_after < 100000 ? (unsigned int)retry_after : 0;
	answer.error = transfer_error(request, code);
	message = describe(request, code, answer.status);
	if (message)
		text_make_line(message);
	answer.message = message ? message : "no memory";
	/* What the program gave is not worth anything any more. */
	if (answer.status == 401 && request->sent_token_from_exec)
		client->has_credential = false;
	finish(request, &answer);
}

static void take_done(struct kube_client *client)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(client->multi, &left))) {
		struct kube_request *request = NULL;
		CURLcode code = message->data.result;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &request);
		if (request)
			on_done(request, code);
	}
}

/* ------------------------------------------------------------------ curl on the loop */

static void on_socket(evutil_socket_t fd, short what, void *data)
{
	struct kube_client *client = data;
	int action = (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0), running;

	curl_multi_socket_action(client->multi, fd, action, &running);
	take_done(client);
}

static void on_timer(evutil_socket_t fd, short what, void *data)
{
	struct kube_client *client = data;
	int running;

	(void)fd;
	(void)what;
	curl_multi_socket_action(client->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	take_done(client);
}

static int want_timer(CURLM *multi, long milliseconds, void *data)
{
	const struct timeval pause = {.tv_sec = milliseconds / 1000, .tv_usec = milliseconds % 1000 * 1000};
	struct kube_client *client = data;

	(void)multi;
	if (milliseconds < 0)
		return event_del(client->timer);
	return event_add(client->timer, &pause);
}

static int want_socket(CURL *easy, curl_socket_t fd, int what, void *data, void *known)
{
	struct kube_client *client = data;
	struct event *event = known;
	short wanted = EV_PERSIST;

	(void)easy;
	if (event)
		event_free(event);
	curl_multi_assign(client->multi, fd, NULL);
	if (what == CURL_POLL_REMOVE)
		return 0;
	if (what & CURL_POLL_IN)
		wanted |= EV_READ;
	if (what & CURL_POLL_OUT)
		wanted |= EV_WRITE;
	event = event_new(client->loop, fd, wanted, on_socket, client);
	if (!event || event_add(event, NULL))
		return -1;
	curl_multi_assign(client->multi, fd, event);
	return 0;
}

/* ------------------------------------------------------------------ credentials */

static int read_small_file(const char *path, struct manifest_content *out, char **problem)
{
	int error = manifest_file_read(path, MANIFEST_ANY_LINK, FILE_SIZE_MAX, out);

	if (error)
		*problem = text_format("%s: cannot be read: %s", path, strerror(-error));
	return error;
}

static int set_pem(CURL *easy, CURLoption option, const struct kube_pem *pem, char **problem)
{
	_cleanup_(manifest_content_clear) struct manifest_content content = {0};
	struct curl_blob blob = {.data = pem->data, .len = pem->length, .flags = CURL_BLOB_COPY};
	int error;

	if (!kube_pem_is_set(pem))
		return 0;
	if (pem->path) {
		error = read_small_file(pem->path, &content, problem);
		if (error)
			return error;
		blob.data = content.text;
		blob.len = content.length;
	}
	return curl_easy_setopt(easy, option, &blob) ? -ENOMEM : 0;
}

static int set_token(struct kube_request *request, const char *token)
{
	_cleanup_free_ char *header = text_format("Authorization: Bearer %s", token);
	struct curl_slist *headers = header ? curl_slist_append(request->headers, header) : NULL;

	if (!headers)
		return -ENOMEM;
	request->headers = headers;
	return 0;
}

static int set_token_file(struct kube_request *request, const char *path, char **problem)
{
	_cleanup_(manifest_content_clear) struct manifest_content content = {0};
	char *text;
	size_t length;
	int error = read_small_file(path, &content, problem);

	if (error)
		return error;
	text = content.text;
	length = content.length;
	while (length && strchr(" \t\r\n", text[length - 1]))
		length--;
	text[length] = '\0';
	if (!length || strpbrk(text, "\r\n")) {
		*problem = text_format("%s: expected a token, found %s", path, length ? "several lines" : "nothing");
		return -EINVAL;
	}
	return set_token(request, text);
}

static int set_exec_credential(struct kube_request *request, char **problem)
{
	const struct kube_exec_credential *credential = &request->client->credential;
	struct kube_pem certificate = {.data = credential->certificate}, key = {.data = credential->key};
	int error = credential->token ? set_token(request, credential->token) : 0;

	request->sent_token_from_exec = true;
	if (error || !credential->certificate)
		return error;
	certificate.length = strlen(certificate.data);
	key.length = strlen(key.data);
	error = set_pem(request->easy, CURLOPT_SSLCERT_BLOB, &certificate, problem);
	return error ? error : set_pem(request->easy, CURLOPT_SSLKEY_BLOB, &key, problem);
}

static int set_credentials(struct kube_request *request, char **problem)
{
	const struct kube_config *config = &request->client->config;
	int error = set_pem(request->easy, CURLOPT_CAINFO_BLOB, &config->ca, problem);

	if (!error)
		error = set_pem(request->easy, CURLOPT_SSLCERT_BLOB, &config->certificate, problem);
	if (!error)
		error = set_pem(request->easy, CURLOPT_SSLKEY_BLOB, &config->key, problem);
	if (error)
		return error;
	if (config->exec.command)
		return set_exec_credential(request, problem);
	if (config->token_file)
		return set_token_file(request, config->token_file, problem);
	return config->token ? set_token(request, config->token) : 0;
}

static void schedule_begin(struct kube_client *client)
{
	const struct timeval now = {0};

	event_add(client->begin, &now);
}

static time_t monotonic_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

static void on_exec(struct kube_exec_credential *credential, const char *problem, void *data)
{
	struct kube_client *client = data;

	client->exec = NULL;
	client->exec_ended = monotonic_seconds();
	free(take(client->exec_problem));
	if (problem) {
		client->exec_problem = strdup(problem);
	} else {
		kube_exec_credential_clear(&client->credential);
		client->credential = *credential;
		*credential = (struct kube_exec_credential){0};
		client->has_credential = true;
	}
	schedule_begin(client);
}

static bool exec_ended_just_now(const struct kube_client *client)
{
	return monotonic_seconds() - client->exec_ended < EXEC_PAUSE_SECONDS;
}

/* One that has expired by this node's clock when it comes is used for a while: the server's clock is what counts. */
static bool has_good_credential(const struct kube_client *client)
{
	int64_t expires = client->credential.expires;

	if (!client->has_credential)
		return false;
	return !expires || expires - EXPIRY_MARGIN_SECONDS > time(NULL) ||
	       (!client->exec_problem && exec_ended_just_now(client));
}

/* 0: there is one; -EAGAIN: it is being fetched; -EACCES: it cannot be had, client->exec_problem says why. */
static int have_exec_credential(struct kube_client *client)
{
	int error;

	if (!client->config.exec.command || has_good_credential(client))
		return 0;
	if (client->exec)
		return -EAGAIN;
	if (client->exec_problem && exec_ended_just_now(client))
		return -EACCES;
	error = kube_exec_start(&client->config, client->loop, on_exec, client, &client->exec);
	if (!error)
		return -EAGAIN;
	free(client->exec_problem);
	client->exec_problem = text_format("%s: cannot be run: %s", client->config.exec.command, strerror(-error));
	client->exec_ended = monotonic_seconds();
	return -EACCES;
}

/* ------------------------------------------------------------------ sending */

/* How long a peer may not answer, in seconds; a watch may say nothing for longer where nothing happens. */
static unsigned int shorter_silence(const struct kube_client *client)
{
	return client->silence < SILENCE_SECONDS ? client->silence : SILENCE_SECONDS;
}

static int on_open(void *data, curl_socket_t fd, curlsocktype purpose)
{
	unsigned int milliseconds = shorter_silence(data) * 1000;

	(void)purpose;
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &milliseconds, sizeof(milliseconds));
	return CURL_SOCKOPT_OK;
}

/* Probes begin early enough that one is unanswered when the time is over. */
static bool set_silence(struct kube_request *request)
{
	unsigned int seconds = shorter_silence(request->client);
	CURL *easy = request->easy;

	return !curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L) &&
	       !curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME,
				 (long)(request->watch ? request->client->silence : seconds)) &&
	       !curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L) &&
	       !curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, (long)(seconds - seconds / 3)) &&
	       !curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, (long)(seconds / 3)) &&
	       !curl_easy_setopt(easy, CURLOPT_SOCKOPTDATA, request->client) &&
	       !curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, on_open);
}

static int set_headers(struct kube_request *request)
{
	struct curl_slist *headers = curl_slist_append(request->headers, "Accept: application/json");
	_cleanup_free_ char *type = NULL;

	if (!headers)
		return -ENOMEM;
	request->headers = headers;
	if (!request->content_type)
		return 0;
	type = text_format("Content-Type: %s", request->content_type);
	headers = type ? curl_slist_append(request->headers, type) : NULL;
	if (!headers)
		return -ENOMEM;
	request->headers = headers;
	return 0;
}

/*
 * QUICK_EXIT: where the time is over while a name is still being resolved, curl would wait for the thread that does it,
 * and the loop with it. So the thread is left to end by itself; what it uses is its own by then.
 */
static bool set_transfer(struct kube_request *request)
{
	CURL *easy = request->easy;

	return !curl_easy_setopt(easy, CURLOPT_PRIVATE, request) &&
	       !curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, request->error_text) &&
	       !curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) &&
	       !curl_easy_setopt(easy, CURLOPT_USERAGENT, "egressd/" EGRESSD_VERSION) &&
	       !curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_piece) &&
	       !curl_easy_setopt(easy, CURLOPT_WRITEDATA, request) &&
	       !curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header) &&
	       !curl_easy_setopt(easy, CURLOPT_HEADERDATA, request) &&
	       !curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS) &&
	       !curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L) &&
	       set_silence(request) &&
	       !curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, request->watch ? NULL : "gzip");
}

/*
 * A connection for each: a watch that stalls must not hold up the others. No redirect is followed, and no netrc or
 * proxy of the environment is used, unless the kubeconfig says so.
 */
static bool set_peer(struct kube_request *request, const char *url)
{
	const struct kube_config *config = &request->client->config;
	CURL *easy = request->easy;

	return !curl_easy_setopt(easy, CURLOPT_URL, url) &&
	       !curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https") &&
	       !curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) &&
	       !curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L) &&
	       !curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L) &&
	       !curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) &&
	       !curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 0L) &&
	       !curl_easy_setopt(easy, CURLOPT_PROXY, config->proxy ? config->proxy : "");
}

/* The host in the URL is what the certificate is checked against: another name is reached at the server's place. */
static int make_url(struct kube_request *request, char **url)
{
	const struct kube_config *config = &request->client->config;
	_cleanup_free_ char *authority = NULL, *target = NULL;
	const char *rest, *port;

	if (!config->server_name) {
		*url = text_format("%s%s", config->server, request->path);
		return *url ? 0 : -ENOMEM;
	}
	rest = config->server + strlen("https://");
	authority = strndup(rest, strcspn(rest, "/"));
	if (!authority)
		return -ENOMEM;
	port = strrchr(authority, ':');
	if (port && strchr(port, ']'))
		port = NULL;
	*url = text_format("https://%s%s%s%s", config->server_name, port ? port : "", rest + strlen(authority),
			   request->path);
	target = text_format("::%s%s", authority, port ? "" : ":443");
	request->connect = *url && target ? curl_slist_append(NULL, target) : NULL;
	return request->connect && !curl_easy_setopt(request->easy, CURLOPT_CONNECT_TO, request->connect) ? 0 : -ENOMEM;
}

static int set_body(struct kube_request *request)
{
	CURL *easy = request->easy;

	if (request->method && curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method))
		return -ENOMEM;
	if (!request->body)
		return 0;
	return curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)strlen(request->body)) ||
	       curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body) ? -ENOMEM : 0;
}

static int prepare(struct kube_request *request, char **problem)
{
	_cleanup_free_ char *url = NULL;
	int error;

	request->easy = curl_easy_init();
	if (!request->easy)
		return -ENOMEM;
	error = make_url(request, &url);
	if (!error && (!set_transfer(request) || !set_peer(request, url)))
		error = -ENOMEM;
	if (!error)
		error = set_body(request);
	if (!error)
		error = set_headers(request);
	if (!error)
		error = set_credentials(request, problem);
	if (!error && curl_easy_setopt(request->easy, CURLOPT_HTTPHEADER, request->headers))
		error = -ENOMEM;
	return error;
}

static void begin_request(struct kube_request *request)
{
	_cleanup_free_ char *problem = NULL;
	int error = prepare(request, &problem);

	if (!error && curl_multi_add_handle(request->client->multi, request->easy))
		error = -ENOMEM;
	if (error) {
		finish_unsent(request, error == -ENOMEM ? error : -EACCES, problem ? problem : strerror(-error));
		return;
	}
	request->running = true;
}

/* One at a time: what it calls may send and cancel others. */
static struct kube_request *first_unsent(struct kube_client *client)
{
	struct kube_request *request = client->requests;

	while (request && request->running)
		request = request->next;
	return request;
}

static void on_begin(evutil_socket_t fd, short what, void *data)
{
	struct kube_client *client = data;
	struct kube_request *request;

	(void)fd;
	(void)what;
	while ((request = first_unsent(client))) {
		int error = have_exec_credential(client);

		if (error == -EAGAIN)
			return;
		if (error)
			finish_unsent(request, error, client->exec_problem ? client->exec_problem : "no memory");
		else
			begin_request(request);
	}
}

static bool copy_optional(const char *text, char **out)
{
	*out = text ? strdup(text) : NULL;
	return !text || *out;
}

int kube_client_send(struct kube_client *client, const struct kube_request_options *options,
		     const struct kube_request_handler *handler, struct kube_request **out)
{
	struct kube_request *request = calloc(1, sizeof(*request));

	if (!request)
		return -ENOMEM;
	request->client = client;
	request->handler = *handler;
	request->watch = options->watch;
	if (!copy_optional(options->method, &request->method) || !copy_optional(options->path, &request->path) ||
	    !copy_optional(options->body, &request->body) ||
	    !copy_optional(options->content_type, &request->content_type)) {
		request_free(request);
		return -ENOMEM;
	}
	request->next = client->requests;
	if (request->next)
		request->next->previous = request;
	client->requests = request;
	schedule_begin(client);
	*out = request;
	return 0;
}

/* ------------------------------------------------------------------ life */

static void free_event(struct event *event)
{
	if (event)
		event_free(event);
}

void kube_client_free(struct kube_client *client)
{
	if (!client)
		return;
	kube_exec_cancel(client->exec);
	while (client->requests)
		kube_request_cancel(client->requests);
	if (client->multi)
		curl_multi_cleanup(client->multi);
	free_event(client->timer);
	free_event(client->begin);
	kube_exec_credential_clear(&client->credential);
	kube_config_clear(&client->config);
	free(client->exec_problem);
	free(client);
}

static int client_prepare(struct kube_client *client)
{
	client->multi = curl_multi_init();
	client->timer = evtimer_new(client->loop, on_timer, client);
	client->begin = evtimer_new(client->loop, on_begin, client);
	if (!client->multi || !client->timer || !client->begin)
		return -ENOMEM;
	curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
	curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
	curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, want_timer);
	curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
	return 0;
}

int kube_client_new(struct kube_config *config, unsigned int silence, struct event_base *loop, struct kube_client **out)
{
	struct kube_client *client;

	if (curl_global_init(CURL_GLOBAL_DEFAULT))
		return -ENOMEM;
	client = calloc(1, sizeof(*client));
	if (!client)
		return -ENOMEM;
	client->loop = loop;
	client->silence = silence;
	if (client_prepare(client)) {
		kube_client_free(client);
		return -ENOMEM;
	}
	client->config = *config;
	*config = (struct kube_config){0};
	*out = client;
	return 0;
}
