#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The kernel refuses, or the disk is full: what was in force stays, it is told everywhere, and tried again until it works.
# shellcheck disable=SC2119 # functions with optional arguments
# shellcheck disable=SC2034 # the harness's
TEST_TIMEOUT=180
# shellcheck source=tests/lib/harness.sh
. "$(dirname "$0")/../lib/harness.sh"
if [ -n "${SANDBOX:-}" ]; then
	# shellcheck source=tests/lib/cluster.sh
	. "$TESTS/lib/cluster.sh"
fi

# Commands of bpf(2), and what they fail with.
readonly MAP_CREATE=0 MAP_UPDATE=2 PROG_LOAD=5 LINK_UPDATE=29
readonly E2BIG=7 ENOMEM=12 EACCES=13 EMFILE=24 ENOSPC=28

# break_bpf COMMAND ERRNO
break_bpf()
{
	faults "$1 $2"
}

mend_bpf()
{
	rm "$SANDBOX/faults"
}

# Another policy, and one with so many rules that it needs tables, and programs, anew.
many_rules()
{
	{
		policy_manifest web web <<<'[{to: [{podSelector: {matchLabels: {app: peer}}}], ports: [{port: 81}]}]'
		many_rules_manifest
	} | manifest policy.yaml
}

# refused_build COMMAND ERRNO LOG: the kernel refuses the next generation, for a while
refused_build()
{
	local generation errors

	cluster_up
	with_faults
	agent_up
	generation=$(metric egressd_generation)
	break_bpf "$1" "$2"
	many_rules
	eventually 20 metric_beyond egressd_build_errors_total 0
	assert_matches "log" "^error: generation $((generation + 1)): .*$3" "$(cat "$AGENT_LOG")"
	assert_equal "errors in the log" 1 "$(grep -c "^error: generation" "$AGENT_LOG")"
	assert_matches "status" "$3" "$(egressctl status)"
	assert_equal "/readyz" 503 "$(http_status /readyz)"
	assert_matches "/readyz" "$3" "$(http_get /readyz)"
	assert_equal "/healthz" 200 "$(http_status /healthz)"
	assert_equal "ready" 0 "$(metric egressd_ready)"
	assert_equal "generation" "$generation" "$(metric egressd_generation)"
	enforced_ipv4
	# Once, after 1 s, and after 2 s more: with a pod waiting for its interface too, which is looked for all the time.
	pod_manifest waiting 7 other "egressd.io/interface: waiting0" | manifest waiting.yaml
	eventually 30 metric_beyond egressd_endpoints_without_interface 0
	errors=$(metric egressd_build_errors_total)
	sleep 2
	[ "$(metric egressd_build_errors_total)" -le $((errors + 2)) ] || fail "it is tried again without a pause"
	rm "$MANIFESTS/waiting.yaml"
	mend_bpf
	eventually 35 agent_is_ready
	expect_flows web <<-EOF
		dropped 10.1.2.2 80/TCP
		passed 10.1.2.2 81/TCP
	EOF
	# What is told there is written after all that packets need.
	eventually 10 not status_says "$3"
}

test_verifier_refuses_the_programs()
{
	refused_build $PROG_LOAD $EACCES 'Permission denied'
}

test_programs_are_too_large()
{
	refused_build $PROG_LOAD $E2BIG 'Argument list too long'
}

test_no_memory_for_the_tables()
{
	refused_build $MAP_CREATE $ENOMEM 'Cannot allocate memory'
}

test_links_cannot_be_switched()
{
	refused_build $LINK_UPDATE $ENOMEM 'Cannot allocate memory'
}

new_pod()
{
	add_pod late
	serve late 80/TCP
	pod_manifest late 3 web | manifest late.yaml
}

# refused_entry ERRNO LOG: there is no room for a pod that comes
refused_entry()
{
	local attempts

	cluster_up
	with_faults
	agent_up
	break_bpf $MAP_UPDATE "$1"
	new_pod
	eventually 10 metric_beyond egressd_attach_errors_total 0
	assert_matches "log" "default/late: .*$2.*not in force" "$(cat "$AGENT_LOG")"
	assert_equal "/readyz" 503 "$(http_status /readyz)"
	assert_matches "/readyz" "default/late: .*$2" "$(http_get /readyz)"
	eventually 5 status_matches "$2"
	enforced_ipv4
	# A pod that policy isolates and nobody can tell from others may send nothing.
	fails passes late 10.1.2.2 81/TCP
	sleep 3
	attempts=$(metric egressd_attach_errors_total)
	sleep 2
	[ $(($(metric egressd_attach_errors_total) - attempts)) -le 6 ] || fail "it is tried again without a pause"
	mend_bpf
	eventually 35 agent_is_ready
	passes late 10.1.2.2 80/TCP
	fails passes late 10.1.2.2 81/TCP
	enforced_ipv4
}

status_matches()
{
	egressctl status | grep -Eq "$1"
}

