#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Pods that run, and are talked to, when their interface is attached for the first time or when policy isolates them: what
# others opened to them goes on, what they opened themselves is policy's from the first packet on.
# shellcheck disable=SC2119 # functions with optional arguments
# shellcheck source=tests/lib/harness.sh
. "$(dirname "$0")/../lib/harness.sh"
if [ -n "${SANDBOX:-}" ]; then
	# shellcheck source=tests/lib/cluster.sh
	. "$TESTS/lib/cluster.sh"
fi

# track_connections: from now on the node knows who opened what
track_connections()
{
	nft add table inet track
	nft 'add chain inet track forward { type filter hook forward priority 0; }'
	nft add rule inet track forward ct state established counter
}

# exchange_over NAME ADDRESS PORT: a connection from the namespace NAME with an exchange every 20 ms; its file is $SANDBOX/NAME-ADDRESS
exchange_over()
{
	on "$1" "$TRAFFIC" stream "$2" "$3" "$SANDBOX/$1-$2" </dev/null >/dev/null 2>&1 &
	eventually 10 test -s "$SANDBOX/$1-$2"
}

exchanges()
{
	cat "$SANDBOX/$1"
}

exchanges_beyond()
{
	[ "$(exchanges "$1")" -gt "$2" ]
}

# goes_on FILE: ten exchanges more
goes_on()
{
	eventually 10 exchanges_beyond "$1" $(($(exchanges "$1") + 10))
}

stands_still()
{
	local before

	before=$(exchanges "$1")
	sleep 0.5
	assert_equal "exchanges of $1 after another half second" "$before" "$(exchanges "$1")"
}

# talk NAME ROLE ARGUMENT...: roles of tests/lib/talk.py, in the background; what it says goes to $SANDBOX/NAME.said
talk()
{
	local name=$1 word=$SANDBOX/go

	shift
	[ -p "$word" ] || word=/dev/null
	: >"$SANDBOX/$name.said"
	on "$name" "$TESTS/lib/talk.py" "$@" <"$word" >>"$SANDBOX/$name.said" 2>&1 &
}

said()
{
	grep -q "$2" "$SANDBOX/$1.said"
}

both_families_go_on()
{
	exchange_over outside 10.1.1.2 80
	exchange_over outside fd00:1:1::2 80
	agent_up
	assert_matches "log" 'default/web: may go on answering [0-9]+ connections' "$(cat "$AGENT_LOG")"
	goes_on outside-10.1.1.2
	goes_on outside-fd00:1:1::2
	assert_equal "drops" 0 "$(dropped_packets policy)"
	fails passes web 192.0.2.10 443/TCP
	fails passes web 2001:db8:2::10 443/TCP
}

test_connections_to_a_running_pod_go_on()
{
	cluster_up
	deny_everything
	both_families_go_on
}

test_connections_to_a_running_pod_go_on_where_the_node_tracks_them()
{
	cluster_up
	deny_everything
	track_connections
	both_families_go_on
}

# What the node tracks of others says nothing of this pod.
web_is_not_tracked()
{
	nft add table inet untracked
	nft 'add chain inet untracked prerouting { type filter hook prerouting priority raw; }'
	nft add rule inet untracked prerouting ip saddr 10.1.1.2 notrack
	nft add rule inet untracked prerouting ip daddr 10.1.1.2 notrack
	nft add rule inet untracked prerouting ip6 saddr fd00:1:1::2 notrack
	nft add rule inet untracked prerouting ip6 daddr fd00:1:1::2 notrack
	track_connections
	passes outside 10.1.2.2 80/TCP
	[ "$(cat /proc/sys/net/netfilter/nf_conntrack_count)" -gt 0 ]
}

test_connections_to_a_pod_that_the_node_does_not_track_go_on()
{
	cluster_up
	deny_everything
	web_is_not_tracked
	both_families_go_on
}

test_connections_that_a_pod_opened_that_the_node_does_not_track_are_cut()
{
	cluster_up
	deny_everything
	web_is_not_tracked
	exchange_over web 192.0.2.10 443
	exchange_over web 2001:db8:2::10 443
	cut_from_the_first_packet
}

