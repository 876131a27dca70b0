#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Pods of this node that nobody says the interface of: it is where their processes' network namespace leads. Control
# groups are made as a kubelet makes them, in hierarchies that are found in /proc/mounts.
# shellcheck disable=SC2119 # functions with optional arguments
# shellcheck source=tests/lib/harness.sh
. "$(dirname "$0")/../lib/harness.sh"
if [ -n "${SANDBOX:-}" ]; then
	# shellcheck source=tests/lib/cluster.sh
	. "$TESTS/lib/cluster.sh"
	after_failure()
	{
		echo "--- the agent's log:"
		tail -n 40 "$AGENT_LOG"
		remove_groups
	}
fi

UID_WEB=$(cat /proc/sys/kernel/random/uuid)
UID_PEER=$(cat /proc/sys/kernel/random/uuid)
GROUPS_MADE=()

# hierarchy TYPE [OPTION]: where one of this kind is mounted
hierarchy()
{
	awk -v type="$1" -v option="${2:-}" \
		'$3 == type && (option == "" || ("," $4 ",") ~ ("," option ",")) { print $2; exit }' /proc/mounts
}

# join_group HIERARCHY PATH PID: all of the path is made, and removed when the test ends
join_group()
{
	local group=$1 part

	while read -r part; do
		group+=/$part
		if mkdir "$group" 2>/dev/null; then
			GROUPS_MADE=("$group" "${GROUPS_MADE[@]}")
		fi
	done < <(tr / '\n' <<<"$2")
	echo "$3" >"$group/cgroup.procs"
}

remove_groups()
{
	local group pid

	for group in "${GROUPS_MADE[@]}"; do
		while read -r pid; do
			kill -KILL "$pid" 2>/dev/null || true
		done <"$group/cgroup.procs"
		# A process leaves its group a moment after it was killed. The groups above may be another test's too.
		for _ in 1 2 3 4 5 6 7 8 9 10; do
			rmdir "$group" 2>/dev/null && break
			[ -n "$(ls -d "$group"/*/ 2>/dev/null)" ] && break
			sleep 0.1
		done
	done
	GROUPS_MADE=()
}

# pods: web and peer, both running on node-a, known by their UIDs
pods()
{
	local name number=0 uid

	for name in web peer; do
		number=$((number + 1))
		uid=$UID_WEB
		[ $name = web ] || uid=$UID_PEER
		cat <<-END
			---
			apiVersion: v1
			kind: Pod
			metadata: {name: $name, uid: $uid, labels: {app: $name}}
			spec: {nodeName: node-a}
			status: {phase: Running, podIPs: [{ip: 10.1.$number.2}, {ip: "fd00:1:$number::2"}]}
		END
	done | manifest pods.yaml
}

setup()
{
	cluster_up
	pods
}

web_is_enforced()
{
	expect_flows web <<-END
		passed 10.1.2.2 80/TCP
		dropped 10.1.2.2 81/TCP
		passed fd00:1:2::2 80/TCP
		dropped fd00:1:2::2 81/TCP
	END
}

test_groups_of_the_cgroupfs_driver()
{
	local unified memory

	setup
	unified=$(hierarchy cgroup2)
	memory=$(hierarchy cgroup memory)
	[ -n "$unified$memory" ] || skip "no hierarchy of control groups is mounted"
	join_group "${unified:-$memory}" "kubepods/burstable/pod$UID_WEB/0123abcd" "${HOLDER[web]}"
	join_group "${memory:-$unified}" "kubepods/besteffort/pod$UID_PEER/0123abcd" "${HOLDER[peer]}"
	agent_up --node node-a
	web_is_enforced
	assert_equal "interface" web0 "$(egressctl -o json pods | json 1.interface)"
	remove_groups
}

test_groups_of_the_systemd_driver()
{
	local unified memory

	setup
	unified=$(hierarchy cgroup2)
	memory=$(hierarchy cgroup memory)
	[ -n "$unified$memory" ] || skip "no hierarchy of control groups is mounted"
	join_group "${memory:-$unified}" \
		"kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${UID_WEB//-/_}.slice/cri-containerd-01.scope" \
		"${HOLDER[web]}"
	join_group "${unified:-$memory}" "kubepods.slice/kubepods-pod${UID_PEER//-/_}.slice/crio-02.scope" "${HOLDER[peer]}"
	agent_up --node node-a
	web_is_enforced
	remove_groups
}

test_a_pod_that_cannot_be_found_is_told_with_what_was_tried()
{
	setup
	agent_start --node node-a
	eventually 30 grep -q 'default/web: its interface cannot be found' "$AGENT_LOG"
	assert_matches "log" "none of the processes here is in a control group of a pod with the UID $UID_WEB" \
		"$(cat "$AGENT_LOG")"
	assert_matches "readiness" 'default/web: its interface cannot be found: egress-cni told nothing' "$(http_get /readyz)"
	# The state is left a moment after the log line.
	eventually 10 status_says 'its interface cannot be found'
	assert_equal "metric" 2 "$(metric egressd_endpoints_without_interface)"
	join_group "$(hierarchy cgroup2)" "kubepods/pod$UID_WEB/01" "${HOLDER[web]}"
	join_group "$(hierarchy cgroup2)" "kubepods/pod$UID_PEER/01" "${HOLDER[peer]}"
	eventually 30 agent_is_ready
	web_is_enforced
	assert_equal "metric" 0 "$(metric egressd_endpoints_without_interface)"
	remove_groups
}

test_a_process_in_the_network_of_the_node_is_no_way_to_the_pod()
{
	local beside

	setup
	sleep infinity >/dev/null 2>&1 &
	beside=$!
	join_group "$(hierarchy cgroup2)" "kubepods/pod$UID_WEB/shim" "$beside"
	agent_start --node node-a
	eventually 30 grep -q 'default/web: its interface cannot be found.*(1 of them in the node.s network)' "$AGENT_LOG"
	join_group "$(hierarchy cgroup2)" "kubepods/pod$UID_WEB/01" "${HOLDER[web]}"
	join_group "$(hierarchy cgroup2)" "kubepods/pod$UID_PEER/01" "${HOLDER[peer]}"
	eventually 30 agent_is_ready
	web_is_enforced
	remove_groups
}

test_a_pod_that_was_not_started_holds_nobody_up()
{
	setup
	sed -i 's/phase: Running, podIPs:.*/phase: Pending}/' "$MANIFESTS/pods.yaml"
	agent_up --node node-a
	assert_matches "state" 'nothing of it has been started yet' "$(egressctl -o json pods)"
	join_group "$(hierarchy cgroup2)" "kubepods/pod$UID_WEB/01" "${HOLDER[web]}"
	eventually 30 grep -q 'default/web: attached to web0' "$AGENT_LOG"
	remove_groups
}

test_pods_of_other_nodes_are_not_looked_for()
{
	setup
	agent_up --node node-b
	assert_equal "endpoints" 0 "$(metric egressd_endpoints)"
	passes web 10.1.2.2 81/TCP
}

run_tests "$@"
