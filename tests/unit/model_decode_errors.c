/* SPDX-License-Identifier: Apache-2.0 */
/* What decoding says, and where, of each thing that can be wrong: a case is a file, a place and a message. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "model/decode.h"
#include "model_unit.h"

struct error_case {
	const char *text;
	const char *rule;
	const char *problem; /* as problem_format, without the file's name */
};

static void check_case(const char *name, const char *text, const char *rule, const char *expected)
{
	_cleanup_free_ char *full = text_format("%s:%s", name, expected);
	struct object_list objects = {};
	struct problem_list problems = {};
	char found[2048] = "";

	assert_int_equal(decode_buffer(name, text, strlen(text), &objects, &problems), -EINVAL);
	assert_int_equal(objects.count, 0);
	assert_true(problems.errors > 0);
	problem_format(&problems.items[0], found, sizeof(found));
	if (problems.count != 1 || strcmp(found, full) || strcmp(problems.items[0].rule, rule))
		fail_msg("of\n%s\nexpected %s (%s),\nfound %s (%s), %zu in all", text, full, rule, found,
			 problems.items[0].rule, problems.count);
	problem_list_clear(&problems);
}

static void check_cases(const char *name, const char *before, const struct error_case *cases, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		_cleanup_free_ char *text = text_format("%s%s", before, cases[i].text);

		check_case(name, text, cases[i].rule, cases[i].problem);
	}
}

static void documents(void **state)
{
	static const struct error_case cases[] = {
		{ "a: b\n c: d\n", "syntax", "2:3: YAML: mapping values are not allowed in this context" },
		{ "a: [b\n", "syntax",
		  "2:1: YAML: did not find expected ',' or ']', while parsing a flow sequence that began on line 1" },
		{ "a: b\n\tc: d\n", "syntax",
		  "2:1: YAML: found a tab character that violates indentation, while scanning a plain scalar that began on line 1" },
		{ "a: \xff\n", "syntax", "1:4: YAML: invalid leading UTF-8 octet" },
		{ "x: gr\xc3\xbc\xc3\x9f\ny: \xc3\xbc\xff", "syntax", "2:5: YAML: invalid leading UTF-8 octet" },
		{ "a: b\nc: d\na: e\n", "field", "3:1: expected the key \"a\" once, found it again (first on line 1)" },
		{ "a: 1\nb: 1\nc: 1\nd: 1\ne: 1\nf: 1\ng: 1\nh: 1\ni: 1\nj: 1\nk: 1\nl: 1\nm: 1\nn: 1\no: 1\np: 1\nq: 1\nb: 1\n",
		  "field", "18:1: expected the key \"b\" once, found it again (first on line 2)" },
		{ "a: *x\n", "syntax", "1:4: expected an anchor before its alias, found *x" },
		{ "a: &x [*x]\n", "syntax", "1:8: expected a finished value, found *x inside itself" },
		{ "? [a]\n: b\n", "syntax", "1:3: expected a string as key, found a list" },
		{ "a: !!int b\n", "syntax",
		  "1:4: expected a value that fits its tag \"tag:yaml.org,2002:int\", found \"b\"" },
		{ "a: !secret b\n", "unsupported", "1:4: expected a tag of YAML's core schema, found \"!secret\"" },
		{ "a: !!set {b}\n", "unsupported",
		  "1:4: expected a tag of YAML's core schema, found \"tag:yaml.org,2002:set\"" },
		{ "a: \"b\\0c\"\n", "syntax", "1:4: expected text, found a NUL character in it" },
		{ "<<: b\n", "syntax", "1:1: expected a mapping or a list of mappings to merge, found something else" },
		/* Kubernetes lets the last of them win, YAML the own field or the first. */
		{ "a: b\n<<: {c: d, a: e}\n", "field",
		  "2:1: expected << before what overrides it, found another value of \"a\" in it (first on line 1)" },
		{ "<<: {a: b}\n<<: [{a: c}, {a: b}]\n", "field",
		  "2:1: expected << before what overrides it, found another value of \"a\" in it (first on line 1)" },
		{ "<<: {a: b}\na: c\n<<: {a: d}\n", "field",
		  "3:1: expected << before what overrides it, found another value of \"a\" in it (first on line 2)" },
		{ "a: 1\n<<: {a: '1'}\n", "field",
		  "2:1: expected << before what overrides it, found another value of \"a\" in it (first on line 1)" },
		{ "a: {b: c}\n<<: {a: {b: d}}\n", "field",
		  "2:1: expected << before what overrides it, found another value of \"a\" in it (first on line 1)" },
		{ "a: 1\n<<: {a: 2}\n", "field",
		  "2:1: expected << before what overrides it, found another value of \"a\" in it (first on line 1)" },
		{ "a: yes\n<<: {a: no}\n", "field",
		  "2:1: expected << before what overrides it, found another value of \"a\" in it (first on line 1)" },
		{ "<<: {a: b}\na: c\na: c\n", "field", "3:1: expected the key \"a\" once, found it again (first on line 2)" },
		{ "- a\n", "field", "1:1: expected a Kubernetes object, found a list" },
		{ "text\n", "field", "1:1: expected a Kubernetes object, found \"text\"" },
		{ "kind: Pod\n", "field", "1:1: apiVersion: expected the version of a Kubernetes API, found nothing" },
		{ "apiVersion: 1\nkind: Pod\n", "field",
		  "1:13: apiVersion: expected the version of a Kubernetes API, found number 1" },
		{ "apiVersion: v1\n", "field", "1:1: kind: expected the kind of a Kubernetes object, found nothing" },
		{ "apiVersion: v1\nkind: pod\n", "field", "2:7: kind: expected Pod, found \"pod\"" },
		{ "apiVersion: extensions/v1beta1\nkind: NetworkPolicy\n", "field",
		  "1:13: apiVersion: expected networking.k8s.io/v1 for a NetworkPolicy, found \"extensions/v1beta1\"" },
		{ "apiVersion: v1\nkind: NetworkPolicy\n", "field",
		  "1:13: apiVersion: expected networking.k8s.io/v1 for a NetworkPolicy, found \"v1\"" },
		{ "apiVersion: discovery.k8s.io/v1beta1\nkind: EndpointSlice\n", "field",
		  "1:13: apiVersion: expected discovery.k8s.io/v1 for a EndpointSlice, found \"discovery.k8s.io/v1beta1\"" },
		{ "apiVersion: v1\nkind: List\nitems: {}\n", "field", "3:8: items: expected a list, found a mapping" },
		{ "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Node}\n", "field",
		  "4:3: metadata.name: expected a lower-case RFC 1123 subdomain of at most 253 characters, found nothing" },
		{ "apiVersion: v1\nkind: PodList\nitems:\n- metadata: {name: a}\n- null\n", "field",
		  "5:3: expected a Kubernetes object, found null" },
	};

	(void)state;
	check_cases("bad.yaml", "", cases, ARRAY_SIZE(cases));
}

