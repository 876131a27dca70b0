#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# traffic.sh LISTS ROUNDS MS: real traffic from a pod through the node to an outside host, with one filter after the
# other on the node, round after round, so that drift hits all alike. In a sandbox. LISTS is what tests/bench/run has
# written: for N of 10, 1000 and 10000 rules N.json (manifests), N.nft, N.iptables, N.ipset, and N.targets (addresses
# that the rules allow). For every measurement it prints a line: {"filter": NAME, "rules": N, "values": {...}}.
#
# Client and server share the last processor: what is measured is the work, not how processors wake each other.
set -eEuo pipefail

HERE=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/lib/harness.sh
. "$HERE/../lib/harness.sh"
# shellcheck source=tests/lib/network.sh
. "$HERE/../lib/network.sh"
# shellcheck source=tests/lib/agent.sh
. "$HERE/../lib/agent.sh"
trap 'echo "traffic: failed in line $LINENO: $BASH_COMMAND" >&2' ERR

LISTS=$1
ROUNDS=$2
MILLISECONDS=$3
LOAD=$BUILD/tests/bench/load
LAST=$(($(nproc) - 1))
SIZES=(10 1000 10000)
ATTACHED=

# Where the lists lie: all addresses of the outside host.
OUTSIDE=64.0.0.0/3

set_up_network()
{
	local ready

	network_setup
	add_pod pod
	ip route add $OUTSIDE via 192.0.2.10
	on outside ip route add local $OUTSIDE dev lo
	network_ready
	exec {ready}< <(exec nsenter --net="$(netns_path outside)" -- taskset -c "$LAST" "$LOAD" serve)
	read -r -t 20 <&$ready
	serve outside 445/TCP
}

# The programs, tables and endpoint of an agent for each list; programs stay when the agent has gone.
prepare_egressd()
{
	local size links

	for size in "${SIZES[@]}"; do
		PIN=/sys/fs/bpf/egressd-$size
		STATE=$SANDBOX/state-$size
		MANIFESTS=$SANDBOX/manifests-$size
		mkdir -p "$MANIFESTS"
		cp "$LISTS/$size.json" "$MANIFESTS/list.json"
		agent_up
		agent_stop
		links=("$PIN"/v*/links/*)
		[ ! -e "${links[0]}" ] || rm "${links[@]}"
		tc qdisc delete dev pod0 clsact 2>/dev/null || true
	done
}

# attach PROGRAM...: below the traffic until `attach_end`
attach()
{
	local ready

	exec {ready}< <(exec "$LOAD" attach pod0 "$@")
	ATTACHED=$!
	read -r -t 20 <&$ready
	exec {ready}<&-
}

attach_end()
{
	kill "$ATTACHED"
	while kill -0 "$ATTACHED" 2>/dev/null; do
		sleep 0.005
	done
	tc qdisc delete dev pod0 clsact 2>/dev/null || true
}

# put FILTER RULES, take_away FILTER RULES
put()
{
	local directory

	case $1 in
	none) ;;
	empty) attach empty ;;
	egressd)
		directory=$(echo "/sys/fs/bpf/egressd-$2"/v*)
		attach "$directory/from_pod" "$directory/to_pod"
		;;
	nftables) nft -f "$LISTS/$2.nft" ;;
	iptables) iptables-nft-restore <"$LISTS/$2.iptables" ;;
	iptables-legacy) iptables-legacy-restore <"$LISTS/$2.iptables" ;;
	ipset)
		ipset restore <"$LISTS/$2.ipset"
		iptables-nft-restore <"$LISTS/ipset.iptables"
		;;
	esac
}

take_away()
{
	case $1 in
	empty | egressd) attach_end ;;
	nftables) nft delete table inet bench ;;
	iptables) iptables-nft-restore <"$LISTS/empty.iptables" && nft delete table ip filter ;;
	iptables-legacy) iptables-legacy-restore <"$LISTS/empty.iptables" ;;
	ipset)
		iptables-nft-restore <"$LISTS/empty.iptables"
		nft delete table ip filter
		ipset destroy
		;;
	esac
}

# A filter that stops nothing would be no filter: what no rule allows must not pass.
check_enforced()
{
	case $1 in
	none | empty) passes pod 192.0.2.10 445/TCP ;;
	*) fails passes pod 192.0.2.10 445/TCP ;;
	esac
}

datagrams_at_outside()
{
	ip -s -j link show out0 | json 0.stats64.tx.packets
}

# measure FILTER RULES ROUND
measure()
{
	local values before sent

	put "$1" "$2"
	[ "$3" -gt 0 ] || check_enforced "$1"
	before=$(datagrams_at_outside)
	values=$(on pod taskset -c "$LAST" "$LOAD" measure "$LISTS/$2.targets" "$MILLISECONDS")
	sent=$(json datagrams <<<"$values")
	[ $(($(datagrams_at_outside) - before)) -ge "$sent" ] || fail "$1: not all of $sent datagrams got through"
	take_away "$1"
	echo "{\"filter\": \"$1\", \"rules\": $2, \"values\": $values}"
}

main()
{
	local round size

	set_up_network
	prepare_egressd
	for ((round = 0; round < ROUNDS; round++)); do
		measure none 10000 "$round"
		measure empty 10000 "$round"
		for size in "${SIZES[@]}"; do
			measure egressd "$size" "$round"
			measure nftables "$size" "$round"
			measure ipset "$size" "$round"
		done
		measure iptables 1000 "$round"
		measure iptables-legacy 1000 "$round"
	done
}

main
