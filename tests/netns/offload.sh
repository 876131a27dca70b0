#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Packets as the kernel keeps them inside: super-packets of TCP and UDP, in pages, without checksums, and cut to fragments.
# What policy allows arrives whole, what it denies does not arrive at all.
# shellcheck disable=SC2119 # functions with optional arguments
# shellcheck source=tests/lib/harness.sh
. "$(dirname "$0")/../lib/harness.sh"
if [ -n "${SANDBOX:-}" ]; then
	# shellcheck source=tests/lib/cluster.sh
	. "$TESTS/lib/cluster.sh"
fi

FRAME=1514
OUTSIDE=(192.0.2.10 2001:db8:2::10)

offload()
{
	local name=$1

	shift
	on "$name" "$TESTS/lib/offload.py" "$@"
}

# offload_up [OPTION...]: the pod web may send to the outside host's port 5001, and nothing else; outside counts what comes to
# 5001 and 5002.
offload_up()
{
	local ready

	cluster_up
	policy_manifest web web <<-EOF | manifest policy.yaml
		- to: [{ipBlock: {cidr: 192.0.2.0/24}}, {ipBlock: {cidr: "2001:db8:2::/64"}}]
		  ports: [{port: 5001}, {port: 5001, protocol: UDP}]
	EOF
	exec {ready}< <(offload outside receive "$SANDBOX/received" 5001 5002 </dev/null)
	read -r -t $((20 * TEST_SLOWNESS)) <&$ready
	offload node longest web0 "$SANDBOX/longest" </dev/null >/dev/null 2>&1 &
	eventually 10 test -s "$SANDBOX/longest"
	agent_up "$@"
}

# received PORT FIELD: 2 datagrams, 3 bytes
received()
{
	awk -v port="$1" -v field="$2" '$1 == port { print $field }' "$SANDBOX/received" 2>/dev/null || true
}

received_is()
{
	[ "$(received "$1" "$2")" = "$3" ]
}

received_beyond()
{
	[ "$(received "$1" 3)" -gt "$2" ]
}

longest_beyond()
{
	[ "$(cat "$SANDBOX/longest")" -gt "$1" ]
}

super_packets_of_tcp()
{
	local before

	offload_up
	offload web stream "$1" 5001 </dev/null >/dev/null 2>&1 &
	eventually 10 longest_beyond $((10 * FRAME))
	eventually 10 received_beyond 5001 10000000
	assert_equal "drops" 0 "$(dropped_packets policy)"
	# The connection is denied in the middle.
	after_change deny_everything
	# The sender may be waiting just then: what it tries next, or again, is dropped.
	eventually 10 something_dropped
	sleep 1
	before=$(received 5001 3)
	sleep 0.5
	assert_equal "bytes that arrived after it was denied" "$before" "$(received 5001 3)"
}

test_super_packets_of_tcp()
{
	super_packets_of_tcp "${OUTSIDE[0]}"
}

test_super_packets_of_tcp_ipv6()
{
	super_packets_of_tcp "${OUTSIDE[1]}"
}

# Twelve datagrams in one packet are dropped, and counted, as twelve.
test_super_packets_of_udp()
{
	local address expected=0

	offload_up
	for address in "${OUTSIDE[@]}"; do
		offload web segments "$address" 5002 12
		offload web segments "$address" 5001 12
		expected=$((expected + 12))
		eventually 10 received_is 5001 2 $expected
		assert_equal "drops" $expected "$(dropped_packets policy)"
	done
	assert_equal "longest frame" yes "$(longest_beyond 12000 && echo yes)"
	assert_equal "bytes" 24000 "$(received 5001 3)"
	assert_equal "what was denied" 0 "$(received 5002 2)"
}

test_datagrams_that_are_cut_to_fragments()
{
	local address expected=0

	offload_up
	for address in "${OUTSIDE[@]}"; do
		offload web datagram "$address" 5002 40000
		offload web datagram "$address" 5001 40000
		expected=$((expected + 1))
		eventually 10 received_is 5001 2 $expected
	done
	assert_equal "bytes" 80000 "$(received 5001 3)"
	assert_equal "what was denied" 0 "$(received 5002 2)"
}

# count_paged before|behind BYTES: from here on those packets from web of which so many bytes are not where a program finds
# them, before our programs see them or behind
count_paged()
{
	local priority=1

	[ "$1" = before ] || priority=30000
	mkfifo "$SANDBOX/$1.ask"
	"$BUILD/tests/lib/foreign" web0 "$priority" "$2" <"$SANDBOX/$1.ask" >"$SANDBOX/$1" &
	exec {fd}>"$SANDBOX/$1.ask"
	asked[$1]=$fd
	eventually 5 grep -q ready "$SANDBOX/$1"
}

# paged_is before|behind COUNT: those that have been counted
paged_is()
{
	echo >&"${asked[$1]}"
	sleep 0.05
	[ "$(tail -n 1 "$SANDBOX/$1")" = "$2" ]
}

# headers_in_pages SOURCE FORGED ADDRESS BYTES: so many bytes of Ethernet, IP and UDP headers; our programs are a filter, for
# those that count to be around them. Behind ours the headers are where the sender can no longer change them.
headers_in_pages()
{
	local gateway fd
	declare -A asked

	offload_up --attach clsact
	gateway=$(ip -json link show web0 | json 0.address)
	# What the kernel itself sends is not in pages.
	count_paged before "$4"
	count_paged behind "$4"
	offload web datagram "$3" 5001 8
	eventually 10 received_is 5001 2 1
	paged_is before 0
	offload web pages eth0 "$gateway" "$1" "$3" 5002
	offload web pages eth0 "$gateway" "$1" "$3" 5001
	eventually 10 received_is 5001 2 2
	eventually 5 paged_is before 2
	assert_equal "drops" 1 "$(dropped_packets policy)"
	assert_equal "what was denied" 0 "$(received 5002 2)"
	offload web pages eth0 "$gateway" "$2" "$3" 5001
	eventually 5 paged_is before 3
	assert_equal "forged" 1 "$(dropped_packets spoofed_source)"
	paged_is behind 0
}

test_headers_in_pages()
{
	headers_in_pages 10.1.1.2 10.1.1.77 "${OUTSIDE[0]}" 42
}

test_headers_in_pages_ipv6()
{
	headers_in_pages fd00:1:1::2 fd00:1:1::77 "${OUTSIDE[1]}" 62
}

run_tests "$@"
