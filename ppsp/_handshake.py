"""What goes into a HANDSHAKE, and the check of what came in one (RFC 7574 sections 3.1.1 and 7)."""

from ppsp.constants import VERSION, MessageType
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


def initiating_options(metadata: SwarmMetadata) -> ProtocolOptions:
    """The options of the first HANDSHAKE: versions, swarm ID, metadata and capabilities."""
    return ProtocolOptions(
        version=VERSION,
        minimum_version=VERSION,
        swarm_id=metadata.swarm_id,
        content_integrity=metadata.content_integrity,
        merkle_hash_function=metadata.merkle_hash_function,
        chunk_addressing=metadata.chunk_addressing,
        supported_messages=SUPPORTED_MESSAGES,
        chunk_size=metadata.chunk_size,
    )


def replying_options(metadata: SwarmMetadata, initiator: ProtocolOptions) -> ProtocolOptions:
    """The options of the answer.

    An initiator that left out the chunk size predates that option, and drops a HANDSHAKE that has it: libswift does.
    """
    modern = initiator.chunk_size is not None
    return ProtocolOptions(
        version=VERSION,
        content_integrity=metadata.content_integrity,
        merkle_hash_function=metadata.merkle_hash_function,
        chunk_addressing=metadata.chunk_addressing,
        supported_messages=SUPPORTED_MESSAGES if modern else None,
        chunk_size=metadata.chunk_size if modern else None,
    )


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
    hash_function = options.merkle_hash_function
    if hash_function is None and not strict:
        hash_function = metadata.merkle_hash_function
    chunk_size = options.chunk_size
    if chunk_size is None and not strict:
        chunk_size = metadata.chunk_size
    swarm_id = options.swarm_id
    if swarm_id is None and not initiating:
        swarm_id = metadata.swarm_id  # a reply MAY leave it out
    theirs = (swarm_id, options.content_integrity, hash_function, options.chunk_addressing, chunk_size)
    ours = (
        metadata.swarm_id,
        metadata.content_integrity,
        metadata.merkle_hash_function,
        metadata.chunk_addressing,
        metadata.chunk_size,
    )
    names = ("swarm ID", "content integrity protection", "Merkle hash function", "chunk addressing", "chunk size")
    for name, their, our in zip(names, theirs, ours, strict=True):
        if their != our:
            return f"no {name}" if their is None else f"another {name}"
    return None
