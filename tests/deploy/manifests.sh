#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# deploy/: the chart and the kustomizations say the same, and what they say is what egressd needs and understands.
# shellcheck source=tests/lib/harness.sh
. "$(dirname "$0")/../lib/harness.sh"
# shellcheck disable=SC2034 # read by run_tests
TEST_SANDBOX=no TEST_TIMEOUT=900
CHART=$ROOT/deploy/helm/egressd
MANIFESTS_PY=$TESTS/deploy/manifests.py
WORK=$(mktemp --directory)
trap 'rm -rf "$WORK"' EXIT

# tool NAME: its path, in TOOL
tool()
{
	local status=0

	TOOL=$("$TESTS/lib/go-tool" "$1") || status=$?
	[ $status -ne 77 ] || skip "Go is not installed, which $1 is built with"
	return $status
}

# helm_template [OPTION...]: the chart as rendered
helm_template()
{
	tool helm
	"$TOOL" template egressd "$CHART" --namespace kube-system --kube-version 1.30.0 "$@"
}

# kustomize_build DIRECTORY
kustomize_build()
{
	tool kustomize
	"$TOOL" build "$1"
}

test_kustomization_is_the_chart_with_its_defaults()
{
	helm_template >"$WORK/chart"
	kustomize_build "$ROOT/deploy" >"$WORK/kustomization"
	"$MANIFESTS_PY" same "$WORK/chart" "$WORK/kustomization"
}

test_files_are_rendered_from_the_chart()
{
	tool helm
	HELM=$TOOL "$ROOT/deploy/helm/render" "$WORK/rendered"
	diff --recursive --exclude=kustomization.yaml "$ROOT/deploy/kustomize" "$WORK/rendered" ||
		fail "out of date: make manifests"
}

test_components_are_the_chart_with_their_values()
{
	mkdir "$WORK/overlay"
	# A kustomization may name what it builds on by relative paths only.
	cat >"$WORK/overlay/kustomization.yaml" <<-EOF
		apiVersion: kustomize.config.k8s.io/v1beta1
		kind: Kustomization
		resources: [../deploy/kustomize/base]
		components: [../deploy/kustomize/podmonitor, ../deploy/kustomize/dashboard]
	EOF
	ln -s "$ROOT/deploy" "$WORK/deploy"
	helm_template --set podMonitor.enabled=true,dashboard.enabled=true >"$WORK/chart"
	kustomize_build "$WORK/overlay" >"$WORK/kustomization"
	"$MANIFESTS_PY" same "$WORK/chart" "$WORK/kustomization"
	assert_matches "objects" "PodMonitor" "$(grep ^kind: "$WORK/chart")"
}

test_uninstall_replaces_the_agent()
{
	helm_template --set uninstall=true --show-only templates/uninstall.yaml >"$WORK/chart"
	kustomize_build "$ROOT/deploy/kustomize/uninstall" >"$WORK/kustomization"
	"$MANIFESTS_PY" same "$WORK/chart" "$WORK/kustomization"
	helm_template --set uninstall=true >"$WORK/all"
	assert_equal "DaemonSets" "egressd-uninstall" "$("$MANIFESTS_PY" names DaemonSet "$WORK/all")"
	"$MANIFESTS_PY" uninstall "$WORK/all"
	# An agent before may have installed what this one is not to.
	helm_template --set uninstall=true,cni.install=false >"$WORK/all"
	"$MANIFESTS_PY" uninstall "$WORK/all"
}

test_daemonset_is_what_a_node_needs()
{
	kustomize_build "$ROOT/deploy" >"$WORK/kustomization"
	"$MANIFESTS_PY" agent "$WORK/kustomization"
}

test_role_reads_only()
{
	kustomize_build "$ROOT/deploy" >"$WORK/kustomization"
	"$MANIFESTS_PY" role "$WORK/kustomization"
}

test_agent_understands_its_options()
{
	local options

	helm_template >"$WORK/chart"
	mapfile -t options < <("$MANIFESTS_PY" options "$WORK/chart")
	[ ${#options[@]} -gt 3 ] || fail "the DaemonSet gives no options"
	"$EGRESSD" run "${options[@]}" --help >/dev/null
	# Or the line above could not fail.
	fails "$EGRESSD" run "${options[@]}" --no-such-option --help >/dev/null 2>&1
}

test_every_value_has_an_effect()
{
	tool helm
	"$MANIFESTS_PY" values "$TOOL" "$CHART"
}

test_wrong_values_are_refused()
{
	local value

	tool helm
	while read -r value; do
		if "$TOOL" template egressd "$CHART" --kube-version 1.30.0 --set "$value" >/dev/null 2>"$WORK/error"; then
			fail "accepted: $value"
		fi
		assert_matches "error for $value" "${value%%[.=]*}|additional properties" "$(cat "$WORK/error")"
	done <<-EOF
		options.attach=xdp
		options.logLevel=loud
		options.nodeAddresses=all
		options.atach=tcx
		options.pending=perhaps
		options.antiSpoof=some
		options.podInterfaces={a,b\,c}
		cni.onAgentDown=allow
		cni.binaryDirectory=bin
		metrics.port=0
		metrics.port=http
		image.digest=sha256:12
		podMonitor.interval=often
		uninstall=perhaps
		image.pullPolicy=Sometimes
		nonsense=1
	EOF
}

test_chart_lints()
{
	tool helm
	"$TOOL" lint --strict --kube-version 1.30.0 "$CHART"
}

test_versions_agree()
{
	local version

	version=$(sed -n 's/^#define EGRESSD_VERSION "\(.*\)"/\1/p' "$ROOT/include/egressd/version.h")
	assert_equal "Chart.yaml" "$version $version" "$(sed -n 's/^\(appVersion\|version\): //p' "$CHART/Chart.yaml" | xargs)"
	assert_matches "the DaemonSet's image" "image: \"?egressd:$version\"?$" \
		"$(cat "$ROOT/deploy/kustomize/base/daemonset.yaml")"
}

test_examples_are_sound()
{
	"$EGRESSCTL" check "$ROOT/deploy/examples"
}

run_tests "$@"
