# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# A cluster of one node, inside a sandbox (tests/lib/sandbox) with control groups of its own (own-cgroups): the sandbox's
# network namespace is the node's, as network.sh has it, with the outside host. etcd, the API server, the controller
# manager and the scheduler run beside it; containerd, a kubelet and kube-proxy run on the node, whose root directory is
# made here. After harness.sh, network.sh, kube.sh; brings containerd.sh along. What the node is made of:
#
#   E2E_NETWORK  bridge (the default) or ptp: the standard plugin that gives pods their veths
#   E2E_PROXY    iptables (the default) or nftables: the mode of kube-proxy

# A mount point, since what is mounted in there must not be seen anywhere else: see tests/lib/sandbox. The node's own
# control groups are mounted below it.
NODE=/sys/fs/cgroup
NODE_NAME=node-a
NODE_ADDRESS=192.0.2.1
POD_NETWORK=10.244.0.0/24
SERVICES=10.96.0
# shellcheck disable=SC2034 # for containerd.sh and kube.sh
CONTAINERD=$SANDBOX/containerd.sock CONTAINERD_ON=(on_node) CONTAINERD_PIVOTS=yes KUBE_CERTIFICATE=apiserver KUBE_WITHOUT_ADMISSION=PodSecurity
# shellcheck source=tests/lib/containerd.sh
. "$TESTS/lib/containerd.sh"

# on_node COMMAND...: where its root directory is, with nothing of this environment
on_node()
{
	nsenter --mount="/proc/$NODE_HOLDER/ns/mnt" -- /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root "$@"
}

# node_mount DIRECTORY PLACE: the machine's directory, to be read only
node_mount()
{
	mkdir -p "$NODE$2"
	mount --bind "$1" "$NODE$2"
	mount -o remount,bind,ro "$NODE$2"
}

# node_programs: those of the machine, and its settings as far as they look for them
node_programs()
{
	local name

	node_mount /usr /usr
	for name in bin sbin lib lib32 lib64 libx32; do
		if [ -L /$name ]; then
			cp --no-dereference /$name "$NODE/$name"
		elif [ -d /$name ]; then
			node_mount /$name /$name
		fi
	done
	mkdir -p "$NODE/etc"
	cp --archive /etc/{passwd,group,alternatives,ld.so.cache} "$NODE/etc"
	cp --archive /etc/{protocols,services} "$NODE/etc" 2>/dev/null || true
	echo "hosts: files dns" >"$NODE/etc/nsswitch.conf"
	echo "127.0.0.1 localhost" >"$NODE/etc/hosts"
	: >"$NODE/etc/resolv.conf"
	tr -d - </proc/sys/kernel/random/uuid >"$NODE/etc/machine-id"
	node_mount "$KUBE_PROGRAMS" /opt/kube
}

# A kubelet insists on these, and they are the whole machine's: it gets to see them as it wants them.
node_tunables()
{
	local name value number=0

	mkdir "$SANDBOX/tunables"
	while read -r name value; do
		[ -e "$NODE/proc/sys/$name" ] || continue
		number=$((number + 1))
		echo "$value" >"$SANDBOX/tunables/$number"
		mount --bind "$SANDBOX/tunables/$number" "$NODE/proc/sys/$name"
	done <<-EOT
		vm/overcommit_memory 1
		vm/panic_on_oom 0
		kernel/panic 10
		kernel/panic_on_oops 1
		kernel/keys/root_maxkeys 1000000
		kernel/keys/root_maxbytes 25000000
	EOT
}

# node_cgroups: all hierarchies that this process is in, from the groups on that own-cgroups made
node_cgroups()
{
	local directory=$NODE/sys/fs/cgroup controllers place

	if ! grep -qv '^0:' /proc/self/cgroup; then
		mount -t cgroup2 cgroup2 "$directory"
		unified_delegate "$directory"
		return
	fi
	mount -t tmpfs -o mode=755 tmpfs "$directory"
	while IFS=: read -r _ controllers _; do
		place=$directory/${controllers#name=}
		[ -n "$controllers" ] || place=$directory/unified
		mkdir "$place"
		case $controllers in
		'') mount -t cgroup2 cgroup2 "$place" ;;
		name=*) mount -t cgroup -o "none,$controllers" cgroup "$place" ;;
		*) mount -t cgroup -o "$controllers" cgroup "$place" ;;
		esac
	done </proc/self/cgroup
}

