"""Swarm metadata (RFC 7574 section 3.1) and the URI that carries it.

No RFC defines a URI for a PPSPP swarm. This one is a magnet link, since it names content by hash, lists trackers and is
ignored without harm by tools that do not know the name space: `magnet:?xt=urn:ppspp:<swarm ID in hex>&dn=…&tr=…`, with
the metadata that differ from the RFC's defaults as `x.cs` (chunk size), `x.mhf` (Merkle hash function), `x.cam` (chunk
addressing method) and `x.cipm` (content integrity protection method), numbers as in section 7, `xl` (content size), and
`x.ca` (who issues membership certificates, section 12.2.2: a SubjectPublicKeyInfo in base64url). Chunks of variable
size are `x.cs=4294967295` (section 7.11); `x.cc` then is the number of chunks.
"""

import base64
from urllib.parse import parse_qsl, quote, urlsplit

import attrs

from ppsp.constants import (
    DEFAULT_CHUNK_SIZE,
    HASH_SIZE,
    MAX_CHUNK_SIZE,
    VARIABLE_CHUNK_SIZE,
    ChunkAddressing,
    ContentIntegrityProtection,
    LiveSignatureAlgorithm,
    MerkleHashFunction,
)
from ppsp.errors import MetadataError
from ppsp.livekeys import algorithm_of, signature_size
from ppsp.merkle import MAX_CHUNKS

_URN = "urn:ppspp:"
_MAX_TRACKERS = 32
# A public key for ECDSA on P-521 has 158 octets.
_MAX_MEMBERSHIP_KEY = 256
_MAX_URI = 8_192
_STATIC = ContentIntegrityProtection.MERKLE_HASH_TREE
_LIVE = (ContentIntegrityProtection.SIGN_ALL, ContentIntegrityProtection.UNIFIED_MERKLE_TREE)


@attrs.frozen
class SwarmMetadata:
    """What a peer must know, from a trusted source, before it can join a swarm (section 3.1).

    `swarm_id` is the root hash of the content's Merkle tree, or the public key of a live stream's source (`livekeys`);
    sizes are octets. `content_size` is None where the size is found from the peak hashes (section 5.6), and of a live
    stream. `membership_key` is the key of who issues membership certificates (`ppsp.membership`): peers of a swarm that
    has one tell each other of members alone.

    `chunk_size` is VARIABLE_CHUNK_SIZE where chunks differ in size (section 7.11); then a number of octets says
    nothing, and `chunk_count` may be given instead. It must be where a chunk is as long as two hashes, which could as
    well be those of two chunks; `ppsp.publish_chunks` always gives it.

    Raises MetadataError for values that no swarm can have.
    """

    swarm_id: bytes
    chunk_size: int = DEFAULT_CHUNK_SIZE
    chunk_addressing: ChunkAddressing = ChunkAddressing.CHUNK32
    content_integrity: ContentIntegrityProtection = ContentIntegrityProtection.MERKLE_HASH_TREE
    merkle_hash_function: MerkleHashFunction = MerkleHashFunction.SHA256
    content_size: int | None = None
    membership_key: bytes | None = None
    chunk_count: int | None = None

    def __attrs_post_init__(self) -> None:
        if not (self.is_live or self.content_integrity is _STATIC):
            raise MetadataError(f"content integrity protection {self.content_integrity.name} is not supported")
        size = HASH_SIZE[self.merkle_hash_function]
        if self.is_live:
            signature_size(self.swarm_id)
            if (self.content_size, self.chunk_count) != (None, None):
                raise MetadataError("a live stream has no content size")
        elif len(self.swarm_id) != size:
            name = self.merkle_hash_function.name
            raise MetadataError(f"a swarm ID under {name} has {size} octets, this one has {len(self.swarm_id)}")
        if not 1 <= self.chunk_size <= MAX_CHUNK_SIZE and not self.is_variable:
            raise MetadataError(f"chunk size {self.chunk_size} is not between 1 and {MAX_CHUNK_SIZE} octets")
        if self.content_size is not None and self.content_size < 1:
            raise MetadataError("content of no octets has no Merkle tree, so no swarm")
        if self.membership_key is not None and not 1 <= len(self.membership_key) <= _MAX_MEMBERSHIP_KEY:
            raise MetadataError(f"a membership key has at most {_MAX_MEMBERSHIP_KEY} octets, and some")
        self._check_variable()

    def _check_variable(self) -> None:
        if not self.is_variable:
            if self.chunk_count is not None:
                raise MetadataError("the number of chunks follows from the size where all chunks have one size")
            return
        # Nobody who lacks a chunk knows at which octet the next one starts, nor the hash of any node above it.
        if self.chunk_addressing is ChunkAddressing.BYTE64:
            raise MetadataError("byte ranges cannot name chunks of variable size: take chunk ranges or bins")
        if self.content_size is not None:
            raise MetadataError("of chunks of variable size their number is given, not the size of the content")
        if self.chunk_count is not None and not 1 <= self.chunk_count <= MAX_CHUNKS:
            raise MetadataError(f"{self.chunk_count} chunks are not between 1 and {MAX_CHUNKS}")

    @property
    def is_variable(self) -> bool:
        """Whether chunks differ in size (section 7.11)."""
        return self.chunk_size == VARIABLE_CHUNK_SIZE

    @property
    def usual_chunk_size(self) -> int:
        """The size of a chunk in octets, or what to take it for until there is one."""
        return DEFAULT_CHUNK_SIZE if self.is_variable else self.chunk_size

    @property
    def expected_chunks(self) -> int | None:
        """The number of chunks, as far as the metadata tell."""
        if self.content_size is None:
            return self.chunk_count
        return -(-self.content_size // self.chunk_size)

    @property
    def is_live(self) -> bool:
        """Whether this is a live stream (section 6), which has no end that is known before."""
        return self.content_integrity in _LIVE

    @property
    def hash_size(self) -> int:
        """Octets of one hash of the tree; 0 under Sign All, which has none."""
        sign_all = self.content_integrity is ContentIntegrityProtection.SIGN_ALL
        return 0 if sign_all else HASH_SIZE[self.merkle_hash_function]

    @property
    def signature_algorithm(self) -> LiveSignatureAlgorithm | None:
        """The algorithm by which a live stream is signed (section 7.7); None of static content."""
        return algorithm_of(self.swarm_id) if self.is_live else None

    @property
    def signature_size(self) -> int:
        """Octets of one signature of a live stream (section 8.9); 0 of static content."""
        return signature_size(self.swarm_id) if self.is_live else 0


@attrs.frozen
class SwarmUri:
    """A swarm's metadata with where to find its peers.

    `str(uri)` is the magnet link, `SwarmUri.parse` reads one. `name` is a file name to suggest, never a path.
    """

    metadata: SwarmMetadata
    trackers: tuple[str, ...] = ()
    name: str | None = None

    def __str__(self) -> str:
        metadata = self.metadata
        parts = [f"xt={_URN}{metadata.swarm_id.hex()}"]
        if self.name:
            parts.append(f"dn={quote(self.name, safe='')}")
        if metadata.content_size is not None:
            parts.append(f"xl={metadata.content_size}")
        if metadata.chunk_count is not None:
            parts.append(f"x.cc={metadata.chunk_count}")
        numbers: tuple[tuple[str, int, int], ...] = (
            ("x.cs", metadata.chunk_size, DEFAULT_CHUNK_SIZE),
            ("x.mhf", metadata.merkle_hash_function, MerkleHashFunction.SHA256),
            ("x.cam", metadata.chunk_addressing, ChunkAddressing.CHUNK32),
            ("x.cipm", metadata.content_integrity, _STATIC),
        )
        parts += [f"{key}={int(value)}" for key, value, usual in numbers if value != usual]
        if metadata.membership_key is not None:
            parts.append(f"x.ca={base64.urlsafe_b64encode(metadata.membership_key).rstrip(b'=').decode()}")
        parts += [f"tr={quote(tracker, safe='')}" for tracker in self.trackers]
        return "magnet:?" + "&".join(parts)

    @classmethod
    def parse(cls, text: str) -> "SwarmUri":
        """Read a magnet link; raises MetadataError with one sentence when it names no PPSPP swarm."""
        if len(text) > _MAX_URI:
            raise MetadataError(f"a swarm URI of {len(text)} characters is longer than {_MAX_URI}")
        try:
            parts = urlsplit(text.strip())
            if parts.scheme != "magnet":
                raise MetadataError(f"a swarm URI starts with magnet:?xt={_URN}…, this starts with {text[:20]!r}")
            pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True, max_num_fields=64)
        except ValueError as exc:
            if isinstance(exc, MetadataError):
                raise
            raise MetadataError(f"this is not a swarm URI: {exc}") from exc
        # An issuer that is left out by mistake must not make peers believe anybody.
        pairs = [(key, value) for key, value in pairs if value or key == "x.ca"]
        topics = [value for key, value in pairs if key == "xt" and value.startswith(_URN)]
        if len(topics) != 1:
            raise MetadataError(f"a swarm URI has one xt={_URN}…, this has {len(topics)}")
        return cls(
            _metadata(topics[0].removeprefix(_URN), dict(pairs)),
            tuple(value for key, value in pairs if key == "tr")[:_MAX_TRACKERS],
            _file_name(dict(pairs).get("dn")),
        )


