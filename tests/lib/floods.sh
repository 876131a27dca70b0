# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# A pod that is flooded, or floods, beside another one. After cluster.sh.

# flood NAME KIND...: from the namespace, see flood.py
flood()
{
	on "$1" "$TESTS/lib/flood.py" "${@:2}"
}

both_isolated()
{
	cluster_up
	deny_everything
	policy_manifest peer peer <<<"[]" | manifest peer.yaml
}

# flows_of POD: entries of the flow table
flows_of()
{
	egressctl dump flows -o json | python3 -c '
import json, sys
print(sum(flow["pod"] == sys.argv[1] for flow in json.load(sys.stdin)))' "$1"
}
