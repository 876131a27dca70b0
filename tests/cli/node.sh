#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The commands that look at a node: against a running agent, a dead one, and state that does not fit. In a sandbox, as root.
#
# usage: node.sh [BUILD-DIRECTORY] [TEST...]
# shellcheck disable=SC2119 # functions with optional arguments
if [ -d "${1:-}" ]; then
	BUILD=$(cd "$1" && pwd)
	export BUILD
	shift
fi
# shellcheck source=tests/lib/harness.sh
. "$(dirname "$0")/../lib/harness.sh"
if [ -n "${SANDBOX:-}" ]; then
	# shellcheck source=tests/lib/cluster.sh
	. "$TESTS/lib/cluster.sh"
fi

# explain_verdict FROM TO
explain_verdict()
{
	egressctl explain --from "$1" --to "$2" -o json | json verdict
}

# send_to_node PROTOCOL: one packet of it from the pod web to the pod's own node
send_to_node()
{
	on web python3 -c "
import socket
socket.socket(socket.AF_INET, socket.SOCK_RAW, $1).sendto(bytes(64), ('10.1.1.1', 0))"
}

# The node is always allowed, but no tunnel to it: the tables' word, the program's and the objects'.
test_tunnels_to_the_own_node()
{
	local protocol port drops=0

	cluster_up
	agent_up
	for protocol in 4 41 47 97 115 137; do
		send_to_node "$protocol"
		drops=$((drops + 1))
		assert_equal "drops" "$drops" "$(dropped_packets node_tunnel)"
		assert_equal "protocol $protocol" deny "$(explain_verdict default/web 10.1.1.1/$protocol)"
	done
	for port in 1701 4754 4789 4790 6080 6081 6635 8472; do
		on web python3 -c "
import socket
socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).sendto(bytes(64), ('fd00:1:1::1', $port))"
		drops=$((drops + 1))
		assert_equal "drops" "$drops" "$(dropped_packets node_tunnel)"
		assert_equal "port $port" deny "$(explain_verdict default/web "[fd00:1:1::1]:$port/UDP")"
	done
	send_to_node 50
	assert_equal "drops after ESP" "$drops" "$(dropped_packets node_tunnel)"
	assert_equal "ESP" allow "$(explain_verdict default/web 10.1.1.1/50)"
	assert_equal "the same port of TCP" allow "$(explain_verdict default/web 10.1.1.1:8472)"
	egressctl explain --from default/web --to 10.1.1.1/47 >"$SANDBOX/output"
	assert_matches "reason" '^  reason: node_tunnel: ' "$(cat "$SANDBOX/output")"
	assert_equal "contradictions" "" "$(grep CONTRADICTION "$SANDBOX/output" || true)"
	assert_matches "the sum" "^  allowed: TCP all; UDP 0-1700, .*, 8473-65535; SCTP all; other but tunnel protocols$" \
		"$(egressctl explain --from default/web --to 10.1.1.1)"
}

test_status_of_a_running_and_a_dead_agent()
{
	cluster_up
	agent_up
	assert_matches "status" '^Agent +running \(' "$(egressctl status)"
	assert_matches "pods in status" '^Pods +2 \(1 isolated, 2 attached\)$' "$(egressctl status)"
	assert_equal "generations" "$(egressctl status -o json | json generation)" \
		"$(egressctl status -o json | json kernel.generation)"
	agent_kill
	assert_matches "status without agent" '^Agent +not running \(' "$(egressctl status)"
	assert_equal "running" false "$(egressctl status -o json | json agent.running)"
}

test_everything_works_without_the_agent()
{
	local command

	cluster_up
	agent_up
	agent_kill
	for command in status pods policies dump "dump maps" "dump classes" "dump rows" "dump flows" "dump counters" drops \
		version "explain --from default/web --to 10.1.2.2:80"; do
		# shellcheck disable=SC2086 # a command and its arguments
		[ -n "$(egressctl $command)" ]
		# shellcheck disable=SC2086 # likewise
		egressctl $command -o json | json "" >/dev/null
	done
}

