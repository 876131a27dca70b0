#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Checks of rendered manifests, for manifests.sh.

  manifests.py same FILE FILE       both hold the same objects
  manifests.py names KIND FILE      prints the names of the objects of that kind
  manifests.py agent FILE           the DaemonSet has what a node's agent needs, and no more rights than that
  manifests.py uninstall FILE       so has the one that takes egressd away
  manifests.py role FILE            the agent's rights at the API server are for reading, and bound to it alone
  manifests.py options FILE         prints the agent's options, one a line, variables replaced by a word
  manifests.py capabilities FILE    prints the agent's capabilities, one a line
  manifests.py values HELM CHART    every value of the chart, changed alone, changes what is rendered
"""

import json
import subprocess
import sys

import yaml

# What a container may have beyond nothing. Anything else is a reason to think again.
CAPABILITIES = {"BPF", "NET_ADMIN", "PERFMON", "SYS_ADMIN", "SYS_PTRACE", "SYS_RESOURCE"}
# Before a text that must not be in what is rendered.
NOT = "not: "
# Another value for each leaf of values.yaml: what is given to helm, and a text that must then be in what is rendered.
OTHER_VALUES = {
    "image.repository": ("registry.example.org/egressd", "image: \"registry.example.org/egressd:"),
    "image.tag": ("edge", ":edge\""),
    "image.digest": ("sha256:" + "a" * 64, "egressd@sha256:" + "a" * 64),
    "image.pullPolicy": ("Always", "imagePullPolicy: Always"),
    "imagePullSecrets": ([{"name": "registry"}], "imagePullSecrets:\n  - name: registry"),
    "options.attach": ("clsact", "--attach=clsact"),
    "options.nodeAddresses": ("192.0.2.1,2001:db8::1", "--node-addresses=192.0.2.1,2001:db8::1"),
    "options.pending": ("deny", "--pending=deny"),
    "options.antiSpoof": ("all", "--anti-spoof=all"),
    "options.podInterfaces": (["veth*", "cali*"], "\"--pod-interfaces=veth*,cali*\""),
    "options.logLevel": ("debug", "--log-level=debug"),
    "options.logFormat": ("text", "--log-format=text"),
    "options.extra": (["--pin=/sys/fs/bpf/other"], "- --pin=/sys/fs/bpf/other"),
    "cni.install": (False, NOT + "cni"),
    "cni.configurationDirectory": ("/var/lib/cni/conf", "path: /var/lib/cni/conf\n"),
    "cni.binaryDirectory": ("/var/lib/cni/bin", "path: /var/lib/cni/bin\n"),
    "cni.onAgentDown": ("fail", "--on-agent-down=fail"),
    "metrics.address": ("::", "--listen=[::]:9711"),
    "metrics.port": (9999, "hostPort: 9999"),
    "apiServer.host": ("api.example.org", "value: \"api.example.org\""),
    "apiServer.port": (6443, "value: \"6443\""),
    "podMonitor.enabled": (True, "kind: PodMonitor"),
    "podMonitor.interval": ("5s", "interval: 5s"),
    "podMonitor.labels": ({"release": "prometheus"}, "release: prometheus"),
    "dashboard.enabled": (True, "kind: ConfigMap"),
    "dashboard.labels": ({"grafana": "here"}, "grafana: here"),
    "uninstall": (True, "name: egressd-uninstall"),
    "resources": ({"limits": {"memory": "1Gi"}}, "memory: 1Gi"),
    "priorityClassName": ("other-class", "priorityClassName: other-class"),
    "nodeSelector": ({"pool": "west"}, "pool: west"),
    "tolerations": ([{"key": "only", "operator": "Exists"}], "key: only"),
    "affinity": ({"nodeAffinity": {}}, "nodeAffinity: {}"),
    "updateStrategy": ({"type": "OnDelete"}, "type: OnDelete"),
    "podAnnotations": ({"note": "here"}, "note: here"),
    "podLabels": ({"team": "network"}, "team: network"),
}
# Values that only show where another one is set.
NEEDS = {
    "podMonitor.interval": {"podMonitor": {"enabled": True}},
    "podMonitor.labels": {"podMonitor": {"enabled": True}},
    "dashboard.labels": {"dashboard": {"enabled": True}},
}


def load(path):
    with open(path, encoding="utf-8") as file:
        return [document for document in yaml.safe_load_all(file) if document]


def key(document):
    metadata = document["metadata"]
    return document["apiVersion"], document["kind"], metadata.get("namespace", ""), metadata["name"]


def by_key(path):
    documents = load(path)
    keyed = {key(document): document for document in documents}
    assert len(keyed) == len(documents), f"{path} holds an object twice"
    assert keyed, f"{path} holds nothing"
    return keyed


def same(first, second):
    one, other = by_key(first), by_key(second)
    assert one.keys() == other.keys(), f"only in one: {sorted(one.keys() ^ other.keys())}"
    for name in one:
        assert one[name] == other[name], f"{name}:\n{json.dumps(one[name])}\n{json.dumps(other[name])}"


def names(kind, path):
    for document in load(path):
        if document["kind"] == kind:
            print(document["metadata"]["name"])


def only(path, kind):
    [found] = [document for document in load(path) if document["kind"] == kind]
    return found


def check_rights(container):
    context = container["securityContext"]
    assert "privileged" not in context, "privileged"
    assert context["readOnlyRootFilesystem"] is True
    assert context["allowPrivilegeEscalation"] is False
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert context["capabilities"]["drop"] == ["ALL"]
    added = context["capabilities"]["add"]
    assert set(added) <= CAPABILITIES and len(set(added)) == len(added), added


def check_pod(daemonset):
    pod = daemonset["spec"]["template"]["spec"]
    selected = daemonset["spec"]["selector"]["matchLabels"].items()
    assert selected <= daemonset["spec"]["template"]["metadata"]["labels"].items(), "selects other pods than its own"
    assert daemonset["metadata"]["namespace"] == "kube-system"
    assert pod["tolerations"] == [{"operator": "Exists"}], "does not run on every node"
    assert pod["priorityClassName"] == "system-node-critical"
    assert pod["nodeSelector"] == {"kubernetes.io/os": "linux"}
    assert pod["hostNetwork"] is True
    volumes = {volume["name"]: volume["hostPath"] for volume in pod["volumes"]}
    assert volumes["bpf"] == {"path": "/sys/fs/bpf", "type": "Directory"}
    assert volumes["run"] == {"path": "/run/egressd", "type": "DirectoryOrCreate"}
    assert volumes["cni-configuration"] == {"path": "/etc/cni/net.d", "type": "DirectoryOrCreate"}
    assert volumes["cni-binaries"] == {"path": "/opt/cni/bin", "type": "DirectoryOrCreate"}
    for container in pod["containers"] + pod.get("initContainers", []):
        check_rights(container)
        mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
        assert mounts.keys() == volumes.keys(), "a volume without a mount, or the other way round"
        # In its own place, or paths that one process tells another would differ.
        for name, mount in mounts.items():
            assert mount["mountPath"] == volumes[name]["path"], name
            # Bidirectional needs a privileged container.
            assert mount.get("mountPropagation", "None") in ("None", "HostToContainer"), mount
        # The agent puts its plugin there, and uninstall takes it out again.
        for name in ("cni-configuration", "cni-binaries"):
            assert not mounts[name].get("readOnly"), name
        # A bpffs that is mounted later must show up.
        assert mounts["bpf"]["mountPropagation"] == "HostToContainer"
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}
        assert container["resources"]["limits"].keys() == {"memory"}
    return pod


def agent(path):
    daemonset = only(path, "DaemonSet")
    pod = check_pod(daemonset)
    strategy = daemonset["spec"]["updateStrategy"]
    assert strategy == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}}, strategy
    assert pod["serviceAccountName"] == only(path, "ServiceAccount")["metadata"]["name"]
    assert pod["dnsPolicy"] == "Default"
    [container] = pod["containers"]
    volumes = {volume["name"]: volume["hostPath"]["path"] for volume in pod["volumes"]}
    assert f"--install-cni={volumes['cni-configuration']}" in container["args"]
    assert f"--cni-bin={volumes['cni-binaries']}" in container["args"]
    [port] = container["ports"]
    assert port["hostPort"] == port["containerPort"], "in the node's network they are one"
    for probe, page in (("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
        assert container[probe]["httpGet"] == {"path": page, "port": port["name"]}, probe
    service = only(path, "Service")
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["selector"].items() <= daemonset["spec"]["template"]["metadata"]["labels"].items()
    assert service["spec"]["ports"] == [{"name": "metrics", "port": port["containerPort"], "targetPort": port["name"]}]


def uninstall(path):
    pod = check_pod(only(path, "DaemonSet"))
    assert pod["automountServiceAccountToken"] is False
    assert [item["command"] for item in pod["initContainers"]] == [["egressctl", "uninstall"]]
    assert [item["command"] for item in pod["containers"]] == [["egressctl", "uninstall", "--stay"]]
    for container in pod["initContainers"] + pod["containers"]:
        assert container["args"] == ["--cni-config=/etc/cni/net.d", "--cni-bin=/opt/cni/bin"], container["args"]


def role(path):
    for rule in only(path, "ClusterRole")["rules"]:
        assert "*" not in rule["apiGroups"] + rule["resources"] + rule["verbs"], rule
        if rule["resources"] == ["events"]:
            assert set(rule["verbs"]) <= {"create", "patch"}, rule
        else:
            assert rule["verbs"] == ["get", "list", "watch"], rule
        assert "secrets" not in rule["resources"] and "configmaps" not in rule["resources"], rule
    binding = only(path, "ClusterRoleBinding")
    account = only(path, "ServiceAccount")["metadata"]
    assert binding["roleRef"]["name"] == only(path, "ClusterRole")["metadata"]["name"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": account["name"],
                                    "namespace": account["namespace"]}], binding


def options(path):
    [container] = only(path, "DaemonSet")["spec"]["template"]["spec"]["containers"]
    for argument in container["args"]:
        print(argument.replace("$(NODE_NAME)", "node-1"))


def capabilities(path):
    [container] = only(path, "DaemonSet")["spec"]["template"]["spec"]["containers"]
    print("\n".join(container["securityContext"]["capabilities"]["add"]))


def leaves(values, prefix=""):
    """Paths of values.yaml; a map or list that a user fills is one value."""
    for name, value in values.items():
        path = f"{prefix}{name}"
        if isinstance(value, dict) and value and path not in OTHER_VALUES:
            yield from leaves(value, path + ".")
        else:
            yield path


def nested(path, value):
    for part in reversed(path.split(".")):
        value = {part: value}
    return value


def merge(base, change):
    merged = dict(base)
    for name, value in change.items():
        merged[name] = merge(merged[name], value) if isinstance(value, dict) and name in merged else value
    return merged


def render(helm, chart, given):
    command = [helm, "template", "egressd", chart, "--namespace", "kube-system", "--kube-version", "1.30.0",
               "--values", "-"]
    return subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, check=True).stdout


def shows(text, expected):
    return expected[len(NOT):] not in text if expected.startswith(NOT) else expected in text


def values(helm, chart):
    with open(f"{chart}/values.yaml", encoding="utf-8") as file:
        paths = list(leaves(yaml.safe_load(file)))
    with open(f"{chart}/values.schema.json", encoding="utf-8") as file:
        schema = json.load(file)
    assert sorted(paths) == sorted(OTHER_VALUES), f"not tried: {sorted(set(paths) ^ set(OTHER_VALUES))}"
    for path, (value, expected) in OTHER_VALUES.items():
        known = schema
        for part in path.split("."):
            known = known["properties"][part]
        base = NEEDS.get(path, {})
        assert not shows(render(helm, chart, base), expected), f"{path}: shows without being set: {expected}"
        text = render(helm, chart, merge(base, nested(path, value)))
        assert shows(text, expected), f"{path}={value} does not show: {expected!r}"
        for document in yaml.safe_load_all(text):
            assert document is None or key(document), document


def main():
    check, *arguments = sys.argv[1:]
    {"same": same, "names": names, "agent": agent, "uninstall": uninstall, "role": role, "options": options,
     "capabilities": capabilities, "values": values}[check](*arguments)


if __name__ == "__main__":
    main()
