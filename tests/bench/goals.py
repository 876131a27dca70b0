# SPDX-License-Identifier: Apache-2.0
"""What the fast path is meant to cost, and what it cost. A goal is judged only where its figures were measured."""

import dataclasses

import pairs

LPM = "LPM per pod + connection table"
SIZES = (10, 1000, 10000, 100000, 1000000)
ALLOWED = {10: (1.8, 2.0, 2.1), 10000: (1.8, 2.8, 3.4), 100000: (1.8, 3.1, 4.2), 1000000: (1.8, 3.4, 11.0)}
DESTINATIONS = (1, 1000, 100000)


@dataclasses.dataclass
class Goal:
    name: str
    measured: float | None
    limit: float
    at_least: bool = False

    @property
    def holds(self):
        """None: it was not measured."""
        if self.measured is None:
            return None
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit


def times(results, program, path="allow", family=4, prefixes=10000, destinations=1000):
    return results.find(group="packet", program=program, path=path, family=family, prefixes=prefixes,
                        destinations=destinations)


def with_empty(results, program="egressd", path="allow", **here):
    """The program's and the empty one's."""
    return times(results, program, path, **here), times(results, "empty", **here)


# As good as the same: a tenth is what two measurements of one thing differ by.
SAME = 1.1


def packet_goals(results):
    for prefixes, limits in ALLOWED.items():
        for destinations, limit in zip(DESTINATIONS, limits):
            here = {"prefixes": prefixes, "destinations": destinations}
            yield (f"allowed packet, {prefixes:,} prefixes, {destinations:,} destinations: times the empty program",
                   pairs.quotient(*with_empty(results, **here)), limit)
    for prefixes in ALLOWED:
        for destinations in DESTINATIONS:
            here = {"prefixes": prefixes, "destinations": destinations}
            where = f"{prefixes:,} prefixes, {destinations:,} destinations"
            yield (f"first packet of a connection, {where}: part of the LPM + connection table design's",
                   pairs.quotient(times(results, "egressd", "first", **here), times(results, LPM, "first", **here)), 0.06)
            yield (f"first packet of a connection, {where}: times every other packet",
                   pairs.quotient(times(results, "egressd", "first", **here), times(results, "egressd", **here)), SAME)
            yield (f"answer, {where}: times the hit of the connection-table-first design in wide use",
                   pairs.quotient(times(results, "egressd", "reply", **here), times(results, LPM, "reply", **here)), 1.0)
            yield (f"denied, {where}: times an allowed packet",
                   pairs.quotient(times(results, "egressd", "deny", **here), times(results, "egressd", **here)), 1.5)
    # From the ports that a server serves, its denied packets may be answers and are looked up: that row has no goal.
    for prefixes in (10, 10000):
        here = {"prefixes": prefixes, "destinations": 1000}
        yield (f"denied, {prefixes:,} prefixes, 1,000 destinations, a pod with flows: times an allowed packet",
               pairs.quotient(times(results, "egressd, pod with flows", "deny", **here), times(results, "egressd", **here)),
               1.5)
    for program, path in (("egressd", "allow"), ("egressd", "first"), ("egressd", "reply"), ("egressd", "deny"),
                          ("egressd, towards the pod", "allow")):
        for prefixes in SIZES:
            for destinations in DESTINATIONS:
                here = {"prefixes": prefixes, "destinations": destinations}
                yield (f"IPv6, {program}, {path}, {prefixes:,} prefixes, {destinations:,} destinations: multiple of the "
                       "empty program, times IPv4's",
                       pairs.multiples(*(with_empty(results, program, path, family=family, **here) for family in (6, 4))),
                       1.6)
    for program, limit in (("egressd, towards the pod", 1.7), ("egressd, towards the pod, no policy", 1.5)):
        yield (f"{program}, 10,000 prefixes, 1,000 destinations: times the empty program",
               pairs.quotient(times(results, program), times(results, "empty")), limit)
    # Lists are measured minutes apart, and the machine changes meanwhile: the short one once more beside the long one.
    for destinations, limit in ((1, 1.15), (1000, 1.6)):
        here = {"prefixes": 1000000, "destinations": destinations}
        yield (f"from 10 to 1,000,000 prefixes, {destinations:,} destinations: growth",
               pairs.quotient(times(results, "egressd", **here), times(results, "egressd, 10 prefixes beside", **here)), limit)


# The flood takes a processor that the other pod does not use; what is left is noise of the machine.
FLOOD = 0.95


def traffic_goals(results):
    for unit, destinations in (("requests/s", 1), ("connections/s", 1000), ("datagrams/s", 1), ("datagrams/s", 1000),
                               ("Gbit/s", 1)):
        def rate(program, unit=unit, destinations=destinations):
            return results.find(group="traffic", program=program, unit=unit, destinations=destinations,
                                prefixes=10000, family=4)
        what = f"{unit}, {destinations:,} destinations"
        # Throughput differs by a tenth from one quarter of a second to the next, whatever is attached.
        if unit != "Gbit/s":
            yield (f"{what}, 10,000 rules: part of the empty program's",
                   pairs.quotient(rate("egressd"), rate("empty program")), 0.97)
        yield (f"{what}, another pod floods: part of what it is when that is only dropped",
               pairs.quotient(rate("egressd, beside a flood that it denies"),
                              rate("egressd, beside a flood that is only dropped")), FLOOD)


def update_goals(results):
    def figure(program, **fields):
        return results.value(group="update", program=program, **fields)
    for verb in ("added to", "removed from"):
        yield (f"pod {verb} the tables at 100,000 pods: µs", figure(f"pod {verb} the tables, 100,000 pods"), 100)
    yield ("agent time until a pod change is in force at 100,000 pods: µs",
           figure("agent time until a pod change is in force, 100,000 pods"), 100)
    node = "250 local pods of 1,000, 1,000 policies"
    yield f"policy change, {node}: ms from file to packet", figure(f"policy change, file to packet, {node}"), 20
    for kind in ("JSON", "YAML"):
        yield (f"1,000,000 CIDRs replaced: ms from {kind} file to packet",
               figure(f"whole list in {kind} replaced, file to packet", prefixes=1000000), 2000)
    for kind, limit in (("random", 80), ("clustered", 28)):
        yield (f"table memory, 1,000,000 prefixes, {kind}: bytes a prefix",
               figure(f"egressd, table memory, {kind} list", prefixes=1000000, family=4), limit)
    # All of the agent's maps and programs; megabytes of a million are bytes of each.
    yield ("kernel memory with 1,000,000 scattered addresses: bytes a prefix",
           figure("kernel memory, one list", prefixes=1000000), 80)
    node = "250 local pods of 20,000, 2,000 policies"
    yield f"kernel memory, {node}: MB", figure(f"kernel memory, {node}"), 24
    yield f"agent's resident memory, {node}: MB", figure(f"agent's resident memory, {node}"), 60


def judge(results):
    """All of them: those that were not measured, too."""
    return [*(Goal(*goal) for goal in packet_goals(results)),
            *(Goal(*goal, at_least=True) for goal in traffic_goals(results)),
            *(Goal(*goal) for goal in update_goals(results))]
