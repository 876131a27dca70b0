#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Interfaces that lead into an isolated pod's network namespace beside the pod's own: nothing passes there.
# shellcheck disable=SC2119 # functions with optional arguments
# shellcheck source=tests/lib/harness.sh
. "$(dirname "$0")/../lib/harness.sh"
if [ -n "${SANDBOX:-}" ]; then
	# shellcheck source=tests/lib/cluster.sh
	. "$TESTS/lib/cluster.sh"
fi

# hostile COMMAND...: in the pod web, with what Kubernetes gives a pod that asks for NET_ADMIN and NET_RAW, no more
hostile()
{
	on web setpriv --inh-caps=-all --bounding-set=-all,+net_admin,+net_raw -- "$@"
}

# The cluster, a bridge of the node, and no filter of addresses that would do what the agent is to do.
setup()
{
	cluster_up
	ip link add br0 type bridge
	ip link set br0 up
	sysctl_set net/ipv4/conf/all/rp_filter 0
	sysctl_set net/ipv4/conf/br0/rp_filter 0
	on web sh -c 'echo 0 >/proc/sys/net/ipv4/conf/all/rp_filter; echo 0 >/proc/sys/net/ipv4/conf/eth0/rp_filter'
}

# web makes mine0, a port of the node's bridge, and sends by way of it what goes to peer; answers come as ever.
second_way()
{
	hostile "$TESTS/lib/second_way.py" mine0 eth1 "$(ip -j link show br0 | json 0.ifindex)"
	hostile ip -batch - <<-EOF
		link set eth1 up
		neighbour add 10.1.2.2 lladdr $(hardware_address node br0) dev eth1
		route add 10.1.2.2/32 dev eth1 src 10.1.1.2
	EOF
}

# further_interface POD NAME: one that the node makes, as Multus does
further_interface()
{
	ip link add "$2" type veth peer name "in-$2" netns "${HOLDER[$1]}"
	ip link set "$2" up
}

held_are()
{
	[ "$(metric egressd_interfaces_held)" = "$1" ]
}

# The way in time: the agent's part is over when this is.
held_within_a_second()
{
	eventually 1 held_are "$1"
}

tells_of()
{
	status_says "interface $1 (" && status_says "leads into its network namespace beside" && status_says default/web
}

test_second_way_that_a_pod_makes_itself_is_held()
{
	setup
	# Without an agent it is one.
	second_way
	eventually 5 passes web 10.1.2.2 81/TCP
	hostile ip link delete eth1
	agent_up
	fails passes web 10.1.2.2 81/TCP
	second_way
	held_within_a_second 1
	fails passes web 10.1.2.2 81/TCP
	fails passes web 10.1.2.2 80/TCP
	eventually 2 tells_of mine0
	grep -q 'default/web: interface mine0 .* is held: nothing passes there' "$AGENT_LOG"
	[[ $(egressctl pods) == *"interface mine0"* ]]
	agent_is_ready
	# On its own it may what it may, and may do what it likes with it.
	hostile ip route delete 10.1.2.2/32 dev eth1
	eventually 5 passes web 10.1.2.2 80/TCP
	hostile ip route add 10.1.2.2/32 dev eth1 src 10.1.1.2
	agent_kill
	fails passes web 10.1.2.2 81/TCP
	agent_up
	held_are 1
	fails passes web 10.1.2.2 81/TCP
	# Not for a moment either.
	fails grep -q 'no longer held' "$AGENT_LOG"
	hostile ip link delete eth1
	eventually 2 held_are 0
	eventually 2 not tells_of mine0
}

test_it_stays_held_when_the_pod_gives_up_its_own()
{
	setup
	agent_up
	second_way
	held_within_a_second 1
	hostile ip link set eth0 down
	hostile ip link delete eth0
	eventually 5 status_says "interface web0 does not exist"
	held_are 1
	eventually 2 tells_of mine0
	hostile ip link delete eth1
	eventually 2 held_are 0
}

# namespace_number NAME: that of the network namespace into which the interface leads
namespace_number()
{
	ip -j link show "$1" | json 0.link_netnsid
}

is_gone()
{
	[ ! -e "/sys/class/net/$1" ]
}

test_a_namespace_that_gets_the_number_of_one_that_went_is_another()
{
	local number

	network_setup
	add_pod web
	add_pod peer
	network_ready
	{ pod_manifest web 1 web; pod_manifest peer 2 peer; } | manifest pods.yaml
	allow_peer_80
	agent_up
	number=$(namespace_number web0)
	kill "${HOLDER[web]}"
	eventually 5 is_gone web0
	add_namespace other
	add_veth other other0 10.1.9 fd00:1:9 2
	assert_equal "number of the other namespace" "$number" "$(namespace_number other0)"
	sleep 1
	held_are 0
}

