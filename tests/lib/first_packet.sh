# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# Containers whose first packet goes where policy denies it, on networks of the standard CNI plugins with egress-cni
# chained behind them, and an outside host that sees what comes out. After harness.sh; brings network.sh, agent.sh and
# plugin.sh along.
# shellcheck source=tests/lib/network.sh
. "$TESTS/lib/network.sh"
# shellcheck source=tests/lib/agent.sh
. "$TESTS/lib/agent.sh"
# shellcheck source=tests/lib/plugin.sh
. "$TESTS/lib/plugin.sh"

PLUGINS=${CNI_PLUGINS:-/usr/lib/cni}
RUNTIME=$TESTS/cni/runtime.py
DENIED=9999
ALLOWED=8888

# conflist [PLUGIN...]: JSON of the plugins before ours
conflist()
{
	local plugin plugins=

	for plugin; do
		plugins+="$plugin, "
	done
	cat <<-EOF
		{"cniVersion": "1.0.0", "name": "pods", "plugins": [$plugins
		 {"type": "egress-cni", "stateDir": "$STATE", "pinDir": "$PIN"}]}
	EOF
}

host_local()
{
	echo "\"ipam\": {\"type\": \"host-local\", \"dataDir\": \"$SANDBOX/ipam\",
		\"ranges\": [[{\"subnet\": \"10.9.0.0/16\"}]], \"routes\": [{\"dst\": \"0.0.0.0/0\"}]}"
}

bridge()
{
	echo "{\"type\": \"bridge\", \"bridge\": \"cni0\", \"isGateway\": true, \"hairpinMode\": true, $(host_local)}"
}

ptp()
{
	echo "{\"type\": \"ptp\", $(host_local)}"
}

portmap()
{
	echo '{"type": "portmap", "capabilities": {"portMappings": true}, "snat": false}'
}

# pod_uid NUMBER
pod_uid()
{
	printf '00000000-0000-4000-8000-%012d' "$1"
}

# pods_that_may_send COUNT: their manifests, and a policy that allows them one destination
pods_that_may_send()
{
	local number

	{
		for ((number = 0; number < $1; number++)); do
			cat <<-EOF
				---
				apiVersion: v1
				kind: Pod
				metadata:
				  name: pod-$number
				  uid: $(pod_uid "$number")
				  labels: {app: web}
				spec: {nodeName: node-a}
			EOF
		done
	} | manifest pods.yaml
	manifest policy.yaml <<-EOF
		apiVersion: networking.k8s.io/v1
		kind: NetworkPolicy
		metadata: {name: web}
		spec:
		  podSelector: {matchLabels: {app: web}}
		  policyTypes: [Egress]
		  egress: [{to: [{ipBlock: {cidr: 192.0.2.10/32}}], ports: [{port: $ALLOWED, protocol: UDP}]}]
	EOF
}

# outside_watches: an outside host, what comes to it is in $SANDBOX/seen; and a program for the containers in $1
outside_watches()
{
	[ -x "$PLUGINS/bridge" ] || fail "the standard CNI plugins are not in $PLUGINS"
	command -v runc >/dev/null || fail "runc is not installed"
	network_setup
	network_ready
	on outside ip route replace default via 192.0.2.1
	mkdir -p "$1"
	gcc -O2 -static -o "$1/first_packet" "$TESTS/cni/first_packet.c"
	# runc and iptables keep locks and state in /run, which is not ours alone.
	mount -t tmpfs none /run
	exec {captured}< <(exec nsenter --net="$(netns_path outside)" -- "$RUNTIME" capture "$SANDBOX/seen" </dev/null)
	read -r -t 20 <&"$captured"
}

# seen PORT: pods of which at least one datagram to it came out
seen()
{
	sed -n "s/^$1 //p" "$SANDBOX/seen" | sort -u
}

nothing_denied_was_seen()
{
	sleep 0.2
	assert_equal "pods whose denied packet came out" '' "$(seen "$DENIED")"
}

# Killed, started, stopped, started, for as long as containers start.
restart_the_agent()
{
	while [ ! -e "$SANDBOX/enough" ]; do
		agent_start --lock wait
		sleep "0.$((RANDOM % 9))$((RANDOM % 9 + 1))"
		sleep $((RANDOM % 2))
		if [ $((RANDOM % 2)) -eq 0 ]; then
			kill -KILL "$AGENT" || cat "$AGENT_LOG"
		else
			kill -TERM "$AGENT" || cat "$AGENT_LOG"
		fi
		wait "$AGENT" 2>/dev/null || true
		echo again >>"$SANDBOX/restarts"
	done
}
