#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `egressctl check`: errors and warnings with their places, in all formats, and what is no mistake. No kernel, no root.
#
# usage: check.sh [BUILD-DIRECTORY] [TEST...]
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
if [ "${1:-}" = --one ]; then
	cd "$WORK"
fi

# expect STATUS COMMAND...: standard output must be what stands on standard input
expect()
{
	local wanted=$1 status=0 output

	shift
	output=$("$@" </dev/null) || status=$?
	assert_equal "output of $*" "$(cat)" "$output"
	assert_equal "exit status of $*" "$wanted" "$status"
}

check()
{
	"$EGRESSCTL" check "$@"
}

# policy NAME SELECTOR: the egress rules come from standard input, as a YAML list
policy()
{
	cat <<-EOF
		---
		apiVersion: networking.k8s.io/v1
		kind: NetworkPolicy
		metadata: {name: $1, namespace: shop}
		spec:
		  podSelector: $2
		  policyTypes: [Egress]
		  egress:
	EOF
	sed 's/^/    /'
}

pod()
{
	echo "---"
	echo "{apiVersion: v1, kind: Pod, metadata: {name: $1, namespace: $2, labels: {app: $3}}, status: {podIP: $4}}"
}

dns='- ports: [{port: 53, protocol: UDP}]'

test_clean()
{
	expect 0 check "$TESTS/cli/shop" <<<"0 errors, 0 warnings in 3 files, 15 objects"
	expect 0 check --strict "$TESTS/cli/shop" <<<"0 errors, 0 warnings in 3 files, 15 objects"
}

test_errors_have_their_place()
{
	policy bad '{}' <<<"- {to: [{ipBlock: {cidr: 10.0.0.0/33}}]}" >bad.yaml
	pod web shop web 10.0.0.1 >good.yaml
	fails check . >output
	assert_matches "the error" '^\./bad.yaml:9:30: error: NetworkPolicy shop/bad: .*10\.0\.0\.0/33.* \[field\]$' "$(cat output)"
	assert_matches "the sum" '^1 error, 0 warnings in 2 files, 1 object$' "$(cat output)"
	echo 'kind: [' >syntax.yaml
	expect_status 2 check syntax.yaml
	expect_status 2 check nothing.yaml
	assert_matches "a file that is missing" '^nothing.yaml: error: .*No such file' "$(check nothing.yaml || true)"
}

expect_status()
{
	local wanted=$1 status=0

	shift
	"$@" >/dev/null 2>&1 || status=$?
	assert_equal "exit status of $*" "$wanted" "$status"
}

test_the_same_object_twice()
{
	pod web shop web 10.0.0.1 >a.yaml
	cp a.yaml b.yaml
	expect 2 check . <<-EOF
		./b.yaml:2:1: error: Pod shop/web: the same object is already at ./a.yaml:2 [conflict]
		1 error, 0 warnings in 2 files, 1 object
	EOF
}

test_selector_that_matches_nothing()
{
	{
		pod web shop web 10.0.0.1
		pod db other db 10.0.0.2
		policy none '{matchLabels: {app: none}}' <<<"$dns"
		policy peers '{}' <<-EOF
			- ports: [{port: 53}]
			  to:
			  - podSelector: {matchLabels: {app: db}}
			  - {podSelector: {matchLabels: {app: db}}, namespaceSelector: {}}
			  - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: other}}
			  - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: others}}
		EOF
		echo '---'
		echo '{apiVersion: v1, kind: Namespace, metadata: {name: other}}'
	} >all.yaml
	expect 0 check all.yaml <<-EOF
		all.yaml:6:1: warning: NetworkPolicy shop/none: podSelector matches no pod of namespace shop in these manifests [empty-selector]
		all.yaml:24:9: warning: NetworkPolicy shop/peers: the peer's selector matches no pod in these manifests [empty-selector]
		all.yaml:27:9: warning: NetworkPolicy shop/peers: the peer's selector matches no namespace in these manifests [empty-selector]
		0 errors, 3 warnings in 1 file, 5 objects
	EOF
	expect_status 1 check --strict all.yaml
	# Policies alone say nothing about the cluster.
	policy none '{matchLabels: {app: none}}' <<<"$dns" >alone.yaml
	expect 0 check --strict alone.yaml <<<"0 errors, 0 warnings in 1 file, 1 object"
}

