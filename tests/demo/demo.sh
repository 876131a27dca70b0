#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# egressd at work: a node that routes between pods and an outside host, policies as a user would write them, real
# servers and clients. Every flow is tried and compared with what policy says. Runs in namespaces of its own and
# leaves nothing behind; the exit status is not 0 if any flow does not behave as policy says.
set -eEuo pipefail

HERE=$(cd "$(dirname "$0")" && pwd)
if [ -z "${SANDBOX:-}" ]; then
	exec "$HERE/../lib/sandbox" "$0" "$@"
fi
# shellcheck source=tests/lib/harness.sh
. "$HERE/../lib/harness.sh"
# shellcheck source=tests/lib/network.sh
. "$HERE/../lib/network.sh"
# shellcheck source=tests/lib/agent.sh
. "$HERE/../lib/agent.sh"
# Relative, so that places in files read as short as they do for a user in the directory.
cd "$SANDBOX"
MANIFESTS=manifests
trap 'echo "demo: failed in line $LINENO: $BASH_COMMAND" >&2' ERR

if [ -t 1 ]; then
	BOLD=$'\e[1m' RED=$'\e[31m' GREEN=$'\e[32m' PLAIN=$'\e[0m'
else
	BOLD='' RED='' GREEN='' PLAIN=''
fi

