#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Pods' capabilities that this machine itself does not have, so that no container can have them.

  without.py --lacking              prints those of CAN_BE_SPARED that are lacking
  without.py BASE NAME <OBJECTS     a kustomization of BASE whose DaemonSets do not ask for that capability; OBJECTS is what
                                    BASE renders to
"""

import sys

import yaml

# A container that lacks another one would not be what is to be tested. This one is for kernels before 5.11.
CAN_BE_SPARED = {"SYS_RESOURCE": 24}


def bounding_set():
    with open("/proc/self/status", encoding="ascii") as file:
        for line in file:
            if line.startswith("CapBnd:"):
                return int(line.split()[1], 16)
    return 0


def patch(item, lacking):
    operations = []
    for kind in ("initContainers", "containers"):
        for index, container in enumerate(item["spec"]["template"]["spec"].get(kind, [])):
            added = container.get("securityContext", {}).get("capabilities", {}).get("add", [])
            if lacking in added:
                place = f"/spec/template/spec/{kind}/{index}/securityContext/capabilities/add/{added.index(lacking)}"
                operations.append({"op": "remove", "path": place})
    return {"target": {"kind": "DaemonSet", "name": item["metadata"]["name"]}, "patch": yaml.safe_dump(operations)}


def main():
    if sys.argv[1:] == ["--lacking"]:
        present = bounding_set()
        print(" ".join(name for name, bit in CAN_BE_SPARED.items() if not present >> bit & 1))
        return
    base, lacking = sys.argv[1:]
    sets = [item for item in yaml.safe_load_all(sys.stdin) if item["kind"] == "DaemonSet"]
    patches = [patch(item, lacking) for item in sets]
    yaml.safe_dump({"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": [base],
                    "patches": patches}, sys.stdout)


if __name__ == "__main__":
    main()
