#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The agent against a server that speaks the watch protocol badly (fault_server): it converges, or says why it cannot;
# nothing is lost, nothing crashes.
# shellcheck disable=SC2119,SC2120 # functions with optional arguments
# shellcheck source=tests/lib/harness.sh
. "$(dirname "$0")/../lib/harness.sh"
if [ -n "${SANDBOX:-}" ]; then
	# shellcheck source=tests/lib/cluster.sh
	. "$TESTS/lib/cluster.sh"
	# shellcheck source=tests/lib/kube.sh
	. "$TESTS/lib/kube.sh"
	# shellcheck source=tests/lib/plugin.sh
	. "$TESTS/lib/plugin.sh"
fi
TEST_TIMEOUT=280

# server COMMAND: one line to the fault server, and its answer
server()
{
	local answer

	echo "$*" >&"${FAULTS[1]}"
	read -r answer <&"${FAULTS[0]}"
	case $answer in
	ok*) echo "${answer#ok }" ;;
	*) fail "fault_server: $answer" ;;
	esac
}

# put_policy PORT: web may go to pods labelled peer, at that port only
put_policy()
{
	server put '{"kind":"NetworkPolicy","apiVersion":"networking.k8s.io/v1",' \
		'"metadata":{"namespace":"default","name":"web","annotations":{"note":"Grüße, 漢字, 😀"}},' \
		'"spec":{"podSelector":{"matchLabels":{"app":"web"}},"policyTypes":["Egress"],' \
		'"egress":[{"to":[{"podSelector":{"matchLabels":{"app":"peer"}}}],"ports":[{"protocol":"TCP","port":'"$1"'}]}]}}' \
		>/dev/null
}

# put_pod NAME ADDRESS NODE [ANNOTATIONS [LABEL]]: the label is its name by default
put_pod()
{
	server put '{"kind":"Pod","apiVersion":"v1","metadata":{"namespace":"default","name":"'"$1"'","uid":"uid-'"$1"'",' \
		'"labels":{"app":"'"${5:-$1}"'"},"annotations":{'"${4:-}"'}},' \
		'"spec":{"nodeName":"'"$3"'","containers":[{"name":"c"}]},' \
		'"status":{"phase":"Running","podIP":"'"$2"'","podIPs":[{"ip":"'"$2"'"}]}}' >/dev/null
}

# faults_up [OPTION...]: the server, and what it has
faults_up()
{
	kube_pki
	kubeconfig agent <<<"tokenFile: token"
	echo secret >"$SANDBOX/token"
	network_setup
	add_pod web
	faults_again "$@"
}

# faults_again [OPTION...]: a server that begins anew with what there is at first
faults_again()
{
	coproc FAULTS { exec /usr/bin/python3 "$TESTS/kube/fault_server" 6443 "$SANDBOX/pki/server.crt" \
		"$SANDBOX/pki/server.key" "$@" 2>"$SANDBOX/faults.log"; }
	read -r _ <&"${FAULTS[0]}"
	put_pod web 10.1.1.2 node1 '"egressd.io/interface":"web0"'
	put_pod peer 10.9.0.1 node2
	put_policy 80
}

# With ANNOTATIONS=ignored those of pods do not count.
kube_agent_start()
{
	local trust=(--trust-annotations)

	[ -z "${ANNOTATIONS:-}" ] || trust=()
	"$EGRESSD" run --from kube --kubeconfig "$SANDBOX/agent.conf" --node node1 "${trust[@]}" --pin "$PIN" \
		--state "$STATE" --listen "$LISTEN" "$@" </dev/null >>"$AGENT_LOG" 2>&1 &
	AGENT=$!
}

kube_agent_up()
{
	kube_agent_start "$@"
	eventually 60 agent_is_ready
}

allows()
{
	[ "$(verdict default/web "10.9.0.1:$1/TCP")" = allow ]
}

denies()
{
	[ "$(verdict default/web "10.9.0.1:$1/TCP")" = deny ]
}

