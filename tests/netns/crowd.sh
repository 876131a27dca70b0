#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A node full of pods that are talked to when egressd comes, or when policy isolates all of them at once: every connection
# goes on, and the agent's loop is not held up by looking for them: it answers, and puts back what others take away.
# shellcheck disable=SC2119 # functions with optional arguments
# shellcheck source=tests/lib/harness.sh
. "$(dirname "$0")/../lib/harness.sh"
if [ -n "${SANDBOX:-}" ]; then
	# shellcheck source=tests/lib/cluster.sh
	. "$TESTS/lib/cluster.sh"
fi
CROWD=${CROWD:-250}
# Beside those of the pods, so many of each that its network namespace is found late.
PROCESSES=3
# What the loop may be held up, in ms, on a machine that is busy with other things: 14,000 to 41,000 when each pod was
# looked up by itself.
LIMIT=$((2000 * TEST_SLOWNESS))

crowd_up()
{
	local ready

	network_setup
	exec {ready}< <(exec "$TESTS/lib/crowd.py" pods "$CROWD" "$PROCESSES" "$SANDBOX/crowd" </dev/null)
	read -r -t $((60 * TEST_SLOWNESS)) <&$ready
	network_ready
	crowd_manifest | manifest pods.yaml
	talk_to_all
}

crowd_manifest()
{
	local number

	for ((number = 0; number < CROWD; number++)); do
		cat <<-POD
			---
			apiVersion: v1
			kind: Pod
			metadata:
			  name: crowd$number
			  labels: {app: crowd}
			  annotations: {egressd.io/interface: crowd$number}
			status:
			  podIPs: [{ip: 10.$((2 + number / 250)).$((number % 250)).2}, {ip: "$(printf 'fd00:2:%x::2' $number)"}]
		POD
	done
}

isolate_all()
{
	policy_manifest crowd crowd <<<"[]" | manifest policy.yaml
}

talk_to_all()
{
	on outside "$TESTS/lib/crowd.py" talk "$CROWD" "$SANDBOX/exchanges" </dev/null >/dev/null 2>&1 &
	eventually 60 exchanged 1
}

exchanged()
{
	[ "$(cat "$SANDBOX/exchanges" 2>/dev/null || echo 0)" -ge "$1" ]
}

# Each of the connections, five times more.
all_go_on()
{
	eventually 20 exchanged $(($(cat "$SANDBOX/exchanges") + 5))
}

# watch_loop: from here on; held_up_briefly ends that
watch_loop()
{
	mkfifo "$SANDBOX/watched"
	"$TESTS/lib/crowd.py" watch "${LISTEN%:*}" "${LISTEN##*:}" /healthz <"$SANDBOX/watched" >"$SANDBOX/longest" &
	WATCHER=$!
	exec {watched}>"$SANDBOX/watched"
}

held_up_briefly()
{
	local longest

	exec {watched}>&-
	wait "$WATCHER"
	longest=$(cat "$SANDBOX/longest")
	echo "held up for at most $longest ms"
	[ "$longest" -le $LIMIT ] || fail "the loop was held up for $longest ms"
}

track_connections()
{
	nft add table inet track
	nft 'add chain inet track forward { type filter hook forward priority 0; }'
	nft add rule inet track forward ct state established counter
}

test_all_are_isolated_at_once()
{
	crowd_up
	READY_SECONDS=60 agent_up
	watch_loop
	after_change isolate_all
	all_go_on
	held_up_briefly
}

test_all_are_isolated_at_once_where_the_node_tracks_them()
{
	track_connections
	test_all_are_isolated_at_once
}

test_all_are_attached_at_once()
{
	crowd_up
	isolate_all
	READY_SECONDS=60 agent_up
	all_go_on
}

run_tests "$@"
