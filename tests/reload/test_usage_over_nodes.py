"""The usages over nodes: what plans ask for is routed, judged, stored and fetched by real ones."""

import hashlib
from typing import TypeVar

import attrs
import pytest
from reload_configurations import in_force as signed_in_force
from reload_identities import ALICE, enrolled, node_id
from reload_overlay import EPOCH, Host, MemoryOverlay, connect_all, in_force

from reload.addresses import IpAddressPort, IPv4AddrPort
from reload.chord import ChordReload
from reload.configuration_extensions import SIP as SIP_NAMESPACE
from reload.configuration_extensions import DomainRestrictions
from reload.contents import ErrorCode
from reload.destinations import NodeDestination
from reload.errors import SecurityError
from reload.events import CandidatesWanted, ConnectionWanted
from reload.kinds import REDIR, SIP_REGISTRATION, Extension
from reload.naming import resource_id
from reload.operations import Failed, NewValue, Operation, Plan, Store, Stored
from reload.signing import own_identity
from reload.storage_messages import DataValue, DictionaryEntry
from reload.usages.certificate_store import OwnCertificate, certificates_of_node, certificates_of_user
from reload.usages.publication import Publication
from reload.usages.redir import ServiceFinder, ServiceProvider
from reload.usages.redir_tree import RedirTree
from reload.usages.sip import Registration, Scheme, calls, forward_to, is_responder, resolve, route_to
from reload.usages.sip_names import Domains
from reload.usages.turn import FoundServer, TurnAnnouncement, find_servers

T = TypeVar("T")
OVERLAY = "overlay.example.org"
PATTERN = Extension(SIP_NAMESPACE, "pattern", {}, r"example\.org")
RESTRICTED = attrs.evolve(
    SIP_REGISTRATION, extensions=(Extension(SIP_NAMESPACE, "domain-restrictions", {"enable": "true"}, "", (PATTERN,)),)
)
DOMAINS = Domains(OVERLAY, DomainRestrictions(True, (r"example\.org",)))


def spread(count: int) -> list[int]:
    """Node-IDs all over the ring, always the same."""
    return [int.from_bytes(hashlib.sha1(b"%d" % number).digest()[:16], "big") for number in range(count)]


def overlay_of(count: int) -> tuple[MemoryOverlay, list[Host]]:
    overlay = MemoryOverlay(in_force=in_force((RESTRICTED, REDIR)))
    hosts = [overlay.add(number, applications=frozenset(Scheme)) for number in spread(count)]
    connect_all(overlay, hosts)
    return overlay, hosts


def run(overlay: MemoryOverlay, host: Host, plan: Plan[T] | None) -> T:
    assert plan is not None
    handle = host.node.run(plan, overlay.now)
    overlay.settle(1.0)
    return host.result(handle)  # type: ignore[return-value]


def perform(overlay: MemoryOverlay, host: Host, operation: Operation) -> object:
    handle = host.node.perform(operation, overlay.now)
    overlay.settle(1.0)
    return host.result(handle)


def user(host: Host) -> str:
    return f"user{host.number}@example.org"


def code(result: object) -> int | None:
    assert isinstance(result, Failed)
    return None if result.error is None else result.error.error_code


