#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# A cluster of one node: etcd, kube-apiserver, controller manager and scheduler; containerd, a kubelet and kube-proxy; the
# standard CNI plugins; CoreDNS. deploy/ is applied as it stands, and every flow of tests/e2e/flows tried between pods;
# then policy changes, pods come, and the agent's pod goes. All tests share the cluster, and run in this order.
#
#   e2e.sh [TEST...]    these tests only; "flows" is all of tests/e2e/flows
#   e2e.sh --shell      a shell on the cluster instead, with kubectl
#
# $E2E_NETWORK and $E2E_PROXY are what node.sh says.
# shellcheck disable=SC2119 # functions with optional arguments
# shellcheck source=tests/lib/harness.sh
. "$(dirname "$0")/../lib/harness.sh"
# All tests share one.
# shellcheck disable=SC2034 # read by run_tests
TEST_SANDBOX=no TEST_TIMEOUT=120
HERE=$TESTS/e2e
VERSION=$(sed -n 's/^#define EGRESSD_VERSION "\(.*\)"/\1/p' "$ROOT/include/egressd/version.h")

# skip_all REASON: as one test
skip_all()
{
	echo "1..1"
	echo "ok 1 - a cluster of one node # SKIP $*"
	exit 0
}

# fail_all FILE: as one test, with its last lines
fail_all()
{
	echo "1..1"
	echo "not ok 1 - a cluster of one node"
	tail -n 60 "$1" | sed 's/^/# /'
	exit 1
}

# ---------------------------------------------------------------- outside of the sandbox: what is built, and the frame

# get_ready: programs and images
get_ready()
{
	local log=$1 status=0

	[ -x /usr/lib/cni/bridge ] || fail "the standard CNI plugins are not in /usr/lib/cni"
	"$TESTS/kube/build-binaries" etcd kube-apiserver kubectl kubelet kube-controller-manager kube-scheduler kube-proxy \
		>"$log.kube" 2>>"$log" || status=$?
	[ $status -ne 77 ] || skip_all "no Go to build Kubernetes with"
	[ $status -eq 0 ] || fail_all "$log"
	"$TESTS/lib/go-tool" coredns >"$log.dns" 2>>"$log" || fail_all "$log"
	# Of this machine's kind alone.
	{ "$ROOT/deploy/image/build" && "$ROOT/deploy/kind/traffic-image"; } >>"$log" 2>&1 || fail_all "$log"
}

frame()
{
	local status=0

	LOG=$(mktemp)
	trap 'rm -f "$LOG"*' EXIT
	get_ready "$LOG"
	export KUBE_PROGRAMS DNS_PROGRAM
	KUBE_PROGRAMS=$(cat "$LOG.kube")
	DNS_PROGRAM=$(cat "$LOG.dns")
	"$HERE/own-cgroups" "$TESTS/lib/sandbox" bash "$0" "$@" 2>"$LOG.frame" || status=$?
	[ $status -ne 77 ] || skip_all "$(tail -n 1 "$LOG.frame")"
	cat "$LOG.frame" >&2
	exit $status
}

if [ -z "${SANDBOX:-}" ]; then
	frame "$@"
fi

# ---------------------------------------------------------------- inside: the cluster

# shellcheck source=tests/lib/network.sh
. "$TESTS/lib/network.sh"
# shellcheck source=tests/lib/kube.sh
. "$TESTS/lib/kube.sh"
# shellcheck source=tests/e2e/node.sh
. "$HERE/node.sh"
export METRICS=http://$NODE_ADDRESS:9711/metrics
PARTNER=198.51.100.10
# Capabilities of the DaemonSet's that are not to be had on this machine.
LACKING=$("$HERE/without.py" --lacking)

log()
{
	echo "# $(date +%T) $*"
}

# The images of the pods, as a registry would give them.
import_images()
{
	local name

	for name in egressd egressd-traffic; do
		containerd_images import "$ROOT/build/image/$name-$VERSION-$(dpkg --print-architecture).tar" >/dev/null
	done
	mkdir "$SANDBOX/coredns" "$SANDBOX/first"
	cp "$DNS_PROGRAM" "$SANDBOX/coredns/coredns"
	scratch_image egressd.test/coredns:1 "$SANDBOX/coredns" /coredns
	gcc -O2 -static -o "$SANDBOX/first/first_packet" "$TESTS/cni/first_packet.c"
	scratch_image egressd.test/first-packet:1 "$SANDBOX/first" /first_packet
}

