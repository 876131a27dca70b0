#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# deploy/ and a real API server: it takes every object as it stands, and the rights that deploy/ grants are what the
# agent needs, and no more. The agent is the one of the image, as the DaemonSet's container finds things.
# shellcheck disable=SC2119 # functions with optional arguments
# shellcheck source=tests/lib/harness.sh
. "$(dirname "$0")/../lib/harness.sh"
# shellcheck disable=SC2034 # read by run_tests
TEST_TIMEOUT=1200
# shellcheck source=tests/lib/kube.sh
. "$TESTS/lib/kube.sh"
CHART=$ROOT/deploy/helm/egressd
NETWORK='{"cniVersion": "1.0.0", "name": "pods", "plugins": [{"type": "ptp"}]}'
ACCOUNT=system:serviceaccount:kube-system:egressd
# The operator's own definition of a PodMonitor.
OPERATOR=github.com/prometheus-operator/prometheus-operator@v0.85.0

if [ "${1:-}" != --one ]; then
	# Building them takes longer than any test's limit.
	(kube_find) >/dev/null 2>&1 || true
	"$TESTS/lib/go-tool" helm >/dev/null 2>&1 || true
	"$TESTS/deploy/images" >/dev/null 2>&1 || true
	go mod download "$OPERATOR" >/dev/null 2>&1 || true
fi

# server_up: nothing of egressd's on it yet
server_up()
{
	kube_up
	kubectl delete clusterrole,clusterrolebinding egressd >/dev/null
	eventually 20 namespace_is_there kube-system
}

# strictly COMMAND...: kubectl, and every warning of the server's is an error
strictly()
{
	kubectl "$@" --warnings-as-errors
}

test_server_takes_the_kustomizations()
{
	server_up
	strictly apply -k "$ROOT/deploy" --dry-run=server
	strictly apply -k "$ROOT/deploy"
	assert_equal "second time" "unchanged" "$(kubectl apply -k "$ROOT/deploy" | sed 's/.* //' | sort -u)"
	kubectl delete -k "$ROOT/deploy"
	strictly apply -k "$ROOT/deploy/kustomize/uninstall"
	# Or nothing above could fail.
	sed 's/hostNetwork:/hostNetwrk:/' "$ROOT/deploy/kustomize/base/daemonset.yaml" >"$SANDBOX/wrong.yaml"
	fails strictly apply --dry-run=server -f "$SANDBOX/wrong.yaml"
}

test_server_takes_the_chart_with_its_options()
{
	local helm status=0 definitions

	helm=$("$TESTS/lib/go-tool" helm) || status=$?
	[ $status -ne 77 ] || skip "Go is not installed, which helm is built with"
	server_up
	definitions=$(GOPROXY=off GONOSUMDB='*' go mod download -json "$OPERATOR" | json Dir)
	strictly create -f "$definitions/example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml" >/dev/null
	kubectl wait --for=condition=Established crd/podmonitors.monitoring.coreos.com --timeout=60s
	"$helm" template egressd "$CHART" --namespace kube-system --kube-version 1.30.0 \
		--set podMonitor.enabled=true,podMonitor.labels.release=prometheus,dashboard.enabled=true \
		--set apiServer.host=192.0.2.1,apiServer.port=6443,podAnnotations.a=b,podLabels.c=d \
		--set imagePullSecrets[0].name=registry,metrics.address=127.0.0.1 >"$SANDBOX/chart.yaml"
	strictly apply --dry-run=server -f "$SANDBOX/chart.yaml"
	strictly apply -f "$SANDBOX/chart.yaml"
	kubectl -n kube-system get podmonitor egressd
}

test_server_takes_examples_and_demo()
{
	server_up
	kubectl create namespace shop
	kubectl create namespace bench
	for file in "$ROOT"/deploy/examples/*.yaml "$ROOT"/deploy/kind/{pods,bench}.yaml; do
		# That one is for nodes without a cluster: it has a status, and no containers.
		[ "${file##*/}" != pod.yaml ] || continue
		strictly apply --dry-run=server -f "$file"
	done
}

# Everything that the account may do, one "VERB RESOURCE" a line, but for what everyone may.
granted()
{
	kubectl auth can-i --list --as "$ACCOUNT" --no-headers |
		awk '$1 !~ /^\[/ && $1 !~ /^self/ { resource = $1; sub(/.*\[\] *\[\] */, ""); gsub(/[][]/, ""); n = split($0, verbs, " ")
			for (i = 1; i <= n; i++) print verbs[i], resource }' | sort
}

