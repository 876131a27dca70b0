# SPDX-License-Identifier: Apache-2.0
"""Random clusters, policies and flows from a seed, biased to where an implementation goes wrong.

Few labels, few names and small address pools make selectors and blocks collide. Flows aim at the edges of what the
objects mention: first and last addresses of blocks and one beyond, ports at both ends of ranges and one beyond, service
ports and what stands behind them.

What is generated is valid for the Kubernetes API, with one exception that egressd promises to understand: an `except`
that equals its block or lies outside it. Where the specification leaves two readings open (listed in Cluster.__init__),
the generator stays away.
"""

import ipaddress
import random

from evaluator import NAMESPACE_NAME_LABEL, SERVICE_NAME_LABEL, TRANSPORTS, TUNNEL_PORTS, WIDTH, address_text

PORTS = (1, 2, 53, 79, 80, 81, 443, 444, 1023, 8080, 30000, 32767, 65534, 65535)
HOST_PORTS = (53, 8080, 8081, 30080, 31001)
PORT_NAMES = ('http', 'web', 'dns', 'p-0')
SERVICE_NAMES = ('s', 's-1', 's-2', 'web', 'db', 'a')
PORTLESS = (('ICMP', '47'), ('ICMPv6', '47'))
LABELS = {'app': ('a', 'b', 'true'), 'tier': ('x', ''), 'example.com/zone': ('1', 'x')}
NAMESPACES = ('default', 'a', 'ab', 'b', 'kube-system')
POD_NETWORKS = (ipaddress.ip_network('10.1.0.0/26'), ipaddress.ip_network('10.0.255.224/27'),
                ipaddress.ip_network('192.168.127.240/28'), ipaddress.ip_network('10.2.0.0/18'))
POD_NETWORKS_V6 = (ipaddress.ip_network('fd00:1::/122'), ipaddress.ip_network('fd00:2::/72'),
                   ipaddress.ip_network('fd00:0:ffff:ffff:ffff:ffff:ffff:fff0/124'))
