"""Documents that depend on each other, followed each in its own TIPS view (RFC 9569 section 8.2, RFC 8895 section 9.2).

"A client must process the updates following the guidelines" of RFC 8895: a cost map is of use only with the version of
the network map that it was made for. Of RFC 9569 the late draft was at hand; the section number is the draft's.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from alto.directory import Document
from alto.errors import StateError
from alto.findings import Findings
from alto.types import VTag
from alto.vtags import parse_vtag


class DependentDocuments:
    """The latest documents of some resources, and the latest of them that belong together.

    Of each resource the newest document is kept and the one that is shown, whatever comes in whatever order.
    """

    def __init__(self, resource_ids: Iterable[str]) -> None:
        self._newest: dict[str, Document | None] = dict.fromkeys(resource_ids)
        self._shown: Mapping[str, Document] = MappingProxyType({})

    @property
    def shown(self) -> Mapping[str, Document]:
        """The last documents that belonged together, one of each resource; empty before there were any."""
        return self._shown

    def take(self, resource_id: str, document: Document) -> bool:
        """A new version; whether all the newest documents now belong together, and are `shown`.

        Raises StateError for a resource that is none of these.
        """
        if resource_id not in self._newest:
            raise StateError(f"{resource_id!r} is not followed here")
        self._newest[resource_id] = document
        found = {name: newest for name, newest in self._newest.items() if newest is not None}
        if len(found) < len(self._newest) or not all(self._fits(newest) for newest in found.values()):
            return False
        self._shown = MappingProxyType(found)
        return True

    def _fits(self, document: Document) -> bool:
        """Whether what it depends on is here in that version, or is not followed at all."""
        for needed in dependencies(document):
            held = self._newest.get(needed.resource_id)
            if held is not None and held.vtag is not None and held.vtag != needed:
                return False
        return True


def dependencies(document: Document) -> tuple[VTag, ...]:
    """The `dependent-vtags` of a document, as far as they are any; of a multipart answer none are known."""
    kind = document.media_type.partition(";")[0].strip().lower()
    tree = document.tree if kind.endswith("json") else None
    meta = tree.get("meta") if isinstance(tree, dict) else None
    listed = meta.get("dependent-vtags") if isinstance(meta, dict) else None
    findings = Findings(strict=False)
    parsed = (parse_vtag(each, findings, "") for each in (listed if isinstance(listed, list) else ()))
    return tuple(vtag for vtag in parsed if vtag is not None)
