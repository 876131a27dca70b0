#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The directory of manifests: what changes is followed, what is wrong is named and changes nothing.
# shellcheck disable=SC2119 # functions with optional arguments
# shellcheck source=tests/lib/harness.sh
. "$(dirname "$0")/../lib/harness.sh"
if [ -n "${SANDBOX:-}" ]; then
	# shellcheck source=tests/lib/cluster.sh
	. "$TESTS/lib/cluster.sh"
fi

status_problems()
{
	egressctl -o json status
}

source_errors_beyond()
{
	[ "$(metric egressd_source_errors_total)" -gt "$1" ]
}

# wrong_manifest NAME: puts standard input in place and waits until the agent has found it wrong
wrong_manifest()
{
	local errors

	errors=$(metric egressd_source_errors_total)
	manifest "$1"
	eventually 5 source_errors_beyond "${errors:-0}"
}

test_wrong_file_keeps_its_last_good_version()
{
	cluster_up
	agent_up
	wrong_manifest policy.yaml <<-EOF
		apiVersion: networking.k8s.io/v1
		kind: NetworkPolicy
		metadata:
		  name: web
		spec:
		  podSelector: {}
		  policyTypes: [Egress]
		  egress:
		  - ports:
		    - port: eighty thousand
		      protocol: QUIC
	EOF
	expect_flows web <<-EOF
		passed 10.1.2.2 80/TCP
		dropped 10.1.2.2 81/TCP
	EOF
	assert_matches "log" 'policy\.yaml:1[01]:' "$(cat "$AGENT_LOG")"
	assert_matches "status" 'policy\.yaml' "$(status_problems)"
	assert_equal "/healthz" 200 "$(http_status /healthz)"
	after_change allow_peer_80_and_81
	passes web 10.1.2.2 81/TCP
	assert_no_match "status" 'policy\.yaml:1[01]' "$(egressctl status)"
}

allow_peer_80_and_81()
{
	policy_manifest web web <<<'[{to: [{podSelector: {matchLabels: {app: peer}}}], ports: [{port: 80, endPort: 81}]}]' |
		manifest policy.yaml
}

test_error_names_file_line_column_and_what_was_expected()
{
	cluster_up
	agent_up
	wrong_manifest broken.yaml <<-EOF
		apiVersion: v1
		kind: Pod
		metadata:
		  name: [not, a, name]
	EOF
	assert_matches "log" 'broken\.yaml:4:9: .*string' "$(cat "$AGENT_LOG")"
	wrong_manifest syntax.yaml <<<'a: [1, 2'
	assert_matches "log" 'syntax\.yaml:[12]:[0-9]*: ' "$(cat "$AGENT_LOG")"
}

test_construct_that_is_not_supported_is_refused_and_named()
{
	cluster_up
	agent_up
	wrong_manifest policy.yaml <<-EOF
		apiVersion: networking.k8s.io/v1
		kind: NetworkPolicy
		metadata:
		  name: web
		spec:
		  podSelector: {}
		  policyTypes: [Egress]
		  egress:
		  - to: [{fqdn: example.com}]
	EOF
	assert_matches "log" 'policy\.yaml:9:.*fqdn' "$(cat "$AGENT_LOG")"
	expect_flows web <<-EOF
		passed 10.1.2.2 80/TCP
		dropped 10.1.2.2 81/TCP
	EOF
}

test_policy_file_comes_and_goes()
{
	cluster_up
	rm "$MANIFESTS/policy.yaml"
	agent_up
	passes web 10.1.2.2 81/TCP
	after_change allow_peer_80
	fails passes web 10.1.2.2 81/TCP
	passes web 10.1.2.2 80/TCP
	after_change rm "$MANIFESTS/policy.yaml"
	passes web 10.1.2.2 81/TCP
}

