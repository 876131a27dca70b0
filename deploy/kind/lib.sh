# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# A cluster of two nodes with kind, for demo and bench: made, loaded with this tree's images, deleted at the end.
#
#   KIND_IMAGE=kindest/node:...   another node image than kind's own choice
#   KIND_FAMILY=ipv4|dual         addresses of pods (ipv4)
#   KIND_BUILT=yes                the images are there already (build/image)
#   KIND_KEEP=yes                 leaves the cluster running (kind delete cluster --name egressd)
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../.." && pwd)
CLUSTER=egressd
# As kind names them, in the order of cluster.yaml.
NODES=("$CLUSTER-control-plane" "$CLUSTER-worker")
# What stands for the world outside is on the first node.
OUTSIDE_NODE=${NODES[0]}
OUTSIDE=(198.51.100.10 198.51.100.200 203.0.113.10)
OUTSIDE_IPV6=(2001:db8:100::10 2001:db8:100:bad::10 2001:db8:bad::10)
FAMILY=${KIND_FAMILY:-ipv4}
KUBECONFIG_FILE=

title()
{
	printf '\n%s\n\n' "$*"
}

step()
{
	echo "  $*"
}

die()
{
	echo "kind: $*" >&2
	exit 1
}

# need_tools: says all that is missing at once
need_tools()
{
	local missing=()

	command -v kind >/dev/null || missing+=("kind (https://kind.sigs.k8s.io)")
	command -v docker >/dev/null || missing+=("docker")
	command -v kubectl >/dev/null || missing+=("kubectl")
	command -v python3 >/dev/null || missing+=("python3")
	if [ ${#missing[@]} -gt 0 ]; then
		printf 'kind: missing: %s\n' "${missing[@]}" >&2
		exit 1
	fi
	docker info >/dev/null 2>&1 || die "no docker daemon answers"
	case $FAMILY in
	ipv4 | dual) ;;
	*) die "KIND_FAMILY=$FAMILY is neither ipv4 nor dual" ;;
	esac
	[[ $'\n'$(kind get clusters 2>/dev/null)$'\n' != *$'\n'"$CLUSTER"$'\n'* ]] ||
		die "there is a cluster \"$CLUSTER\" already: kind delete cluster --name $CLUSTER"
}

cluster_end()
{
	local status=$?

	if [ -n "$KUBECONFIG_FILE" ]; then
		if [ "${KIND_KEEP:-}" = yes ]; then
			echo "  the cluster stays: KUBECONFIG=$KUBECONFIG_FILE; kind delete cluster --name $CLUSTER"
		else
			kind delete cluster --name "$CLUSTER" >/dev/null 2>&1 || true
			rm -f "$KUBECONFIG_FILE"
		fi
	fi
	exit $status
}

# images_build: egressd, and what makes the traffic
images_build()
{
	[ "${KIND_BUILT:-}" != yes ] || return 0
	step "building images"
	"$ROOT/deploy/image/build" >/dev/null
	"$HERE/traffic-image" >/dev/null
}

image_file()
{
	local files=("$ROOT/build/image/$1"-*-"$(dpkg --print-architecture)".tar)

	[ -e "${files[0]}" ] || die "no image $1 in build/image"
	echo "${files[0]}"
}

# cluster_create: nodes without a network
cluster_create()
{
	local options=(--name "$CLUSTER" --config "$HERE/cluster.yaml") file

	[ -z "${KIND_IMAGE:-}" ] || options+=(--image "$KIND_IMAGE")
	KUBECONFIG_FILE=$(mktemp)
	export KUBECONFIG=$KUBECONFIG_FILE
	trap cluster_end EXIT
	trap 'exit 130' INT TERM
	step "creating a cluster of ${#NODES[@]} nodes ($FAMILY)"
	sed "s/^networking:/&\n  ipFamily: $FAMILY/" "$HERE/cluster.yaml" >"$KUBECONFIG_FILE.cluster"
	options[3]=$KUBECONFIG_FILE.cluster
	if ! kind create cluster "${options[@]}" --kubeconfig "$KUBECONFIG_FILE" >"$KUBECONFIG_FILE.log" 2>&1; then
		cat "$KUBECONFIG_FILE.log" >&2
		rm -f "$KUBECONFIG_FILE".*
		die "kind cannot create the cluster; it needs a node image (kindest/node), which is pulled unless it is here" \
			"(KIND_IMAGE=...)"
	fi
	rm -f "$KUBECONFIG_FILE".*
	for file in egressd egressd-traffic; do
		step "loading the image $file"
		kind load image-archive "$(image_file "$file")" --name "$CLUSTER"
	done
	for file in "${NODES[@]}"; do
		node_prepare "$file"
	done
	routes_between_nodes
	step "waiting for the nodes"
	kubectl wait --for=condition=Ready node --all --timeout=180s >/dev/null
}

