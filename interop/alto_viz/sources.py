"""Snapshots of servers: of one far away by its client, and of one in this process by its directory."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from attrs import frozen

from alto import media
from alto._json import Json
from alto.client.reading import json_of
from alto.closure import is_network_map
from alto.costmap import parse_cost_map
from alto.costparams import cost_map_filter
from alto.costrequest import CostCapabilities
from alto.costresult import ReceivedCosts
from alto.directory import Directory, Query, RequestContext
from alto.errors import AltoError, ConfigurationError
from alto.findings import Findings
from alto.ird import ResourceEntry
from alto.metrics import ARRAY
from alto.networkmap import NetworkMapResource, ParsedNetworkMap, parse_network_map
from alto.ports import Resource
from alto.propertymap import ParsedPropertyMap, parse_property_map
from alto.types import CostType, VTag
from interop.alto_client import AltoClient
from interop.alto_viz.snapshot import CostView, NetworkMapView, PropertiesView, Snapshot

MAX_DOCUMENTS = 64
"""Documents that are asked for; each may be of many megabytes."""

_CostTypes = Mapping[str, Mapping[str, CostType]]
"""By the ID of the resource and the name of the cost type."""


@frozen
class Question:
    """A document to ask for, and how to read it."""

    entry: ResourceEntry
    parse: Callable[[Json, Findings], Any]
    params: Json = None
    cost_type: CostType | None = None


class Gathering:
    """Takes answers as they come, and makes a snapshot of them."""

    def __init__(self) -> None:
        self.network_maps: list[NetworkMapView] = []
        self.costs: list[CostView] = []
        self.properties: list[PropertiesView] = []
        self.failures: list[str] = []

    def add(self, question: Question, value: Any) -> None:
        """Take the document that answers a question."""
        entry = question.entry
        match value:
            case ParsedNetworkMap():
                self.network_maps.append(NetworkMapView(entry.id, value.network_map, value.vtag))
            case ParsedPropertyMap():
                self.properties.append(PropertiesView(entry.id, value.property_map.to_json(), value.vtag))
            case ReceivedCosts():
                used = next(iter(entry.uses), None)
                description = None if question.cost_type is None else question.cost_type.description
                self.costs.append(CostView(entry.id, value, used, description=description, question=question.params))

    def fail(self, question: Question, error: AltoError) -> None:
        """Note what could not be had."""
        self.failures.append(f"{question.entry.id}: {error}")


def questions(entries: Mapping[str, ResourceEntry], cost_types: _CostTypes) -> list[Question]:
    """What to ask a server for: every whole network map, the costs of each type over each, every property map.

    Costs come from a cost map that one GETs, and where only a filtered one has them, or has a calendar of them, from
    all of that.
    """
    found = [Question(entry, parse_network_map) for entry in entries.values() if is_network_map(entry)]
    filtered = [*_filtered_costs(entries, cost_types)]
    calendars = {_cost_key(each) for each in filtered if each.params.get("calendared")}
    whole = [each for each in _whole_costs(entries, cost_types) if _cost_key(each) not in calendars]
    seen = {_cost_key(each) for each in whole}
    for each in filtered:
        key = _cost_key(each)
        if key not in seen and (key not in calendars or each.params.get("calendared")):
            seen.add(key)
            whole.append(each)
    found += whole
    for entry in entries.values():
        if entry.document_type == media.PROPERTY_MAP and entry.accepts is None and not entry.is_multipart:
            found.append(Question(entry, _property_parser(entry)))
    return found


def _cost_key(question: Question) -> tuple[object, ...]:
    assert question.cost_type is not None
    return question.cost_type.key, question.entry.uses[:1]


def _whole_costs(entries: Mapping[str, ResourceEntry], cost_types: _CostTypes) -> Iterator[Question]:
    for entry in entries.values():
        if entry.document_type == media.COST_MAP and entry.accepts is None and not entry.is_multipart:
            # Section 11.2.3.4 of RFC 7285: it has one cost type.
            for cost_type in [*cost_types.get(entry.id, {}).values()][:1]:
                yield Question(entry, _cost_parser(entry, cost_types, None), None, cost_type)


def _filtered_costs(entries: Mapping[str, ResourceEntry], cost_types: _CostTypes) -> Iterator[Question]:
    for entry in entries.values():
        if entry.document_type != media.COST_MAP or entry.accepts is None or entry.is_multipart:
            continue
        try:
            capabilities = CostCapabilities.of_entry(entry.capabilities, cost_types.get(entry.id, {}))
        except ConfigurationError:  # what it offers makes no sense, which the reader of the IRD has noted
            continue
        for name, cost_type in capabilities.cost_types.items():
            if cost_type.cost_mode != ARRAY:
                params = cost_map_filter(capabilities, name, calendared=name in capabilities.calendars)
                yield Question(entry, _cost_parser(entry, cost_types, params), params, cost_type)


def _cost_parser(
    entry: ResourceEntry, cost_types: _CostTypes, params: Json
) -> Callable[[Json, Findings], ReceivedCosts]:
    known = cost_types.get(entry.id, {})
    return lambda tree, findings: parse_cost_map(tree, findings, params=params, entry=entry, cost_types=known)


def _property_parser(entry: ResourceEntry) -> Callable[[Json, Findings], ParsedPropertyMap]:
    return lambda tree, findings: parse_property_map(tree, findings, entry)


async def snapshot_of_server(alto: AltoClient) -> Snapshot:
    """What a server has, as its client sees it; a lenient one shows more, and says what it forgave.

    A document that cannot be had is named among the failures. Raises AltoError for a directory that cannot be had.
    """
    closure = await alto.directory()
    gathering = Gathering()
    asked = questions(closure.entries, closure.cost_types)
    for question in asked[:MAX_DOCUMENTS]:
        try:
            result = await alto.run(alto.client.obtain(question.entry, json_of(question.parse), question.params))
        except AltoError as error:
            gathering.fail(question, error)
        else:
            gathering.add(question, result.value)
    if len(asked) > MAX_DOCUMENTS:
        gathering.failures.append(f"{len(asked) - MAX_DOCUMENTS} more documents were not asked for")
    return Snapshot(
        alto.client.root_uri,
        time.time(),
        gathering.network_maps,
        gathering.costs,
        gathering.properties,
        alto.findings,
        gathering.failures,
    )


def snapshot_of_directory(directory: Directory, *, source: str = "") -> Snapshot:
    """What a server in this process shows everybody: nothing of its private resources.

    Without a `source`, the page names where it was found. It may run in a thread. Raises what a resource of the
    application raises other than an AltoError.
    """
    public = _public(directory)
    entries = {name: _entry(resource, directory) for name, resource in public.items()}
    gathering = Gathering()
    for name, resource in public.items():
        if isinstance(resource, NetworkMapResource):
            parsed = ParsedNetworkMap(resource.vtag, resource.network_map)
            gathering.add(Question(entries[name], parse_network_map), parsed)
    asked = questions(entries, {name: resource.cost_types for name, resource in public.items()})
    context = RequestContext(directory, wall=time.time())
    for question in asked[:MAX_DOCUMENTS]:
        resource = public[question.entry.id]
        if isinstance(resource, NetworkMapResource):
            continue
        try:
            document = resource.answer(Query(context, question.params, random_bytes=secrets.token_bytes))
            gathering.add(question, question.parse(document.tree, Findings(strict=False)))
        except AltoError as error:
            gathering.fail(question, error)
    return Snapshot(
        source,
        time.time(),
        gathering.network_maps,
        gathering.costs,
        gathering.properties,
        failures=gathering.failures,
    )


def _public(directory: Directory) -> dict[str, Resource]:
    return {name: resource for name, resource in directory.resources.items() if not resource.is_private}


def _entry(resource: Resource, directory: Directory) -> ResourceEntry:
    capabilities = resource.capabilities(directory)
    return ResourceEntry(resource.id, resource.id, resource.media_type, resource.accepts, capabilities, resource.uses)


def substreams(snapshot: Snapshot, offered: tuple[str, ...]) -> dict[str, Json]:
    """What to ask an update stream with the resources `offered`, for the documents of a snapshot (RFC 8895 6.5)."""
    found: dict[str, Json] = {}
    views: list[tuple[str, VTag | None, Json]] = [(each.id, each.vtag, None) for each in snapshot.network_maps]
    views += [(each.id, each.costs.vtag, each.question) for each in snapshot.costs]
    views += [(each.id, each.vtag, None) for each in snapshot.properties]
    for name, vtag, question in views:
        if name in offered and len(found) < MAX_DOCUMENTS // 2:
            entry: dict[str, Json] = {"resource-id": name}
            if question is not None:
                entry["input"] = question
            elif vtag is not None:
                entry["tag"] = vtag.tag
            found[f"{len(found)}"] = entry
    return found
