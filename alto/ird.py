"""The Information Resource Directory: what a server has, where it is, and what it can do (RFC 7285 section 9)."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

from alto._json import Json
from alto.types import CostType


@frozen
class ResourceEntry:
    """One entry of the `resources` of an IRD (section 9.2.2)."""

    id: str
    uri: str
    """Absolute in what a client has parsed; a server may say it relative to the IRD's own."""
    media_type: str
    """With its parameters, as the IRD says it."""
    accepts: str | None = None
    """The media type of what is POSTed; None for a resource that one GETs."""
    capabilities: Mapping[str, Json] = field(factory=dict, hash=False)
    uses: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Json]:
        """The object of section 9.2.2, without the members that are empty."""
        tree: dict[str, Json] = {"uri": self.uri, "media-type": self.media_type}
        if self.accepts is not None:
            tree["accepts"] = self.accepts
        if self.capabilities:
            tree["capabilities"] = dict(self.capabilities)
        if self.uses:
            tree["uses"] = list(self.uses)
        return tree


@frozen
class InformationResourceDirectory:
    """One IRD (section 9.2): resources by their IDs, and the cost types that its entries name."""

    resources: Mapping[str, ResourceEntry] = field(hash=False)
    cost_types: Mapping[str, CostType] = field(hash=False)
    """Their names hold in this IRD only."""
    default_network_map: str | None = None

    def to_json(self) -> dict[str, Json]:
        """The document of section 9.2.2."""
        meta: dict[str, Json] = {}
        if self.cost_types:
            meta["cost-types"] = {name: cost_type.to_json() for name, cost_type in self.cost_types.items()}
        if self.default_network_map is not None:
            meta["default-alto-network-map"] = self.default_network_map
        return {"meta": meta, "resources": {name: entry.to_json() for name, entry in self.resources.items()}}
