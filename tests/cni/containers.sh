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
	# shellcheck source=tests/lib/network.sh
	. "$TESTS/lib/network.sh"
	# shellcheck source=tests/lib/agent.sh
	. "$TESTS/lib/agent.sh"
	# shellcheck source=tests/cni/plugin.sh
	. "$TESTS/cni/plugin.sh"
fi

ROUNDS=${ROUNDS:-1}
PLUGINS=${CNI_PLUGINS:-/usr/lib/cni}
RUNTIME=$TESTS/cni/runtime.py
DENIED=9999
ALLOWED=8888

# conflist [PLUGIN...]: JSON of the plugins before ours
conflist()
{
	local plugin plugins=

	for plugin; do
		plugins+="$plugin, "
	done
	cat <<-EOF
		{"cniVersion": "1.0.0", "name": "pods", "plugins": [$plugins
		 {"type": "egress-cni", "stateDir": "$STATE", "pinDir": "$PIN"}]}
	EOF
}

host_local()
{
	echo "\"ipam\": {\"type\": \"host-local\", \"dataDir\": \"$SANDBOX/ipam\",
		\"ranges\": [[{\"subnet\": \"10.9.0.0/16\"}]], \"routes\": [{\"dst\": \"0.0.0.0/0\"}]}"
}

bridge()
{
	echo "{\"type\": \"bridge\", \"bridge\": \"cni0\", \"isGateway\": true, \"hairpinMode\": true, $(host_local)}"
}

ptp()
{
	echo "{\"type\": \"ptp\", $(host_local)}"
}

portmap()
{
	echo '{"type": "portmap", "capabilities": {"portMappings": true}, "snat": false}'
}

pods_that_may_send()
{
	local number

	{
		for ((number = 0; number < $1; number++)); do
			cat <<-EOF
				---
				apiVersion: v1
				kind: Pod
				metadata:
				  name: pod-$number
				  labels: {app: web}
			EOF
		done
	} | manifest pods.yaml
	manifest policy.yaml <<-EOF
		apiVersion: networking.k8s.io/v1
		kind: NetworkPolicy
		metadata: {name: web}
		spec:
		  podSelector: {matchLabels: {app: web}}
		  policyTypes: [Egress]
		  egress: [{to: [{ipBlock: {cidr: 192.0.2.10/32}}], ports: [{port: $ALLOWED, protocol: UDP}]}]
	EOF
}

# containers_setup PLUGIN...: a node, the outside host that listens, and a root file system with one program
containers_setup()
{
	[ -x "$PLUGINS/bridge" ] || fail "the standard CNI plugins are not in $PLUGINS"
	command -v runc >/dev/null || fail "runc is not installed"
	network_setup
	network_ready
	on outside ip route replace default via 192.0.2.1
	mkdir "$SANDBOX/run" "$SANDBOX/rootfs" "$SANDBOX/rootfs/proc"
	gcc -O2 -static -o "$SANDBOX/rootfs/first_packet" "$TESTS/cni/first_packet.c"
	# runc and iptables keep locks and state in /run, which is not ours alone.
	mount -t tmpfs none /run
	conflist "$@" >"$SANDBOX/run/pods.conflist"
	cat >"$SANDBOX/run/settings.json" <<-EOF
		{"conflist": "$SANDBOX/run/pods.conflist", "plugins": ["$PLUGINS", "$(dirname "$EGRESS_CNI")"],
		 "rootfs": "$SANDBOX/rootfs", "timeout": 60,
		 "program": ["/first_packet", "{pod}", "192.0.2.10:$DENIED", "192.0.2.10:$ALLOWED"],
		 "runtimeConfig": {"portmap": {"portMappings": [{"hostPort": 18080, "containerPort": 80, "protocol": "tcp"}]}}}
	EOF
	exec {captured}< <(exec nsenter --net="$(netns_path outside)" -- "$RUNTIME" capture "$SANDBOX/seen" </dev/null)
	read -r -t 20 <&"$captured"
}

# start_pods FIRST COUNT: their reports in $SANDBOX/reports
start_pods()
{
	"$RUNTIME" start "$SANDBOX/run" "$1" "$2" >>"$SANDBOX/reports" 2>>"$CNI_LOG"
}

# seen PORT: pods of which at least one datagram to it came out
seen()
{
	sed -n "s/^$1 //p" "$SANDBOX/seen" | sort -u
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

nothing_denied_was_seen()
{
	sleep 0.2
	assert_equal "pods whose denied packet came out" '' "$(seen $DENIED)"
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
	eventually 5 test "$(seen $DENIED | wc -l)" = 2
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
	assert_equal "pods whose allowed packet came out" $count "$(seen $ALLOWED | wc -l)"
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
	assert_equal "pods whose packet came out" '' "$(seen $ALLOWED)"
}

test_no_agent_was_ever_there()
{
	containers_setup "$(ptp)"
	start_pods 0 5
	all_started 5
	nothing_denied_was_seen
}

# Killed, started, stopped, started, for as long as containers start.
restart_the_agent()
{
	while [ ! -e "$SANDBOX/enough" ]; do
		agent_start --lock wait
		sleep "0.$((RANDOM % 9))$((RANDOM % 9 + 1))"
		sleep $((RANDOM % 2))
		if [ $((RANDOM % 2)) -eq 0 ]; then
			kill -KILL "$AGENT" || cat "$AGENT_LOG"
		else
			kill -TERM "$AGENT" || cat "$AGENT_LOG"
		fi
		wait "$AGENT" 2>/dev/null || true
		echo again >>"$SANDBOX/restarts"
	done
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
	echo "# $(wc -l <"$SANDBOX/restarts") restarts, $(seen $ALLOWED | wc -l) of $count pods had their policy at once"
	AGENT=
}

run_tests "$@"
