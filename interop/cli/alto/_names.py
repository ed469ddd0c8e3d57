"""What kinds of resources are called."""

from __future__ import annotations

from alto import media
from alto.ird import ResourceEntry

_KINDS = {
    media.DIRECTORY: "directory",
    media.NETWORK_MAP: "network map",
    media.COST_MAP: "cost map",
    media.ENDPOINT_PROPERTIES: "endpoint properties",
    media.ENDPOINT_COST: "endpoint costs",
    media.PROPERTY_MAP: "property map",
    media.CDNI: "CDNI advertisement",
    media.EVENT_STREAM: "update stream",
    media.TIPS: "TIPS",
}
_FILTERED = (media.NETWORK_MAP, media.COST_MAP, media.PROPERTY_MAP, media.CDNI)


def kind_of(entry: ResourceEntry) -> str:
    """`filtered cost map`, `update stream`; an unknown one by its media type."""
    kind = _KINDS.get(entry.document_type or "", entry.media_type)
    if entry.is_multipart:
        return f"path vectors ({kind})"
    return f"filtered {kind}" if entry.document_type in _FILTERED and entry.accepts is not None else kind