test_connections_that_the_node_translates_go_on()
{
	cluster_up
	deny_everything
	nft add table ip nat
	nft 'add chain ip nat prerouting { type nat hook prerouting priority -100; }'
	nft 'add chain ip nat postrouting { type nat hook postrouting priority 100; }'
	nft add rule ip nat prerouting ip daddr 192.0.2.1 tcp dport 8080 dnat to 10.1.1.2:80
	nft add rule ip nat postrouting ip daddr 10.1.1.2 tcp dport 80 snat to 198.51.100.9
	exchange_over outside 192.0.2.1 8080
	agent_up
	goes_on outside-192.0.2.1
	assert_equal "drops" 0 "$(dropped_packets policy)"
}

# The peer asks once, before; the pod answers for the first time, and goes on, after.
test_datagrams_and_echo_that_the_node_tracks_are_answered()
{
	cluster_up
	deny_everything
	track_connections
	mkfifo "$SANDBOX/go"
	exec {go}<>"$SANDBOX/go"
	on web sh -c 'echo 1 >/proc/sys/net/ipv4/icmp_echo_ignore_all; echo 1 >/proc/sys/net/ipv6/icmp/echo_ignore_all'
	talk web answer-later
	eventually 10 said web ready
	talk outside ask 10.1.1.2 fd00:1:1::2
	eventually 10 said web "asked 4"
	agent_up
	echo now >&$go
	eventually 10 said outside "answered 4"
	assert_equal "drops" 0 "$(dropped_packets policy)"
	fails passes web 192.0.2.10 53/UDP
	exec {go}>&-
}

cut_from_the_first_packet()
{
	agent_up
	eventually 5 something_dropped
	for address in 192.0.2.10 2001:db8:2::10; do
		stands_still "web-$address"
	done
	assert_equal "flows" "" "$(egressctl dump flows -o json | grep -F 192.0.2.10 || true)"
}

test_connections_that_the_pod_opened_are_cut()
{
	cluster_up
	deny_everything
	exchange_over web 192.0.2.10 443
	exchange_over web 2001:db8:2::10 443
	cut_from_the_first_packet
}

test_connections_that_the_pod_opened_are_cut_where_the_node_tracks_them()
{
	cluster_up
	deny_everything
	track_connections
	exchange_over web 192.0.2.10 443
	exchange_over web 2001:db8:2::10 443
	cut_from_the_first_packet
}

# The pod listens at the very port from which its connection goes out.
test_a_port_that_is_listened_at_does_not_make_a_connection_others()
{
	cluster_up
	deny_everything
	track_connections
	talk web from-listening-port 8080 192.0.2.10 443
	eventually 10 said web exchanged
	agent_up
	eventually 5 something_dropped
	assert_equal "flows" "[]" "$(egressctl dump flows -o json | json "")"
}

# Tracking begins in the middle, and the first packet that it sees is the peer's.
test_tracking_that_began_in_the_middle_is_not_believed()
{
	cluster_up
	deny_everything
	mkfifo "$SANDBOX/go"
	exec {go}<>"$SANDBOX/go"
	talk outside push-later 4443
	eventually 10 said outside ready
	talk web receive 192.0.2.10 4443
	eventually 10 said web connected
	track_connections
	echo now >&$go
	eventually 10 said web received
	agent_up
	assert_equal "flows" "[]" "$(egressctl dump flows -o json | json "")"
	exec {go}>&-
}

# Nobody watches a pod that is not isolated.
test_connections_go_on_when_the_pod_becomes_isolated()
{
	cluster_up
	rm "$MANIFESTS/policy.yaml"
	agent_up
	exchange_over outside 10.1.1.2 80
	exchange_over outside fd00:1:1::2 80
	exchange_over web 192.0.2.10 443
	after_change deny_everything
	goes_on outside-10.1.1.2
	goes_on outside-fd00:1:1::2
	stands_still web-192.0.2.10
}

# Policy that comes while no agent runs isolates the pod with the next one's first generation.
test_connections_go_on_when_the_pod_becomes_isolated_by_the_next_agent()
{
	cluster_up
	rm "$MANIFESTS/policy.yaml"
	agent_up
	exchange_over outside 10.1.1.2 80
	exchange_over web 192.0.2.10 443
	agent_stop
	deny_everything
	agent_up
	goes_on outside-10.1.1.2
	stands_still web-192.0.2.10
}

