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

run_tests "$@"
