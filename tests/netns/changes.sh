#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The world changes under a running agent: what it must notice, repair, and never mix up.
# shellcheck disable=SC2119 # functions with optional arguments
# shellcheck source=tests/lib/harness.sh
. "$(dirname "$0")/../lib/harness.sh"
if [ -n "${SANDBOX:-}" ]; then
	# shellcheck source=tests/lib/cluster.sh
	. "$TESTS/lib/cluster.sh"
fi

# endpoint_ids: "POD=ID/IFINDEX ..." of all local pods
endpoint_ids()
{
	egressctl -o json pods | /usr/bin/python3 -c '
import json, sys
print(*("{pod}={id}/{ifindex}".format(**pod) for pod in json.load(sys.stdin)))'
}

endpoint_ids_differ_from()
{
	[ "$(endpoint_ids)" != "$1" ]
}

repairs_reach()
{
	[ "$(metric egressd_repairs_total)" -ge "$1" ]
}

# pods_with_web COMMAND...: the pods, that of "web" passed through the command
pods_with_web()
{
	{
		pod_manifest web 1 web | "$@"
		pod_manifest peer 2 peer
	} | manifest pods.yaml
}

# replace_web_interface IFINDEX: another interface with the name and the number of the old one
replace_web_interface()
{
	ip link delete web0
	ip link add web0 index "$1" type veth peer name eth0 netns "${HOLDER[web]}"
	ip address add 10.1.1.1/24 dev web0
	ip link set web0 up
	on web ip address add 10.1.1.2/24 dev eth0
	on web ip link set eth0 up
	on web ip route add default via 10.1.1.1
	eventually 10 all_pass node '{"to": "10.1.1.2", "protocol": "ICMP"}'
}

