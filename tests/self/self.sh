#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The tools that the other tests rely on.
# shellcheck source=tests/lib/harness.sh
. "$(dirname "$0")/../lib/harness.sh"
# Each test here makes its sandboxes itself.
TEST_SANDBOX=no

# with_script PATH CODE [ARGUMENT...]: Python code that has the script as the module "run"
with_script()
{
	/usr/bin/python3 -c '
import importlib.machinery, importlib.util, sys
loader = importlib.machinery.SourceFileLoader("run", sys.argv[1])
loader.path = sys.argv[1]
sys.dont_write_bytecode = True
spec = importlib.util.spec_from_loader("run", loader)
run = importlib.util.module_from_spec(spec)
sys.modules["run"] = run
loader.exec_module(run)
'"$2" "$1" "${@:3}"
}

# with_runner CODE [ARGUMENT...]
with_runner()
{
	with_script "$TESTS/run" "$@"
}

# counts STATUS: what tests/run makes of the TAP on standard input and that exit status
counts()
{
	with_runner '
result = run.parse_tap(run.Job("suite", "name", []), sys.stdin.read(), int(sys.argv[2]))
print(result.passed, len(result.failed), len(result.skipped))' "$1"
}

test_runner_misses_tests_of_a_script_that_runs_none()
{
	local code='
result = run.parse_tap(run.Job("suite", "name", [sys.argv[2]]), "", 0)
print(result.passed, len(result.failed))'

	assert_equal "a script" "0 1" "$(with_runner "$code" bash)"
	assert_equal "another program" "1 0" "$(with_runner "$code" tests/lint/run)"
}

test_runner_shows_both_ends_of_a_failure()
{
	local shown

	shown=$(with_runner 'print("\n".join(run.shorten([f"line {i}." for i in range(1, 1001)])))')
	assert_equal "lines" 71 "$(wc -l <<<"$shown")"
	assert_equal "beginning" "line 1." "$(head -n 1 <<<"$shown")"
	assert_equal "end" "line 1000." "$(tail -n 1 <<<"$shown")"
	assert_matches "what was left out" '^\.\.\. 930 more lines' "$shown"
	assert_equal "a short one" "7" "$(with_runner 'print(len(run.shorten(["line"] * 7)))')"
}

# The shell would run a $(…) there once, before the wait begins.
test_what_is_waited_for_is_looked_at_again()
{
	local pattern='eventually [^ ]+ (test|\[) .*\$\([^(]'

	# shellcheck disable=SC2016 # it is searched for as it stands
	assert_matches "the pattern" 'eventually' "$(grep -E "$pattern" <<<'eventually 5 test "$(cat file)" = 2')"
	assert_equal "waits for what is looked at once" "" \
		"$(grep -rnE "$pattern" "$TESTS" --include='*.sh' | grep -v /self.sh: || true)"
}

# exits_without_memory DIRECTORY: files below it that let uthash end the process where it gets no memory, or are told to
# look whether it did and do not
exits_without_memory()
{
	grep -rlE 'uthash\.h|HASH_ADD' "$1" --include='*.[ch]' | LC_ALL=C sort | xargs awk '
		function judge() { if (added > checked && !fatal) print file ": HASH_ADD without a look at hh.tbl" }
		FNR == 1 { judge(); file = FILENAME; added = checked = told = fatal = 0 }
		/^#define HASH_NONFATAL_OOM 1$/ { told = 1 }
		/^#define uthash_fatal/ || /cli\/diff\.h/ { told = fatal = 1 }
		/^#include <uthash\.h>/ && !told { print file ": uthash exits where it gets no memory" }
		/HASH_ADD/ { added++ }
		/hh\.tbl/ { checked++ }
		END { judge() }'
}

test_hash_tables_do_not_end_the_process()
{
	local directory

	directory=$(mktemp --directory)
	printf '#include <uthash.h>\n' >"$directory/a.c"
	printf '#define HASH_NONFATAL_OOM 1\n#include <uthash.h>\nHASH_ADD();\n' >"$directory/b.c"
	assert_equal "what is found" "$directory/a.c: uthash exits where it gets no memory
$directory/b.c: HASH_ADD without a look at hh.tbl" "$(exits_without_memory "$directory")"
	rm -r "$directory"
	assert_equal "of the tree" "" "$(exits_without_memory "$ROOT/user")"
}

test_runner_counts_each_result()
{
	assert_equal "all kinds" "2 1 1" \
		"$(printf '%s\n' 1..4 'ok 1 - a' 'not ok 2 - b' '# why' 'ok 3 - c # SKIP x' 'ok 4 - d' | counts 1)"
	assert_equal "cmocka's skip" "1 0 1" "$(printf '%s\n' 1..2 'ok 1 - a' 'not ok 2 # SKIP b' | counts 0)"
	assert_equal "two groups" "2 0 0" "$(printf '%s\n' 1..1 'ok 1 - a' 1..1 'ok 1 - b' | counts 0)"
}

