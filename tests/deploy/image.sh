#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `make image`: the archives are what they say, small, the same each time, and what is in them runs: in a container with
# the rights that the DaemonSet gives, and, for the other architecture, under an emulator.
# shellcheck source=tests/lib/harness.sh
. "$(dirname "$0")/../lib/harness.sh"
# shellcheck disable=SC2034 # read by run_tests
TEST_SANDBOX=no TEST_TIMEOUT=300
IMAGES=$ROOT/build/image
VERSION=$(sed -n 's/^#define EGRESSD_VERSION "\(.*\)"/\1/p' "$ROOT/include/egressd/version.h")
NATIVE=$(dpkg --print-architecture)
HERE=$TESTS/deploy
WORK=$(mktemp --directory)
CONTAINER=egressd-test-$$
trap clean_up EXIT
if [ "${1:-}" != --one ]; then
	"$HERE/images" >"$WORK/log" 2>&1 || sed 's/^/# /' "$WORK/log"
fi

clean_up()
{
	if [ -e "$WORK/image-id" ]; then
		docker rm --force "$CONTAINER" >/dev/null 2>&1 || true
		# Kept where another test has it in use.
		docker rmi "$(cat "$WORK/image-id")" >/dev/null 2>&1 || true
	fi
	[ ! -e "$WORK/holder" ] || kill "$(cat "$WORK/holder")" 2>/dev/null || true
	rm -rf "$WORK"
}

# id_of ARCH: of the image, as docker names it
id_of()
{
	cut --delimiter=' ' --fields=1 "$IMAGES/$1/config"
}

# unpacked ARCH: its files, in a directory of their own
unpacked()
{
	mkdir "$WORK/$1"
	tar --extract --file="$IMAGES/$1/blobs/sha256/$(cut --delimiter=' ' --fields=1 "$IMAGES/$1/layer")" --gzip \
		--directory="$WORK/$1"
}

test_archives_are_what_they_say()
{
	"$HERE/image_layout.py" "$IMAGES/egressd-$VERSION-amd64.tar" amd64
	"$HERE/image_layout.py" "$IMAGES/egressd-$VERSION-arm64.tar" arm64
	"$HERE/image_layout.py" "$IMAGES/egressd-$VERSION.oci.tar" amd64 arm64
}

# With nothing but what is in the image: a library that was forgotten would be missed.
test_programs_run_on_their_own()
{
	unpacked "$NATIVE"
	cp -r "$ROOT/deploy/examples" "$WORK/$NATIVE/examples"
	assert_matches "version" "^egressd $VERSION .*contract" "$(chroot "$WORK/$NATIVE" /usr/sbin/egressd version)"
	assert_matches "check" "^0 errors" "$(chroot "$WORK/$NATIVE" /usr/sbin/egressctl check /examples)"
}

# The plugin runs on the node, whose libraries are its own business: here it has none but its own.
test_plugin_needs_nothing_of_the_node()
{
	unpacked "$NATIVE"
	mkdir -p "$WORK/node/proc" "$WORK/node/opt"
	cp "$WORK/$NATIVE/usr/libexec/egressd/egress-cni" "$WORK/node/opt"
	# shellcheck disable=SC2016 # for the shell in there
	CNI_COMMAND=VERSION "$TESTS/lib/sandbox" bash -c '
		mount -t proc proc "$1/proc"
		chroot "$1" /opt/egress-cni <<<"{\"cniVersion\": \"1.0.0\"}"' bash "$WORK/node" >"$WORK/output"
	assert_matches "answer" '"supportedVersions":.*"1.1.0"' "$(cat "$WORK/output")"
	# It says so in the way of plugins where it cannot.
	fails env CNI_COMMAND=VERSION "$TESTS/lib/sandbox" chroot "$WORK/node" /opt/egress-cni >"$WORK/output" </dev/null
	assert_matches "error" '"code":100,.*cannot run ld-linux' "$(cat "$WORK/output")"
}

