/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/options.h"

#include <ctype.h>
#include <errno.h>
#include <event2/util.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "node/cni_config.h"
#include "report/state.h"

enum {
	OPTION_FROM = 256,
	OPTION_PIN,
	OPTION_STATE,
	OPTION_LISTEN,
	OPTION_INSTALL_CNI,
	OPTION_CNI_BINARIES,
	OPTION_ON_AGENT_DOWN,
	OPTION_LOG_LEVEL,
	OPTION_LOG_FORMAT,
	OPTION_ATTACH,
	OPTION_NODE_ADDRESSES,
	OPTION_LOCK,
	OPTION_KUBECONFIG,
	OPTION_CONTEXT,
	OPTION_NODE,
	OPTION_TRUST_ANNOTATIONS,
	OPTION_API_SILENCE,
	OPTION_PENDING,
	OPTION_POD_INTERFACES,
	OPTION_ANTI_SPOOF,
	OPTION_FLOW_TIMEOUTS,
};

static const struct option long_options[] = {
	{"from", required_argument, NULL, OPTION_FROM},
	{"pin", required_argument, NULL, OPTION_PIN},
	{"state", required_argument, NULL, OPTION_STATE},
	{"listen", required_argument, NULL, OPTION_LISTEN},
	{"install-cni", required_argument, NULL, OPTION_INSTALL_CNI},
	{"cni-bin", required_argument, NULL, OPTION_CNI_BINARIES},
	{"on-agent-down", required_argument, NULL, OPTION_ON_AGENT_DOWN},
	{"log-level", required_argument, NULL, OPTION_LOG_LEVEL},
	{"log-format", required_argument, NULL, OPTION_LOG_FORMAT},
	{"attach", required_argument, NULL, OPTION_ATTACH},
	{"node-addresses", required_argument, NULL, OPTION_NODE_ADDRESSES},
	{"lock", required_argument, NULL, OPTION_LOCK},
	{"kubeconfig", required_argument, NULL, OPTION_KUBECONFIG},
	{"context", required_argument, NULL, OPTION_CONTEXT},
	{"node", required_argument, NULL, OPTION_NODE},
	{"trust-annotations", no_argument, NULL, OPTION_TRUST_ANNOTATIONS},
	{"api-silence", required_argument, NULL, OPTION_API_SILENCE},
	{"pending", required_argument, NULL, OPTION_PENDING},
	{"pod-interfaces", required_argument, NULL, OPTION_POD_INTERFACES},
	{"anti-spoof", required_argument, NULL, OPTION_ANTI_SPOOF},
	{"flow-timeouts", required_argument, NULL, OPTION_FLOW_TIMEOUTS},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

void agent_options_usage(FILE *out)
{
	fprintf(out,
		"usage: egressd run --from dir:PATH|kube [OPTION]...\n"
		"       egressd version\n"
		"\n"
		"Enforces egress policies for the pods of this node until SIGTERM or SIGINT; what is enforced stays in\n"
		"force after that. SIGHUP reads everything anew.\n"
		"\n"
		"  --from dir:PATH          directory of Kubernetes manifests (.yaml, .yml, .json), watched for changes\n"
		"  --from kube              the Kubernetes API, as the service account of the pod that this runs in\n"
		"  --kubeconfig FILE        the API server and credentials that FILE names, instead\n"
		"  --context NAME           of that file's contexts, instead of its current one\n"
		"  --node NAME              whose pods are this node's (default with kube: $NODE_NAME, or the host's name)\n"
		"  --trust-annotations      the egressd.io/ annotations of pods from the API count\n"
		"  --api-silence SECONDS    a watch of the API that says nothing for so long is begun anew (default %d)\n"
		"  --pin DIR                parent directory of the pinned maps, on a bpffs (default %s)\n"
		"  --state DIR              where state for egressctl is left (default %s)\n"
		"  --listen ADDR:PORT|none  /metrics, /healthz and /readyz (default %s; port 0: any)\n"
		"  --install-cni DIR        put egress-cni into the network configuration in DIR (/etc/cni/net.d) and keep it\n"
		"                           there, so that a pod's filter is in place before its first container starts\n"
		"  --cni-bin DIR            where its program goes (default %s)\n"
		"  --on-agent-down deny|fail  what it does without an agent: the pod may send nothing until one comes\n"
		"                           (default), or is not started\n"
		"  --attach auto|tcx|clsact how programs are attached (default auto: tcx where the kernel has it)\n"
		"  --node-addresses LIST|none|auto\n"
		"                           addresses of this node, to which its pods may always send: separated by commas,\n"
		"                           none of them, or (default) all that its interfaces have\n"
		"  --pending deny|allow     what a pod may send before its policy is in force: nothing or everything; default:\n"
		"                           nothing if a policy for egress is known to exist in its namespace\n"
		"  --pod-interfaces PATTERN[,PATTERN]...\n"
		"                           interfaces that are pods' also while no pod is known that names them, such as\n"
		"                           'veth*': until it is, --pending holds for them\n"
		"  --anti-spoof isolated|all|off\n"
		"                           whose packets must have a source address of their pod's own: those of pods that\n"
		"                           a policy isolates (default), of all pods, or of none\n"
		"  --flow-timeouts NAME=SECONDS[,...]\n"
		"                           how long a connection that was opened to a pod may idle before the pod may no\n"
		"                           longer answer: tcp-new, tcp-established, tcp-closing, udp-new, udp (SCTP and\n"
		"                           ICMP echo too; default %s)\n"
		"  --lock fail|wait         when another egressd uses these directories: end with an error (default), or\n"
		"                           wait for its end and take over\n"
		"  --log-level LEVEL        error, warning, info (default) or debug\n"
		"  --log-format text|json   (default text)\n"
		"  -h, --help               this text\n",
		API_SILENCE_DEFAULT, EGRESS_PIN_PARENT, STATE_DIRECTORY, DEFAULT_LISTEN, CNI_BINARIES, FLOW_TIMEOUTS_DEFAULT);
}

static int parse_from(const char *text, struct agent_options *options)
{
	options->from = text;
	options->directory = NULL;
	if (!strcmp(text, "kube"))
		return 0;
	if (strncmp(text, "dir:", 4) || !text[4])
		return -EINVAL;
	options->directory = text + 4;
	return 0;
}

/* A port is demanded: libevent takes an address without one for port 0. */
static bool has_port(const char *text)
{
	const char *colon = strrchr(text, ':'), *bracket = strrchr(text, ']');

	if (!colon || !colon[1] || (bracket && bracket > colon))
		return false;
	return bracket || strchr(text, ':') == colon;
}

static int parse_listen(const char *text, struct agent_options *options)
{
	struct sockaddr_storage address = {0};
	int length = sizeof(address);

	options->serve = strcmp(text, "none");
	if (!options->serve)
		return 0;
	if (!has_port(text) || evutil_parse_sockaddr_port(text, (struct sockaddr *)&address, &length))
		return -EINVAL;
	options->listen = address;
	options->listen_length = length;
	return 0;
}

static int parse_log_format(const char *text, struct agent_options *options)
{
	options->log_json = !strcmp(text, "json");
	return options->log_json || !strcmp(text, "text") ? 0 : -EINVAL;
}

static int parse_attach(const char *text, struct agent_options *options)
{
	static const enum attach_kind kinds[] = {ATTACH_AUTO, ATTACH_TCX, ATTACH_CLSACT};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (!strcmp(text, attach_kind_name(kinds[i]))) {
			options->attach = kinds[i];
			return 0;
		}
	}
	return -EINVAL;
}