test_runner_shows_what_cmocka_said()
{
	local shown

	shown=$(printf '%s\n' 'ERROR: open: -110, cannot list the qdiscs' 1..2 'ok 1 - a' 'not ok 2 - b' '# Failure!' |
		with_runner 'print(run.parse_tap(run.Job("suite", "name", []), sys.stdin.read(), 1).failed[0])')
	assert_matches "what failed" 'cannot list the qdiscs' "$shown"
}

test_runner_counts_what_did_not_run()
{
	assert_equal "died half-way" "1 2 0" "$(printf '%s\n' 1..3 'ok 1 - a' | counts 139)"
	assert_equal "no plan, no test" "0 1 0" "$(echo crashed | counts 1)"
	assert_equal "no TAP, but well" "1 0 0" "$(echo fine | counts 0)"
	assert_equal "all well but the exit status" "1 1 0" "$(printf '%s\n' 1..1 'ok 1 - a' | counts 99)"
}

# The firmware may have written the beginning of the line.
test_guest_is_read_behind_what_the_firmware_left()
{
	assert_equal "kernel" "6.12.1-x True" "$(printf '%s\n' 'Booting from ROM..guest: up with 6.12.1-x, 2 processors' \
		'3 passed, 0 failed, 0 skipped' 'guest: ended with 0' | with_script "$TESTS/kernels/run" '
outcome = run.Outcome("sid", sys.stdin.read(), run.EMULATED, 1)
print(outcome.version, outcome.good)')"
}

# Six of each kind, with two processors: how many begin at once, and what begins when one of them ends.
test_runner_keeps_room_for_each_kind()
{
	assert_equal "programs that begin" "2 compute 4 wait" "$(with_runner '
run.os.cpu_count = lambda: 2
beside = run.Beside([run.Job(suite, "name", []) for suite in ["asan-unit"] * 6 + ["kube"] * 6])
begun = []
while job := beside.take():
    begun.append(job.busy)
print(sum(begun), "compute", len(begun) - sum(begun), "wait")')"
	assert_equal "what begins when one ends" "unit netns" "$(with_runner '
run.os.cpu_count = lambda: 1
beside = run.Beside([run.Job(suite, "name", []) for suite in ["unit"] * 2 + ["netns"] * 4])
begun = [beside.take() for _ in range(4)]
assert not beside.take()
for job in begun[:2]:
    beside.give_back(job)
print(beside.take().suite, beside.take().suite)')"
}

test_harness_sees_failures()
{
	local script output status=0

	script=$(mktemp --suffix=.sh)
	cat >"$script" <<-EOF
		. "$TESTS/lib/harness.sh"
		test_good() { true; }
		test_bad() { false; echo not reached; }
		test_slow() { sleep 30; }
		test_left_out() { skip a reason; }
		test_inverted() { fails true; }
		after_failure() { false; }
		TEST_SANDBOX=no TEST_TIMEOUT=1
		run_tests "\$@"
	EOF
	output=$(bash "$script") || status=$?
	rm "$script"
	assert_equal "exit status" 1 $status
	assert_equal "results" "ok good not ok bad not ok slow ok left_out # SKIP a reason not ok inverted" \
		"$(sed -nE 's/^((not )?ok) [0-9] - test_/\1 /p' <<<"$output" | xargs)"
	assert_no_match "output" 'not reached' "$output"
}

# some_process_has MARK: as an argument; the brackets keep grep from finding itself
some_process_has()
{
	grep -qs -- "[${1:0:1}]${1:1}" /proc/[0-9]*/cmdline
}

no_process_has()
{
	! some_process_has "$1"
}

test_sandbox_leaves_nothing()
{
	local seconds=86$RANDOM$RANDOM directory status=0

	directory=$(mktemp --directory)
	TMPDIR=$directory "$TESTS/lib/sandbox" bash -c "ip link add egresstest type veth; sleep $seconds & exit 7" || status=$?
	assert_equal "exit status" 7 $status
	fails ip link show egresstest 2>/dev/null
	assert_equal "temporary files" "" "$(ls "$directory")"
	rmdir "$directory"
	eventually 5 no_process_has "$seconds"
}

test_sandbox_that_is_killed_leaves_no_process()
{
	local seconds=86$RANDOM$RANDOM directory sandbox

	directory=$(mktemp --directory)
	# Through the environment: as an argument the sandbox's own process would have it, too.
	TMPDIR=$directory SECONDS_ASLEEP=$seconds "$TESTS/lib/sandbox" bash -c \
		"sleep \$SECONDS_ASLEEP & sleep \$SECONDS_ASLEEP" &
	sandbox=$!
	eventually 5 some_process_has "$seconds"
	kill -TERM $sandbox
	wait $sandbox || true
	eventually 5 no_process_has "$seconds"
	assert_equal "temporary files" "" "$(ls "$directory")"
	rmdir "$directory"
}

