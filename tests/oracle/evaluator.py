# SPDX-License-Identifier: Apache-2.0
"""The oracle: may this pod send to this address?  A plain reading of the specification, one flow at a time.

The specification is the documentation of Kubernetes NetworkPolicy, EndpointSlice and Service, and the list of semantics
that egressd promises on top of it. Input are the objects as their manifests say them (dicts). Nothing here is shared
with the compiler under test: no classes, no tables, no sets of pods worked out ahead. What is remembered between flows
is only the answer to a question that was asked before (does this rule's `to` hold this address?).

An address is a pair (4 or 6, number). A protocol is its Kubernetes name, or any other word for one without ports.
"""

import ipaddress

TRANSPORTS = ('TCP', 'UDP', 'SCTP')
SERVICE_NAME_LABEL = 'kubernetes.io/service-name'
NAMESPACE_NAME_LABEL = 'kubernetes.io/metadata.name'
WIDTH = {4: 32, 6: 128}
# Tunnels, by protocol and by UDP port. A pod's own node is always allowed, but no tunnel packet to it.
TUNNELS = ('4', '41', '47', '97', '115', '137')
TUNNEL_PORTS = (1701, 4754, 4789, 4790, 6080, 6081, 6635, 8472)

_addresses = {}


def address(text):
    """The pair for an address in text."""
    pair = _addresses.get(text)
    if pair is None:
        parsed = ipaddress.ip_address(text)
        pair = _addresses[text] = (parsed.version, int(parsed))
    return pair


def address_text(pair):
    return str(ipaddress.IPv4Address(pair[1]) if pair[0] == 4 else ipaddress.IPv6Address(pair[1]))


class Block:
    """A CIDR. Bits behind the prefix length mean nothing, as in the API."""

    def __init__(self, text):
        head, _, length = text.partition('/')
        self.family, number = address(head)
        self.shift = WIDTH[self.family] - int(length)
        self.prefix = number >> self.shift

    def holds(self, pair):
        return pair[0] == self.family and pair[1] >> self.shift == self.prefix


class Pod:
    """What a Pod's manifest says about its part in policy."""

    def __init__(self, manifest):
        metadata, spec, status = manifest['metadata'], manifest.get('spec') or {}, manifest.get('status') or {}
        self.namespace, self.name = metadata.get('namespace', 'default'), metadata['name']
        self.labels = metadata.get('labels') or {}
        self.created = str(metadata.get('creationTimestamp') or '')
        self.terminating = bool(metadata.get('deletionTimestamp'))
        self.host_network = bool(spec.get('hostNetwork'))
        self.node_name = spec.get('nodeName') or ''
        annotations = metadata.get('annotations') or {}
        self.hangs_here = 'egressd.io/interface' in annotations or 'egressd.io/netns' in annotations
        self.finished = status.get('phase') in ('Succeeded', 'Failed')
        texts = [entry['ip'] for entry in status.get('podIPs') or []]
        self.addresses = [address(text) for text in texts or [status.get('podIP')] if text]
        self.ready = any(condition['type'] == 'Ready' and condition['status'] == 'True'
                         for condition in status.get('conditions') or [])
        self.container_ports = []
        sidecars = [one for one in spec.get('initContainers') or [] if one.get('restartPolicy') == 'Always']
        # An init container that is no sidecar has ended before the pod serves, and its ports with it.
        for container in (spec.get('containers') or []) + sidecars:
            self.container_ports += container.get('ports') or []

    def port_named(self, name, protocol):
        """The number of the container port, or None."""
        for port in self.container_ports:
            if port.get('name') == name and port.get('protocol', 'TCP') == protocol:
                return port['containerPort']
        return None


class Service:
    """A Service that the node rewrites addresses for. ExternalName and headless ones are only names in DNS."""

    def __init__(self, manifest):
        metadata, spec = manifest['metadata'], manifest.get('spec') or {}
        self.namespace, self.name = metadata.get('namespace', 'default'), metadata['name']
        self.type = spec.get('type', 'ClusterIP')
        self.selector = spec.get('selector') or {}
        self.ports = spec.get('ports') or []
        self.publish_not_ready = bool(spec.get('publishNotReadyAddresses'))
        self.node_local = 'Local' in (spec.get('internalTrafficPolicy'), spec.get('externalTrafficPolicy'))
        cluster = list(spec.get('clusterIPs') or [])
        if not cluster and spec.get('clusterIP'):
            cluster = [spec['clusterIP']]
        self.rewritten = self.type != 'ExternalName' and bool(cluster) and cluster[0] != 'None'
        self.cluster_addresses = [address(text) for text in cluster] if self.rewritten else []
        self.families = {pair[0] for pair in self.cluster_addresses}
        other = list(spec.get('externalIPs') or [])
        for entry in ((manifest.get('status') or {}).get('loadBalancer') or {}).get('ingress') or []:
            # What is sent to a load balancer of mode Proxy leaves the node for it, as to any other address.
            if entry.get('ip') and entry.get('ipMode', 'VIP') == 'VIP':
                other.append(entry['ip'])
        # An address of a family that the service has no cluster address for is not served.
        self.addresses = set(self.cluster_addresses)
        self.addresses.update(pair for pair in map(address, other) if pair[0] in self.families)


