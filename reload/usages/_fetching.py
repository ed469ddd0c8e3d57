"""The values of one Kind at one resource, as all usages fetch them."""

from __future__ import annotations

from reload.contents import ErrorCode
from reload.errors import EncodeError, StateError
from reload.operations import Failed, Fetch, Fetched, KindValues, Plan, Wanted
from reload.storage_messages import Specifier


def fetch_kind(resource_id: bytes, kind: int, specifier: Specifier) -> Plan[KindValues | Failed]:
    """The values of a Kind; none where nothing is known of the resource."""
    try:
        result = yield Fetch(resource_id, (Wanted(kind, specifier),))
    except (StateError, EncodeError) as exc:  # such as for a Kind that the overlay does not have
        return Failed(None, str(exc))
    match result:
        case Fetched(kinds):
            return kinds.get(kind, KindValues(kind, 0, ()))
        case Failed(error) as failed:
            if error is not None and error.error_code == ErrorCode.NOT_FOUND:
                return KindValues(kind, 0, ())
            return failed
        case other:
            return Failed(None, f"{type(other).__name__} in answer to a Fetch")