declare -A IPV4=([web]=10.1.1.2 [orders]=10.1.2.2 [dns]=10.1.3.2 [service orders]=10.96.0.10
		 [partner]=198.51.100.10 [partner\'s guest]=198.51.100.200 [elsewhere]=203.0.113.10)
declare -A IPV6=([web]=fd00:1:1::2 [orders]=fd00:1:2::2 [dns]=fd00:1:3::2 [service orders]=fd00:96::10
		 [partner]=2001:db8:100::10 [partner\'s guest]=2001:db8:100:bad::10 [elsewhere]=2001:db8:bad::10)
declare -A POD=([web]=shop/web [orders]=shop/orders [dns]=kube-system/dns)

# from : to : port/protocol : what the policies in policies/ are meant to say
FLOWS=(
	"web:dns:53/UDP:allow"
	"web:dns:53/TCP:allow"
	"web:dns:80/TCP:deny"
	"web:service orders:80/TCP:allow"
	"web:orders:8080/TCP:allow"
	"web:orders:9090/TCP:deny"
	"web:partner:443/TCP:allow"
	"web:partner:80/TCP:deny"
	"web:partner's guest:443/TCP:deny"
	"web:elsewhere:443/TCP:deny"
	"orders:dns:53/UDP:allow"
	"orders:web:8080/TCP:deny"
	"dns:elsewhere:443/TCP:allow"
	"outside:web:8080/TCP:answer"
)
FLOWS_TRIED=0
FLOWS_WRONG=0

title()
{
	printf '\n%s%s%s\n\n' "$BOLD" "$1" "$PLAIN"
}

milliseconds()
{
	echo $((${EPOCHREALTIME/./} / 1000))
}

set_up_network()
{
	network_setup
	add_pod web
	add_pod orders
	add_pod dns
	local name
	for name in partner "partner's guest" elsewhere; do
		add_outside_address "${IPV4[$name]}"
		add_outside_address "${IPV6[$name]}"
	done
	# What kube-proxy would do for the Service.
	nft -f - <<-EOF
		table inet service {
			chain prerouting {
				type nat hook prerouting priority dstnat;
				ip daddr ${IPV4[service orders]} tcp dport 80 dnat ip to ${IPV4[orders]}:8080
				ip6 daddr ${IPV6[service orders]} tcp dport 80 dnat ip6 to [${IPV6[orders]}]:8080
			}
		}
	EOF
	network_ready
	serve web 8080/TCP
	serve orders 8080/TCP 9090/TCP
	serve dns 53/UDP 53/TCP 80/TCP
	serve outside 443/TCP 80/TCP
}

write_manifests()
{
	sed "s#@NETNS@#$(netns_path orders)#" "$HERE/cluster.yaml" >"$MANIFESTS/cluster.yaml"
	cp "$HERE"/policies/*.yaml "$MANIFESTS"
}

# address_of NAME FAMILY
address_of()
{
	if [ "$2" = 4 ]; then echo "${IPV4[$1]}"; else echo "${IPV6[$1]}"; fi
}

# destination NAME FAMILY PORT/PROTOCOL: as egressctl takes it
destination()
{
	if [ "$2" = 4 ]; then echo "${IPV4[$1]}:$3"; else echo "[${IPV6[$1]}]:$3"; fi
}

# try_flows: tries all of FLOWS at once; what happened to flow I in family F is then in HAPPENED[I.F]: "passed",
# "dropped" (nothing came back), or "failed" (something came back that says no)
declare -A HAPPENED=()
try_flows()
{
	local i family from to port names result sources=()

	for i in "${!FLOWS[@]}"; do
		IFS=: read -r from to port _ <<<"${FLOWS[i]}"
		[ -e "$SANDBOX/$from.flows" ] || sources+=("$from")
		for family in 4 6; do
			echo "{\"to\": \"$(address_of "$to" $family)\", \"port\": ${port%/*}, \"protocol\": \"${port#*/}\"}" \
				>>"$SANDBOX/$from.flows"
			echo "$i.$family" >>"$SANDBOX/$from.names"
		done
	done
	for from in "${sources[@]}"; do
		probe "$from" 1 <"$SANDBOX/$from.flows" >"$SANDBOX/$from.results" &
		names+=" $!"
	done
	# shellcheck disable=SC2086 # a list of process ids
	wait $names
	for from in "${sources[@]}"; do
		while read -r i <&3 && read -r result <&4; do
			case $result in
			*'"passed": true'*) HAPPENED[$i]=passed ;;
			*'"error": "timeout"'*) HAPPENED[$i]=dropped ;;
			*) HAPPENED[$i]=failed ;;
			esac
		done 3<"$SANDBOX/$from.names" 4<"$SANDBOX/$from.results"
	done
	rm -f "$SANDBOX"/*.flows "$SANDBOX"/*.names "$SANDBOX"/*.results
}

# what_policy_says FLOW FAMILY
what_policy_says()
{
	local from to port expected

	IFS=: read -r from to port expected <<<"$1"
	if [ "$expected" = answer ]; then
		echo answer
	else
		verdict "${POD[$from]}" "$(destination "$to" "$2" "$port")"
	fi
}

# check_flows show|quiet: tries all flows, compares each with what egressctl explains and with what is meant
check_flows()
{
	local i family from to port expected said happened mark right wrong=0

	try_flows
	[ "$1" = quiet ] || printf '  %-17s %-28s %-8s %-9s %-9s\n' from to policy IPv4 IPv6
	for i in "${!FLOWS[@]}"; do
		IFS=: read -r from to port expected <<<"${FLOWS[i]}"
		mark=${GREEN}ok${PLAIN}
		for family in 4 6; do
			said=$(what_policy_says "${FLOWS[i]}" $family)
			happened=${HAPPENED[$i.$family]}
			right=passed
			[ "$expected" != deny ] || right=dropped
			FLOWS_TRIED=$((FLOWS_TRIED + 1))
			if [ "$said" != "$expected" ] || [ "$happened" != $right ]; then
				wrong=$((wrong + 1))
				mark="${RED}WRONG${PLAIN} (IPv$family: meant $expected, explained $said, $happened)"
			fi
		done
		[ "$1" = quiet ] && [[ $mark == *ok* ]] ||
			printf '  %-17s %-28s %-8s %-9s %-9s %s\n' "${POD[$from]:-$from}" "${POD[$to]:-$to} $port" "$said" \
				"${HAPPENED[$i.4]}" "${HAPPENED[$i.6]}" "$mark"
	done
	FLOWS_WRONG=$((FLOWS_WRONG + wrong))
	[ "$1" = show ] ||
		echo "  all ${#FLOWS[@]} flows again, IPv4 and IPv6: $((2 * ${#FLOWS[@]} - wrong)) as policy says, $wrong not"
}

# exchanges: how many there were on the open connection
exchanges()
{
	cat "$SANDBOX/stream" 2>/dev/null || echo 0
}

exchanges_beyond()
{
	[ "$(exchanges)" -gt "$1" ]
}

# connection_goes_on WHEN
connection_goes_on()
{
	if eventually 5 exchanges_beyond "$(exchanges)" 2>/dev/null; then
		echo "  the open connection goes on $1 (exchange $(exchanges))"
	else
		echo "  ${RED}WRONG${PLAIN}: the open connection does not go on $1"
		FLOWS_WRONG=$((FLOWS_WRONG + 1))
	fi
	FLOWS_TRIED=$((FLOWS_TRIED + 1))
}

# connection_stopped: nothing is exchanged any more; one exchange may have been on its way
connection_stopped()
{
	local before

	sleep 0.1
	before=$(exchanges)
	sleep 0.6
	FLOWS_TRIED=$((FLOWS_TRIED + 1))
	if [ "$(exchanges)" -eq "$before" ]; then
		echo "  the open connection stopped at once (at exchange $before)"
	else
		echo "  ${RED}WRONG${PLAIN}: the open connection still exchanges data"
		FLOWS_WRONG=$((FLOWS_WRONG + 1))
	fi
}

# set_flow INDEX VERDICT
set_flow()
{
	FLOWS[$1]=${FLOWS[$1]%:*}:$2
}

# allow_orders_port PORT: changes one policy file, as an editor would
allow_orders_port()
{
	sed "s/port: [0-9]*/port: $1/" "$HERE/policies/web-to-orders.yaml" >"$SANDBOX/changed"
	mv "$SANDBOX/changed" "$MANIFESTS/web-to-orders.yaml"
}