test_subdirectory_and_json_are_read()
{
	cluster_up
	agent_up
	mkdir "$MANIFESTS/more"
	cat >"$SANDBOX/policy.json" <<-EOF
		{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "extra"},
		 "spec": {"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Egress"],
		          "egress": [{"ports": [{"port": 81}]}]}}
	EOF
	after_change mv "$SANDBOX/policy.json" "$MANIFESTS/more/policy.json"
	passes web 10.1.2.2 81/TCP
}

test_unknown_kind_is_skipped_with_one_notice()
{
	cluster_up
	manifest other.yaml <<-EOF
		apiVersion: apps/v1
		kind: Deployment
		metadata: {name: one}
		---
		apiVersion: apps/v1
		kind: Deployment
		metadata: {name: two}
	EOF
	agent_up
	assert_equal "notices" 1 "$(grep -c Deployment "$AGENT_LOG")"
	assert_equal "source errors" 0 "$(metric egressd_source_errors_total)"
}

test_other_files_are_not_read()
{
	cluster_up
	echo "this: [is not" >"$MANIFESTS/notes.txt"
	echo "nor: [this" >"$MANIFESTS/policy.yaml~"
	agent_up
	assert_no_match "log" 'notes\.txt|policy\.yaml~' "$(cat "$AGENT_LOG")"
}

test_what_is_legal_but_surely_a_mistake_is_named_in_status()
{
	cluster_up
	{
		pod_manifest contender 9 other "note: remote" | sed 's/10\.1\.9\.2/10.1.2.2/'
		cat <<-EOF
			---
			apiVersion: v1
			kind: Service
			metadata: {name: both}
			spec: {clusterIP: 10.96.0.1, ports: [{port: 8000}]}
			---
			apiVersion: discovery.k8s.io/v1
			kind: EndpointSlice
			metadata: {name: both, labels: {kubernetes.io/service-name: both}}
			addressType: IPv4
			ports: [{port: 80}]
			endpoints: [{addresses: [10.1.2.2]}, {addresses: [192.0.2.10]}]
		EOF
	} | manifest more.yaml
	policy_manifest web web <<<'[{to: [{podSelector: {}}], ports: [{port: 80}]}]' | manifest policy.yaml
	agent_up
	assert_matches "a mixed service" 'more\.yaml:[0-9]+.*port 8000/TCP.*NetworkPolicy default/web' "$(egressctl status)"
	assert_matches "a contested address" '10\.1\.2\.2 is also claimed by pod default/contender' "$(egressctl status)"
	fails passes web 10.96.0.1 8000/TCP
}

# huge_policy: more ports of their own than there are classes of ports
huge_policy()
{
	/usr/bin/python3 -c '
protocols = ("TCP", "UDP")
rules = (f"{{ports: [{{port: {number % 65535 + 1}, protocol: {protocols[number // 65535]}}}]}}"
         for number in range(66000))
print("[{}]".format(",\n ".join(rules)))' | policy_manifest huge web
}

build_errors_beyond()
{
	[ "$(metric egressd_build_errors_total)" -gt "$1" ]
}

test_limit_of_the_tables_is_told_and_the_last_good_generation_stays()
{
	local generation errors

	cluster_up
	agent_up
	generation=$(metric egressd_generation)
	errors=$(metric egressd_build_errors_total)
	huge_policy | manifest huge.yaml
	eventually 20 build_errors_beyond "$errors"
	assert_matches "log" 'huge\.yaml:[0-9]+:[0-9]+: .*more than 65536 port classes.*NetworkPolicy default/huge' \
		"$(cat "$AGENT_LOG")"
	assert_matches "status" 'huge\.yaml:[0-9]+.*more than 65536 port classes' "$(egressctl status)"
	assert_matches "status" 'the last generation stays in force' "$(egressctl status)"
	assert_equal "the policy in the state" "NetworkPolicy default/huge" \
		"$(status_problems | json problems | /usr/bin/python3 -c '
import json, sys
print(*(problem["object"] for problem in json.load(sys.stdin) if problem["rule"] == "limit"))')"
	assert_equal "/readyz" 503 "$(http_status /readyz)"
	assert_equal "/healthz" 200 "$(http_status /healthz)"
	assert_equal "ready" 0 "$(metric egressd_ready)"
	assert_equal "generation" "$generation" "$(metric egressd_generation)"
	expect_flows web <<-EOF
		passed 10.1.2.2 80/TCP
		dropped 10.1.2.2 81/TCP
	EOF
	# What can be enforced again is, with whatever else has changed since.
	allow_peer_80_and_81
	fails passes web 10.1.2.2 81/TCP
	rm "$MANIFESTS/huge.yaml"
	eventually 10 passes web 10.1.2.2 81/TCP
	eventually 10 agent_is_ready
	assert_no_match "status" 'huge' "$(egressctl status)"
}