# follows PORT: a change to that port arrives
follows()
{
	put_policy "$1"
	eventually 60 allows "$1"
}

log_has()
{
	grep -q -- "$1" "$AGENT_LOG"
}

# converges FAULT COUNT PORT: with that many requests for policies that meet the fault, the change still arrives
converges()
{
	server fault "$1" "$2" >/dev/null
	server cut >/dev/null
	follows "$3" || fail "after the fault '$1'"
	kill -0 "$AGENT" || fail "the agent did not survive the fault '$1'"
}

test_chunks_of_one_byte_and_a_slow_drip()
{
	faults_up
	server fault bytes 1000 >/dev/null
	kube_agent_up
	eventually 20 allows 80
	follows 81
	eventually 20 denies 80
	server fault none >/dev/null
	server only networkpolicies >/dev/null
	converges drip 2 82
	converges bytes 2 83
}

# Streaming lists: the same, where the view itself comes as a stream of events.
test_streaming_lists()
{
	local lists watches

	faults_up --streams
	server fault bytes 1000 >/dev/null
	kube_agent_up
	eventually 20 allows 80
	read -r lists watches <<<"$(server count)"
	assert_equal "lists asked for where streams are served" 0 "$lists"
	server fault none >/dev/null
	server only networkpolicies >/dev/null
	server compact >/dev/null
	converges half 2 81
	converges reset 1 82
	converges gone-event 2 83
	converges huge 1 84
	read -r lists watches <<<"$(server count)"
	[ "$watches" -gt 7 ]
}

test_connections_that_end_half_way()
{
	faults_up
	kube_agent_up
	server only networkpolicies >/dev/null
	converges half 2 81
	converges reset 2 82
	converges no-length 1 83
	converges empty 1 84
	# Also where it is the view that ends so.
	server compact >/dev/null
	converges reset 2 85
	server compact >/dev/null
	converges half 2 86
}

test_errors_and_versions_that_are_gone()
{
	faults_up
	kube_agent_up
	server only networkpolicies >/dev/null
	converges gone-event 1 81
	converges error-event 2 82
	converges gone 2 83
	converges busy 2 84
	converges unavailable 2 85
	converges bad-gateway 2 86
}

event_has_come()
{
	# The server's pipes are not for subshells.
	server event >"$SANDBOX/event"
	grep -q ' interface lost0 does not exist$' "$SANDBOX/event"
}

# What cannot be told of a pod holds up nothing, and is told once it can be.
test_events_on_pods_that_fail()
{
	faults_up
	server only events >/dev/null
	server fault unavailable 1 >/dev/null
	server fault reset 1 >/dev/null
	server fault busy 1 >/dev/null
	put_pod lost 10.1.3.2 node1 '"egressd.io/interface":"lost0"'
	kube_agent_start
	eventually 60 allows 80
	eventually 60 log_has 'default/lost: what is wrong with it cannot be told in an Event: '
	follows 81
	eventually 60 event_has_come
	assert_matches "requests" "^4 " "$(cat "$SANDBOX/event")"
	assert_equal "complaints" 1 "$(grep -c 'cannot be told in an Event' "$AGENT_LOG")"
	kill -0 "$AGENT"
}

event_says()
{
	server event >"$SANDBOX/event"
	grep -qF -- "$1" "$SANDBOX/event"
}

# What the node's network has elsewhere is told on the pod.
test_event_on_a_pod_that_is_elsewhere()
{
	faults_up
	kube_agent_up
	ip route add 10.1.1.2/32 dev out0
	eventually 20 event_says "the node's host route for 10.1.1.2 leads to out0, but the pod was found behind web0"
	ip route del 10.1.1.2/32 dev out0
}

# sends_from ADDRESS: web does, from an address that it gave itself
sends_from()
{
	on web ip address replace "$1/32" dev eth0
	passes web 192.0.2.10 53/UDP "$1" || true
}