static int parse_anti_spoof(const char *text, struct agent_options *options)
{
	static const char *const names[] = {
		[ANTI_SPOOF_ISOLATED] = "isolated", [ANTI_SPOOF_ALL] = "all", [ANTI_SPOOF_OFF] = "off"};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		if (!strcmp(text, names[i])) {
			options->anti_spoof = (enum anti_spoof)i;
			return 0;
		}
	}
	return -EINVAL;
}

static int parse_lock(const char *text, struct agent_options *options)
{
	options->wait_for_lock = !strcmp(text, "wait");
	return options->wait_for_lock || !strcmp(text, "fail") ? 0 : -EINVAL;
}

static int parse_pending(const char *text, struct agent_options *options)
{
	options->pending = strcmp(text, "deny") ? PENDING_ALLOW : PENDING_DENY;
	return options->pending == PENDING_DENY || !strcmp(text, "allow") ? 0 : -EINVAL;
}

static int parse_api_silence(const char *text, struct agent_options *options)
{
	unsigned long seconds;
	char *end;

	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	seconds = strtoul(text, &end, 10);
	if (*end || seconds < API_SILENCE_LEAST || seconds > API_SILENCE_MOST)
		return -EINVAL;
	options->api_silence = (unsigned int)seconds;
	return 0;
}

static size_t count_items(const char *list)
{
	size_t count = 1;

	for (; *list; list++)
		if (*list == ',')
			count++;
	return count;
}

static int parse_node_addresses(const char *text, struct agent_options *options)
{
	_cleanup_free_ struct ip_address *addresses = NULL;
	_cleanup_free_ char *copy = NULL;
	char *rest, *item;
	size_t count = 0;

	free(take(options->node_addresses));
	options->node_address_count = 0;
	options->node_addresses_auto = !strcmp(text, "auto");
	if (options->node_addresses_auto || !strcmp(text, "none"))
		return 0;
	rest = copy = strdup(text);
	addresses = calloc(count_items(text), sizeof(*addresses));
	if (!copy || !addresses)
		return -ENOMEM;
	while ((item = strsep(&rest, ",")))
		if (ip_address_parse(item, &addresses[count++]))
			return -EINVAL;
	options->node_addresses = take(addresses);
	options->node_address_count = count;
	return 0;
}