# What the chaos test judges by. An ICMP message has its checksum where others have the port.
capture_packets()
{
	# shellcheck disable=SC2153 # as the sandbox that runs this sets it
	"$BUILD/tests/chaos/traffic" capture 7000 >"$SANDBOX/captured" &
	sleep 0.5
	/usr/bin/python3 -c '
import socket, struct
for family, address in (socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"):
    with socket.socket(family, socket.SOCK_DGRAM) as udp:
        for port in 6999, 7000, 7009, 7010, 7011:
            udp.sendto(b"x", (address, port))
    with socket.socket(family, socket.SOCK_STREAM) as tcp:
        tcp.connect_ex((address, 7005))
with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as icmp:
    icmp.sendto(struct.pack("!BBHL", 3, 3, 7000, 0), ("127.0.0.1", 0))'
	sleep 0.5
	kill -TERM $!
	wait $!
	cat "$SANDBOX/captured"
}

test_capture_counts_what_it_is_asked_for()
{
	local captured

	captured=$("$TESTS/lib/sandbox" bash -c "
		$(declare -f capture_packets)
		BUILD=$BUILD capture_packets")
	assert_matches "what was captured" '^arrived 6 seen 2$' "$captured"
	# In one window, or in more where the machine is busy.
	assert_matches "when" '^window [0-9]+\.[0-9]{6} [0-9]+\.[0-9]{6} [1-6]$' "$captured"
	assert_equal "packets in all windows" 6 "$(awk '/^window/ {sum += $4} END {print sum}' <<<"$captured")"
}

# A PATH on which apt and dpkg are ours: package "gcc" is missing if $1 says so.
fake_packages()
{
	FAKE=$(mktemp --directory)
	cat >"$FAKE/dpkg-query" <<-EOF
		#!/bin/sh
		for package; do :; done
		[ "\$package" = "$1" ] || echo installed
	EOF
	cat >"$FAKE/apt-get" <<-EOF
		#!/bin/sh
		echo "apt-get \$*" >>"$FAKE/calls"
	EOF
	chmod +x "$FAKE"/*
	: >"$FAKE/calls"
}

test_deps_ask_for_nothing_when_all_is_there()
{
	fake_packages nothing
	PATH=$FAKE:$PATH "$TESTS/deps"
	assert_equal "calls of apt" "" "$(cat "$FAKE/calls")"
	rm -r "$FAKE"
}

test_deps_ask_for_what_is_missing_only()
{
	fake_packages gcc
	PATH=$FAKE:$PATH "$TESTS/deps"
	assert_matches "calls of apt" '^apt-get update' "$(cat "$FAKE/calls")"
	assert_matches "calls of apt" '^apt-get install .* gcc$' "$(cat "$FAKE/calls")"
	assert_no_match "calls of apt" 'clang' "$(cat "$FAKE/calls")"
	rm -r "$FAKE"
}

# Whoever only measures has none of the packages that are for tests.
test_benchmark_needs_nothing_of_the_tests()
{
	local commands

	commands=$(make --no-print-directory -C "$ROOT" --dry-run --always-make V=1 benches)
	assert_matches "commands" '-o build/tests/bench/packet$' "$commands"
	assert_no_match "commands" 'cmocka' "$commands"
}

# A tree in which a test reaches all of two files, and nothing links the third. Its tests/run is the compiler.
small_tree()
{
	mkdir -p "$1/tests" "$1/user/model" "$1/user/policy" "$1/build/coverage"
	cp "$TESTS/coverage" "$1/tests"
	echo 'int policy(void) { return 0; }' >"$1/user/policy/policy.c"
	echo 'int policy(void); int main(void) { return policy(); }' >"$1/user/model/linked.c"
	printf 'int missed(void)\n{\n\treturn 1;\n}\n' >"$1/user/model/missed.c"
	cat >"$1/tests/run" <<-'EOF'
		#!/bin/sh
		set -eu
		for source in user/*/*.c; do
			mkdir -p "build/coverage/obj/${source%/*}"
			gcc --coverage -c "$source" -o "build/coverage/obj/${source%.c}.o"
		done
		cd build/coverage/obj
		gcc --coverage user/model/linked.o user/policy/policy.o -o program
		./program
	EOF
	chmod +x "$1/tests/run"
}

test_coverage_counts_what_no_test_links()
{
	local tree output status=0

	tree=$(mktemp --directory)
	small_tree "$tree"
	output=$("$tree/tests/coverage" unit 2>&1) || status=$?
	assert_equal "exit status (output: $output)" 1 "$status"
	assert_matches "lines" '^user/model +1 of +3 lines +33\.3 %$' "$output"
	assert_equal "what is wrong" "user/model is below 95 %" "$(grep below <<<"$output")"
	rm "$tree/user/model/missed.c" "$tree"/build/coverage/obj/user/model/missed.*
	output=$("$tree/tests/coverage" unit 2>&1)
	assert_matches "lines" '^user space +2 of +2 lines +100\.0 %$' "$output"
	rm -r "$tree"
}

# silenced LINE: what tests/lint/run says of a tree with that line in it
silenced()
{
	local tree status=0

	tree=$(mktemp --directory)
	mkdir -p "$tree/tests/lint" "$tree"/{user,include,bpf,deploy,.ci}
	cp "$TESTS/lint/run" "$tree/tests/lint"
	touch "$tree/Makefile"
	echo "$1" >"$tree/user/file"
	"$tree/tests/lint/run" reasons || status=$?
	rm -r "$tree"
	return $status
}

test_lint_wants_a_reason_for_silence()
{
	local kind line without=0

	while read -r kind line; do
		case $kind in
		without)
			without=$((without + 1))
			assert_equal "of a line without a reason" "user/file:1:$line" "$(silenced "$line" || true)"
			;;
		with) silenced "$line" ;;
		esac
	done <"$TESTS/lint/silence"
	[ $without -gt 5 ] || fail "only $without lines were tried"
}