test_explain_says_what_the_kernel_does()
{
	cluster_up
	agent_up
	expect_flows web <<-EOF
		passed 10.1.2.2 80/TCP
		dropped 10.1.2.2 81/TCP
		passed fd00:1:2::2 53/UDP
		dropped 192.0.2.10 0/ICMP
		passed 10.1.1.1 0/ICMP
	EOF
	assert_equal "80/TCP" allow "$(explain_verdict default/web 10.1.2.2:80)"
	assert_equal "81/TCP" deny "$(explain_verdict default/web 10.1.2.2:81)"
	assert_equal "53/UDP" allow "$(explain_verdict default/web "[fd00:1:2::2]:53/UDP")"
	assert_equal "ICMP" deny "$(explain_verdict default/web 192.0.2.10/ICMP)"
	assert_equal "by name" allow "$(explain_verdict default/web default/peer:80)"
	assert_equal "itself" allow "$(explain_verdict default/web 10.1.1.2:99)"
	assert_equal "its node" allow "$(explain_verdict default/web 10.1.1.1:99)"
	assert_equal "a pod that nothing isolates" allow "$(explain_verdict default/peer 192.0.2.10:1)"
	assert_matches "the rule" '^  by default/web rule 0 \(.*policy.yaml:[0-9]+\)$' \
		"$(egressctl explain --from default/web --to 10.1.2.2:80)"
	assert_matches "why not" 'port 81/TCP is not among 80/TCP, 53/UDP' \
		"$(egressctl explain --from default/web --to 10.1.2.2:81)"
	assert_matches "the sum" '^  allowed: TCP 80; UDP 53$' "$(egressctl explain --from default/web --to 10.1.2.2)"
	fails egressctl explain --from default/none --to 10.1.2.2 2>"$SANDBOX/error"
	assert_equal "error" "error: --from default/none: not a pod of this node; -f PATH explains manifests" \
		"$(cat "$SANDBOX/error")"
}

test_drops_and_counters()
{
	local drop

	cluster_up
	agent_up
	assert_equal "drops before" '[]' "$(egressctl drops -o json | json drops)"
	expect_flows web <<<"dropped 10.1.2.2 81/TCP"
	drop=$(egressctl drops -n 1 --pod default/web -o json | json drops.0)
	assert_equal "pod" web "$(json pod <<<"$drop")"
	assert_equal "reason" policy "$(json reason <<<"$drop")"
	assert_equal "why" "default deny" "$(json why <<<"$drop")"
	assert_equal "protocol" TCP "$(json protocol <<<"$drop")"
	assert_equal "source" 10.1.1.2 "$(json source <<<"$drop")"
	assert_equal "destination" 10.1.2.2 "$(json destination <<<"$drop")"
	assert_equal "port" 81 "$(json destination_port <<<"$drop")"
	assert_matches "the table" ' default/web +policy +TCP +10\.1\.1\.2:[0-9]+ +10\.1\.2\.2:81 ' "$(egressctl drops)"
	assert_equal "drops of the other pod" '[]' "$(egressctl drops --pod default/peer -o json | json drops)"
	assert_matches "the counter" '^default/web +drop +policy +[1-9]' "$(egressctl dump counters)"
	assert_matches "the pod's counter" '^default +web .* yes +yes +[0-9]+ +[1-9]' "$(egressctl pods)"
}

test_drops_are_followed()
{
	local follower

	cluster_up
	agent_up
	egressctl drops --follow -o json >"$SANDBOX/followed" &
	follower=$!
	expect_flows web <<<"dropped 10.1.2.2 81/TCP"
	eventually 5 grep -q '"destination_port":81' "$SANDBOX/followed"
	head -n 1 "$SANDBOX/followed" | json pod | grep -qx web
	kill "$follower"
	wait "$follower" || true
}

