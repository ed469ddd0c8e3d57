"""Our membership certificates as an implementation that answers conformance requests (RFC 7574 section 12.2)."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from ppsp.membership import MembershipVerifier

_Json = dict[str, Any]


def _check(args: _Json) -> _Json:
    verifier = MembershipVerifier(bytes.fromhex(args["public_key"]))
    certificate, swarm_id = bytes.fromhex(args["certificate"]), bytes.fromhex(args["swarm_id"])
    host, port = verifier.check(certificate, swarm_id, args["unix_time"])
    return {"host": host, "port": port}


CALLS: Mapping[str, Callable[[_Json], Any]] = MappingProxyType({"membership-check": _check})