test_no_memory_for_an_entry()
{
	refused_entry $ENOMEM 'Cannot allocate memory'
}

test_no_room_for_an_entry()
{
	refused_entry $E2BIG 'no room|Argument list too long'
}

# A file system of its own, on a directory where a chroot can mount too.
small_state()
{
	STATE=/sys/fs/bpf/state
	mkdir "$STATE"
	mount -t tmpfs -o size=256k,mode=0700 tmpfs "$STATE"
}

fill_state()
{
	dd if=/dev/zero of="$STATE/ballast" bs=4k 2>/dev/null || true
}

state_generation_is_in_force()
{
	[ "$(json generation <"$STATE/state.json")" = "$(metric egressd_generation)" ]
}

test_disk_of_the_state_is_full()
{
	local errors before

	small_state
	cluster_up
	agent_up
	fill_state
	before=$(cat "$STATE/state.json")
	after_change allow_peer_81
	eventually 10 metric_beyond egressd_state_errors_total 0
	# Enforcement does not depend on it.
	expect_flows web <<-EOF
		dropped 10.1.2.2 80/TCP
		passed 10.1.2.2 81/TCP
	EOF
	assert_equal "the state that was written last" "$before" "$(cat "$STATE/state.json")"
	assert_equal "errors in the log" 1 "$(grep -c "^error: .*state cannot be written: No space left" "$AGENT_LOG")"
	assert_equal "/readyz" 503 "$(http_status /readyz)"
	assert_matches "/readyz" "state cannot be written: No space left" "$(http_get /readyz)"
	assert_equal "/healthz" 200 "$(http_status /healthz)"
	assert_matches "status" "another generation than the saved state" "$(egressctl status)"
	sleep 4
	errors=$(metric egressd_state_errors_total)
	[ "$errors" -le 6 ] || fail "it was tried $errors times within seconds"
	rm "$STATE/ballast"
	eventually 35 agent_is_ready
	state_generation_is_in_force
	assert_equal "ready in the state" true "$(egressctl -o json status | json ready)"
	assert_no_match "status" "another generation" "$(egressctl status)"
	assert_matches "log" "state is written again" "$(cat "$AGENT_LOG")"
}

state_is_whole()
{
	[ -S "$STATE/cni.sock" ] && [ -d "$STATE/attachments" ] && [ -s "$STATE/state.json" ]
}

attachment_is_damaged()
{
	http_get /readyz | grep -q 'attachments/other:eth0.json'
}

# part_of_the_state_fails FAULT LOG: the directory is made anew, and not all in it at the first attempt
part_of_the_state_fails()
{
	cluster_up
	with_faults
	agent_up
	faults "$1"
	rm -r "$STATE"
	eventually 5 grep -Eq "^error: .*$2" "$AGENT_LOG"
	assert_equal "/readyz" 503 "$(http_status /readyz)"
	assert_matches "/readyz" "$2" "$(http_get /readyz)"
	eventually 5 status_matches "$2"
	sleep 2
	assert_equal "errors in the log" 1 "$(grep -Ec "^error: .*$2" "$AGENT_LOG")"
	enforced_ipv4
	mend_bpf
	eventually 5 state_is_whole
	eventually 5 agent_is_ready
	eventually 5 not status_matches "$2"
	# It is watched again, too.
	echo '{"version": 0}' >"$STATE/attachments/other:eth0.json"
	eventually 5 attachment_is_damaged
	rm "$STATE/attachments/other:eth0.json"
	eventually 5 agent_is_ready
}

test_no_socket_for_egress_cni()
{
	part_of_the_state_fails "unix $EMFILE" 'cni.sock: cannot listen here: Too many open files'
}

test_attachments_cannot_be_watched()
{
	part_of_the_state_fails "watch $ENOSPC" 'attachments: cannot be watched: No space left'
}

test_attachments_cannot_be_read()
{
	local limit

	cluster_up
	agent_up
	limit=$(prlimit --pid "$AGENT" --nofile --output SOFT --noheadings)
	prlimit --pid "$AGENT" --nofile=3:
	echo '{"version": 0}' >"$STATE/attachments/other:eth0.json"
	eventually 5 grep -q '^error: .*attachments: Too many open files' "$AGENT_LOG"
	prlimit --pid "$AGENT" --nofile="$limit":
	eventually 5 attachment_is_damaged
}

# Nothing but this directory is gone.
test_attachments_are_removed()
{
	cluster_up
	agent_up
	rmdir "$STATE/attachments"
	eventually 5 test -d "$STATE/attachments"
	echo '{"version": 0}' >"$STATE/attachments/other:eth0.json"
	eventually 5 attachment_is_damaged
}

allow_peer_81()
{
	policy_manifest web web <<<'[{to: [{podSelector: {matchLabels: {app: peer}}}], ports: [{port: 81}]}]' |
		manifest policy.yaml
}

run_tests "$@"
