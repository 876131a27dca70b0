# SPDX-License-Identifier: Apache-2.0
"""Evaluators that are wrong in one point each: what a compiler might get wrong. The generator has to bring every one of
them to light, or a comparison that passes would say nothing about that point."""

from evaluator import TRANSPORTS, Block, Evaluator, address


class ExceptForgotten(Evaluator):
    def block_reaches(self, peer, destination):
        return peer.block.holds(destination)


class ExceptDeniesElsewhere(Evaluator):
    """An except that takes away from other peers too."""

    def address_allowed(self, pod, policies, destination, protocol, port):
        for policy in policies:
            for rule in policy.rules:
                for peer in rule.to or ():
                    if peer.block and any(one.holds(destination) for one in peer.excepted):
                        return False, 'address'
        return super().address_allowed(pod, policies, destination, protocol, port)


class OnlyFirstExcept(Evaluator):
    def block_reaches(self, peer, destination):
        return peer.block.holds(destination) and not any(one.holds(destination) for one in peer.excepted[:1])


class ZeroLengthMatchesNothing(Evaluator):
    def block_reaches(self, peer, destination):
        return peer.block.prefix != 0 and super().block_reaches(peer, destination)


class FamiliesMixed(Evaluator):
    """0.0.0.0/0 that covers IPv6 too."""

    def block_reaches(self, peer, destination):
        whole = Block('0.0.0.0/0')
        if (peer.block.family, peer.block.shift) == (whole.family, whole.shift):
            return not any(one.holds(destination) for one in peer.excepted)
        return super().block_reaches(peer, destination)


class BlocksMissPods(Evaluator):
    def block_reaches(self, peer, destination):
        return not self.owner(destination) and super().block_reaches(peer, destination)


class EndPortExclusive(Evaluator):
    def last_port(self, wanted):
        return wanted['port'] if wanted.get('endPort') is None else max(wanted['endPort'] - 1, wanted['port'])


class EndPortForgotten(Evaluator):
    def last_port(self, wanted):
        return wanted['port']


class ProtocolForgotten(Evaluator):
    def port_matches(self, wanted, protocol, port, owner):
        return super().port_matches({**wanted, 'protocol': protocol}, protocol, port, owner)


class ProtocolAbsentIsAny(Evaluator):
    def port_matches(self, wanted, protocol, port, owner):
        return super().port_matches({**wanted, 'protocol': wanted.get('protocol') or protocol}, protocol, port, owner)


class PortlessProtocolIgnoresPorts(Evaluator):
    def ports_match(self, ports, protocol, port, owner):
        return protocol not in TRANSPORTS or super().ports_match(ports, protocol, port, owner)


class PortAbsentMissesZero(Evaluator):
    def port_matches(self, wanted, protocol, port, owner):
        return (wanted.get('port') is not None or port != 0) and super().port_matches(wanted, protocol, port, owner)


class NamedPortIgnoresProtocol(Evaluator):
    def named_port(self, owner, name, protocol):
        return next((one['containerPort'] for one in owner.container_ports if one.get('name') == name), None)


class NamedPortAnyPod(Evaluator):
    """A name that resolves to the number that it has on any pod."""

    def port_matches(self, wanted, protocol, port, owner):
        if isinstance(wanted.get('port'), str) and (wanted.get('protocol') or 'TCP') == protocol:
            return any(pod.port_named(wanted['port'], protocol) == port for pod in self.pods)
        return super().port_matches(wanted, protocol, port, owner)


class NamedPortMatchesNothing(Evaluator):
    def named_port(self, owner, name, protocol):
        return None


class EmptyPortsMatchNothing(Evaluator):
    def __init__(self, manifests, node_addresses=()):
        super().__init__(manifests, node_addresses)
        sources = [one for one in manifests if one['kind'] == 'NetworkPolicy']
        for policy, source in zip(self.policies, sources):
            for rule, said in zip(policy.rules, source['spec'].get('egress') or ()):
                if said.get('ports') == []:
                    rule.ports = []


class EmptyToMatchesNothing(Evaluator):
    def __init__(self, manifests, node_addresses=()):
        super().__init__(manifests, node_addresses)
        sources = [one for one in manifests if one['kind'] == 'NetworkPolicy']
        for policy, source in zip(self.policies, sources):
            for rule, said in zip(policy.rules, source['spec'].get('egress') or ()):
                if said.get('to') == []:
                    rule.to = []


class NotInNeedsTheKey(Evaluator):
    def expression_holds(self, expression, labels):
        return ((expression['operator'] != 'NotIn' or expression['key'] in labels)
                and super().expression_holds(expression, labels))


class ExpressionsAreAlternatives(Evaluator):
    def selects(self, selector, labels):
        expressions = selector.get('matchExpressions') or []
        return super().selects({'matchLabels': selector.get('matchLabels')}, labels) and (
            not expressions or any(self.expression_holds(one, labels) for one in expressions))


class EmptyValueIsAbsent(Evaluator):
    def selects(self, selector, labels):
        return super().selects(selector, {key: value for key, value in labels.items() if value})


