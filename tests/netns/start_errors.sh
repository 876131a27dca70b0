#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# An agent that cannot start says why in one line, and exits with 2.
# shellcheck disable=SC2119 # functions with optional arguments
# shellcheck source=tests/lib/harness.sh
. "$(dirname "$0")/../lib/harness.sh"
if [ -n "${SANDBOX:-}" ]; then
	# shellcheck source=tests/lib/cluster.sh
	. "$TESTS/lib/cluster.sh"
fi

# cannot_start PATTERN COMMAND...: it prints one line that matches, and ends with 2
cannot_start()
{
	local pattern=$1 output status=0

	shift
	output=$(timeout $((20 * TEST_SLOWNESS)) "$@" 2>&1 </dev/null) || status=$?
	assert_equal "exit status (output: $output)" 2 "$status"
	assert_equal "lines (output: $output)" 1 "$(wc -l <<<"$output")"
	assert_matches "message" "$pattern" "$output"
}

# The command line of an agent that would start.
agent_command()
{
	COMMAND=("$EGRESSD" run --from "dir:$MANIFESTS" --pin "$PIN" --state "$STATE" --listen "$LISTEN")
}

small_cluster()
{
	network_setup
	add_pod web
	pod_manifest web 1 web | manifest pods.yaml
	agent_command
}

test_without_root()
{
	small_cluster
	# A copy, because the tree may be where another user cannot go.
	install -m 0755 "$EGRESSD" "$SANDBOX/egressd"
	chmod 0755 "$SANDBOX"
	cannot_start 'root|capabilit|permi' setpriv --reuid=65534 --regid=65534 --clear-groups \
		"$SANDBOX/egressd" "${COMMAND[@]:1}"
}

test_without_a_capability()
{
	small_cluster
	cannot_start 'CAP_|capabilit' setpriv --bounding-set=-net_admin "${COMMAND[@]}"
	cannot_start 'CAP_|capabilit' setpriv --bounding-set=-bpf,-sys_admin "${COMMAND[@]}"
}

test_without_bpf_in_the_kernel()
{
	small_cluster
	cannot_start 'BPF' "$BUILD/tests/lib/without_bpf" "${COMMAND[@]}"
}

# kernel_without COMMAND WHAT: a kernel that does not know that command (enum bpf_cmd) is refused for lack of that
kernel_without()
{
	echo "$1 22" >"$SANDBOX/faults" # EINVAL
	cannot_start "kernel $(uname -r | sed 's/[.+]/\\&/g') is too old .*5\.10 or newer.*$2" \
		"$BUILD/tests/lib/with_faults" "$SANDBOX/faults" "${COMMAND[@]}"
}

test_kernel_that_is_too_old()
{
	small_cluster
	kernel_without 24 'in batches'
	kernel_without 35 'BPF_PROG_BIND_MAP'
	assert_equal "pins" "" "$(find "$PIN" -mindepth 1 2>/dev/null)"
}

test_interface_that_does_not_exist()
{
	small_cluster
	{
		pod_manifest web 1 web
		pod_manifest gone 2 web "egressd.io/interface: nosuch0"
	} | manifest pods.yaml
	cannot_start 'pods\.yaml:.*nosuch0' "${COMMAND[@]}"
}

test_malformed_policy()
{
	small_cluster
	manifest policy.yaml <<-EOF
		apiVersion: networking.k8s.io/v1
		kind: NetworkPolicy
		metadata: {name: web}
		spec:
		  podSelector: {matchLabels: 7}
	EOF
	cannot_start 'policy\.yaml:5:' "${COMMAND[@]}"
}

test_port_in_use()
{
	small_cluster
	serve_here "${LISTEN##*:}"
	cannot_start "${LISTEN//./\\.}.*(in use|use)" "${COMMAND[@]}"
}

# serve_here PORT: a listener in the node's own namespace
serve_here()
{
	local ready

	exec {ready}< <(exec "$TRAFFIC" serve node "$1/TCP" </dev/null)
	read -r -t $((20 * TEST_SLOWNESS)) <&$ready
}

test_pins_where_no_bpffs_can_be()
{
	small_cluster
	cannot_start "/proc/pins|bpffs" "${COMMAND[@]}" --pin /proc/pins
	echo "a file" >"$SANDBOX/file"
	cannot_start "$SANDBOX/file" "${COMMAND[@]}" --pin "$SANDBOX/file"
	cannot_start 'absolute path' "${COMMAND[@]}" --pin pins
}

test_bpffs_that_is_not_mounted_is_mounted()
{
	small_cluster
	unmount_bpffs
	agent_up
	assert_matches "mounts" ' /sys/fs/bpf bpf ' "$(cat /proc/mounts)"
}

test_directory_that_does_not_exist()
{
	small_cluster
	cannot_start 'nosuchdir' "$EGRESSD" run --from dir:/nosuchdir --pin "$PIN" --state "$STATE" --listen "$LISTEN"
}

test_wrong_usage()
{
	local output status=0

	"$EGRESSD" run >"$SANDBOX/out" 2>&1 || status=$?
	assert_equal "exit status without --from" 2 $status
	status=0
	"$EGRESSD" run --from dir:/tmp --nosuch >"$SANDBOX/out" 2>&1 || status=$?
	assert_equal "exit status with an unknown option" 2 $status
	output=$("$EGRESSD" --help)
	assert_matches help '--from' "$output"
}

test_a_start_that_fails_leaves_nothing_attached()
{
	small_cluster
	manifest policy.yaml <<<'kind: ['
	cannot_start 'policy\.yaml' "${COMMAND[@]}"
	assert_equal "links" "" "$(find "$PIN" -path '*/links/*' 2>/dev/null)"
	assert_equal "filters" "" "$(tc filter show dev web0 ingress)$(tc filter show dev web0 egress)"
}

run_tests "$@"