class Slice:
    """An EndpointSlice: addresses of one family, and ports that all of them have."""

    FAMILY = {'IPv4': 4, 'IPv6': 6}

    def __init__(self, manifest):
        metadata = manifest['metadata']
        self.namespace = metadata.get('namespace', 'default')
        self.service = (metadata.get('labels') or {}).get(SERVICE_NAME_LABEL)
        self.family = self.FAMILY.get(manifest.get('addressType'))
        self.endpoints = manifest.get('endpoints') or []
        self.ports = manifest.get('ports') or []


class Rule:
    """A rule of spec.egress. `to` and `ports` are None where the rule does not restrict them."""

    def __init__(self, manifest):
        self.to = [Peer(peer) for peer in manifest.get('to') or []] or None
        self.ports = manifest.get('ports') or None


class Peer:
    def __init__(self, manifest):
        self.block, self.excepted = None, []
        if manifest.get('ipBlock') is not None:
            self.block = Block(manifest['ipBlock']['cidr'])
            self.excepted = [Block(text) for text in manifest['ipBlock'].get('except') or []]
        self.pod_selector = manifest.get('podSelector')
        self.namespace_selector = manifest.get('namespaceSelector')


class Policy:
    def __init__(self, manifest):
        metadata, spec = manifest['metadata'], manifest.get('spec') or {}
        self.namespace, self.name = metadata.get('namespace', 'default'), metadata['name']
        self.pod_selector = spec.get('podSelector') or {}
        self.types = spec.get('policyTypes') or []
        self.rules = [Rule(rule or {}) for rule in spec.get('egress') or []]


