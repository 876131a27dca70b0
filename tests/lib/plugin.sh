# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# egress-cni as a runtime calls it, inside a sandbox, on the pods of network.sh. After cluster.sh.
EGRESS_CNI=${EGRESS_CNI:-$BUILD/egress-cni}
CNI_OUT=$SANDBOX/cni.out
CNI_LOG=$SANDBOX/cni.log

# previous_result NAME NUMBER: what the plugin before ours says of the pod that add_pod made; with fields that nobody
# knows, and numbers and texts that a careless copy would change
previous_result()
{
	cat <<-EOF
		{"cniVersion": "${VERSION:-1.0.0}",
		 "interfaces": [{"name": "${1}0"}, {"name": "eth0", "sandbox": "$(netns_path "$1")", "mac": "02:00:00:00:00:01"}],
		 "ips": [{"address": "10.1.$2.2/24", "gateway": "10.1.$2.1", "interface": 1},
		         {"address": "fd00:1:$2::2/64", "interface": 1}],
		 "routes": [{"dst": "0.0.0.0/0", "mtu": 1400}], "dns": {"nameservers": ["10.96.0.10"]},
		 "later": {"b": 1, "a": [1.5, -0.25, null, true, "\\u0000 \\u00e4\\ud83d\\ude00", 9007199254740993]}}
	EOF
}

# network_config [FIELDS [PREVIOUS]]: further fields of the configuration, each with a comma before it
network_config()
{
	local previous=

	[ -z "${2:-}" ] || previous=", \"prevResult\": $2"
	cat <<-EOF
		{"cniVersion": "${VERSION:-1.0.0}", "name": "pods", "type": "egress-cni",
		 "stateDir": "$STATE", "pinDir": "$PIN"${1:-}$previous}
	EOF
}

# cni COMMAND NAME CONFIG: one call for the container of the pod; its answer in CNI_OUT, its exit status is the plugin's
cni()
{
	local command=$1 name=$2 config=$3

	CNI_COMMAND=$command CNI_CONTAINERID=${CONTAINER:-$name-1} CNI_NETNS=${NETNS-$(netns_path "$name")} \
		CNI_IFNAME=${IFNAME-eth0} CNI_PATH=/opt/cni/bin \
		CNI_ARGS=${ARGS-"IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=$name;K8S_POD_UID=${POD_UID-}"} \
		"$EGRESS_CNI" <<<"$config" >"$CNI_OUT" 2>>"$CNI_LOG"
}

# cni_add NAME NUMBER [FIELDS]
cni_add()
{
	cni ADD "$1" "$(network_config "${3:-}" "$(previous_result "$1" "$2")")"
}

# cni_fails CODE PATTERN COMMAND NAME CONFIG: with that code of error, and details that match
cni_fails()
{
	local code=$1 pattern=$2

	shift 2
	fails cni "$@"
	assert_equal "code of $(cat "$CNI_OUT")" "$code" "$(json code <"$CNI_OUT")"
	assert_matches "error" "$pattern" "$(json msg <"$CNI_OUT"): $(json details <"$CNI_OUT")"
	assert_equal "cniVersion of the error" "${EXPECTED_VERSION:-${VERSION:-1.0.0}}" "$(json cniVersion <"$CNI_OUT")"
}

# unannotated_pods: web and peer, as far as a manifest knows them that says nothing of interfaces
unannotated_pods()
{
	{
		pod_manifest web 1 web 'note: "none"'
		pod_manifest peer 2 peer 'note: "none"'
	} | manifest pods.yaml
}

plugin_cluster()
{
	cluster_up
	unannotated_pods
}

# attachment_field FILE FIELD
attachment_field()
{
	json "$2" <"$STATE/attachments/$1.json"
}

# attached NAME: are both programs on its interface?
attached()
{
	egressctl -o json pods | /usr/bin/python3 -c '
import json, sys
pods = [pod for pod in json.load(sys.stdin) if pod["pod"] == sys.argv[1]]
sys.exit(not (pods and pods[0]["attached"]))' "$1"
}

after_failure()
{
	echo "--- the last answer of egress-cni, and its log:"
	cat "$CNI_OUT" "$CNI_LOG" 2>/dev/null || true
	echo "--- the agent's log:"
	tail -n 40 "$AGENT_LOG"
}
