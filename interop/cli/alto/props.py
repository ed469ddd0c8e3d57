"""`ietf-p2p alto props`: what is known of addresses, PIDs and other entities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from alto import media
from alto._json import Json
from alto.client.client import Client
from alto.client.costs import endpoint
from alto.client.fetch import Plan
from alto.errors import ConfigurationError
from alto.propertymap import PropertyMap
from interop.cli import _show
from interop.cli._errors import MistakeError
from interop.cli._options import JSON
from interop.cli.alto._client import URL, Access, asking, connects

if TYPE_CHECKING:
    from interop.alto_client import AltoClient

_Found = dict[str, dict[str, Json]]


@click.command(
    epilog="Examples:\n\n\b\n  ietf-p2p alto props http://127.0.0.1:7285/ 192.0.2.1\n"
    "  ietf-p2p alto props http://127.0.0.1:7285/ ipv4:192.0.2.0/24 map.pid:access-north --property .asn"
)
@URL
@click.argument("entities", metavar="[ENTITY...]", nargs=-1)
@click.option("--property", "names", multiple=True, metavar="NAME", help="Only this property; may be given again.")
@click.option("--id", "resource_id", metavar="ID", help="The property map. [default: the first that has the entities]")
@JSON
@connects()
def command(
    url: str,
    entities: tuple[str, ...],
    names: tuple[str, ...],
    resource_id: str | None,
    as_json: bool,
    access: Access,
) -> int:
    """Show properties of each ENTITY: an address, a prefix, a PID, or what else the ALTO server at URL knows.

    They come from its endpoint property services (RFC 7285 section 11.4) and property maps (RFC 9240), inherited values
    included. Without ENTITY a whole property map is shown.
    """
    asked = tuple(dict.fromkeys(map(_typed, entities)))

    async def work(alto: AltoClient) -> None:
        if asked:
            found = await alto.run(_properties(alto.client, asked, names, resource_id))
        else:
            received = (await alto.run(alto.client.property_map(resource_id))).value.property_map
            found = {entity: _chosen(received.properties_of(entity), names) for entity in received}
        if as_json:
            _show.as_json(found)
            return
        rows: list[list[_show.Cell]] = []
        for entity, properties in found.items():
            for name, value in properties.items() or [("-", None)]:
                rows.append([entity, name, _show.value_text(value)])
        _show.table(["ENTITY", "PROPERTY", "VALUE"], rows)

    return asking(access, url, work)


def _typed(word: str) -> str:
    """`192.0.2.1` as `ipv4:192.0.2.1`, and prefixes alike; everything else has its type already."""
    text, slash, length = word.partition("/")
    try:
        typed = endpoint(text)
    except ConfigurationError as error:
        if ":" in word and not word.startswith(("ipv4:", "ipv6:")):
            return word
        raise MistakeError(
            f"{word!r:.80} is no entity, such as 192.0.2.1, ipv4:192.0.2.0/24 or map.pid:NAME"
        ) from error
    return f"{typed}{slash}{length}"


def _chosen(properties: dict[str, Json], names: Sequence[str]) -> dict[str, Json]:
    return {name: value for name, value in properties.items() if not names or name in names}


def _properties(client: Client, entities: Sequence[str], names: Sequence[str], resource_id: str | None) -> Plan[_Found]:
    """What the server's services and maps know, put together. Raises ConfigurationError where none can be asked."""
    found: _Found = {entity: {} for entity in entities}
    left = list(names)
    is_known = False
    if resource_id is None and all(map(_is_endpoint, entities)):
        closure = yield from client.directory()
        services = closure.of_type(media.ENDPOINT_PROPERTIES, accepts=media.ENDPOINT_PROPERTY_PARAMS)
        for offered in [entry.capabilities.get("prop-types", []) for entry in services]:
            wanted = [name for name in offered if name in left] if names else offered
            if not wanted:
                continue
            properties = (yield from client.endpoint_properties(entities, wanted)).value
            is_known = True
            left = [name for name in left if name not in wanted]
            for entity in entities:
                values = {name: properties.get(entity, name) for name in wanted}
                found[entity].update({name: value for name, value in values.items() if value is not None})
    if not left and names:
        return found
    try:
        result = yield from client.properties(entities, left, resource_id=resource_id)
    except ConfigurationError:
        if not is_known or left:
            raise
        return found
    for entity in entities:
        for name, value in _chosen(_of(result.value.property_map, entity), left).items():
            # `.asn` is what the map MAP calls the property that the service calls `MAP.asn` (RFC 9240 section 5.2.2).
            is_known = any(other.endswith(name) and found[entity][other] == value for other in found[entity])
            if not (name.startswith(".") and is_known):
                found[entity][name] = value
    return found


def _of(property_map: PropertyMap, entity: str) -> dict[str, Json]:
    try:
        return property_map.properties_of(entity)
    except ValueError as error:
        raise ConfigurationError(str(error)) from error


def _is_endpoint(entity: str) -> bool:
    return "/" not in entity and entity.startswith(("ipv4:", "ipv6:"))
