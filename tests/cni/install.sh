#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# egress-cni in the network configuration of a node: put in, kept in, taken out.
# shellcheck disable=SC2119 # functions with optional arguments
# shellcheck source=tests/lib/harness.sh
. "$(dirname "$0")/../lib/harness.sh"
if [ -n "${SANDBOX:-}" ]; then
	# shellcheck source=tests/lib/cluster.sh
	. "$TESTS/lib/cluster.sh"
	NETWORKS=$SANDBOX/net.d
	BINARIES=$SANDBOX/bin
	mkdir "$NETWORKS" "$BINARIES"
fi

# plugins FILE: the types of its plugins
plugins()
{
	/usr/bin/python3 -c '
import json, sys
print(*(plugin["type"] for plugin in json.load(open(sys.argv[1]))["plugins"]))' "$NETWORKS/$1"
}

plugins_are()
{
	[ "$(plugins "$1" 2>/dev/null)" = "$2" ]
}

# network FILE [SUBNET]: a list of two, spaced as somebody wrote it
network()
{
	cat >"$SANDBOX/new" <<-END
		{ "cniVersion": "0.3.1",   "name": "pods",
		  "plugins": [ {"type": "bridge", "ipam": {"type": "host-local", "subnet": "${2:-10.0.0.0/24}"}},
		               {"type": "portmap", "capabilities": {"portMappings": true}} ] }
	END
	mv "$SANDBOX/new" "$NETWORKS/$1"
}

install_up()
{
	agent_up --install-cni "$NETWORKS" --cni-bin "$BINARIES" "$@"
}

files()
{
	(cd "$NETWORKS" && echo *)
}

test_list_gets_the_plugin_and_back_what_it_was()
{
	network 10-pods.conflist
	network 20-later.conflist
	cp "$NETWORKS/10-pods.conflist" "$SANDBOX/before"
	install_up --on-agent-down fail
	assert_equal "first by name" "bridge portmap egress-cni" "$(plugins 10-pods.conflist)"
	assert_equal "settings" "$STATE $PIN fail 0.3.1 10.0.0.0/24" "$(/usr/bin/python3 -c '
import json, sys
network = json.load(open(sys.argv[1]))
ours = network["plugins"][2]
print(ours["stateDir"], ours["pinDir"], ours["onAgentDown"], network["cniVersion"],
      network["plugins"][0]["ipam"]["subnet"])' "$NETWORKS/10-pods.conflist")"
	assert_equal "not taken by runtimes" "bridge portmap" "$(plugins 20-later.conflist)"
	cmp "$BINARIES/egress-cni" "$BUILD/egress-cni"
	cmp "$NETWORKS/10-pods.conflist.egressd-original" "$SANDBOX/before"
	agent_stop
	assert_equal "it stays without the agent" "bridge portmap egress-cni" "$(plugins 10-pods.conflist)"
	assert_matches "plan" "would take egress-cni out of $NETWORKS/10-pods.conflist" "$(egressctl uninstall --dry-run)"
	assert_equal "nothing was done" "bridge portmap egress-cni" "$(plugins 10-pods.conflist)"
	assert_matches "done" "took egress-cni out of $NETWORKS/10-pods.conflist" "$(egressctl uninstall)"
	cmp "$NETWORKS/10-pods.conflist" "$SANDBOX/before"
	assert_equal "files" "10-pods.conflist 20-later.conflist" "$(files)"
	fails test -e "$BINARIES/egress-cni"
	fails test -e "$STATE"
}

test_changes_of_the_network_are_followed()
{
	network 10-pods.conflist
	install_up
	network 10-pods.conflist 10.7.0.0/16
	eventually 10 plugins_are 10-pods.conflist "bridge portmap egress-cni"
	grep -q '10.7.0.0' "$NETWORKS/10-pods.conflist"
	# A network that comes before it is the one that runtimes take from now on.
	network 05-first.conflist
	eventually 10 plugins_are 05-first.conflist "bridge portmap egress-cni"
	# Someone edits the file with our plugin in it.
	sed 's/10.7.0.0/10.8.0.0/' "$NETWORKS/10-pods.conflist" >"$SANDBOX/edited"
	mv "$SANDBOX/edited" "$NETWORKS/10-pods.conflist"
	rm "$BINARIES/egress-cni"
	kill -HUP "$AGENT"
	network 05-first.conflist 10.9.0.0/16
	eventually 10 plugins_are 05-first.conflist "bridge portmap egress-cni"
	eventually 10 test -x "$BINARIES/egress-cni"
	agent_stop
	egressctl uninstall >/dev/null
	assert_equal "first" "bridge portmap" "$(plugins 05-first.conflist)"
	assert_equal "edited" "bridge portmap" "$(plugins 10-pods.conflist)"
	grep -q '10.8.0.0' "$NETWORKS/10-pods.conflist"
	assert_equal "files" "05-first.conflist 10-pods.conflist" "$(files)"
}

