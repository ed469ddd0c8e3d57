"""HTTP Digest (RFC 7616) as text: what its header fields say, and the digests in them. Only qop=auth."""

import hashlib
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias
from urllib.parse import quote, unquote_to_bytes

Parameters: TypeAlias = Mapping[str, str]

MAX_FIELD = 4096
"""Characters of a header field that are looked at: no user's name is so long."""

ALGORITHMS: Mapping[str, Callable[[bytes], str]] = MappingProxyType(
    {
        "SHA-256": lambda data: hashlib.sha256(data).hexdigest(),
        "MD5": lambda data: hashlib.md5(data, usedforsecurity=False).hexdigest(),
    }
)
"""The strongest first."""

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_PARAMETER = re.compile(rf'({_TOKEN})[ \t]*=[ \t]*(?:({_TOKEN})|"((?:[^"\\]|\\.)*)")[ \t]*')
_SCHEME = re.compile(rf"({_TOKEN})(?:[ \t]+|[ \t]*(?=,|\Z))")
_COMMAS = re.compile(r"[ \t,]*")
_TOKEN_68 = re.compile(r"[A-Za-z0-9\-._~+/]+=*[ \t]*(?=,|\Z)")


def parse_challenges(text: str) -> list[tuple[str, Parameters]]:
    """The schemes (in lower case) of a WWW-Authenticate or Authorization field, each with its parameters.

    Empty for what cannot be read as such (RFC 9110 section 11.2), and where a parameter stands twice.
    """
    found: list[tuple[str, dict[str, str]]] = []
    if len(text) > MAX_FIELD:
        return []
    at = _end(_COMMAS, text, 0)
    while at < len(text):
        parameter = _PARAMETER.match(text, at)
        if parameter is not None and found:
            name, token, quoted = parameter.groups()
            parameters = found[-1][1]
            if name.lower() in parameters:
                return []
            parameters[name.lower()] = token if token is not None else re.sub(r"\\(.)", r"\1", quoted)
            at = parameter.end()
        else:
            scheme = _SCHEME.match(text, at)
            if scheme is None:
                return []
            found.append((scheme[1].lower(), {}))
            at = scheme.end()
            if (opaque := _TOKEN_68.match(text, at)) is not None:
                at = opaque.end()
            elif at < len(text) and text[at] != ",":
                continue
        if at < len(text) and text[at] != ",":
            return []
        at = _end(_COMMAS, text, at)
    return list(found)


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match is not None else at


def secret_digest(algorithm: str, username: str, realm: str, password: str) -> str:
    """H(A1): all that a server has to know of a password (RFC 7616 section 3.4.2)."""
    return ALGORITHMS[algorithm](f"{username}:{realm}:{password}".encode())


def response_digest(algorithm: str, secret: str, *, method: str, uri: str, nonce: str, nc: str, cnonce: str) -> str:
    """What proves that one knows `secret` (section 3.4.1, qop=auth)."""
    digest = ALGORITHMS[algorithm]
    request = digest(f"{method}:{uri}".encode("utf-8", "surrogatepass"))
    return digest(f"{secret}:{nonce}:{nc}:{cnonce}:auth:{request}".encode("utf-8", "surrogatepass"))


def quoted(text: str) -> str:
    """A quoted-string (RFC 9110 section 5.6.4)."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def username_parameter(username: str) -> str:
    """The username as a parameter; in the notation of RFC 8187 where it needs it (RFC 7616 section 3.4)."""
    if username.isascii() and username.isprintable():
        return f"username={quoted(username)}"
    return f"username*=UTF-8''{quote(username, safe='')}"


def username_of(parameters: Parameters) -> str | None:
    """The username in the parameters; None where there is none, or two."""
    plain, extended = parameters.get("username"), parameters.get("username*")
    if extended is None:
        return None if plain is None else _utf_8(plain)
    charset, quote_mark, rest = extended.partition("'")
    if plain is not None or charset.upper() != "UTF-8" or not quote_mark or "'" not in rest:
        return None
    try:
        return unquote_to_bytes(rest.partition("'")[2]).decode("utf-8")
    except UnicodeDecodeError:
        return None


def _utf_8(text: str) -> str:
    """Octets beyond ASCII in a field are Latin-1 to the HTTP library and UTF-8 by the challenge's charset."""
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text
