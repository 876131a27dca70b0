# SPDX-License-Identifier: Apache-2.0
"""Makes a failing case small: whole objects first (delta debugging), then whatever can go inside the objects left."""

import copy

# What an object is not valid without. Anything else may go if the case still fails without it.
KEPT = {'apiVersion', 'kind', 'metadata', 'name', 'namespace', 'cidr', 'key', 'operator', 'values', 'ip', 'addressType',
        'addresses', 'address', 'type', 'containerPort', 'containers', 'image', 'externalName', 'clusterIP',
        'clusterIPs', 'ipFamilies', 'spec', 'podSelector', 'serving'}
# Lists that are taken as they are: their items belong to each other or to another field.
WHOLE = {'clusterIPs', 'ipFamilies', 'addresses', 'conditions'}


class Budget:
    """A bound on how often the case is tried: a small case soon is worth more than the smallest."""

    def __init__(self, fails, tries):
        self.fails, self.left = fails, tries

    def __call__(self, objects, node_addresses):
        if self.left <= 0:
            return False
        self.left -= 1
        return self.fails(objects, node_addresses)


def minimise(objects, node_addresses, fails, tries):
    """The smallest (objects, node addresses) found for which fails(objects, node_addresses) is still true."""
    fails = Budget(fails, tries)
    objects = fewer_objects(objects, lambda some: fails(some, node_addresses))
    node_addresses = fewer_objects(node_addresses, lambda some: fails(objects, some))
    changed = True
    while changed:
        changed = False
        for index in range(len(objects)):
            for path in reversed(list(removable(objects[index]))):
                if path not in set(removable(objects[index])):
                    continue  # what went before makes this one necessary
                smaller = copy.deepcopy(objects)
                remove(smaller[index], path)
                if fails(smaller, node_addresses):
                    objects, changed = smaller, True
    return objects, node_addresses


def fewer_objects(items, fails):
    """ddmin: drop ever smaller chunks as long as the rest still fails."""
    items = list(items)
    chunk = max(len(items) // 2, 1)
    while items:
        start, shrunk = 0, False
        while start < len(items):
            rest = items[:start] + items[start + chunk:]
            if fails(rest):
                items, shrunk = rest, True
            else:
                start += chunk
        if chunk == 1 and not shrunk:
            break
        chunk = max(chunk // 2, 1)
    return items


def removable(node, path=()):
    """Paths of the keys and items below a node that may be tried without, parents before children."""
    if isinstance(node, dict):
        for key, value in node.items():
            last_of_item = path and isinstance(path[-1], int) and len(node) == 1 and path[-2] != 'egress'
            if not last_of_item and not is_kept(path, key):
                yield path + (key,)
            yield from removable(value, path + (key,))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            if path[-1] not in WHOLE and (len(node) > 1 or path[-1] not in KEPT | {'ports'} or 'egress' in path):
                yield path + (index,)
            yield from removable(value, path + (index,))


def is_kept(path, key):
    if path and path[-1] in ('labels', 'matchLabels', 'selector'):
        return False
    if key == 'podSelector':
        return len(path) == 1
    if key == 'port':
        return 'egress' not in path
    if key == 'ports':
        return path == ('spec',)
    if key == 'conditions':
        return path == ('status',)  # of a Pod: without them its readiness is not defined
    if key == 'name':
        return path == ('metadata',) or path[-2:-1] in (('containers',), ('initContainers',))
    return key in KEPT


def remove(node, path):
    for step in path[:-1]:
        node = node[step]
    del node[path[-1]]
