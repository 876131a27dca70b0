# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# containerd with its CRI, inside a sandbox whose /run is its own: nothing of the machine's containerd is touched.
# After harness.sh. Set before: CONTAINERD, its socket; CONTAINERD_ON, a command that runs it elsewhere, and then
# CONTAINERD_PIVOTS=yes where the root directory is a mount point there.
CONTAINERD=${CONTAINERD:-/run/containerd.sock}

# scratch_image NAME ROOTFS WORD...: an image from nothing that runs these words, imported
scratch_image()
{
	local name=$1 rootfs=$2 arch words place

	shift 2
	place=$(mktemp --directory "$SANDBOX/image.XXXXXXXX")
	words=$(printf '"%s",' "$@")
	arch=$(dpkg --print-architecture)
	mkdir "$place/$arch"
	cp --recursive "$rootfs" "$place/$arch/rootfs"
	(
		# shellcheck disable=SC2034 # for layout.sh
		version="test"
		# shellcheck source=deploy/image/layout.sh
		. "$TESTS/../deploy/image/layout.sh"
		layout_add "$place/$arch" "$arch" 0 test "${words%,}"
		layout_pack "$place/image.tar" "$name" 0 "$place/$arch"
	)
	containerd_images import "$place/image.tar" >/dev/null
	rm -rf "$place"
}

containerd_images()
{
	ctr --address "$CONTAINERD" --namespace k8s.io images "$@"
}

# containerd_start NETWORK-CONFIGURATIONS DIRECTORY-OF-PLUGINS
containerd_start()
{
	local stays=true

	# The root directory may be no mount point. In such a place `exec` finds the files of the machine, not the container's.
	[ "${CONTAINERD_PIVOTS:-}" != yes ] || stays=false
	cat >"$SANDBOX/containerd.toml" <<-EOF
		version = 2
		root = "$SANDBOX/containerd"
		state = "/run/containerd-state"
		disabled_plugins = ["io.containerd.internal.v1.opt"]
		[grpc]
		address = "$CONTAINERD"
		[plugins."io.containerd.grpc.v1.cri"]
		sandbox_image = "egressd.test/pause:1"
		restrict_oom_score_adj = true
		[plugins."io.containerd.grpc.v1.cri".cni]
		conf_dir = "$1"
		bin_dir = "$2"
		[plugins."io.containerd.grpc.v1.cri".containerd]
		snapshotter = "native"
		[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
		runtime_type = "io.containerd.runc.v2"
		[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
		NoPivotRoot = $stays
	EOF
	"${CONTAINERD_ON[@]}" containerd --config "$SANDBOX/containerd.toml" --log-level warn </dev/null >"$SANDBOX/containerd.log" 2>&1 &
	eventually 30 containerd_is_up
	mkdir "$SANDBOX/pause"
	gcc -O2 -static -o "$SANDBOX/pause/pause" -x c - <<<$'#include <unistd.h>\nint main(void) { for (;;) pause(); }'
	scratch_image egressd.test/pause:1 "$SANDBOX/pause" /pause
}

containerd_is_up()
{
	containerd_images list >/dev/null 2>&1
}

# cri COMMAND [ARGUMENT...]
cri()
{
	"$TESTS/cni/cri.py" "$CONTAINERD" "$@"
}
