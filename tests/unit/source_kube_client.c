/* SPDX-License-Identifier: Apache-2.0 */
/* When a program for credentials is run, by clocks that the test sets. */
#define _GNU_SOURCE /* syscall */
#include <errno.h>
#include <event2/event.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "model_unit.h"
#include "source/kube_client.h"

/* ------------------------------------------------------------------ clocks */

static time_t passed; /* seconds, beside those that do */
static time_t set_by; /* seconds by which the wall clock was set */

/* In the place of the C library's, for every caller. */
int clock_gettime(clockid_t clock, struct timespec *now)
{
	bool wall = clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE;
	int status = (int)syscall(SYS_clock_gettime, clock, now);

	if (!status)
		now->tv_sec += passed + (wall ? set_by : 0);
	return status;
}

time_t time(time_t *out)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (out)
		*out = now.tv_sec;
	return now.tv_sec;
}

/* ------------------------------------------------------------------ a client and its program */

struct fixture {
	char directory[64], runs[96];
	struct event_base *loop;
	struct kube_client *client;
	int error; /* of the last request */
};

static void read_config(struct fixture *fixture, const char *script, struct kube_config *config)
{
	char path[96], *problem = NULL;
	FILE *file;

	snprintf(path, sizeof(path), "%s/config", fixture->directory);
	file = fopen(path, "we");
	assert_non_null(file);
	/* Without an authority no request is sent, and each ends at once. */
	fprintf(file,
		"apiVersion: v1\nkind: Config\ncurrent-context: c\n"
		"contexts: [{name: c, context: {cluster: c, user: c}}]\n"
		"clusters: [{name: c, cluster: {server: 'https://c', certificate-authority: missing}}]\n"
		"users: [{name: c, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: /bin/sh, "
		"args: [-c, 'printf x >>%s; %s']}}}]\n", fixture->runs, script);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(kube_config_read(path, NULL, config, &problem), 0);
}

/* With a program of the shell. */
static void start(struct fixture *fixture, const char *script)
{
	struct kube_config config = {0};

	passed = set_by = 0;
	strcpy(fixture->directory, "/tmp/egressd-kube_client.XXXXXX");
	assert_non_null(mkdtemp(fixture->directory));
	snprintf(fixture->runs, sizeof(fixture->runs), "%s/runs", fixture->directory);
	read_config(fixture, script, &config);
	fixture->loop = event_base_new();
	assert_non_null(fixture->loop);
	assert_int_equal(kube_client_new(&config, 30, fixture->loop, &fixture->client), 0);
}

static void stop(struct fixture *fixture)
{
	char command[96];

	kube_client_free(fixture->client);
	event_base_free(fixture->loop);
	snprintf(command, sizeof(command), "rm -r '%s'", fixture->directory);
	assert_int_equal(system(command), 0);
}

static int on_piece(const char *bytes, size_t length, void *data)
{
	(void)bytes;
	(void)length;
	(void)data;
	return 0;
}

static void on_done(const struct kube_answer *answer, void *data)
{
	struct fixture *fixture = data;

	fixture->error = answer->error;
	event_base_loopbreak(fixture->loop);
}

/* A request, and how it ended. */
static int ask(struct fixture *fixture)
{
	const struct kube_request_handler handler = {.piece = on_piece, .done = on_done, .data = fixture};
	const struct kube_request_options options = {.path = "/"};
	struct kube_request *request;

	assert_int_equal(kube_client_send(fixture->client, &options, &handler, &request), 0);
	assert_int_equal(event_base_dispatch(fixture->loop), 0);
	return fixture->error;
}

static int runs(const struct fixture *fixture)
{
	struct stat status;

	assert_int_equal(stat(fixture->runs, &status), 0);
	return (int)status.st_size;
}

/* ------------------------------------------------------------------ tests */

static void a_program_that_fails_is_run_again_however_the_clock_is_set(void **state)
{
	struct fixture fixture;

	(void)state;
	start(&fixture, "exit 1");
	assert_int_equal(ask(&fixture), -EACCES);
	assert_int_equal(runs(&fixture), 1);
	/* Not at once, */
	set_by = 3600;
	assert_int_equal(ask(&fixture), -EACCES);
	assert_int_equal(runs(&fixture), 1);
	/* but soon. */
	set_by = -3600;
	passed = 5;
	assert_int_equal(ask(&fixture), -EACCES);
	assert_int_equal(runs(&fixture), 2);
	stop(&fixture);
}

#define PRINT_CREDENTIAL                                                                                 \
	"echo ''{\"kind\": \"ExecCredential\", \"apiVersion\": \"client.authentication.k8s.io/v1\", " \
	"\"status\": {\"token\": \"t\", \"expirationTimestamp\": \"2100-01-01T00:00:00Z\"}}''"
#define EXPIRY 4102444800 /* the same, in seconds */

static void a_credential_expires_by_the_clock(void **state)
{
	struct fixture fixture;

	(void)state;
	start(&fixture, PRINT_CREDENTIAL);
	assert_int_equal(ask(&fixture), -EACCES);
	assert_int_equal(ask(&fixture), -EACCES);
	assert_int_equal(runs(&fixture), 1);
	set_by = EXPIRY - 60 - time(NULL);
	assert_int_equal(ask(&fixture), -EACCES);
	assert_int_equal(runs(&fixture), 1);
	passed = 60;
	assert_int_equal(ask(&fixture), -EACCES);
	assert_int_equal(runs(&fixture), 2);
	stop(&fixture);
}

/* As on a node whose clock is ahead: the server may take it all the same, and the next one would be no better. */
static void a_program_whose_credentials_have_expired_is_not_run_all_the_time(void **state)
{
	struct fixture fixture;

	(void)state;
	start(&fixture, PRINT_CREDENTIAL);
	set_by = EXPIRY + 3600 - time(NULL);
	assert_int_equal(ask(&fixture), -EACCES);
	assert_int_equal(ask(&fixture), -EACCES);
	assert_int_equal(runs(&fixture), 1);
	passed = 5;
	assert_int_equal(ask(&fixture), -EACCES);
	assert_int_equal(runs(&fixture), 2);
	stop(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_program_that_fails_is_run_again_however_the_clock_is_set),
		cmocka_unit_test(a_credential_expires_by_the_clock),
		cmocka_unit_test(a_program_whose_credentials_have_expired_is_not_run_all_the_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