# beyond_budget TABLE BUDGET: the programs that a kernel of the table counts more instructions of than they may have
beyond_budget()
{
	awk -F' *[|] *' '
		NR == FNR { if ($2 == "instructions verified") most[$1] = $3; next }
		$3 == "attached by" { for (i = 4; i <= NF; i++) if ($i ~ /`/) { gsub(/`/, "", $i); column[i] = $i } next }
		{ for (i in column) if ($i + 0 > most[column[i]] || $i !~ /^[0-9]+$/) print $2 ": " column[i] " " $i }' "$2" "$1"
}

# The lines of README's table of kernels, but that below its head.
table_of_kernels()
{
	sed -n '/^<!-- tests\/kernels\/run --readme -->$/,/^<!-- end -->$/p' "$ROOT/README.md" | grep '^| [^-]'
}

# One run wrote all of it, of programs like those of the tree.
test_readme_has_every_kernel_as_it_is()
{
	assert_equal "kernels" "$(awk '!/^#/ { print $1 }' "$TESTS/kernels/suites" | xargs)" \
		"$(table_of_kernels | sed -n 's/^| [^ ]* (\([a-z-]*\)) .*/\1/p' | xargs)"
	assert_equal "programs beyond their budget" "" "$(beyond_budget <(table_of_kernels) "$TESTS/bench/budget")"
}

# An egressctl that is wrong in one point: it allows whatever goes to port 443 over UDP or SCTP.
wrong_egressctl()
{
	local directory=$1

	mkdir -p "$directory/tests/oracle"
	cat >"$directory/egressctl" <<-EOF
		#!/usr/bin/python3
		import json, subprocess, sys
		flows = open(sys.argv[sys.argv.index("--flows") + 1]).readlines()
		answers = subprocess.run(["$BUILD/egressctl", *sys.argv[1:]], stdout=subprocess.PIPE, text=True)
		for flow, line in zip(map(json.loads, flows), answers.stdout.splitlines()):
		    wrong = flow.get("port") == 443 and flow["protocol"] != "TCP"
		    print('{"verdict":"allow"}' if wrong else line)
		sys.exit(answers.returncode)
	EOF
	chmod +x "$directory/egressctl"
}

test_oracle_prints_the_seed_and_a_small_case_of_a_difference()
{
	local directory output status=0

	directory=$(mktemp --directory)
	wrong_egressctl "$directory"
	output=$("$TESTS/oracle/run" --build "$directory" --only random --seed 3 --seeds 3 --flows 300) || status=$?
	rm -r "$directory"
	assert_equal "exit status" 1 "$status"
	assert_matches "what differs" '^not ok .*: [0-9]+ allow, [0-9]+ deny, [1-9][0-9]* differ$' "$output"
	assert_matches "the seed" '^# seed [345]: [0-9]+ verdicts differ; the first, made small:$' "$output"
	assert_matches "the flow" '^# flow: .*"port": 443' "$output"
	assert_matches "the two answers" '^# oracle: deny \(' "$output"
	assert_matches "the two answers" '^# egressctl: allow$' "$output"
	# What is left of the first cluster is what denies: a pod and a policy that isolates it.
	assert_equal "objects left of a cluster" "NetworkPolicy Pod" \
		"$(sed -n '/made small/,/^# flow:/p' <<<"$output" | sed '/^# flow:/q' |
			sed -n 's/^# kind: //p' | sort | xargs)"
}

run_tests "$@"