test_namespace_that_is_not_known()
{
	{
		pod web shop web 10.0.0.1
		pod vault cards vault 10.0.0.2
		pod till cards till 10.0.0.3
		echo '---'
		echo '{apiVersion: v1, kind: Namespace, metadata: {name: shop}}'
	} >cluster.yaml
	policy p '{}' >policy.yaml <<-EOF
		- ports: [{port: 53}]
		  to: [{namespaceSelector: {matchExpressions: [{key: zone, operator: NotIn, values: [pci]}]}}]
	EOF
	expect 0 check cluster.yaml policy.yaml <<-EOF
		cluster.yaml:6:1: warning: Pod cards/till: these manifests have no Namespace cards: selectors of its labels, as in shop/p, do not match it [unknown-namespace]
		0 errors, 1 warning in 2 files, 5 objects
	EOF
	echo '{apiVersion: v1, kind: Namespace, metadata: {name: cards}}' >namespace.yaml
	expect 0 check --strict . <<<"0 errors, 0 warnings in 3 files, 6 objects"
	# Nobody asks for its labels.
	policy p '{}' >policy.yaml <<-EOF
		- ports: [{port: 53}]
		  to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: cards}}}, {namespaceSelector: {}}]
	EOF
	expect 0 check --strict cluster.yaml policy.yaml <<<"0 errors, 0 warnings in 2 files, 5 objects"
}

test_except_outside_its_block()
{
	policy blocks '{}' <<-EOF >all.yaml
		- to:
		  - ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16, 11.0.0.0/16]}
		  - ipBlock: {cidr: 10.9.0.0/16, except: [10.9.0.0/16]}
	EOF
	check all.yaml >output || true
	assert_matches "outside" '^all.yaml:10:59: .*11\.0\.0\.0/16.*10\.0\.0\.0/8' "$(cat output)"
	assert_matches "all of it" '^all.yaml:11:47: warning: .*except 10.9.0.0/16 takes away all of its block' "$(cat output)"
	assert_no_match "inside" '10\.1\.0\.0/16' "$(cat output)"
}

test_dns_forgotten()
{
	{
		pod web shop web 10.0.0.1
		pod web-2 shop web 10.0.0.2
		pod db shop db 10.0.0.3
		policy deny '{}' <<<'[]'
		policy web '{matchLabels: {app: web}}' <<<'- ports: [{port: 443}, {port: 53, protocol: SCTP}]'
		policy db '{matchLabels: {app: db}}' <<<"$dns"
	} >all.yaml
	expect 0 check all.yaml <<-EOF
		all.yaml:8:1: warning: NetworkPolicy shop/deny: no policy of pod shop/web and 1 more allows port 53: names cannot be resolved there [dns-forgotten]
		0 errors, 1 warning in 1 file, 6 objects
	EOF
	# A range, a name or every port will do.
	for port in '{port: 50, endPort: 60}' '{protocol: UDP}' '{port: dns, protocol: UDP}'; do
		{
			pod web shop web 10.0.0.1
			policy web '{}' <<<"- ports: [$port]"
			echo "---"
			echo "{apiVersion: v1, kind: Pod, metadata: {name: dns, namespace: dns}, status: {podIP: 10.0.0.9}, spec: {containers: [{name: a, ports: [{name: dns, containerPort: 53, protocol: UDP}]}]}}"
		} >all.yaml
		expect 0 check --strict all.yaml <<<"0 errors, 0 warnings in 1 file, 3 objects"
	done
	# Without pods the namespace's policies count together.
	{
		policy deny '{}' <<<'[]'
		policy web '{matchLabels: {app: web}}' <<<'- ports: [{port: 443}]'
	} >all.yaml
	expect 1 check --strict all.yaml <<-EOF
		all.yaml:2:1: warning: NetworkPolicy shop/deny: no policy of namespace shop allows port 53: names cannot be resolved where it applies [dns-forgotten]
		0 errors, 1 warning in 1 file, 2 objects
	EOF
}