test_a_single_plugin_becomes_a_list()
{
	echo '{"cniVersion": "1.0.0", "name": "pods", "type": "ptp", "mtu": 1400}' >"$NETWORKS/10-pods.conf"
	cp "$NETWORKS/10-pods.conf" "$SANDBOX/before"
	install_up
	assert_equal "files" "10-pods.conf.egressd-original 10-pods.conflist" "$(files)"
	assert_equal "plugins" "ptp egress-cni" "$(plugins 10-pods.conflist)"
	assert_equal "name" '"pods" 1400' "$(/usr/bin/python3 -c '
import json, sys
network = json.load(open(sys.argv[1]))
print(json.dumps(network["name"]), network["plugins"][0]["mtu"])' "$NETWORKS/10-pods.conflist")"
	agent_stop
	egressctl uninstall >/dev/null
	cmp "$NETWORKS/10-pods.conf" "$SANDBOX/before"
	assert_equal "files" "10-pods.conf" "$(files)"
}

test_a_network_that_comes_later()
{
	install_up
	eventually 10 status_says 'holds no network configuration yet'
	echo '{"plugins": ' >"$NETWORKS/10-pods.conflist"
	eventually 10 grep -q '10-pods.conflist: is no network configuration' "$AGENT_LOG"
	assert_equal "what is wrong is left alone" '{"plugins": ' "$(cat "$NETWORKS/10-pods.conflist")"
	network 10-pods.conflist
	eventually 10 plugins_are 10-pods.conflist "bridge portmap egress-cni"
	eventually 10 not status_says 'egress-cni is not installed'
}

test_the_network_is_taken_off_the_node()
{
	network 10-pods.conflist
	install_up
	agent_stop
	rm "$NETWORKS/10-pods.conflist"
	egressctl uninstall >/dev/null
	assert_equal "files" "*" "$(files)"
}

# The record of where it was put is in /run, which a restart of the node empties.
test_the_record_is_gone()
{
	network 10-pods.conflist
	cp "$NETWORKS/10-pods.conflist" "$SANDBOX/before"
	install_up
	agent_stop
	rm -rf "$STATE"
	assert_matches "plan" "would take egress-cni out of $NETWORKS/10-pods.conflist" \
		"$(egressctl uninstall --dry-run --cni-config "$NETWORKS" --cni-bin "$BINARIES")"
	assert_equal "nothing was done" "bridge portmap egress-cni" "$(plugins 10-pods.conflist)"
	egressctl uninstall --cni-config "$NETWORKS" --cni-bin "$BINARIES"
	cmp "$NETWORKS/10-pods.conflist" "$SANDBOX/before"
	assert_equal "files" "10-pods.conflist" "$(files)"
	fails test -e "$BINARIES/egress-cni"
	fails egressctl uninstall --cni-config "$SANDBOX/absent"
}

# A root directory of the test's own, with nothing in /etc and /opt but places for networks and plugins: in ROOT_DIRECTORY.
make_root()
{
	local directory

	# A place whose propagation is the sandbox's own.
	ROOT_DIRECTORY=/sys/fs/cgroup
	mount -t tmpfs none $ROOT_DIRECTORY
	mkdir -p $ROOT_DIRECTORY/{etc/cni/net.d,opt/cni/bin,sys,proc,run}
	for directory in /usr "$BUILD" "$SANDBOX"; do
		mkdir -p "$ROOT_DIRECTORY$directory"
		mount --bind "$directory" "$ROOT_DIRECTORY$directory"
	done
	cp -a /bin /sbin /lib* $ROOT_DIRECTORY
	mount -t sysfs none $ROOT_DIRECTORY/sys
	mount --bind /sys/fs/bpf $ROOT_DIRECTORY/sys/fs/bpf
	mount -t proc none $ROOT_DIRECTORY/proc
}

