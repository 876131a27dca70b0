#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Pods of containerd, started by its CRI as a kubelet does, on networks of the standard plugins with egress-cni chained
# behind them: what their first packet is, comes out or not. ROUNDS (1) multiplies the starts.
# shellcheck disable=SC2119 # functions with optional arguments
TEST_TIMEOUT=${TEST_TIMEOUT:-$((180 * ${ROUNDS:-1}))}
# shellcheck source=tests/lib/harness.sh
. "$(dirname "$0")/../lib/harness.sh"
if [ -n "${SANDBOX:-}" ]; then
	# shellcheck source=tests/lib/first_packet.sh
	. "$TESTS/lib/first_packet.sh"
	# shellcheck source=tests/lib/containerd.sh
	. "$TESTS/lib/containerd.sh"
fi

ROUNDS=${ROUNDS:-1}
IMAGE=egressd.test/first-packet:1

# pods_setup PLUGIN...: all but the agent
pods_setup()
{
	command -v containerd >/dev/null || fail "containerd is not installed"
	outside_watches "$SANDBOX/rootfs"
	mkdir "$SANDBOX/net.d" "$SANDBOX/plugins"
	ln -s "$PLUGINS"/* "$EGRESS_CNI" "$SANDBOX/plugins"
	conflist "$@" >"$SANDBOX/net.d/10-pods.conflist"
	containerd_start "$SANDBOX/net.d" "$SANDBOX/plugins"
	scratch_image "$IMAGE" "$SANDBOX/rootfs" /first_packet
	eventually 30 cri ready
}

# start_pods FIRST COUNT: their reports in $SANDBOX/reports
start_pods()
{
	cri start "$IMAGE" "$1" "$2" /first_packet '{pod}' "192.0.2.10:$DENIED" "192.0.2.10:$ALLOWED" >>"$SANDBOX/reports"
}

# all_ran COUNT
all_ran()
{
	assert_equal "pods that ran" "$1" "$(grep -c '"error": null, "status": 0' "$SANDBOX/reports")"
}

test_the_agent_is_up()
{
	local count=$((10 * ROUNDS))

	pods_setup "$(bridge)" "$(portmap)"
	pods_that_may_send $count
	agent_up
	start_pods 0 $count
	all_ran $count
	nothing_denied_was_seen
	assert_equal "pods whose allowed packet came out" $count "$(seen "$ALLOWED" | wc -l)"
	assert_equal "attachments that are left" 0 "$(find "$STATE/attachments" -name '*.json' | wc -l)"
}

test_the_agent_is_down()
{
	local count=$((10 * ROUNDS))

	pods_setup "$(ptp)"
	pods_that_may_send $count
	agent_up
	agent_stop
	start_pods 0 $count
	all_ran $count
	nothing_denied_was_seen
	assert_equal "pods whose packet came out" '' "$(seen "$ALLOWED")"
}

test_the_agent_restarts_all_the_time()
{
	local count=$((12 * ROUNDS)) job

	pods_setup "$(bridge)"
	pods_that_may_send $count
	# During the very first start on a node ADD says "try again later", which a kubelet does.
	agent_up
	agent_stop
	restart_the_agent &
	job=$!
	start_pods 0 $count
	touch "$SANDBOX/enough"
	wait $job
	all_ran $count
	nothing_denied_was_seen
	echo "# $(wc -l <"$SANDBOX/restarts") restarts, $(seen "$ALLOWED" | wc -l) of $count pods had their policy at once"
	AGENT=
}

# without_our_plugin: as the cluster was before egress-cni
without_our_plugin()
{
	/usr/bin/python3 -c '
import json, sys
network = json.load(sys.stdin)
network["plugins"].pop()
json.dump(network, sys.stdout)'
}

is_attached()
{
	attached "$1" && [ "$(egressctl -o json pods | json 0.ifindex)" != 0 ]
}

# A pod that was there before egressd and egress-cni: by the control group that the runtime made for it.
test_a_pod_that_is_there_already_is_found()
{
	local sandbox address

	pods_setup "$(ptp)"
	without_our_plugin <"$SANDBOX/net.d/10-pods.conflist" >"$SANDBOX/without"
	mv "$SANDBOX/without" "$SANDBOX/net.d/10-pods.conflist"
	sleep 3
	read -r sandbox address <<<"$(cri run 0)"
	pods_that_may_send 1
	sed -i "s/^spec: {nodeName: node-a}/&\nstatus: {phase: Running, podIPs: [{ip: $address}]}/" "$MANIFESTS/pods.yaml"
	agent_up --node node-a
	eventually 20 is_attached pod-0
	assert_matches "where it was found" "$(ip -oneline route show "$address" | sed 's/.* dev \([^ ]*\) .*/\1/')" \
		"$(egressctl pods)"
	# ptp's host route says so too.
	sleep 7
	assert_equal "mismatches" 0 "$(metric egressd_endpoints_mismatched)"
	cri remove "$sandbox" 0
}

after_failure()
{
	echo "--- pods that failed:"
	grep -v ".error.: null, .status.: 0" "$SANDBOX/reports"
	echo "--- containerd's log:"
	tail -n 20 "$SANDBOX/containerd.log"
	echo "--- the agent's log:"
	tail -n 20 "$AGENT_LOG"
}

run_tests "$@"