static void json(void **state)
{
	static const struct error_case cases[] = {
		{ "{\"a\": 1,}", "syntax", "1:9: JSON: string or '}' expected near '}'" },
		{ "{\"a\":\n  tru}", "syntax", "2:5: JSON: invalid token near 'tru'" },
		{ "{\"a\": 1}\n{\"b\": \n x}", "field",
		  "1:1: apiVersion: expected the version of a Kubernetes API, found nothing" },
		{ "{\"a\": 1, \"a\": 2}", "syntax", "1:12: JSON: duplicate object key near '\"a\"'" },
		{ "", "syntax", "1:1: JSON: '[' or '{' expected near end of file" },
		{ "{\"apiVersion\": \"v1\",\t\"kind\": \"Pod\",\n \"metadata\": {\"name\": \"gr\xc3\xbc\xc3\x9f\", \"labels\": {}}}",
		  "field",
		  "2:23: metadata.name: expected a lower-case RFC 1123 subdomain of at most 253 characters, found \"gr\xc3\xbc\xc3\x9f\"" },
		{ "{\"apiVersion\": \"v1\", \"kind\": \"Pod\",\n\"metadata\": {\"name\": \"a\", \"finalizers\": [\"\xc3\xbc\xe2\x82\xac\"], \"uid\": 5}}",
		  "field", "2:56: metadata.uid: expected a string, found number 5" },
		{ "{\"x\": [{}, [], \"a\\\"b\", -1.5e3, null], \"apiVersion\": \"v1\", \"kind\": \"Pod\",\n\"metadata\": {\"name\": \"a\", \"uid\": 5}}",
		  "field", "2:34: metadata.uid: expected a string, found number 5" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct object_list objects = {};
		struct problem_list problems = {};
		char found[2048], expected[2048];

		assert_int_equal(decode_buffer("bad.json", cases[i].text, strlen(cases[i].text), &objects, &problems),
				 -EINVAL);
		problem_format(&problems.items[0], found, sizeof(found));
		snprintf(expected, sizeof(expected), "bad.json:%s", cases[i].problem);
		/* Only the first: places of what follows show that the cursor stays in step. */
		assert_string_equal(found, expected);
		assert_string_equal(problems.items[0].rule, cases[i].rule);
		problem_list_clear(&problems);
	}
}

#define SUBDOMAIN "a lower-case RFC 1123 subdomain of at most 253 characters"
#define LABEL "a lower-case RFC 1123 label of at most 63 characters"

static void metadata(void **state)
{
	static const struct error_case cases[] = {
		{ "metadata: x\n", "field", "3:11: metadata: expected a mapping, found string \"x\"" },
		{ "metadata: {name: Web}\n", "field", "3:18: metadata.name: expected " SUBDOMAIN ", found \"Web\"" },
		{ "metadata: {name: 5}\n", "field", "3:18: metadata.name: expected a string, found number 5" },
		{ "metadata: {name: a, namespace: b.c}\n", "field",
		  "3:32: metadata.namespace: expected " LABEL ", found \"b.c\"" },
		{ "metadata: {name: a, lables: {}}\n", "field",
		  "3:21: metadata.lables: expected name, generateName, namespace, selfLink, uid, resourceVersion, generation, "
		  "creationTimestamp, labels, deletionTimestamp, annotations, deletionGracePeriodSeconds, finalizers, "
		  "ownerReferences, managedFields or clusterName, found unknown field \"lables\"" },
		{ "metadata: {name: a, labels: {a: true}}\n", "field",
		  "3:33: metadata.labels.a: expected a string, found boolean true" },
		{ "metadata: {name: a, labels: {a: 1}}\n", "field",
		  "3:33: metadata.labels.a: expected a string, found number 1" },
		{ "metadata: {name: a, labels: {a: no}}\n", "field",
		  "3:33: metadata.labels.a: expected a string, found boolean no" },
		{ "metadata: {name: a, labels: {a: }}\n", "field",
		  "3:33: metadata.labels.a: expected a string, found null" },
		{ "metadata: {name: a, labels: {a: [b]}}\n", "field",
		  "3:33: metadata.labels.a: expected a string, found a list" },
		{ "metadata: {name: a, labels: {a: n}}\n", "field",
		  "3:33: metadata.labels.a: expected a string, found boolean n" },
		{ "metadata: {name: a, labels: {Y: b}}\n", "field",
		  "3:30: metadata.labels.Y: expected a string as key, found Y without quotes" },
		{ "metadata: {name: a, labels: {on: b}}\n", "field",
		  "3:30: metadata.labels.on: expected a string as key, found on without quotes" },
		{ "metadata: {name: a, labels: {a/b/c: d}}\n", "field",
		  "3:30: metadata.labels[\"a/b/c\"]: expected a label key, found \"a/b/c\"" },
		{ "metadata: {name: a, labels: {x.y/a: \"b\\tc\"}}\n", "field",
		  "3:37: metadata.labels[\"x.y/a\"]: expected a label value of at most 63 letters, digits, '-', '_' and '.', "
		  "found \"b\\x09c\"" },
		{ "metadata: {name: a}\nstatsu: {}\n", "field",
		  "4:1: statsu: expected apiVersion, kind, metadata, spec or status, found unknown field \"statsu\"" },
	};

	(void)state;
	check_cases("bad.yaml", "apiVersion: v1\nkind: Pod\n", cases, ARRAY_SIZE(cases));
}

#define PORT "0..65535 or an IANA service name"
#define CIDR "a CIDR such as 10.0.0.0/8 or 2001:db8::/32"

static void policies(void **state)
{
	static const struct error_case cases[] = {
		{ "spec: {}\nx: {}\n", "field", "5:1: x: expected apiVersion, kind, metadata, spec or status, found unknown field \"x\"" },
		{ "spec: 5\n", "field", "4:7: spec: expected a mapping, found number 5" },
		{ "spec:\n", "field", "1:1: spec: expected a mapping, found nothing" },
		{ "spec: {egres: []}\n", "field",
		  "4:8: spec.egres: expected podSelector, policyTypes, ingress or egress, found unknown field \"egres\"" },
		{ "spec: {egress: {}}\n", "field", "4:16: spec.egress: expected a list, found a mapping" },
		{ "spec: {egress: [ports]}\n", "field", "4:17: spec.egress[0]: expected a mapping, found string \"ports\"" },
		{ "spec:\n  egress:\n  - to:\n  -\n", "field", "7:4: spec.egress[1]: expected a mapping, found null" },
		{ "spec: {egress: [{from: []}]}\n", "field",
		  "4:18: spec.egress[0].from: expected ports or to, found unknown field \"from\"" },
		{ "spec: {egress: [{ports: [{prot: TCP}]}]}\n", "field",
		  "4:27: spec.egress[0].ports[0].prot: expected protocol, port or endPort, found unknown field \"prot\"" },
		{ "spec: {egress: [{ports: [{port: 70000}]}]}\n", "field",
		  "4:33: spec.egress[0].ports[0].port: expected " PORT ", found 70000" },
		{ "spec: {egress: [{ports: [{port: -1}]}]}\n", "field",
		  "4:33: spec.egress[0].ports[0].port: expected " PORT ", found -1" },
		{ "spec: {egress: [{ports: [{port: 80.5}]}]}\n", "field",
		  "4:33: spec.egress[0].ports[0].port: expected " PORT ", found number 80.5" },
		{ "spec: {egress: [{ports: [{port: 010}]}]}\n", "field",
		  "4:33: spec.egress[0].ports[0].port: expected " PORT ", found number 010" },
		{ "spec: {egress: [{ports: [{port: \"80\"}]}]}\n", "field",
		  "4:33: spec.egress[0].ports[0].port: expected " PORT ", found \"80\"" },
		{ "spec: {egress: [{ports: [{port: a--b}]}]}\n", "field",
		  "4:33: spec.egress[0].ports[0].port: expected " PORT ", found \"a--b\"" },
		{ "spec: {egress: [{ports: [{port: [1]}]}]}\n", "field",
		  "4:33: spec.egress[0].ports[0].port: expected " PORT ", found a list" },
		{ "spec: {egress: [{ports: [{port: true}]}]}\n", "field",
		  "4:33: spec.egress[0].ports[0].port: expected " PORT ", found boolean true" },
		{ "spec: {egress: [{ports: [{protocol: tcp}]}]}\n", "field",
		  "4:37: spec.egress[0].ports[0].protocol: expected TCP, UDP or SCTP, found \"tcp\"" },
		{ "spec: {egress: [{ports: [{protocol: 6}]}]}\n", "field",
		  "4:37: spec.egress[0].ports[0].protocol: expected a string, found number 6" },
		{ "spec: {egress: [{ports: [{endPort: 6}]}]}\n", "field",
		  "4:36: spec.egress[0].ports[0].endPort: expected a numeric port to begin the range, found none" },
		{ "spec: {egress: [{ports: [{port: dns, endPort: 6}]}]}\n", "field",
		  "4:47: spec.egress[0].ports[0].endPort: expected a numeric port to begin the range, found a named one" },
		{ "spec: {egress: [{ports: [{port: 7, endPort: 6}]}]}\n", "field",
		  "4:45: spec.egress[0].ports[0].endPort: expected at least the port, 7, found 6" },
		{ "spec: {egress: [{ports: [{port: 7, endPort: 65536}]}]}\n", "field",
		  "4:45: spec.egress[0].ports[0].endPort: expected 0..65535, found 65536" },
		{ "spec: {egress: [{to: [{}]}]}\n", "field",
		  "4:23: spec.egress[0].to[0]: expected podSelector, namespaceSelector or ipBlock, found none of them" },
		{ "spec: {egress: [{to: [{podSelector: null}]}]}\n", "field",
		  "4:23: spec.egress[0].to[0]: expected podSelector, namespaceSelector or ipBlock, found none of them" },
		{ "spec: {egress: [{to: [{ipBlok: {}, podSelector: {}}]}]}\n", "field",
		  "4:24: spec.egress[0].to[0].ipBlok: expected podSelector, namespaceSelector or ipBlock, found unknown field \"ipBlok\"" },
		{ "spec: {egress: [{to: [{ipBlock: {cidr: \"::/0\"}, podSelector: {}}]}]}\n", "field",
		  "4:33: spec.egress[0].to[0].ipBlock: expected ipBlock alone, found it together with podSelector" },
		{ "spec: {egress: [{to: [{ipBlock: {cidr: \"::/0\"}, namespaceSelector: {}}]}]}\n", "field",
		  "4:33: spec.egress[0].to[0].ipBlock: expected ipBlock alone, found it together with namespaceSelector" },
		{ "spec: {egress: [{to: [{ipBlock: {}}]}]}\n", "field",
		  "4:33: spec.egress[0].to[0].ipBlock.cidr: expected " CIDR ", found nothing" },
		{ "spec: {egress: [{to: [{ipBlock: {cidr: 10.0.0.0/33}}]}]}\n", "field",
		  "4:40: spec.egress[0].to[0].ipBlock.cidr: expected " CIDR ", found \"10.0.0.0/33\"" },
		{ "spec: {egress: [{to: [{ipBlock: {cidr: 10}}]}]}\n", "field",
		  "4:40: spec.egress[0].to[0].ipBlock.cidr: expected a string, found number 10" },
		{ "spec: {egress: [{to: [{ipBlock: {cidr: \"::ffff:10.0.0.0/104\"}}]}]}\n", "field",
		  "4:40: spec.egress[0].to[0].ipBlock.cidr: expected a CIDR of IPv4 or of IPv6, not of IPv4 mapped into IPv6, "
		  "found \"::ffff:10.0.0.0/104\"" },
		{ "spec: {egress: [{to: [{ipBlock: {cidr: 1.0.0.0/8, except: [1.1.1.1]}}]}]}\n", "field",
		  "4:60: spec.egress[0].to[0].ipBlock.except[0]: expected " CIDR ", found \"1.1.1.1\"" },
		{ "spec: {egress: [{to: [{ipBlock: {cidr: 1.0.0.0/8, except: 1.1.1.0/24}}]}]}\n", "field",
		  "4:59: spec.egress[0].to[0].ipBlock.except: expected a list, found string \"1.1.1.0/24\"" },
		{ "spec: {egress: [{to: [{ipBlock: {cidr: 1.0.0.0/8, excpt: []}}]}]}\n", "field",
		  "4:51: spec.egress[0].to[0].ipBlock.excpt: expected cidr or except, found unknown field \"excpt\"" },
		{ "spec: {policyTypes: [Egress, egress]}\n", "field",
		  "4:30: spec.policyTypes[1]: expected Ingress or Egress, found \"egress\"" },
		{ "spec: {policyTypes: Egress}\n", "field",
		  "4:21: spec.policyTypes: expected a list, found string \"Egress\"" },
		{ "spec: {podSelector: {app: web}}\n", "field",
		  "4:22: spec.podSelector.app: expected matchLabels or matchExpressions, found unknown field \"app\"" },
		{ "spec: {podSelector: {matchLabels: [a]}}\n", "field",
		  "4:35: spec.podSelector.matchLabels: expected a mapping, found a list" },
		{ "spec: {podSelector: {matchLabels: {a: 5}}}\n", "field",
		  "4:39: spec.podSelector.matchLabels.a: expected a string, found number 5" },
		{ "spec: {podSelector: {matchExpressions: [{key: a, operator: in, values: [b]}]}}\n", "field",
		  "4:60: spec.podSelector.matchExpressions[0].operator: expected In, NotIn, Exists or DoesNotExist, found \"in\"" },
		{ "spec: {podSelector: {matchExpressions: [{key: a}]}}\n", "field",
		  "4:41: spec.podSelector.matchExpressions[0].operator: expected In, NotIn, Exists or DoesNotExist, found nothing" },
		{ "spec: {podSelector: {matchExpressions: [{operator: Exists}]}}\n", "field",
		  "4:41: spec.podSelector.matchExpressions[0].key: expected a label key, found nothing" },
		{ "spec: {podSelector: {matchExpressions: [{key: -, operator: Exists}]}}\n", "field",
		  "4:47: spec.podSelector.matchExpressions[0].key: expected a label key, found \"-\"" },
		{ "spec: {podSelector: {matchExpressions: [{key: a, operator: In}]}}\n", "field",
		  "4:41: spec.podSelector.matchExpressions[0].values: expected at least one value for In and NotIn, found none" },
		{ "spec: {podSelector: {matchExpressions: [{key: a, operator: NotIn, values: []}]}}\n", "field",
		  "4:75: spec.podSelector.matchExpressions[0].values: expected at least one value for In and NotIn, found none" },
		{ "spec: {podSelector: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}}\n", "field",
		  "4:76: spec.podSelector.matchExpressions[0].values: expected no value for Exists and DoesNotExist, found 1" },
		{ "spec: {podSelector: {matchExpressions: [{key: a, operator: DoesNotExist, values: [b, c]}]}}\n", "field",
		  "4:82: spec.podSelector.matchExpressions[0].values: expected no value for Exists and DoesNotExist, found 2" },
		{ "spec: {podSelector: {matchExpressions: [{key: a, operator: In, values: [yes]}]}}\n", "field",
		  "4:73: spec.podSelector.matchExpressions[0].values[0]: expected a string, found boolean yes" },
		{ "spec: {ingress: [{to: []}]}\n", "field",
		  "4:19: spec.ingress[0].to: expected ports or from, found unknown field \"to\"" },
		{ "spec: {ingress: [{from: [{podSelector: {x: y}}]}]}\n", "field",
		  "4:41: spec.ingress[0].from[0].podSelector.x: expected matchLabels or matchExpressions, found unknown field \"x\"" },
		{ "spec: {egress: [{egressd.io/place: \"1:1\"}]}\n", "field",
		  "4:18: spec.egress[0][\"egressd.io/place\"]: expected ports or to, found unknown field \"egressd.io/place\"" },
	};

	(void)state;
	check_cases("bad.yaml", "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a}\n", cases,
		    ARRAY_SIZE(cases));
}

static void pods(void **state)
{
	static const struct error_case cases[] = {
		{ "spec: {hostNetwork: \"true\"}}\n", "field",
		  "3:21: spec.hostNetwork: expected a boolean, found string \"true\"" },
		{ "spec: {nodeName: 1}}\n", "field", "3:18: spec.nodeName: expected a string, found number 1" },
		{ "spec: {containers: {}}}\n", "field", "3:20: spec.containers: expected a list, found a mapping" },
		{ "spec: {containers: [{ports: [{name: http}]}]}}\n", "field",
		  "3:30: spec.containers[0].ports[0].containerPort: expected 1..65535, found nothing" },
		{ "spec: {containers: [{ports: [{name: http, containerPort: 0}]}]}}\n", "field",
		  "3:58: spec.containers[0].ports[0].containerPort: expected 1..65535, found 0" },
		{ "spec: {containers: [{ports: [{name: HTTP, containerPort: 1}]}]}}\n", "field",
		  "3:37: spec.containers[0].ports[0].name: expected an IANA service name, found \"HTTP\"" },
		{ "spec: {containers: [{ports: [{containerPort: 1, hostPort: -1}]}]}}\n", "field",
		  "3:59: spec.containers[0].ports[0].hostPort: expected 0..65535, found -1" },
		{ "spec: {containers: [{ports: [{containerPort: 1, hostPort: 1, hostIP: 1}]}]}}\n", "field",
		  "3:70: spec.containers[0].ports[0].hostIP: expected a string, found number 1" },
		{ "spec: {initContainers: [{restartPolicy: Always, ports: [{name: a, containerPort: 1, protocol: X}]}]}}\n",
		  "field", "3:95: spec.initContainers[0].ports[0].protocol: expected TCP, UDP or SCTP, found \"X\"" },
		{ "status: {phase: Dead}}\n", "field",
		  "3:17: status.phase: expected Pending, Running, Succeeded, Failed or Unknown, found \"Dead\"" },
		{ "status: {podIP: 10.0.0}}\n", "field", "3:17: status.podIP: expected an IP address, found \"10.0.0\"" },
		{ "status: {podIPs: [{ip: 10.0.0.1}, {ip: 10.0.0.2}]}}\n", "field",
		  "3:40: status.podIPs[1].ip: expected at most one IPv4 address, found another" },
		{ "status: {podIPs: [{ip: \"::1\"}, {ip: \"::2\"}]}}\n", "field",
		  "3:37: status.podIPs[1].ip: expected at most one IPv6 address, found another" },
		{ "status: {podIPs: [{}]}}\n", "field", "3:19: status.podIPs[0].ip: expected an IP address, found nothing" },
		{ "status: {podIPs: [10.0.0.1]}}\n", "field",
		  "3:19: status.podIPs[0]: expected a mapping, found string \"10.0.0.1\"" },
		{ "status: {podIPs: [{ip: \"::ffff:10.0.0.1\"}]}}\n", "field",
		  "3:24: status.podIPs[0].ip: expected an IP address, not one of IPv4 mapped into IPv6, found \"::ffff:10.0.0.1\"" },
	};
	static const struct error_case annotations[] = {
		{ "annotations: {egressd.io/interface: a/b}}}\n", "field",
		  "2:57: metadata.annotations[\"egressd.io/interface\"]: expected the name of a network interface, found \"a/b\"" },
		{ "annotations: {egressd.io/interface: 5}}}\n", "field",
		  "2:57: metadata.annotations[\"egressd.io/interface\"]: expected a string, found number 5" },
		{ "annotations: {egressd.io/netns: blue}}}\n", "field",
		  "2:53: metadata.annotations[\"egressd.io/netns\"]: expected the absolute path of a network namespace, found \"blue\"" },
		{ "annotations: {egressd.io/router: \"yes\"}}}\n", "field",
		  "2:54: metadata.annotations[\"egressd.io/router\"]: expected \"true\" or \"false\", found \"yes\"" },
		{ "annotations: {egressd.io/router: true}}}\n", "field",
		  "2:54: metadata.annotations[\"egressd.io/router\"]: expected a string, found boolean true" },
		{ "creationTimestamp: yesterday}}\n", "field",
		  "2:40: metadata.creationTimestamp: expected a time such as 2024-05-01T12:00:00Z, found \"yesterday\"" },
	};

	(void)state;
	check_cases("bad.yaml", "{apiVersion: v1, kind: Pod, metadata: {name: a},\n\n", cases, ARRAY_SIZE(cases));
	check_cases("bad.yaml", "{apiVersion: v1, kind: Pod,\nmetadata: {name: a, ", annotations,
		    ARRAY_SIZE(annotations));
}

static void services(void **state)
{
	static const struct error_case cases[] = {
		{ "spec: {type: Cluster}\n", "field",
		  "4:14: spec.type: expected ClusterIP, NodePort, LoadBalancer or ExternalName, found \"Cluster\"" },
		{ "spec: {internalTrafficPolicy: Node}\n", "field",
		  "4:31: spec.internalTrafficPolicy: expected Cluster or Local, found \"Node\"" },
		{ "spec: {externalTrafficPolicy: 1}\n", "field",
		  "4:31: spec.externalTrafficPolicy: expected a string, found number 1" },
		{ "spec: {clusterIP: none}\n", "field", "4:19: spec.clusterIP: expected an IP address, found \"none\"" },
		{ "spec: {clusterIPs: [1]}\n", "field", "4:21: spec.clusterIPs[0]: expected a string, found number 1" },
		{ "spec: {externalIPs: [x]}\n", "field", "4:22: spec.externalIPs[0]: expected an IP address, found \"x\"" },
		{ "spec: {ports: [{}]}\n", "field", "4:16: spec.ports[0].port: expected 1..65535, found nothing" },
		{ "spec: {ports: [{port: 0}]}\n", "field", "4:23: spec.ports[0].port: expected 1..65535, found 0" },
		{ "spec: {ports: [{port: 1, targetPort: \"80\"}]}\n", "field",
		  "4:38: spec.ports[0].targetPort: expected 1..65535 or an IANA service name, found \"80\"" },
		{ "spec: {ports: [{port: 1, targetPort: 65536}]}\n", "field",
		  "4:38: spec.ports[0].targetPort: expected 1..65535 or an IANA service name, found 65536" },
		{ "spec: {ports: [{port: 1, nodePort: -1}]}\n", "field",
		  "4:36: spec.ports[0].nodePort: expected 0..65535, found -1" },
		{ "spec: {ports: [{port: 1, name: A}]}\n", "field",
		  "4:32: spec.ports[0].name: expected " LABEL ", found \"A\"" },
		{ "spec: {selector: {a: 1}}\n", "field", "4:22: spec.selector.a: expected a string, found number 1" },
		{ "spec: {publishNotReadyAddresses: 1}\n", "field",
		  "4:34: spec.publishNotReadyAddresses: expected a boolean, found number 1" },
		{ "status: {loadBalancer: {ingress: [{ip: x}]}}\n", "field",
		  "4:40: status.loadBalancer.ingress[0].ip: expected an IP address, found \"x\"" },
		{ "status: {loadBalancer: {ingress: [{ip: 1.1.1.1, ipMode: X}]}}\n", "field",
		  "4:57: status.loadBalancer.ingress[0].ipMode: expected VIP or Proxy, found \"X\"" },
		{ "status: {loadBalancer: []}\n", "field", "4:24: status.loadBalancer: expected a mapping, found a list" },
	};

	(void)state;
	check_cases("bad.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: a}\n", cases, ARRAY_SIZE(cases));
}

static void slices_and_nodes(void **state)
{
	static const struct error_case slices[] = {
		{ "ports: []\n", "field", "1:1: addressType: expected IPv4, IPv6 or FQDN, found nothing" },
		{ "addressType: ipv4\n", "field", "4:14: addressType: expected IPv4, IPv6 or FQDN, found \"ipv4\"" },
		{ "addressType: IPv4\nendpoints: [{addresses: [\"::1\"]}]\n", "field",
		  "5:26: endpoints[0].addresses[0]: expected an IPv4 address, as addressType says, found \"::1\"" },
		{ "addressType: IPv6\nendpoints: [{addresses: [10.0.0.1]}]\n", "field",
		  "5:26: endpoints[0].addresses[0]: expected an IPv6 address, as addressType says, found \"10.0.0.1\"" },
		{ "addressType: IPv4\nendpoints: [{conditions: {ready: maybe}}]\n", "field",
		  "5:34: endpoints[0].conditions.ready: expected a boolean, found string \"maybe\"" },
		{ "addressType: IPv4\nendpoints: [{targetRef: pod}]\n", "field",
		  "5:25: endpoints[0].targetRef: expected a mapping, found string \"pod\"" },
		{ "addressType: IPv4\nports: [{port: http}]\n", "field",
		  "5:16: ports[0].port: expected 1..65535, found \"http\"" },
		{ "addressType: IPv4\nspec: {}\n", "field",
		  "5:1: spec: expected apiVersion, kind, metadata, addressType, endpoints or ports, found unknown field \"spec\"" },
	};
	static const struct error_case nodes[] = {
		{ "status: {addresses: [{type: InternalIP, address: n1}]}\n", "field",
		  "4:50: status.addresses[0].address: expected an IP address, found \"n1\"" },
		{ "status: {addresses: [{type: ExternalIP}]}\n", "field",
		  "4:22: status.addresses[0].address: expected an IP address, found nothing" },
	};

	(void)state;
	check_cases("bad.yaml", "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: a}\n", slices,
		    ARRAY_SIZE(slices));
	check_cases("bad.yaml", "apiVersion: v1\nkind: Node\nmetadata: {name: a}\n", nodes, ARRAY_SIZE(nodes));
}

/* ------------------------------------------------------------------ how errors add up */

static void all_errors_of_all_documents_are_told_and_nothing_is_kept(void **state)
{
	static const char text[] = "{apiVersion: v1, kind: Node, metadata: {name: good}}\n"
				   "---\n"
				   "{apiVersion: v1, kind: Node, metadata: {name: A, uid: 1}}\n"
				   "---\n"
				   "{apiVersion: v1, kind: Pod, metadata: {name: B}}\n";
	struct object_list objects = {};
	struct problem_list problems = {};

	(void)state;
	assert_int_equal(decode_buffer("a.yaml", text, strlen(text), &objects, &problems), -EINVAL);
	assert_int_equal(objects.count, 0);
	assert_int_equal(problems.errors, 3);
	assert_int_equal(problems.items[0].line, 3);
	assert_int_equal(problems.items[2].line, 5);
	assert_string_equal(problems.items[2].object, "Pod");
	problem_list_clear(&problems);
}

static void problems_name_the_object(void **state)
{
	static const char text[] = "{apiVersion: v1, kind: Pod, metadata: {name: b, namespace: a, uid: 5}}\n";
	struct object_list objects = {};
	struct problem_list problems = {};

	(void)state;
	assert_int_equal(decode_buffer("a.yaml", text, strlen(text), &objects, &problems), -EINVAL);
	assert_string_equal(problems.items[0].object, "Pod a/b");
	problem_list_clear(&problems);
}

static void the_number_of_errors_is_limited(void **state)
{
	_cleanup_free_ char *text = calloc(1, 100 + 300 * 3);
	struct object_list objects = {};
	struct problem_list problems = {};
	const struct problem *last;

	(void)state;
	strcpy(text, "{apiVersion: v1, kind: List, items: [");
	for (size_t i = 0; i < 300; i++)
		strcat(text, "1, ");
	strcat(text, "]}");
	assert_int_equal(decode_buffer("a.yaml", text, strlen(text), &objects, &problems), -EINVAL);
	assert_int_equal(problems.count, 101);
	last = &problems.items[100];
	assert_string_equal(last->rule, "limit");
	assert_string_equal(last->message, "expected fewer errors: after 100 the rest is not told");
	problem_list_clear(&problems);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(documents),
		cmocka_unit_test(json),
		cmocka_unit_test(metadata),
		cmocka_unit_test(policies),
		cmocka_unit_test(pods),
		cmocka_unit_test(services),
		cmocka_unit_test(slices_and_nodes),
		cmocka_unit_test(all_errors_of_all_documents_are_told_and_nothing_is_kept),
		cmocka_unit_test(problems_name_the_object),
		cmocka_unit_test(the_number_of_errors_is_limited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