class NamespaceNameLabelMissing(Evaluator):
    def namespace_labels(self, name):
        return self.namespaces.get(name, {})


class NamespaceNotWrittenDown(Evaluator):
    """A namespace without an object that no selector matches."""

    def peer_reaches(self, policy, peer, destination):
        owner = self.owner(destination)
        if peer.namespace_selector is not None and owner and owner.namespace not in self.namespaces:
            return False
        return super().peer_reaches(policy, peer, destination)


class NamespaceNotWrittenDownHasNoLabels(Evaluator):
    """A namespace without an object that matches NotIn and DoesNotExist."""

    def selects_namespace(self, selector, name):
        return self.selects(selector, self.namespace_labels(name))


class PodSelectorCrossesNamespaces(Evaluator):
    def peer_reaches(self, policy, peer, destination):
        owner = self.owner(destination)
        if not peer.block and owner and peer.namespace_selector is None:
            return self.selects(peer.pod_selector, owner.labels)
        return super().peer_reaches(policy, peer, destination)


class BothSelectorsAreAlternatives(Evaluator):
    def peer_reaches(self, policy, peer, destination):
        owner = self.owner(destination)
        if owner and peer.pod_selector is not None and peer.namespace_selector is not None:
            return (self.selects_namespace(peer.namespace_selector, owner.namespace)
                    or self.selects(peer.pod_selector, owner.labels))
        return super().peer_reaches(policy, peer, destination)


class TypesAbsentIsEgress(Evaluator):
    def concerns_egress(self, policy):
        return 'Egress' in policy.types if policy.types else True


class TypesAbsentIsIngress(Evaluator):
    def concerns_egress(self, policy):
        return 'Egress' in policy.types


class OnlyFirstPolicy(Evaluator):
    def isolating_policies(self, pod):
        return super().isolating_policies(pod)[:1]


class SelfIsJudged(Evaluator):
    def is_self(self, pod, destination):
        return False


class OnlyFirstOwnAddress(Evaluator):
    def is_self(self, pod, destination):
        return destination in pod.addresses[:1]


class NodeIsJudged(Evaluator):
    def is_own_node(self, destination):
        return False


class NodeTakesTunnels(Evaluator):
    def is_tunnel(self, protocol, port):
        return False


class TunnelsByPortOnly(Evaluator):
    def is_tunnel(self, protocol, port):
        return protocol == 'UDP' and super().is_tunnel(protocol, port)


class EveryNodeIsOwn(Evaluator):
    def is_own_node(self, destination):
        return destination in self.all_node_addresses


class NodePortIsTheNode(Evaluator):
    def service_port(self, destination, protocol, port):
        found = super().service_port(destination, protocol, port)
        return None if found and found[0] == 'node-port' else found


class NodePortOnlyOnOwnNode(Evaluator):
    def service_port(self, destination, protocol, port):
        found = super().service_port(destination, protocol, port)
        return None if found and found[0] == 'node-port' and destination not in self.node_addresses else found


class HostPortIsTheNode(Evaluator):
    def forwarded(self, destination, protocol, port):
        return []


class HostPortIsNotTranslated(Evaluator):
    def forwarded(self, destination, protocol, port):
        return [(one, port) for one, _ in super().forwarded(destination, protocol, port)]


class HostPortOnEveryNode(Evaluator):
    def forwarded(self, destination, protocol, port):
        own, self.node_addresses = self.node_addresses, self.all_node_addresses
        try:
            return super().forwarded(destination, protocol, port)
        finally:
            self.node_addresses = own


class HostPortOfPodsElsewhere(Evaluator):
    def may_be_here(self, pod):
        return True


class HostPortOnlyWhereTheNodeIsKnown(Evaluator):
    def may_be_here(self, pod):
        return pod.node_name in self.node_names or pod.hangs_here


class HostAddressForgotten(Evaluator):
    def at_host_address(self, port, destination):
        return True


class HostNetworkIsSelected(Evaluator):
    def holds_addresses(self, pod):
        return not pod.finished


class HostNetworkIsIsolated(Evaluator):
    def isolating_policies(self, pod):
        pod.host_network = False
        return super().isolating_policies(pod)


class FinishedKeepTheirAddress(Evaluator):
    def holds_addresses(self, pod):
        return not pod.host_network


class OldestHasTheAddress(Evaluator):
    def owner(self, destination):
        claims = [pod for pod in self.pods if destination in pod.addresses and self.holds_addresses(pod)]
        return min(claims, key=lambda pod: (pod.created, pod.namespace, pod.name), default=None)


class LastNameHasTheAddress(Evaluator):
    def owner(self, destination):
        claims = [pod for pod in self.pods if destination in pod.addresses and self.holds_addresses(pod)]
        return max(claims, key=lambda pod: (pod.created, pod.namespace, pod.name), default=None)


class ClusterAddressIsAnAddress(Evaluator):
    def service_port(self, destination, protocol, port):
        return None


class ExternalAddressIsAnAddress(Evaluator):
    def service_port(self, destination, protocol, port):
        found = super().service_port(destination, protocol, port)
        return None if found and found[0] == 'external-ip' else found


