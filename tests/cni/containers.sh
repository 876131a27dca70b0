#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Real containers (runc) on real networks (the standard plugins bridge, ptp, portmap and host-local) with egress-cni
# chained behind them. The first thing that a container does is to send to a destination that is denied; what comes out
# on the far side is captured there. ROUNDS (1) multiplies the starts.
# shellcheck disable=SC2119 # functions with optional arguments
TEST_TIMEOUT=${TEST_TIMEOUT:-$((240 * ${ROUNDS:-1}))}
# shellcheck source=tests/lib/harness.sh
. "$(dirname "$0")/../lib/harness.sh"
if [ -n "${SANDBOX:-}" ]; then
	# shellcheck source=tests/lib/first_packet.sh
	. "$TESTS/lib/first_packet.sh"
fi

ROUNDS=${ROUNDS:-1}

# containers_setup PLUGIN...: a node, the outside host that listens, and a root file system with one program
containers_setup()
{
	outside_watches "$SANDBOX/rootfs"
	mkdir "$SANDBOX/run" "$SANDBOX/rootfs/proc"
	conflist "$@" >"$SANDBOX/run/pods.conflist"
	cat >"$SANDBOX/run/settings.json" <<-EOF
		{"conflist": "$SANDBOX/run/pods.conflist", "plugins": ["$PLUGINS", "$(dirname "$EGRESS_CNI")"],
		 "rootfs": "$SANDBOX/rootfs", "timeout": 60,
		 "program": ["/first_packet", "{pod}", "192.0.2.10:$DENIED", "192.0.2.10:$ALLOWED"],
		 "runtimeConfig": {"portmap": {"portMappings": [{"hostPort": 18080, "containerPort": 80, "protocol": "tcp"}]}}}
	EOF
}

# start_pods FIRST COUNT: their reports in $SANDBOX/reports
start_pods()
{
	"$RUNTIME" start "$SANDBOX/run" "$1" "$2" >>"$SANDBOX/reports" 2>>"$CNI_LOG"
}

# reports EXPRESSION: how many containers it is true of
reports()
{
	/usr/bin/python3 -c '
import json, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
print(sum(1 for r in rows if eval(sys.argv[2])))' "$SANDBOX/reports" "$1"
}

all_started()
{
	assert_equal "containers that ran" "$1" "$(reports 'r["status"] == 0')"
	assert_equal "errors of ADD" 0 "$(reports 'r["error"]')"
	assert_equal "errors of DEL" 0 "$(reports 'r["delete_errors"]')"
	# The whole time, of a machine that has other things to do too; the first of all may have to load the programs.
	[ "$(reports 'r["add_seconds"] > 2')" -le $(($1 / 10 + 1)) ] ||
		fail "too many ADDs took longer than 2 s: $(reports 'r["add_seconds"] > 2') of $1"
}

denied_arrived()
{
	[ "$(seen "$DENIED" | wc -l)" = "$1" ]
}

# The capture sees what comes out: without our plugin, everything does.
test_without_the_plugin_the_packet_is_out()
{
	containers_setup "$(bridge)"
	/usr/bin/python3 -c '
import json, sys
path = sys.argv[1]
network = json.load(open(path))
network["plugins"].pop()
json.dump(network, open(path, "w"))' "$SANDBOX/run/pods.conflist"
	start_pods 0 2
	eventually 5 denied_arrived 2
}

# with_agent_up PLUGIN...
with_agent_up()
{
	local count=$((25 * ROUNDS))

	containers_setup "$@"
	pods_that_may_send $count
	agent_up
	start_pods 0 $count
	all_started $count
	nothing_denied_was_seen
	assert_equal "pods whose allowed packet came out" $count "$(seen "$ALLOWED" | wc -l)"
	agent_stop
}

test_bridge_with_the_agent_up()
{
	with_agent_up "$(bridge)"
}

test_ptp_with_the_agent_up()
{
	with_agent_up "$(ptp)"
}

test_portmap_behind_bridge_with_the_agent_up()
{
	with_agent_up "$(bridge)" "$(portmap)"
}

test_the_agent_is_down()
{
	local count=$((60 * ROUNDS))

	containers_setup "$(bridge)" "$(portmap)"
	pods_that_may_send $count
	agent_up
	agent_stop
	start_pods 0 $count
	all_started $count
	nothing_denied_was_seen
	assert_equal "pods whose packet came out" '' "$(seen "$ALLOWED")"
}

test_no_agent_was_ever_there()
{
	containers_setup "$(ptp)"
	start_pods 0 5
	all_started 5
	nothing_denied_was_seen
}

test_the_agent_restarts_all_the_time()
{
	local count=$((65 * ROUNDS)) job

	containers_setup "$(bridge)"
	pods_that_may_send $count
	restart_the_agent &
	job=$!
	start_pods 0 $count
	touch "$SANDBOX/enough"
	wait $job
	# An agent that dies while it is asked may cost an ADD its time, never its filter.
	assert_equal "containers that ran" $count "$(reports 'r["status"] == 0')"
	assert_equal "errors of DEL" 0 "$(reports 'r["delete_errors"]')"
	nothing_denied_was_seen
	echo "# $(wc -l <"$SANDBOX/restarts") restarts, $(seen "$ALLOWED" | wc -l) of $count pods had their policy at once"
	AGENT=
}

run_tests "$@"