show_counters()
{
	echo "  GET http://$LISTEN/metrics:"
	http_get /metrics | grep -E '^egressd_(allowed|dropped)_packets_total.*pod="(web|orders)".* [1-9][0-9]*$' | sed 's/^/    /'
	echo
	echo "  egressctl pods (less its last column):"
	egressctl pods | sed 's/^/    /; s/ *[^ ]*$//'
}

show_explanation()
{
	local to

	to=$(destination "partner's guest" 4 443/TCP)
	echo "  egressctl explain --from shop/web --to $to:"
	# Continuations of lines that are too long are indented further.
	egressctl explain --from shop/web --to "$to" | fold --spaces --width=92 | sed '2,$s/^[^ ]/      &/; s/^/    /; s/ *$//'
	echo
	echo "  egressctl drops -n 3 (less its first and last column):"
	egressctl drops -n 3 | cut --characters=27- | sed -E 's/^/    /; s/ +(WHY|default deny)$//'
}

main()
{
	local started before=0 stream

	set_up_network
	write_manifests
	started=$(milliseconds)
	agent_up --log-level info
	title "1. egressd is up ($(($(milliseconds) - started)) ms until ready). Every flow, tried over IPv4 and IPv6:"
	check_flows show

	title "2. What was counted, and why a packet was dropped"
	show_counters
	echo
	show_explanation

	title "3. The agent is killed with SIGKILL while a connection from shop/web to the service is open"
	on web "$TRAFFIC" stream "${IPV4[service orders]}" 80 "$SANDBOX/stream" &
	stream=$!
	eventually 5 exchanges_beyond 5
	before=$(metric 'egressd_dropped_packets_total{namespace="shop",pod="web",reason="policy"}')
	agent_kill
	connection_goes_on "without the agent"
	check_flows quiet
	agent_up --log-level info
	echo "  a new agent has adopted what is in the kernel"
	connection_goes_on "with the new agent"
	if [ "$(metric 'egressd_dropped_packets_total{namespace="shop",pod="web",reason="policy"}')" -le "$before" ]; then
		fail "the new agent did not go on from the counters of the old one ($before)"
	fi
	echo "  drops of shop/web: $before counted before the kill," \
		"$(metric 'egressd_dropped_packets_total{namespace="shop",pod="web",reason="policy"}') by now"

	title "4. web-to-orders.yaml is changed to port 9090 while that connection, to port 8080, is open"
	started=$(milliseconds)
	after_change allow_orders_port 9090
	echo "  in force after $(($(milliseconds) - started)) ms"
	connection_stopped
	set_flow 3 deny
	set_flow 4 deny
	set_flow 5 allow
	check_flows quiet
	after_change allow_orders_port 8080
	echo "  changed back to 8080:"
	set_flow 3 allow
	set_flow 4 allow
	set_flow 5 deny
	connection_goes_on "as if nothing had been"
	check_flows quiet
	kill "$stream"

	agent_stop
	title "$FLOWS_TRIED flows tried, $FLOWS_WRONG not as policy says"
	[ "$FLOWS_WRONG" -eq 0 ] || exit 1
}

main