# pod_networks NODE: of its pods, one a line
pod_networks()
{
	kubectl get node "$1" -o jsonpath='{range .spec.podCIDRs[*]}{@}{"\n"}{end}'
}

node_addresses()
{
	kubectl get node "$1" -o jsonpath='{range .status.addresses[?(@.type=="InternalIP")]}{.address}{"\n"}{end}'
}

# family NUMBER: of the lines on standard input, those of IPv4 or IPv6
family()
{
	case $1 in
	4) grep -v : ;;
	6) grep : ;;
	esac
}

# The standard plugin "ptp" and nothing else, and a bpffs, which systemd does not mount in a container.
node_prepare()
{
	local node=$1 network ranges='' routes=''

	while read -r network; do
		[ -n "$network" ] || continue
		ranges+="${ranges:+,}[{\"subnet\":\"$network\"}]"
		case $network in
		*:*) routes+="${routes:+,}{\"dst\":\"::/0\"}" ;;
		*) routes+="${routes:+,}{\"dst\":\"0.0.0.0/0\"}" ;;
		esac
	done < <(pod_networks "$node")
	[ -n "$ranges" ] || die "node $node has no network for pods"
	docker exec -i "$node" sh -c 'cat >/etc/cni/net.d/10-ptp.conflist' <<-EOF
		{"cniVersion":"1.0.0","name":"pods","plugins":[
		 {"type":"ptp","ipMasq":false,
		  "ipam":{"type":"host-local","dataDir":"/run/cni-ipam-state","routes":[$routes],"ranges":[$ranges]}},
		 {"type":"portmap","capabilities":{"portMappings":true}}]}
	EOF
	docker exec "$node" sh -c 'grep -q " /sys/fs/bpf bpf " /proc/mounts || mount -t bpf bpf /sys/fs/bpf'
}

# Pods of one node reach those of the other, and the addresses outside, through the nodes themselves.
routes_between_nodes()
{
	local node other number network gateway address

	for node in "${NODES[@]}"; do
		for other in "${NODES[@]}"; do
			[ "$node" != "$other" ] || continue
			for number in $(families); do
				gateway=$(node_addresses "$other" | family "$number" | head -n 1)
				network=$(pod_networks "$other" | family "$number" | head -n 1)
				docker exec "$node" ip "-$number" route replace "$network" via "$gateway"
				[ "$other" = "$OUTSIDE_NODE" ] || continue
				for address in $(outside_addresses "$number"); do
					docker exec "$node" ip "-$number" route replace "$address" via "$gateway"
				done
			done
		done
	done
	for number in $(families); do
		for address in $(outside_addresses "$number"); do
			docker exec "$OUTSIDE_NODE" ip "-$number" address add "$address" dev lo
		done
	done
}

families()
{
	if [ "$FAMILY" = dual ]; then echo 4 6; else echo 4; fi
}

outside_addresses()
{
	if [ "$1" = 4 ]; then echo "${OUTSIDE[@]}"; else echo "${OUTSIDE_IPV6[@]}"; fi
}

# pods FILE: applied, and running with all containers started
pods()
{
	kubectl apply -f "$1" >/dev/null
	# Not "Ready": one of them never is.
	kubectl wait --for=jsonpath='{.status.containerStatuses[0].ready}'=true -f <(sed_kind Pod "$1") --timeout=120s >/dev/null
}

# sed_kind KIND FILE: the documents of that kind
sed_kind()
{
	awk -v kind="kind: $1" 'BEGIN { RS = "---\n"; ORS = "---\n" } index($0, kind "\n")' "$2"
}

# agent_up: on all nodes, ready
agent_up()
{
	kubectl apply -k "$ROOT/deploy" >/dev/null
	kubectl -n kube-system rollout status daemonset/egressd --timeout=120s >/dev/null ||
		die "egressd is not ready on every node: $(kubectl -n kube-system logs daemonset/egressd --tail=20 2>&1)"
}

# agent_down: off all nodes, with all that it has pinned
agent_down()
{
	kubectl delete -k "$ROOT/deploy" >/dev/null
	kubectl apply -k "$ROOT/deploy/kustomize/uninstall" >/dev/null
	kubectl -n kube-system rollout status daemonset/egressd-uninstall --timeout=120s >/dev/null
	kubectl delete -k "$ROOT/deploy/kustomize/uninstall" >/dev/null
}

# agent_on NODE: the name of its pod
agent_on()
{
	kubectl -n kube-system get pod -l app.kubernetes.io/name=egressd --field-selector "spec.nodeName=$1" \
		-o jsonpath='{.items[0].metadata.name}'
}
