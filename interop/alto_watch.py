"""Documents that stay up to date, over HTTP: an update stream (RFC 8895), else TIPS (RFC 9569)."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from alto import media
from alto._json import Json
from alto.client.errors import ServerError, UnreachableError, retry_delay
from alto.client.reading import json_value
from alto.closure import Closure
from alto.directory import Document
from alto.errors import AltoError, ConfigurationError, DecodeError
from alto.findings import Findings
from alto.ird import ResourceEntry
from alto.media import is_media_type
from alto.multipart import parse
from alto.updates_client import (
    MAX_SILENCE,
    ResourceInvalidated,
    ResourceUpdated,
    StreamBroken,
    StreamEnded,
    StreamMoved,
    StreamRefused,
    SubstreamsStopped,
    UpdateStreamClient,
    subscription,
)

if TYPE_CHECKING:
    from interop.alto_client import AltoClient

FIRST_WAIT = 1.0
LAST_WAIT = 64.0
"""Seconds before a lost stream is opened again: at first and at most, twice as long each time that nothing came."""
MAX_RETRY_AFTER = 3600.0
"""Seconds that a server can have us wait."""
_COME_BACK = (425, 429, 500, 502, 503, 504)

Update: TypeAlias = ResourceUpdated | ResourceInvalidated


async def watch_stream(
    alto: AltoClient, service: ResourceEntry, resource_ids: Sequence[str], inputs: Mapping[str, Json]
) -> AsyncGenerator[Update, None]:
    """The documents of an update stream as they change, without end.

    A document that was taken back (ResourceInvalidated) must not be used before its next update; one of which the
    server sends no more updates is taken back as well. A lost stream is opened again, and so is one of which everything
    was stopped, as by a server that goes down. Raises ServerError where the server refuses for good, DecodeError where
    a strict client has to give up, ConfigurationError.
    """
    closure = await alto.directory()
    asked = {name: subscription(closure.entries[name], service, inputs.get(name)) for name in resource_ids}
    add, shown = asked, set[str]()
    uri = service.uri
    failures = 0
    while True:
        client = UpdateStreamClient(uri, add, findings=Findings(strict=alto.client.strict))
        reason: AltoError | None = None
        async for event in _events(alto, client):
            match event:
                case ResourceUpdated(substream_id=name):
                    failures = 0
                    shown.add(name)
                    yield event
                case ResourceInvalidated(substream_id=name):
                    shown.discard(name)
                    yield event
                case SubstreamsStopped(substream_ids=names):
                    for name in shown.intersection(names):
                        yield ResourceInvalidated(name)
                    shown.difference_update(names)
                case UnreachableError():
                    reason = event
                case StreamRefused(error=error):
                    if error.status not in _COME_BACK:
                        raise error
                    reason = error
                case StreamBroken(reason=text):
                    if alto.client.strict:
                        raise DecodeError(text)
                case StreamEnded() | StreamMoved():
                    pass
        add = client.resumption() or asked  # what was stopped is not in it
        await asyncio.sleep(_pause(failures, reason))
        failures += 1


def _pause(failures: int, reason: AltoError | None) -> float:
    asked = retry_delay(reason.retry_after, time.time()) if isinstance(reason, ServerError) else None
    doubled = min(LAST_WAIT, FIRST_WAIT * 2.0 ** min(failures, 16))
    return doubled if asked is None else min(max(asked, FIRST_WAIT), MAX_RETRY_AFTER)


async def _events(alto: AltoClient, client: UpdateStreamClient) -> AsyncIterator[object]:
    """What happens on one stream, with an UnreachableError at the end of a connection that was lost."""
    is_moving = True
    while is_moving:
        is_moving = False
        try:
            async with alto.open(client.request, silence=MAX_SILENCE) as (response, chunks):
                client.receive_response(response, time.monotonic())
                for event in _taken(alto, client):
                    is_moving = is_moving or isinstance(event, StreamMoved)
                    yield event
                while client.get_timer() is not None and not is_moving:
                    await _receive(client, chunks)
                    for event in _taken(alto, client):
                        yield event
        except UnreachableError as error:
            yield error


async def _receive(client: UpdateStreamClient, chunks: AsyncIterator[bytes]) -> None:
    """Feed the client what comes next, or the time at which it gives up."""
    timer = client.get_timer()
    try:
        async with asyncio.timeout(None if timer is None else max(0.0, timer - time.monotonic())):
            chunk = await anext(chunks, None)
    except TimeoutError:
        client.handle_timer(time.monotonic())
        return
    if chunk is None:
        client.receive_eof(time.monotonic())
    else:
        client.receive_data(chunk, time.monotonic())


def _taken(alto: AltoClient, client: UpdateStreamClient) -> list[object]:
    alto.client.note(client.findings.items)
    events: list[object] = []
    while (event := client.next_event()) is not None:
        events.append(event)
    return events


def stream_for(closure: Closure, resource_ids: Sequence[str]) -> ResourceEntry | None:
    """An update stream service with all these resources; None where there is none."""
    services = closure.of_type(media.EVENT_STREAM, accepts=media.UPDATE_STREAM_PARAMS)
    return next((entry for entry in services if set(resource_ids) <= set(entry.uses)), None)


async def watch(
    alto: AltoClient, resource_ids: Sequence[str], inputs: Mapping[str, Json]
) -> AsyncGenerator[Update, None]:
    """The documents of these resources whenever they change; see `AltoClient.watch`."""
    closure = await alto.directory()
    unknown = [name for name in resource_ids if name not in closure.entries]
    if unknown or not resource_ids:
        raise ConfigurationError(f"this server has no resource {(unknown or ['that was named'])[0]!r:.80}")
    service = stream_for(closure, resource_ids) if alto.can_stream else None
    if service is not None:
        updates = watch_stream(alto, service, resource_ids, inputs)
    else:
        updates = watch_by_tips(alto, resource_ids, inputs)
    async with contextlib.aclosing(updates):
        async for update in updates:
            yield update


def watch_by_tips(
    alto: AltoClient, resource_ids: Sequence[str], inputs: Mapping[str, Json]
) -> AsyncGenerator[Update, None]:
    """The documents of these resources by TIPS, several of them as they belong together. Raises ConfigurationError."""
    if len(resource_ids) == 1:
        return _by_tips(alto, resource_ids[0], inputs.get(resource_ids[0]))
    if inputs:
        raise ConfigurationError("only an update stream has several resources with input, and none has all of these")
    return _together_by_tips(alto, resource_ids)


async def _by_tips(alto: AltoClient, resource_id: str, params: Json) -> AsyncGenerator[Update, None]:
    # Imported late: what follows TIPS is carried by the client that this module is a part of.
    from interop.alto_tips import follow

    async with contextlib.aclosing(follow(alto, resource_id, params)) as steps:
        async for step in steps:
            yield _updated(resource_id, step.document, is_incremental=not step.is_full)


async def _together_by_tips(alto: AltoClient, resource_ids: Sequence[str]) -> AsyncGenerator[Update, None]:
    from interop.alto_tips import follow_together

    before: Mapping[str, Document] = {}
    async with contextlib.aclosing(follow_together(alto, resource_ids)) as steps:
        async for documents in steps:
            for name, document in documents.items():
                if before.get(name) is not document:
                    yield _updated(name, document, is_incremental=False)
            before = dict(documents)


def _updated(resource_id: str, document: Document, *, is_incremental: bool) -> ResourceUpdated:
    if not is_media_type(document.media_type, media.MULTIPART_RELATED):
        return ResourceUpdated(resource_id, resource_id, document.tree, {}, document.vtag, is_incremental)
    related = parse(document.media_type, document.body, Findings(strict=False))
    parts = {part.content_id or "": json_value(part.body) for part in related.parts}
    return ResourceUpdated(resource_id, resource_id, None, parts, document.vtag, is_incremental)
