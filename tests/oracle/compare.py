# SPDX-License-Identifier: Apache-2.0
"""Asks a program for verdicts, sets the oracle's beside them and makes a small case of the first difference."""

import json
import os
import shutil
import subprocess
import tempfile

import yaml

from evaluator import Evaluator
from minimise import fewer_objects, minimise

TIMEOUT = 120  # seconds for one cluster; a hang is a failure, not a wait


class Refused(Exception):
    """The program did not answer: it called the cluster wrong, or broke."""


def write_manifests(objects, directory):
    """The objects as several YAML files of several documents, and one of JSON, as people keep them."""
    for number in range(3):
        some = objects[number::3]
        if number == 2 and len(objects) % 4 == 0:
            for index, one in enumerate(some):
                with open(os.path.join(directory, f'{index}.json'), 'w', encoding='utf-8') as file:
                    json.dump(one, file)
        elif some:
            path = os.path.join(directory, f'{number}.{("yaml", "yml")[number % 2]}')
            with open(path, 'w', encoding='utf-8') as file:
                yaml.dump_all(some, file, Dumper=yaml.CSafeDumper, sort_keys=False)


class Program:
    """A program that answers flows: `egressctl explain`, or tests/oracle/kernel, which takes the same options."""

    def __init__(self, name, *command, tries):
        """tries: how often it may be asked to make a case small"""
        self.name, self.command, self.tries = name, command, tries

    def verdicts(self, objects, node_addresses, flows):
        """A list of True (allow) and False (deny), one for each flow."""
        directory = tempfile.mkdtemp(prefix='egressd-oracle-')
        try:
            manifests = os.path.join(directory, 'manifests')
            os.mkdir(manifests)
            write_manifests(objects, manifests)
            path = os.path.join(directory, 'flows')
            with open(path, 'w', encoding='utf-8') as file:
                file.writelines(json.dumps(flow) + '\n' for flow in flows)
            return self.ask(manifests, node_addresses, path, len(flows))
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def ask(self, manifests, node_addresses, path, count):
        command = [*self.command, '-f', manifests, '--flows', path]
        if node_addresses:
            command += ['--node-addresses', ','.join(node_addresses)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
        except subprocess.TimeoutExpired as expired:
            raise Refused(f'no answer in {TIMEOUT} s') from expired
        lines = done.stdout.splitlines()
        if done.returncode not in (0, 1) or len(lines) != count:
            raise Refused(f'exit status {done.returncode}, {len(lines)} answers to {count} flows: '
                          f'{done.stderr.strip()[:2000]}')
        verdicts = []
        for line in lines:
            word = json.loads(line).get('verdict')
            if word not in ('allow', 'deny'):
                raise Refused(f'an answer without verdict: {line}')
            verdicts.append(word == 'allow')
        return verdicts


def differs(program, objects, node_addresses, flow):
    """True if program and oracle still answer the flow differently."""
    try:
        expected = Evaluator(objects, node_addresses).allows(flow)
        return program.verdicts(objects, node_addresses, [flow]) != [expected]
    except (Refused, KeyError):
        return False


def refusal(program, objects, node_addresses, flows):
    """Why the program does not answer, or None where it does."""
    try:
        program.verdicts(objects, node_addresses, flows)
        return None
    except Refused as refused:
        return str(refused)


def word(allowed):
    return 'allow' if allowed else 'deny'


def small_difference(program, objects, node_addresses, flow):
    """The text of a minimised case for a flow that is answered differently."""
    if not differs(program, objects, node_addresses, flow):
        return f'{json.dumps(flow)}: differs only among the other flows of its cluster'
    objects, node_addresses = minimise(objects, node_addresses,
                                       lambda some, nodes: differs(program, some, nodes, flow), program.tries)
    expected, reason = Evaluator(objects, node_addresses).judge(flow)
    return case_text(objects, node_addresses) + (
        f'flow: {json.dumps(flow)}\noracle: {word(expected)} ({reason})\n{program.name}: {word(not expected)}\n')


def small_refusal(program, objects, node_addresses, flows):
    """The text of a minimised case for a cluster, or a flow in it, that the program does not answer."""
    def fails(some, nodes, asked):
        return refusal(program, some, nodes, asked) is not None

    flows = [] if fails(objects, node_addresses, []) else fewer_objects(
        flows, lambda some: fails(objects, node_addresses, some))[:1]
    sources = [flow['from'] for flow in flows]
    objects, node_addresses = minimise(objects, node_addresses, lambda some, nodes: fails(some, nodes, flows) and (
        not sources or any(is_pod(one, sources[0]) for one in some)), program.tries)
    return case_text(objects, node_addresses) + ''.join(f'flow: {json.dumps(flow)}\n' for flow in flows) + (
        f'{program.name}: {refusal(program, objects, node_addresses, flows)}\n')


def is_pod(manifest, name):
    metadata = manifest['metadata']
    return manifest['kind'] == 'Pod' and f"{metadata['namespace']}/{metadata['name']}" == name


def case_text(objects, node_addresses):
    manifests = yaml.dump_all(objects, Dumper=yaml.CSafeDumper, sort_keys=False)
    return f'{manifests}---\nnode addresses: {",".join(node_addresses) or "none"}\n'
