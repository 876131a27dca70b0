#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `egressctl explain -f`, `verify` and `diff`: exact answers about the manifests in shop/. No kernel, no root.
#
# usage: offline.sh [BUILD-DIRECTORY] [TEST...]
if [ -d "${1:-}" ]; then
	BUILD=$(cd "$1" && pwd)
	export BUILD
	shift
fi
# shellcheck source=tests/lib/harness.sh
. "$(dirname "$0")/../lib/harness.sh"
# shellcheck disable=SC2034 # read by run_tests
TEST_SANDBOX=no
# Paths in what is printed are relative; the harness itself is still at work where it was started.
if [ "${1:-}" = --one ]; then
	cd "$TESTS/cli"
fi
WORK=$(mktemp --directory)
trap 'rm -rf "$WORK"' EXIT

# expect STATUS COMMAND...: standard output, then standard error, must be what stands on standard input
expect()
{
	local wanted=$1 status=0 output

	shift
	output=$("$@" 2>"$WORK/error" </dev/null) || status=$?
	output+=$(sed 's/^/\n/' "$WORK/error")
	assert_equal "output of $*" "$(cat)" "${output#$'\n'}"
	assert_equal "exit status of $*" "$wanted" "$status"
}

explain()
{
	"$EGRESSCTL" explain -f shop "$@"
}

test_allowed_flow_names_its_rule()
{
	expect 0 explain --from shop/web-1 --to 10.20.1.1:443 <<-EOF
		shop/web-1 → 10.20.1.1 TCP 443: allow
		  destination: neither pod, service nor node (10.20.1.1)
		  by shop/web rule 1 (shop/policies/web.yaml:15)
	EOF
}

test_denied_flow_names_every_policy_and_why()
{
	expect 0 explain --from shop/db-0 --to 10.20.9.1:443 <<-EOF
		shop/db-0 → 10.20.9.1 TCP 443: deny
		  destination: neither pod, service nor node (10.20.9.1)
		  reason: no rule of any policy that isolates the pod matches
		  shop/default-deny (shop/policies/default-deny.yaml:2): has no egress rule, so it allows nothing
		  shop/dns rule 0 (shop/policies/web.yaml:31): port 443/TCP is not among 53/UDP; peer 1 selects pods k8s-app=kube-dns in namespaces kubernetes.io/metadata.name=kube-system; 10.20.9.1 is no pod
	EOF
}

test_without_a_port_everything_is_summed_up()
{
	expect 0 explain --from shop/web-1 --to 10.20.1.1 <<-EOF
		shop/web-1 → 10.20.1.1 protocols without ports: deny
		  destination: neither pod, service nor node (10.20.1.1)
		  allowed: TCP 443, 8000-8080
		  TCP 443: allow by shop/web rule 1 (shop/policies/web.yaml:15)
		  TCP 8000-8080: allow by shop/web rule 1 (shop/policies/web.yaml:15)
		  everything else: deny by default deny
	EOF
}

test_service_is_judged_by_its_backends()
{
	expect 0 explain --from shop/web-1 --to svc:shop/db:3306 <<-EOF
		shop/web-1 → 10.96.0.20 TCP 3306: allow
		  destination: service shop/db (10.96.0.20)
		  by shop/web rule 0 (shop/policies/web.yaml:10)
		  backend 10.1.0.20:5432 (pod shop/db-0) allowed by NetworkPolicy shop/web, rule 0
	EOF
}

test_both_families_of_a_pod_are_judged()
{
	expect 0 explain --from shop/web-1 --to shop/db-0:5432 <<-EOF
		shop/web-1 → 10.1.0.20 TCP 5432: allow
		  destination: pod shop/db-0 (10.1.0.20)
		  by shop/web rule 0 (shop/policies/web.yaml:10)
		shop/web-1 → fd00:1::20 TCP 5432: allow
		  destination: pod shop/db-0 (fd00:1::20)
		  by shop/web rule 0 (shop/policies/web.yaml:10)
	EOF
	[ "$(explain --from shop/web-1 --to shop/db-0:5432 -o json | json answers.1.to)" = fd00:1::20 ]
	# The resolver has IPv4 only.
	[ "$(explain --from shop/web-1 --to kube-system/dns:53/UDP -o json | json to)" = 10.1.0.53 ]
	[ "$(explain --from kube-system/dns --to shop/db-0:5432 -o json | json to)" = 10.1.0.20 ]
	[ "$(explain --from kube-system/dns --to kube-system/ldap:389 -o json | json to)" = 10.1.0.39 ]
}