# redundant RULES: how many of the rules are told to be redundant
redundant()
{
	policy rules '{}' <<<"$dns"$'\n'"$1" >all.yaml
	check -o json all.yaml | json problems | grep -o '"redundant-rule"' | wc -l
}

test_redundant_rules()
{
	local a='- {ports: [{port: 80}], to: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}]}' count

	while read -r count rule; do
		assert_equal "redundant beside $a: $rule" "$count" "$(redundant "$a"$'\n'"- $rule")"
	done <<-'EOF'
		1 {ports: [{port: 80}], to: [{ipBlock: {cidr: 10.2.0.0/16}}]}
		1 {ports: [{port: 80}], to: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/15]}}]}
		1 {ports: [{port: 80}], to: [{ipBlock: {cidr: 10.2.0.0/16}}, {ipBlock: {cidr: 10.3.0.0/16}}]}
		1 {to: [{ipBlock: {cidr: 10.0.0.0/8}}]}
		1 {ports: [{port: 79, endPort: 81}], to: [{ipBlock: {cidr: 0.0.0.0/0}}]}
		0 {ports: [{port: 80}], to: [{ipBlock: {cidr: 10.1.0.0/24}}]}
		0 {ports: [{port: 80}], to: [{ipBlock: {cidr: 10.0.0.0/15}}]}
		0 {ports: [{port: 81}], to: [{ipBlock: {cidr: 10.2.0.0/16}}]}
		0 {ports: [{port: 80, protocol: UDP}], to: [{ipBlock: {cidr: 10.2.0.0/16}}]}
		0 {ports: [{port: http}], to: [{ipBlock: {cidr: 10.2.0.0/16}}]}
		0 {ports: [{port: 80}], to: [{ipBlock: {cidr: 10.2.0.0/16}}, {podSelector: {}}]}
	EOF
	a='- to: [{podSelector: {matchLabels: {app: web}}, namespaceSelector: {}}]'
	while read -r count rule; do
		assert_equal "redundant beside $a: $rule" "$count" "$(redundant "$a"$'\n'"- $rule")"
	done <<-'EOF'
		1 {to: [{podSelector: {matchLabels: {app: web}}}]}
		1 {to: [{podSelector: {matchLabels: {app: web, tier: x}}, namespaceSelector: {matchLabels: {a: b}}}]}
		1 {to: [{podSelector: {matchExpressions: [{key: app, operator: In, values: [web]}]}}]}
		0 {to: [{podSelector: {matchExpressions: [{key: app, operator: In, values: [web, db]}]}}]}
		0 {to: [{podSelector: {}}]}
		0 {to: [{ipBlock: {cidr: 10.0.0.0/8}}]}
	EOF
}

test_redundant_beside_another_policy()
{
	{
		policy all '{}' <<<'- {}'
		policy web '{matchLabels: {app: web}}' <<<'- {ports: [{port: 80}]}'
	} >all.yaml
	expect 0 check all.yaml <<-EOF
		all.yaml:18:7: warning: NetworkPolicy shop/web: rule 0 is redundant: rule 0 of shop/all (line 9) allows all of it [redundant-rule]
		0 errors, 1 warning in 1 file, 2 objects
	EOF
	# The other way round the rule of fewer pods makes nothing redundant.
	{
		policy all '{matchLabels: {app: web}}' <<<'- {}'
		policy web '{}' <<<"$dns"
	} >all.yaml
	expect 0 check --strict all.yaml <<<"0 errors, 0 warnings in 1 file, 2 objects"
}

