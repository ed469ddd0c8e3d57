"""How a swarm of static content is put together."""

from ppsp._content import Content
from ppsp._events import EventQueue
from ppsp._ranges import RangeSet
from ppsp._swarm import PickerFactory, Swarm
from ppsp._unit_codecs import codec_of
from ppsp._variable_content import VariableContent
from ppsp.merkle import MerkleTree
from ppsp.metadata import SwarmMetadata
from ppsp.pex import PeerExchange
from ppsp.policies import TitForTat
from ppsp.ports import ChunkStore, UploadPolicy, VariableStore


def new_static_swarm(
    metadata: SwarmMetadata,
    events: EventQueue,
    *,
    store: ChunkStore | VariableStore,
    tree: MerkleTree | None,
    have: RangeSet | None,
    content_size: int | None,
    picker: PickerFactory,
    policy: UploadPolicy | None,
    exchange: PeerExchange | None,
    epoch: float,
    seed: int,
    strict: bool,
) -> Swarm:
    """The parts of `Endpoint.add_swarm`."""
    kind = VariableContent if metadata.is_variable else Content
    # Which of the two kinds of store it is, the metadata say.
    content = kind(metadata, store, tree, have, content_size)  # type: ignore[arg-type]
    return Swarm(
        content,
        codec_of(metadata, lambda: content.content_size),
        picker,
        events,
        epoch=epoch,
        seed=seed,
        strict=strict,
        policy=policy or TitForTat(),
        exchange=exchange,
    )