# unified_delegate DIRECTORY: a group that has processes cannot give controllers to those below, so all move down
unified_delegate()
{
	local process

	mkdir "$1/host"
	while read -r process; do
		echo "$process" >"$1/host/cgroup.procs" 2>/dev/null || true
	done <"$1/cgroup.procs"
	echo "+cpu +cpuset +memory +pids" >"$1/cgroup.subtree_control"
}

# node_root: the node's root directory
node_root()
{
	mount -t tmpfs -o mode=755 node "$NODE"
	mkdir -p "$NODE"/{dev,proc,root,run,sys,tmp,var/lib,var/log} "$NODE"/opt/cni/bin "$NODE"/etc/cni/net.d
	chmod 1777 "$NODE/tmp"
	ln -s ../run "$NODE/var/run"
	node_programs
	mount -t proc proc "$NODE/proc"
	node_tunables
	mount -t sysfs sysfs "$NODE/sys"
	node_cgroups
	mount -t bpf -o mode=0700 bpf "$NODE/sys/fs/bpf"
	mount --rbind /dev "$NODE/dev"
	# What containers are made of is too much to keep in memory.
	mkdir -p "$SANDBOX/lib" "$NODE$SANDBOX"
	mount --bind "$SANDBOX/lib" "$NODE/var/lib"
	mount --bind "$SANDBOX" "$NODE$SANDBOX"
	node_hold
}

# Its files are in a mount namespace of their own, too, whose root they are: a container runtime needs a real one. There
# what is mounted later is seen by containers, as systemd has it on every node.
node_hold()
{
	# shellcheck disable=SC2016 # for the shell in there
	unshare --mount --propagation unchanged bash -c 'cd "$0" && mkdir old && pivot_root . old && cd / &&
		umount --lazy /old && rmdir /old && mount --make-rshared / && touch /run/held && exec sleep infinity' "$NODE" \
		</dev/null >"$SANDBOX/node.log" 2>&1 &
	NODE_HOLDER=$!
	eventually 10 test -e "$NODE/run/held"
}

