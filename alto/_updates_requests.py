"""What is posted to an update stream service and to its stream control services (RFC 8895 sections 6.5, 7.5)."""

from attrs import frozen

from alto._json import Json
from alto.errors import ErrorCode, RequestError
from alto.findings import is_json, join
from alto.params import bad_value, fields, optional, required
from alto.types import is_resource_id


@frozen
class AddUpdateReq:
    """A substream that a client asks for."""

    substream_id: str
    resource_id: str
    tag: str | None
    incremental_changes: bool
    has_input: bool
    input: Json
    """An empty object where there is none."""


def read_add(tree: dict[str, Json]) -> list[AddUpdateReq]:
    """The member `add`; empty where it is absent or empty. Raises RequestError."""
    add = optional(tree, "add", dict)
    return [_read_one(substream_id, value) for substream_id, value in (add or {}).items()]


def read_remove(tree: dict[str, Json]) -> list[str] | None:
    """The member `remove`, each ID once; None where it is absent. Raises RequestError."""
    remove = optional(tree, "remove", list)
    if remove is None:
        return None
    for element in remove:
        if not is_json(element, str):
            raise bad_value("remove", element)
    return list(dict.fromkeys(remove))


def nothing_added() -> RequestError:
    """The error of a request that names no resource (section 6.6)."""
    return RequestError(ErrorCode.MISSING_FIELD, field="add")


def _read_one(substream_id: str, value: Json) -> AddUpdateReq:
    if not is_resource_id(substream_id):
        raise bad_value("add", substream_id)
    path = join("add", substream_id)
    entry = fields(value, path)
    resource_id: str = required(entry, "resource-id", str, path)
    tag: str | None = optional(entry, "tag", str, path)
    incremental = optional(entry, "incremental-changes", bool, path)
    has_input = "input" in entry
    return AddUpdateReq(
        substream_id, resource_id, tag, incremental is not False, has_input, entry["input"] if has_input else {}
    )
