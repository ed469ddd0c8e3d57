"""Our live streams as an implementation that answers conformance requests (RFC 7574 section 6)."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from interop.conformance._json import chunks_of, number, octets
from ppsp._subtree import Subtree
from ppsp.constants import ChunkAddressing, ContentIntegrityProtection, MerkleHashFunction
from ppsp.live import codec_of, ntp_timestamp, plaintext
from ppsp.livekeys import LiveKey, signature_size
from ppsp.metadata import SwarmMetadata

_Json = dict[str, Any]
# A key whose algorithm does not matter where only the chunk specification does.
_ANY_KEY = "0f" + "11" * 32


def _plaintext(args: _Json) -> bytes:
    metadata = SwarmMetadata(
        bytes.fromhex(args.get("swarm_id", _ANY_KEY)),
        chunk_size=args.get("chunk_size", 1024),
        chunk_addressing=ChunkAddressing(args["chunk_addressing"]),
        content_integrity=ContentIntegrityProtection.UNIFIED_MERKLE_TREE,
    )
    stamp = int(args["ntp_timestamp"], 16)
    content = octets(args["content"])
    return plaintext(codec_of(metadata), number(args["start"]), number(args["end"]), stamp, content)


def _munro_hash(args: _Json) -> str:
    function = MerkleHashFunction(args["merkle_hash_function"])
    return Subtree.of_chunks(0, args["width"], chunks_of(args), function).root.hex()


CALLS: Mapping[str, Callable[[_Json], Any]] = MappingProxyType(
    {
        "live-signature-size": lambda args: signature_size(bytes.fromhex(args["swarm_id"])),
        "live-plaintext": lambda args: _plaintext(args).hex(),
        "munro-hash": _munro_hash,
        "live-verify": lambda args: LiveKey(bytes.fromhex(args["swarm_id"])).verify(
            bytes.fromhex(args["signature"]), _plaintext(args)
        ),
        "ntp-timestamp": lambda args: f"{ntp_timestamp(args['unix_seconds']):016x}",
    }
)
