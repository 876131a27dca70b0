# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# A shell test is a bash script that sources this file, defines functions named test_*, and ends with `run_tests
# "$@"`. Each function is one test; it fails when any command in it fails. `skip REASON` ends it as skipped. Each test
# runs in a process and a sandbox (tests/lib/sandbox) of its own with a time limit, so tests neither see each other
# nor leave anything behind. Output is TAP, in the order of the file.
#
# Set before `run_tests`: TEST_TIMEOUT (seconds, 120), TEST_SANDBOX=no for tests that need no namespaces and no root. In
# the environment: TEST_SLOWNESS, by which all times are multiplied (1; 10 where the processor is emulated), and
# TEST_PATIENCE, by which time limits are besides, that end what hangs; not what is judged by its time (1).
set -eEuo pipefail

TESTS=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
ROOT=$(dirname "$TESTS")
BUILD=${BUILD:-$ROOT/build}
EGRESSD=${EGRESSD:-$BUILD/egressd}
EGRESSCTL=${EGRESSCTL:-$BUILD/egressctl}
TEST_TIMEOUT=${TEST_TIMEOUT:-120}
TEST_SANDBOX=${TEST_SANDBOX:-yes}
TEST_SLOWNESS=${TEST_SLOWNESS:-1}
TEST_PATIENCE=${TEST_PATIENCE:-1}
readonly SKIPPED=77

skip()
{
	echo "skip: $*" >&2
	exit $SKIPPED
}

fail()
{
	echo "failed: $*" >&2
	exit 1
}

# assert_equal WHAT EXPECTED ACTUAL
assert_equal()
{
	[ "$2" = "$3" ] || fail "$1: expected '$2', got '$3'"
}

# assert_matches WHAT PATTERN TEXT: an extended regular expression, searched in every line
assert_matches()
{
	grep -Eq -- "$2" <<<"$3" || fail "$1: expected something like '$2', got:"$'\n'"$3"
}

# assert_no_match WHAT PATTERN TEXT
assert_no_match()
{
	! grep -Eq -- "$2" <<<"$3" || fail "$1: expected nothing like '$2', got:"$'\n'"$3"
}

# fails COMMAND...: for what must not succeed (`!` alone would be overlooked by the shell's errexit)
fails()
{
	if "$@"; then
		fail "should have failed: $*"
	fi
}

# not COMMAND...: for `eventually`, which `fails` would end at once
not()
{
	! "$@"
}

# eventually SECONDS COMMAND...: repeats it until it succeeds
eventually()
{
	local end=$((${EPOCHREALTIME/./} + $1 * TEST_SLOWNESS * TEST_PATIENCE * 1000000))

	shift
	until "$@"; do
		if [ "${EPOCHREALTIME/./}" -ge $end ]; then
			echo "not so in time: $*" >&2
			return 1
		fi
		sleep 0.05
	done
}

# The value at a path of JSON on standard input: `json endpoints.0.id`; lists and objects come as JSON.
json()
{
	/usr/bin/python3 -c '
import json, sys
value = json.load(sys.stdin)
for part in sys.argv[1].split(".") if sys.argv[1] else []:
    value = value[int(part)] if isinstance(value, list) else value[part]
print(value if isinstance(value, str) else json.dumps(value))' "$1"
}

run_one_test()
{
	trap 'echo "failed: line $LINENO: $BASH_COMMAND (status $?)" >&2' ERR
	if declare -F after_failure >/dev/null; then
		# What it cannot show is no reason for another status.
		trap 'case $? in 0 | "$SKIPPED") ;; *) after_failure || true ;; esac' EXIT
	fi
	"$1"
	# The checks that every test ends with, unless it ended itself.
	if declare -F after_test >/dev/null; then
		after_test
	fi
}

run_tests()
{
	local script=${BASH_SOURCE[-1]} names name number=0 status failed=0 output reason wrap=() limit

	if [ "${1:-}" = --one ]; then
		run_one_test "$2"
		return
	fi
	mapfile -t names < <(sed -n 's/^\(test_[A-Za-z0-9_]*\)().*/\1/p' "$script")
	if [ $# -gt 0 ]; then
		names=("$@")
	fi
	[ "$TEST_SANDBOX" = no ] || wrap=("$TESTS/lib/sandbox")
	limit=$((TEST_TIMEOUT * TEST_SLOWNESS * TEST_PATIENCE))
	echo "1..${#names[@]}"
	# No trap removes it: EXIT is the script's own.
	output=$(mktemp)
	for name in "${names[@]}"; do
		number=$((number + 1))
		status=0
		timeout --kill-after=30 "$limit" "${wrap[@]}" bash "$script" --one "$name" >"$output" 2>&1 </dev/null ||
			status=$?
		case $status in
		0)
			echo "ok $number - $name"
			continue
			;;
		"$SKIPPED")
			reason=$(sed -n 's/^skip: //p' "$output" | tail -n 1)
			echo "ok $number - $name # SKIP $reason"
			continue
			;;
		124 | 137)
			echo "time limit of $limit s exceeded" >>"$output"
			;;
		esac
		failed=$((failed + 1))
		echo "not ok $number - $name"
		sed 's/^/# /' "$output"
	done
	rm "$output"
	[ $failed -eq 0 ]
}