test_account_may_read_and_nothing_else()
{
	local resource expected=''

	server_up
	kubectl apply -k "$ROOT/deploy" >/dev/null
	for resource in endpointslices.discovery.k8s.io namespaces networkpolicies.networking.k8s.io nodes pods services; do
		expected+="get $resource"$'\n'"list $resource"$'\n'"watch $resource"$'\n'
	done
	expected+="create events"$'\n'"patch events"
	assert_equal "rights" "$(sort <<<"$expected")" "$(granted)"
	fails kubectl auth can-i get secrets --as "$ACCOUNT"
	fails kubectl auth can-i delete pods --as "$ACCOUNT" --all-namespaces
	fails kubectl auth can-i update networkpolicies.networking.k8s.io --as "$ACCOUNT" --all-namespaces
}

# container_up: the image's files as a root directory, with what a kubelet and the DaemonSet put there
container_up()
{
	local root=$SANDBOX/root secrets
	local arch layer

	arch=$(dpkg --print-architecture)
	read -r layer _ <"$ROOT/build/image/$arch/layer"
	mkdir "$root"
	tar --extract --gzip --file="$ROOT/build/image/$arch/blobs/sha256/$layer" --directory="$root"
	secrets=$root/var/run/secrets/kubernetes.io/serviceaccount
	mkdir -p "$secrets" "$root"/{run/egressd,etc/cni/net.d,opt/cni/bin}
	echo "$NETWORK" >"$root/etc/cni/net.d/10-pods.conflist"
	kubectl -n kube-system create token egressd >"$secrets/token"
	cp "$SANDBOX/pki/ca.crt" "$secrets/ca.crt"
	echo -n kube-system >"$secrets/namespace"
	mount -t proc proc "$root/proc"
	mount --rbind /sys "$root/sys"
}

agent_in_container()
{
	local options

	mapfile -t options < <("$TESTS/deploy/manifests.py" options "$ROOT/deploy/kustomize/base/daemonset.yaml")
	env -i PATH=/usr/sbin NODE_NAME=node-1 KUBERNETES_SERVICE_HOST=127.0.0.1 KUBERNETES_SERVICE_PORT=6443 \
		chroot "$SANDBOX/root" egressd run "${options[@]}" </dev/null >>"$SANDBOX/agent.log" 2>&1 &
	AGENT=$!
}

agent_is_ready()
{
	kill -0 "$AGENT" || fail "the agent ended: $(cat "$SANDBOX/agent.log")"
	/usr/bin/python3 -c 'import urllib.request; urllib.request.urlopen("http://127.0.0.1:9711/readyz", timeout=5)' 2>/dev/null
}

policies_in_force()
{
	[ "$(/usr/bin/python3 -c '
import re, urllib.request
print(re.search(r"^egressd_policies (\d+)", urllib.request.urlopen("http://127.0.0.1:9711/metrics").read().decode(), re.M)[1])
')" -eq "$1" ]
}

test_rights_are_what_the_agent_needs()
{
	local root=$SANDBOX/root

	[ -e "$ROOT/build/image/$(dpkg --print-architecture)/layer" ] || fail "there is no image"
	server_up
	kubectl apply -k "$ROOT/deploy" >/dev/null
	kubectl create namespace shop >/dev/null
	kubectl apply -f "$ROOT/deploy/examples/default-deny.yaml" >/dev/null
	container_up
	agent_in_container
	eventually 60 agent_is_ready || fail "not ready: $(tail -n 20 "$SANDBOX/agent.log")"
	eventually 10 policies_in_force 1
	kubectl apply -f "$ROOT/deploy/examples/allow-dns.yaml" >/dev/null
	eventually 10 policies_in_force 2
	assert_matches "status" "^Ready +yes" "$(chroot "$SANDBOX/root" /usr/sbin/egressctl status)"
	assert_no_match "the agent's log" 'forbidden|"(error|warning)"' "$(cat "$SANDBOX/agent.log")"
	# Its plugin is chained behind the node's, and goes again.
	assert_equal "network configuration" egress-cni "$(json plugins.-1.type <"$root/etc/cni/net.d/10-pods.conflist")"
	[ -x "$root/opt/cni/bin/egress-cni" ] || fail "the plugin's program is not there"
	kill -TERM "$AGENT"
	wait "$AGENT"
	chroot "$root" /usr/sbin/egressctl uninstall
	assert_equal "network configuration" "$NETWORK" "$(cat "$root/etc/cni/net.d/10-pods.conflist")"
	[ ! -e "$root/opt/cni/bin/egress-cni" ] || fail "the plugin's program is still there"
}

after_failure()
{
	[ ! -e "$SANDBOX/agent.log" ] || tail -n 20 "$SANDBOX/agent.log"
	[ ! -e "$SANDBOX/api.log" ] || tail -n 5 "$SANDBOX/api.log"
}

run_tests "$@"