# Another file has the same pods meanwhile, and a policy that cannot be enforced: what the store held, changed and holds
# again is no change.
test_pods_stay_when_a_copy_of_them_that_was_never_in_force_goes()
{
	local errors

	cluster_up
	agent_up
	errors=$(metric egressd_build_errors_total)
	{
		sed 's/labels: {/&copy: "", /' "$MANIFESTS/pods.yaml"
		echo ---
		huge_policy
	} | manifest 00-copy.yaml
	eventually 20 build_errors_beyond "$errors"
	rm "$MANIFESTS/00-copy.yaml"
	eventually 10 agent_is_ready
	# A generation later, whatever nobody wants any more is gone.
	allow_peer_80_and_81
	eventually 10 passes web 10.1.2.2 81/TCP
	assert_matches "pods" 'default +web.*default +peer|default +peer.*default +web' "$(egressctl pods | tr '\n' ' ')"
	expect_flows web <<-EOF
		passed 10.1.2.2 80/TCP
		dropped 10.1.2.2 82/TCP
	EOF
}

# A pod that no policy is known of yet but the one that comes with it, for which there is no memory: in the order of the
# file it comes first, and would be open without it.
late_pod_and_policy()
{
	{
		pod_manifest late 3 late
		policy_manifest "policy-$(printf '%0243d' 0)" late <<<'[{ports: [{port: 80}]}]'
	} | sed 's/^metadata:/&\n  namespace: other/' | manifest late.yaml
}

# Nobody else reads the source before a minute is over, so what was read in part is read again.
test_a_change_that_is_read_in_part_is_not_in_force()
{
	local generation

	run_agent_by env "LD_PRELOAD=$ROOT/build/tests/lib/preload/no_room.so" "NO_ROOM_WHILE=$SANDBOX/no-room" \
		"ASAN_OPTIONS=${ASAN_OPTIONS:-}:verify_asan_link_order=0"
	cluster_up
	add_pod late
	network_ready
	agent_up --attach clsact
	generation=$(metric egressd_generation)
	touch "$SANDBOX/no-room"
	late_pod_and_policy
	eventually 5 status_says "Cannot allocate memory; what was read last stays in force"
	expect_flows late <<-EOF
		dropped 10.1.2.2 80/TCP
		dropped 10.1.2.2 81/TCP
	EOF
	# What else there is to do is done meanwhile, and makes nothing of the half.
	tc qdisc delete dev web0 clsact
	eventually 5 metric_beyond egressd_repairs_total 0
	enforced
	assert_matches "/readyz" 'the source was read in part' "$(http_get /readyz)"
	assert_equal "generation" "$generation" "$(metric egressd_generation)"
	assert_equal "times that it is told" 1 "$(grep -c 'Cannot allocate memory' "$AGENT_LOG")"
	rm "$SANDBOX/no-room"
	eventually 20 agent_is_ready
	expect_flows late <<-EOF
		passed 10.1.2.2 80/TCP
		dropped 10.1.2.2 81/TCP
	EOF
	assert_equal "generation" $((generation + 1)) "$(metric egressd_generation)"
	assert_no_match "status" 'Cannot allocate memory' "$(egressctl status)"
}

run_tests "$@"