test_pods_that_nothing_isolates()
{
	expect 0 explain --from kube-system/dns --to 192.0.2.7/ICMP <<-EOF
		kube-system/dns → 192.0.2.7 ICMP: allow
		  destination: neither pod, service nor node (192.0.2.7)
		  reason: no policy isolates the pod's egress
	EOF
	expect 0 explain --from kube-system/proxy --to 192.0.2.7:80 <<-EOF
		kube-system/proxy → 192.0.2.7 TCP 80: allow
		  reason: policy does not select hostNetwork pods: their traffic is their node's
	EOF
}

test_node_addresses_are_allowed()
{
	expect 0 explain --node-addresses 192.0.2.1,fd00::1 --from shop/db-0 --to 192.0.2.1:22 <<-EOF
		shop/db-0 → 192.0.2.1 TCP 22: allow
		  destination: address of the pod's own node (192.0.2.1)
		  reason: a pod may always reach the addresses of its own node
	EOF
}

test_tunnels_to_the_own_node_are_denied()
{
	expect 0 explain --node-addresses 192.0.2.1 --from shop/db-0 --to 192.0.2.1:8472/UDP <<-EOF
		shop/db-0 → 192.0.2.1 UDP 8472: deny
		  destination: address of the pod's own node (192.0.2.1)
		  reason: node_tunnel: the pod's own node might unpack a tunnel packet and send on what is in it
		  shop/default-deny (shop/policies/default-deny.yaml:2): has no egress rule, so it allows nothing
		  shop/dns rule 0 (shop/policies/web.yaml:31): port 8472/UDP is not among 53/UDP; peer 1 selects pods k8s-app=kube-dns in namespaces kubernetes.io/metadata.name=kube-system; 192.0.2.1 is no pod
	EOF
	echo '{"from": "shop/db-0", "to": "192.0.2.1", "protocol": 47}' >"$WORK/flows"
	assert_matches "a line of --flows" '^{"verdict":"deny".*"reason":"node_tunnel: ' \
		"$(explain --node-addresses 192.0.2.1 --flows "$WORK/flows")"
}

test_without_node_addresses_the_node_is_an_address()
{
	for addresses in none "" 192.0.2.2; do
		assert_equal "verdict with '$addresses'" deny \
			"$(explain --node-addresses "$addresses" --from shop/db-0 --to 192.0.2.1:22 -o json | json verdict)"
	done
}

test_pod_reaches_itself()
{
	expect 0 explain --from shop/db-0 --to 10.1.0.20:80 <<-EOF
		shop/db-0 → 10.1.0.20 TCP 80: allow
		  destination: pod shop/db-0 (10.1.0.20)
		  reason: a pod may always reach itself
	EOF
}

test_own_node_that_is_not_given_is_noted()
{
	local node="$WORK/node.yaml" denied

	cat >"$node" <<-EOF
		apiVersion: v1
		kind: Node
		metadata: {name: n1}
		status: {addresses: [{type: InternalIP, address: 192.0.2.11}]}
		---
		apiVersion: v1
		kind: Node
		metadata: {name: n2}
		status: {addresses: [{type: InternalIP, address: 192.0.2.12}]}
		---
		apiVersion: v1
		kind: Pod
		metadata: {name: there, namespace: shop}
		spec: {nodeName: n1}
		status: {podIP: 10.1.0.99}
	EOF
	explain -f "$node" --from shop/there --to 192.0.2.11:22 >"$WORK/output"
	assert_equal "verdict and note" "1 1" "$(grep -c "TCP 22: deny" "$WORK/output") $(grep -cF "note: it is an address of \
node n1, where the pod runs, which the pod may reach; --node-addresses 192.0.2.11 judges it so" "$WORK/output")"
	for denied in "--node-addresses none --to 192.0.2.11:22" "--to 192.0.2.12:22"; do
		# shellcheck disable=SC2086 # two or four words
		explain -f "$node" --from shop/there $denied >"$WORK/output"
		assert_equal "notes with $denied" 0 "$(grep -c note: "$WORK/output" || true)"
	done
	explain -f "$node" --node-addresses 192.0.2.11 --from shop/there --to 192.0.2.11:22 >"$WORK/output"
	assert_equal "allowed" 1 "$(grep -c "TCP 22: allow" "$WORK/output")"
}