test_link_that_is_removed_is_restored()
{
	cluster_up
	agent_up
	if [ "$(egressctl -o json status | json attach)" != tcx ]; then
		skip "this kernel has no TCX"
	fi
	rm "$PIN"/v*/links/*
	eventually 5 repairs_reach 1
	enforced_ipv4
}

test_qdisc_that_is_removed_is_restored()
{
	cluster_up
	agent_up --attach clsact
	tc qdisc delete dev web0 clsact
	eventually 5 repairs_reach 1
	enforced_ipv4
}

test_attach_kind_changes_with_the_agent()
{
	cluster_up
	agent_up --attach clsact
	enforced_ipv4
	agent_stop
	agent_up
	enforced_ipv4
	if [ "$(egressctl -o json status | json attach)" = tcx ]; then
		assert_equal "filters left of clsact" "" "$(tc filter show dev web0 ingress)"
	fi
}

test_state_that_is_lost_or_damaged()
{
	local ids dropped

	cluster_up
	agent_up
	enforced_ipv4
	dropped=$(dropped_packets policy)
	ids=$(endpoint_ids)
	agent_kill
	rm -r "$STATE"
	agent_up
	assert_equal "endpoints without the old state" "$ids" "$(endpoint_ids)"
	[ "$(dropped_packets policy)" -ge "$dropped" ]
	agent_kill
	echo '{"version' >"$STATE/state.json"
	agent_up
	assert_equal "endpoints with damaged state" "$ids" "$(endpoint_ids)"
	enforced_ipv4
}

test_pod_created_anew_under_its_name_has_counters_of_its_own()
{
	local ids

	cluster_up
	pods_with_web sed 's/^  name: web/&\n  uid: first/'
	agent_up
	enforced_ipv4
	something_dropped
	ids=$(endpoint_ids)
	pods_with_web sed 's/^  name: web/&\n  uid: second/'
	eventually 5 endpoint_ids_differ_from "$ids"
	assert_equal "drops of the new pod" 0 "$(dropped_packets policy)"
	enforced_ipv4
	agent_kill
	pods_with_web sed 's/^  name: web/&\n  uid: third/'
	agent_up
	assert_equal "drops of the one that came while no agent ran" 0 "$(dropped_packets policy)"
}

test_interface_that_another_pod_takes_over()
{
	local name

	cluster_up
	agent_up
	for name in web-1 web-2; do
		after_change pods_with_web sed "s/^  name: web/  name: $name/"
		enforced_ipv4
		assert_matches "pods" "$name" "$(egressctl pods)"
		assert_no_match "metrics" "pod=\"$name\",reason=\"pending\"\\} [1-9]" "$(http_get /metrics)"
	done
}

test_interface_number_that_is_used_again()
{
	local ifindex

	cluster_up
	agent_up
	ifindex=$(ip -oneline link show web0 | cut -d: -f1)
	replace_web_interface "$ifindex"
	eventually 5 agent_is_ready
	enforced_ipv4
	agent_kill
	replace_web_interface "$ifindex"
	agent_up
	enforced_ipv4
}

test_directory_that_is_taken_away_and_replaced()
{
	cluster_up
	agent_up
	mv "$MANIFESTS" "$SANDBOX/away"
	eventually 5 grep -q 'stays in force' "$AGENT_LOG"
	enforced_ipv4
	mkdir "$SANDBOX/new"
	cp "$SANDBOX"/away/* "$SANDBOX/new"
	sed -i 's/port: 80}/port: 81}/' "$SANDBOX/new/policy.yaml"
	mv "$SANDBOX/new" "$MANIFESTS"
	eventually 5 passes web 10.1.2.2 81/TCP
	fails passes web 10.1.2.2 80/TCP
}

# As `rm -rf`, `mkdir` and `cp` do it, none of which is done in one step: what is denied before and after is denied all
# the time, and the pods stay the pods that they were. Neither is kept waiting by whatever else this machine does.
test_directory_that_is_removed_and_made_anew()
{
	local number attached

	cluster_up
	for number in {1..400}; do
		printf 'apiVersion: v1\nkind: Namespace\nmetadata: {name: n%s}\n' "$number" >"$MANIFESTS/n$number.yaml"
	done
	cp -r "$MANIFESTS" "$SANDBOX/copy"
	sed -i 's/port: 80}/port: 81}/' "$SANDBOX/copy/policy.yaml"
	agent_up
	attached=$(grep -c 'attached to' "$AGENT_LOG")
	chrt --fifo 1 rm -rf "$MANIFESTS"
	eventually 5 grep -q 'No such file or directory; what was read last stays in force' "$AGENT_LOG"
	enforced_ipv4
	mkdir "$MANIFESTS"
	eventually 5 grep -q 'an empty directory is in its place; what was read last stays in force' "$AGENT_LOG"
	enforced_ipv4
	assert_matches "status" 'what was read last stays in force' "$(egressctl status)"
	chrt --fifo 1 cp "$SANDBOX"/copy/* "$MANIFESTS"
	eventually 5 passes web 10.1.2.2 81/TCP
	fails passes web 10.1.2.2 80/TCP
	assert_no_match "log" 'in force: 0 policies|: gone, endpoint' "$(cat "$AGENT_LOG")"
	assert_equal "times that a pod was attached" "$attached" "$(grep -c 'attached to' "$AGENT_LOG")"
	eventually 5 agent_is_ready
}

# A mount that is gone leaves an empty directory.
test_directory_that_is_unmounted()
{
	cluster_up
	mkdir "$SANDBOX/kept"
	mv "$MANIFESTS"/* "$SANDBOX/kept"
	mount -t tmpfs none "$MANIFESTS"
	cp "$SANDBOX/kept"/* "$MANIFESTS"
	agent_up
	enforced_ipv4
	umount "$MANIFESTS"
	eventually 5 grep -q 'an empty directory is in its place; what was read last stays in force' "$AGENT_LOG"
	enforced_ipv4
	deny_everything
	mv "$SANDBOX/kept/pods.yaml" "$MANIFESTS"
	eventually 5 not passes web 10.1.2.2 80/TCP
}

open_descriptors()
{
	find "/proc/$AGENT/fd" -type l | wc -l
}

pinned_links()
{
	find "$PIN" -path '*/links/*' | wc -l
}

descriptors_and_links_are()
{
	[ "$(open_descriptors)" -eq "$1" ] && [ "$(pinned_links)" -eq "$2" ]
}

test_churn_leaks_nothing()
{
	local descriptors links i

	cluster_up
	agent_up
	descriptors=$(open_descriptors)
	links=$(pinned_links)
	for i in {1..40}; do
		{
			pod_manifest web 1 web
			pod_manifest peer 2 peer
			pod_manifest "remote$i" 9 peer "note: remote"
		} | manifest pods.yaml
		ip link add "churn$i" type veth peer name "other$i"
		pod_manifest churn 7 web "egressd.io/interface: churn$i" | manifest churn.yaml
		sleep 0.05
		ip link delete "churn$i"
		rm "$MANIFESTS/churn.yaml"
	done
	eventually 10 agent_is_ready
	eventually 5 descriptors_and_links_are "$descriptors" "$links"
	enforced_ipv4
}

# many_pods COUNT: of other nodes
many_pods()
{
	/usr/bin/python3 - "$1" <<-'EOF' >"$MANIFESTS/many.yaml"
		import sys
		for i in range(int(sys.argv[1])):
		    print(f"---\n{{apiVersion: v1, kind: Pod, metadata: {{name: many{i}}}, status: {{podIP: 10.9.{i >> 8}.{i & 255}}}}}")
	EOF
}

until_objects_are_being_written()
{
	local end=$((SECONDS + 30 * TEST_SLOWNESS))

	until [ -e "$STATE/.objects.json.new" ]; do
		[ $SECONDS -lt $end ] || fail "objects were not written"
	done
}

# Many objects are written in turns with what else there is to do.
test_changes_while_objects_are_written()
{
	local i

	cluster_up
	many_pods 5000
	agent_up
	for i in 1 2 3; do
		policy_manifest "first$i" web <<<"[]" | manifest change.yaml
		until_objects_are_being_written
		policy_manifest "second$i" web <<<"[]" | manifest change.yaml
		eventually 30 grep -q "\"second$i\"" "$STATE/objects.json"
		fails grep -q "\"first$i\"" "$STATE/objects.json"
	done
}

test_state_that_is_removed_while_it_is_written()
{
	cluster_up
	many_pods 5000
	agent_up
	deny_everything
	until_objects_are_being_written
	rm -r "$STATE"
	eventually 30 test -e "$STATE/objects.json"
	eventually 30 test -e "$STATE/state.json"
	fails test -e "$STATE/.objects.json.new"
	eventually 5 agent_is_ready
}

run_tests "$@"
