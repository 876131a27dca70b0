# SPDX-License-Identifier: Apache-2.0
"""What build/bench.json looks like, and the budget of the verifier."""

FIELDS = {
    "group": str, "program": str, "prefixes": int, "destinations": int, "family": int, "path": str,
    "value": (int, float), "rounds": list, "base_rounds": list, "unit": str, "ratio": (int, float), "ratio_to": str,
}
CHOICES = {
    "group": {"packet", "traffic", "update", "verifier"},
    "family": {4, 6},
    "path": {"allow", "reply", "deny", "first"},
}
NEEDED = ("group", "program", "value", "unit")


class SchemaError(Exception):
    """Place, what was expected, what was found."""


def check_result(place, result):
    for field in NEEDED:
        if field not in result:
            raise SchemaError(f"{place}: expected the field {field}, found {result}")
    for field, value in result.items():
        if field not in FIELDS:
            raise SchemaError(f"{place}: expected none but {', '.join(FIELDS)}; found {field}")
        if not isinstance(value, FIELDS[field]) or isinstance(value, bool):
            raise SchemaError(f"{place}.{field}: expected {FIELDS[field]}, found {value!r}")
        if field in CHOICES and value not in CHOICES[field]:
            raise SchemaError(f"{place}.{field}: expected one of {sorted(CHOICES[field])}, found {value!r}")
    if not result["value"] > 0 and result["group"] != "update":
        raise SchemaError(f"{place}.value: expected more than nothing, found {result['value']}")
    for field in ("rounds", "base_rounds"):
        for value in result.get(field, ()):
            if not isinstance(value, (int, float)) or isinstance(value, bool):
                raise SchemaError(f"{place}.{field}: expected numbers, found {value!r}")
    if "base_rounds" in result and len(result["base_rounds"]) != len(result.get("rounds", ())):
        raise SchemaError(f"{place}.base_rounds: expected one for each of rounds, found {result}")
    if ("ratio" in result) != ("ratio_to" in result):
        raise SchemaError(f"{place}: expected ratio and ratio_to together, found {result}")
    if result["group"] == "packet" and "ratio" not in result:
        raise SchemaError(f"{place}: expected a ratio to the empty program, found {result}")


def check(bench):
    if set(bench) != {"machine", "results"}:
        raise SchemaError(f"bench.json: expected machine and results, found {', '.join(bench)}")
    if not isinstance(bench["machine"], dict) or not bench["machine"].get("kernel"):
        raise SchemaError(f"machine: expected an object that names the kernel, found {bench['machine']!r}")
    if not isinstance(bench["results"], list) or not bench["results"]:
        raise SchemaError("results: expected some")
    for index, result in enumerate(bench["results"]):
        check_result(f"results[{index}]", result)


def read_budget(path):
    """Lines "PROGRAM | UNIT | LIMIT"; the limit by program and unit."""
    budget = {}
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            line = line.split("#")[0].strip()
            if not line:
                continue
            parts = [part.strip() for part in line.split("|")]
            if len(parts) != 3 or not parts[2].isdigit():
                raise SchemaError(f"{path}:{number}: expected PROGRAM | UNIT | LIMIT, found {line}")
            # The stack is judged by tests/bpf/verifier.c, together with the instructions, in each kernel.
            if parts[1] != "bytes of stack":
                budget[parts[0], parts[1]] = int(parts[2])
    return budget


def over_budget(results, budget):
    """Sentences about what is beyond the budget, or missing."""
    found = {(r["program"], r["unit"]): r["value"] for r in results if r["group"] == "verifier"}
    for (program, unit), limit in budget.items():
        if (program, unit) not in found:
            yield f"{program}: no figure for {unit}"
        elif found[program, unit] > limit:
            yield f"{program}: {found[program, unit]:.0f} {unit}, of at most {limit}"