# Another pod may have the address by now: an answer about that one would mislead.
test_a_pod_that_has_ended_is_no_destination()
{
	local pod="$WORK/ended.yaml" problem='the pod has ended, so it has given up its address'

	for phase in Succeeded Failed; do
		cat >"$pod" <<-EOF
			{apiVersion: v1, kind: Pod, metadata: {name: job, namespace: shop}, status: {phase: $phase, podIP: 10.1.0.20}}
		EOF
		expect 2 explain -f "$pod" --from shop/web-1 --to shop/job:80 <<<"error: --to shop/job:80: $problem"
		echo '{"from":"shop/web-1","to":"shop/job","port":80}' >"$WORK/flows"
		expect 2 explain -f "$pod" --flows "$WORK/flows" <<<"{\"error\":\"line 1: $problem\"}"
	done
}

test_explain_errors()
{
	expect 2 explain --from shop/none --to 192.0.2.7:80 <<<"error: --from shop/none: there is no such pod"
	expect 2 explain --from shop/starting --to 192.0.2.7:80 \
		<<<"error: --from shop/starting: the pod has no address, so it sends nothing"
	expect 2 explain --from shop/web-1 --to svc:shop/peers:80 \
		<<<"error: --to svc:shop/peers:80: a headless service has no address; name its pods"
	expect 2 explain --from shop/web-1 --to svc:shop/none:80 \
		<<<"error: --to svc:shop/none:80: there is no such service"
	expect 2 explain --from shop/web-1 --to 10.0.0.1/TCP \
		<<<"error: --to 10.0.0.1/TCP: TCP, UDP and SCTP need a port"
	expect 2 explain --from shop/web-1 --to shop/starting:80 \
		<<<"error: --to shop/starting:80: the pod has no address"
}

test_flows()
{
	cat >"$WORK/flows" <<-EOF
		{"from":"shop/web-1","to":"10.20.1.1","port":443,"protocol":"TCP"}
		{"from":"shop/web-1","to":"10.20.9.1","port":443}
		{"from":"shop/db-0","to":"10.20.1.1","port":443}
		{"from":"shop/web-2","to":"svc:shop/db","port":3306,"protocol":6}
		{"from":"shop/web-2","to":"shop/db-0","port":5432,"protocol":"tcp"}
		{"from":"shop/web-1","to":"fd00:1::20","port":5432,"protocol":"UDP"}
		{"from":"shop/web-1","to":"10.20.1.1"}
		{"from":"kube-system/proxy","to":"10.20.1.1","protocol":"ICMP"}
		{"from":"kube-system/dns","to":"10.20.1.1","protocol":"ICMP"}
	EOF
	expect 0 explain --flows "$WORK/flows" <<-'EOF'
		{"verdict":"allow","policies":["shop/web"],"rule":{"policy":"shop/web","index":1},"reason":"rule 1 of shop/web allows it"}
		{"verdict":"deny","policies":["shop/default-deny","shop/dns","shop/web"],"rule":null,"reason":"no rule of any policy that isolates the pod matches"}
		{"verdict":"deny","policies":["shop/default-deny","shop/dns"],"rule":null,"reason":"no rule of any policy that isolates the pod matches"}
		{"verdict":"allow","policies":["shop/web"],"rule":{"policy":"shop/web","index":0},"reason":"rule 0 of shop/web allows it"}
		{"verdict":"allow","policies":["shop/web"],"rule":{"policy":"shop/web","index":0},"reason":"rule 0 of shop/web allows it"}
		{"verdict":"deny","policies":["shop/default-deny","shop/dns","shop/web"],"rule":null,"reason":"no rule of any policy that isolates the pod matches"}
		{"verdict":"deny","policies":["shop/default-deny","shop/dns","shop/web"],"rule":null,"reason":"no rule of any policy that isolates the pod matches"}
		{"verdict":"allow","policies":[],"rule":null,"reason":"policy does not select hostNetwork pods: their traffic is their node's"}
		{"verdict":"allow","policies":[],"rule":null,"reason":"no policy isolates the pod's egress"}
	EOF
}