# A pod that calls itself a router is checked all the same, unless the operator trusts what pods say.
test_a_router_by_annotation_only_where_that_counts()
{
	faults_up
	put_pod web 10.1.1.2 node1 '"egressd.io/router":"true"'
	cni_add web 1
	on web ip neighbour replace 10.1.1.1 lladdr "$(hardware_address node web0)" dev eth0 nud permanent
	ANNOTATIONS=ignored kube_agent_up
	sends_from 10.1.1.77
	[ "$(dropped_packets spoofed_source)" -gt 0 ] || fail "a pod exempted itself from the check of its source"
	agent_stop
	kube_agent_up
	assert_equal "dropped as forged" "$(dropped_packets spoofed_source)" \
		"$(sends_from 10.1.1.77; dropped_packets spoofed_source)"
}

# Whoever may make a pod anywhere would have every node compile for it, and all over again with every change of it.
test_a_pod_of_another_node_is_none_of_this_one_by_annotation()
{
	local generation

	faults_up
	put_pod web 10.1.1.2 node1
	put_pod peer 10.9.0.1 node2 '"egressd.io/interface":"peer0"'
	put_pod other 10.9.0.2 node2 '"egressd.io/netns":"/var/run/netns/other"'
	cni_add web 1
	ANNOTATIONS=ignored kube_agent_up
	eventually 20 allows 80
	log_has 'generation [0-9]* in force: 1 policies for 1 of 1 pods, '
	generation=$(metric egressd_generation)
	put_pod peer 10.9.0.1 node2 '"egressd.io/interface":"peer0"' other
	eventually 20 denies 80
	assert_equal "generation" "$generation" "$(metric egressd_generation)"
}

test_what_is_no_event()
{
	faults_up
	kube_agent_up
	server only networkpolicies >/dev/null
	converges garbage 2 81
	converges truncated-json 2 82
	converges unknown-type 2 83
	converges deep 1 84
	converges html 3 85
	log_has "cannot watch networkpolicies.networking.k8s.io at https://127.0.0.1:6443: expected application/json, found text/html"
}

test_a_line_of_a_gigabyte()
{
	local before after

	faults_up
	# The sanitizer keeps what was freed aside, which is no use of the agent's.
	ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:quarantine_size_mb=4} kube_agent_up
	server only networkpolicies >/dev/null
	before=$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$AGENT/status")
	# The largest that etcd takes is far smaller.
	server put '{"kind":"NetworkPolicy","apiVersion":"networking.k8s.io/v1","metadata":{"namespace":"default",' \
		'"name":"large","annotations":{"note":"'"$(head -c 7500000 /dev/zero | tr '\0' x)"'"}},' \
		'"spec":{"podSelector":{"matchLabels":{"app":"web"}},"policyTypes":["Egress"],"egress":[{"ports":[{"port":90}]}]}}' \
		>/dev/null
	eventually 20 allows 90
	converges huge 2 81
	after=$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$AGENT/status")
	# Buffers double: 8 MB in use are 16 MB at most, and as much again while one is copied to the next.
	[ $((after - before)) -lt $((96 * 1024)) ] || fail "the peak of memory grew from $before kB to $after kB"
	log_has "expected at most 8388608 bytes of an object, found more"
}

test_events_twice_and_out_of_order()
{
	faults_up
	kube_agent_up
	server only networkpolicies >/dev/null
	converges twice 1 81
	converges reorder 1 82
	# What came last was the older version; only a new view can tell.
	sleep 1
	eventually 20 allows 82
	server only pods >/dev/null
	server fault twice 2 >/dev/null
	server cut >/dev/null
	put_pod late 10.9.0.2 node2
	server delete Pod default peer >/dev/null
	eventually 30 denies 82
}

# What was deleted while nobody watched is found missing.
test_deletes_that_were_missed()
{
	faults_up
	kube_agent_up
	eventually 20 allows 80
	kill -STOP "$AGENT"
	server delete Pod default peer >/dev/null
	server compact >/dev/null
	server cut >/dev/null
	kill -CONT "$AGENT"
	eventually 30 denies 80
}

