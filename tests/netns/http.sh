#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What the agent says over HTTP.
# shellcheck disable=SC2119 # functions with optional arguments
# shellcheck source=tests/lib/harness.sh
. "$(dirname "$0")/../lib/harness.sh"
if [ -n "${SANDBOX:-}" ]; then
	# shellcheck source=tests/lib/cluster.sh
	. "$TESTS/lib/cluster.sh"
fi

test_metrics()
{
	local metrics name

	cluster_up
	agent_up
	passes web 10.1.2.2 80/TCP
	fails passes web 10.1.2.2 81/TCP
	metrics=$(http_get /metrics)
	assert_matches "status line" '^HTTP/1\.[01] 200' "$metrics"
	assert_matches "content type" '^Content-Type: text/plain; version=0\.0\.4' "$metrics"
	for name in allowed_packets_total allowed_bytes_total dropped_packets_total dropped_bytes_total build_info policies \
		endpoints generation source_errors_total; do
		assert_equal "HELP lines of egressd_$name" 1 "$(grep -c "^# HELP egressd_$name ." <<<"$metrics")"
		assert_equal "TYPE lines of egressd_$name" 1 "$(grep -c "^# TYPE egressd_$name " <<<"$metrics")"
	done
	for name in dropped_packets_total dropped_bytes_total; do
		assert_matches "drops" "^egressd_$name\{namespace=\"default\",pod=\"web\",reason=\"policy\"\} [1-9]" "$metrics"
	done
	assert_matches "allowed" '^egressd_allowed_packets_total\{namespace="default",pod="web"\} [1-9]' "$metrics"
	assert_matches "build" '^egressd_build_info\{.*version="[0-9.]+.*"\} 1' "$metrics"
	assert_equal egressd_policies 1 "$(metric egressd_policies)"
	assert_equal egressd_endpoints 2 "$(metric egressd_endpoints)"
}

# Every line of the answer is a comment or a sample as the text format has them.
test_metrics_are_well_formed()
{
	cluster_up
	agent_up
	fails passes web 10.1.2.2 81/TCP
	http_get /metrics | sed '1,/^$/d' >"$SANDBOX/body"
	[ -s "$SANDBOX/body" ]
	assert_equal "lines that are no metric" "" "$(grep -Ev \
		'^# (HELP|TYPE) [a-z_]+ .+$|^[a-z_]+(\{([a-z_]+="([^"\\]|\\.)*",?)*\})? [0-9.e+-]+$' "$SANDBOX/body")"
	assert_equal "samples that stand twice" "" "$(grep -v '^#' "$SANDBOX/body" | sed 's/ [^ ]*$//' | sort | uniq -d)"
}

test_health()
{
	cluster_up
	agent_up
	assert_equal /healthz 200 "$(http_status /healthz)"
	assert_equal /readyz 200 "$(http_status /readyz)"
	assert_equal "a path that is not there" 404 "$(http_status /nothing)"
}

test_other_methods()
{
	local connection answer

	cluster_up
	agent_up
	exec {connection}<>"/dev/tcp/${LISTEN%:*}/${LISTEN##*:}"
	printf 'POST /metrics HTTP/1.0\r\nContent-Length: 0\r\n\r\n' >&$connection
	answer=$(cat <&$connection)
	assert_matches "status line" '^HTTP/1\.[01] 405' "$answer"
	assert_matches "allowed methods" '^Allow: GET' "$answer"
}

test_log_as_json()
{
	cluster_up
	agent_up --log-format json --log-level debug
	agent_stop
	[ -s "$AGENT_LOG" ]
	/usr/bin/python3 -c '
import json, sys
for line in open(sys.argv[1]):
    assert {"level", "message"} <= set(json.loads(line)), line' "$AGENT_LOG"
}

# An isolated pod may always reach its own node, and so this port, where it can be reached from elsewhere.
connections_from_web()
{
	on web "$TESTS/lib/flood.py" connections 10.1.1.1 "${LISTEN##*:}" "$1" >"$SANDBOX/connections" &
	FLOOD=$!
	eventually 10 grep -q held "$SANDBOX/connections"
}

# Every change takes descriptors: maps, links, sockets, directories.
test_idle_connections_leave_the_agent_its_descriptors()
{
	local open

	LISTEN=0.0.0.0:9300
	cluster_up
	agent_up
	open=("/proc/$AGENT/fd/"*)
	prlimit --pid "$AGENT" --nofile=$((${#open[@]} + 48)):
	connections_from_web 60
	policy_manifest web web <<<'[{to: [{podSelector: {matchLabels: {app: peer}}}], ports: [{port: 81}]}]' |
		manifest policy.yaml
	eventually 5 passes web 10.1.2.2 81/TCP
	add_pod late
	pod_manifest late 3 web | manifest late.yaml
	eventually 5 passes late 10.1.2.2 81/TCP
	expect_flows late <<<"dropped 10.1.2.2 80/TCP"
	for _ in {1..20}; do
		assert_equal "/healthz" 200 "$(http_status /healthz)"
	done
	eventually 5 agent_is_ready
	[ "$(wc -l <"$AGENT_LOG")" -lt 30 ] || fail "$(wc -l <"$AGENT_LOG") lines in the log"
	assert_no_match "log" '^(warning|error): ' "$(cat "$AGENT_LOG")"
	kill "$FLOOD"
}

# Who waits between two requests stays connected meanwhile.
test_who_holds_many_takes_no_place_from_others()
{
	local connection line

	LISTEN=0.0.0.0:9300
	cluster_up
	agent_up
	exec {connection}<>"/dev/tcp/${LISTEN%:*}/${LISTEN##*:}"
	connections_from_web 60
	printf 'GET /healthz HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n' >&$connection
	read -r -t 5 line <&$connection
	assert_matches "status line" '^HTTP/1\.1 200' "$line"
	kill "$FLOOD"
}

test_no_descriptor_for_a_connection()
{
	local status socket limit

	cluster_up
	agent_up
	limit=$(prlimit --pid "$AGENT" --nofile --output SOFT --noheadings)
	prlimit --pid "$AGENT" --nofile=3:
	http_status /healthz >"$SANDBOX/status" &
	status=$!
	/usr/bin/python3 -c '
import socket, sys
connection = socket.socket(socket.AF_UNIX)
connection.connect(sys.argv[1])
connection.sendall(b"{\"version\": 1, \"command\": \"status\"}\n")
print(connection.recv(4096).decode())' "$STATE/cni.sock" >"$SANDBOX/answer" &
	socket=$!
	sleep 2
	assert_equal "warnings" 1 "$(grep -c '^warning: .*accept' "$AGENT_LOG")"
	assert_matches "log" '^warning: connections cannot be accepted: Too many open files' "$(cat "$AGENT_LOG")"
	prlimit --pid "$AGENT" --nofile="$limit":
	wait $status $socket
	assert_equal "/healthz" 200 "$(cat "$SANDBOX/status")"
	assert_matches "answer to egress-cni" '"ready"' "$(cat "$SANDBOX/answer")"
}

run_tests "$@"