test_flows_that_are_wrong_keep_their_line()
{
	cat >"$WORK/flows" <<-EOF
		{"from":"shop/web-1","to":"10.20.1.1","port":443}
		garbage
		[]
		{"from":"shop/web-1","to":"10.20.1.1","protocol":"TCP"}
		{"from":"shop/web-1","to":"10.20.1.1:80","port":80}
		{"from":"shop/none","to":"10.20.1.1","port":80}
		{"from":"shop/web-1","to":"10.20.1.1","port":65536}
		{"from":"shop/web-1","to":"10.20.1.1","port":80,"protocol":"FOO"}
		{"from":"shop/web-1","port":80}
		{"from":"shop/web-1","to":"10.20.1.1","port":80,"proto":"UDP"}
		{"from":"shop/web-1","to":"::ffff:10.20.1.1","port":443}

		{"from":"shop/web-1","to":"10.20.1.1","port":80,"port":443}
		{"from":"kube-system/dns","to":"10.20.1.1","port":443}
	EOF
	expect 2 explain --flows "$WORK/flows" <<-'EOF'
		{"verdict":"allow","policies":["shop/web"],"rule":{"policy":"shop/web","index":1},"reason":"rule 1 of shop/web allows it"}
		{"error":"line 2: '[' or '{' expected near 'garbage'"}
		{"error":"line 3: not a JSON object"}
		{"error":"line 4: TCP, UDP and SCTP need a \"port\""}
		{"error":"line 5: \"to\" is neither an address nor NS/POD nor svc:NS/NAME"}
		{"error":"line 6: there is no such pod"}
		{"error":"line 7: \"port\" is not a number from 0 to 65535"}
		{"error":"line 8: \"protocol\" is none of TCP, UDP, SCTP, ICMP, ICMPv6 and not a number from 0 to 255"}
		{"error":"line 9: \"from\" and \"to\" must be strings"}
		{"error":"line 10: only \"from\", \"to\", \"port\" and \"protocol\" are expected"}
		{"error":"line 11: \"to\" is neither an address nor NS/POD nor svc:NS/NAME"}
		{"error":"line 12: '[' or '{' expected near end of file"}
		{"error":"line 13: duplicate object key near '\"port\"'"}
		{"verdict":"allow","policies":[],"rule":null,"reason":"no policy isolates the pod's egress"}
	EOF
}

test_flows_and_explain_agree()
{
	local to

	for to in 10.20.1.1 10.20.9.1 10.1.0.20 10.1.0.53 10.96.0.20 10.1.0.11 192.0.2.1 fd00:1::20; do
		for port in 53 443 3306 5432 8040; do
			assert_equal "verdict for $to:$port" \
				"$(explain -o json --from shop/web-1 --to "${to/fd00:1::20/[fd00:1::20]}:$port" | json verdict)" \
				"$(explain --flows - <<<"{\"from\":\"shop/web-1\",\"to\":\"$to\",\"port\":$port}" | json verdict)"
		done
	done
}

