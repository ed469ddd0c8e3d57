"""The other server of a transfer: where its objects are, whom the token for it is for, where it may send us (PROFILE.md
section 11; RFC 7069 sections 6.4 and 8).

Everything here came from a client or from a server that nobody vouches for. It decides about texts alone; whether an
address may be asked is the driver's to say, when it has resolved the host.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from urllib.parse import urljoin, urlsplit

import attrs

from decade import cbor
from decade.cose import MAC0, SIGN1, read_cose
from decade.errors import DecodeError, ErrorCode, RefusedError
from decade.http import Headers
from decade.messages import Remote
from decade.names import WELL_KNOWN, Name
from decade.tokens import CWT, MAX_TOKEN

MAX_REDIRECTS = 5
"""Redirects of one object in one attempt: a cluster needs one, a location service in front of it another."""
MAX_URI = 2048
_MAX_ORIGIN = 280
"""Characters: a name of the DNS has 253."""
_TEMPLATE = WELL_KNOWN + "{alg}/{val}"
_AUDIENCE = 3
_HTTPS = 443
_TAGS = frozenset({CWT, SIGN1, MAC0})
_HOST = r"(?:[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?)*|\[[0-9a-f:.]{2,45}\])"
_ORIGIN = re.compile(rf"https://{_HOST}(?::[1-9][0-9]{{0,4}})?")
_URI = re.compile(r"[!#-;=?-\[\]_a-z~]+")


def origin_of(uri: str) -> str:
    """Scheme, host and port of a URI, as they are spelled."""
    return "/".join(uri.split("/", 3)[:3])


def check_origin(origin: str) -> str:
    """The same. Raises RefusedError (MALFORMED) unless it is an https origin without credentials, in its one spelling:
    in lower case, without the port 443, and without a dot at the end of the host.
    """
    is_one = len(origin) <= _MAX_ORIGIN and _ORIGIN.fullmatch(origin) is not None
    if not is_one or _port(origin) > 65535 or _port(origin) == _HTTPS:
        raise RefusedError(ErrorCode.MALFORMED, "a remote server is an https origin, such as https://storage.example")
    return origin


def read_remote(remote: Remote, ourselves: str) -> str:
    """The origin of a remote server.

    Raises RefusedError: MALFORMED for another template than that of RFC 6920 at an https origin and for an identifier
    that is not this origin, LOOP_DETECTED for ourselves and when no server may follow.
    """
    template = remote.object_template
    origin = check_origin(template.removesuffix(_TEMPLATE))
    if origin == template or remote.server not in (None, origin):
        raise RefusedError(ErrorCode.MALFORMED, f"a remote server has its objects at https://its.origin{_TEMPLATE}")
    if origin == ourselves or remote.hop_limit == 0:
        raise RefusedError(ErrorCode.LOOP_DETECTED, "the remote server is this one, or none may follow")
    return origin


def object_uri(origin: str, name: Name) -> str:
    """Where a server has an object."""
    return origin + name.path


def follow(target: str, location: str | None, ourselves: str) -> str:
    """Where a redirect leads: to an https URI without credentials.

    Raises RefusedError: REMOTE_REFUSED for anything else, LOOP_DETECTED when it leads back to us.
    """
    try:
        parts = urlsplit(urljoin(target, location or ""))
        origin = check_origin(_spelled(parts.scheme, parts.netloc))
    except (ValueError, RefusedError) as exc:
        raise RefusedError(ErrorCode.REMOTE_REFUSED, "a redirect to no https URI") from exc
    following = origin + (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not location or len(following) > MAX_URI or not _URI.fullmatch(following):
        raise RefusedError(ErrorCode.REMOTE_REFUSED, "a redirect to no https URI")
    if origin == ourselves:
        raise RefusedError(ErrorCode.LOOP_DETECTED, "a redirect to this server")
    return following


@attrs.frozen
class RemoteToken:
    """A token for another server, and the origins that it is for: no other one is sent it."""

    octets: bytes = attrs.field(repr=False)
    audience: tuple[str, ...]

    def headers(self, uri: str) -> Headers:
        """The header field for a request; none if its origin is not, to the character, in the audience."""
        if origin_of(uri) not in self.audience:
            return ()
        text = base64.urlsafe_b64encode(self.octets).rstrip(b"=").decode()
        return (("Authorization", f"Bearer {text}"),)


def read_remote_token(octets: bytes, origin: str) -> RemoteToken:
    """A token as the pulling server sees it: not verified, which only the remote server can.

    Raises RefusedError (MALFORMED) for what is no token of this profile, or not for this origin.
    """
    try:
        audience = _read_audience(octets)
    except DecodeError as exc:
        raise RefusedError(ErrorCode.MALFORMED, f"the token for the remote server: {exc}") from exc
    if origin not in audience:
        raise RefusedError(ErrorCode.MALFORMED, "the token for the remote server is for another one")
    return RemoteToken(octets, audience)


def _read_audience(token: bytes) -> tuple[str, ...]:
    value = cbor.decode(token, max_size=MAX_TOKEN, tags=_TAGS)
    if type(value) is not cbor.Tag or value.tag != CWT:
        raise DecodeError(f"no tag {CWT}")
    claims = cbor.decode(read_cose(value.value).payload)
    audience = claims.get(_AUDIENCE) if isinstance(claims, Mapping) else None
    origins = (audience,) if type(audience) is str else audience
    if type(origins) is not tuple or not origins or any(type(o) is not str for o in origins):
        raise DecodeError("no audience")
    return origins


def _spelled(scheme: str, netloc: str) -> str:
    """An origin as servers spell theirs: another spelling of ours would be no loop, and would get no token."""
    host, colon, port = netloc.lower().removesuffix(f":{_HTTPS}").partition(":")
    return f"{scheme}://{host.removesuffix('.')}{colon}{port}"


def _port(origin: str) -> int:
    port = origin.rpartition(":")[2]
    return int(port) if port.isdecimal() else 0