pods_are_ready()
{
	kubectl wait --for=condition=Ready pod --all --all-namespaces --timeout=60s >/dev/null
}

# agent COMMAND...: in the agent's pod
agent()
{
	kubectl -n kube-system exec daemonset/egressd -- "$@"
}

# apply_deployment DIRECTORY: `kubectl apply -k`. Where this machine itself lacks a capability that pods are to have, which
# no container could get, without that one.
apply_deployment()
{
	local overlay

	if [ -z "$LACKING" ]; then
		kubectl apply -k "$1" >/dev/null
		return
	fi
	overlay=$(mktemp --directory "$SANDBOX/overlay.XXXXXX")
	"$HERE/without.py" "$(realpath --relative-to="$overlay" "$1")" "$LACKING" < <(kubectl kustomize "$1") \
		>"$overlay/kustomization.yaml"
	kubectl apply -k "$overlay" >/dev/null
}

agent_up()
{
	apply_deployment "$ROOT/deploy"
	eventually 20 agents_pod_is_there
	kubectl -n kube-system rollout status daemonset/egressd --timeout=90s >/dev/null
}

agents_pod_is_there()
{
	[ -n "$(kubectl -n kube-system get pod -l app.kubernetes.io/name=egressd -o name)" ]
}

# metric NAME: the sum over its labels
metric()
{
	curl --silent --fail --max-time 30 "$METRICS" | awk -v name="$1" '$1 ~ "^" name "({|$)" { sum += $2; found = 1 }
		END { if (found) printf "%d\n", sum }'
}

# metric_is NAME VALUE
metric_is()
{
	[ "$(metric "$1")" = "$2" ]
}

# after_change COMMAND...: runs it and waits until the agent has put its outcome in force
after_change()
{
	local before

	before=$(metric egressd_generation)
	"$@" >/dev/null
	eventually 10 generation_beyond "$before"
}

generation_beyond()
{
	[ "$(metric egressd_generation)" -gt "$1" ]
}

# The pods that are enforced: all but those in the node's own network.
pods_with_network()
{
	kubectl get pod --all-namespaces \
		-o 'jsonpath={range .items[?(@.status.phase=="Running")]}{.spec.hostNetwork}{" "}{.metadata.namespace}/{.metadata.name}{"\n"}{end}' |
		sed -n 's/^ //p' | sort
}

# Controllers make it in every new namespace; without it there are no pods.
account_is_there()
{
	kubectl -n "$1" get serviceaccount default >/dev/null 2>&1
}

cluster_up()
{
	local early='app in (web, orders, api)' name address

	log "the node"
	node_up
	import_images
	for address in $PARTNER 198.51.100.200 203.0.113.10; do
		add_outside_address "$address"
	done
	serve outside 443/TCP 80/TCP 443/UDP
	log "the resolver, policies, services, and some of the pods"
	kubectl apply -f "$HERE/dns.yaml" >/dev/null
	kubectl apply -f "$HERE/pods.yaml" -l team >/dev/null
	for name in kube-system shop ops vault; do
		eventually 30 account_is_there $name
	done
	kubectl apply -f "$HERE/pods.yaml" -l "$early" >/dev/null
	kubectl apply -f "$HERE/services.yaml" >/dev/null
	kubectl apply -f "$HERE/policies.yaml" >/dev/null
	for name in default-deny allow-dns allow-between-apps allow-cidr-except; do
		kubectl apply -f "$ROOT/deploy/examples/$name.yaml" >/dev/null
	done
	pods_are_ready
	log "egressd${LACKING:+, without $LACKING, which this machine itself has not}"
	agent_up
	log "the other pods"
	kubectl apply -f "$HERE/pods.yaml" >/dev/null
	pods_are_ready
	eventually 10 metric_is egressd_endpoints "$(pods_with_network | wc -l)"
	log "ready"
	declare -p HOLDER NODE_HOLDER KUBECTL_PROGRAM KUBE_API_PROGRAM ETCD_PROGRAM >"$SANDBOX/cluster"
	mkdir "$SANDBOX/bin"
	ln -s "$KUBECTL_PROGRAM" "$SANDBOX/bin/kubectl"
}

# ---------------------------------------------------------------- flows