test_verify_prints_tap()
{
	cat >"$WORK/tests.yaml" <<-EOF
		tests:
		- name: web reaches the database # by its service
		  from: shop/web-1
		  to: svc:shop/db:3306
		  expect: allow
		- {from: shop/web-1, to: 10.20.1.1, port: 444, expect: allow}
		- {from: shop/web-1, to: 10.20.9.1, expect: deny}
		- {from: shop/web-1, to: 10.20.8.1, expect: deny}
		- {from: kube-system/dns, to: 10.20.8.1, expect: allow}
		- {from: shop/none, to: 10.20.8.1, expect: deny}
	EOF
	expect 1 "$EGRESSCTL" verify -f shop "$WORK/tests.yaml" <<-EOF
		TAP version 13
		1..6
		ok 1 - web reaches the database
		not ok 2 - shop/web-1 to 10.20.1.1 port 444: allow
		# line 6: expected allow, got deny
		# shop/web-1 → 10.20.1.1 TCP 444: deny
		#   destination: neither pod, service nor node (10.20.1.1)
		#   reason: no rule of any policy that isolates the pod matches
		#   shop/default-deny (shop/policies/default-deny.yaml:2): has no egress rule, so it allows nothing
		#   shop/dns rule 0 (shop/policies/web.yaml:31): port 444/TCP is not among 53/UDP; peer 1 selects pods k8s-app=kube-dns in namespaces kubernetes.io/metadata.name=kube-system; 10.20.1.1 is no pod
		#   shop/web rule 0 (shop/policies/web.yaml:10): port 444/TCP is not among sql/TCP (a name, and no pod to have it); peer 1 selects pods app=db in namespace shop; 10.20.1.1 is no pod
		#   shop/web rule 1 (shop/policies/web.yaml:15): port 444/TCP is not among 443/TCP, 8000-8080/TCP
		ok 3 - shop/web-1 to 10.20.9.1: deny
		not ok 4 - shop/web-1 to 10.20.8.1: deny
		# line 8: expected deny, not everything is denied
		# shop/web-1 → 10.20.8.1 protocols without ports: deny
		#   destination: neither pod, service nor node (10.20.8.1)
		#   allowed: TCP 443, 8000-8080
		#   TCP 443: allow by shop/web rule 1 (shop/policies/web.yaml:15)
		#   TCP 8000-8080: allow by shop/web rule 1 (shop/policies/web.yaml:15)
		#   everything else: deny by default deny
		ok 5 - kube-system/dns to 10.20.8.1: allow
		not ok 6 - shop/none to 10.20.8.1: deny
		# line 10: from shop/none: there is no such pod
	EOF
	sed -i -e '/444/d' -e '/10.20.8.1, expect: deny/d' "$WORK/tests.yaml"
	expect 0 "$EGRESSCTL" verify -f shop/cluster.yaml shop/policies "$WORK/tests.yaml" <<-EOF
		TAP version 13
		1..3
		ok 1 - web reaches the database
		ok 2 - shop/web-1 to 10.20.9.1: deny
		ok 3 - kube-system/dns to 10.20.8.1: allow
	EOF
}

test_verify_prints_junit()
{
	cat >"$WORK/tests.yaml" <<-EOF
		tests:
		- {name: 'a <"&"> b', from: kube-system/dns, to: 10.20.8.1, expect: allow}
		- {name: fails, from: kube-system/dns, to: '10.20.8.1:53/UDP', expect: deny}
	EOF
	fails "$EGRESSCTL" verify -o junit -f shop "$WORK/tests.yaml" >"$WORK/junit.xml"
	/usr/bin/python3 - "$WORK/junit.xml" <<-'EOF'
		import sys, xml.etree.ElementTree as tree
		suite = tree.parse(sys.argv[1]).getroot().find("testsuite")
		assert suite.get("tests") == "2" and suite.get("failures") == "1", suite.attrib
		first, second = suite.findall("testcase")
		assert first.get("name") == 'a <"&"> b' and first.find("failure") is None
		assert "got allow" in second.find("failure").text
	EOF
}

test_verify_prints_names_of_any_characters()
{
	local tests=$WORK/$'bytes-\xff.yaml'

	cat >"$tests" <<-'EOF'
		tests:
		- {name: "a\uFFFEb\uFFFFc\x01d\re\x85f\n# g", from: kube-system/dns, to: 10.20.8.1, expect: allow}
	EOF
	"$EGRESSCTL" verify -o junit -f shop "$tests" >"$WORK/junit.xml"
	/usr/bin/python3 - "$WORK/junit.xml" <<-'EOF'
		import sys, xml.etree.ElementTree as tree
		name = tree.parse(sys.argv[1]).getroot().find("testsuite/testcase").get("name")
		assert name.startswith("a?b?c d e") and name.endswith("f # g"), name
	EOF
	"$EGRESSCTL" verify -f shop "$tests" >"$WORK/tap"
	assert_equal "lines of TAP, and of them with a carriage return" "3 0" \
		"$(wc -l <"$WORK/tap") $(grep -c $'\r' "$WORK/tap" || true)"
}

