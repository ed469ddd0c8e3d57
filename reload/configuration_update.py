"""Which configuration is in force, and what a new one changes (RFC 6940 sections 6.3.2.1, 6.5.4 and 11.1)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Sequence

import attrs

from reload._chain import Trust
from reload.configuration import CHORD, CHORD_RELOAD, CHORD_SELF_TUNING, SEQUENCES, Configuration, read_configuration
from reload.configuration_extensions import NAMESPACES
from reload.contents import ErrorCode
from reload.errors import DecodeError, SecurityError
from reload.header import ANY_CONFIGURATION
from reload.kind_blocks import BASE, accept_kind, accept_signature, read_kind_blocks
from reload.kinds import BASE_KINDS, Kind, KindTable
from reload.methods import ConfigUpdateReq, ConfigUpdateType
from reload.ports import Verifier
from reload.security_block import GenericCertificate
from reload.signing import OverlayVerifier

MAX_LEARNED_KINDS = 256
"""Kinds that a node learns beside those of its configuration; each keeps its kind-block, up to 64 kB."""


def is_newer(sequence: int, than: int) -> bool:
    """Whether a configuration_sequence is greater, as in TCP but modulo 65535 (section 6.3.2.1). Both below 65535."""
    return 1 <= (sequence - than) % SEQUENCES <= SEQUENCES // 2


def sequence_error(sequence: int, own: int, *, is_config_update: bool) -> ErrorCode | None:
    """What the destination of a request with this configuration_sequence answers, None to go on (section 6.3.2.1).

    With Config_Too_Old, the requester is to be sent a ConfigUpdate. A sequence that no configuration has is too old.
    """
    if sequence == own or (sequence == ANY_CONFIGURATION and is_config_update):
        return None
    if sequence != ANY_CONFIGURATION and is_newer(sequence, own):
        return ErrorCode.CONFIG_TOO_NEW
    return ErrorCode.CONFIG_TOO_OLD


@attrs.frozen
class Capabilities:
    """What a node can do that a configuration may ask for."""

    topology_plugins: frozenset[str] = frozenset({CHORD_RELOAD, CHORD_SELF_TUNING})
    extensions: frozenset[str] = frozenset({BASE, CHORD, *NAMESPACES})
    overlay_link_protocols: frozenset[str] = frozenset({"TLS"})
    shared_secret: bool = False

    def obstacles(self, configuration: Configuration) -> tuple[str, ...]:
        """Why a node that can do just this cannot be in the overlay: for each reason a sentence."""
        found = [f"extension {name!r} is mandatory" for name in _beyond(configuration.mandatory_extensions, self)]
        if configuration.topology_plugin not in self.topology_plugins:
            found.append(f"the topology is {configuration.topology_plugin!r}")
        if self.overlay_link_protocols.isdisjoint(configuration.overlay_link_protocols):
            found.append(f"none of its overlay link protocols is known: {configuration.overlay_link_protocols}")
        if configuration.shared_secret is not None and not self.shared_secret:
            found.append("it admits with a shared secret")
        if not configuration.root_certificates and not configuration.self_signed_permitted:
            found.append("no root-cert of it can be used")
        found += [block.obstacle for block in configuration.kind_blocks if block.kind is None]
        return tuple(found)


def _beyond(extensions: Iterable[str], known: Capabilities) -> list[str]:
    return [name for name in extensions if name not in known.extensions]


MakeVerifier = Callable[[Trust], Verifier]


@attrs.frozen
class InForce:
    """The configuration that a node follows, the Kinds that it knows, and whom it believes.

    `learned` are the Kinds that came by themselves, in a ConfigUpdate of type kind.
    """

    configuration: Configuration
    verifier: Verifier
    kinds: KindTable
    learned: KindTable = attrs.field(factory=KindTable)
    make_verifier: MakeVerifier = OverlayVerifier


def put_in_force(
    configuration: Configuration,
    wall: float,
    *,
    make_verifier: MakeVerifier = OverlayVerifier,
    learned: Iterable[Kind] = (),
) -> InForce:
    """Follow a configuration that is known to be genuine: the first one, from a place that is trusted.

    Its Kinds must be signed by its kind-signers; those that this node cannot support are left out, see `Capabilities`.
    Raises SecurityError.
    """
    verifier = make_verifier(configuration.trust)
    signers = configuration.kind_signers
    configured = [
        accept_kind(block, verifier, signers, wall) for block in configuration.kind_blocks if block.kind is not None
    ]
    numbers = {kind.id for kind in configured}
    table = KindTable(kind for kind in learned if kind.id not in numbers and kind.signer in signers)
    kinds = BASE_KINDS.updated(table.values()).updated(configured)
    return InForce(configuration, verifier, kinds, table, make_verifier)


@attrs.frozen
class Accepted:
    """What follows from a ConfigUpdate.

    All data of `dropped_kinds` must be discarded: they are no longer known, or their signer may no longer sign Kinds.
    With `obstacles` the node must leave the overlay; with `must_rejoin`, leave and join again.
    """

    in_force: InForce
    dropped_kinds: tuple[int, ...] = ()
    must_rejoin: bool = False
    obstacles: tuple[str, ...] = ()


@attrs.frozen
class Refused:
    """The error to answer, and why."""

    error_code: ErrorCode
    reason: str


def decide_update(
    current: InForce,
    request: ConfigUpdateReq,
    wall: float,
    *,
    capabilities: Capabilities | None = None,
    own_certificates: Sequence[GenericCertificate] = (),
) -> Accepted | Refused:
    """What to do with a ConfigUpdate at the Unix time `wall`; nothing is changed by asking.

    `own_certificates` are the node's, its own first: one that the new configuration does not accept is an obstacle.
    """
    match request.type, request.data:
        case ConfigUpdateType.CONFIG, bytes() as document:
            return _decide_document(current, document, wall, capabilities or Capabilities(), own_certificates)
        case ConfigUpdateType.KIND, tuple() as descriptions:
            return _decide_kinds(current, descriptions, wall)
    return Refused(ErrorCode.INVALID_MESSAGE, f"ConfigUpdate of type {request.type}")


def decide_document(
    current: InForce,
    document: bytes,
    wall: float,
    *,
    capabilities: Capabilities | None = None,
    own_certificates: Sequence[GenericCertificate] = (),
) -> Accepted | Refused:
    """The same for a document that was retrieved, such as before the current one expires."""
    return _decide_document(current, document, wall, capabilities or Capabilities(), own_certificates)


def _decide_document(
    current: InForce,
    document: bytes,
    wall: float,
    capabilities: Capabilities,
    own_certificates: Sequence[GenericCertificate],
) -> Accepted | Refused:
    before = current.configuration
    try:
        new = read_configuration(document, before.instance_name)
    except DecodeError as exc:
        return Refused(ErrorCode.INVALID_MESSAGE, str(exc))
    if not is_newer(new.sequence, before.sequence):
        return Refused(ErrorCode.CONFIG_TOO_OLD, f"sequence {new.sequence} is not greater than {before.sequence}")
    if new.is_expired(wall):
        return Refused(ErrorCode.CONFIG_TOO_OLD, "it has expired")
    try:
        # Whom the previous configuration trusts counts, not whom the new one says to trust.
        accept_signature(new.octets, new.signatures, current.verifier, before.configuration_signers, wall)
        after = put_in_force(new, wall, make_verifier=current.make_verifier, learned=current.learned.values())
    except SecurityError as exc:
        return Refused(ErrorCode.FORBIDDEN, str(exc))
    return Accepted(
        after,
        _dropped(current.kinds, after.kinds),
        _must_rejoin(before, new),
        capabilities.obstacles(new) + _own_obstacles(after, own_certificates, wall),
    )


def _dropped(before: KindTable, after: KindTable) -> tuple[int, ...]:
    """Kinds that are gone, or whose signer is no longer a kind-signer and that nobody has signed anew."""
    return tuple(
        sorted(
            kind.id
            for kind in before.values()
            if kind.id not in after or (kind.signer is not None and after[kind.id].signer is None)
        )
    )


def _must_rejoin(before: Configuration, after: Configuration) -> bool:
    """Whether the overlay is another one to its topology or its links."""
    return (before.topology_plugin, before.node_id_length, before.no_ice, set(before.overlay_link_protocols)) != (
        after.topology_plugin,
        after.node_id_length,
        after.no_ice,
        set(after.overlay_link_protocols),
    )


def _own_obstacles(after: InForce, own: Sequence[GenericCertificate], wall: float) -> tuple[str, ...]:
    if own:
        try:
            after.verifier.identify(own[0].certificate, own, wall)
        except SecurityError as exc:
            return (f"the own {exc}",)
    return ()


def _decide_kinds(current: InForce, descriptions: Collection[bytes], wall: float) -> Accepted | Refused:
    signers = current.configuration.kind_signers
    configured = {block.kind.id for block in current.configuration.kind_blocks if block.kind is not None}
    kinds: list[Kind] = []
    try:
        for description in descriptions:
            for block in read_kind_blocks(description):
                kind = accept_kind(block, current.verifier, signers, wall)
                _check_known(current.kinds.get(kind.id), kind, is_configured=kind.id in configured)
                kinds.append(kind)
    except DecodeError as exc:
        return Refused(ErrorCode.INVALID_MESSAGE, str(exc))
    except SecurityError as exc:
        return Refused(ErrorCode.FORBIDDEN, str(exc))
    learned = current.learned.updated(kind for kind in kinds if kind.id not in configured)
    if len(learned) > MAX_LEARNED_KINDS:
        return Refused(ErrorCode.FORBIDDEN, f"over {MAX_LEARNED_KINDS} Kinds beside those of the configuration")
    return Accepted(attrs.evolve(current, kinds=current.kinds.updated(learned.values()), learned=learned))


def _check_known(known: Kind | None, kind: Kind, *, is_configured: bool) -> None:
    """Raises SecurityError where a Kind that is known may not be replaced."""
    if known is None:
        return
    if known.signer is not None and known.signer != kind.signer:
        raise SecurityError(f"Kind {kind.id} is known, and signed by another signer")
    # A kind-block has no sequence, so an old one can be sent again by anybody: a Kind of the configuration changes
    # with the configuration only, whose sequence keeps it from going back.
    if is_configured and attrs.evolve(kind, block=known.block) != known:
        raise SecurityError(f"Kind {kind.id} is another one in the configuration")


class UpdatesSent:
    """Keeps two nodes from sending ConfigUpdates and errors about them without end: one to a peer for each sequence.

    One that was not answered does not count, as the peer may not have it.
    """

    def __init__(self, limit: int = 1024) -> None:
        """The last `limit` peers are remembered, some 100 octets each."""
        self._limit = limit
        self._sent: OrderedDict[bytes, int] = OrderedDict()

    def may_send(self, node_id: bytes, sequence: int) -> bool:
        """Whether a ConfigUpdate to this sequence may be sent to a peer; if so, it counts as sent."""
        if self._sent.get(node_id) == sequence:
            return False
        self._sent[node_id] = sequence
        self._sent.move_to_end(node_id)
        if len(self._sent) > self._limit:
            self._sent.popitem(last=False)
        return True

    def forget(self, node_id: bytes) -> None:
        """The peer has not answered."""
        self._sent.pop(node_id, None)
