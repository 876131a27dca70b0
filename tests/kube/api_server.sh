#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The agent against a real kube-apiserver with etcd behind it, and objects that kubectl creates.
# shellcheck disable=SC2119,SC2120 # functions with optional arguments
# shellcheck source=tests/lib/harness.sh
. "$(dirname "$0")/../lib/harness.sh"
# shellcheck source=tests/lib/kube.sh
. "$TESTS/lib/kube.sh"
if [ -n "${SANDBOX:-}" ]; then
	# shellcheck source=tests/lib/cluster.sh
	. "$TESTS/lib/cluster.sh"
fi
TEST_TIMEOUT=280

# pod NAME NODE LABEL [INTERFACE]: a Pod as a document
pod()
{
	cat <<-EOT
		---
		apiVersion: v1
		kind: Pod
		metadata: {name: $1, namespace: default, labels: {app: $3}, annotations: {${4:+egressd.io/interface: $4}}}
		spec: {nodeName: $2, containers: [{name: c, image: i, ports: [{name: http, containerPort: 80}]}]}
	EOT
}

# status NAME ADDRESS...: what a kubelet would report of it
status()
{
	local name=$1 list=

	shift
	list=$(printf '{"ip":"%s"},' "$@")
	kubectl patch pod "$name" --subresource=status \
		-p '{"status":{"phase":"Running","podIP":"'"$1"'","podIPs":['"${list%,}"'],"conditions":[{"type":"Ready","status":"True"}]}}' \
		>/dev/null
}

# policy NAME LABEL: egress rules come from standard input, as a flow list of YAML
policy()
{
	cat <<-EOT
		---
		apiVersion: networking.k8s.io/v1
		kind: NetworkPolicy
		metadata: {name: $1, namespace: default}
		spec:
		  podSelector: {matchLabels: {app: $2}}
		  policyTypes: [Egress]
		  egress: $(cat)
	EOT
}

# The API server, pods web (of this node) and peer (of another), and the network that they stand for.
kube_cluster_up()
{
	kube_up
	network_setup
	add_pod web
	add_pod peer
	network_ready
	serve peer 80/TCP 81/TCP
	{
		pod web node1 web web0
		pod peer node2 peer
		policy web web <<<'[{to: [{podSelector: {matchLabels: {app: peer}}}], ports: [{port: 80}]}]'
	} | kubectl create -f - >/dev/null
	status web 10.1.1.2 fd00:1:1::2
	status peer 10.1.2.2 fd00:1:2::2
}

# kube_agent_start [CONFIG [OPTION...]]
kube_agent_start()
{
	"$EGRESSD" run --from kube --kubeconfig "$SANDBOX/${1:-agent}.conf" --node node1 --trust-annotations --pin "$PIN" --state "$STATE" \
		--listen "$LISTEN" "${@:2}" </dev/null >>"$AGENT_LOG" 2>&1 &
	AGENT=$!
}

kube_agent_up()
{
	kube_agent_start "$@"
	eventually 60 agent_is_ready
}

log_has()
{
	grep -q -- "$1" "$AGENT_LOG"
}

allows()
{
	[ "$(verdict default/web "10.1.2.2:$1/TCP")" = allow ]
}

blocked()
{
	! passes "$@"
}

ready_says()
{
	http_get /readyz | grep -Eq -- "$1"
}

