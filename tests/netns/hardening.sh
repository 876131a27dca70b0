#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The agent itself: what it may still do once it runs, who can read what it leaves, and the options of its strictness.
# shellcheck disable=SC2119 # functions with optional arguments
# shellcheck source=tests/lib/harness.sh
. "$(dirname "$0")/../lib/harness.sh"
if [ -n "${SANDBOX:-}" ]; then
	# shellcheck source=tests/lib/cluster.sh
	. "$TESTS/lib/cluster.sh"
fi

# agent_status FIELD: of /proc/PID/status
agent_status()
{
	sed -n "s/^$1:[[:space:]]*//p" "/proc/$AGENT/status"
}

# NET_ADMIN 12, BPF 39, PERFMON 38, SYS_ADMIN 21, SYS_PTRACE 19, DAC_READ_SEARCH 2, LEASE 28
KEPT=$(printf '%016x' $((1 << 12 | 1 << 39 | 1 << 38 | 1 << 21 | 1 << 19 | 1 << 2 | 1 << 28)))

test_agent_runs_without_what_it_does_not_need()
{
	cluster_up
	agent_up
	assert_equal "no_new_privs" 1 "$(agent_status NoNewPrivs)"
	assert_equal "seccomp (2: a filter)" 2 "$(agent_status Seccomp)"
	assert_equal "effective capabilities" "$KEPT" "$(agent_status CapEff)"
	assert_equal "permitted capabilities" "$KEPT" "$(agent_status CapPrm)"
	assert_equal "bounding set" "$KEPT" "$(agent_status CapBnd)"
	assert_equal "inheritable capabilities" 0000000000000000 "$(agent_status CapInh)"
	assert_equal "ambient capabilities" 0000000000000000 "$(agent_status CapAmb)"
}

# granted_mask [WITHOUT]: of the capabilities that the DaemonSet's container gets, as /proc writes it
granted_mask()
{
	local name number mask=0

	while read -r name; do
		[ "$name" != "${1:-}" ] || continue
		number=$(sed -n "s/^#define CAP_${name}[[:space:]]*\([0-9]*\)$/\1/p" /usr/include/linux/capability.h)
		mask=$((mask | 1 << number))
	done < <("$TESTS/deploy/manifests.py" capabilities "$TESTS/../deploy/kustomize/base/daemonset.yaml")
	printf '%016x' $mask
}

# With what the DaemonSet grants it works, and of that it keeps all, but for what the start alone needs.
test_daemonset_grants_what_the_agent_keeps()
{
	local granted

	cluster_up
	granted=$("$TESTS/deploy/manifests.py" capabilities "$TESTS/../deploy/kustomize/base/daemonset.yaml" |
		sed 's/^/,+/' | tr -d '\n' | tr '[:upper:]' '[:lower:]')
	setpriv --inh-caps=-all --bounding-set="-all$granted" "$EGRESSD" run --from "dir:$MANIFESTS" --pin "$PIN" \
		--state "$STATE" --listen "$LISTEN" </dev/null >>"$AGENT_LOG" 2>&1 &
	AGENT=$!
	eventually 20 agent_is_ready
	assert_equal "kept (locked memory is raised once)" "$(granted_mask SYS_RESOURCE)" "$(agent_status CapEff)"
	passes web 10.1.2.2 80/TCP
	fails passes web 10.1.2.2 81/TCP
	# Of all that it would keep, it is not granted only what reads manifests of others.
	assert_equal "kept by root" "$KEPT" "$(printf '%016x' $((0x$(granted_mask SYS_RESOURCE) | 1 << 2 | 1 << 28)))"
}

# All that it does after the start: tables that grow, a pod that is found by its namespace, a bpffs that is gone.
works_confined()
{
	local i

	cluster_up
	agent_up "$@"
	add_pod late
	for i in $(seq 400); do
		policy_manifest "many-$i" "nobody-$i" <<<"[{to: [{ipBlock: {cidr: 10.$((i / 200)).$((i % 200)).0/26}}], ports: [{port: $i}]}]"
	done >"$SANDBOX/many"
	after_change mv "$SANDBOX/many" "$MANIFESTS/many.yaml"
	{
		pod_manifest web 1 web
		pod_manifest peer 2 peer
		pod_manifest late 3 web "egressd.io/netns: $(netns_path late)"
	} >"$SANDBOX/pods"
	after_change mv "$SANDBOX/pods" "$MANIFESTS/pods.yaml"
	eventually 10 passes late 10.1.2.2 80/TCP
	fails passes late 192.0.2.10 443/TCP
	unmount_bpffs
	eventually 10 test -e "$PIN/v$CONTRACT/endpoints"
	passes web 10.1.2.2 80/TCP
}

test_confined_agent_does_all_its_work_with_tcx()
{
	works_confined --attach tcx
}

test_confined_agent_does_all_its_work_with_clsact()
{
	works_confined --attach clsact
}

policy_is_open_for_writing()
{
	egressctl status | grep -q 'policy\.yaml.*open for writing'
}