test_arm64_programs_run_under_an_emulator()
{
	unpacked arm64
	cp -r "$ROOT/deploy/examples" "$WORK/arm64/examples"
	# A static program, so that it needs no binfmt_misc and nothing else in there.
	cp /usr/bin/qemu-aarch64-static "$WORK/arm64/emulator"
	assert_matches "version" "^egressd $VERSION .*contract" "$(chroot "$WORK/arm64" /emulator /usr/sbin/egressd version)"
	assert_matches "check" "^0 errors" "$(chroot "$WORK/arm64" /emulator /usr/sbin/egressctl check /examples)"
	# Without binfmt_misc an emulated program can start no other: what the plugin's file carries is run by itself.
	cp "$ROOT/build/arm64/egress-cni" "$WORK/arm64/plugin"
	assert_matches "plugin" '"supportedVersions"' \
		"$(CNI_COMMAND=VERSION chroot "$WORK/arm64" /emulator /plugin <<<'{"cniVersion": "1.0.0"}')"
}

test_same_source_gives_the_same_image()
{
	local commit

	commit=$(cat "$ROOT/build/commit")
	mkdir "$WORK/elsewhere"
	tar --create --directory="$ROOT" --exclude=./build --exclude=./.git . | tar --extract --directory="$WORK/elsewhere"
	(cd "$WORK/elsewhere" && COMMIT=$commit SOURCE_DATE_EPOCH=$(epoch) deploy/image/build "$NATIVE" >"$WORK/log" 2>&1) ||
		fail "$(cat "$WORK/log")"
	cmp "$IMAGES/egressd-$VERSION-$NATIVE.tar" "$WORK/elsewhere/build/image/egressd-$VERSION-$NATIVE.tar"
}

epoch()
{
	git -C "$ROOT" log -1 --format=%ct 2>/dev/null || echo "${SOURCE_DATE_EPOCH:-0}"
}

needs_docker()
{
	command -v docker >/dev/null || skip "docker is not installed"
	docker info >/dev/null 2>&1 || skip "no docker daemon answers"
	docker load --input "$IMAGES/egressd-$VERSION-$NATIVE.tar" >"$WORK/loaded"
	id_of "$NATIVE" >"$WORK/image-id"
	# Dockers before 23 refuse these two by name. For the kernel SYS_ADMIN includes them.
	WITHHELD="BPF PERFMON"
	if docker create --name "$CONTAINER" --cap-add BPF "$(id_of "$NATIVE")" >/dev/null 2>&1; then
		docker rm "$CONTAINER" >/dev/null
		WITHHELD=
	fi
}

# machine_has CAPABILITY: what root here does not have it cannot give to a container
machine_has()
{
	setpriv --dump | grep -Eiq "^Capability bounding set:.*\b$1\b"
}

# in_container [OPTION...] -- COMMAND...: what DaemonSet containers get, and a network of its own
in_container()
{
	local options=() capability

	while [ "$1" != -- ]; do
		options+=("$1")
		shift
	done
	shift
	while read -r capability; do
		[[ " $WITHHELD " == *" $capability "* ]] || ! machine_has "$capability" || options+=(--cap-add "$capability")
	done < <("$HERE/manifests.py" capabilities "$ROOT/deploy/kustomize/base/daemonset.yaml")
	docker run --name "$CONTAINER" --network none --cap-drop ALL --read-only --security-opt no-new-privileges \
		"${options[@]}" "$(id_of "$NATIVE")" "$@"
}

test_docker_takes_it()
{
	needs_docker
	assert_matches "loaded" "^Loaded image: .*egressd:$VERSION$" "$(cat "$WORK/loaded")"
	assert_equal "id" "sha256:$(id_of "$NATIVE")" "$(docker inspect --format '{{.Id}}' "$(id_of "$NATIVE")")"
	assert_matches "version" "^egressd $VERSION " "$(in_container --rm -- egressd version)"
	assert_matches "check" "^0 errors" \
		"$(in_container --rm --volume "$ROOT/deploy/examples:/examples:ro" -- egressctl check /examples)"
}

