#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Everything happens to the agent at once, for CHAOS_SECONDS (120), while traffic runs at full speed; see driver.py.
# CHAOS_SEED repeats a run's decisions, CHAOS_RESTARTS=no lets one agent live all the time. CHAOS_REPORT names a directory
# for the logs of the driver and of the agents; a run that fails leaves them in build/test-logs/chaos otherwise.
# shellcheck disable=SC2034 # read by harness.sh
CHAOS_SECONDS=${CHAOS_SECONDS:-120}
TEST_TIMEOUT=$((CHAOS_SECONDS + 300))
CHAOS_REPORT=${CHAOS_REPORT:+$(realpath "$CHAOS_REPORT")}
export CHAOS_SECONDS CHAOS_REPORT
# shellcheck source=tests/lib/harness.sh
. "$(dirname "$0")/../lib/harness.sh"
if [ -n "${SANDBOX:-}" ]; then
	# shellcheck source=tests/lib/cluster.sh
	. "$TESTS/lib/cluster.sh"
fi

# The allowed and the denied side of both directions; the driver knows the addresses.
test_chaos()
{
	local status=0

	network_setup
	add_pod web
	add_pod peer
	network_ready
	{
		pod_manifest web 1 web
		pod_manifest peer 2 peer
	} | manifest pods.yaml
	# Another version, to upgrade to and to downgrade from.
	OTHER_EGRESSD=${OTHER_EGRESSD-$BUILD/twin/egressd} EGRESSD=$EGRESSD EGRESSCTL=$EGRESSCTL MANIFESTS=$MANIFESTS STATE=$STATE PIN=$PIN LISTEN=$LISTEN \
		AGENT_LOG=$AGENT_LOG EVENTS=$SANDBOX/events.log WEB=${HOLDER[web]} PEER=${HOLDER[peer]} \
		OUTSIDE=${HOLDER[outside]} TRAFFIC=$BUILD/tests/chaos/traffic "$TESTS/chaos/driver.py" || status=$?
	if [ $status -ne 0 ] && [ -z "$CHAOS_REPORT" ]; then
		CHAOS_REPORT=$ROOT/build/test-logs/chaos
	fi
	if [ -n "$CHAOS_REPORT" ]; then
		mkdir -p "$CHAOS_REPORT"
		cp "$SANDBOX/events.log" "$AGENT_LOG" "$CHAOS_REPORT"
	fi
	if [ $status -ne 0 ]; then
		echo "--- the last events (all, and the agents' log: $CHAOS_REPORT):"
		tail -n 30 "$SANDBOX/events.log"
		echo "--- the end of the agents' log:"
		tail -n 40 "$AGENT_LOG"
		fail "the promises did not hold"
	fi
	agent_log_is_clean
}

run_tests "$@"
