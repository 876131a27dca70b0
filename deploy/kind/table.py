#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The results of the benchmark on a cluster as a table.

  table.py <RESULTS    lines {"case": NAME, "values": {NAME: NUMBER, ...}}, any number of rounds

For each value the median over the rounds of every case, in the order in which the cases first came, and how it compares
with the first case.
"""

import json
import statistics
import sys

UNITS = {"request rate": "requests/s", "p50": "p50 (µs)", "p99": "p99 (µs)", "connection rate": "connections/s",
         "datagram rate, 1 destination": "datagrams/s", "throughput": "Gbit/s"}
# How much was sent is no result, and there is one destination only.
LEFT_OUT = {"datagrams", "datagram rate, 1,000 destinations"}


def collect(lines):
    """{case: {value: [figures]}}"""
    cases = {}
    for line in lines:
        if line.strip():
            result = json.loads(line)
            values = cases.setdefault(result["case"], {})
            for name, figure in result["values"].items():
                if name not in LEFT_OUT:
                    values.setdefault(name, []).append(float(figure))
    return cases


def number(figure):
    if figure >= 1000:
        return f"{figure:,.0f}"
    return f"{figure:.3g}"


def table(cases):
    first = next(iter(cases))
    rows = [["", *cases]]
    for name, figures in cases[first].items():
        base = statistics.median(figures)
        row = [UNITS.get(name, name)]
        for case, values in cases.items():
            if name not in values:
                sys.exit(f"table: no {name} for {case}")
            median = statistics.median(values[name])
            row.append(number(median) + (f" ({100 * (median / base - 1):+.1f} %)" if case != first and base else ""))
        rows.append(row)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join([row[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]).rstrip()
            for row in rows]


def main():
    cases = collect(sys.stdin)
    if not cases:
        sys.exit("table: no results")
    rounds = {len(figures) for values in cases.values() for figures in values.values()}
    print("\n".join("  " + line for line in table(cases)))
    print(f"  medians of {'/'.join(map(str, sorted(rounds)))} rounds")


if __name__ == "__main__":
    main()
