# SPDX-License-Identifier: Apache-2.0
"""Hand-written cases: manifests, flows, and the verdicts that a person worked out from the documentation.

A file holds `cluster`, objects that all its cases share, and `cases`, each with a `name`, `objects` of its own,
`node-addresses` and `flows`. A line of `flows` stands for all combinations of what it lists:

    {verdict: allow, from: [a/client], to: [10.1.0.1, 10.1.0.2], tcp: [80, 8080-8090], udp: 53, portless: ICMP}
"""

import yaml


class Case:
    def __init__(self, manifest, shared):
        self.name = manifest['name']
        self.objects = shared + (manifest.get('objects') or [])
        self.node_addresses = [str(one) for one in manifest.get('node-addresses') or []]
        self.flows, self.verdicts = [], []
        for line in manifest['flows']:
            for flow in expand(line):
                self.flows.append(flow)
                self.verdicts.append(line['verdict'] == 'allow')


def read_cases(path):
    with open(path, encoding='utf-8') as file:
        manifest = yaml.load(file, Loader=yaml.CSafeLoader)
    return [Case(one, manifest.get('cluster') or []) for one in manifest['cases']]


def as_list(value):
    return value if isinstance(value, list) else [] if value is None else [value]


def expand(line):
    assert line['verdict'] in ('allow', 'deny'), line
    assert not set(line) - {'verdict', 'from', 'to', 'tcp', 'udp', 'sctp', 'portless'}, line
    for source in as_list(line['from']):
        for destination in as_list(line['to']):
            for protocol in ('tcp', 'udp', 'sctp'):
                for port in ports(as_list(line.get(protocol))):
                    yield {'from': source, 'to': destination, 'port': port, 'protocol': protocol.upper()}
            for protocol in as_list(line.get('portless')):
                yield {'from': source, 'to': destination, 'protocol': protocol}


def ports(items):
    for item in items:
        first, _, last = str(item).partition('-')
        yield from range(int(first), int(last or first) + 1)


def check_case(case, answer):
    """Lines that say which flows got another verdict than the one worked out by hand."""
    try:
        verdicts = answer(case.objects, case.node_addresses, case.flows)
    except Exception as error:  # whatever went wrong, the case has failed and the others should run
        return [f'{type(error).__name__}: {error}']
    return [f'{flow}: {"allow" if verdict else "deny"}, should be {"allow" if wanted else "deny"}'
            for flow, verdict, wanted in zip(case.flows, verdicts, case.verdicts) if verdict != wanted]