class TestRedir:
    TREE = RedirTree("voice-mail")

    def test_providers_are_found_refreshed_removed_and_forgotten(self) -> None:
        overlay, hosts = overlay_of(12)
        providers = hosts[:6]
        publications = [Publication(ServiceProvider(self.TREE, host.node_id)) for host in providers]
        for host, publication in zip(providers, publications, strict=True):
            publication.start(overlay.now)
            assert run(overlay, host, publication.handle_timer(overlay.now))
        finder = ServiceFinder(self.TREE, bytes)

        def found(key: bytes) -> bytes | None:
            provider = run(overlay, hosts[9], finder.find(key)).provider
            return None if provider is None else provider.node_id

        first, second, *_, last = sorted(host.node_id for host in providers)
        assert found(bytes(16)) == first
        assert found(first) == second
        assert found(last) in {host.node_id for host in providers}

        # All but the second refresh, as their timers say; after the lifetime it is forgotten.
        for host, publication in zip(providers, publications, strict=True):
            due = publication.get_timer()
            assert due is not None
            overlay.settle(max(0.0, due - overlay.now))
            if host.node_id != second:
                assert run(overlay, host, publication.handle_timer(overlay.now))
        overlay.settle(100.0)
        third = sorted(host.node_id for host in providers)[2]
        assert found(first) == third

        for host, publication in zip(providers, publications, strict=True):
            if host.node_id != second:
                assert run(overlay, host, publication.stop())
        assert found(first) is None

    def test_providers_of_a_ring_are_found_in_it_also_after_peers_have_left(self) -> None:
        overlay = MemoryOverlay(in_force=in_force((REDIR,), max_message_size=60_000))
        hosts: list[Host] = []
        for number in spread(10):
            host = overlay.add(number, make_topology=ChordReload)
            if hosts:
                link, _ = overlay.link(host, hosts[0])
                host.node.join(link, overlay.now)
            else:
                host.node.start(overlay.now)
            overlay.settle(5.0)
            hosts.append(host)
        providers = hosts[1:5]
        for host in providers:
            assert run(overlay, host, ServiceProvider(self.TREE, host.node_id).store())
        for host in hosts[6:8]:
            host.node.leave(overlay.now)
            overlay.settle(10.0)
        finder = ServiceFinder(self.TREE, bytes)
        for host in (*hosts[:6], *hosts[8:]):
            found = run(overlay, host, finder.find(host.node_id)).provider
            following = [provider.node_id for provider in providers if provider.node_id > host.node_id]
            assert found is not None
            assert found.node_id == min(following, default=found.node_id)

    def test_a_provider_stores_itself_and_nobody_else_and_only_where_it_belongs(self) -> None:
        overlay, (host, other, *_) = overlay_of(4)
        at = self.TREE.resource_id(2, host.node_id)
        recorded: list[Store] = []

        def listen() -> Plan[bool]:
            steps = ServiceProvider(self.TREE, host.node_id).store()
            operation = next(steps)
            while True:
                if isinstance(operation, Store):
                    recorded.append(operation)
                try:
                    operation = steps.send((yield operation))
                except StopIteration as done:
                    return bool(done.value)

        assert run(overlay, host, listen())
        own = next(each for each in recorded if each.resource_id == at)
        # The very same entry, signed by somebody else; and at another tree node's resource.
        assert code(perform(overlay, other, own)) == ErrorCode.FORBIDDEN
        elsewhere = attrs.evolve(own, resource_id=self.TREE.resource_id(1, host.node_id))
        assert code(perform(overlay, host, elsewhere)) == ErrorCode.FORBIDDEN

    def test_a_lookup_in_an_overlay_without_the_kind_fails_and_raises_nothing(self) -> None:
        overlay = MemoryOverlay()
        hosts = [overlay.add(number) for number in (1, 2)]
        connect_all(overlay, hosts)
        found = run(overlay, hosts[0], ServiceFinder(self.TREE, bytes).find(bytes(16)))
        assert found.failure is not None
        publication = Publication(ServiceProvider(self.TREE, hosts[0].node_id))
        publication.start(overlay.now)
        assert not run(overlay, hosts[0], publication.handle_timer(overlay.now))