# A page that the server has forgotten: the list begins again, without pages.
test_pages()
{
	faults_up --pods 1200
	server only pods >/dev/null
	server fault page-gone 1 >/dev/null
	kube_agent_up
	eventually 20 allows 80
	assert_equal "objects" 1201 "$(metric 'egressd_api_objects{resource="remote-pods"}')"
}

test_a_list_that_stalls()
{
	faults_up
	server only networkpolicies >/dev/null
	# The first is for the streaming list, which this server refuses.
	server fault stall 2 >/dev/null
	kube_agent_start
	eventually 10 log_has "this node is node1"
	sleep 2
	assert_equal "ready while it waits" 503 "$(http_status /readyz)"
	assert_matches "what it waits for" "waiting for the API server's first view of networkpolicies" "$(http_get /readyz)"
	eventually 70 agent_is_ready
	eventually 20 allows 80
}

# The server is alive, acknowledges what it gets, and says nothing any more, not even that nothing happens.
test_a_watch_that_falls_silent()
{
	local before

	faults_up
	kube_agent_up --api-silence 5
	server only networkpolicies >/dev/null
	server fault mute 1 >/dev/null
	server cut >/dev/null
	eventually 20 muted
	put_policy 81
	before=$SECONDS
	eventually 20 allows 81
	[ $((SECONDS - before)) -ge 2 ] || fail "the watch was not silent"
}

# The fault was met: the next one would find none.
muted()
{
	server faults >"$SANDBOX/left"
	grep -qx 0 "$SANDBOX/left"
}

# From one moment to the next nothing arrives from the server any more, on connections that are open, and none is told.
test_connections_that_die_without_a_word()
{
	local before port

	faults_up
	kube_agent_up
	nft add table inet cut
	nft add chain inet cut input '{type filter hook input priority 0;}'
	while read -r port; do
		nft add rule inet cut input tcp dport "$port" drop
		nft add rule inet cut input tcp sport "$port" drop
	done < <(ss --no-header --tcp --numeric state established dport = :6443 | awk '{ sub(/.*:/, "", $3); print $3 }')
	before=$SECONDS
	put_policy 81
	sleep 3
	denies 81 || fail "the connections were not cut"
	[ "$(metric 'egressd_api_staleness_seconds{resource="networkpolicies.networking.k8s.io"}')" -ge 2 ] ||
		fail "what is known does not get older"
	# Well before the 180 s after which a watch that says nothing is begun anew.
	eventually 60 allows 81
	echo "# noticed after $((SECONDS - before)) s"
}

test_a_refusal_is_told()
{
	faults_up
	server only networkpolicies >/dev/null
	server fault forbidden 1000 >/dev/null
	kube_agent_start
	eventually 20 log_has "the API server refuses it to this account, which needs the verbs list and watch on networkpolicies.networking.k8s.io"
	assert_matches "what it waits for" "cannot (list|watch) networkpolicies.*cannot (list|watch) resource" \
		"$(http_get /readyz)"
	server fault none >/dev/null
	eventually 60 agent_is_ready
}

# The agent is confined when it runs the program for the second time, and so is the program: an interpreter that starts
# another program, as those of the clouds do.
test_a_program_that_prints_tokens_runs_confined()
{
	faults_up
	cat >"$SANDBOX/login" <<-'EOT'
		#!/usr/bin/python3
		import json, os, subprocess
		json.loads(os.environ["KUBERNETES_EXEC_INFO"])
		token = subprocess.run(["cat", os.environ["ISSUED"]], capture_output=True, check=True, text=True).stdout.strip()
		print(json.dumps({"kind": "ExecCredential", "apiVersion": "client.authentication.k8s.io/v1", "status": {"token": token}}))
	EOT
	chmod +x "$SANDBOX/login"
	kubeconfig agent <<-EOT
		exec: {apiVersion: client.authentication.k8s.io/v1, command: ./login, env: [{name: ISSUED, value: $SANDBOX/issued}]}
	EOT
	server token one >/dev/null
	echo one >"$SANDBOX/issued"
	kube_agent_up
	assert_equal "seccomp (2: a filter)" 2 "$(sed -n 's/^Seccomp:[[:space:]]*//p' "/proc/$AGENT/status")"
	echo two >"$SANDBOX/issued"
	server token two >/dev/null
	server cut >/dev/null
	follows 81
}