class OneBackendIsEnough(Evaluator):
    def backends_allowed(self, verdicts):
        return any(verdicts)


class NoBackendIsAllowed(Evaluator):
    def service_allowed(self, pod, policies, service, port, family, protocol):
        return (not self.serving_backends(service, port['port'], protocol, family)
                or super().service_allowed(pod, policies, service, port, family, protocol))


class UnreadyBackendsCount(Evaluator):
    def usable(self, backends):
        return [backend[:2] for backend in backends]


class DrainingBackendsNeverServe(Evaluator):
    def usable(self, backends):
        return [backend[:2] for backend in backends if backend[2]]


class DrainingBackendsAlwaysServe(Evaluator):
    def usable(self, backends):
        return [backend[:2] for backend in backends if backend[2] or backend[3]]


class DrainingBackendsNeverServeTheirNode(Evaluator):
    def usable_on_nodes(self, backends):
        return self.usable(backends)


class UnsaidIsNotReady(Evaluator):
    def condition(self, conditions, name, unsaid):
        return super().condition(conditions, name, unsaid and name != 'ready')


class UnsaidIsNotServing(Evaluator):
    def condition(self, conditions, name, unsaid):
        return super().condition(conditions, name, unsaid and name != 'serving')


class ProxyLoadBalancerIsRewritten(Evaluator):
    def __init__(self, manifests, node_addresses=()):
        super().__init__(manifests, node_addresses)
        for service, said in zip(self.services, (one for one in manifests if one['kind'] == 'Service')):
            ingress = (said.get('status') or {}).get('loadBalancer', {}).get('ingress', ())
            service.addresses.update(address(entry['ip']) for entry in ingress if 'ip' in entry and service.rewritten)


class ExternalAddressOfOtherFamily(Evaluator):
    """External addresses of a family that the service does not have, served all the same."""

    def __init__(self, manifests, node_addresses=()):
        super().__init__(manifests, node_addresses)
        for service, said in zip(self.services, (one for one in manifests if one['kind'] == 'Service')):
            service.addresses.update(map(address, said['spec'].get('externalIPs', ())))


class TargetIsServicePort(Evaluator):
    def serving_backends(self, service, number, protocol, family):
        return [(destination, number) for destination, _ in
                super().serving_backends(service, number, protocol, family)]


class ServiceProtocolForgotten(Evaluator):
    def service_port(self, destination, protocol, port):
        return next(filter(None, (Evaluator.service_port(self, destination, one, port) for one in TRANSPORTS)), None)

    def service_allowed(self, pod, policies, service, port, family, protocol):
        return super().service_allowed(pod, policies, service, port, family, self.service_protocol(port))


class PortNameOfSliceForgotten(Evaluator):
    def backends_in_slices(self, slices, port, family):
        for one in slices:
            one.ports = [{**slice_port, 'name': port.get('name', '')} for slice_port in one.ports]
        return super().backends_in_slices(slices, port, family)


class FamilyOfSliceForgotten(Evaluator):
    def backends_in_slices(self, slices, port, family):
        return sum((super(FamilyOfSliceForgotten, self).backends_in_slices(slices, port, one) for one in (4, 6)), [])


class SlicesOfOtherNamespaces(Evaluator):
    def serving_backends(self, service, number, protocol, family):
        for one in self.slices:
            if one.service == service.name:
                one.namespace = service.namespace
        return super().serving_backends(service, number, protocol, family)


class PodsBesideSlices(Evaluator):
    """Backends from the selector although there are slices."""

    def backends_in_slices(self, slices, port, family):
        found = super().backends_in_slices(slices, port, family)
        service = next(one for one in self.services if port in one.ports)
        return found or (self.backends_among_pods(service, port, family) if service.selector else [])


class NoBackendsWithoutSlices(Evaluator):
    def backends_among_pods(self, service, port, family):
        return []


class PublishNotReadyForgotten(Evaluator):
    def backends_among_pods(self, service, port, family):
        service.publish_not_ready = False
        return super().backends_among_pods(service, port, family)


class TargetNameOfFirstContainerOnly(Evaluator):
    def target_port(self, pod, port):
        pod.container_ports = pod.container_ports[:1]
        return super().target_port(pod, port)


class InitContainersServe(Evaluator):
    def __init__(self, manifests, node_addresses=()):
        manifests = [one if one['kind'] != 'Pod' else {**one, 'spec': {
            **one['spec'], 'containers': one['spec']['containers'] + one['spec'].get('initContainers', [])}}
            for one in manifests]
        super().__init__(manifests, node_addresses)


class SidecarsForgotten(Evaluator):
    def __init__(self, manifests, node_addresses=()):
        manifests = [one if one['kind'] != 'Pod' else {**one, 'spec': {
            **one['spec'], 'initContainers': []}} for one in manifests]
        super().__init__(manifests, node_addresses)


MUTANTS = [one for one in list(globals().values())
           if isinstance(one, type) and issubclass(one, Evaluator) and one is not Evaluator]
