#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# traffic.sh LISTS ROUNDS OTHERS MS: real traffic from a pod through the node to an outside host, with one filter after the
# other on the node, round after round, so that drift hits all alike. In a sandbox. LISTS is what tests/bench/run has
# written: for N of 10, 1000 and 10000 rules N.json (manifests), N.nft, N.iptables, N.ipset, and N.targets (addresses
# that the rules allow); 10000-ipv6.json and .targets are the same for IPv6. For every measurement it prints a line:
# {"filter": NAME, "rules": N, "family": 4|6, "values": {...}}, or with "flood", packets a second, instead of values. What
# goals are set for is measured in all ROUNDS, the rest in OTHERS of them.
#
# Goals compare egressd with the empty program, and a flood that it denies with one that is only dropped. A busy machine
# makes either a quarter slower for a second or two, so these are put under the traffic by turns, a hundredth of a second
# each (`load compare`). The flood comes from another pod, on the first processor, as fast as that makes packets.
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

# attach INTERFACE FROM TO
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

# programs RULES: where egressd's for these rules are pinned
programs()
{
	echo "/sys/fs/bpf/egressd-$1"/v*
}

# put FILTER RULES, take_away FILTER RULES
put()
{
	local directory

	case $1 in
	none) ;;
	empty) attach pod0 empty empty ;;
	egressd)
		directory=$(programs "$2")
		attach pod0 "$directory/from_pod" "$directory/to_pod"
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

# report FILTER RULES VALUES: the rules may be those for IPv6
report()
{
	local family=4

	[[ $2 != *-ipv6 ]] || family=6
	echo "{\"filter\": \"$1\", \"rules\": ${2%-ipv6}, \"family\": $family, \"values\": $3}"
}

# passed FILTER BEFORE VALUES...: a rate of what did not get through is none
passed()
{
	local filter=$1 before=$2 sent=0 values

	shift 2
	for values; do
		sent=$((sent + $(json datagrams <<<"$values")))
	done
	[ $(($(datagrams_at_outside) - before)) -ge "$sent" ] || fail "$filter: not all of $sent datagrams got through"
}

# measure FILTER RULES ROUND
measure()
{
	local values before

	put "$1" "$2"
	[ "$3" -gt 0 ] || check_enforced "$1"
	before=$(datagrams_at_outside)
	values=$(on pod taskset -c "$LAST" "$LOAD" measure "$LISTS/$2.targets" "$MILLISECONDS")
	passed "$1" "$before" "$values"
	take_away "$1"
	report "$1" "$2" "$values"
}

# by_turns RULES INTERFACE FROM TO FROM TO: sets VALUES, of the pod's traffic
by_turns()
{
	mapfile -t VALUES < <(taskset -c "$LAST" "$LOAD" compare "$(netns_path pod)" "${@:2}" "$LISTS/$1.targets" \
		"$MILLISECONDS")
	tc qdisc delete dev "$2" clsact 2>/dev/null || true
	[ ${#VALUES[@]} -eq 2 ] || fail "$*: ${#VALUES[@]} values"
}

# compare RULES INTERFACE FILTER FROM TO FILTER FROM TO
compare()
{
	local before

	before=$(datagrams_at_outside)
	by_turns "$1" "$2" "$4" "$5" "$7" "$8"
	passed "$3 and $6" "$before" "${VALUES[@]}"
	report "$3" "$1" "${VALUES[0]}"
	report "$6" "$1" "${VALUES[1]}"
}

# A comparison that does not see a program of several microseconds would see nothing of one that is a hundred times cheaper.
check_turns()
{
	by_turns 10000 pod0 empty empty slow empty
	python3 -c '
import json, sys
fast, slow = map(json.loads, sys.argv[1:])
sys.exit(any(slow[rate] > 0.9 * fast[rate] for rate in slow if rate.startswith("datagram rate")))' "${VALUES[@]}" ||
		fail "by turns a slow program is no slower: ${VALUES[*]}"
}

# compare_with_empty RULES ROUND
compare_with_empty()
{
	local directory filter

	for filter in empty egressd; do
		[ "$2" -eq 0 ] || break
		put "$filter" "$1"
		check_enforced "$filter"
		take_away "$filter"
	done
	directory=$(programs "$1")
	compare "$1" pod0 empty empty empty egressd "$directory/from_pod" "$directory/to_pod"
}

# flood_rate FILTER FROM TO: what the other pod sends through these programs
flood_rate()
{
	local loud denied begin took

	attach loud0 "$2" "$3"
	flood
	denied=$(denied_of_loud)
	begin=$(date +%s%N)
	loud=$(datagrams_of_loud)
	sleep "$((MILLISECONDS / 1000)).$(printf %03d $((MILLISECONDS % 1000)))"
	loud=$(($(datagrams_of_loud) - loud))
	took=$(($(date +%s%N) - begin))
	denied=$(($(denied_of_loud) - denied))
	attach_end
	[ "$1" != flood-denied ] || [ $denied -ge $loud ] || fail "of $loud packets of the flood only $denied were denied"
	loud=$((loud * 1000000000 / took))
	[ "$loud" -ge "$FLOOD_LEAST" ] || fail "$1: $loud packets a second are no flood"
	echo "{\"filter\": \"$1\", \"rules\": 10000, \"family\": 4, \"flood\": $loud}"
}

measure_floods()
{
	local directory

	directory=$(programs 10000)
	flood_rate flood-dropped drop empty
	flood_rate flood-denied "$directory/from_pod" "$directory/to_pod"
	attach pod0 "$directory/from_pod" "$directory/to_pod"
	flood
	compare 10000 loud0 flood-dropped drop empty flood-denied "$directory/from_pod" "$directory/to_pod"
	attach_end
}

# What rule sets leave behind when they go is felt for a while, so these do not come right after them.
measure_closely()
{
	measure none 10000 "$1"
	compare_with_empty 10000 "$1"
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
	compare_with_empty 10000-ipv6 "$1"
	measure iptables 1000 "$1"
	measure iptables-legacy 1000 "$1"
}

main()
{
	local round

	set_up_network
	prepare_egressd
	check_turns
	for ((round = 0; round < ROUNDS; round++)); do
		measure_closely "$round"
		[ "$round" -ge "$OTHERS" ] || measure_others "$round"
		measure_closely "$round"
		measure_floods
	done
}

main