# Each line of tests/e2e/flows is a test by that name.
flow_names()
{
	sed -e '/^#/d' -e '/^$/d' -e 's/ /_/; s/ /_to_/; s/ /_/; s/ /_/' -e 's/ .*//' "$HERE/flows"
}

# flow NUMBER
flow()
{
	local words

	read -ra words < <(sed -e '/^#/d' -e '/^$/d' "$HERE/flows" | sed -n "$1p")
	"$HERE/flow.py" "${words[@]}"
}

# ---------------------------------------------------------------- and what changes

test_every_pod_is_enforced_and_nothing_complains()
{
	assert_equal "pods" "$(pods_with_network)" \
		"$(agent egressctl -o json pods | /usr/bin/python3 -c '
import json, sys
print("\n".join(sorted("%s/%s" % (pod["namespace"], pod["pod"]) for pod in json.load(sys.stdin) if pod["attached"])))')"
	assert_equal "the last plugin" egress-cni "$(json plugins.-1.type <"$NODE/etc/cni/net.d/10-pods.conflist")"
	assert_matches "status" "^Ready +yes" "$(agent egressctl status)"
	assert_equal "mismatches" 0 "$(metric egressd_endpoints_mismatched)"
	# But that a Service is denied because of one of its backends is to be told.
	assert_no_match "the agent's log" 'forbidden|"level":"(error|warning)"' \
		"$(kubectl -n kube-system logs daemonset/egressd | grep -v 'is denied to pods .*(Service shop/backends)')"
}

test_drops_are_told_with_pod_and_destination()
{
	local line

	fails "$HERE/flow.py" shop/web TCP address:203.0.113.10 80 allowed outside >/dev/null
	line=$(agent egressctl -o json drops --pod shop/web -n 1 | json '')
	assert_matches "the last drop" '"203.0.113.10".*' "$line"
	assert_matches "its reason" '"reason": "policy"' "$line"
	assert_matches "its port" '"destination_port": 80' "$line"
}

stream_goes_on()
{
	local before

	before=$(kubectl -n shop exec web -- python3 -c 'print(open("/tmp/stream").read())')
	sleep 0.5
	[ "$(kubectl -n shop exec web -- python3 -c 'print(open("/tmp/stream").read())')" != "$before" ]
}

# stream_start: from web to orders, through the Service
stream_start()
{
	local address

	address=$(kubectl -n shop get service orders -o jsonpath='{.spec.clusterIP}')
	kubectl -n shop exec web -- traffic.py stream "$address" 80 /tmp/stream </dev/null >/dev/null 2>&1 &
	eventually 5 stream_goes_on 2>/dev/null
}

# allow_orders_port PORT
allow_orders_port()
{
	sed "s/port: 8080/port: $1/" "$ROOT/deploy/examples/allow-between-apps.yaml" | kubectl apply -f -
}

test_policy_change_cuts_an_open_connection()
{
	stream_start
	after_change allow_orders_port 9090
	fails stream_goes_on
	"$HERE/flow.py" shop/web TCP service:shop/orders 80 denied
	# Not while the stream sends again what is dropped, which it does ever more seldom.
	eventually 20 "$HERE/flow.py" shop/web TCP service:shop/orders 81 allowed 'orders-[12]'
	after_change allow_orders_port 8080
	# TCP sends again what was dropped.
	eventually 20 stream_goes_on
	"$HERE/flow.py" shop/web TCP service:shop/orders 81 denied
}

test_label_of_a_pod_is_followed()
{
	after_change kubectl -n shop label pod payments app=orders --overwrite
	eventually 5 "$HERE/flow.py" shop/web TCP pod:shop/payments 8080 allowed payments
	eventually 5 "$HERE/flow.py" shop/web TCP service:shop/backends 80 allowed 'orders-[12]|payments'
	after_change kubectl -n shop label pod payments app=payments --overwrite
	"$HERE/flow.py" shop/web TCP pod:shop/payments 8080 denied
	"$HERE/flow.py" shop/web TCP service:shop/backends 80 denied
}

# late_pods COUNT: whose first packets go to a denied and to an allowed port outside
late_pods()
{
	local number

	for ((number = 0; number < $1; number++)); do
		cat <<-EOF
			---
			apiVersion: v1
			kind: Pod
			metadata: {name: late-$number, namespace: vault, labels: {app: late}}
			spec:
			  restartPolicy: Never
			  automountServiceAccountToken: false
			  terminationGracePeriodSeconds: 1
			  containers:
			    - name: first
			      image: egressd.test/first-packet:1
			      imagePullPolicy: Never
			      args: [/first_packet, late-$number, "192.0.2.10:9999", "192.0.2.10:8888"]
		EOF
	done
}

