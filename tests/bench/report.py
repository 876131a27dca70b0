# SPDX-License-Identifier: Apache-2.0
"""Tables, goals and plots out of the results of a benchmark."""

import os
import subprocess

import goals

LPM = "LPM per pod + connection table"
IDENTITY = "connection table + LPM + policy hash"
LPM_JIFFIES = "LPM per pod + connection table, jiffies"
# What is measured of large lists alone.
LARGE_LISTS = (
    ("egressd, 10 prefixes beside", "allow"),
    ("empty, random list", "allow"), ("egressd, random list", "allow"), ("egressd, random list", "first"),
    ("egressd, random list", "reply"), ("egressd, random list", "deny"))
PACKET_ROWS = (
    ("empty", "allow"), ("parse only", "allow"), ("egressd", "allow"),
    ("egressd", "first"), ("egressd", "reply"),
    ("egressd", "deny"), ("egressd, pod with flows", "deny"), ("egressd, from a port with flows", "deny"),
    ("egressd, no policy", "allow"),
    ("egressd, towards the pod", "allow"), ("egressd, towards the pod", "first"),
    ("egressd, towards the pod, no policy", "allow"), *LARGE_LISTS,
    (LPM, "allow"), (LPM, "first"), (LPM, "reply"), (LPM_JIFFIES, "allow"), (LPM_JIFFIES, "reply"), (IDENTITY, "allow"),
    (IDENTITY, "first"))
WITHOUT_VERDICT = ("empty", "parse only", "empty, random list")
PATHS = {"allow": "allowed", "first": "first of a connection", "reply": "answer", "deny": "denied"}
TRAFFIC_COLUMNS = (
    ("requests/s", 1, "TCP request/response"), ("µs a request, median", 1, "p50"),
    ("µs a request, 99th percentile", 1, "p99"), ("connections/s", 1000, "connect + 1 exchange"),
    ("datagrams/s", 1, "UDP 64 B, 1 destination"), ("datagrams/s", 1000, "UDP 64 B, 1,000 destinations"),
    ("Gbit/s", 1, "TCP throughput"))


class Results:
    def __init__(self, results):
        self.results = results

    def find(self, **fields):
        """The first result with these fields, or None."""
        for result in self.results:
            if all(result.get(name) == value for name, value in fields.items()):
                return result
        return None

    def value(self, **fields):
        result = self.find(**fields)
        return result["value"] if result else None

    def of_group(self, group):
        return [result for result in self.results if result["group"] == group]


def number(value, digits=3):
    if value is None:
        return ""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def table(head, rows):
    yield "| " + " | ".join(head) + " |"
    yield "|" + "|".join(["---", *["---:"] * (len(head) - 1)]) + "|"
    for row in rows:
        yield "| " + " | ".join(row) + " |"


def machine_line(machine):
    virtual = "" if machine["virtual"] in ("none", "unknown", "") else f" ({machine['virtual']} guest)"
    return (f"{machine['processors']} × {machine['processor']}{virtual}, {machine['memory']}, kernel "
            f"{machine['kernel']}, {machine['date']}, commit {machine['commit']}, load "
            f"{machine['load_before']:.1f} before and {machine['load_after']:.1f} after it; `sudo {machine['command']}`")


def sizes_and_destinations(results, family):
    found = {(r["prefixes"], r["destinations"]) for r in results.of_group("packet") if r["family"] == family}
    return sorted(found)


def packet_cell(results, family, program, path, prefixes, destinations):
    result = results.find(group="packet", program=program, path=path, prefixes=prefixes, destinations=destinations,
                          family=family)
    return f"{number(result['value'])} ({result['ratio']:.2f})" if result else ""


def packet_table(results, family, destinations):
    sizes = [size for size, many in sizes_and_destinations(results, family) if many == destinations]
    rows = []
    for program, path in PACKET_ROWS:
        cells = [packet_cell(results, family, program, path, size, destinations) for size in sizes]
        if any(cells):
            rows.append([program if program in WITHOUT_VERDICT else f"{program}: {PATHS[path]}", *cells])
    return table(["", *[f"{size:,}" for size in sizes]], rows)


def packet_section(results):
    yield "## Nanoseconds a packet, and how many times the empty program's"
    yield ""
    yield ("BPF_PROG_TEST_RUN, TCP, by number of prefixes (those of 100,000 and 1,000,000 clustered as published lists "
           "are, unless a row says random). Every program first writes the next destination into the packet. Connection "
           "tables are full, as they are in the middle of traffic. A figure is the median of rounds, and a ratio that of "
           "the rounds' ratios, to what the empty program took between the slices of the same round.")
    for family in (4, 6):
        for destinations in sorted({many for _, many in sizes_and_destinations(results, family)}):
            yield ""
            yield f"### IPv{family}, {destinations:,} destination{'s' if destinations > 1 else ''}"
            yield ""
            yield from packet_table(results, family, destinations)


