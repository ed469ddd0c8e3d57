"""Words that the commands take: names, tokens, sizes, lengths of time."""

from __future__ import annotations

import base64
import binascii
import re
import time
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

import attrs
import click

from decade.client_exchange import Credential, is_confidential, origin
from decade.errors import DecodeError
from decade.named import named_path, read_named_path
from decade.names import Name, NiUri, read_ni, read_nih, read_path
from decade.tokens import MAX_TOKEN
from decade.values import MAX_COLLECTION, SignedName
from interop._decade_files import FileSource
from interop.cli._errors import MistakeError, reason
from interop.decade_server.config import read_size

_SPAN = re.compile(r"([0-9]{1,9})(s|min|m|h|d|w)?", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400, None: 1}
_RATE = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?) ?([kMGT]?)(?:bit/s|bps)?", re.ASCII)
_POWERS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


@attrs.frozen
class Target:
    """An object, where it may be, and the token that came with it."""

    uri: NiUri
    server: str | None = None
    credential: Credential | None = None


def read_token(text: str) -> Credential:
    """A token in base64url. Raises MistakeError, which does not show it."""
    text = text.strip()
    try:
        return Credential.of(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
    except (DecodeError, binascii.Error, ValueError) as error:
        raise MistakeError("what is given as a token is none: base64url of a COSE structure is due") from error


def read_token_or_file(text: str) -> Credential:
    """A token in base64url, or in a file with that. Raises MistakeError."""
    path = Path(text)
    try:
        is_file = len(text) < 255 and path.is_file()
        text = path.read_text("ascii", errors="replace")[: 2 * MAX_TOKEN] if is_file else text
    except OSError as error:
        raise MistakeError(f"{path}: {reason(error)}") from error
    return read_token(text)


def read_target(text: str) -> Target | None:
    """An object by an ni or nih URI, or by its URL at a server, perhaps with its token; None for something else.

    Raises MistakeError for what looks like one and is none.
    """
    scheme = text.partition(":")[0].lower()
    try:
        if scheme == "ni":
            uri = read_ni(text)
            return Target(uri, _server_of(uri.authority))
        if scheme == "nih":
            return Target(NiUri(read_nih(text)))
        if scheme in ("http", "https"):
            return _of_url(text)
    except DecodeError as error:
        raise MistakeError(str(error)) from error
    except ValueError as error:
        raise MistakeError(f"{text!r:.80} is no URL: {error}") from error
    return None


def _server_of(authority: str) -> str | None:
    """An authority is a hint where the object may be (RFC 6920 section 3)."""
    local = f"http://{authority}"
    return (local if is_confidential(local) else f"https://{authority}") if authority else None


def _of_url(text: str) -> Target:
    parts = urlsplit(text)
    uri = read_path(f"{parts.path}?{parts.query}" if parts.query else parts.path)
    token = next((value for key, value in uri.parameters if key == "dt"), None)
    kept = tuple((key, value) for key, value in uri.parameters if key != "dt")
    return Target(NiUri(uri.name, "", kept), origin(text), None if token is None else read_token(token))


def read_named(text: str) -> tuple[SignedName, str] | None:
    """A signed name by its URL at a server, and the origin of that; None for something else.

    Raises MistakeError for what looks like one and is none.
    """
    try:
        found = read_named_path(urlsplit(text).path) if text.lower().startswith(("http://", "https://")) else None
    except (DecodeError, ValueError) as error:
        raise MistakeError(f"{text!r:.80} is no URL of a signed name: {error}") from error
    return None if found is None else (found, origin(text))


def named_url(signed: SignedName, server: str) -> str:
    """The URL of a signed name at a server."""
    return server + named_path(signed)


def read_label(text: str) -> bytes:
    """The label of a signed name: text, or octets in hexadecimal behind 0x. Raises MistakeError."""
    try:
        label = bytes.fromhex(text[2:]) if text.startswith("0x") else text.encode()
    except ValueError as error:
        raise MistakeError(f"{text!r:.80} is no label: hexadecimal is due behind 0x") from error
    if not 1 <= len(label) <= MAX_COLLECTION:
        raise MistakeError(f"a label has 1 to {MAX_COLLECTION} octets")
    return label


def read_name(text: str) -> Name:
    """The name of an object. Raises MistakeError."""
    target = read_target(text)
    if target is None:
        raise MistakeError(f"{text!r:.80} is no name of an object, such as ni:///sha-256;f4OxZX_x_FO5...")
    return target.uri.name


def read_object(text: str) -> tuple[Name, int | None]:
    """The name of an object, or of what is in a file, with its size. Raises MistakeError."""
    target = read_target(text)
    if target is not None:
        return target.uri.name, None
    try:
        source = FileSource.whole(Path(text))
        return source.name(), source.size
    except OSError as error:
        raise MistakeError(f"{text}: neither the name of an object nor a file: {reason(error)}") from error


class Size(click.ParamType[int]):
    """Octets: `500MB`, `1.5GiB`, `4096`."""

    name = "size"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return read_size(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Span(click.ParamType[int]):
    """A length of time, in seconds: `90s`, `10m`, `7d`."""

    name = "time"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        found = _SPAN.fullmatch(value.strip())
        if found is None:
            self.fail(f"{value!r:.40} is no length of time, such as 90s, 10m, 12h or 7d", param, ctx)
        return int(found[1]) * _SECONDS[found[2]]


class Rate(click.ParamType[int]):
    """Bits a second: `500k`, `1.5M`."""

    name = "rate"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        found = _RATE.fullmatch(value.strip())
        if found is None:
            self.fail(f"{value!r:.40} is no rate in bits a second, such as 500k or 1.5M", param, ctx)
        return round(float(found[1]) * _POWERS[found[2]])


class When(click.ParamType[int]):
    """A moment, as a Unix time: `now`, a Unix time, or a date and time such as 2026-11-26T12:00."""

    name = "when"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        if value == "now":
            return int(time.time())
        if value.isascii() and value.isdecimal() and len(value) < 12:
            return int(value)
        try:
            return int(datetime.fromisoformat(value).timestamp())
        except (ValueError, OverflowError, OSError):
            self.fail(f"{value!r:.40} is no moment: now, a Unix time or 2026-11-26T12:00 is due", param, ctx)


def read_collections(words: tuple[str, ...]) -> tuple[bytes, ...]:
    """Names of collections. Raises MistakeError for what is too long."""
    names = tuple(word.encode() for word in words)
    for name in names:
        if not 1 <= len(name) <= MAX_COLLECTION:
            raise MistakeError(f"the name of a collection has 1 to {MAX_COLLECTION} octets")
    return names