test_a_token_that_is_replaced()
{
	faults_up
	server token secret >/dev/null
	kube_agent_up
	server token another >/dev/null
	server cut >/dev/null
	eventually 20 log_has "does not accept the credentials"
	echo another >"$SANDBOX/token"
	follows 81
}

# As a rotated kubeconfig of a kubelet has it: the files' names stay, what is in them is new.
test_a_client_certificate_that_is_replaced()
{
	faults_up
	sign client /CN=one "extendedKeyUsage=clientAuth"
	kubeconfig agent <<<"{client-certificate: pki/client.crt, client-key: pki/client.key}"
	server clients "$SANDBOX/pki/ca.crt" one >/dev/null
	kube_agent_up
	server clients "$SANDBOX/pki/ca.crt" two >/dev/null
	server cut >/dev/null
	put_policy 81
	eventually 20 log_has "does not accept the credentials"
	denies 81
	# One file is there before the other.
	sign next /CN=two "extendedKeyUsage=clientAuth"
	mv "$SANDBOX/pki/next.crt" "$SANDBOX/pki/client.crt"
	sleep 1
	mv "$SANDBOX/pki/next.key" "$SANDBOX/pki/client.key"
	eventually 60 allows 81
}

test_a_clock_that_is_wrong()
{
	faults_up
	server fault skewed 100 >/dev/null
	kube_agent_up
	eventually 10 log_has "the clock of the API server is 3[56][0-9][0-9] s ahead of this node's"
}

# One that cannot be enforced exactly is refused aloud, and its last good version stays in force.
test_an_object_that_cannot_be_read()
{
	faults_up
	kube_agent_up
	server put '{"kind":"NetworkPolicy","apiVersion":"networking.k8s.io/v1","metadata":{"namespace":"default",' \
		'"name":"web"},"spec":{"podSelector":{},"policyTypes":["Egress"],"egress":[{"fromTheFuture":true}]}}' \
		>/dev/null
	eventually 20 log_has 'unknown field "fromTheFuture" (NetworkPolicy default/web)'
	eventually 20 allows 80
	assert_equal "bad objects" 1 "$(metric egressd_source_files_bad)"
	follows 81
	eventually 10 no_bad_objects
}

no_bad_objects()
{
	[ "$(metric egressd_source_files_bad)" = 0 ]
}

# The API is gone, and the agent is started anew: what was in force last still is, and a pod that is denied stays denied.
test_restart_without_the_api()
{
	faults_up
	kube_agent_up
	kill "$FAULTS_PID"
	agent_stop
	kube_agent_start
	eventually 20 log_has "cannot .* at https://127.0.0.1:6443"
	eventually 30 allows 80
	eventually 20 denies 81
	assert_equal "ready without the API" 503 "$(http_status /readyz)"
	assert_matches "what it waits for" "waiting for the API server's first view of pods" "$(http_get /readyz)"
	egressctl status >/dev/null || true
	agent_stop
	printf x >>"$STATE/objects.json"
	kube_agent_start
	eventually 60 says_waiting
	log_has "objects.json: damaged: set aside as objects.json.damaged"
	[ -e "$STATE/objects.json.damaged" ]
	agent_stop
}