test_policies_follow_the_api()
{
	kube_cluster_up
	kube_agent_up
	passes web 10.1.2.2 80/TCP
	blocked web 10.1.2.2 81/TCP
	policy web web <<<'[{to: [{podSelector: {matchLabels: {app: peer}}}], ports: [{port: 81}]}]' |
		kubectl apply -f - >/dev/null 2>&1
	eventually 10 passes web 10.1.2.2 81/TCP
	blocked web 10.1.2.2 80/TCP
	# By the label of a pod of another node.
	kubectl label pod peer --overwrite app=other >/dev/null
	eventually 10 blocked web 10.1.2.2 81/TCP
	kubectl label pod peer --overwrite app=peer >/dev/null
	eventually 10 passes web 10.1.2.2 81/TCP
	# By the labels of its namespace.
	policy web web <<<'[{to: [{namespaceSelector: {matchLabels: {team: a}}}]}]' | kubectl apply -f - >/dev/null 2>&1
	eventually 10 blocked web 10.1.2.2 81/TCP
	kubectl label namespace default team=a >/dev/null
	eventually 10 passes web 10.1.2.2 81/TCP
	# By its port's name.
	policy web web <<<'[{ports: [{port: http}]}]' | kubectl apply -f - >/dev/null 2>&1
	eventually 10 blocked web 10.1.2.2 81/TCP
	passes web 10.1.2.2 80/TCP
	# A service, by the pods behind it.
	kubectl create service clusterip peer --clusterip=10.96.7.7 --tcp=8080:80 >/dev/null
	kubectl create -f - >/dev/null <<-EOT
		apiVersion: discovery.k8s.io/v1
		kind: EndpointSlice
		metadata: {name: peer-1, namespace: default, labels: {kubernetes.io/service-name: peer}}
		addressType: IPv4
		ports: [{name: 8080-80, port: 80, protocol: TCP}]
		endpoints: [{addresses: [10.1.2.2], conditions: {ready: true}}]
	EOT
	eventually 10 service_is allow
	kubectl patch endpointslice peer-1 --type json -p '[{"op":"replace","path":"/ports/0/port","value":81}]' >/dev/null
	eventually 10 service_is deny
	kubectl delete networkpolicy web >/dev/null
	eventually 10 passes web 10.1.2.2 81/TCP
}

service_is()
{
	[ "$(verdict default/web 10.96.7.7:8080/TCP)" = "$1" ]
}

# many FIRST LAST: pods of other nodes
many()
{
	local number

	for number in $(seq "$1" "$2"); do
		pod "many-$number" "node$((number % 50 + 2))" "many$((number % 20))"
	done
}

# in_parallel COMMAND...: with 4 files of documents of the pods, at a time
create_many()
{
	local part process=()

	for part in 0 1 2 3; do
		many $((part * $1 / 4 + 1)) $(((part + 1) * $1 / 4)) >"$SANDBOX/many.$part"
		kubectl create -f "$SANDBOX/many.$part" >/dev/null &
		process+=($!)
	done
	wait "${process[@]}"
}

