# SPDX-License-Identifier: Apache-2.0
"""Results beside each other. What slows a machine lasts longer than a round and slows whatever is measured in it; so what is
measured in the same rounds is compared round by round, and the median is of the quotients."""

import statistics


def rounds(result):
    return result.get("rounds") or [result["value"]]


def quotients(above, below):
    """Of two results, one for each round; of their values where they were not measured in the same rounds."""
    pairs = list(zip(rounds(above), rounds(below)))
    if len(rounds(above)) != len(rounds(below)):
        pairs = [(above["value"], below["value"])]
    return [one / other for one, other in pairs]


def quotient(above, below):
    """None where one of them is missing."""
    return statistics.median(quotients(above, below)) if above and below else None


def quotient_beyond(above, below, base):
    """Of what both are beyond a third."""
    if not above or not below or not base:
        return None
    return statistics.median((one - least) / (other - least)
                             for one, other, least in zip(rounds(above), rounds(below), rounds(base)))


def quotient_of_multiples(above, above_base, below, below_base):
    """Of how many times their own base two of them are."""
    if not above or not above_base or not below or not below_base:
        return None
    one, other = quotients(above, above_base), quotients(below, below_base)
    if len(one) != len(other):
        one, other = [statistics.median(one)], [statistics.median(other)]
    return statistics.median(multiple / base for multiple, base in zip(one, other))


def compare_with(results, program, fields):
    """Gives every result of a group that has one of `program`, which comes first among those with the same fields, a ratio
    to it. Of lists of one size there are several, each with its own."""
    bases = {}
    for result in results:
        if not all(field in result for field in (*fields, "path")):
            continue
        name = tuple(result[field] for field in fields)
        if result["program"] == program:
            bases[name] = result
        result.update(ratio=quotient(result, bases[name]), ratio_to=program)