killed()
{
	! kill -0 "$AGENT" 2>/dev/null || [ "$(sed 's/.*) \(.\).*/\1/' "/proc/$AGENT/stat")" = Z ]
}

# What it found has not been entered when the agent is killed, but the pod is isolated: the next one finds it again.
killed_before_it_enters_what_it_found()
{
	local test_run=10

	exchange_over outside 10.1.1.2 80
	exchange_over outside fd00:1:1::2 80
	exchange_over web 192.0.2.10 443
	faults "$test_run 0"
	"$@"
	eventually 10 killed
	wait "$AGENT" 2>/dev/null || true
	rm "$SANDBOX/faults"
	eventually 5 exchanges_beyond web-192.0.2.10 0
	stands_still web-192.0.2.10
	agent_up
	goes_on outside-10.1.1.2
	goes_on outside-fd00:1:1::2
	stands_still web-192.0.2.10
	# It is done then: what the pod pretends later is not looked at.
	agent_kill
	: >"$AGENT_LOG"
	agent_up
	assert_no_match "log" 'may go on answering' "$(cat "$AGENT_LOG")"
}

test_connections_go_on_when_the_agent_is_killed_as_the_pod_becomes_isolated()
{
	cluster_up
	rm "$MANIFESTS/policy.yaml"
	with_faults
	agent_up
	killed_before_it_enters_what_it_found deny_everything
}

# Its policy needs new tables, after which there is nothing to see of the old ones.
test_connections_go_on_when_the_agent_is_killed_with_new_tables()
{
	cluster_up
	rm "$MANIFESTS/policy.yaml"
	with_faults
	agent_up
	killed_before_it_enters_what_it_found deny_with_many_rules
}

deny_with_many_rules()
{
	{
		policy_manifest web web <<<"[]"
		many_rules_manifest
	} | manifest policy.yaml
}

# The pod's entry stands, its interface has no programs yet, and the next agent does not take it for a new pod.
test_connections_go_on_when_the_agent_is_killed_before_it_attaches()
{
	cluster_up
	pod_manifest peer 2 peer | manifest pods.yaml
	deny_everything
	with_faults
	agent_up --pending=allow
	exchange_over outside 10.1.1.2 80
	faults "10 0"
	{
		pod_manifest web 1 web
		pod_manifest peer 2 peer
	} | manifest pods.yaml
	eventually 10 killed
	wait "$AGENT" 2>/dev/null || true
	rm "$SANDBOX/faults"
	agent_up --pending=allow
	goes_on outside-10.1.1.2
	assert_equal "drops" 0 "$(dropped_packets policy)"
}

# "net:[INODE]" of a pod
inode_of()
{
	readlink "$(netns_path "$1")" | tr -cd '0-9'
}

told()
{
	egressctl -o json status | json problems | grep -Fq "$1"
}

isolate_both()
{
	{
		policy_manifest web web <<<"[]"
		policy_manifest peer peer <<<"[]"
	} | manifest policy.yaml
}

# Connections to both pods, and an agent that may not look into web's namespace.
nobody_enters_web()
{
	with_faults
	exchange_over outside 10.1.1.2 80
	exchange_over outside 10.1.2.2 80
	isolate_both
	faults "setns $(inode_of web) 1"
	agent_up
}

# It is told of web, and the other pod's connections go on.
test_a_namespace_that_may_not_be_entered_is_told_and_keeps_nobody_up()
{
	cluster_up
	nobody_enters_web
	goes_on outside-10.1.2.2
	stands_still outside-10.1.1.2
	assert_matches "log" 'warning: default/web: its sockets cannot be listed \(Operation not permitted\).*are cut' "$(cat "$AGENT_LOG")"
	assert_no_match "log" 'default/peer: its sockets' "$(cat "$AGENT_LOG")"
	eventually 5 told 'its sockets cannot be listed (Operation not permitted)'
	assert_equal "errors" 1 "$(metric egressd_connection_errors_total)"
}

# Tracking tells of both, and only of web nobody knows whether it is right.
test_a_namespace_that_may_not_be_entered_leaves_what_the_node_tracks()
{
	cluster_up
	track_connections
	nobody_enters_web
	goes_on outside-10.1.2.2
	goes_on outside-10.1.1.2
	assert_matches "log" 'default/web: its sockets .*connection tracking alone' "$(cat "$AGENT_LOG")"
}

