/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <egressd/contract.h>
#include <egressd/version.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/text.h"
#include "cni/cni.h"
#include "report/state.h"

int cni_fail(struct cni_error *error, int code, const char *message, const char *format, ...)
{
	va_list arguments;

	error->code = code;
	snprintf(error->message, sizeof(error->message), "%s", message);
	va_start(arguments, format);
	vsnprintf(error->details, sizeof(error->details), format, arguments);
	va_end(arguments);
	text_make_line(error->details);
	return code;
}

/* Takes the reference. */
static int print(json_t *json)
{
	int error = json ? json_dumpf(json, stdout, JSON_COMPACT) : -1;

	json_decref(json);
	return error || putchar('\n') == EOF || fflush(stdout) ? -1 : 0;
}

static int print_error(const struct cni_request *request, const struct cni_error *error)
{
	json_t *json = json_pack("{s:s, s:i, s:o, s:o}", "cniVersion", request->version, "code", error->code, "msg",
				 state_text(error->message), "details", state_text(error->details));

	log_error("%s: %s", error->message, error->details);
	print(json);
	return EXIT_FAILURE;
}

static json_t *make_versions(void)
{
	json_t *list = json_array();
	size_t i;

	for (i = 0; cni_versions[i]; i++)
		json_array_append_new(list, json_string(cni_versions[i]));
	return json_pack("{s:s, s:o}", "cniVersion", CNI_VERSION_NEWEST, "supportedVersions", list);
}

static int run(const struct cni_request *request, struct cni_error *error)
{
	switch (request->command) {
	case CNI_ADD:
		return cni_add(request, error);
	case CNI_DEL:
		return cni_del(request, error);
	case CNI_CHECK:
		return cni_check(request, error);
	case CNI_STATUS:
		return cni_status(request, error);
	case CNI_GC:
		return cni_gc(request, error);
	default:
		return 0;
	}
}

/* Only ADD and VERSION have something to say; what ADD says is what the plugin before it said. */
static int print_result(const struct cni_request *request)
{
	if (request->command == CNI_VERSION)
		return print(make_versions());
	if (request->command == CNI_ADD)
		return print(json_incref((json_t *)request->previous));
	return 0;
}

int main(int argc, char **argv)
{
	_cleanup_(cni_request_clear) struct cni_request request = {0};
	struct cni_error error = {0};

	if (argc > 1 && !strcmp(argv[1], "version")) {
		printf("egress-cni %s%s%s contract %d\n", EGRESSD_VERSION, *EGRESSD_COMMIT ? " " : "", EGRESSD_COMMIT,
		       EGRESS_CONTRACT_VERSION);
		return fflush(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
	}
	if (argc > 1) {
		fprintf(stderr, "egress-cni is a CNI plugin: a container runtime calls it; see egress-cni(8)\n");
		return EXIT_FAILURE;
	}
	log_configure(LOG_LEVEL_WARNING, false);
	if (cni_request_read(&request, &error) || run(&request, &error))
		return print_error(&request, &error);
	return print_result(&request) ? EXIT_FAILURE : EXIT_SUCCESS;
}
