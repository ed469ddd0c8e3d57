"""Documents by file name or URL, as they are."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from alto._json import Json, JsonError, loads
from alto.client.client import Client
from alto.client.fetch import Fetched, Plan, fetch
from alto.http import Request
from interop.cli._errors import FailureError, MistakeError, reason
from interop.cli.alto._client import Access, connected

if TYPE_CHECKING:
    pass

STDIN = "-"
_URL = re.compile(r"https?://\S+", re.IGNORECASE)


@attrs.frozen
class Octets:
    """What is in a file or at a URL, and the Content-Type if anybody says it."""

    body: bytes
    media_type: str | None = None
    uri: str | None = None


def is_url(text: str) -> bool:
    """Whether this is no file."""
    return _URL.match(text) is not None


async def read(access: Access, where: str) -> Octets:
    """The octets in a file, on standard input, or at a URL. Raises click's exceptions."""
    if not is_url(where):
        return Octets(read_file(where))
    async with connected(access, where) as alto:
        fetched = await alto.run(get(alto.client))
        return Octets(fetched.response.body, fetched.response.header("content-type"), fetched.uri)


def read_file(name: str) -> bytes:
    """The octets in a file or on standard input. Raises MistakeError."""
    if name == STDIN:
        return sys.stdin.buffer.read()
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise MistakeError(f"cannot read {name}: {reason(error)}") from error


async def read_tree(access: Access, where: str) -> Json:
    """The JSON in a file or at a URL. Raises click's exceptions."""
    try:
        return loads((await read(access, where)).body)
    except JsonError as error:
        raise FailureError(f"{where} is no JSON: {error}") from error


def get(client: Client) -> Plan[Fetched]:
    """Whatever is at the client's URL."""
    return (yield from fetch(client.session, Request("GET", client.root_uri, (("Accept", "*/*"),))))
