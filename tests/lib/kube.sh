# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# A Kubernetes API server, with etcd behind it, inside a sandbox; no kubelet and no controller: what there is, kubectl
# creates. After harness.sh (kube_find, which builds them if need be, works without a sandbox too).
#
# Programs are looked for in $KUBEBUILDER_ASSETS, then in PATH, then in the cache of tests/kube/build-binaries.

KUBE_SERVER=https://127.0.0.1:6443
KUBE_ETCD=127.0.0.1:2379
KUBE_API=
KUBE_ETCD_PROCESS= # for tests that end it

# kube_find: the programs' paths in KUBECTL_PROGRAM, KUBE_API_PROGRAM, ETCD_PROGRAM; skips the test where there are none
kube_find()
{
	local name path missing=() found=() directory status=0

	for name in kubectl kube-apiserver etcd; do
		if [ -x "${KUBEBUILDER_ASSETS:-/nowhere}/$name" ]; then
			found+=("$KUBEBUILDER_ASSETS/$name")
		elif [ "$name" != etcd ] && path=$(type -P "$name"); then
			found+=("$path")
		else
			missing+=("$name")
			found+=("")
		fi
	done
	if [ ${#missing[@]} -gt 0 ]; then
		directory=$("$TESTS/kube/build-binaries" "${missing[@]}") || status=$?
		[ $status -ne 77 ] || skip "no ${missing[*]} in KUBEBUILDER_ASSETS or PATH, and no Go to build them with"
		[ $status -eq 0 ] || fail "${missing[*]} cannot be built"
	fi
	KUBECTL_PROGRAM=${found[0]:-$directory/kubectl}
	KUBE_API_PROGRAM=${found[1]:-$directory/kube-apiserver}
	ETCD_PROGRAM=${found[2]:-$directory/etcd}
}

# sign NAME SUBJECT [EXTENSIONS [START [END]]]: NAME.key and NAME.crt; times as openssl ca has them (YYYYMMDDHHMMSSZ)
sign()
{
	local pki=$SANDBOX/pki

	openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$pki/$1.key" -out "$pki/$1.csr" \
		-subj "$2" 2>/dev/null
	printf '[v]\n%s\n' "${3:-}" >"$pki/$1.ext"
	openssl ca -batch -config "$pki/ca.cnf" -in "$pki/$1.csr" -out "$pki/$1.crt" -extfile "$pki/$1.ext" \
		-extensions v -notext -startdate "${4:-20200101000000Z}" -enddate "${5:-20491231000000Z}" 2>/dev/null
}

kube_pki()
{
	local pki=$SANDBOX/pki

	mkdir -p "$pki/new"
	: >"$pki/index"
	echo 01 >"$pki/serial"
	cat >"$pki/ca.cnf" <<-EOF
		[ca]
		default_ca = c
		[c]
		database = $pki/index
		serial = $pki/serial
		new_certs_dir = $pki/new
		certificate = $pki/ca.crt
		private_key = $pki/ca.key
		default_md = sha256
		unique_subject = no
		policy = p
		[p]
		organizationName = optional
		commonName = supplied
	EOF
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$pki/ca.key" -out "$pki/ca.crt" \
		-subj /CN=test-ca -days 36500 2>/dev/null
	sign server /CN=kube-apiserver "subjectAltName=IP:127.0.0.1,DNS:kubernetes.test"
	openssl ecparam -name prime256v1 -genkey -noout -out "$pki/accounts.key" 2>/dev/null
}

etcd_start()
{
	"$ETCD_PROGRAM" --data-dir "$SANDBOX/etcd" --listen-client-urls "http://$KUBE_ETCD" \
		--advertise-client-urls "http://$KUBE_ETCD" --listen-peer-urls http://127.0.0.1:2380 --unsafe-no-fsync \
		--log-level error </dev/null >>"$SANDBOX/etcd.log" 2>&1 &
	# shellcheck disable=SC2034 # for tests
	KUBE_ETCD_PROCESS=$!
}

# shellcheck disable=SC2120 # tests give options
# api_start [OPTION...]: with the certificate NAME in $KUBE_CERTIFICATE (server), without the admission plugins in
# $KUBE_WITHOUT_ADMISSION (those that ask for more than tests without controllers have)
api_start()
{
	local pki=$SANDBOX/pki certificate=${KUBE_CERTIFICATE:-server}

	"$KUBE_API_PROGRAM" --etcd-servers "http://$KUBE_ETCD" --bind-address 127.0.0.1 --secure-port 6443 \
		--advertise-address 192.0.2.1 --endpoint-reconciler-type none --authorization-mode RBAC \
		--tls-cert-file "$pki/$certificate.crt" --tls-private-key-file "$pki/$certificate.key" \
		--client-ca-file "$pki/ca.crt" --token-auth-file "$SANDBOX/tokens" --service-cluster-ip-range 10.96.0.0/16 \
		--service-account-issuer https://kubernetes.test --service-account-key-file "$pki/accounts.key" \
		--service-account-signing-key-file "$pki/accounts.key" \
		--disable-admission-plugins "${KUBE_WITHOUT_ADMISSION:-ServiceAccount,PodSecurity}" --audit-log-path "" --v 0 "$@" \
		</dev/null >>"$SANDBOX/api.log" 2>&1 &
	KUBE_API=$!
}

# api_stop [SIGNAL]
api_stop()
{
	kill "-${1:-KILL}" "$KUBE_API"
	wait "$KUBE_API" 2>/dev/null || true
}

api_is_ready()
{
	kill -0 "$KUBE_API" || fail "the API server ended: $(tail -n 5 "$SANDBOX/api.log")"
	kubectl get --raw /readyz >/dev/null 2>&1
}

kubectl()
{
	"$KUBECTL_PROGRAM" --kubeconfig "$SANDBOX/admin.conf" "$@"
}

# kubeconfig NAME: a kubeconfig of that name, with the user's credentials (YAML) from standard input
kubeconfig()
{
	{
		cat <<-EOF
			apiVersion: v1
			kind: Config
			current-context: test
			contexts: [{name: test, context: {cluster: test, user: test}}]
			clusters:
			- name: test
			  cluster: {server: "$KUBE_SERVER", certificate-authority: pki/ca.crt}
			users:
			- name: test
			  user:
		EOF
		sed 's/^/    /'
	} >"$SANDBOX/$1.conf"
}

# kube_up: everything, ready; the agent's token is "agent", of the user egressd, who may do what deploy/ grants
kube_up()
{
	kube_find
	kube_pki
	cat >"$SANDBOX/tokens" <<-EOF
		admin,admin,1,"system:masters"
		agent,egressd,2
		nobody,nobody,3
	EOF
	kubeconfig admin <<<"token: admin"
	kubeconfig agent <<<"token: agent"
	kubeconfig nobody <<<"token: nobody"
	etcd_start
	# shellcheck disable=SC2119 # as it is by default
	api_start
	eventually 90 api_is_ready
	kubectl create clusterrole egressd --verb=list,watch \
		--resource=pods,namespaces,services,nodes,endpointslices.discovery.k8s.io,networkpolicies.networking.k8s.io \
		>/dev/null
	kubectl create clusterrole egressd-events --verb=create,patch --resource=events >/dev/null
	kubectl create clusterrolebinding egressd-events --clusterrole=egressd-events --user=egressd >/dev/null
	kubectl create clusterrolebinding egressd --clusterrole=egressd --user=egressd >/dev/null
	eventually 20 namespace_is_there default
}

namespace_is_there()
{
	kubectl get namespace "$1" >/dev/null 2>&1
}