objects_are()
{
	[ "$(metric "egressd_api_objects{resource=\"$1\"}")" = "$2" ]
}

# Thousands of pods, and pods that come and go while the watch is cut again and again.
test_thousands_of_pods_and_churn()
{
	local count=2000 round

	kube_cluster_up
	kube_agent_up
	create_many $count
	eventually 60 objects_are remote-pods $((count + 1))
	passes web 10.1.2.2 80/TCP
	# An agent that starts finds them all.
	agent_stop
	kube_agent_up
	objects_are remote-pods $((count + 1))
	for round in 1 2 3; do
		kubectl delete --wait=false --grace-period=0 --force --selector "app=many$round" pod >/dev/null 2>&1 &
		# Cuts every connection of the agent.
		ss --kill --tcp state established dport = :6443 src 127.0.0.1 >/dev/null 2>&1 || true
		kubectl label pod peer --overwrite "round=$round" >/dev/null
		wait $!
	done
	eventually 60 objects_are remote-pods $((count + 1 - 3 * count / 20))
	passes web 10.1.2.2 80/TCP
	blocked web 10.1.2.2 81/TCP
}

# The API server is started anew while the agent does not look, and has forgotten all that happened meanwhile.
test_compaction_and_restart_of_the_api_server()
{
	local lists

	kube_cluster_up
	kube_agent_up
	passes web 10.1.2.2 80/TCP
	lists=$(metric 'egressd_api_lists_total{resource="remote-pods"}')
	# A restart alone: everything goes on, and what changes after it arrives.
	api_stop TERM
	passes web 10.1.2.2 80/TCP
	api_start
	eventually 90 api_is_ready
	kubectl label pod peer --overwrite app=other >/dev/null
	eventually 45 blocked web 10.1.2.2 80/TCP
	kubectl label pod peer --overwrite app=peer >/dev/null
	eventually 45 passes web 10.1.2.2 80/TCP
	# A delete that nobody sees: its event is compacted, so that only a new view shows it.
	kill -STOP "$AGENT"
	api_stop
	api_start
	eventually 90 api_is_ready
	kubectl delete pod peer --grace-period=0 --force >/dev/null 2>&1
	compact
	api_stop
	api_start
	eventually 90 api_is_ready
	kill -CONT "$AGENT"
	eventually 60 blocked web 10.1.2.2 80/TCP
	[ "$(metric 'egressd_api_lists_total{resource="remote-pods"}')" -gt "$lists" ] || fail "there was no new view"
}

# Forgets the history in etcd, through the gateway of its API.
compact()
{
	/usr/bin/python3 - "$KUBE_ETCD" <<-'EOT'
		import json, sys, urllib.request

		def call(path, body):
		    request = urllib.request.Request(f"http://{sys.argv[1]}{path}", json.dumps(body).encode())
		    return json.load(urllib.request.urlopen(request))

		revision = call("/v3/kv/range", {"key": "AA=="})["header"]["revision"]
		call("/v3/kv/compaction", {"revision": revision, "physical": True})
	EOT
}

# event MEMBER: of the Event on the pod lost; empty where there is none
event()
{
	kubectl get events --field-selector involvedObject.kind=Pod,involvedObject.name=lost,reason=EgressNotEnforced \
		--output "jsonpath={.items[*]$1}"
}

event_is()
{
	[ "$(event "$1")" = "$2" ]
}

# A pod that runs here but whose interface is nowhere: those who look at the pod find it told.
test_event_on_a_pod_without_an_interface()
{
	local count

	kube_cluster_up
	pod lost node1 lost lost0 | kubectl create -f - >/dev/null
	status lost 10.1.3.2
	# An account that may not is told so, once, and enforces all the same.
	kubectl delete clusterrolebinding egressd-events >/dev/null
	kube_agent_start
	eventually 60 log_has 'default/lost: what is wrong with it cannot be told in an Event: .*forbidden.*; this account needs the verbs create and patch on events'
	passes web 10.1.2.2 80/TCP
	agent_stop
	assert_equal "complaints" 1 "$(grep -c 'cannot be told in an Event' "$AGENT_LOG")"
	assert_equal "events" "" "$(event .reason)"

	kubectl create clusterrolebinding egressd-events --clusterrole=egressd-events --user=egressd >/dev/null
	kube_agent_start
	eventually 60 event_is .message "interface lost0 does not exist"
	kubectl get events
	assert_equal "event" "Warning egressd node1 $(kubectl get pod lost --output 'jsonpath={.metadata.uid}')" \
		"$(event .type) $(event .source.component) $(event .source.host) $(event .involvedObject.uid)"
	assert_matches "kubectl describe" "Warning +EgressNotEnforced .*egressd.*interface lost0 does not exist" \
		"$(kubectl describe pod lost)"
	# One that has expired comes again with what is new.
	kubectl delete events --all >/dev/null
	kubectl annotate pod lost --overwrite egressd.io/interface=lost1 >/dev/null
	eventually 90 event_is .message "interface lost1 does not exist"
	# Another agent brings the same Event up to date.
	agent_stop
	kube_agent_start
	kubectl annotate pod lost --overwrite egressd.io/interface=lost2 >/dev/null
	eventually 90 event_is .message "interface lost2 does not exist"
	assert_equal "events" EgressNotEnforced "$(event .reason)"
	# However often the agent looks, the server hears of it now and then only.
	count=$(event .count)
	sleep 5
	assert_equal "count" "$count" "$(event .count)"
	assert_equal "other events" "" "$(kubectl get events --field-selector involvedObject.name!=lost --output name)"
	agent_stop
}

# Every way to say who one is; and what is told to one who may not, or not any more.
test_credentials()
{
	local token

	kube_cluster_up
	kubectl create serviceaccount egressd >/dev/null
	kubectl create clusterrolebinding egressd-account --clusterrole=egressd --serviceaccount=default:egressd >/dev/null
	# A client certificate, with a kubeconfig that has another context too.
	sign client /CN=egressd "extendedKeyUsage=clientAuth"
	kubeconfig certificate <<<"{client-certificate: pki/client.crt, client-key: pki/client.key}"
	kube_agent_up certificate --context test
	passes web 10.1.2.2 80/TCP
	agent_stop

	# A program that prints a token.
	cat >"$SANDBOX/login" <<-'EOT'
		#!/bin/sh
		[ -n "$KUBERNETES_EXEC_INFO" ] || exit 1
		printf '{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","status":{"token":"%s"}}' "$1$MORE"
	EOT
	chmod +x "$SANDBOX/login"
	kubeconfig program <<-EOT
		exec: {apiVersion: client.authentication.k8s.io/v1, command: ./login, args: [age], env: [{name: MORE, value: nt}]}
	EOT
	kube_agent_up program
	agent_stop
	rm "$SANDBOX/login"
	kube_agent_start program
	eventually 20 ready_says 'login: cannot be run: No such file'
	agent_stop

	# A token that ends: it is bound to a Secret, which is deleted. The next one is in the same file.
	kubectl create secret generic bound >/dev/null
	token=$(kubectl create token egressd --bound-object-kind Secret --bound-object-name bound)
	echo "$token" >"$SANDBOX/token"
	kubeconfig file <<<"tokenFile: token"
	kube_agent_up file
	kubectl delete secret bound >/dev/null
	api_stop TERM
	api_start
	eventually 90 api_is_ready
	eventually 60 log_has "the API server https://127.0.0.1:6443 does not accept the credentials"
	passes web 10.1.2.2 80/TCP
	kubectl create token egressd >"$SANDBOX/token"
	kubectl label pod peer --overwrite app=other >/dev/null
	eventually 60 blocked web 10.1.2.2 80/TCP
	agent_stop
}

test_refusals_and_a_clock_that_is_wrong()
{
	kube_cluster_up
	kube_agent_start nobody
	eventually 30 ready_says "waiting for the API server's first view of networkpolicies.networking.k8s.io: cannot (list|watch) networkpolicies.networking.k8s.io: the API server refuses it to this account, which needs the verbs list and watch on networkpolicies.networking.k8s.io: .*cannot (list|watch) resource \"networkpolicies\" in API group \"networking.k8s.io\" at the cluster scope"
	eventually 30 ready_says 'verbs list and watch on nodes'
	kubectl create clusterrolebinding nobody --clusterrole=egressd --user=nobody >/dev/null
	eventually 60 agent_is_ready
	passes web 10.1.2.2 80/TCP

	# The certificate of the API server is not valid yet, as this node's clock has it.
	sign early /CN=kube-apiserver "subjectAltName=IP:127.0.0.1" 20450101000000Z
	api_stop
	KUBE_CERTIFICATE=early api_start
	eventually 90 log_has "certificate is not yet valid.*(this node's clock says 20[0-9-]*T[0-9:]*Z)"
	passes web 10.1.2.2 80/TCP
	blocked web 10.1.2.2 81/TCP
	api_stop
	api_start
	eventually 90 api_is_ready
	kubectl label pod peer --overwrite app=other >/dev/null
	eventually 60 blocked web 10.1.2.2 80/TCP

	# A certificate of somebody else.
	kubectl label pod peer --overwrite app=peer >/dev/null
	eventually 30 passes web 10.1.2.2 80/TCP
	agent_stop
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$SANDBOX/pki/x.key" \
		-out "$SANDBOX/pki/ca.crt" -subj /CN=another-ca -days 100 2>/dev/null
	kube_agent_start
	eventually 60 log_has "SSL certificate problem: .*\(issuer\|self-signed\|signature\)"
	# What was in force stays in force.
	passes web 10.1.2.2 80/TCP
	agent_stop
}

after_failure()
{
	echo "--- the agent's log:"
	tail -n 40 "$AGENT_LOG"
	echo "--- the API server's:"
	tail -n 20 "$SANDBOX/api.log"
}

if [ -z "${SANDBOX:-}" ]; then
	# Once, before a sandbox takes the network away.
	if [ -z "${KUBEBUILDER_ASSETS:-}" ]; then
		"$TESTS/kube/build-binaries" >/dev/null || [ $? -eq 77 ]
	fi
fi
run_tests "$@"