def traffic_rows(results, base):
    names = {(r["program"], r["prefixes"], r["family"]) for r in results.of_group("traffic") if r["path"] == "allow"}
    order = ["no filter", "empty program", "egressd", "nftables set + ct", "iptables + ipset + ct",
             "iptables-legacy + ct", "iptables-nft + ct", "egressd, beside a flood that is only dropped",
             "egressd, beside a flood that it denies"]
    for program, rules, family in sorted(names, key=lambda name: (name[2], order.index(name[0]), name[1])):
        cells = []
        for unit, destinations, _ in TRAFFIC_COLUMNS:
            result = results.find(group="traffic", program=program, prefixes=rules, unit=unit, family=family,
                                  destinations=destinations, ratio_to=base)
            cells.append(f"{number(result['value'])} ({result['ratio']:.3f})" if result else "")
        yield [(program if program in order[:2] else f"{program}, {rules:,} rules") +
               (", IPv6" if family == 6 else ""), *cells]


def flood_line(results):
    floods = [results.find(group="traffic", program=f"egressd, beside a flood that {what}", path="deny")
              for what in ("it denies", "is only dropped")]
    if all(floods):
        yield ("The floods, of another pod and on the first processor: {:,.0f} packets a second that egressd denied, all of "
               "them counted, {:,.0f} that were only dropped.".format(*(flood["value"] for flood in floods)))
        yield ""


def traffic_section(results):
    head = ["", *[name for _, _, name in TRAFFIC_COLUMNS]]
    for base in ("no filter", "egressd"):
        yield f"## Real traffic (ratio to {base})"
        yield ""
        yield ("From a pod through the node to a host, in namespaces; one filter after the other, round after round; "
               "the empty program and egressd with 10,000 rules, and the two floods, by turns of 10 ms. Client and server on "
               "one processor. Rates are a second's, the medians of turns of 10 ms; times in microseconds, throughput in "
               "Gbit/s.")
        yield ""
        yield from table(head, traffic_rows(results, base))
        yield ""
    yield from flood_line(results)


def plain_section(results, group, title):
    yield f"## {title}"
    yield ""
    rows = []
    for r in results.of_group(group):
        sizes = f", {r['prefixes']:,} prefixes" if r.get("prefixes") else ""
        family = f", IPv{r['family']}" if r.get("family") else ""
        rows.append([r["program"] + sizes + family, number(r["value"]), r["unit"]])
    yield from table(["", "", ""], rows)


GOAL_WORDS = {True: "holds", False: "**missed**", None: "not measured"}


def goal_section(results):
    yield "## Goals"
    yield ""
    yield from table(["goal", "measured", "limit", ""],
                     [[goal.name, number(goal.measured), number(goal.limit), GOAL_WORDS[goal.holds]]
                      for goal in goals.judge(results)])


def markdown(bench):
    results = Results(bench["results"])
    lines = ["# Benchmark", "", machine_line(bench["machine"]), ""]
    for section in (goal_section(results), packet_section(results), [""], traffic_section(results),
                    plain_section(results, "update", "Updates and memory"), [""],
                    plain_section(results, "verifier", "Verifier and machine code")):
        lines += section
    return "\n".join(lines) + "\n"


