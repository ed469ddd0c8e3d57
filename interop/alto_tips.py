"""Following a resource by TIPS over HTTP: `alto.tips_client.TipsClient` carried by an `AltoClient`.

async with AltoClient("https://alto.example.com/directory") as alto:
    async for update in follow(alto, "my-cost-map"):
        print(update.seq, update.document.tree)
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Iterable, Mapping

from alto import media
from alto._json import Json
from alto.directory import Document
from alto.errors import ConfigurationError
from alto.tips_client import TipsClient, TipsUpdate
from alto.tips_documents import DependentDocuments
from interop.alto_client import AltoClient

SILENCE = 120.0
"""Seconds that a server may hold a poll back; most give up after one minute."""


async def follow(
    alto: AltoClient, resource_id: str, params: Json = None, *, document: Document | None = None
) -> AsyncGenerator[TipsUpdate, None]:
    """Every version of a resource from now on, without end; `params` is what a POST-mode resource is asked.

    `document` is a version that is there already. What can be tried again is tried again, however long it takes.
    Raises what the client raises, and ConfigurationError where the server has no TIPS for that resource.
    """
    closure = await alto.directory()
    resource = closure.entries.get(resource_id)
    services = closure.of_type(media.TIPS, accepts=media.TIPS_PARAMS)
    service = next((entry for entry in services if resource_id in entry.uses), None)
    if resource is None or service is None:
        raise ConfigurationError(f"this server has no TIPS for the resource {resource_id!r:.80}")
    client = TipsClient(alto.client.session, service, resource, params, document=document, strict=alto.client.strict)
    while True:
        step = await alto.run(client.advance(time.time()), silence=SILENCE)
        if isinstance(step, TipsUpdate):
            alto.client.note(step.findings)
            yield step
        else:
            await asyncio.sleep(step.seconds)


async def follow_together(
    alto: AltoClient, resource_ids: Iterable[str]
) -> AsyncGenerator[Mapping[str, Document], None]:
    """The documents of resources that depend on each other, such as a network map and its cost maps, each time that
    they belong together. Raises what `follow` raises."""
    names = list(dict.fromkeys(resource_ids))
    documents = DependentDocuments(names)
    # One at a time: who takes them slowly holds the views back.
    arrived: asyncio.Queue[tuple[str, Document]] = asyncio.Queue(1)

    async def carry(name: str) -> None:
        async for update in follow(alto, name):
            await arrived.put((name, update.document))

    tasks = [asyncio.create_task(carry(name)) for name in names]
    arrival = asyncio.create_task(arrived.get())
    try:
        while True:
            done, _ = await asyncio.wait([arrival, *tasks], return_when=asyncio.FIRST_COMPLETED)
            if arrival not in done:
                await next(iter(done))  # none of them ends but by an error
            found = arrival.result()
            arrival = asyncio.create_task(arrived.get())
            if documents.take(*found):
                yield documents.shown
    finally:
        for task in (arrival, *tasks):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(arrival, *tasks, return_exceptions=True)