class Evaluator:
    """One state of the cluster, seen from a node with these addresses."""

    def __init__(self, manifests, node_addresses=()):
        self.pods, self.services, self.slices, self.policies = [], [], [], []
        self.namespaces = {}
        self.node_addresses = {address(text) for text in node_addresses}
        self.all_node_addresses = set(self.node_addresses)
        self.node_names = []  # of Nodes that have one of the own addresses
        for manifest in manifests:
            self.add(manifest)
        self.pod_by_name = {(pod.namespace, pod.name): pod for pod in self.pods}
        self.remembered = {}

    def add(self, manifest):
        kind = manifest['kind']
        if kind == 'Pod':
            self.pods.append(Pod(manifest))
        elif kind == 'Service':
            self.services.append(Service(manifest))
        elif kind == 'EndpointSlice':
            self.slices.append(Slice(manifest))
        elif kind == 'NetworkPolicy':
            self.policies.append(Policy(manifest))
        elif kind == 'Namespace':
            self.namespaces[manifest['metadata']['name']] = manifest['metadata'].get('labels') or {}
        elif kind == 'Node':
            addresses = {address(entry['address']) for entry in (manifest.get('status') or {}).get('addresses') or []
                         if entry['type'] in ('InternalIP', 'ExternalIP')}
            self.all_node_addresses |= addresses
            if addresses & self.node_addresses:
                self.node_names.append(manifest['metadata']['name'])

    def remember(self, question, answer, *subject):
        """answer(*subject), asked once for each question and subject."""
        key = (question,) + subject
        known = self.remembered
        if key not in known:
            known[key] = answer(*subject)
        return known[key]

    # The verdict

    def allows(self, flow):
        """True if the flow {from, to, port, protocol} may leave its pod."""
        return self.judge(flow)[0]

    def judge(self, flow):
        """The verdict and the word for the step that gave it."""
        namespace, _, name = flow['from'].partition('/')
        pod = self.pod_by_name[namespace, name]
        destination, protocol, port = address(flow['to']), flow.get('protocol', 'TCP'), flow.get('port', 0)
        policies = self.remember('policies', self.isolating_policies, pod)
        if not policies:
            return True, 'not-isolated'
        if self.is_self(pod, destination):
            return True, 'self'
        if protocol in TRANSPORTS:
            served = self.remember('service', self.service_port, destination, protocol, port)
            forwarded = self.remember('host-port', self.forwarded, destination, protocol, port)
            if forwarded:
                # Whether the node takes such a port for a service's first is not defined: what is behind both counts.
                behind = forwarded + (self.serving(served[1], served[2], destination[0]) if served else [])
                return self.targets_allowed(pod, policies, behind, protocol), 'host-port'
            if served:
                word, service, service_port = served
                return self.service_allowed(pod, policies, service, service_port, destination[0], protocol), word
        return self.address_allowed(pod, policies, destination, protocol, port)

    def address_allowed(self, pod, policies, destination, protocol, port):
        """The verdict on an address as such: what a packet that no service rewrites comes to."""
        if self.is_self(pod, destination):
            return True, 'self'
        if self.is_own_node(destination):
            return not self.is_tunnel(protocol, port), 'node'
        owner = self.remember('owner', self.owner, destination)
        word = 'pod' if owner else 'address'
        for policy in policies:
            for rule in policy.rules:
                if (self.remember('to', self.rule_reaches, policy, rule, destination)
                        and self.ports_match(rule.ports, protocol, port, owner)):
                    return True, word
        return False, word

    def is_self(self, pod, destination):
        return destination in pod.addresses

    def is_own_node(self, destination):
        return destination in self.node_addresses

    def is_tunnel(self, protocol, port):
        """What is inside would leave the node unjudged."""
        return protocol in TUNNELS or protocol == 'UDP' and port in TUNNEL_PORTS

    # Which policies hold the pod

    def isolating_policies(self, pod):
        if pod.host_network:
            return []
        return [policy for policy in self.policies
                if policy.namespace == pod.namespace and self.concerns_egress(policy)
                and self.selects(policy.pod_selector, pod.labels)]

    def concerns_egress(self, policy):
        if policy.types:
            return 'Egress' in policy.types
        return bool(policy.rules)

    # Selectors

    def selects(self, selector, labels):
        for key, value in (selector.get('matchLabels') or {}).items():
            if labels.get(key) != value:
                return False
        return all(self.expression_holds(one, labels) for one in selector.get('matchExpressions') or [])

    def expression_holds(self, expression, labels):
        key, operator, values = expression['key'], expression['operator'], expression.get('values') or []
        if operator == 'In':
            return key in labels and labels[key] in values
        if operator == 'NotIn':
            return key not in labels or labels[key] not in values
        if operator == 'Exists':
            return key in labels
        assert operator == 'DoesNotExist', operator
        return key not in labels

    def namespace_labels(self, name):
        """Every namespace has the label with its own name, whoever forgot to write it down."""
        return {**self.namespaces.get(name, {}), NAMESPACE_NAME_LABEL: name}

    def selects_namespace(self, selector, name):
        """Of a namespace without an object only the name is known: nothing that is asked of its other labels holds."""
        if name not in self.namespaces and self.keys(selector) - {NAMESPACE_NAME_LABEL}:
            return False
        return self.selects(selector, self.namespace_labels(name))

    def keys(self, selector):
        return set(selector.get('matchLabels') or ()) | {
            one['key'] for one in selector.get('matchExpressions') or ()}

    # Rules

    def rule_reaches(self, policy, rule, destination):
        return rule.to is None or any(self.peer_reaches(policy, peer, destination) for peer in rule.to)

    def peer_reaches(self, policy, peer, destination):
        if peer.block:
            return self.block_reaches(peer, destination)
        owner = self.remember('owner', self.owner, destination)
        if not owner:
            return False
        if peer.namespace_selector is None:
            if owner.namespace != policy.namespace:
                return False
        elif not self.selects_namespace(peer.namespace_selector, owner.namespace):
            return False
        return peer.pod_selector is None or self.selects(peer.pod_selector, owner.labels)

    def block_reaches(self, peer, destination):
        return peer.block.holds(destination) and not any(one.holds(destination) for one in peer.excepted)

    def ports_match(self, ports, protocol, port, owner):
        if ports is None:
            return True
        return any(self.port_matches(one, protocol, port, owner) for one in ports)

    def port_matches(self, wanted, protocol, port, owner):
        if (wanted.get('protocol') or 'TCP') != protocol:
            return False
        first = wanted.get('port')
        if first is None:
            return True
        if isinstance(first, str):
            return owner is not None and self.named_port(owner, first, protocol) == port
        return first <= port <= self.last_port(wanted)

    def last_port(self, wanted):
        return wanted['port'] if wanted.get('endPort') is None else wanted['endPort']

    def named_port(self, owner, name, protocol):
        return owner.port_named(name, protocol)

    # Who has an address

    def owner(self, destination):
        """The pod that has the address, or None. Of several the newest has it; of equals the first by name."""
        claims = [pod for pod in self.pods if destination in pod.addresses and self.holds_addresses(pod)]
        if not claims:
            return None
        newest = max(pod.created for pod in claims)
        return min((pod for pod in claims if pod.created == newest), key=lambda pod: (pod.namespace, pod.name))

    def holds_addresses(self, pod):
        """A finished pod has given its address up; one with hostNetwork never had one of its own."""
        return not pod.finished and not pod.host_network

    # hostPorts

    def forwarded(self, destination, protocol, port):
        """[(address, port)] of pods on this node that it forwards the port of its own to."""
        if destination not in self.node_addresses:
            return []
        return [(one, container_port['containerPort'])
                for pod in self.pods if self.holds_addresses(pod) and self.may_be_here(pod)
                for container_port in pod.container_ports
                if container_port.get('hostPort') == port and self.service_protocol(container_port) == protocol
                and self.at_host_address(container_port, destination)
                for one in pod.addresses if one[0] == destination[0]]

    def at_host_address(self, port, destination):
        return port.get('hostIP') in (None, '', '0.0.0.0', '::') or address(port['hostIP']) == destination

    def may_be_here(self, pod):
        """Is the pod on this node, for all that is known of the two?"""
        return len(self.node_names) != 1 or pod.node_name in ('', self.node_names[0]) or pod.hangs_here

    # Services

    def service_port(self, destination, protocol, port):
        """(word, service, its port) if the node rewrites what is sent there, or None."""
        for service in self.services:
            if destination in service.addresses:
                for one in service.ports:
                    if self.service_protocol(one) == protocol and one['port'] == port:
                        return self.address_word(service, destination), service, one
        if destination not in self.all_node_addresses:
            return None
        for service in self.services:
            if service.type in ('NodePort', 'LoadBalancer') and destination[0] in service.families:
                for one in service.ports:
                    if self.service_protocol(one) == protocol and one.get('nodePort') == port:
                        return 'node-port', service, one
        return None

    def address_word(self, service, destination):
        return 'cluster-ip' if destination in service.cluster_addresses else 'external-ip'

    def service_protocol(self, port):
        return port.get('protocol') or 'TCP'

    def service_allowed(self, pod, policies, service, port, family, protocol):
        """Every backend that may be given the connection must be allowed; with none there is nothing to allow."""
        serving = self.serving(service, port, family)
        return bool(serving) and self.targets_allowed(pod, policies, serving, protocol)

    def serving(self, service, port, family):
        return self.remember('backends', self.serving_backends, service, port['port'], self.service_protocol(port),
                             family)

    def targets_allowed(self, pod, policies, targets, protocol):
        return self.backends_allowed(
            self.address_allowed(pod, policies, destination, protocol, target)[0] for destination, target in targets)

    def backends_allowed(self, verdicts):
        return all(verdicts)

    def serving_backends(self, service, number, protocol, family):
        """[(address, target port)]: what the service may send to."""
        port = next(one for one in service.ports
                    if one['port'] == number and self.service_protocol(one) == protocol)
        slices = [one for one in self.slices if one.service == service.name and one.namespace == service.namespace]
        if slices:
            backends = self.backends_in_slices(slices, port, family)
        elif service.selector:
            backends = self.backends_among_pods(service, port, family)
        else:
            backends = []
        return self.usable_on_nodes(backends) if service.node_local else self.usable(backends)

    def usable(self, backends):
        """The ready ones, or without any those that serve while they terminate."""
        ready = [(destination, target) for destination, target, ready, _ in backends if ready]
        return ready or [(destination, target) for destination, target, _, draining in backends if draining]

    def usable_on_nodes(self, backends):
        """The same is said of each node's own; which node they are on is not asked, so all of them must be allowed."""
        return [(destination, target) for destination, target, ready, draining in backends if ready or draining]

    def backends_in_slices(self, slices, port, family):
        """[(address, target port, ready, serving and terminating)]"""
        found = []
        for one in slices:
            if one.family != family:
                continue
            for slice_port in one.ports:
                if ((slice_port.get('name') or '') != (port.get('name') or '')
                        or self.service_protocol(slice_port) != self.service_protocol(port)):
                    continue
                for endpoint in one.endpoints:
                    conditions = endpoint.get('conditions') or {}
                    found.append((address(endpoint['addresses'][0]), slice_port['port'],
                                  self.condition(conditions, 'ready', True),
                                  self.condition(conditions, 'serving', True)
                                  and self.condition(conditions, 'terminating', False)))
        return found

    def condition(self, conditions, name, unsaid):
        return unsaid if conditions.get(name) is None else conditions[name]

    def backends_among_pods(self, service, port, family):
        """What the endpoint slices of the service would hold, for clusters that have none."""
        found = []
        for pod in self.pods:
            if pod.namespace != service.namespace or pod.finished or not self.selects(
                    {'matchLabels': service.selector}, pod.labels):
                continue
            target = self.target_port(pod, port)
            if target is None:
                continue
            ready = service.publish_not_ready or pod.ready and not pod.terminating
            for destination in pod.addresses:
                if destination[0] == family:
                    found.append((destination, target, ready, pod.ready and pod.terminating))
        return found

    def target_port(self, pod, port):
        target = port.get('targetPort')
        if isinstance(target, str):
            return pod.port_named(target, self.service_protocol(port))
        return target or port['port']
