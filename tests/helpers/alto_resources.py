"""Resources of one line each, to serve in tests of the server itself."""

import secrets
from collections.abc import Callable, Mapping
from typing import Any

from attrs import field, frozen

from alto.directory import Directory, Document, Query, RequestContext
from alto.errors import ErrorCode, RequestError
from alto.http import Answer, Headers, Pending, Request, Response, Stream
from alto.params import fields, required
from alto.types import CostType

MAP = "application/alto-networkmap+json"
COST = "application/alto-endpointcost+json"
PARAMS = "application/alto-endpointcostparams+json"


@frozen
class Data:
    """A resource that one GETs."""

    id: str
    data: Any = None
    media_type: str = MAP
    uses: tuple[str, ...] = ()
    is_private: bool = False
    cost_types: Mapping[str, CostType] = field(factory=dict)
    asked: list[Query] = field(factory=list, eq=False)
    accepts: str | None = None

    def capabilities(self, directory: Directory) -> dict[str, Any]:
        return {"cost-type-names": list(self.cost_types)} if self.cost_types else {}

    def depends_on(self, directory: Directory) -> tuple[object, ...]:
        return (repr(self.data), *(repr(directory.find(used, Data).data) for used in self.uses))

    def answer(self, query: Query) -> Document:
        self.asked.append(query)
        used = {name: query.directory.find(name, Data).data for name in self.uses}
        return Document(self.media_type, {"meta": {}, "data": self.data, **used})


@frozen
class Echo:
    """A resource that one POSTs to: `{"say": text}` comes back with who has asked."""

    id: str = "echo"
    is_private: bool = False
    media_type: str = COST
    accepts: str | None = PARAMS
    uses: tuple[str, ...] = ()
    cost_types: Mapping[str, CostType] = field(factory=dict)
    asked: list[Query] = field(factory=list, eq=False)

    def capabilities(self, directory: Directory) -> dict[str, Any]:
        return {}

    def depends_on(self, directory: Directory) -> tuple[object, ...]:
        return ()

    def answer(self, query: Query) -> Document:
        self.asked.append(query)
        text = required(fields(query.input), "say", str)
        if text == "crash":
            raise ZeroDivisionError("the secret of the resource")
        if text == "refuse":
            raise RequestError(ErrorCode.INVALID_FIELD_VALUE, field="say", value=text)
        return Document(self.media_type, {"meta": {}, "said": text, "by": query.context.user})
