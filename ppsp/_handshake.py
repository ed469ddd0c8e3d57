"""What goes into a HANDSHAKE, and the check of what came in one (RFC 7574 sections 3.1.1 and 7)."""

from ppsp._addressing import LAYOUT
from ppsp.constants import KEEP_EVERYTHING, VERSION, ChunkAddressing, MerkleHashFunction, MessageType
from ppsp.metadata import SwarmMetadata
from ppsp.options import ProtocolOptions

#: The messages this package acts on; the others of the RFC are decoded and passed over. A proper subset MUST be
#: announced (section 7.10).
SUPPORTED_MESSAGES = frozenset(
    {
        MessageType.HANDSHAKE,
        MessageType.DATA,
        MessageType.ACK,
        MessageType.HAVE,
        MessageType.INTEGRITY,
        MessageType.REQUEST,
        MessageType.CANCEL,
        MessageType.CHOKE,
        MessageType.UNCHOKE,
    }
)


def supported_messages(metadata: SwarmMetadata, exchange: frozenset[MessageType]) -> frozenset[MessageType]:
    """The messages acted on in a swarm: SIGNED_INTEGRITY in live ones only, of PEX those in `exchange`."""
    live = {MessageType.SIGNED_INTEGRITY} if metadata.is_live else set()
    return SUPPORTED_MESSAGES | live | exchange


def initiating_options(
    metadata: SwarmMetadata, window: int | None = None, exchange: frozenset[MessageType] = frozenset()
) -> ProtocolOptions:
    """The options of the first HANDSHAKE: versions, swarm ID, metadata and capabilities.

    `window` is the discard window of a live swarm, in chunks; `exchange` are the messages of PEX that are taken.
    """
    return ProtocolOptions(
        version=VERSION,
        minimum_version=VERSION,
        swarm_id=metadata.swarm_id,
        content_integrity=metadata.content_integrity,
        merkle_hash_function=_hash_function(metadata),
        live_signature_algorithm=metadata.signature_algorithm,
        chunk_addressing=metadata.chunk_addressing,
        live_discard_window=_announced(metadata, window),
        supported_messages=supported_messages(metadata, exchange),
        chunk_size=metadata.chunk_size,
    )


def replying_options(
    metadata: SwarmMetadata,
    initiator: ProtocolOptions,
    window: int | None = None,
    exchange: frozenset[MessageType] = frozenset(),
) -> ProtocolOptions:
    """The options of the answer.

    An initiator that left out the chunk size predates that option, and drops a HANDSHAKE that has it: libswift does.
    """
    modern = initiator.chunk_size is not None
    return ProtocolOptions(
        version=VERSION,
        content_integrity=metadata.content_integrity,
        merkle_hash_function=_hash_function(metadata),
        live_signature_algorithm=metadata.signature_algorithm,
        chunk_addressing=metadata.chunk_addressing,
        live_discard_window=_announced(metadata, window),
        supported_messages=supported_messages(metadata, exchange) if modern else None,
        chunk_size=metadata.chunk_size if modern else None,
    )


def _announced(metadata: SwarmMetadata, window: int | None) -> int | None:
    """A window of chunks in the unit of option 7 (section 7.9): octets under byte ranges."""
    if window == KEEP_EVERYTHING:
        return (1 << 8 * LAYOUT[metadata.chunk_addressing].value_size) - 1
    if window is None or metadata.chunk_addressing is not ChunkAddressing.BYTE64:
        return window
    return window * metadata.chunk_size


def chunks_of_window(metadata: SwarmMetadata, announced: int) -> int:
    """A discard window as a peer announces it, in chunks."""
    return announced // metadata.chunk_size if metadata.chunk_addressing is ChunkAddressing.BYTE64 else announced


def _hash_function(metadata: SwarmMetadata) -> MerkleHashFunction | None:
    """Section 7.6 asks for the function under the Merkle hash tree; the unified one needs it as much."""
    return metadata.merkle_hash_function if metadata.hash_size else None


def problem_with(options: ProtocolOptions, metadata: SwarmMetadata, *, initiating: bool, strict: bool) -> str | None:
    """Why these options are not those of a peer of our swarm; None when they are.

    `initiating` says that they came in a first HANDSHAKE, which must hold more (Table 2). `strict` refuses a peer that
    leaves out what section 7 makes mandatory but older peers do not send: the chunk size, and the hash function.
    """
    return _version_problem(options, initiating=initiating) or _metadata_problem(
        options, metadata, initiating=initiating, strict=strict
    )


def _version_problem(options: ProtocolOptions, *, initiating: bool) -> str | None:
    if options.version is None:
        return "no version"
    if initiating and options.minimum_version is None:
        return "no minimum version"
    # RFC 6709 section 4.1, strategy 5: the lower of the two maxima is spoken, if neither minimum forbids it.
    spoken = min(options.version, VERSION)
    if spoken < VERSION or spoken < (options.minimum_version or 0):
        return f"version {options.minimum_version or options.version} to {options.version}, we speak {VERSION}"
    return None


def _metadata_problem(
    options: ProtocolOptions, metadata: SwarmMetadata, *, initiating: bool, strict: bool
) -> str | None:
    our_function = _hash_function(metadata)
    hash_function = options.merkle_hash_function
    if our_function is None or (hash_function is None and not strict):
        hash_function = our_function
    chunk_size = options.chunk_size
    if chunk_size is None and not strict and not metadata.is_variable:  # no older peer knows of chunks that differ
        chunk_size = metadata.chunk_size
    swarm_id = options.swarm_id
    if swarm_id is None and not initiating:
        swarm_id = metadata.swarm_id  # a reply MAY leave it out
    # The algorithm stands in the swarm ID as well: who names another one contradicts itself (section 7.7).
    algorithm = options.live_signature_algorithm if metadata.is_live else None
    theirs = (
        swarm_id,
        options.content_integrity,
        hash_function,
        algorithm,
        options.chunk_addressing,
        chunk_size,
    )
    ours = (
        metadata.swarm_id,
        metadata.content_integrity,
        our_function,
        metadata.signature_algorithm,
        metadata.chunk_addressing,
        metadata.chunk_size,
    )
    if metadata.is_live and options.live_discard_window is None:
        return "no live discard window"
    names = (
        "swarm ID",
        "content integrity protection",
        "Merkle hash function",
        "live signature algorithm",
        "chunk addressing",
        "chunk size",
    )
    for name, their, our in zip(names, theirs, ours, strict=True):
        if their != our:
            return f"no {name}" if their is None else f"another {name}"
    return None