late_policy()
{
	kubectl apply -f - <<-EOF
		apiVersion: networking.k8s.io/v1
		kind: NetworkPolicy
		metadata: {name: late, namespace: vault}
		spec:
		  podSelector: {matchLabels: {app: late}}
		  policyTypes: [Egress]
		  egress: [{to: [{ipBlock: {cidr: 192.0.2.10/32}}], ports: [{port: 8888, protocol: UDP}]}]
	EOF
}

# capture: what comes to the outside host is in $SANDBOX/seen
capture()
{
	: >"$SANDBOX/seen"
	exec {captured}< <(exec nsenter --net="$(netns_path outside)" -- "$TESTS/cni/runtime.py" capture "$SANDBOX/seen" </dev/null)
	read -r -t 20 <&"$captured"
}

# seen PORT: pods of which a datagram to it came out
seen()
{
	sed -n "s/^$1 //p" "$SANDBOX/seen" | sort -u
}

late_pods_ended()
{
	[ "$(kubectl -n vault get pod -l app=late -o 'jsonpath={range .items[*]}{.status.phase}{"\n"}{end}' |
		grep -c Succeeded)" -eq "$1" ]
}

test_first_packet_of_a_new_pod_is_judged()
{
	local count=8

	capture
	after_change late_policy
	late_pods $count | kubectl apply -f - >/dev/null
	eventually 60 late_pods_ended $count
	sleep 0.2
	assert_equal "pods whose denied packet came out" '' "$(seen 9999)"
	assert_equal "pods whose allowed packet came out" $count "$(seen 8888 | wc -l)"
	kubectl -n vault delete pod -l app=late --grace-period=0 --force >/dev/null 2>&1
}

agents_pod()
{
	kubectl -n kube-system get pod -l app.kubernetes.io/name=egressd -o 'jsonpath={.items[0].metadata.uid}'
}

agent_is_another()
{
	[ "$(agents_pod)" != "$1" ]
}

# denied_until FILE: tries what is denied until the file is there; writes what got through
denied_until()
{
	while [ ! -e "$1" ]; do
		kubectl -n shop exec -i web -- traffic.py probe 0.3 <<-EOF | grep -v timeout >>"$SANDBOX/leaks" || true
			{"to": "$PARTNER", "port": 80, "protocol": "TCP"}
			{"to": "203.0.113.10", "port": 443, "protocol": "UDP"}
		EOF
		echo tried >>"$SANDBOX/tries"
	done
}

test_agents_pod_is_deleted_and_policy_stays_in_force()
{
	local before

	rm -f "$SANDBOX/enough" "$SANDBOX/leaks" "$SANDBOX/tries"
	: >"$SANDBOX/leaks"
	stream_start
	denied_until "$SANDBOX/enough" &
	before=$(agents_pod)
	kubectl -n kube-system delete pod -l app.kubernetes.io/name=egressd --wait=false >/dev/null
	eventually 30 agent_is_another "$before"
	kubectl -n kube-system rollout status daemonset/egressd --timeout=60s >/dev/null
	touch "$SANDBOX/enough"
	wait %denied_until
	[ "$(wc -l <"$SANDBOX/tries")" -ge 3 ]
	assert_equal "what got through" '' "$(cat "$SANDBOX/leaks")"
	stream_goes_on
	eventually 10 metric_is egressd_endpoints "$(pods_with_network | wc -l)"
}

test_without_the_daemonset_policy_stays_and_a_new_pod_may_send_nothing()
{
	local count=2

	kubectl delete -k "$ROOT/deploy" >/dev/null
	eventually 30 not agents_pod_is_there
	capture
	late_pods $count | kubectl apply -f - >/dev/null
	eventually 60 late_pods_ended $count
	sleep 0.2
	assert_equal "pods of which something came out" '' "$(cut -d' ' -f2- "$SANDBOX/seen" | grep late | sort -u)"
	kubectl -n shop exec -i web -- traffic.py probe 0.5 >"$SANDBOX/probe" <<-EOF
		{"to": "$PARTNER", "port": 443, "protocol": "TCP"}
		{"to": "$PARTNER", "port": 80, "protocol": "TCP"}
	EOF
	assert_equal "flows of web" "true null false \"timeout\"" \
		"$(jq_flows <"$SANDBOX/probe")"
	kubectl -n vault delete pod -l app=late --grace-period=0 --force >/dev/null 2>&1
	agent_up
	eventually 10 metric_is egressd_endpoints "$(pods_with_network | wc -l)"
	"$HERE/flow.py" shop/web TCP pod:shop/orders-1 8080 allowed orders-1
}