# The agent is killed before it writes down what it followed, and comes back without the API: what it wrote down last is
# older than the tables, which stay.
test_restart_without_the_api_after_changes_that_were_not_written()
{
	local generation

	faults_up
	kube_agent_up
	put_pod other 10.9.0.7 node2
	eventually 20 known other
	# Root without CAP_DAC_OVERRIDE: nothing is written from here on.
	chmod 500 "$STATE"
	put_pod peer 10.9.0.2 node2
	eventually 20 allows_at 10.9.0.2
	fails allows_at 10.9.0.1
	generation=$(metric egressd_generation)
	kill "$FAULTS_PID"
	agent_kill
	chmod 700 "$STATE"
	kube_agent_start
	eventually 20 log_has "older than what is in force"
	eventually 30 says_waiting
	allows_at 10.9.0.2
	fails allows_at 10.9.0.1
	fails log_has "generation $((generation + 1)) in force"
	# When the API is there again it goes on as ever.
	faults_again
	put_pod peer 10.9.0.3 node2
	eventually 60 agent_is_ready
	eventually 20 allows_at 10.9.0.3
}

# By the tables, whatever the objects on disk say.
allows_at()
{
	[ "$(verdict default/web "$1:80/TCP" 2>/dev/null || true)" = allow ]
}

# What there is of that name is among the objects on disk.
known()
{
	grep -q "\"name\":\"$1\"" "$STATE/objects.json"
}

says_waiting()
{
	[ "$(http_status /readyz)" = 503 ]
}

# Watches of many agents do not end together; what is long is sent compressed.
test_what_is_asked_for()
{
	local zipped times low high

	faults_up
	kube_agent_up
	server cut >/dev/null
	follows 81
	server cut >/dev/null
	follows 82
	read -r zipped times <<<"$(server asked)"
	[ "$zipped" -gt 0 ] || fail "no list was sent compressed"
	low=$(tr ' ' '\n' <<<"$times" | sort -n | head -n 1)
	high=$(tr ' ' '\n' <<<"$times" | sort -n | tail -n 1)
	if [ "$low" -lt 300 ] || [ "$high" -gt 600 ] || [ $((high - low)) -lt 30 ]; then
		fail "time-outs of watches: $times"
	fi
}

# A server that says when to come again is not asked before.
test_retry_after()
{
	local before

	faults_up
	kube_agent_up
	server only networkpolicies >/dev/null
	server fault busy-long 1 >/dev/null
	before=$(date +%s%N)
	server cut >/dev/null
	follows 81
	[ $((($(date +%s%N) - before) / 1000000)) -ge 4000 ] || fail "the server was asked again too early"
}

# What a bookmark says is where the next watch begins: it need not have forgotten what others changed meanwhile.
test_a_watch_goes_on_from_a_bookmark()
{
	local lists watches

	faults_up
	kube_agent_up
	server compact >/dev/null
	server bookmark >/dev/null
	server count >"$SANDBOX/count"
	read -r lists watches <"$SANDBOX/count"
	# By the time the bookmark is with the agent.
	sleep 3
	server cut >/dev/null
	follows 81
	server count >"$SANDBOX/count"
	assert_equal "lists" "$lists" "$(cut -d ' ' -f 1 "$SANDBOX/count")"
	[ "$(cut -d ' ' -f 2 "$SANDBOX/count")" -gt "$watches" ] || fail "no watch began anew"
}

# The authority is another one from now on: first the server has a certificate of it, then the node knows it.
test_an_authority_that_is_replaced()
{
	faults_up
	kube_agent_up
	mv "$SANDBOX/pki" "$SANDBOX/old"
	kube_pki
	mv "$SANDBOX/pki" "$SANDBOX/new"
	cp -r "$SANDBOX/old" "$SANDBOX/pki"
	server certificate "$SANDBOX/new/server.crt" "$SANDBOX/new/server.key" >/dev/null
	server cut >/dev/null
	eventually 20 log_has "SSL certificate problem"
	cp "$SANDBOX/new/ca.crt" "$SANDBOX/pki/ca.crt"
	follows 81
}