SERVICE_NETWORK = ipaddress.ip_network('10.96.0.0/28')
SERVICE_NETWORK_V6 = ipaddress.ip_network('fd00:96::/124')
NODE_NETWORK = ipaddress.ip_network('172.16.0.0/29')
NODE_NETWORK_V6 = ipaddress.ip_network('fd00:172::/125')
EXTERNAL_NETWORK = ipaddress.ip_network('203.0.113.0/28')
EXTERNAL_NETWORK_V6 = ipaddress.ip_network('2001:db8::/124')
LENGTHS_V4 = (0, 1, 7, 8, 9, 15, 16, 17, 20, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 32)
LENGTHS_V6 = (0, 1, 3, 16, 32, 47, 48, 49, 63, 64, 65, 96, 112, 120, 122, 124, 126, 127, 128, 128)
ODD_ADDRESSES = ('0.0.0.0', '0.0.0.1', '127.0.0.1', '169.254.169.254', '224.0.0.1', '255.255.255.254',
                 '255.255.255.255',
                 '8.8.8.8', '::', '::1', '::2', 'fe80::1', 'ff02::1', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff')


class Cluster:
    """The manifests of a random cluster, and the flows to try in it."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.objects = []
        self.interesting = []        # (family, number) that flows should try
        self.interesting_ports = set(PORTS) | {0, 3}
        self.targets = []            # (address text, port, protocol) of container ports that flows should try
        self.served = []             # the same of service ports
        self.names = 0
        self.taken = set()           # addresses that pods and services have
        self.service_ports = set()   # (address, protocol, port): two services with one of these have no defined order
        self.node_ports = set()
        self.service_names = set()
        self.sources = []
        self.size = self.pick(((2, 2), (5, 3), (10, 5), (25, 10), (60, 25), (250, 50)), (2, 4, 4, 2, 0.3, 0.1))
        # Two readings open: whether a pod that lost its address to another one is still a backend of a service without
        # slices, and what it may reach at that address; so contests and derived backends never meet.
        self.contests = self.chance(0.25)
        self.node_addresses = []
        self.add_namespaces()
        self.add_nodes()
        self.add_pods()
        self.add_services()
        self.add_policies()
        self.random.shuffle(self.objects)

    # Small helpers

    def chance(self, probability):
        return self.random.random() < probability

    def pick(self, choices, weights=None):
        return self.random.choices(choices, weights)[0] if weights else self.random.choice(choices)

    def some(self, choices, most):
        """From none to `most` different ones."""
        choices = list(choices)
        return self.random.sample(choices, self.random.randint(0, min(most, len(choices))))

    def name(self, prefix):
        self.names += 1
        return f'{prefix}{self.names}'

    def add(self, version, kind, metadata, **rest):
        manifest = {'apiVersion': version, 'kind': kind, 'metadata': metadata, **rest}
        self.objects.append(manifest)
        return manifest

    def fresh_address(self, network):
        """One that nobody has, or None if the network is full."""
        for _ in range(20):
            number = self.random.randrange(network.num_addresses)
            found = str(network[number])
            if found not in self.taken:
                self.taken.add(found)
                self.remember(found)
                return found
        return None

    def remember(self, text):
        parsed = ipaddress.ip_address(text)
        self.interesting.append((parsed.version, int(parsed)))

    # Objects

    def labels(self):
        return {key: self.pick(LABELS[key]) for key in self.some(LABELS, 3)}

    def add_namespaces(self):
        self.namespaces = self.random.sample(NAMESPACES, self.random.randint(1, 4))
        for name in self.namespaces:
            if self.chance(0.1):
                continue
            metadata = {'name': name}
            labels = self.labels()
            if self.chance(0.6):
                labels[NAMESPACE_NAME_LABEL] = name
            if labels or self.chance(0.3):
                metadata['labels'] = labels
            self.add('v1', 'Namespace', metadata)

    def add_nodes(self):
        own = []
        if self.chance(0.8):
            own.append(self.fresh_address(NODE_NETWORK))
            if self.chance(0.6):
                own.append(self.fresh_address(NODE_NETWORK_V6))
            if self.chance(0.3):
                own.append(self.fresh_address(POD_NETWORKS[0]))
        self.node_addresses = own
        self.nodes, self.node_names = [], ['']
        for number in range(self.random.randint(0, 2)):
            addresses = own[:2] if number == 0 and own else [self.fresh_address(NODE_NETWORK)]
            if number and self.chance(0.5):
                addresses.append(self.fresh_address(NODE_NETWORK_V6))
            addresses = [one for one in addresses if one]
            entries = [{'type': 'InternalIP', 'address': one} for one in addresses]
            if self.chance(0.3):
                outside = self.fresh_address(EXTERNAL_NETWORK)
                entries.append({'type': 'ExternalIP', 'address': outside})
                addresses.append(outside)
            entries.append({'type': 'Hostname', 'address': f'node-{number}'})
            self.nodes += addresses
            self.node_names.append(f'node-{number}')
            self.add('v1', 'Node', {'name': f'node-{number}'}, status={'addresses': entries})
        self.nodes += [one for one in own if one not in self.nodes]

    def container_ports(self):
        ports, names = [], set()
        for _ in range(self.pick((0, 1, 2, 3))):
            port = {'containerPort': self.pick(PORTS)}
            protocol = self.pick(TRANSPORTS, (6, 3, 1))
            if protocol != 'TCP' or self.chance(0.5):
                port['protocol'] = protocol
            name = self.pick(PORT_NAMES)
            if name not in names and self.chance(0.85):
                names.add(name)
                port['name'] = name
            if self.chance(0.15):
                port['hostPort'] = self.pick(HOST_PORTS)
                if self.chance(0.4):
                    port['hostIP'] = self.pick(['', '0.0.0.0', '::', '172.16.0.250'] + 2 * self.node_addresses)
            ports.append(port)
        return ports

    def containers(self, used):
        """Containers of a pod; a name may return in another container only with another protocol."""
        found = []
        for number in range(self.pick((1, 2), (3, 1))):
            container = {'name': f'c{number}', 'image': 'example.com/image'}
            ports = []
            for port in self.container_ports():
                host = ('host', port.get('hostPort'), port.get('protocol', 'TCP'))
                if host in used:
                    continue
                if 'hostPort' in port:
                    used.add(host)
                key = (port.get('name'), port.get('protocol', 'TCP'))
                if key[0] is None or key not in used:
                    used.add(key)
                    ports.append(port)
            if ports or self.chance(0.1):
                container['ports'] = ports
            found.append(container)
        return found

    def pod_spec(self):
        used = set()
        spec = {'containers': self.containers(used)}
        if self.chance(0.7):
            spec['nodeName'] = self.pick(self.node_names)
        if self.chance(0.25):
            spec['initContainers'] = self.containers(used)
            for container in spec['initContainers']:
                container['name'] = 'init-' + container['name']
                if self.chance(0.6):
                    container['restartPolicy'] = 'Always'
        return spec

    def add_pods(self):
        for _ in range(self.random.randint(1, self.size[0])):
            self.add_pod()

    def add_pod(self):
        metadata = {'name': self.name('p'), 'namespace': self.pick(self.namespaces)}
        labels = self.labels()
        if labels or self.chance(0.3):
            metadata['labels'] = labels
        metadata['creationTimestamp'] = f'2024-01-0{self.random.randint(1, 3)}T00:00:0{self.random.randint(0, 1)}Z'
        spec = self.pod_spec()
        status = {'phase': 'Running'}
        family = self.pick((4, 6, 46, 64), (5, 2, 3, 1))
        addresses = []
        if self.nodes and self.chance(0.1):
            spec['hostNetwork'] = True
            addresses = [self.pick(self.nodes)]
            for port in (port for one in spec['containers'] for port in one.get('ports', ()) if 'hostPort' in port):
                port['hostPort'] = port['containerPort']
        else:
            if family != 6:
                addresses.append(self.fresh_address(self.pick(POD_NETWORKS, (4, 1, 1, 1))))
            if family != 4:
                addresses.append(self.fresh_address(self.pick(POD_NETWORKS_V6, (4, 1, 1))))
            addresses = [one for one in addresses if one]
            if family == 64:
                addresses.reverse()
        live = True
        if not spec.get('hostNetwork'):
            if self.chance(0.08):
                status['phase'], live = self.pick(('Succeeded', 'Failed')), False
            elif self.chance(0.06):
                status['phase'] = 'Pending'
            elif self.chance(0.05):
                addresses = []
        if live and self.chance(0.1):
            metadata['deletionTimestamp'] = '2024-02-01T00:00:00Z'
        ready = status['phase'] == 'Running' and self.chance(0.7)
        status['conditions'] = [{'type': 'Initialized', 'status': 'True'}, {'type': 'Ready', 'status': str(ready)}]
        if addresses:
            if self.chance(0.7):
                status['podIP'] = addresses[0]
            if len(addresses) > 1 or 'podIP' not in status or self.chance(0.9):
                status['podIPs'] = [{'ip': one} for one in addresses]
            if live:
                self.sources.append(f"{metadata['namespace']}/{metadata['name']}")
        for container in spec['containers'] + spec.get('initContainers', []):
            for port in container.get('ports', ()):
                self.interesting_ports.add(port['containerPort'])
                for one in addresses:
                    self.targets.append((one, port['containerPort'], port.get('protocol', 'TCP')))
                for one in self.nodes if 'hostPort' in port else ():
                    self.served.append((one, port['hostPort'], port.get('protocol', 'TCP')))
        self.add('v1', 'Pod', metadata, spec=spec, status=status)
        if addresses and not spec.get('hostNetwork') and self.contests and self.chance(0.5):
            self.add_contender(metadata, addresses)

    def add_contender(self, rival, addresses):
        """Another pod that claims addresses of this one. No source: what it reaches at them is not defined."""
        metadata = {'name': self.pick((self.name('a'), self.name('z'))), 'namespace': rival['namespace'],
                    'labels': self.labels(),
                    'creationTimestamp': self.pick((rival['creationTimestamp'], '2024-01-02T00:00:00Z',
                                                    '2023-12-31T23:59:59Z', '2024-10-01T00:00:00Z'), (3, 1, 1, 1))}
        if metadata['creationTimestamp'] != rival['creationTimestamp']:
            metadata['namespace'] = self.pick(self.namespaces)
        status = {'phase': self.pick(('Running', 'Succeeded', 'Failed'), (4, 1, 1)),
                  'podIPs': [{'ip': one} for one in addresses if self.chance(0.8)] or [{'ip': addresses[0]}],
                  'conditions': [{'type': 'Ready', 'status': 'True'}]}
        self.add('v1', 'Pod', metadata, spec=self.pod_spec(), status=status)
        name = f"{rival['namespace']}/{rival['name']}"
        if name in self.sources:
            self.sources.remove(name)

    def add_services(self):
        for _ in range(self.random.randint(0, self.size[1])):
            self.add_service()

    def service_addresses(self, family):
        networks = {4: (SERVICE_NETWORK,), 6: (SERVICE_NETWORK_V6,), 46: (SERVICE_NETWORK, SERVICE_NETWORK_V6),
                    64: (SERVICE_NETWORK_V6, SERVICE_NETWORK)}[family]
        found = [self.fresh_address(network) for network in networks]
        return found if all(found) else None

    def add_service(self):
        namespace, name = self.pick(self.namespaces), self.pick(SERVICE_NAMES)
        if (namespace, name) in self.service_names:
            return
        self.service_names.add((namespace, name))
        family = self.pick((4, 6, 46, 64), (5, 2, 3, 1))
        kind = self.pick(('ClusterIP', 'NodePort', 'LoadBalancer', 'Headless', 'ExternalName'), (5, 3, 2, 1, 0.5))
        metadata, spec, status = {'name': name, 'namespace': namespace}, {}, None
        if self.chance(0.3):
            metadata['labels'] = self.labels()
        if kind == 'ExternalName':
            self.add('v1', 'Service', metadata, spec={'type': kind, 'externalName': 'example.com'})
            return
        addresses = ['None'] if kind == 'Headless' else self.service_addresses(family)
        if not addresses:
            return
        if kind != 'Headless' and (kind != 'ClusterIP' or self.chance(0.7)):
            spec['type'] = kind
        spec['clusterIP'] = addresses[0]
        if kind == 'Headless' or len(addresses) > 1 or self.chance(0.7):
            spec['clusterIPs'] = addresses
        families = {4: ['IPv4'], 6: ['IPv6'], 46: ['IPv4', 'IPv6'], 64: ['IPv6', 'IPv4']}[family]
        if len(families) > 1 or self.chance(0.7):
            spec['ipFamilies'] = families
            spec['ipFamilyPolicy'] = 'PreferDualStack' if len(families) > 1 else 'SingleStack'
        served = [] if kind == 'Headless' else list(addresses)
        if kind == 'LoadBalancer' and self.chance(0.8):
            networks = {'IPv4': EXTERNAL_NETWORK, 'IPv6': EXTERNAL_NETWORK_V6}
            ingress = list(filter(None, (self.fresh_address(networks[one]) for one in families)))
            entries = [{'ip': one, **self.pick(({}, {'ipMode': 'VIP'}, {'ipMode': 'Proxy'}))} for one in ingress]
            status = {'loadBalancer': {'ingress': entries or [{'hostname': 'lb.example.com'}]}}
            served += ingress
        if kind != 'Headless' and self.chance(0.25):
            spec['externalIPs'] = self.external_addresses(families if self.chance(0.8) else ['IPv4', 'IPv6'])
            served += spec['externalIPs']
        if self.chance(0.75):
            key = self.pick(list(LABELS))
            spec['selector'] = {key: self.pick(LABELS[key])} if self.chance(0.7) else self.labels() or {'app': 'a'}
        if self.chance(0.1):
            spec['sessionAffinity'] = 'ClientIP'
        if self.chance(0.2):
            spec['publishNotReadyAddresses'] = True
        if self.chance(0.25):
            spec['internalTrafficPolicy'] = self.pick(('Cluster', 'Local', 'Local'))
        if kind in ('NodePort', 'LoadBalancer') and self.chance(0.4):
            spec['externalTrafficPolicy'] = self.pick(('Cluster', 'Local'))
        spec['ports'] = self.ports_of_service(kind, served, families)
        self.add('v1', 'Service', metadata, spec=spec, **({'status': status} if status else {}))
        for port in spec['ports']:
            self.interesting_ports.add(port['port'])
            for one in served:
                self.served.append((one, port['port'], port.get('protocol', 'TCP')))
            for one in self.nodes if port.get('nodePort') else ():
                self.served.append((one, port['nodePort'], port.get('protocol', 'TCP')))
        # Derived from pods only where no address is contested: see __init__.
        if self.contests or 'selector' not in spec or self.chance(0.4):
            self.add_slices(namespace, name, spec, families)

    def external_addresses(self, families):
        found = []
        for family in families:
            choices = [one for one in self.nodes if (':' in one) == (family == 'IPv6')]
            if choices and self.chance(0.4):
                found.append(self.pick(choices))
            else:
                fresh = self.fresh_address(EXTERNAL_NETWORK if family == 'IPv4' else EXTERNAL_NETWORK_V6)
                found += [fresh] if fresh else []
        return found

    def ports_of_service(self, kind, served, families):
        ports, names = [], self.random.sample(('http', 'dns', 'metrics'), 3)
        count = self.pick((1, 2, 3), (5, 3, 1))
        for number in range(count):
            port = {'port': self.pick((53, 80, 81, 443, 8080, 1, 65535))}
            protocol = self.pick(TRANSPORTS, (6, 3, 1))
            if protocol != 'TCP' or self.chance(0.7):
                port['protocol'] = protocol
            if any((one, protocol, port['port']) in self.service_ports for one in served):
                continue
            if count > 1 or self.chance(0.4):
                port['name'] = names[number]
            target = self.pick((None, self.pick(PORTS), self.pick(PORT_NAMES)), (2, 2, 3))
            if target:
                port['targetPort'] = target
            if kind in ('NodePort', 'LoadBalancer') and (kind == 'NodePort' or self.chance(0.8)):
                node_port = self.pick((30000, 30001, 32766, 32767, 30080, 31000, 31001, 31002, 31003))
                if any((one, protocol, node_port) in self.service_ports for one in served) or \
                        (protocol, node_port) in self.node_ports:
                    if kind == 'NodePort':
                        continue
                else:
                    port['nodePort'] = node_port
                    self.node_ports.add((protocol, node_port))
                    self.interesting_ports.add(node_port)
            self.service_ports.update((one, protocol, port['port']) for one in served)
            if any((one.get('protocol', 'TCP'), one['port']) == (protocol, port['port']) for one in ports):
                continue
            ports.append(port)
        return ports or [{'port': 9, 'protocol': 'UDP', 'name': 'discard'} |
                         ({'nodePort': self.spare_node_port()} if kind == 'NodePort' else {})]

    def spare_node_port(self):
        number = 31100
        while ('UDP', number) in self.node_ports:
            number += 1
        self.node_ports.add(('UDP', number))
        return number

    def add_slices(self, namespace, name, spec, families):
        for family in self.some(families, 2) or families[:1]:
            for _ in range(self.pick((1, 2), (3, 1))):
                manifest = self.add('discovery.k8s.io/v1', 'EndpointSlice', {
                    'name': self.name('e'), 'namespace': namespace, 'labels': {SERVICE_NAME_LABEL: name}},
                    addressType=family)
                if self.chance(0.05):
                    manifest['endpoints'], manifest['ports'] = self.pick(([], None)), []
                    continue
                manifest['endpoints'] = self.endpoints(family)
                manifest['ports'] = self.slice_ports(spec['ports'])

    def endpoints(self, family):
        found = {}
        pods = [pair for pair in self.interesting if pair[0] == (4 if family == 'IPv4' else 6)]
        for _ in range(self.pick((0, 1, 2, 3), (1, 4, 3, 1))):
            text = address_text(self.pick(pods)) if pods and self.chance(0.85) else \
                ('198.51.100.7' if family == 'IPv4' else '2001:db8:ffff::7')
            endpoint = {'addresses': [text]}
            conditions = self.pick(({'ready': True}, {}, None, {'ready': True, 'serving': True, 'terminating': False},
                                    {'ready': False, 'serving': False, 'terminating': False},
                                    {'ready': False, 'serving': True, 'terminating': True},
                                    {'ready': False, 'serving': False, 'terminating': True},
                                    {'ready': True, 'serving': True, 'terminating': True},
                                    {'ready': False, 'terminating': True}), (6, 2, 2, 3, 3, 4, 1, 1, 1))
            if conditions is not None:
                endpoint['conditions'] = conditions
            found[text] = endpoint
        return list(found.values())

    def slice_ports(self, service_ports):
        found = []
        for one in service_ports:
            if self.chance(0.07):
                continue
            target = one.get('targetPort')
            number = target if isinstance(target, int) and self.chance(0.8) else self.pick(PORTS)
            port = {'port': number}
            if one.get('name') or self.chance(0.5):
                port['name'] = one.get('name', '')
            if one.get('protocol') or self.chance(0.5):
                port['protocol'] = one.get('protocol', 'TCP')
            found.append(port)
        return found

    # Policies

    def add_policies(self):
        for _ in range(self.random.randint(1, self.size[1])):
            self.add_policy()

    def add_policy(self):
        spec = {}
        if self.chance(0.97):
            spec['podSelector'] = {} if self.chance(0.35) else self.selector()
        types = self.pick((None, [], ['Ingress'], ['Egress'], ['Ingress', 'Egress'], ['Egress', 'Ingress']),
                          (4, 0.5, 0.7, 8, 1, 1))
        if types is not None:
            spec['policyTypes'] = types
        shape = self.pick(('rules', 'absent', 'empty', 'null', 'all'), (12, 1, 1, 0.3, 0.5))
        if shape == 'rules':
            spec['egress'] = [self.rule() for _ in range(self.pick((1, 2, 3), (4, 3, 1)))]
        elif shape != 'absent':
            spec['egress'] = {'empty': [], 'null': None, 'all': [{}]}[shape]
        if self.chance(0.1):
            spec['ingress'] = self.pick(([], [{}], [{'from': [{'podSelector': {}}]}]))
        self.add('networking.k8s.io/v1', 'NetworkPolicy', {
            'name': self.name('np'), 'namespace': self.pick(self.namespaces)}, spec=spec)

    def rule(self):
        rule = {}
        to = self.pick(('peers', 'absent', 'empty', 'null'), (10, 1.2, 0.4, 0.2))
        if to == 'peers':
            rule['to'] = [self.peer() for _ in range(self.pick((1, 2, 3, 4), (5, 3, 2, 1)))]
        elif to != 'absent':
            rule['to'] = {'empty': [], 'null': None}[to]
        ports = self.pick(('ports', 'absent', 'empty', 'null'), (10, 4, 0.4, 0.2))
        if ports == 'ports':
            rule['ports'] = [self.port() for _ in range(self.pick((1, 2, 3, 4), (4, 3, 2, 1)))]
        elif ports != 'absent':
            rule['ports'] = {'empty': [], 'null': None}[ports]
        return rule

    def peer(self):
        kind = self.pick(('block', 'pods', 'namespaces', 'both'), (5, 3, 2, 2))
        if kind == 'block':
            return {'ipBlock': self.block()}
        peer = {}
        if kind != 'pods':
            peer['namespaceSelector'] = self.namespace_selector()
        if kind != 'namespaces':
            peer['podSelector'] = {} if self.chance(0.25) else self.selector()
        return peer

    def selector(self):
        selector = {}
        if self.chance(0.65):
            selector['matchLabels'] = self.labels()
        if self.chance(0.45) or not selector:
            selector['matchExpressions'] = [self.expression() for _ in range(self.pick((1, 2, 3), (6, 2, 0.5)))]
        if self.chance(0.03):
            selector.setdefault('matchLabels', None)
            selector.setdefault('matchExpressions', None)
        return selector

    def expression(self):
        key = self.pick(list(LABELS))
        operator = self.pick(('In', 'NotIn', 'Exists', 'DoesNotExist'))
        expression = {'key': key, 'operator': operator}
        if operator in ('In', 'NotIn'):
            expression['values'] = self.some(LABELS[key] + ('other',), 3) or ['a']
        elif self.chance(0.1):
            expression['values'] = []
        return expression

    def namespace_selector(self):
        if self.chance(0.2):
            return {}
        if self.chance(0.5):
            return self.selector()
        names = self.some(NAMESPACES, 3) or ['a']
        return self.pick((
            {'matchLabels': {NAMESPACE_NAME_LABEL: names[0]}},
            {'matchExpressions': [{'key': NAMESPACE_NAME_LABEL, 'operator': 'In', 'values': names}]},
            {'matchExpressions': [{'key': NAMESPACE_NAME_LABEL, 'operator': 'NotIn', 'values': names}]},
            {'matchExpressions': [{'key': NAMESPACE_NAME_LABEL, 'operator': 'Exists'}]}))

    def port(self):
        port = {}
        protocol = self.pick((None, 'TCP', 'UDP', 'SCTP'), (5, 3, 3, 1))
        if protocol:
            port['protocol'] = protocol
        kind = self.pick(('number', 'range', 'name', 'absent'), (5, 4, 3, 1))
        if kind == 'name':
            port['port'] = self.pick(PORT_NAMES)
        elif kind == 'number':
            port['port'] = self.number()
        elif kind == 'range':
            first = self.number()
            last = self.pick((first, first + 1, first + self.random.randint(0, 1000), self.number(), 65535))
            port['port'], port['endPort'] = min(first, last, 65535), min(max(first, last), 65535)
        for edge in ('port', 'endPort'):
            if isinstance(port.get(edge), int):
                self.interesting_ports.update({max(port[edge] - 1, 0), port[edge], min(port[edge] + 1, 65535)})
        return port

    def number(self):
        if self.chance(0.1):
            return self.random.randint(1, 65535)
        return self.pick([one for one in sorted(self.interesting_ports) if one])

    def block(self):
        family, number, length = self.prefix(None)
        block = {'cidr': self.cidr_text(family, number, length)}
        if self.chance(0.5):
            block['except'] = [self.exception(family, number, length) for _ in range(self.pick((1, 2, 3), (5, 3, 1)))]
        return block

    def prefix(self, inside):
        """(family, number, length) of a block near what other objects mention; the number may have host bits set."""
        if self.chance(0.12) or not self.interesting:
            odd = ipaddress.ip_address(self.pick(ODD_ADDRESSES))
            family, number = odd.version, int(odd)
        else:
            family, number = self.pick(self.interesting)
        length = self.pick(LENGTHS_V4 if family == 4 else LENGTHS_V6)
        self.note(family, number, length)
        return family, number, length

    def note(self, family, number, length):
        """Addresses that tell this block from its neighbours."""
        shift = WIDTH[family] - length
        first = number >> shift << shift
        last = first + (1 << shift) - 1
        for one in (first - 1, first, first + 1, last - 1, last, last + 1, self.random.randint(first, last)):
            if 0 <= one < 1 << WIDTH[family]:
                self.interesting.append((family, one))

    def cidr_text(self, family, number, length):
        if self.chance(0.7):
            shift = WIDTH[family] - length
            number = number >> shift << shift
        return f'{address_text((family, number))}/{length}'

    def exception(self, family, number, length):
        if self.chance(0.04):
            self.note(family, number, length)
            return self.cidr_text(family, number, length)
        width = WIDTH[family]
        if self.chance(0.03) or length == width:
            other = self.pick([one for one in self.interesting if one[0] == family])[1]
            longer = self.pick((width, width - 1, width - 8))
        else:
            longer = min(length + self.pick((1, 1, 2, 3, 8, width)), width)
            shift = width - length
            first = number >> shift << shift
            inside = [one for kind, one in self.interesting if kind == family and one >> shift == number >> shift]
            other = self.pick((first, first + (1 << shift) - 1, self.pick(inside or [first])))
        self.note(family, other, longer)
        return self.cidr_text(family, other, longer)

    # Flows

    def flows(self, count, isolated):
        """At most `count` different ones, most of them from the pods in `isolated`."""
        if not self.sources:
            return []
        found = {}
        sources = [one for one in self.sources if one in isolated]
        if not sources:
            sources, count = self.sources, count // 20  # all of them allow: a few will do
        ports = sorted(self.interesting_ports)
        for number in range(count):
            source = self.pick(self.sources if number % 32 == 0 else sources)
            if self.served and self.chance(0.35):
                text, port, protocol = self.near(self.served, ports)
            elif self.targets and self.chance(0.35):
                text, port, protocol = self.near(self.targets, ports)
            else:
                text = address_text(self.pick(self.interesting)) if self.interesting and self.chance(0.95) else \
                    self.pick(ODD_ADDRESSES)
                port, protocol = self.pick(ports), self.pick(TRANSPORTS, (6, 3, 1))
            flow = {'from': source, 'to': text, 'protocol': protocol}
            if self.chance(0.04):
                flow['protocol'] = self.pick(PORTLESS[':' in text])
            elif self.chance(0.02):
                flow['protocol'], flow['port'] = 'UDP', self.pick(TUNNEL_PORTS)
            else:
                flow['port'] = port
            found[tuple(flow.values())] = flow
        return list(found.values())

    def near(self, targets, ports):
        text, port, protocol = self.pick(targets)
        if self.chance(0.15):
            port = self.pick(ports)
        if self.chance(0.15):
            protocol = self.pick(TRANSPORTS)
        return text, port, protocol