test_redundant_rule_names_the_first_that_allows_it()
{
	policy rules '{}' >all.yaml <<-EOF
		$dns
		- to: [{podSelector: {}}, {ipBlock: {cidr: 10.1.2.0/24}}]
		- to: [{podSelector: {}}, {ipBlock: {cidr: 0.0.0.0/0}}]
		- to: [{ipBlock: {cidr: 10.0.0.0/8}}, {podSelector: {}}]
		- to: [{ipBlock: {cidr: 10.1.2.3/32}}, {podSelector: {matchLabels: {app: web}}}]
		- to: [{podSelector: {matchLabels: {app: db}}}, {ipBlock: {cidr: 10.1.3.9/24}}]
		- to: [{ipBlock: {cidr: "2001:db8::/32"}}]
	EOF
	check -o json all.yaml | json problems | grep -o 'rule [0-9]* is redundant: rule [0-9]*' >output || true
	assert_equal "rules" "rule 1 is redundant: rule 2
rule 3 is redundant: rule 2
rule 4 is redundant: rule 1
rule 5 is redundant: rule 2" "$(cat output)"
}

# Some seconds of processor time are plenty, unless each rule is compared with each.
test_many_rules_are_not_compared_each_with_each()
{
	local status=0

	{
		echo "$dns"
		awk 'BEGIN { for (i = 0; i < 40000; i++)
			printf "- to: [{ipBlock: {cidr: 10.%d.%d.0/24}}]\n", i / 256, i % 256 }'
		echo '- to: [{ipBlock: {cidr: 10.100.7.9/32}}]'
	} | policy many '{}' >all.yaml
	(ulimit -t 8 && check -o json all.yaml) >output || status=$?
	assert_equal "exit status" 0 "$status"
	assert_equal "redundant rules" "rule 40001 is redundant: rule 25608" \
		"$(grep -o 'rule [0-9]* is redundant: rule [0-9]*' output)"
}

test_equal_rules_are_told_once()
{
	assert_equal "of two equal rules" 1 "$(redundant '- to: [{podSelector: {}}]
- to: [{podSelector: {}}]')"
}

# policy_of NAME SPEC
policy_of()
{
	echo "---"
	echo "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: $1, namespace: shop}, spec: {$2}}"
}

test_egress_that_does_nothing()
{
	{
		policy_of rules 'policyTypes: [Ingress], egress: [{ports: [{port: 53}]}, {}]'
		policy_of empty 'podSelector: {}, egress: []'
		policy_of no-types 'policyTypes: [], ingress: [{}], egress: []'
	} >all.yaml
	expect 0 check all.yaml <<-EOF
		all.yaml:2:139: warning: NetworkPolicy shop/rules: policyTypes lacks Egress, so these rules do nothing and the policy isolates nobody [egress-idle]
		all.yaml:4:1: warning: NetworkPolicy shop/empty: an empty egress without policyTypes denies nothing: for that, policyTypes must have Egress [egress-idle]
		all.yaml:6:1: warning: NetworkPolicy shop/no-types: an empty egress without policyTypes denies nothing: for that, policyTypes must have Egress [egress-idle]
		0 errors, 3 warnings in 1 file, 3 objects
	EOF
	{
		policy_of ingress 'podSelector: {}'
		policy_of both 'policyTypes: [Ingress], egress: []'
		policy_of absent 'egress: null'
		policy_of rules 'egress: [{}]'
	} >all.yaml
	expect 0 check --strict all.yaml <<<"0 errors, 0 warnings in 1 file, 4 objects"
	policy_of deny 'policyTypes: [Egress], egress: []' >all.yaml
	assert_no_match "denies everything" 'egress-idle' "$(check all.yaml)"
}

test_port_zero()
{
	policy ports '{}' >all.yaml <<-EOF
		- ports: [{port: 53}, {port: 0}, {port: 0, endPort: 9, protocol: UDP}, {protocol: SCTP}, {port: zero}]
	EOF
	expect 0 check all.yaml <<-EOF
		all.yaml:9:27: warning: NetworkPolicy shop/ports: nothing listens on port 0, and the API server refuses it [port-zero]
		all.yaml:9:38: warning: NetworkPolicy shop/ports: nothing listens on port 0, and the API server refuses it [port-zero]
		0 errors, 2 warnings in 1 file, 1 object
	EOF
}

