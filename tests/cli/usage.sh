#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The command line of egressctl: every mistake gives one line and exit status 2; options stand before or after the command.
#
# usage: usage.sh [BUILD-DIRECTORY] [TEST...]
if [ -d "${1:-}" ]; then
	BUILD=$(cd "$1" && pwd)
	export BUILD
	shift
fi
# shellcheck source=tests/lib/harness.sh
. "$(dirname "$0")/../lib/harness.sh"
# shellcheck disable=SC2034 # read by run_tests
TEST_SANDBOX=no
WORK=$(mktemp --directory)
trap 'rm -rf "$WORK"' EXIT

# refused MESSAGE ARGUMENT...: nothing on standard output, the message on standard error, status 2
refused()
{
	local message=$1 status=0 output

	shift
	output=$("$EGRESSCTL" "$@" 2>"$WORK/error" </dev/null) || status=$?
	assert_equal "exit status of $*" 2 "$status"
	assert_equal "output of $*" "" "$output"
	assert_equal "error of $*" "error: $message" "$(cat "$WORK/error")"
}

test_mistakes()
{
	refused "a command is missing; \`egressctl --help\` lists them"
	refused "'foo' is not a command; \`egressctl --help\` lists them" foo
	refused "egressctl: option --foo is not known" --foo status
	refused "egressctl: option -x is not known" -x status
	refused "egressctl: option --pin needs a value" --pin
	refused "status: option --foo is not known" status --foo
	refused "status: option -x is not known" status -x
	refused "status: option --pin needs a value" status --pin
	refused "check: option --strict=yes takes no value" check --strict=yes .
	refused "status: 'more' was not expected" status more
	refused "-o xml: no such output format" status -o xml
	refused "status does not write sarif; it writes table, json" status -o sarif
	refused "verify does not write json; it writes tap, junit" -o json verify -f . tests.yaml
	refused "dump: 'foo' is none of maps, classes, rows, flows, counters" dump foo
	refused "dump: 'rows' was not expected" dump maps rows
	refused "drops: '-1' is not a number" drops -n -1
	refused "--pod web: expected NS/POD" drops --pod web
	refused "explain needs --from NS/POD and --to DESTINATION" explain --from shop/web
	refused "--from web: expected NS/POD" explain --from web --to 10.0.0.1
	refused "explain: --flows needs manifests (-f PATH)" explain --flows -
	refused "explain: '/tmp' was not expected" explain /tmp --from a/b --to 10.0.0.1
	refused "explain: --flows names its own sources and destinations; --from and --to do not go with it" \
		explain -f . --flows - --from a/b
	refused "--node-addresses: 'x' is not an address" explain -f . --node-addresses 10.0.0.1,x --from a/b --to 10.0.0.1
	refused "uninstall: 'web0' was not expected" uninstall web0
	refused "uninstall: option --force is not known" uninstall --force
	refused "check: a PATH is missing" check
	refused "verify needs manifests (-f PATH) and a file of tests" verify tests.yaml
	refused "diff needs two paths: OLD NEW" diff one
}

test_no_state()
{
	mkdir "$WORK/empty"
	refused "$WORK/empty/state.json is not there: no agent has run with this --state" pods --state "$WORK/empty"
	refused "$WORK/empty/state.json is not there: no agent has run with this --state" --state "$WORK/empty" policies
	echo '{' >"$WORK/empty/state.json"
	refused "$WORK/empty/state.json is damaged" pods --state "$WORK/empty"
	echo '{"version": 2}' >"$WORK/empty/state.json"
	refused "$WORK/empty/state.json was written by another version of the agent" pods --state "$WORK/empty"
}

test_help_and_version()
{
	"$EGRESSCTL" --help | grep -q '^  explain '
	"$EGRESSCTL" explain --help | grep -q '^usage: egressctl explain --from'
	assert_matches "version" '^egressctl [0-9.]+( [0-9a-f]+(-dirty)?)? contract [0-9]+$' "$("$EGRESSCTL" version)"
	[ "$("$EGRESSCTL" version -o json | json contract)" = "$("$EGRESSCTL" -o json version | json contract)" ]
}

test_lost_output_is_an_error()
{
	local status=0

	"$EGRESSCTL" --help >/dev/full 2>"$WORK/error" || status=$?
	assert_equal "exit status" 2 "$status"
	assert_equal "error" "error: standard output: cannot be written" "$(cat "$WORK/error")"
}

# egressd's too: each is in README's table and in the manual page, and the other way round.
test_every_option_of_the_agent_is_documented()
{
	local root=$TESTS/..

	"$EGRESSD" run --help | sed -n 's/^  \(--[a-z-]*\).*/\1/p' | sort -u >"$WORK/options"
	sed -n 's/^\.It Fl -\([a-z-]*\).*/--\1/p' "$root/deploy/man/egressd.8" | sort -u >"$WORK/manual"
	# shellcheck disable=SC2016 # the backquotes are Markdown's
	sed -n '/^| option of `egressd run`/,/^$/p' "$root/README.md" | grep -o -- '`--[a-z-]*' | tr -d '\`' | sort -u >"$WORK/readme"
	[ "$(wc -l <"$WORK/options")" -gt 15 ] || fail "egressd run --help has no options"
	assert_equal "manual page" "$(cat "$WORK/options")" "$(cat "$WORK/manual")"
	assert_equal "README" "$(cat "$WORK/options")" "$(cat "$WORK/readme")"
}

run_tests "$@"
