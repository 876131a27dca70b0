# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# The agent and its CLI inside a sandbox, with a directory of manifests, a state directory and a log of their own. After
# harness.sh.
: "${SANDBOX:?agent.sh needs tests/lib/sandbox}"

MANIFESTS=$SANDBOX/manifests
STATE=$SANDBOX/state
PIN=/sys/fs/bpf/egressd
# shellcheck disable=SC2034 # for the tests
CONTRACT=$("$EGRESSCTL" version | sed 's/.* contract //')
LISTEN=127.0.0.1:9300
AGENT_LOG=$SANDBOX/agent.log
AGENT=
mkdir -p "$MANIFESTS"
: >"$AGENT_LOG"

# agent_start [OPTION...]: in the background, its process id in AGENT
agent_start()
{
	"$EGRESSD" run --from "dir:$MANIFESTS" --pin "$PIN" --state "$STATE" --listen "$LISTEN" "$@" \
		</dev/null >>"$AGENT_LOG" 2>&1 &
	AGENT=$!
}

# No bpffs is mounted from here on: not the test's own, nor the machine's beneath it, where pins would stay.
unmount_bpffs()
{
	while mountpoint -q /sys/fs/bpf; do
		umount --lazy /sys/fs/bpf
	done
}

# run_agent_by COMMAND...: that command runs the agent from here on
run_agent_by()
{
	{
		echo "#!/bin/sh"
		printf 'exec'
		printf " '%s'" "$@" "$EGRESSD"
		# shellcheck disable=SC2016 # of the script that is written
		echo ' "$@"'
	} >"$SANDBOX/egressd"
	chmod +x "$SANDBOX/egressd"
	EGRESSD=$SANDBOX/egressd
}

# From here on agents are ones some of whose system calls fail, while faults says so.
with_faults()
{
	run_agent_by "$BUILD/tests/lib/with_faults" "$SANDBOX/faults"
}

# faults LINE...: what agents of with_faults may not do from here on (tests/lib/with_faults.c)
faults()
{
	printf '%s\n' "$@" >"$SANDBOX/faults.new"
	mv "$SANDBOX/faults.new" "$SANDBOX/faults"
}

# agent_up [OPTION...]: starts it and waits until it says that it is ready
agent_up()
{
	agent_start "$@"
	if ! eventually "${READY_SECONDS:-20}" agent_is_ready; then
		cat "$AGENT_LOG"
		fail "the agent did not get ready"
	fi
}

agent_is_ready()
{
	kill -0 "$AGENT" || fail "the agent ended: $(cat "$AGENT_LOG")"
	[ "$(http_status /readyz)" = 200 ]
}

# agent_stop: a clean stop; fails unless the agent ends with 0
agent_stop()
{
	local status=0

	kill -TERM "$AGENT"
	wait "$AGENT" || status=$?
	AGENT=
	assert_equal "exit status of the agent after SIGTERM" 0 "$status"
}

# agent_kill: as a crash ends it
agent_kill()
{
	kill -KILL "$AGENT"
	wait "$AGENT" 2>/dev/null || true
	AGENT=
}

# egressctl ARGUMENT...: on the agent's pins and state
egressctl()
{
	"$EGRESSCTL" --pin "$PIN" --state "$STATE" "$@"
}

# status_says TEXT: whether it is anywhere in what egressctl tells
status_says()
{
	grep -qF -- "$1" <<<"$(egressctl status)"
}

# http_get PATH: the whole answer, status line first; fails if nobody listens
http_get()
{
	local connection

	{ exec {connection}<>"/dev/tcp/${LISTEN%:*}/${LISTEN##*:}"; } 2>/dev/null || return 1
	printf 'GET %s HTTP/1.0\r\nHost: test\r\nConnection: close\r\n\r\n' "$1" >&$connection
	tr -d '\r' <&$connection
	exec {connection}>&-
}

http_status()
{
	http_get "$1" 2>/dev/null | sed -n '1s/^HTTP[^ ]* \([0-9]*\).*/\1/p'
}

# metric 'NAME{LABELS}': its value; nothing if it is not there
metric()
{
	local name value

	while read -r name value; do
		[ "$name" != "$1" ] || echo "$value"
	done < <(http_get /metrics)
}

# metric_beyond NAME VALUE: it is greater
metric_beyond()
{
	[ "$(metric "$1")" -gt "$2" ]
}

# after_change COMMAND...: runs it and waits until the agent has put its outcome in force
after_change()
{
	local before

	before=$(metric egressd_generation)
	"$@"
	eventually 10 generation_beyond "$before"
}

generation_beyond()
{
	[ "$(metric egressd_generation)" -gt "$1" ]
}

# manifest NAME: standard input becomes a file of the directory, in one step
manifest()
{
	cat >"$SANDBOX/manifest.new"
	mv "$SANDBOX/manifest.new" "$MANIFESTS/$1"
}

# verdict NS/POD ADDRESS:PORT/PROTOCOL: "allow" or "deny", as egressctl explains it
verdict()
{
	egressctl -o json explain --from "$1" --to "$2" | sed -n 's/.*"verdict": *"\([a-z]*\)".*/\1/p'
}

# Sanitizers write to the log; a test with one of their reports in it has failed whatever else happened.
agent_log_is_clean()
{
	if grep -Eq 'Sanitizer|runtime error:' "$AGENT_LOG"; then
		cat "$AGENT_LOG"
		fail "a sanitizer found something in the agent"
	fi
}