# agent_answers PATH: the status of its HTTP server, asked from within its network
agent_answers()
{
	nsenter --net --target "$1" -- /usr/bin/python3 -c '
import sys, urllib.request, urllib.error
try:
    print(urllib.request.urlopen("http://127.0.0.1:9711" + sys.argv[1], timeout=5).status)
except urllib.error.HTTPError as error:
    print(error.code)
except OSError as error:
    print(error)' "$2"
}

agent_is_ready()
{
	[ "$(agent_answers "$1" /readyz)" = 200 ]
}

# A veth into another network namespace, as a pod has it.
add_pod()
{
	unshare --net sleep 300 </dev/null >/dev/null 2>&1 &
	echo $! >"$WORK/holder"
	eventually 5 is_elsewhere $!
	nsenter --net --target "$1" -- ip link add pod0 type veth peer name eth0 netns $!
	nsenter --net --target "$1" -- ip address add 10.1.1.1/24 dev pod0
	nsenter --net --target "$1" -- ip link set pod0 up
	nsenter --net --target $! -- ip address add 10.1.1.2/24 dev eth0
	nsenter --net --target $! -- ip link set eth0 up
}

is_elsewhere()
{
	[ "$(readlink "/proc/$1/ns/net")" != "$(readlink /proc/self/ns/net)" ]
}

# agent_enforces ATTACH: in a container with the DaemonSet's rights, docker's own seccomp profile and a bpffs of its own
agent_enforces()
{
	local process

	needs_docker
	mkdir "$WORK/manifests"
	in_container --detach --tmpfs /run --volume "$WORK/manifests:/manifests:ro" -- \
		egressd run --from dir:/manifests --pin /run/pins --attach "$1" --node-addresses none >/dev/null
	process=$(docker inspect --format '{{.State.Pid}}' "$CONTAINER")
	eventually 30 agent_is_ready "$process" || fail "not ready: $(docker logs "$CONTAINER" 2>&1)"
	add_pod "$process"
	manifest "apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, annotations: {egressd.io/interface: pod0}}
status: {podIPs: [{ip: 10.1.1.2}]}"
	eventually 10 pod_is_isolated no
	eventually 10 gets_out
	manifest "$(cat "$WORK/manifests/shop.yaml"; echo "---"; cat "$ROOT/deploy/examples/default-deny.yaml")"
	eventually 10 pod_is_isolated yes
	fails gets_out
	assert_matches "drops" '^.* shop/web +policy +ICMP +10\.1\.1\.2 +10\.1\.1\.1 ' \
		"$(docker exec "$CONTAINER" egressctl --pin /run/pins drops)"
	docker stop --time 10 "$CONTAINER" >/dev/null
	assert_equal "exit status after SIGTERM" 0 "$(docker inspect --format '{{.State.ExitCode}}' "$CONTAINER")"
}

# manifest TEXT: what the agent's directory holds from now on
manifest()
{
	echo "$1" >"$WORK/new"
	mv "$WORK/new" "$WORK/manifests/shop.yaml"
}

# pod_is_isolated yes|no: and attached
pod_is_isolated()
{
	docker exec "$CONTAINER" egressctl --pin /run/pins pods | grep -Eq "^shop +web .* pod0 .* $1 +yes "
}

# Whether the pod gets an answer from its node.
gets_out()
{
	[[ $(nsenter --net --target "$(cat "$WORK/holder")" -- "$TESTS/lib/traffic.py" probe 1 \
		<<<'{"to": "10.1.1.1", "protocol": "ICMP"}') == *'"passed": true'* ]]
}

test_agent_enforces_with_the_daemonsets_rights()
{
	agent_enforces auto
}

test_agent_enforces_through_clsact()
{
	agent_enforces clsact
}

run_tests "$@"