test_flow_table_is_shown_and_mentioned()
{
	cluster_up
	agent_up
	expect_flows peer <<<"passed 10.1.1.2 80/TCP"
	assert_matches "the flow" '^default/web +TCP +10\.1\.1\.2:80 +10\.1\.2\.2:[0-9]+ ' "$(egressctl dump flows)"
	assert_matches "the note" '^  note: 1 flow table entry lets the pod answer this destination' \
		"$(egressctl explain --from default/web --to 10.1.2.2)"
}

test_state_of_another_generation_is_told()
{
	cluster_up
	agent_up
	agent_kill
	sed -i 's/"generation": *[0-9]*/"generation": 99/' "$STATE/state.json"
	assert_matches "the note" 'note: the tables are of generation [0-9]+, the saved state of 99' \
		"$(egressctl explain --from default/web --to 10.1.2.2:80)"
	assert_matches "status" 'of another generation than the saved state' "$(egressctl status)"
}

# objects_say SED: what the agent saved, changed, with the sum that it then has
objects_say()
{
	sed -i -E "$1" "$STATE/objects.json"
	/usr/bin/python3 - "$STATE/objects.json" <<-'EOF'
		import sys, zlib
		with open(sys.argv[1], "rb+") as file:
		    text, mark, _ = file.read().rpartition(b',"egressd.io/crc32":')
		    file.seek(0)
		    file.truncate()
		    file.write(text + mark + b'"%08x"}\n' % zlib.crc32(text))
	EOF
}

# Which host ports are this node's depends on its name, which no Node object tells here.
test_host_ports_of_other_nodes_are_not_here()
{
	cluster_up
	manifest far.yaml <<-EOF
		apiVersion: v1
		kind: Pod
		metadata: {name: far, labels: {app: far}}
		spec:
		  nodeName: elsewhere
		  containers: [{name: c, image: i, ports: [{containerPort: 80, hostPort: 8080}]}]
		status: {podIPs: [{ip: 10.1.7.2}]}
	EOF
	agent_up --node here --node-addresses 10.1.1.1
	egressctl explain --from default/web --to 10.1.1.1:8080 >"$SANDBOX/output"
	assert_matches "headline" 'TCP 8080: allow$' "$(cat "$SANDBOX/output")"
	assert_no_match "words" 'far' "$(cat "$SANDBOX/output")"
}

test_contradiction_is_loud()
{
	local status=0

	cluster_up
	agent_up
	agent_kill
	# The saved objects say 81 where the tables say 80.
	objects_say 's/"port": *80\b/"port": 81/g'
	egressctl explain --from default/web --to 10.1.2.2:80 >"$SANDBOX/output" 2>"$SANDBOX/error" || status=$?
	assert_equal "exit status" 3 "$status"
	assert_matches "headline" '^default/web → 10.1.2.2 TCP 80: allow$' "$(cat "$SANDBOX/output")"
	assert_matches "contradiction" 'CONTRADICTION: the tables allow it, the objects deny it' "$(cat "$SANDBOX/output")"
	assert_equal "error" "error: the tables in the kernel and the saved objects give different verdicts" \
		"$(cat "$SANDBOX/error")"
}

test_damaged_objects_cost_words_not_the_verdict()
{
	cluster_up
	agent_up
	agent_kill
	echo '{' >"$STATE/objects.json"
	assert_matches "the note" 'note: no explanation: .*objects.json is damaged' \
		"$(egressctl explain --from default/web --to 10.1.2.2:80)"
	assert_equal "verdict" deny "$(explain_verdict default/web 10.1.2.2:81)"
}

test_nothing_pinned()
{
	local status=0

	mkdir "$SANDBOX/state"
	egressctl status >"$SANDBOX/output" 2>"$SANDBOX/error" || status=$?
	assert_equal "exit status" 2 "$status"
	assert_equal "lines" 1 "$(wc -l <"$SANDBOX/error")"
	assert_equal "error" "error: nothing is pinned below $PIN: no agent has run with this --pin" \
		"$(egressctl dump maps 2>&1 >/dev/null || true)"
}

run_tests "$@"