# Half a list of policies is a list of policies.
test_manifest_of_another_user_is_not_read_while_it_is_written()
{
	cluster_up
	chown 1000:1000 "$MANIFESTS/policy.yaml"
	agent_up
	enforced_ipv4
	exec {writer}>"$MANIFESTS/policy.yaml"
	echo "{apiVersion: v1, kind: Namespace, metadata: {name: half}}" >&"$writer"
	kill -HUP "$AGENT"
	eventually 10 policy_is_open_for_writing
	enforced_ipv4
	exec {writer}>&-
	# That was all of it, so nothing isolates the pod.
	eventually 10 passes web 10.1.2.2 81/TCP
}

test_what_the_agent_leaves_is_roots_alone()
{
	umask 0
	cluster_up
	agent_up
	assert_equal "pins that others may touch" "" "$(find "$PIN" -perm /077)"
	assert_equal "state that others may touch" "" "$(find "$STATE" -perm /077)"
	assert_equal "owner of pins and state" 0:0 "$(find "$PIN" "$STATE" -printf '%U:%G\n' | sort -u)"
	# Another user with none of root's capabilities sees nothing.
	fails setpriv --reuid=65534 --regid=65534 --clear-groups --bounding-set=-all ls "$PIN"
	fails setpriv --reuid=65534 --regid=65534 --clear-groups --bounding-set=-all ls "$STATE"
}

# Packets from addresses that are not the pod's: web is isolated, peer is not.
forge()
{
	on "$1" ip address add "10.1.$2.77/32" dev eth0
	on "$1" ip address add "fd00:1:$2::77/128" dev eth0 nodad
}

# Whether the outside host hears from them.
heard()
{
	local heard=0

	for pair in "192.0.2.10 10.1.$2.77" "2001:db8:2::10 fd00:1:$2::77"; do
		# shellcheck disable=SC2086 # two words
		set -- "$1" "$2" $pair
		! passes "$1" "$3" 443/TCP "$4" || heard=$((heard + 1))
	done
	echo $heard
}

forge_both()
{
	cluster_up
	policy_manifest web web <<<'[{}]' | manifest policy.yaml
	forge web 1
	forge peer 2
	ip route add 10.1.1.77/32 dev web0
	ip route add 10.1.2.77/32 dev peer0
}

test_anti_spoof_isolated()
{
	forge_both
	agent_up --anti-spoof isolated
	assert_equal "forged packets of an isolated pod that got through" 0 "$(heard web 1)"
	assert_equal "forged packets of a pod that nobody isolates" 2 "$(heard peer 2)"
	assert_equal "drops of peer" 0 "$(dropped_packets spoofed_source peer)"
}

test_anti_spoof_all()
{
	forge_both
	agent_up --anti-spoof all
	assert_equal "forged packets of an isolated pod that got through" 0 "$(heard web 1)"
	assert_equal "forged packets of a pod that nobody isolates" 0 "$(heard peer 2)"
	[ "$(dropped_packets spoofed_source peer)" -ge 2 ]
	passes peer 192.0.2.10 443/TCP
}

test_anti_spoof_off()
{
	forge_both
	agent_up --anti-spoof off
	assert_equal "forged packets of an isolated pod that got through" 2 "$(heard web 1)"
}

test_router_annotation_exempts()
{
	forge_both
	{
		pod_manifest web 1 web '{egressd.io/interface: web0, egressd.io/router: "true"}'
		pod_manifest peer 2 peer
	} | sed 's/annotations: {{\(.*\)}}/annotations: {\1}/' | manifest pods.yaml
	agent_up --anti-spoof all
	assert_equal "forged packets of a router" 2 "$(heard web 1)"
	assert_equal "forged packets of peer" 0 "$(heard peer 2)"
}

test_flow_timeouts_are_configured_and_shown()
{
	local flows

	cluster_up
	deny_everything
	agent_up --flow-timeouts tcp-established=77,udp-new=33
	on outside "$TRAFFIC" stream 10.1.1.2 80 "$SANDBOX/stream" &
	passes outside 10.1.1.2 53/UDP
	eventually 5 test -s "$SANDBOX/stream"
	flows=$(egressctl dump flows)
	assert_matches "time-out of the TCP connection" 'TCP +10.1.1.2:80 .* established .* 77 s' "$flows"
	assert_matches "time-out of the UDP exchange" 'UDP +10.1.1.2:53 .* answered .* 33 s' "$flows"
}

test_idle_flow_ends_in_time()
{
	cluster_up
	deny_everything
	agent_up --flow-timeouts udp-new=1
	on outside "$TRAFFIC" send 10.1.1.2 53 1
	eventually 8 no_flows
}

no_flows()
{
	[ "$(egressctl -o json dump flows | json "")" = "[]" ]
}

# bad_option OPTION VALUE: one error that names it, and the usage
bad_option()
{
	local output status=0

	output=$("$EGRESSD" run --from "dir:$MANIFESTS" "$1" "$2" 2>&1) || status=$?
	assert_equal "exit status with $1 $2" 2 $status
	assert_matches "the error" "'$2' is no value for $1" "$output"
}

test_bad_values_are_refused()
{
	bad_option --anti-spoof some
	bad_option --flow-timeouts udp
	bad_option --flow-timeouts udp=
	bad_option --flow-timeouts udp=0
	bad_option --flow-timeouts udp=-1
	bad_option --flow-timeouts udp=3x
	bad_option --flow-timeouts tcp=5
	bad_option --flow-timeouts udp=5,
	bad_option --flow-timeouts udp=99999999
}

run_tests "$@"
