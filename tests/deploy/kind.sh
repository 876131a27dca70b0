#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `make kind-demo` and `make kind-bench` as far as they go without kind: what they ask of kind, docker and kubectl, here
# programs that write down what they are asked and answer as a cluster would, and what they make of the answers.
# shellcheck source=tests/lib/harness.sh
. "$(dirname "$0")/../lib/harness.sh"
# shellcheck disable=SC2034 # read by run_tests
TEST_SANDBOX=no TEST_TIMEOUT=300
KIND=$ROOT/deploy/kind
WORK=$(mktemp --directory)
trap 'rm -rf "$WORK"' EXIT
export KIND_BUILT=yes
if [ "${1:-}" != --one ]; then
	"$TESTS/deploy/images" >"$WORK/log" 2>&1 || sed 's/^/# /' "$WORK/log"
fi

# fake_programs: kind, docker and kubectl, before all others in PATH
fake_programs()
{
	local program

	mkdir -p "$WORK/bin"
	for program in kind docker kubectl; do
		ln -s "$TESTS/deploy/fake_cluster.py" "$WORK/bin/$program"
	done
	export FAKE_CALLS=$WORK/calls
	: >"$FAKE_CALLS"
	PATH=$WORK/bin:$PATH
}

# run STATUS COMMAND...: its output in OUTPUT
run()
{
	local wanted=$1 status=0

	shift
	OUTPUT=$(TMPDIR=$WORK "$@" 2>&1) || status=$?
	assert_equal "exit status of $* ($OUTPUT)" "$wanted" $status
}

# Of the script's own files; the fakes' are theirs.
nothing_is_left()
{
	assert_equal "left behind" "" "$(find "$WORK" -type f -not -name 'calls*' -not -name 'fake-*')"
}

test_all_that_is_missing_is_told_at_once()
{
	# What the script itself needs, and none of the rest.
	mkdir "$WORK/bare"
	ln -s "$(command -v bash)" "$(command -v dirname)" "$WORK/bare"
	run 1 env PATH="$WORK/bare" bash "$KIND/demo"
	assert_equal "output" "kind: missing: kind (https://kind.sigs.k8s.io)
kind: missing: docker
kind: missing: kubectl
kind: missing: python3" "$OUTPUT"
}

test_what_stops_a_cluster_is_told()
{
	fake_programs
	FAKE=no-daemon run 1 "$KIND/demo"
	assert_matches "output" "kind: no docker daemon answers" "$OUTPUT"
	FAKE=cluster-there run 1 "$KIND/bench"
	assert_matches "output" 'kind: there is a cluster "egressd" already' "$OUTPUT"
	KIND_FAMILY=ipv5 run 1 "$KIND/demo"
	assert_matches "output" "ipv5 is neither ipv4 nor dual" "$OUTPUT"
	assert_no_match "calls" "^kind create" "$(cat "$FAKE_CALLS")"
}

test_missing_node_image_is_told()
{
	fake_programs
	FAKE=no-image run 1 "$KIND/demo"
	assert_matches "kind's own words" "failed to pull image" "$OUTPUT"
	assert_matches "what it means" "needs a node image" "$OUTPUT"
	assert_matches "calls" "^kind delete cluster --name egressd" "$(cat "$FAKE_CALLS")"
	nothing_is_left
}

test_demo_tries_every_flow()
{
	fake_programs
	run 0 "$KIND/demo"
	assert_equal "tables" "14 flows tried, 0 not as policy says" "$(grep -o '[0-9]* flows tried.*' <<<"$OUTPUT" | sort -u)"
	assert_matches "row" "^  shop/web +service orders 80/TCP +allow +passed +ok$" "$OUTPUT"
	assert_matches "row" "^  shop/web +partner's guest 443/TCP +deny +dropped +ok$" "$OUTPUT"
	assert_matches "after the change" "^  shop/web +orders 9090/TCP +allow +passed +ok$|^  shop/web +shop/orders 9090/TCP +allow +passed +ok$" \
		"$OUTPUT"
	# In that order, and nothing stays.
	assert_equal "milestones" "kind get clusters
kind create cluster
kind load image-archive
kind load image-archive
kubectl wait --for=condition=Ready
kubectl apply -k $ROOT/deploy
kubectl apply -f $KIND/pods.yaml
kubectl apply -f $ROOT/deploy/examples/default-deny.yaml
kubectl apply -f $ROOT/deploy/examples/allow-dns.yaml
kubectl apply -f $ROOT/deploy/examples/allow-between-apps.yaml
kubectl apply -f $ROOT/deploy/examples/allow-cidr-except.yaml
kubectl apply -f -
kubectl apply -f -
kind delete cluster" "$(grep -Eo '^(kind [a-z]+ [a-z-]+|kubectl apply [^ ]+ [^ ]+|kubectl wait --for=condition=Ready)' "$FAKE_CALLS")"
	assert_matches "network of the worker" '"ranges":\[\[\{"subnet":"10.244.1.0/24"\}\]\]' "$(cat "$FAKE_CALLS.input")"
	assert_matches "route" "^docker exec egressd-worker ip -4 route replace 10.244.0.0/24 via 172.18.0.2" "$(cat "$FAKE_CALLS")"
	assert_matches "route" "^docker exec egressd-worker ip -4 route replace 198.51.100.10 via 172.18.0.2" "$(cat "$FAKE_CALLS")"
	nothing_is_left
}

