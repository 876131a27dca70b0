# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# A node and what hangs on it, inside a sandbox (tests/lib/sandbox): the sandbox's own network namespace is the node,
# which routes between pods and an outside host, each in a namespace of its own.
#
#   pod web    10.1.1.2     fd00:1:1::2      host-side interface "web0"
#   pod db     10.1.2.2     fd00:1:2::2      ... the number is counted up in the order of add_pod
#   outside    192.0.2.10   2001:db8:2::10   more with add_outside_address
#
# A namespace lives in a process that does nothing but hold it: no mount is needed, and it ends with the sandbox.
: "${SANDBOX:?network.sh needs tests/lib/sandbox}"

TRAFFIC=$(dirname "${BASH_SOURCE[0]}")/traffic.py
declare -A HOLDER=()
NEIGHBOURS=()
POD_COUNT=0

# add_namespace NAME
add_namespace()
{
	local own

	own=$(readlink /proc/self/ns/net)
	unshare --net sleep infinity </dev/null >/dev/null 2>&1 &
	HOLDER[$1]=$!
	while [ "$(readlink "/proc/$!/ns/net")" = "$own" ]; do
		sleep 0.005
	done
	on "$1" sh -c 'echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad'
	on "$1" ip link set lo up
}

# netns_path NAME: a path that names the namespace
netns_path()
{
	echo "/proc/${HOLDER[$1]}/ns/net"
}

# on NAME COMMAND...: runs it in the namespace; "node" is this one
on()
{
	local name=$1

	shift
	if [ "$name" = node ]; then
		"$@"
	else
		nsenter --net="/proc/${HOLDER[$name]}/ns/net" -- "$@"
	fi
}

# hardware_address NAME INTERFACE: sysfs would have the interfaces of whoever mounted it
hardware_address()
{
	on "$1" ip -oneline link show dev "$2" | sed 's/.*link.ether \([0-9a-f:]*\) .*/\1/'
}

# add_veth NAME INTERFACE NETWORK4 NETWORK6 HOST: .1 is the node, .HOST the namespace
add_veth()
{
	ip link add "$2" type veth peer name eth0 netns "${HOLDER[$1]}"
	ip address add "$3.1/24" dev "$2"
	ip address add "$4::1/64" dev "$2" nodad
	ip link set "$2" up
	on "$1" ip -batch - <<-EOF
		address add $3.$5/24 dev eth0
		address add $4::$5/64 dev eth0 nodad
		link set eth0 up
		route add default via $3.1
		route add default via $4::1
	EOF
	NEIGHBOURS+=("$3.$5" "$4::$5")
}

# Waits until the node reaches everything that was added: a veth's carrier and IPv6 come up a little later.
network_ready()
{
	local address flows=

	for address in "${NEIGHBOURS[@]}"; do
		flows+="{\"to\": \"$address\", \"protocol\": \"ICMP\"}"$'\n'
	done
	eventually 10 all_pass node "$flows"
}

# all_pass NAME FLOWS
all_pass()
{
	[[ $(probe "$1" 0.5 <<<"$2") != *'"passed": false'* ]]
}

network_setup()
{
	sysctl_set net/ipv4/ip_forward 1
	sysctl_set net/ipv6/conf/all/forwarding 1
	sysctl_set net/ipv6/conf/default/accept_dad 0
	add_namespace outside
	add_veth outside out0 192.0.2 2001:db8:2 10
}

sysctl_set()
{
	echo "$2" >"/proc/sys/$1"
}

# add_pod NAME [INTERFACE]: the interface is NAME0 by default
add_pod()
{
	POD_COUNT=$((POD_COUNT + 1))
	add_namespace "$1"
	add_veth "$1" "${2:-${1}0}" "10.1.$POD_COUNT" "fd00:1:$POD_COUNT" 2
}

# add_outside_address ADDRESS: another address of the outside host, routed there
add_outside_address()
{
	case $1 in
	*:*)
		on outside ip address add "$1/128" dev lo nodad
		ip -6 route add "$1/128" via 2001:db8:2::10
		;;
	*)
		on outside ip address add "$1/32" dev lo
		ip route add "$1/32" via 192.0.2.10
		;;
	esac
}

# serve NAME PORT/PROTOCOL...: echo servers in the namespace, up when it returns
serve()
{
	local name=$1 ready

	shift
	exec {ready}< <(exec nsenter --net="$(netns_path "$name")" -- "$TRAFFIC" serve "$name" "$@" </dev/null)
	read -r -t $((20 * ${TEST_SLOWNESS:-1})) <&$ready
}

# probe NAME TIMEOUT: flows on standard input, results on standard output (see traffic.py)
probe()
{
	on "$1" "$TRAFFIC" probe "$2"
}

# passes NAME ADDRESS PORT/PROTOCOL [SOURCE]: one flow; it fails unless it gets an answer
passes()
{
	local flow="{\"to\": \"$2\", \"port\": ${3%/*}, \"protocol\": \"${3#*/}\"${4:+, \"from\": \"$4\"}}"

	[[ $(probe "$1" 1 <<<"$flow") == *'"passed": true'* ]]
}

# expect_flows NAME: lines "passed|dropped ADDRESS PORT/PROTOCOL" on standard input, all tried at once
expect_flows()
{
	local line expected address port flows='' wrong=0 result lines=()

	while read -r line; do
		[ -n "$line" ] || continue
		read -r expected address port <<<"$line"
		lines+=("$line")
		flows+="{\"to\": \"$address\", \"port\": ${port%/*}, \"protocol\": \"${port#*/}\"}"$'\n'
	done
	while read -r result; do
		read -r expected _ <<<"${lines[0]}"
		# Dropped is silence; any other error means that the packet, or its answer, got through.
		case $result in
		*'"passed": true'*) result=passed ;;
		*'"error": "timeout"'*) result=dropped ;;
		esac
		if [ "$result" != "$expected" ]; then
			echo "$1: meant ${lines[0]}, got $result" >&2
			wrong=$((wrong + 1))
		fi
		lines=("${lines[@]:1}")
	done < <(probe "$1" 1 <<<"$flows")
	[ ${#lines[@]} -eq 0 ] && [ $wrong -eq 0 ]
}