static int parse_option(int option, const char *value, struct agent_options *options)
{
	switch (option) {
	case OPTION_FROM:
		return parse_from(value, options);
	case OPTION_PIN:
		options->pin = value;
		return *value ? 0 : -EINVAL;
	case OPTION_STATE:
		options->state = value;
		return *value ? 0 : -EINVAL;
	case OPTION_INSTALL_CNI:
		options->install_cni = value;
		return *value == '/' ? 0 : -EINVAL;
	case OPTION_CNI_BINARIES:
		options->cni_binaries = value;
		return *value == '/' ? 0 : -EINVAL;
	case OPTION_ON_AGENT_DOWN:
		options->on_agent_down = value;
		return !strcmp(value, "deny") || !strcmp(value, "fail") ? 0 : -EINVAL;
	case OPTION_LISTEN:
		return parse_listen(value, options);
	case OPTION_LOG_LEVEL:
		return log_level_parse(value, &options->log_level);
	case OPTION_LOG_FORMAT:
		return parse_log_format(value, options);
	case OPTION_ATTACH:
		return parse_attach(value, options);
	case OPTION_LOCK:
		return parse_lock(value, options);
	case OPTION_KUBECONFIG:
		options->kubeconfig = value;
		return *value ? 0 : -EINVAL;
	case OPTION_CONTEXT:
		options->context = value;
		return *value ? 0 : -EINVAL;
	case OPTION_TRUST_ANNOTATIONS:
		options->trust_annotations = true;
		return 0;
	case OPTION_API_SILENCE:
		return parse_api_silence(value, options);
	case OPTION_NODE:
		options->node = value;
		return *value ? 0 : -EINVAL;
	case OPTION_PENDING:
		return parse_pending(value, options);
	case OPTION_POD_INTERFACES:
		options->pod_interfaces = value;
		return *value ? 0 : -EINVAL;
	case OPTION_ANTI_SPOOF:
		return parse_anti_spoof(value, options);
	case OPTION_FLOW_TIMEOUTS:
		return flow_timeouts_parse(value, &options->flow_timeouts);
	default:
		return parse_node_addresses(value, options);
	}
}

static void set_defaults(struct agent_options *options)
{
	*options = (struct agent_options){
		.pin = EGRESS_PIN_PARENT,
		.state = STATE_DIRECTORY,
		.cni_binaries = CNI_BINARIES,
		.on_agent_down = "deny",
		.api_silence = API_SILENCE_DEFAULT,
		.log_level = LOG_LEVEL_INFO,
		.attach = ATTACH_AUTO,
		.node_addresses_auto = true,
	};
	parse_listen(DEFAULT_LISTEN, options);
	flow_timeouts_parse(FLOW_TIMEOUTS_DEFAULT, &options->flow_timeouts);
}

/* The kubelet names a node after its host unless it is told otherwise, and then the pod is told NODE_NAME. */
static void find_node_name(struct agent_options *options)
{
	const char *name = getenv("NODE_NAME");
	char *next;

	if (options->node)
		return;
	options->node = name && *name ? name : options->host_name;
	if (gethostname(options->host_name, sizeof(options->host_name) - 1))
		options->host_name[0] = '\0';
	for (next = options->host_name; *next; next++)
		*next = (char)tolower((unsigned char)*next);
}

/* Options that would be without effect are a mistake. */
static int check_source_options(const char *program, const struct agent_options *options)
{
	if (options->directory && (options->kubeconfig || options->context)) {
		fprintf(stderr, "%s: --kubeconfig and --context are for --from kube\n", program);
		return -EINVAL;
	}
	if (options->context && !options->kubeconfig) {
		fprintf(stderr, "%s: --context is for --kubeconfig\n", program);
		return -EINVAL;
	}
	return 0;
}

int agent_options_parse(int argc, char **argv, struct agent_options *options, bool *help)
{
	int option, index = 0, error;

	set_defaults(options);
	*help = false;
	while ((option = getopt_long(argc, argv, "h", long_options, &index)) != -1) {
		if (option == 'h') {
			*help = true;
			return 0;
		}
		/* getopt has told what is wrong. */
		if (option == '?')
			return -EINVAL;
		error = parse_option(option, optarg, options);
		if (error == -EINVAL)
			fprintf(stderr, "%s: '%s' is no value for --%s\n", argv[0], optarg, long_options[index].name);
		if (error)
			return error;
	}
	if (optind < argc) {
		fprintf(stderr, "%s: '%s' is one argument too many\n", argv[0], argv[optind]);
		return -EINVAL;
	}
	if (!options->from) {
		fprintf(stderr, "%s: --from is missing\n", argv[0]);
		return -EINVAL;
	}
	error = check_source_options(argv[0], options);
	if (!error && !options->directory)
		find_node_name(options);
	return error;
}

void agent_options_clear(struct agent_options *options)
{
	free(options->node_addresses);
	*options = (struct agent_options){0};
}
