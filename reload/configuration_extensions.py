"""What other RFCs add to a Configuration Document: RFC 7263, 7264, 7363, 7374, 7851 and 7904."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from reload import _configuration_values as values
from reload.configuration import Configuration
from reload.errors import DecodeError
from reload.kinds import Extension, Kind

ROUTE_MODE = "urn:ietf:params:xml:ns:p2p:route-mode"
SELF_TUNING = "urn:ietf:params:xml:ns:p2p:self-tuning"
REDIR = "urn:ietf:params:xml:ns:p2p:redir"
DIAGNOSTICS = "urn:ietf:params:xml:ns:p2p:config-diagnostics"
SIP = "urn:ietf:params:xml:ns:p2p:config-base:sip"
NAMESPACES = frozenset({ROUTE_MODE, SELF_TUNING, REDIR, DIAGNOSTICS, SIP})
"""As they stand in mandatory-extension."""

_MAX_UNSIGNED = 0xFFFFFFFF


def route_mode(configuration: Configuration) -> str | None:
    """DRR or RPR, the preferred routing mode; None without one (RFC 7263 section 6). Raises DecodeError."""
    found = _text(configuration.extensions, ROUTE_MODE, "mode")
    if found not in (None, "DRR", "RPR"):
        raise DecodeError(f"route-mode: {found!r:.40} is neither DRR nor RPR")
    return found


def number_of_peers_to_probe(configuration: Configuration) -> int:
    """Fingers that are asked for their estimates (RFC 7363 section 7). Raises DecodeError."""
    found = _text(configuration.extensions, SELF_TUNING, "number-of-peers-to-probe")
    return 4 if found is None else values.integer(0, _MAX_UNSIGNED)(found)


def branching_factor(kind: Kind, configuration: Configuration | None = None) -> int:
    """Of the ReDiR tree: in the kind element by the text, in the configuration by the schema (RFC 7374 section 8).

    Raises DecodeError.
    """
    found = _text(kind.extensions, REDIR, "branching-factor")
    if found is None and configuration is not None:
        found = _text(configuration.extensions, REDIR, "branching-factor")
    return 10 if found is None else values.integer(2, _MAX_UNSIGNED)(found)


def diagnostic_access(configuration: Configuration) -> Mapping[int, frozenset[bytes]]:
    """Which Node-IDs may have which kind of diagnostic information; nobody has what is not there.

    RFC 7851 section 7. Raises DecodeError.
    """
    found: dict[int, frozenset[bytes]] = {}
    for element in configuration.extensions:
        if (element.namespace, element.name) == (DIAGNOSTICS, "diagnostic-kind"):
            digits = element.attributes.get("kind", "")
            try:
                kind = int(digits, 16)
            except ValueError as exc:
                raise DecodeError(f"diagnostic-kind: {digits!r:.40} is not hexadecimal") from exc
            nodes = [values.node_id(child.text) for child in element.children if child.name == "access-node"]
            found[kind] = found.get(kind, frozenset()).union(nodes)
    return found


@attrs.frozen
class DomainRestrictions:
    """Whose addresses of record may be registered: those of the overlay's name only, or, if `enable`, by patterns.

    The patterns are extended regular expressions of POSIX.
    """

    enable: bool
    patterns: tuple[str, ...]


def domain_restrictions(kind: Kind, configuration: Configuration | None = None) -> DomainRestrictions | None:
    """None: any address of record may be registered (RFC 7904 section 3.4).

    The element is named domain-restrictions in the text and domain-restriction in the schema. Raises DecodeError.
    """
    elements = kind.extensions + (configuration.extensions if configuration is not None else ())
    for element in elements:
        if element.namespace == SIP and element.name in ("domain-restrictions", "domain-restriction"):
            enable = values.boolean(element.attributes.get("enable", "false"))
            patterns = tuple(
                child.text for child in element.children if (child.namespace, child.name) == (SIP, "pattern")
            )
            return DomainRestrictions(enable, patterns)
    return None


def _text(elements: tuple[Extension, ...], namespace: str, name: str) -> str | None:
    found = [element.text for element in elements if (element.namespace, element.name) == (namespace, name)]
    if len(found) > 1:
        raise DecodeError(f"{name}: it may stand there once only")
    return found[0] if found else None