test_json()
{
	policy deny '{}' <<<'[]' >all.yaml
	check -o json all.yaml >output
	assert_equal "files" 1 "$(json files <output)"
	assert_equal "warnings" 1 "$(json warnings <output)"
	assert_equal "rule" dns-forgotten "$(json problems.0.rule <output)"
	assert_equal "line" 2 "$(json problems.0.line <output)"
	assert_equal "object" "NetworkPolicy shop/deny" "$(json problems.0.object <output)"
}

test_sarif()
{
	mkdir "a b"
	policy deny '{}' <<<'[]' >"a b/all.yaml"
	policy bad '{}' <<<"- {to: [{ipBlock: {cidr: 10.0.0.0/33}}]}" >"a b/bad.yaml"
	expect_status 2 check -o sarif "a b"
	# shellcheck disable=SC2016 # the text of a program
	{ check -o sarif "a b" || true; } | /usr/bin/python3 -c '
import json, sys
log = json.load(sys.stdin)
assert log["version"] == "2.1.0" and log["$schema"].endswith("sarif-2.1.0.json")
run, = log["runs"]
rules = run["tool"]["driver"]["rules"]
assert run["tool"]["driver"]["name"] == "egressctl"
assert len({rule["id"] for rule in rules}) == len(rules)
assert all(rule["shortDescription"]["text"] for rule in rules)
result, = run["results"]
assert result["level"] == "error" and result["message"]["text"]
assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
location = result["locations"][0]["physicalLocation"]
assert location["artifactLocation"]["uri"] == "a%20b/bad.yaml", location
assert location["region"] == {"startLine": 9, "startColumn": 30}, location
'
	rm "a b/bad.yaml"
	check -o sarif "a b" | json runs.0.results.0.level | grep -qx warning
	assert_equal "a path below the directory checked" "a%20b/all.yaml" \
		"$(check -o sarif . | json runs.0.results.0.locations.0.physicalLocation.artifactLocation.uri)"
}

# refused_quickly PATTERN FILE
refused_quickly()
{
	local status=0 output

	output=$(timeout $((5 * TEST_SLOWNESS)) "$EGRESSCTL" check "$2" 2>&1) || status=$?
	assert_equal "exit status for $2" 2 "$status"
	assert_matches "$2" "$1" "$output"
}

test_files_that_are_too_much_are_refused_quickly()
{
	local i

	truncate --size=100M large.yaml
	refused_quickly '^large.yaml: error: expected at most 64 MiB, found more \[limit\]$' large.yaml
	/usr/bin/python3 -c 'print("[" * 1000000)' | tee deep.json >deep.yaml
	refused_quickly '^deep.yaml:1:65: error: expected at most 64 levels, found more \[limit\]$' deep.yaml
	refused_quickly '^deep.json:1:[0-9]+: error: .*depth' deep.json
	{
		echo 'a0: &a0 [x, x, x, x, x, x, x, x, x, x]'
		for i in {1..9}; do
			echo "a$i: &a$i [$(printf "*a$((i - 1)), %.0s" {1..10})]"
		done
	} >aliases.yaml
	refused_quickly '^aliases.yaml:[0-9:]+ error: .*values.* \[limit\]$' aliases.yaml
}

test_standard_input()
{
	pod web shop web 10.0.0.1 >pod.yaml
	assert_equal "manifests from standard input" "0 errors, 0 warnings in 1 file, 1 object" "$(check - <pod.yaml)"
}

test_hidden_and_foreign_files_are_passed_over()
{
	mkdir -p all/..data all/below
	pod web shop web 10.0.0.1 >all/below/pod.yml
	echo 'kind: [' | tee all/notes.txt all/.hidden.yaml >all/..data/bad.yaml
	expect 0 check all <<<"0 errors, 0 warnings in 1 file, 1 object"
	expect_status 2 check all/notes.txt
}

run_tests "$@"
