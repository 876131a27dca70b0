#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The Grafana dashboard asks for what an agent counts.
# shellcheck disable=SC2119 # functions with optional arguments
# shellcheck source=tests/lib/harness.sh
. "$(dirname "$0")/../lib/harness.sh"
if [ -n "${SANDBOX:-}" ]; then
	# shellcheck source=tests/lib/agent.sh
	. "$TESTS/lib/agent.sh"
fi
DASHBOARD=$ROOT/deploy/helm/egressd/dashboards/egressd.json

# The names of what an agent counts.
counted()
{
	http_get /metrics | sed -n 's/^# TYPE \([a-z_]*\) .*/\1/p' | sort -u
}

# What the dashboard's queries name.
asked()
{
	/usr/bin/python3 - "$DASHBOARD" <<-'EOF'
		import json, re, sys

		with open(sys.argv[1], encoding="utf-8") as file:
		    dashboard = json.load(file)
		texts = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
		texts += [variable["query"]["query"] for variable in dashboard["templating"]["list"]
		          if isinstance(variable["query"], dict)]
		assert texts, "no queries"
		print("\n".join(sorted({name for text in texts for name in re.findall(r"egressd_\w+", text)})))
	EOF
}

test_every_metric_of_the_dashboard_exists()
{
	agent_up
	[ "$(counted | wc --lines)" -gt 10 ] || fail "the agent counts nothing"
	assert_equal "metrics that no agent has" "" "$(comm -13 <(counted) <(asked) | xargs)"
	agent_stop
}

test_dashboard_is_whole()
{
	/usr/bin/python3 - "$DASHBOARD" <<-'EOF'
		import json, sys

		with open(sys.argv[1], encoding="utf-8") as file:
		    panels = json.load(file)["panels"]
		assert len({panel["id"] for panel in panels}) == len(panels), "an id is there twice"
		taken = {}
		for panel in panels:
		    place = panel["gridPos"]
		    assert place["x"] + place["w"] <= 24, panel["title"]
		    for x in range(place["x"], place["x"] + place["w"]):
		        for y in range(place["y"], place["y"] + place["h"]):
		            assert (x, y) not in taken, f"{panel['title']} lies on {taken[x, y]}"
		            taken[x, y] = panel["title"]
		    assert panel["type"] == "row" or panel["targets"] and panel["description"], panel["title"]
	EOF
}

run_tests "$@"
