# SPDX-License-Identifier: Apache-2.0
"""Results beside each other. What slows a machine slows whatever is measured in the same round; so that is compared round by
round, and the median is of the quotients. Where a base was measured between the slices of a round ("base_rounds"), what is
compared are multiples of it: the machine may have been slower a millisecond later."""

import statistics


def rounds(result):
    return result.get("rounds") or [result["value"]]


def in_rounds(values, count):
    """What was measured several times in each round, as the mean of the round."""
    times = len(values) // count
    return [statistics.mean(values[i:i + times]) for i in range(0, len(values), times)]


def of_base(result):
    """A result in multiples of the base that was measured between its slices."""
    multiples_of_base = [value / base for value, base in zip(rounds(result), result["base_rounds"])]
    return {"value": statistics.median(multiples_of_base), "rounds": multiples_of_base}


def quotients(above, below):
    """Of two results, one for each round; of their values where they were not measured in the same rounds. One that has no
    base of its own beside one that has is the base."""
    if above.get("base_rounds"):
        above = of_base(above)
        if not below.get("base_rounds"):
            return rounds(above)
        below = of_base(below)
    above_rounds, below_rounds = rounds(above), rounds(below)
    fewer, more = sorted((len(above_rounds), len(below_rounds)))
    if more % fewer or fewer == 1:
        return [above["value"] / below["value"]]
    return [one / other for one, other in zip(in_rounds(above_rounds, fewer), in_rounds(below_rounds, fewer))]


def quotient(above, below):
    """None where one of them is missing."""
    return statistics.median(quotients(above, below)) if above and below else None


def multiples(above, below):
    """How many times a base each of two pairs of results is, measured in the same rounds, as a quotient round by round."""
    if not all((*above, *below)):
        return None
    one, other = quotients(*above), quotients(*below)
    if len(one) != len(other):
        return statistics.median(one) / statistics.median(other)
    return statistics.median(multiple / base for multiple, base in zip(one, other))


def compare_with(results, programs, fields):
    """Gives every result of a group that has one of `programs`, which comes first among those with the same fields, a ratio
    to it. Of lists of one size there are several, each with its own."""
    bases = {}
    for result in results:
        if not all(field in result for field in (*fields, "path")):
            continue
        name = tuple(result[field] for field in fields)
        if result["program"] in programs:
            bases[name] = result
        result.update(ratio=quotient(result, bases[name]), ratio_to=bases[name]["program"])