# dns_is_silent: who is asked for names gets every question and never answers
dns_is_silent()
{
	local server status=0

	nft add table inet silent
	nft add chain inet silent input '{type filter hook input priority 0;}'
	nft add rule inet silent input udp dport 53 drop
	while read -r server; do
		ip address replace "$server" dev lo
	done < <(awk '$1 == "nameserver" { print $2 }' /etc/resolv.conf)
	export RES_OPTIONS="timeout:30 attempts:1"
	timeout 2 getent ahosts kubernetes.test >/dev/null || status=$?
	[ $status -eq 124 ] || skip "this machine does not ask a DNS server for names"
}

# answers_soon: also while something is waited for
answers_soon()
{
	local before=$EPOCHREALTIME took

	http_get /healthz >/dev/null || return 0 # it does not listen yet
	took=$(((${EPOCHREALTIME/./} - ${before/./}) / 1000))
	[ $took -lt 8000 ] || fail "the agent took $took ms to answer"
}

# The time for connecting is over while the resolver still waits; so does nothing else.
test_a_name_that_is_never_resolved()
{
	local end

	KUBE_SERVER=https://kubernetes.test:6443
	faults_up
	dns_is_silent
	kube_agent_start
	end=$((SECONDS + 40 * TEST_SLOWNESS))
	until log_has "Resolving timed out"; do
		[ $SECONDS -lt $end ] || fail "the time for connecting never ended: $(cat "$AGENT_LOG")"
		answers_soon
		sleep 0.2
	done
	# Its resolvers are still at it.
	end=$SECONDS
	agent_stop
	[ $((SECONDS - end)) -lt 8 ] || fail "the agent took $((SECONDS - end)) s to end"
}

# Pods of other nodes are followed only while policy speaks of pods.
test_interest()
{
	faults_up --pods 300 --streams
	server delete NetworkPolicy default web >/dev/null
	kube_agent_up
	assert_equal "remote pods without a policy" "" "$(metric 'egressd_api_lists_total{resource="remote-pods"}')"
	put_policy 80
	# Without a policy everything is allowed.
	eventually 60 denies 81
	eventually 60 allows 80
	assert_equal "remote pods are listed once" 1 "$(metric 'egressd_api_lists_total{resource="remote-pods"}')"
}

remote_pods_are()
{
	[ "$(metric 'egressd_api_objects{resource="remote-pods"}')" = "$1" ]
}

# Whether the pod peer, of another node, is in the state that the agent leaves for the next one.
saved()
{
	grep -rqF uid-peer "$STATE"
}

# They are dropped a minute after the last policy that speaks of pods has gone, also when nothing else happens, and come back
# with the next one.
test_interest_ends_and_comes_back()
{
	faults_up --pods 300 --streams
	kube_agent_up
	remote_pods_are 301
	eventually 10 saved
	server delete NetworkPolicy default web >/dev/null
	eventually 10 allows 81
	remote_pods_are 301
	eventually 90 remote_pods_are ''
	eventually 10 not saved
	# What is in force does not care.
	allows 81
	put_policy 82
	eventually 30 denies 81
	eventually 30 allows 82
	remote_pods_are 301
	eventually 10 saved
}

# memory FIELD: of the agent, in MB: VmRSS, VmHWM (its peak)
memory()
{
	awk -v field="$1:" '$1 == field { print int($2 / 1024) }' "/proc/$AGENT/status"
}

# 20,000 pods, all of which policy speaks of, and 5,000 services: in use and at the peak of a start.
test_memory()
{
	faults_up --pods 20000 --services 5000
	kube_agent_start
	eventually 200 agent_is_ready
	eventually 60 allows 80
	assert_equal "remote pods" 20001 "$(metric 'egressd_api_objects{resource="remote-pods"}')"
	assert_equal "services" 5000 "$(metric 'egressd_api_objects{resource="services"}')"
	echo "# 20,000 pods, 5,000 services: $(memory VmRSS) MB, at most $(memory VmHWM) MB"
	# What sanitizers add is not the agent's.
	case $BUILD in
	*/asan) ;;
	*) [ "$(memory VmRSS)" -lt 80 ] || fail "the agent has $(memory VmRSS) MB" ;;
	esac
	follows 81
	case $BUILD in
	*/asan) ;;
	*) [ "$(memory VmRSS)" -lt 80 ] || fail "after a change the agent has $(memory VmRSS) MB" ;;
	esac
}