# node_network: the network configuration, as it is before egressd
node_network()
{
	local plugin

	cp /usr/lib/cni/* "$NODE/opt/cni/bin"
	case ${E2E_NETWORK:-bridge} in
	bridge) plugin='"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true' ;;
	ptp) plugin='"type": "ptp"' ;;
	*) fail "E2E_NETWORK=$E2E_NETWORK is neither bridge nor ptp" ;;
	esac
	cat >"$NODE/etc/cni/net.d/10-pods.conflist" <<-EOF
		{"cniVersion": "1.0.0", "name": "pods", "plugins": [
		 {$plugin, "ipam": {"type": "host-local", "ranges": [[{"subnet": "$POD_NETWORK"}]],
		  "routes": [{"dst": "0.0.0.0/0"}]}},
		 {"type": "portmap", "capabilities": {"portMappings": true}}]}
	EOF
}

# control_plane: etcd and the API server, as far as they answer, and what makes pods of other objects
control_plane()
{
	local pki=$SANDBOX/pki name

	kube_pki
	sign apiserver /CN=kube-apiserver "subjectAltName=IP:127.0.0.1,IP:$NODE_ADDRESS,IP:$SERVICES.1,DNS:kubernetes.default.svc"
	sign kubelet-client /CN=kube-apiserver-kubelet-client
	echo 'admin,admin,1,"system:masters"' >"$SANDBOX/tokens"
	kubeconfig admin <<<"token: admin"
	etcd_start
	api_start --bind-address 0.0.0.0 --advertise-address "$NODE_ADDRESS" --endpoint-reconciler-type master-count \
		--apiserver-count 1 --kubelet-client-certificate "$pki/kubelet-client.crt" \
		--kubelet-client-key "$pki/kubelet-client.key" --kubelet-preferred-address-types InternalIP
	eventually 90 api_is_ready
	"$KUBE_PROGRAMS/kube-controller-manager" --kubeconfig "$SANDBOX/admin.conf" --leader-elect=false \
		--root-ca-file "$pki/ca.crt" --service-account-private-key-file "$pki/accounts.key" --bind-address 127.0.0.1 \
		</dev/null >"$SANDBOX/controller-manager.log" 2>&1 &
	"$KUBE_PROGRAMS/kube-scheduler" --kubeconfig "$SANDBOX/admin.conf" --leader-elect=false --bind-address 127.0.0.1 \
		</dev/null >"$SANDBOX/scheduler.log" 2>&1 &
	for name in default kube-system; do
		eventually 30 namespace_is_there "$name"
	done
}

kubelet_start()
{
	cat >"$SANDBOX/kubelet.yaml" <<-EOF
		apiVersion: kubelet.config.k8s.io/v1beta1
		kind: KubeletConfiguration
		containerRuntimeEndpoint: unix://$CONTAINERD
		cgroupDriver: cgroupfs
		# Version 1 is on its way out.
		failCgroupV1: false
		authentication:
		  anonymous: {enabled: false}
		  webhook: {enabled: false}
		  x509: {clientCAFile: $SANDBOX/pki/ca.crt}
		authorization: {mode: AlwaysAllow}
		clusterDNS: [$SERVICES.10]
		clusterDomain: cluster.local
		resolvConf: /etc/resolv.conf
		failSwapOn: false
		volumePluginDir: /var/lib/kubelet/plugins
		# It must not change the machine's settings; see node_tunables.
		protectKernelDefaults: true
		# How full the machine is is no business of this node's.
		evictionHard: {memory.available: 1Mi, nodefs.available: 0%, nodefs.inodesFree: 0%, imagefs.available: 0%}
		imageGCHighThresholdPercent: 100
	EOF
	on_node /opt/kube/kubelet --config "$SANDBOX/kubelet.yaml" --kubeconfig "$SANDBOX/admin.conf" \
		--hostname-override "$NODE_NAME" --node-ip "$NODE_ADDRESS" </dev/null >"$SANDBOX/kubelet.log" 2>&1 &
	KUBELET=$!
}

proxy_start()
{
	cat >"$SANDBOX/proxy.yaml" <<-EOF
		apiVersion: kubeproxy.config.k8s.io/v1alpha1
		kind: KubeProxyConfiguration
		mode: ${E2E_PROXY:-iptables}
		clientConnection: {kubeconfig: $SANDBOX/admin.conf}
		clusterCIDR: $POD_NETWORK
		hostnameOverride: $NODE_NAME
		# The whole machine's.
		conntrack: {maxPerCore: 0, min: 0}
	EOF
	on_node /opt/kube/kube-proxy --config "$SANDBOX/proxy.yaml" </dev/null >"$SANDBOX/proxy.log" 2>&1 &
}

node_is_ready()
{
	kill -0 "$KUBELET" || fail "the kubelet ended: $(tail -n 20 "$SANDBOX/kubelet.log")"
	[ "$(kubectl get node "$NODE_NAME" -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}' 2>/dev/null)" = True ]
}

# node_up: all of it; the node is ready, and there is nothing on it
node_up()
{
	kube_find
	network_setup
	network_ready
	on outside ip route replace default via "$NODE_ADDRESS"
	# What goes to a Service needs a route before kube-proxy sees it.
	ip route add default via 192.0.2.10
	node_root
	node_network
	control_plane
	containerd_start /etc/cni/net.d /opt/cni/bin
	kubelet_start
	proxy_start
	eventually 90 node_is_ready
}
