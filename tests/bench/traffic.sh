#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# traffic.sh LISTS ROUNDS OTHERS MS: real traffic from a pod through the node to an outside host, with one filter after the
# other on the node, round after round, so that drift hits all alike. In a sandbox. LISTS is what tests/bench/run has
# written: for N of 10, 1000 and 10000 rules N.json (manifests), N.nft, N.iptables, N.ipset, and N.targets (addresses
# that the rules allow); 10000-ipv6.json and .targets are the same for IPv6. For every measurement it prints a line:
# {"filter": NAME, "rules": N, "family": 4|6, "values": {...}}. What goals are set for is measured in all ROUNDS, the rest
# in OTHERS of them.
#
# A flood comes from another pod, on the first processor, as fast as that makes packets: what egressd denies it, beside a
# program that only drops.
#
# Client and server share the last processor: what is measured is the work, not how processors wake each other.
# shellcheck disable=SC2119 # functions with optional arguments
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
OTHERS=$3
MILLISECONDS=$4
LOAD=$BUILD/tests/bench/load
FLOOD=$BUILD/tests/bench/flood
FLOOD_LEAST=10000 # packets a second
LAST=$(($(nproc) - 1))
SIZES=(10 1000 10000)
ATTACHED=()

# Where the lists lie: all addresses of the outside host.
OUTSIDE=64.0.0.0/3
OUTSIDE_IPV6=3ffe::/16

set_up_network()
{
	local ready

	network_setup
	add_pod pod
	add_pod loud
	"$FLOOD" open loud0
	ip route add $OUTSIDE via 192.0.2.10
	on outside ip route add local $OUTSIDE dev lo
	ip route add $OUTSIDE_IPV6 via 2001:db8:2::10
	on outside ip route add local $OUTSIDE_IPV6 dev lo
	network_ready
	exec {ready}< <(exec nsenter --net="$(netns_path outside)" -- taskset -c "$LAST" "$LOAD" serve)
	read -r -t 20 <&$ready
	serve outside 445/TCP
}

# The programs, tables and endpoint of an agent for each list; programs stay when the agent has gone.
prepare_egressd()
{
	local size links

	for size in "${SIZES[@]}" 10000-ipv6; do
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
		tc qdisc delete dev loud0 clsact 2>/dev/null || true
	done
}

# start COMMAND...: runs below the traffic until `attach_end`
start()
{
	local ready

	exec {ready}< <(exec "$@")
	ATTACHED+=("$!")
	read -r -t 20 <&$ready
	exec {ready}<&-
}

# attach INTERFACE PROGRAM...
attach()
{
	start "$LOAD" attach "$@"
}

attach_end()
{
	local process

	for process in "${ATTACHED[@]}"; do
		kill "$process"
		while kill -0 "$process" 2>/dev/null; do
			sleep 0.005
		done
	done
	ATTACHED=()
	tc qdisc delete dev pod0 clsact 2>/dev/null || true
	tc qdisc delete dev loud0 clsact 2>/dev/null || true
}

# What the other pod sends is allowed by no rule.
flood()
{
	start nsenter --net="$(netns_path loud)" -- taskset -c 0 "$FLOOD" send eth0 10.1.2.2 192.0.2.10
}

# put FILTER RULES, take_away FILTER RULES
put()
{
	local directory

	case $1 in
	none) ;;
	empty) attach pod0 empty ;;
	egressd | flood-denied | flood-dropped)
		directory=$(echo "/sys/fs/bpf/egressd-$2"/v*)
		attach pod0 "$directory/from_pod" "$directory/to_pod"
		;;&
	flood-denied) attach loud0 "$directory/from_pod" "$directory/to_pod" ;;&
	flood-dropped) attach loud0 drop ;;&
	flood-*) flood ;;
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
	empty | egressd | flood-*) attach_end ;;
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

datagrams_of_loud()
{
	ip -s -j link show loud0 | json 0.stats64.rx.packets
}

# What egressd has denied it, by policy, with 10,000 rules.
denied_of_loud()
{
	PIN=/sys/fs/bpf/egressd-10000 STATE=$SANDBOX/state-10000 egressctl dump counters -o json | python3 -c '
import json, sys
print(sum(entry["dropped"].get("policy", {}).get("packets", 0) for entry in json.load(sys.stdin)))'
}

# measure FILTER RULES ROUND: the rules may be those for IPv6
measure()
{
	local values before sent loud denied=0 begin took family=4

	[[ $2 != *-ipv6 ]] || family=6

	put "$1" "$2"
	[ "$3" -gt 0 ] || check_enforced "$1"
	before=$(datagrams_at_outside)
	[ "$1" != flood-denied ] || denied=$(denied_of_loud)
	loud=$(datagrams_of_loud)
	begin=$(date +%s%N)
	values=$(on pod taskset -c "$LAST" "$LOAD" measure "$LISTS/$2.targets" "$MILLISECONDS")
	sent=$(json datagrams <<<"$values")
	[ $(($(datagrams_at_outside) - before)) -ge "$sent" ] || fail "$1: not all of $sent datagrams got through"
	loud=$(($(datagrams_of_loud) - loud))
	took=$(($(date +%s%N) - begin))
	[ "$1" != flood-denied ] || [ $(($(denied_of_loud) - denied)) -ge "$loud" ] ||
		fail "of $loud packets of the flood only $(($(denied_of_loud) - denied)) were denied"
	loud=$((loud * 1000000000 / took))
	[[ $1 != flood-* ]] || [ "$loud" -ge "$FLOOD_LEAST" ] || fail "$1: $loud packets a second are no flood"
	take_away "$1"
	echo "{\"filter\": \"$1\", \"rules\": ${2%-ipv6}, \"family\": $family, \"flood\": $loud, \"values\": $values}"
}

# What is compared most closely, one right after the other: what rule sets leave behind when they go is felt for a while.
measure_closely()
{
	measure none 10000 "$1"
	measure empty 10000 "$1"
	measure egressd 10000 "$1"
}

measure_others()
{
	local size

	measure egressd 10 "$1"
	measure egressd 1000 "$1"
	for size in "${SIZES[@]}"; do
		measure nftables "$size" "$1"
		measure ipset "$size" "$1"
	done
	measure none 10000-ipv6 "$1"
	measure empty 10000-ipv6 "$1"
	measure egressd 10000-ipv6 "$1"
	measure iptables 1000 "$1"
	measure iptables-legacy 1000 "$1"
}

main()
{
	local round

	set_up_network
	prepare_egressd
	for ((round = 0; round < ROUNDS; round++)); do
		measure_closely "$round"
		[ "$round" -ge "$OTHERS" ] || measure_others "$round"
		measure_closely "$round"
		measure flood-dropped 10000 "$round"
		measure flood-denied 10000 "$round"
	done
}

main
