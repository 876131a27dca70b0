#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What a flood towards a pod that is isolated costs another pod in time; it is measured, so nothing else may run beside it.
# shellcheck disable=SC2119 # functions with optional arguments
# shellcheck source=tests/lib/harness.sh
. "$(dirname "$0")/../lib/harness.sh"
if [ -n "${SANDBOX:-}" ]; then
	# shellcheck source=tests/lib/cluster.sh
	. "$TESTS/lib/cluster.sh"
	# shellcheck source=tests/lib/floods.sh
	. "$TESTS/lib/floods.sh"
fi

ROUNDS=8
ROUND_SECONDS=1
# How much slower the exchanges may be than those beside the same flood towards a pod that no policy isolates.
SLOWER_PERCENT=40

# beside_a_flood ADDRESS: exchanges of the pod peer, and their median time, while SYNs are sent there
beside_a_flood()
{
	local flooding

	flood outside syns "$1" 80 $((2 * ROUND_SECONDS)) >"$SANDBOX/sent" &
	flooding=$!
	eventually 20 grep -q ready "$SANDBOX/sent"
	flood outside exchanges 10.1.2.2 80 $ROUND_SECONDS
	[ "$(wc -l <"$SANDBOX/sent")" -eq 1 ] || fail "the flood was over first"
	wait $flooding
	[ "$(tail -n 1 "$SANDBOX/sent")" -gt 1000 ] || fail "that was no flood"
}

# one_round NUMBER: both floods, now the one first and now the other; prints the isolated pod's figures, then the other's
one_round()
{
	local isolated free

	if (($1 % 2)); then
		isolated=$(beside_a_flood 10.1.1.2)
		free=$(beside_a_flood 10.1.3.2)
	else
		free=$(beside_a_flood 10.1.3.2)
		isolated=$(beside_a_flood 10.1.1.2)
	fi
	echo "$isolated $free"
}

# What the kernel does about SYNs costs everybody something. It is the same for a pod that no policy isolates, of which
# egressd does nothing. What else the machine does makes a round slower and never faster: so the best of each count.
test_a_flood_of_syns_slows_nobody_down()
{
	local round

	both_isolated
	add_pod free
	network_ready
	serve free 80/TCP
	pod_manifest free 3 free | manifest free.yaml
	agent_up
	for ((round = 0; round < ROUNDS; round++)); do
		one_round $round
	done | tee "$SANDBOX/rounds"
	/usr/bin/python3 - "$SANDBOX/rounds" $SLOWER_PERCENT <<-'EOF'
		import sys

		rounds = [list(map(float, line.split())) for line in open(sys.argv[1], encoding="ascii")]
		isolated_rates, isolated_times, free_rates, free_times = zip(*rounds)
		rate = max(isolated_rates) / max(free_rates)
		time = min(isolated_times) / min(free_times)
		print(f"exchanges {rate:.2f} of those beside the same flood of a pod that is not isolated, time {time:.2f}")
		allowed = 1 + float(sys.argv[2]) / 100
		sys.exit(rate < 1 / allowed or time > allowed)
	EOF
	[ "$(flows_of default/web)" -ge 300 ] || fail "the flood left only $(flows_of default/web) flows"
}

run_tests "$@"