def readme(bench):
    """The part of it that README.md shows."""
    results = Results(bench["results"])
    sizes = (10, 10000, 1000000)
    rows = []
    for program, path in (("empty", "allow"), ("egressd", "allow"), ("egressd", "first"), ("egressd", "reply"),
                          ("egressd", "deny"), ("egressd, pod with flows", "deny"),
                          ("egressd, from a port with flows", "deny"), (LPM, "allow"), (LPM, "first"), (LPM, "reply"),
                          (LPM_JIFFIES, "reply"), (IDENTITY, "allow"), (IDENTITY, "first")):
        cells = [packet_cell(results, 4, program, path, size, many) for size in sizes for many in (1, 1000)]
        rows.append([f"{program}: {PATHS[path]}" if program != "empty" else "empty program", *cells])
    yield f"Measured on {machine_line(bench['machine'])}. All figures of that run: `build/bench.md`."
    yield ""
    yield ("Nanoseconds a packet with BPF_PROG_TEST_RUN, and how many times the empty program's between the slices of the same "
           "round (the median of rounds, both), by number of prefixes and of destinations. The designs' connection tables are "
           "full, as in the middle of traffic:")
    yield ""
    yield from table(["", *[f"{size:,}, {many:,} dst" for size in sizes for many in (1, 1000)]], rows)
    yield ""
    yield ("Real traffic from a pod through the node, ratio to no filter (the empty program and egressd with 10,000 rules by "
           "turns of 10 ms, the others one after the other):")
    yield ""
    yield from table(["", *[name for _, _, name in TRAFFIC_COLUMNS]],
                     [[cell.split("(")[-1].rstrip(")") if index else cell for index, cell in enumerate(row)]
                      for row in traffic_rows(results, "no filter")])
    yield ""
    yield from flood_line(results)
    yield "Changes, from the rename of a file to the first packet that is judged by it:"
    yield ""
    yield from table(["", "milliseconds"],
                     [[r["program"].replace(", file to packet", "") +
                       (f", {r['prefixes']:,} prefixes" if r.get("prefixes") else ""), number(r["value"])]
                      for r in results.of_group("update") if "file to packet" in r["program"]])
    yield ""
    yield goals_line(goals.judge(results))


def goals_line(judged):
    missed = [f"{goal.name}: {number(goal.measured)} (limit {number(goal.limit)})" for goal in judged
              if goal.holds is False]
    measured = [goal for goal in judged if goal.holds is not None]
    return f"Of {len(measured)} goals {len(measured) - len(missed)} hold" + \
        (f"; missed: {'; '.join(missed)}." if missed else ".")


# ---------------------------------------------------------------- plots

def gnuplot(script):
    subprocess.run(["gnuplot"], input=script, text=True, check=True)


def plot_packets(results, family, directory):
    curves = (("empty", "allow"), ("egressd", "allow"), ("egressd", "reply"), (LPM, "allow"), (LPM, "first"),
              (LPM, "reply"), (IDENTITY, "first"))
    blocks, plots = [], []
    for program, path in curves:
        points = [(size, results.value(group="packet", program=program, path=path, prefixes=size, destinations=1000,
                                       family=family))
                  for size, many in sizes_and_destinations(results, family) if many == 1000]
        data = "\n".join(f"{size} {value}" for size, value in points if value)
        if not data:
            continue
        blocks.append(f"$data{len(blocks)} << end\n{data}\nend")
        plots.append(f"$data{len(plots)} with linespoints linewidth 2 title "
                     f"'{program}{'' if program == 'empty' else ', ' + PATHS[path]}'")
    if not plots:
        return
    gnuplot("\n".join(blocks) + f"""
set terminal svg size 900,520 background 'white' font 'sans,13'
set output '{directory}/bench-packet-ipv{family}.svg'
set title 'A packet over IPv{family}, 1,000 destinations'
set xlabel 'prefixes'
set ylabel 'nanoseconds'
set logscale x
set logscale y
set format x '10^{{%L}}'
set grid
set key outside below
plot {', '.join(plots)}
""")


def plot_traffic(results, directory):
    rows = [row for row in traffic_rows(results, "no filter") if row[0] != "no filter"]
    if not rows:
        return
    columns = [(index + 1, name) for index, (unit, _, name) in enumerate(TRAFFIC_COLUMNS) if "/s" in unit]
    data = "\n".join([" ".join(['""', *[f'"{row[0]}"' for row in rows]]),
                      *[" ".join([f'"{name}"', *[row[index].split("(")[-1].rstrip(")") for row in rows]])
                        for index, name in columns]])
    gnuplot(f"""$data << end
{data}
end
set terminal svg size 1100,560 background 'white' font 'sans,12'
set output '{directory}/bench-traffic.svg'
set title 'Real traffic, rate as a part of that without a filter'
set style data histogram
set style histogram cluster gap 1
set style fill solid 0.8 border -1
set yrange [0:1.25]
set grid ytics
set key outside below maxrows 4
plot for [column=2:{len(rows) + 1}] $data using column:xtic(1) title columnheader(column)
""")


def write(bench, directory):
    results = Results(bench["results"])
    for name, text in (("bench.md", markdown(bench)), ("bench-readme.md", "\n".join(readme(bench)) + "\n")):
        with open(os.path.join(directory, name), "w", encoding="utf-8") as file:
            file.write(text)
    for family in (4, 6):
        plot_packets(results, family, directory)
    plot_traffic(results, directory)
