#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What the kernel lacks, and how it is set, is told once at the start; the agent does without.
# shellcheck disable=SC2119 # functions with optional arguments
# shellcheck source=tests/lib/harness.sh
. "$(dirname "$0")/../lib/harness.sh"
if [ -n "${SANDBOX:-}" ]; then
	# shellcheck source=tests/lib/cluster.sh
	. "$TESTS/lib/cluster.sh"
fi

readonly PROG_QUERY=16 EINVAL=22

# kernel_says PATH TEXT: from here on that file of /proc or /sys says that
kernel_says()
{
	local file

	file=$(mktemp --tmpdir="$SANDBOX")
	echo "$2" >"$file"
	mount --bind "$file" "$1"
}

# told LEVEL PATTERN: exactly one line of the log
told()
{
	assert_equal "lines of the log like '$1: kernel .*$2'" 1 \
		"$(grep -Ec "^$1: kernel [^ ]+: .*$2" "$AGENT_LOG")"
}

lines_about_the_kernel()
{
	grep -c '^[a-z]*: kernel ' "$AGENT_LOG" || true
}

# lacked_before VERSION WHAT: the log says that it is missing where this kernel is older than that, and only there
lacked_before()
{
	if [ "$(printf '%s\n' "$1" "$(uname -r)" | sort --version-sort | head -n 1)" = "$1" ]; then
		assert_no_match "log" "no $2" "$(cat "$AGENT_LOG")"
	else
		told info "no $2"
	fi
}

test_what_is_missing_is_told_once()
{
	cluster_up
	mount -t tmpfs none /sys/kernel/btf 2>/dev/null || true # where there is BTF
	! mountpoint -q /sys/fs/cgroup || umount --lazy /sys/fs/cgroup
	mount -t tmpfs none /sys/kernel/security
	echo "none [integrity] confidentiality" >/sys/kernel/security/lockdown
	kernel_says /proc/sys/kernel/unprivileged_bpf_disabled 2
	with_faults
	faults "$PROG_QUERY $EINVAL"
	agent_up
	told info 'no TCX links.*no BTF.*no cgroup2.*lockdown \(integrity\)'
	lacked_before 5.17 bpf_loop
	assert_equal "lines" 1 "$(lines_about_the_kernel)"
	assert_matches "status" '^Kernel note +no TCX links' "$(egressctl status)"
	assert_matches "status" "^Kernel +$(uname -r | sed 's/[.+]/\\&/g')\$" "$(egressctl status)"
	assert_equal "attached by" clsact "$(egressctl status -o json | json attach)"
	assert_equal "release in JSON" "$(uname -r)" "$(egressctl status -o json | json kernel_release)"
	assert_matches "notes in JSON" 'no TCX links' "$(egressctl status -o json | json kernel_lacks.0)"
	expect_flows web <<-EOF
		passed 10.1.2.2 80/TCP
		dropped 10.1.2.2 81/TCP
	EOF
}

test_what_somebody_should_change_is_a_warning()
{
	local warnings

	cluster_up
	unmount_bpffs
	kernel_says /proc/sys/kernel/unprivileged_bpf_disabled 0
	# The sanitizers' library wants to be the first otherwise.
	run_agent_by env "LD_PRELOAD=$ROOT/build/tests/lib/preload/interpreted.so" \
		"ASAN_OPTIONS=${ASAN_OPTIONS:-}:verify_asan_link_order=0"
	agent_up
	told warning 'interpreted.*net\.core\.bpf_jit_enable'
	told warning 'kernel\.unprivileged_bpf_disabled'
	told warning 'no bpffs is mounted'
	told info ''
	lacked_before 5.17 bpf_loop
	lacked_before 6.6 'TCX links'
	assert_equal "lines" 4 "$(lines_about_the_kernel)"
	warnings=$(egressctl status | grep '^  warning: ')
	assert_matches "problems" 'bpf_jit_enable' "$warnings"
	assert_equal "problems" 3 "$(wc -l <<<"$warnings")"
	assert_equal "severity" warning "$(egressctl status -o json | json problems.0.severity)"
	# The bpffs that the first one mounted stays; what is told is of the machine as each agent finds it.
	agent_stop
	: >"$AGENT_LOG"
	agent_up
	assert_equal "lines of the second" 3 "$(lines_about_the_kernel)"
}

# One that is mounted elsewhere, as another program does for its own pins, holds none of ours.
test_a_bpffs_elsewhere_is_none_for_pins()
{
	cluster_up
	unmount_bpffs
	mount -t bpf none /sys/kernel/security
	agent_up
	told warning 'no bpffs is mounted'
	assert_matches "mounts" ' /sys/fs/bpf bpf ' "$(cat /proc/mounts)"
	agent_stop
	: >"$AGENT_LOG"
	agent_up
	assert_no_match "log of the second" 'no bpffs is mounted' "$(cat "$AGENT_LOG")"
}

run_tests "$@"