def _metadata(topic: str, fields: dict[str, str]) -> SwarmMetadata:
    try:
        swarm_id = bytes.fromhex(topic)
    except ValueError as exc:
        raise MetadataError("the swarm ID in the URI is not hexadecimal") from exc
    try:
        return SwarmMetadata(
            swarm_id,
            chunk_size=_number(fields, "x.cs", DEFAULT_CHUNK_SIZE),
            chunk_addressing=ChunkAddressing(_number(fields, "x.cam", ChunkAddressing.CHUNK32)),
            content_integrity=ContentIntegrityProtection(_number(fields, "x.cipm", _STATIC)),
            merkle_hash_function=MerkleHashFunction(_number(fields, "x.mhf", MerkleHashFunction.SHA256)),
            content_size=_number(fields, "xl", 0) if "xl" in fields else None,
            membership_key=_base64(fields["x.ca"]) if "x.ca" in fields else None,
            chunk_count=_number(fields, "x.cc", 0) if "x.cc" in fields else None,
        )
    except MetadataError:
        raise
    except ValueError as exc:
        raise MetadataError(f"the swarm URI has {exc}") from exc


def _number(fields: dict[str, str], key: str, default: int) -> int:
    text = fields.get(key)
    if text is None:
        return int(default)
    if not (text.isascii() and text.isdigit() and len(text) <= 19):
        raise MetadataError(f"{key}={text[:20]} in the swarm URI is not a number")
    return int(text)


def _base64(text: str) -> bytes:
    """Octets in base64url. Raises MetadataError: what is skipped would be part of another key."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError as exc:
        raise MetadataError("x.ca in the swarm URI is not base64url") from exc


def _file_name(text: str | None) -> str | None:
    """The last part of what a link suggests: it comes from a stranger and must not choose a folder."""
    if not text:
        return None
    name = text.replace("\\", "/").rsplit("/", 1)[-1]
    name = "".join(char for char in name if char.isprintable())[:255]
    return None if name in ("", ".", "..") else name
