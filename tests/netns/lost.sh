#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# More happens than the kernel keeps notices of, or in ways that few notices tell of: nothing is missed, and it is told.
# shellcheck disable=SC2119 # functions with optional arguments
# shellcheck source=tests/lib/harness.sh
. "$(dirname "$0")/../lib/harness.sh"
if [ -n "${SANDBOX:-}" ]; then
	# shellcheck source=tests/lib/cluster.sh
	. "$TESTS/lib/cluster.sh"
fi

allow_peer_81()
{
	policy_manifest web web <<<'[{to: [{podSelector: {matchLabels: {app: peer}}}], ports: [{port: 81}]}]'
}

# More notices than inotify queues, of files that are of no interest: beside the directory of manifests, which is watched
# for that to be replaced. Each is good for at least two.
flood_of_files()
{
	/usr/bin/python3 -c '
import os, sys
with open("/proc/sys/fs/inotify/max_queued_events", encoding="ascii") as file:
    count = int(file.read())
for number in range(count * 6 // 10):
    path = os.path.join(sys.argv[1], "flood%d" % (number % 2))
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
    os.unlink(path)' "${MANIFESTS%/*}"
}

test_notices_of_files_are_lost()
{
	cluster_up
	agent_up
	enforced_ipv4
	kill -STOP "$AGENT"
	flood_of_files
	allow_peer_81 | manifest policy.yaml
	kill -CONT "$AGENT"
	# Looking at everything once a minute would find it too, but later.
	eventually 15 passes web 10.1.2.2 81/TCP
	fails passes web 10.1.2.2 80/TCP
	# And what comes afterwards is noticed as ever.
	after_change allow_peer_80
	enforced_ipv4
}

# More notices than fit the agent's buffer.
flood_of_addresses()
{
	/usr/bin/python3 -c '
for number in range(15000):
    address = "198.18.%d.%d/32 dev lo" % (number // 250, number % 250 + 1)
    print("address add", address)
    print("address delete", address)' | ip -batch -
}

# As many that tell of no address.
flood_of_links()
{
	/usr/bin/python3 -c '
for number in range(20000):
    print("link set dev flood0 mtu %d" % (1400 + number % 2))' | ip -batch -
}

replace_web_interface()
{
	ip link delete web0
	ip link add web0 type veth peer name eth0 netns "${HOLDER[web]}"
	ip address add 10.1.1.1/24 dev web0
	ip link set web0 up
	on web ip address add 10.1.1.2/24 dev eth0
	on web ip link set eth0 up
	on web ip route add default via 10.1.1.1
}

test_notices_of_interfaces_are_lost()
{
	cluster_up
	agent_up
	enforced_ipv4
	kill -STOP "$AGENT"
	flood_of_addresses
	replace_web_interface
	kill -CONT "$AGENT"
	eventually 10 grep -q 'notices of interfaces were lost' "$AGENT_LOG"
	eventually 10 passes web 10.1.2.2 80/TCP
	eventually 10 agent_is_ready
	enforced_ipv4
	eventually 5 one_endpoint_of_each
}

# Nothing else ever looks at the node's addresses, to which its pods may always send.
test_notice_of_an_address_is_lost()
{
	cluster_up
	ip link add flood0 type veth peer name flood1
	agent_up
	enforced_ipv4
	kill -STOP "$AGENT"
	flood_of_links
	ip address add 198.18.0.1/32 dev out0
	kill -CONT "$AGENT"
	eventually 10 passes web 198.18.0.1 0/ICMP
	assert_matches "log" 'notices of interfaces were lost' "$(cat "$AGENT_LOG")"
	enforced_ipv4
}

one_endpoint_of_each()
{
	[ "$(find "$PIN" -path '*/links/*' | wc -l)" -le 4 ] &&
		[ "$(egressctl -o json pods | json '' | grep -o '"ifindex"' | wc -l)" -eq 2 ]
}

# As the kubelet does it: the files are links through a link to a directory, and the link is replaced.
test_config_map_is_updated()
{
	cluster_up
	mkdir "$MANIFESTS/..first" "$MANIFESTS/..second"
	mv "$MANIFESTS"/*.yaml "$MANIFESTS/..first"
	cp "$MANIFESTS/..first/pods.yaml" "$MANIFESTS/..second"
	allow_peer_81 >"$MANIFESTS/..second/policy.yaml"
	ln -s ..first "$MANIFESTS/..data"
	ln -s ..data/pods.yaml ..data/policy.yaml "$MANIFESTS"
	agent_up
	enforced_ipv4
	ln -s ..second "$MANIFESTS/..data_tmp"
	mv -T "$MANIFESTS/..data_tmp" "$MANIFESTS/..data"
	eventually 5 passes web 10.1.2.2 81/TCP
	fails passes web 10.1.2.2 80/TCP
	assert_equal "source errors" 0 "$(metric egressd_source_errors_total)"
}

run_tests "$@"