class TestSip:
    def test_a_user_is_registered_found_and_called(self) -> None:
        overlay, hosts = overlay_of(8)
        callee, caller = hosts[2], hosts[5]
        target = route_to((NodeDestination(callee.node_id),))
        assert run(overlay, callee, Registration(user(callee), callee.node_id, target, DOMAINS).store())
        forwarding = Registration(user(hosts[3]), hosts[3].node_id, forward_to(user(callee)), DOMAINS)
        assert run(overlay, hosts[3], forwarding.store())
        found = run(overlay, caller, resolve(f"sip:{user(hosts[3])}", DOMAINS))
        (call,) = calls(found, Scheme.SIPS)
        handle = caller.node.app_attach(call.destination_list, call.application, overlay.now)
        overlay.settle(1.0)
        assert caller.result(handle) == callee.node_id
        # The nodes are connected already: SIP has a connection of its own all the same, with that very node.
        wanted = caller.of(ConnectionWanted)
        assert [(each.application, each.peer) for each in wanted if isinstance(each, ConnectionWanted)] == [
            (5061, callee.node_id)
        ]
        certificates = callee.node.certificates
        shown = caller.node.in_force.verifier.identify(certificates[0].certificate, certificates, EPOCH)
        assert is_responder(call.destination_list, shown)
        assert callee.of(CandidatesWanted)

    def test_a_scheme_that_the_callee_does_not_offer_is_not_found(self) -> None:
        overlay = MemoryOverlay(in_force=in_force((RESTRICTED,)))
        hosts = [overlay.add(number, applications=frozenset({Scheme.SIPS})) for number in (1, 2)]
        connect_all(overlay, hosts)
        destination = (NodeDestination(hosts[1].node_id),)
        handle = hosts[0].node.app_attach(destination, Scheme.SIP, overlay.now)
        overlay.settle(1.0)
        assert code(hosts[0].result(handle)) == ErrorCode.NOT_FOUND
        handle = hosts[0].node.app_attach(destination, Scheme.SIPS, overlay.now)
        overlay.settle(1.0)
        assert hosts[0].result(handle) == hosts[1].node_id

    def test_a_connection_with_another_certificate_than_the_list_names_is_not_used(self) -> None:
        class Impostor(MemoryOverlay):
            """A network in which whoever asks for SIP is connected with somebody else."""

            refused = 0

            def _connect_application(
                self, host: Host, other: Host, wanted: ConnectionWanted, offer: ConnectionWanted
            ) -> None:
                certificates = self.hosts[2].node.certificates
                identity = host.node.in_force.verifier.identify(certificates[0].certificate, certificates, EPOCH)
                assert not is_responder((NodeDestination(wanted.peer),), identity)
                with pytest.raises(SecurityError):
                    host.node.link_established(identity, self.now, attach=wanted.attach)
                self.refused += 1

        overlay = Impostor(in_force=in_force((RESTRICTED,)))
        hosts = [overlay.add(number, applications=frozenset(Scheme)) for number in (1, 2, 3)]
        connect_all(overlay, hosts)
        handle = hosts[0].node.app_attach((NodeDestination(hosts[1].node_id),), Scheme.SIP, overlay.now)
        overlay.settle(1.0)
        assert overlay.refused == 1
        assert isinstance(hosts[0].result(handle), Failed)

    def entry(self, key: bytes) -> NewValue:
        return NewValue(SIP_REGISTRATION.id, DictionaryEntry(key, DataValue(True, b"\1\0\2\0\0")), 100)

    def test_the_storing_peer_forbids_the_address_of_record_of_another_user(self) -> None:
        overlay, (host, other, *_) = overlay_of(4)
        at = resource_id(user(host).encode())
        assert isinstance(perform(overlay, host, Store(at, (self.entry(host.node_id),))), Stored)
        assert code(perform(overlay, other, Store(at, (self.entry(other.node_id),)))) == ErrorCode.FORBIDDEN

    def test_the_storing_peer_forbids_a_key_that_is_not_the_node_id(self) -> None:
        overlay, (host, other, *_) = overlay_of(4)
        at = resource_id(user(host).encode())
        assert code(perform(overlay, host, Store(at, (self.entry(other.node_id),)))) == ErrorCode.FORBIDDEN

    def test_the_storing_peer_forbids_a_domain_that_the_configuration_does_not_admit(self) -> None:
        closed = attrs.evolve(SIP_REGISTRATION, extensions=(Extension(SIP_NAMESPACE, "domain-restrictions"),))
        overlay = MemoryOverlay(in_force=in_force((closed,)))
        hosts = [overlay.add(number) for number in (1, 1 << 127)]
        connect_all(overlay, hosts)
        for host in hosts:
            at = resource_id(user(host).encode())
            assert code(perform(overlay, host, Store(at, (self.entry(host.node_id),)))) == ErrorCode.FORBIDDEN


def test_turn_servers_are_announced_found_and_withdrawn() -> None:
    overlay, hosts = overlay_of(8)
    servers = {}
    for number, host in enumerate(hosts[:3]):
        address = IpAddressPort(1, IPv4AddrPort(bytes((192, 0, 2, number)), 3478))
        servers[host.node_id] = TurnAnnouncement(host.node_id, address, 4)
        assert run(overlay, host, servers[host.node_id].store())
    found = run(overlay, hosts[7], find_servers(hosts[7].node_id, overlay.random.randbytes, wanted=2))
    assert len(found) == 2
    assert all(isinstance(each, FoundServer) and each.node_id in servers for each in found)
    assert found[0].address.addr_port == IPv4AddrPort(bytes((192, 0, 2, [*servers].index(found[0].node_id))), 3478)
    for host in hosts[:3]:
        assert run(overlay, host, servers[host.node_id].remove())
    assert run(overlay, hosts[7], find_servers(hosts[7].node_id, overlay.random.randbytes)) == ()


def test_certificates_are_found_by_user_and_node_with_real_signatures() -> None:
    overlay = MemoryOverlay(in_force=signed_in_force((SIP_REGISTRATION,), max_message_size=20_000))
    numbers = [1, 1 << 126, 1 << 127]
    signers = [enrolled(number, ALICE if number == 1 else None, name=f"node {number}") for number in numbers]
    hosts = [overlay.add(number, signer=signer) for number, signer in zip(numbers, signers, strict=True)]
    connect_all(overlay, hosts)
    own = own_identity(signers[0], OVERLAY)
    certificate = OwnCertificate(own)
    for _ in range(2):
        assert run(overlay, hosts[0], certificate.store())
    verifier = hosts[2].node.in_force.verifier
    assert run(overlay, hosts[2], certificates_of_user(ALICE, verifier, EPOCH + overlay.now)) == (own,)
    assert run(overlay, hosts[1], certificates_of_node(node_id(1), verifier, EPOCH + overlay.now)) == (own,)
    assert run(overlay, hosts[1], certificates_of_node(node_id(2), verifier, EPOCH + overlay.now)) == ()
    assert run(overlay, hosts[0], certificate.remove())
    assert run(overlay, hosts[2], certificates_of_user(ALICE, verifier, EPOCH + overlay.now)) == ()