# A policy whose name is a long one.
put_late_policy()
{
	server put '{"kind":"NetworkPolicy","apiVersion":"networking.k8s.io/v1",' \
		'"metadata":{"namespace":"default","name":"policy-'"$(printf '%0243d' 0)"'"},' \
		'"spec":{"podSelector":{"matchLabels":{"app":"late"}},"policyTypes":["Egress"],"egress":[{"ports":[{"port":80}]}]}}' \
		>/dev/null
}

# On so many connections something of the API's has come that the agent has not read.
unread_connections_are()
{
	[ "$(ss -Htn 'dport = :6443' | awk '$2 > 0' | wc -l)" -eq "$1" ]
}

# A pod of this node and the policy that isolates it, which come at once.
put_late_pod_and_policy()
{
	kill -STOP "$AGENT"
	put_pod late 10.1.2.2 node1 '"egressd.io/interface":"late0"'
	put_late_policy
	eventually 10 unread_connections_are 2
	kill -CONT "$AGENT"
}

# generation_has_policies COUNT: that one in force is made of so many
generation_has_policies()
{
	[ "$(metric egressd_policies)" = "$1" ]
}

fewer_faults_than()
{
	server faults >"$SANDBOX/left"
	[ "$(cat "$SANDBOX/left")" -lt "$1" ]
}

# no_room [NAME=VALUE...]: agents from here on have none while no-room is there (tests/lib/preload/no_room.c)
no_room()
{
	run_agent_by env "LD_PRELOAD=$ROOT/build/tests/lib/preload/no_room.so" "NO_ROOM_WHILE=$SANDBOX/no-room" \
		"ASAN_OPTIONS=${ASAN_OPTIONS:-}:verify_asan_link_order=0" "$@"
}

# There is memory for the pod and none for the policy; and when there is, other nodes' pods are to be known first.
test_a_change_that_is_handed_over_in_part_is_not_in_force()
{
	local generation

	no_room NO_ROOM_AFTER=1
	faults_up
	add_pod late
	serve outside 80/TCP 81/TCP
	network_ready
	server delete NetworkPolicy default web >/dev/null
	kube_agent_up
	generation=$(metric egressd_generation)
	touch "$SANDBOX/no-room"
	put_late_pod_and_policy
	eventually 10 status_says "Cannot allocate memory; what was read last stays in force"
	server only pods >/dev/null
	server fault unavailable 1000 >/dev/null
	put_policy 80
	eventually 20 fewer_faults_than 1000
	rm "$SANDBOX/no-room"
	# Longer than it takes to try again.
	sleep 8
	expect_flows late <<-EOF
		dropped 192.0.2.10 80/TCP
		dropped 192.0.2.10 81/TCP
	EOF
	assert_equal "generation" "$generation" "$(metric egressd_generation)"
	assert_equal "times that it is told" 1 "$(grep -c 'Cannot allocate memory' "$AGENT_LOG")"
	server fault none >/dev/null
	eventually 60 agent_is_ready
	expect_flows late <<-EOF
		passed 192.0.2.10 80/TCP
		dropped 192.0.2.10 81/TCP
	EOF
}

# What came in is handed over, also if there was no memory to note that it did.
test_a_policy_that_comes_when_memory_is_short_comes_into_force()
{
	no_room NO_ROOM_BEHIND=1
	faults_up
	kube_agent_up
	touch "$SANDBOX/no-room"
	put_late_policy
	eventually 30 generation_has_policies 2
}

after_failure()
{
	echo "--- the agent's log:"
	tail -n 40 "$AGENT_LOG"
	echo "--- the server's:"
	tail -n 20 "$SANDBOX/faults.log"
}

run_tests "$@"
