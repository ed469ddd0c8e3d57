"""How a peer behind a NAT is to be reached: through which STUN and TURN servers (RFC 8489, RFC 8656)."""

from __future__ import annotations

import re

import attrs

__all__ = ["NatError", "NatSettings", "TurnServer"]

_TURN_PORT = 3478
_URI = re.compile(r"turn:(\[[0-9A-Fa-f:.]+\]|[^\[\]:?/@\s]+)(?::([0-9]{1,5}))?(?:\?transport=(udp|tcp))?")


class NatError(ValueError):
    """The text names no TURN server; it says why, in one line."""


@attrs.frozen
class TurnServer:
    """A relay, and who may use it. `transport` is `udp` or `tcp`, of the way to the relay only."""

    host: str
    port: int
    transport: str = "udp"
    username: str | None = None
    password: str | None = attrs.field(default=None, repr=False)

    @classmethod
    def parse(cls, uri: str, username: str | None = None, password: str | None = None) -> TurnServer:
        """From a URI like `turn:relay.example:3478?transport=udp` (RFC 7065), which has no room for a secret.

        Raises NatError.
        """
        match = _URI.fullmatch(uri)
        if match is None or not 0 < int(match[2] or _TURN_PORT) < 2**16:
            raise NatError(f"{uri!r} is not a TURN server, such as turn:relay.example:3478 (?transport=tcp)")
        host = match[1].removeprefix("[").removesuffix("]")
        return cls(host, int(match[2] or _TURN_PORT), match[3] or "udp", username, password)


@attrs.frozen
class NatSettings:
    """A STUN server, as host and port, and a TURN server, which serves as the former too where that is not named.

    Raises ValueError when neither is.
    """

    stun: tuple[str, int] | None = None
    turn: TurnServer | None = None

    def __attrs_post_init__(self) -> None:
        if self.stun is None and self.turn is None:
            raise ValueError("neither a STUN nor a TURN server")
