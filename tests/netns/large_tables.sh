#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Tables that are too large to hold two generations: each gets memory and programs of its own, which are made while the
# policy is compiled.
# shellcheck disable=SC2119 # functions with optional arguments
# shellcheck source=tests/lib/harness.sh
. "$(dirname "$0")/../lib/harness.sh"
if [ -n "${SANDBOX:-}" ]; then
	# shellcheck source=tests/lib/cluster.sh
	. "$TESTS/lib/cluster.sh"
fi

# list COUNT FIRST: that many networks, from the FIRST octet on, each with a port of its own. Tables hold every port of
# every network.
list()
{
	/usr/bin/python3 - "$1" "$2" <<-'EOF'
		import sys
		print("apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: many, namespace: default}\n"
		      "spec: {podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [")
		for i in range(int(sys.argv[1])):
		    print(f"{{to: [{{ipBlock: {{cidr: {sys.argv[2]}.{i >> 8}.{i & 255}.0/24}}}}], ports: [{{port: {i + 1}}}]}},")
		print("]}")
	EOF
}

put_list()
{
	list "$@" >"$SANDBOX/list"
	after_change mv "$SANDBOX/list" "$MANIFESTS/list.yaml"
}

# tables_made FORESEEN: how often there was new memory that had been made ahead, or had not
tables_made()
{
	grep -c "new table memory of .* words, $1\$" "$AGENT_LOG" || true
}

test_tables_are_made_while_the_policy_is_compiled()
{
	cluster_up
	agent_up --log-level debug
	assert_equal "made at the start" "1 0" "$(tables_made 'made now') $(tables_made foreseen)"
	put_list 1600 64
	assert_equal "the first large list" "2 0" "$(tables_made 'made now') $(tables_made foreseen)"
	passes web 10.1.2.2 80/TCP
	put_list 1600 96
	assert_equal "another of the same size" "2 1" "$(tables_made 'made now') $(tables_made foreseen)"
	passes web 10.1.2.2 80/TCP
	fails passes web 192.0.2.10 443/TCP
	# What cannot be enforced leaves nothing behind, and what is right comes after it.
	list 1600 64 | sed 's,{port: 7},{port: 7\, endPort: 6},' >"$SANDBOX/list"
	mv "$SANDBOX/list" "$MANIFESTS/list.yaml"
	eventually 20 grep -q "expected at least the port" "$AGENT_LOG"
	passes web 10.1.2.2 80/TCP
	put_list 1600 64
	assert_equal "one more" "2 2" "$(tables_made 'made now') $(tables_made foreseen)"
	# A small policy finds room beside the large one; a larger one than was foreseen gets what it needs.
	put_list 10 64
	assert_equal "a small one" "2 2" "$(tables_made 'made now') $(tables_made foreseen)"
	put_list 2400 64
	assert_equal "a larger one" "3 2" "$(tables_made 'made now') $(tables_made foreseen)"
	passes web 10.1.2.2 80/TCP
	fails passes web 192.0.2.10 443/TCP
	agent_stop
}

# refused COMMAND ERRNO FIRST: bpf(2) refuses what a large list needs, for a while
refused()
{
	local generation errors

	generation=$(metric egressd_generation) errors=$(metric egressd_build_errors_total)
	list 1600 "$3" >"$SANDBOX/list"
	faults "$1 $2"
	mv "$SANDBOX/list" "$MANIFESTS/list.yaml"
	eventually 20 metric_beyond egressd_build_errors_total "$errors"
	assert_equal "generation" "$generation" "$(metric egressd_generation)"
	enforced_ipv4
	rm "$SANDBOX/faults"
	eventually 35 generation_beyond "$generation"
	eventually 35 agent_is_ready
	enforced_ipv4
}

test_tables_made_ahead_may_be_refused()
{
	cluster_up
	with_faults
	agent_up --log-level debug
	put_list 1600 64
	# The programs (BPF_PROG_LOAD, EACCES), then the memory (BPF_MAP_CREATE, ENOMEM).
	refused 5 13 96
	assert_matches "log" '^error: generation [0-9]+: the kernel did not take the programs: Permission denied' "$(cat "$AGENT_LOG")"
	refused 0 12 64
	assert_matches "log" '^error: generation [0-9]+: cannot make tables of [0-9]+ chunks: Cannot allocate memory' \
		"$(cat "$AGENT_LOG")"
	agent_stop
}

run_tests "$@"