jq_flows()
{
	/usr/bin/python3 -c '
import json, sys
print(" ".join("%s %s" % (json.dumps(row["passed"]), json.dumps(row["error"])) for row in map(json.loads, sys.stdin)))'
}

test_uninstall_takes_all_of_it_off_the_node()
{
	kubectl delete -k "$ROOT/deploy" >/dev/null
	apply_deployment "$ROOT/deploy/kustomize/uninstall"
	kubectl -n kube-system rollout status daemonset/egressd-uninstall --timeout=60s >/dev/null
	kubectl delete -k "$ROOT/deploy/kustomize/uninstall" >/dev/null
	assert_equal "the last plugin" portmap "$(json plugins.-1.type <"$NODE/etc/cni/net.d/10-pods.conflist")"
	[ ! -e "$NODE/opt/cni/bin/egress-cni" ]
	assert_equal "pins" '' "$(find "$NODE/sys/fs/bpf" -mindepth 1 -not -name '*.debug')"
	kubectl -n shop exec -i web -- traffic.py probe 0.5 >"$SANDBOX/probe" <<-EOF
		{"to": "$PARTNER", "port": 80, "protocol": "TCP"}
		{"to": "203.0.113.10", "port": 443, "protocol": "UDP"}
	EOF
	assert_equal "flows of web" "true null true null" "$(jq_flows <"$SANDBOX/probe")"
	agent_up
	"$HERE/flow.py" shop/web TCP address:$PARTNER 80 denied
}

after_failure()
{
	echo "--- pods:"
	kubectl get pods --all-namespaces -o wide
	echo "--- logs of egressd's pods:"
	for name in $(kubectl -n kube-system get pods -o name | grep egressd); do
		kubectl -n kube-system logs "$name" --all-containers --prefix --tail=20 || true
	done
}

# Everything that may say why there is no cluster.
tell_logs()
{
	local name

	for name in node api kubelet containerd proxy controller-manager scheduler; do
		[ ! -s "$SANDBOX/$name.log" ] || tail -n 15 "$SANDBOX/$name.log" | sed "s/^/$name: /"
	done
	[ ! -e "$SANDBOX/admin.conf" ] || kubectl get pods --all-namespaces -o wide || true
	[ ! -e "$SANDBOX/admin.conf" ] || kubectl get events --all-namespaces | tail -n 20 || true
}

mapfile -t flows < <(flow_names)
for index in "${!flows[@]}"; do
	eval "${flows[index]}() { flow $((index + 1)); }"
done

if [ "${1:-}" = --one ]; then
	# shellcheck disable=SC1091 # written by cluster_up
	. "$SANDBOX/cluster"
	export PATH=$SANDBOX/bin:$PATH KUBECONFIG=$SANDBOX/admin.conf
	run_tests "$@"
	exit
fi
if [ "${1:-}" = --cluster ]; then
	trap 'echo "line $LINENO: $BASH_COMMAND (status $?)" >&2' ERR
	cluster_up
	exit
fi
# A process of its own, which ends at what fails.
if ! bash "$0" --cluster 2>"$SANDBOX/errors" </dev/null; then
	{ tell_logs; cat "$SANDBOX/errors"; } >"$SANDBOX/why" 2>&1
	fail_all "$SANDBOX/why"
fi
case ${1:-} in
--shell)
	PATH=$SANDBOX/bin:$PATH KUBECONFIG=$SANDBOX/admin.conf bash -i
	;;
'')
	mapfile -t others < <(sed -n 's/^\(test_[A-Za-z0-9_]*\)().*/\1/p' "$0")
	run_tests "${flows[@]}" "${others[@]}"
	;;
flows)
	run_tests "${flows[@]}"
	;;
*)
	run_tests "$@"
	;;
esac