# A namespace that no process and no path leads to, like that of a pod whose processes another node's agent cannot see.
# A pod beside web that policy isolates, in whose namespace no process is to be seen.
pod_without_a_process()
{
	add_pod late
	network_ready
	pod_manifest late 3 late | manifest late.yaml
	exchange_over outside 10.1.1.2 80
	# A socket keeps the namespace, and nothing else does.
	on late /usr/bin/python3 -c 'import socket, array, sys
s = socket.socket(socket.AF_INET)
u = socket.socket(socket.AF_UNIX)
u.connect(sys.argv[1])
socket.send_fds(u, [b"x"], [s.fileno()])' "$(hold_socket)"
	kill -KILL "${HOLDER[late]}"
	{
		policy_manifest web web <<<"[]"
		policy_manifest late late <<<"[]"
	} | manifest policy.yaml
	agent_up
	goes_on outside-10.1.1.2
}

test_a_namespace_that_cannot_be_found_is_told_and_keeps_nobody_up()
{
	cluster_up
	pod_without_a_process
	assert_matches "log" 'default/late: its sockets cannot be listed \(no process' "$(cat "$AGENT_LOG")"
}

# As a pod is whose containers are yet to be started.
test_a_pod_without_a_process_of_which_nothing_is_tracked_has_not_begun()
{
	cluster_up
	track_connections
	pod_without_a_process
	assert_no_match "log" 'default/late: its sockets' "$(cat "$AGENT_LOG")"
}

# hold_socket: prints where a process waits for a socket, which it then keeps
hold_socket()
{
	/usr/bin/python3 -c 'import socket, sys, time
u = socket.socket(socket.AF_UNIX)
u.bind(sys.argv[1])
u.listen()
held = socket.recv_fds(u.accept()[0], 16, 1)
time.sleep(1000)' "$SANDBOX/held" </dev/null >/dev/null 2>&1 &
	eventually 5 test -S "$SANDBOX/held"
	echo "$SANDBOX/held"
}

test_tracking_that_cannot_be_read_is_told()
{
	cluster_up
	with_faults
	track_connections
	exchange_over outside 10.1.1.2 80
	isolate_both
	faults "conntrack 1"
	agent_up
	assert_matches "log" "connection tracking cannot be read \(Operation not permitted\): .* default/peer, default/web" \
		"$(cat "$AGENT_LOG")"
	eventually 5 told "connection tracking cannot be read"
	[ "$(metric egressd_connection_errors_total)" -ge 1 ]
	# It is not told again, and not a problem any more, when it can be read.
	rm "$SANDBOX/faults" "$MANIFESTS/policy.yaml"
	eventually 10 not isolated web
	after_change isolate_both
	eventually 5 not told "connection tracking cannot be read"
}

isolated()
{
	egressctl -o json pods | /usr/bin/python3 -c 'import json, sys
sys.exit(not any(pod["pod"] == sys.argv[1] and pod["isolated"] for pod in json.load(sys.stdin)))' "$1"
}

# What a pod pretends while it is isolated is not looked at when the agent starts anew.
test_an_agent_that_starts_anew_believes_no_socket()
{
	cluster_up
	deny_everything
	agent_up
	agent_kill
	on web ip address add 192.0.2.10/32 dev lo
	talk web receive 10.1.1.2 80 192.0.2.10
	eventually 10 said web received
	agent_up
	assert_equal "flows" "[]" "$(egressctl dump flows -o json | json "")"
}

# Whoever has the address now does not go on with the connections of who had it before: they are in the node's tracking
# for days, but the pod has no socket for them.
test_connections_without_a_socket_are_a_predecessors()
{
	local server ready

	track_connections
	cluster_up
	exec {ready}< <(exec nsenter --net="$(netns_path web)" -- "$TRAFFIC" serve web 8080/TCP </dev/null)
	server=$!
	read -r -t $((20 * TEST_SLOWNESS)) <&$ready
	exchange_over outside 10.1.1.2 8080
	# It goes without a word, as a pod does whose interface is gone.
	on web nft add table inet silence
	on web nft 'add chain inet silence output { type filter hook output priority 0; policy drop; }'
	kill -KILL "$server"
	deny_everything
	agent_up
	assert_no_match "log" 'may go on answering' "$(cat "$AGENT_LOG")"
}

run_tests "$@"