# wrong_tests TEXT MESSAGE
wrong_tests()
{
	echo "$1" >"$WORK/tests.yaml"
	expect 2 "$EGRESSCTL" verify -f shop "$WORK/tests.yaml" <<<"error: $WORK/tests.yaml:$2"
}

test_verify_refuses_wrong_tests()
{
	local rest='from: shop/web-1, to: 10.0.0.1, expect: deny'

	wrong_tests "tests: [{$rest, prot: 80}]" "1:56: expected one of name, from, to, port, protocol, expect"
	wrong_tests "tests: [{from: shop/web-1, to: 10.0.0.1}]" "1:9: a test needs from, to and expect"
	wrong_tests "tests: [{$rest, from: shop/web-2}]" "1:56: the key stands twice"
	wrong_tests "tests: [{$rest, port: http}]" "1:62: expected a port from 0 to 65535"
	wrong_tests "tests: [{$rest, protocol: UDP}]" "1:66: TCP, UDP and SCTP need a port"
	wrong_tests "tests: [{from: shop/web-1, to: '10.0.0.1:80', port: 80, expect: deny}]" "1:53: \`to\` already says it"
	wrong_tests "tests: [{from: shop/web-1, to: 10.0.0.1, expect: maybe}]" "1:50: expected allow or deny"
	wrong_tests "test: []" "1:1: expected the key tests"
	wrong_tests "tests: [" "2:1: did not find expected node content"
	wrong_tests "tests: []" " there are no tests in it"
	wrong_tests "{tests: [{$rest}], tests: [{$rest}]}" "1:59: the key stands twice"
	truncate --size=100M "$WORK/huge.yaml"
	expect 2 timeout $((5 * TEST_SLOWNESS)) "$EGRESSCTL" verify -f shop "$WORK/huge.yaml" \
		<<<"error: $WORK/huge.yaml: expected at most 64 MiB, found more"
}

# A copy of shop/ to be changed, in $WORK/new.
copy_shop()
{
	cp -r shop "$WORK/new"
}

test_diff_of_the_same_is_empty()
{
	copy_shop
	# The text differs, the flows do not.
	sed -i 's/port: sql/port: 5432/' "$WORK/new/policies/web.yaml"
	expect 0 "$EGRESSCTL" diff shop "$WORK/new" </dev/null
}

test_diff_by_pods_and_destinations()
{
	copy_shop
	sed -i -e 's/port: 443/port: 444/' -e 's|except: .*|except: [10.20.9.0/24, 10.20.10.0/24]|' \
		"$WORK/new/policies/web.yaml"
	expect 1 "$EGRESSCTL" diff shop "$WORK/new" <<-EOF
		shop/web-* (2 pods) → 10.20.0.0/16 except 10.20.9.0/24, 10.20.10.0/24 TCP 444: deny → allow
		shop/web-* (2 pods) → 10.20.0.0/16 except 10.20.9.0/24, 10.20.10.0/24 TCP 443: allow → deny
		shop/web-* (2 pods) → 10.20.10.0/24 TCP 443, 8000-8080: allow → deny
	EOF
	assert_equal "pods" '["shop/web-1", "shop/web-2"]' \
		"$(fails_with_json "$WORK/new" changes.1.pods)"
	assert_equal "prefixes" '["10.20.10.0/24"]' "$(fails_with_json "$WORK/new" changes.1.prefixes)"
	assert_equal "ports" '[{"protocol": "TCP", "first": 443, "last": 443}, {"protocol": "TCP", "first": 8000, "last": 8080}]' \
		"$(fails_with_json "$WORK/new" changes.1.denied)"
}

# fails_with_json NEW MEMBER
fails_with_json()
{
	{ "$EGRESSCTL" diff -o json shop "$1" || [ $? -eq 1 ]; } | json "$2"
}