test_the_record_is_gone_and_nobody_says_where_it_was()
{
	local networks binaries output

	[ -L /bin ] || skip "programs and libraries are not in /usr"
	make_root
	networks=$ROOT_DIRECTORY/etc/cni/net.d
	binaries=$ROOT_DIRECTORY/opt/cni/bin
	network 10-pods.conflist
	cp "$NETWORKS/10-pods.conflist" "$SANDBOX/before"
	install_up
	agent_stop
	cp "$NETWORKS"/* "$networks"
	cp "$BINARIES/egress-cni" "$binaries"
	rm -rf "$STATE"
	# Another agent's, whose program it is too.
	sed "s|$STATE|/other/state|" "$networks/10-pods.conflist" >"$networks/20-other.conflist"
	cp "$networks/20-other.conflist" "$SANDBOX/other"
	output=$(chroot $ROOT_DIRECTORY "$EGRESSCTL" --state "$STATE" --pin "$PIN" uninstall)
	assert_matches "output" "took egress-cni out of /etc/cni/net.d/10-pods.conflist" "$output"
	assert_matches "output" "left egress-cni, which names another .* /etc/cni/net.d/20-other.conflist" "$output"
	cmp "$networks/10-pods.conflist" "$SANDBOX/before"
	cmp "$networks/20-other.conflist" "$SANDBOX/other"
	[ -x "$binaries/egress-cni" ] || fail "the program of another network is gone"
	# Without the other one the program goes too. An entry that names no state directory is the usual one's.
	echo '{"cniVersion": "1.0.0", "name": "pods", "plugins": [{"type": "ptp"}, {"type": "egress-cni"}]}' \
		>"$networks/20-other.conflist"
	echo 'no network' >"$networks/99-notes.conf"
	chroot $ROOT_DIRECTORY "$EGRESSCTL" --pin "$PIN" uninstall
	assert_no_match "networks" egress-cni "$(cat "$networks"/*)"
	assert_equal "files" "10-pods.conflist 20-other.conflist 99-notes.conf" "$(cd "$networks" && echo *)"
	fails test -e "$binaries/egress-cni"
}

# As in a container that does not mount what an earlier one did.
test_the_directories_are_not_mounted()
{
	local directory status output

	network 10-pods.conflist
	cp "$NETWORKS/10-pods.conflist" "$SANDBOX/before"
	install_up
	agent_stop
	for directory in "$NETWORKS" "$BINARIES"; do
		mv "$directory" "$directory.host"
		status=0
		output=$(egressctl uninstall 2>&1) || status=$?
		assert_equal "exit status" 2 $status
		assert_matches "reason" "$directory: egress-cni was put there" "$output"
		[ -e "$STATE/cni.json" ] || fail "nobody knows any more where it was put"
		mv "$directory.host" "$directory"
	done
	egressctl uninstall
	cmp "$NETWORKS/10-pods.conflist" "$SANDBOX/before"
	fails test -e "$BINARIES/egress-cni"
	fails test -e "$STATE"
}

# Whatever was kept is gone.
test_what_was_kept_is_gone()
{
	echo '{"cniVersion": "1.0.0", "name": "pods", "type": "ptp"}' >"$NETWORKS/10-pods.conf"
	install_up
	agent_stop
	rm "$NETWORKS"/*.egressd-original
	egressctl uninstall
	assert_equal "plugins" "ptp" "$(plugins 10-pods.conflist)"
}

test_wrong_options()
{
	local status=0

	"$EGRESSD" run --from "dir:$MANIFESTS" --pin "$PIN" --state "$STATE" --install-cni "$SANDBOX/absent" \
		>"$SANDBOX/out" 2>&1 || status=$?
	assert_matches "a directory that is not there" 'absent: the network configuration cannot be watched' \
		"$(cat "$SANDBOX/out")"
	for option in --install-cni=here --cni-bin=here --on-agent-down=allow; do
		fails "$EGRESSD" run --from "dir:$MANIFESTS" "$option" 2>"$SANDBOX/out"
		assert_matches "$option" "is no value for ${option%=*}" "$(cat "$SANDBOX/out")"
	done
}

run_tests "$@"