test_demo_of_both_families()
{
	fake_programs
	KIND_FAMILY=dual FAKE=dual run 0 "$KIND/demo"
	assert_matches "row" "^  shop/web +elsewhere 443/TCP +deny +dropped +dropped +ok$" "$OUTPUT"
	assert_matches "network" '"ranges":\[\[\{"subnet":"10.244.1.0/24"\}\],\[\{"subnet":"fd00:10:244:1::/64"\}\]\]' \
		"$(cat "$FAKE_CALLS.input")"
	assert_matches "route" "^docker exec egressd-worker ip -6 route replace fd00:10:244::/64 via fc00:f853::2" "$(cat "$FAKE_CALLS")"
}

test_demo_fails_with_a_flow_that_is_not_as_policy_says()
{
	fake_programs
	FAKE=leak run 1 "$KIND/demo"
	assert_matches "row" "elsewhere 443/TCP +deny +passed +WRONG \(IPv4: meant deny, explained deny, passed\)" "$OUTPUT"
	assert_matches "sum" "14 flows tried, 1 not as policy says" "$OUTPUT"
	assert_matches "end" "tables above have flows that are not as policy says" "$OUTPUT"
	FAKE=lie run 1 "$KIND/demo"
	assert_matches "row" "WRONG \(IPv4: meant allow, explained deny, passed\)" "$OUTPUT"
}

test_bench_compares()
{
	fake_programs
	ROUNDS=3 RULES=400 run 0 "$KIND/bench"
	assert_matches "head" "^ +without egressd +no policy selects it +400 rules$" "$OUTPUT"
	# The fake cluster's figures: 1000 without, 990 with egressd, 980 with policy, and an outlier that a median leaves out.
	assert_matches "row" "^  requests/s +1,000 +990 \(-1\.0 %\) +980 \(-2\.0 %\)$" "$OUTPUT"
	assert_matches "end" "medians of 3 rounds" "$OUTPUT"
	assert_equal "rules" 400 "$(grep -c 'ipBlock' "$FAKE_CALLS.policy")"
	assert_equal "policy" "0 errors" "$("$EGRESSCTL" check "$FAKE_CALLS.policy" | grep -o '^0 errors')"
	assert_equal "installed and removed" "3 3" \
		"$(grep -c "^kubectl apply -k $ROOT/deploy$" "$FAKE_CALLS") $(grep -c "^kubectl apply -k .*/uninstall$" "$FAKE_CALLS")"
}

test_table_refuses_what_is_not_whole()
{
	run 1 "$KIND/table.py" </dev/null
	assert_matches "nothing" "no results" "$OUTPUT"
	run 1 "$KIND/table.py" < <(printf '%s\n' '{"case": "a", "values": {"x": 1, "y": 2}}' '{"case": "b", "values": {"x": 1}}')
	assert_matches "a value is missing" "no y for b" "$OUTPUT"
}

test_pods_and_cluster_fit()
{
	/usr/bin/python3 - "$KIND" <<-'EOF'
		import sys
		import yaml

		kind = sys.argv[1]
		with open(f"{kind}/cluster.yaml", encoding="utf-8") as file:
		    cluster = yaml.safe_load(file)
		assert cluster["apiVersion"] == "kind.x-k8s.io/v1alpha4" and cluster["kind"] == "Cluster"
		assert [node["role"] for node in cluster["nodes"]] == ["control-plane", "worker"]
		assert cluster["networking"] == {"disableDefaultCNI": True}
		nodes = set()
		for name in ("pods", "bench"):
		    with open(f"{kind}/{name}.yaml", encoding="utf-8") as file:
		        for document in yaml.safe_load_all(file):
		            if document["kind"] == "Pod":
		                nodes.add(document["spec"]["nodeName"])
		                assert all(item["imagePullPolicy"] == "Never" for item in document["spec"]["containers"])
		assert nodes == {"egressd-control-plane", "egressd-worker"}, nodes
	EOF
}

# What the pods of the demo run is built here, and tried in a container.
test_traffic_image_works()
{
	local image file

	file=$ROOT/build/image/egressd-traffic-$(sed -n 's/^#define EGRESSD_VERSION "\(.*\)"/\1/p' \
		"$ROOT/include/egressd/version.h")-$(dpkg --print-architecture).tar
	mkdir "$WORK/root"
	tar --extract --file="$file" --directory="$WORK"
	image=$(/usr/bin/python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[0]["Layers"][0])' "$WORK/manifest.json")
	tar --extract --gzip --file="$WORK/$image" --directory="$WORK/root"
	# shellcheck disable=SC2016 # for the shell in there
	"$TESTS/lib/sandbox" bash -c '
		mount -t proc proc "$1/proc"
		exec {ready}< <(chroot "$1" /usr/bin/traffic.py serve it 8080/TCP 53/UDP)
		read -r -t 20 <&$ready
		chroot "$1" /usr/bin/traffic.py probe 2 <<-FLOWS
			{"to": "127.0.0.1", "port": 8080, "protocol": "TCP"}
			{"to": "::1", "port": 53, "protocol": "UDP"}
		FLOWS
		exec {ready}< <(chroot "$1" /usr/bin/load serve)
		read -r -t 20 <&$ready
		chroot "$1" /usr/bin/load measure /proc/self/fd/0 50 <<<127.0.0.1' bash "$WORK/root" >"$WORK/output"
	assert_equal "flows" 2 "$(grep -c '"passed": true, "by": "it"' "$WORK/output")"
	tail -n 1 "$WORK/output" | json throughput >/dev/null
}

run_tests "$@"
