#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# An agent that starts is killed instead of any of the system calls that change something, and the next one takes up what
# it left: of the same version or of another, attached the same way or another. What policy denies never arrives, and the
# answers to a connection never stop. With KILL_STEPS=all each call has its turn (make check-killed); otherwise a few have,
# others every time, and then the next agent is killed as well.
# shellcheck source=tests/lib/harness.sh
KILL_STEPS=${KILL_STEPS:-}
TEST_TIMEOUT=$([ "$KILL_STEPS" = all ] && echo 3600 || echo 240)
. "$(dirname "$0")/../lib/harness.sh"
if [ -n "${SANDBOX:-}" ]; then
	# shellcheck source=tests/lib/cluster.sh
	. "$TESTS/lib/cluster.sh"
fi

FLOOD=$BUILD/tests/chaos/traffic
# How many steps are tried unless all are, and from how many at first: a start has about 80 after another version.
SAMPLE=3
STEPS=80
# Denied from here on, and one that shows that the capture works.
DENIED_PORT=7000
SEEN_PORT=7010

say()
{
	echo "$EPOCHREALTIME $*"
}

# agent_of VERSION: the program
agent_of()
{
	case $1 in
	own) echo "$EGRESSD" ;;
	*) echo "$ROOT/build/$1/egressd" ;;
	esac
}

# Once something judges it: who opened a connection before is not known.
traffic_up()
{
	on outside "$TRAFFIC" stream 10.1.1.2 80 "$SANDBOX/answers" &
	nsenter --net="$(netns_path peer)" -- "$FLOOD" capture $DENIED_PORT >"$SANDBOX/captured" &
	CAPTURE=$!
	eventually 10 answers_beyond 0
	on web "$FLOOD" flood 10.1.2.2 $DENIED_PORT >/dev/null &
	on web "$FLOOD" flood fd00:1:2::2 $DENIED_PORT >/dev/null &
}

answers()
{
	cat "$SANDBOX/answers" 2>/dev/null || echo 0
}

answers_beyond()
{
	[ "$(answers)" -gt "$1" ]
}

answers_go_on()
{
	eventually 10 answers_beyond "$(($(answers) + 1))" || fail "$1: no answer comes through"
}

nothing_denied_arrived()
{
	on node /usr/bin/python3 "$TRAFFIC" send 10.1.2.2 $SEEN_PORT 1
	sleep 0.2
	kill -TERM "$CAPTURE"
	wait "$CAPTURE"
	assert_matches "what was captured" '^arrived 0 seen 1$' "$(cat "$SANDBOX/captured")"
}

# launch WORD... VERSION ATTACH
launch()
{
	local attach=${*: -1} version=${*: -2:1}

	"${@:1:$#-2}" "$(agent_of "$version")" run --from "dir:$MANIFESTS" --pin "$PIN" --state "$STATE" \
		--listen "$LISTEN" --attach "$attach" </dev/null >>"$AGENT_LOG" 2>&1 &
	AGENT=$!
}

agent_runs()
{
	[ -n "$(readlink "/proc/$AGENT/exe")" ]
}

ready_or_ended()
{
	! agent_runs || [ "$(http_status /readyz)" = 200 ]
}

# take_up VERSION ATTACH: an agent that gets ready, and is killed
take_up()
{
	launch env "$1" "$2"
	eventually 60 ready_or_ended
	agent_runs || fail "$1 ended: $(tail -n 5 "$AGENT_LOG")"
	assert_equal "pinned versions" 1 "$(find "$PIN" -mindepth 1 -maxdepth 1 -name 'v*' | wc -l)"
	answers_go_on "$1 is ready"
	agent_kill
}

# attempt STEP VERSION ATTACH: an agent that is killed there; false if it got ready before
attempt()
{
	local killed=true status=0

	launch "$BUILD/tests/lib/killed_at" "$@"
	eventually 60 ready_or_ended
	if agent_runs; then
		killed=false
		agent_kill
	else
		wait "$AGENT" 2>/dev/null || status=$?
		AGENT=
		assert_equal "exit status" 137 $status
	fi
	answers_go_on "$2 was killed at step $1"
	$killed
}

# The other of two words.
other()
{
	[ "$1" = "$2" ] && echo "$3" || echo "$2"
}

# As many as there are turns; all steps are more than a start has, and killed_at_each_step ends with the last.
turns()
{
	if [ "$KILL_STEPS" = all ]; then
		seq 10000
	else
		seq "$SAMPLE"
	fi
}

# step_of TURN LIMIT: which step is tried, of so many
step_of()
{
	if [ "$KILL_STEPS" = all ]; then
		echo "$1"
	else
		shuf --input-range="1-$2" --head-count=1
	fi
}

# Whose turn it is to take up what a step left: both, or either.
successors()
{
	if [ "$KILL_STEPS" = all ]; then
		echo attempted former
	else
		shuf --echo attempted former --head-count=1
	fi
}

# Unless all steps are tried: what takes up what is left is killed, too, whichever it is. With the variables of
# killed_at_each_step.
killed_again()
{
	local which again

	[ "$KILL_STEPS" != all ] || return 0
	which=$(shuf --echo 0 1 --head-count=1)
	again=$(step_of 0 "$limit")
	say "step $again of ${versions[which]} ${attaches[which]}"
	attempt "$again" "${versions[which]}" "${attaches[which]}" || true
}

# killed_at_each_step "VERSION VERSION" "ATTACH ATTACH": each attempt is to go from the first of both to the second, or
# back; then the one that was attempted takes up what is left, or the former one
killed_at_each_step()
{
	local -a versions attaches
	local version=${1% *} attach=${2% *} next_version next_attach turn step successor limit=$STEPS complete=0

	read -ra versions <<<"$1"
	read -ra attaches <<<"$2"
	cluster_up
	launch env "$version" "$attach"
	eventually 60 agent_is_ready
	traffic_up
	agent_kill
	for turn in $(turns); do
		step=$(step_of "$turn" "$limit")
		for successor in $(successors); do
			next_version=$(other "$version" "${versions[@]}")
			next_attach=$(other "$attach" "${attaches[@]}")
			say "step $step of $version $attach -> $next_version $next_attach; then the $successor one"
			if ! attempt "$step" "$next_version" "$next_attach"; then
				complete=$((complete + 1))
				limit=$step
			fi
			killed_again
			if [ "$successor" = attempted ]; then
				version=$next_version
				attach=$next_attach
			fi
			take_up "$version" "$attach"
		done
		# Both ways.
		[ "$KILL_STEPS" != all ] || [ $complete -lt 2 ] || break
	done
	say "the last step was $step"
	nothing_denied_arrived
}

test_start_after_another_version()
{
	killed_at_each_step "own twin" "auto auto"
}

test_start_after_another_version_attached_otherwise()
{
	killed_at_each_step "own twin" "auto clsact"
}

test_start_attached_otherwise()
{
	killed_at_each_step "own own" "auto clsact"
}

run_tests "$@"