test_it_is_held_where_the_pod_is_found_by_its_namespace()
{
	setup
	pod_manifest web 1 web "egressd.io/netns: $(netns_path web)" | manifest pods.yaml
	agent_up
	second_way
	held_within_a_second 1
	fails passes web 10.1.2.2 81/TCP
	# Now two lead there: what was found first stays the pod's.
	kill -HUP "$AGENT"
	eventually 5 status_says "more than one veth"
	held_are 1
	eventually 2 tells_of mine0
	fails passes web 10.1.2.2 81/TCP
}

test_whatever_pending_says()
{
	setup
	agent_up --pending=allow
	second_way
	held_within_a_second 1
	fails passes web 10.1.2.2 81/TCP
}

test_further_interfaces_of_a_pod_that_is_not_isolated_are_left_alone()
{
	setup
	agent_up
	further_interface peer more0
	further_interface outside more1
	further_interface web more2
	held_within_a_second 1
	eventually 2 tells_of more2
	fails tells_of more0
	policy_manifest peer peer <<<"[]" | manifest peer.yaml
	eventually 5 held_are 2
	eventually 2 status_says "interface more0 ("
	rm "$MANIFESTS/peer.yaml"
	eventually 5 held_are 1
	: | manifest policy.yaml
	eventually 5 held_are 0
	eventually 5 not tells_of more2
	allow_peer_80
	eventually 5 held_are 1
	rm "$MANIFESTS/pods.yaml"
	eventually 5 held_are 0
}

# Whose peer is moved there later: the kernel tells of nothing but of links that come up.
test_interface_whose_other_end_comes_into_the_pod_later()
{
	setup
	agent_up
	ip link add more0 type veth peer name more1
	ip link set more1 netns "${HOLDER[web]}"
	ip link set more0 up
	on web ip link set more1 up
	held_within_a_second 1
}

# Entries are few, and other pods need them.
test_a_pod_that_makes_many_leaves_room_for_others()
{
	setup
	agent_up
	for number in {1..270}; do
		echo "link add more$number type veth peer name in$number netns ${HOLDER[web]}"
	done | ip -batch -
	eventually 20 held_are 256
	second_way
	eventually 5 not passes web 10.1.2.2 81/TCP
	sleep 0.5
	fails passes web 10.1.2.2 81/TCP
	eventually 5 status_says "and 270 more"
	agent_kill
	agent_up
	held_are 256
	fails passes web 10.1.2.2 81/TCP
	: | manifest policy.yaml
	eventually 20 held_are 0
	eventually 20 passes web 10.1.2.2 81/TCP
}

# It cannot be held, so it is told.
test_macvlan_on_an_interface_of_the_node_is_told()
{
	setup
	if ! ip link add probe0 link out0 type macvlan; then
		skip "this kernel has no macvlan"
	fi
	ip link delete probe0
	agent_up
	on web ip link add own0 link eth0 type macvlan
	hostile "$TESTS/lib/second_way.py" macvlan stacked0 "$(ip -j link show out0 | json 0.ifindex)"
	eventually 8 status_says "stacked0 in its network namespace stands on an interface outside of it"
	status_says default/web
	grep -q 'default/web: stacked0 in its network namespace' "$AGENT_LOG"
	agent_is_ready
	hostile ip link delete stacked0
	eventually 8 not status_says "in its network namespace stands on"
}

# What README.md says of user namespaces.
test_a_pod_with_a_user_namespace_of_its_own_makes_none()
{
	local answer

	unshare --user true || skip "the kernel makes no user namespace here, as in a chroot"
	network_setup
	unshare --user --map-root-user --net sleep infinity </dev/null >/dev/null 2>&1 &
	HOLDER["inner"]=$!
	while [ "$(readlink /proc/self/ns/net)" = "$(readlink "/proc/$!/ns/net")" ]; do
		sleep 0.005
	done
	ip link add inner0 type veth peer name eth0 netns "${HOLDER["inner"]}"
	# Whoever lists the links there makes the kernel give the node an id.
	on inner ip link show eth0
	answer=$(nsenter --target "${HOLDER["inner"]}" --user --net -- "$TESTS/lib/second_way.py" mine0 eth1 0 2>&1 || true)
	assert_equal "what its root is told" "the kernel refuses: Operation not permitted" "$answer"
	# Not for want of the node's id in there: root of the node may.
	on inner "$TESTS/lib/second_way.py" mine0 eth1 0
	ip link show mine0
}

run_tests "$@"