test_diff_names_pods_and_services_as_destinations()
{
	copy_shop
	sed -i 's/matchLabels: {app: db}/matchLabels: {app: none}/' "$WORK/new/policies/web.yaml"
	expect 1 "$EGRESSCTL" diff shop "$WORK/new" <<-EOF
		shop/web-* (2 pods) → shop/db-0 TCP 5432: allow → deny
		shop/web-* (2 pods) → service shop/db TCP 3306: allow → deny
	EOF
}

test_diff_of_a_pod_that_is_no_longer_isolated()
{
	copy_shop
	rm "$WORK/new/policies/default-deny.yaml"
	sed -i '/name: dns/,$ s/podSelector: {}/podSelector: {matchLabels: {app: web}}/' "$WORK/new/policies/web.yaml"
	expect 1 "$EGRESSCTL" diff shop "$WORK/new" <<-EOF
		shop/db-0 → 0.0.0.0/0 except 10.1.0.53/32, 10.96.0.20/32, ::/0 everything: deny → allow
		shop/db-0 → kube-system/dns TCP all; UDP 0-52, 54-65535; SCTP all; other protocols: deny → allow
		shop/db-0 → service shop/db TCP 0-3305, 3307-65535; UDP all; SCTP all; other protocols: deny → allow
	EOF
}

test_diff_knows_tunnels_to_the_own_node()
{
	copy_shop
	rm "$WORK/new/policies/default-deny.yaml"
	sed -i '/name: dns/,$ s/podSelector: {}/podSelector: {matchLabels: {app: web}}/' "$WORK/new/policies/web.yaml"
	"$EGRESSCTL" diff --node-addresses 192.0.2.1 shop "$WORK/new" >"$WORK/output" || [ $? -eq 1 ]
	assert_matches "changes" '→ 192.0.2.1/32 UDP 1701, 4754, 4789-4790, 6080-6081, 6635, 8472; tunnel protocols: deny → allow$' \
		"$(cat "$WORK/output")"
}

test_diff_with_common_objects_and_new_pods()
{
	cp -r shop/policies "$WORK/new"
	cat >"$WORK/new/pod.yaml" <<-EOF
		{apiVersion: v1, kind: Pod, metadata: {name: web-3, namespace: shop}, status: {podIP: 10.1.0.13}}
	EOF
	expect 1 "$EGRESSCTL" diff -f shop/cluster.yaml shop/policies "$WORK/new" <<<"shop/web-3: only in NEW"
	expect 1 "$EGRESSCTL" diff -f shop/cluster.yaml "$WORK/new" shop/policies <<<"shop/web-3: only in OLD"
}

test_diff_leaves_out_what_a_pod_sends_to_itself()
{
	local policy='apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: to-db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: APP}}
  policyTypes: [Egress]
  egress: [{to: [{podSelector: {matchLabels: {app: db}}}], ports: [{port: 5431}]}]'

	# The one pod of app=db may reach itself with and without it.
	copy_shop
	echo "${policy/APP/db}" >"$WORK/new/to-db.yaml"
	expect 0 "$EGRESSCTL" diff shop "$WORK/new" </dev/null
	assert_equal "changes" "[]" "$("$EGRESSCTL" diff -o json shop "$WORK/new" | json changes)"
	# Other pods gain by it.
	echo "${policy/APP/web}" >"$WORK/new/to-db.yaml"
	expect 1 "$EGRESSCTL" diff shop "$WORK/new" <<<"shop/web-* (2 pods) → shop/db-0 TCP 5431: deny → allow"
	# Of two pods each may reach itself, but not the other one.
	cat >"$WORK/db-1.yaml" <<-EOF
		apiVersion: v1
		kind: Pod
		metadata: {name: db-1, namespace: shop, labels: {app: db}}
		status: {podIP: 10.1.0.21}
	EOF
	echo "${policy/APP/db}" >"$WORK/new/to-db.yaml"
	expect 1 "$EGRESSCTL" diff -f "$WORK/db-1.yaml" shop "$WORK/new" <<-EOF
		shop/db-* (2 pods) → shop/db-* (2 pods) TCP 5431: deny → allow
	EOF
}

test_diff_needs_pods()
{
	expect 2 "$EGRESSCTL" diff shop/policies shop/policies \
		<<<"error: diff: there are no pods with addresses on either side; -f PATH adds objects to both"
}

run_tests "$@"
