"""Reading the entities of a property map, clause by clause (RFC 9240 sections 4.6.1, 5, 6 and 7.6)."""

from collections.abc import Collection, Mapping

from alto import media
from alto._json import Json
from alto.capabilities import bare_type
from alto.cdni import check_capability
from alto.entities import (
    DOMAIN_TYPES,
    PROPERTY_TYPES,
    Entity,
    EntityDomains,
    Key,
    ScopedName,
    guess_entity,
    parse_domain_name,
    parse_property_name,
)
from alto.errors import DecodeError
from alto.findings import Findings, join, shown
from alto.inheritance import EntityTable
from alto.ird import ResourceEntry
from alto.types import VTag

_CDNI_CAPABILITIES = "cdni-capabilities"
_JSON_TYPES = frozenset({_CDNI_CAPABILITIES, "max-reservable-bandwidth"})
# Types whose domains always depend on a resource, and the RFC that says so in its section 6.2.
_ALWAYS_DEFINED = {"pid": 9240, "ane": 9275}
_MAX_SHOWN = 80


class PropertyReader:
    """Gathers the entities of one document; what is at fault is noted and, if the findings are lenient, left out."""

    def __init__(
        self,
        findings: Findings,
        entry: ResourceEntry | None,
        media_types: Mapping[str, str],
        extensions: Collection[str],
    ) -> None:
        mappings = entry.capabilities.get("mappings") if entry is not None else None
        self._findings = findings
        self._entry = entry
        self._media_types = media_types
        self._json_types = _JSON_TYPES.union(extensions)
        self._mappings: Mapping[str, list[str]] | None = mappings
        self._domains = EntityDomains(mappings) if mappings is not None else None
        self._entries: dict[str, dict[Key, dict[str, Json]]] = {}
        self._ignored: dict[str, bool] = {}
        self._names: dict[str, ScopedName | None] = {}
        self._taken: dict[tuple[str, str], bool] = {}
        self._defining: dict[str, None] = {}
        self._has_agnostic = False

    def tables(self) -> dict[str, EntityTable]:
        """What was read, by domain."""
        return {domain: EntityTable(parse_domain_name(domain).type, found) for domain, found in self._entries.items()}

    def read_entity(self, text: str, properties: Json) -> None:
        """Take one member of `property-map`."""
        path = join("property-map", text[:_MAX_SHOWN])
        entity = self._parse(text, path)
        if entity is None or not self._findings.is_a(properties, dict, path, 9240, "7.6"):
            return
        if entity.domain not in self._ignored:
            self._ignored[entity.domain] = self._is_ignored(entity.domain, path)
        if self._ignored[entity.domain]:
            return
        found: dict[str, Json] = {}
        for name, value in properties.items():
            inner = join(path, name[:_MAX_SHOWN])
            if (entity.domain, name) not in self._taken:
                self._taken[entity.domain, name] = self._is_taken(name, entity.domain, inner)
            if self._taken[entity.domain, name]:
                self._check_value(name, value, inner)
                found[name] = value
        entries = self._entries.setdefault(entity.domain, {})
        if entity.key in entries:
            self._findings.must(path, f"{entity} was there before, under another spelling", 9240, "5.1.3")
            found = {**found, **entries[entity.key]}
        entries[entity.key] = found

    def check_versions(self, dependent: tuple[VTag, ...]) -> None:
        """Check `dependent-vtags`, once all entities are read (sections 7.6 and 8.6)."""
        if self._entry is None:
            return
        uses, path = self._entry.uses, "meta/dependent-vtags"
        named = [vtag.resource_id for vtag in dependent]
        if self._entry.accepts is None:
            due, section = [*uses], "7.6"
        else:
            due, section = [*uses] if self._has_agnostic else [*self._defining], "8.6"
        missing = [resource for resource in due if resource not in named]
        if missing:
            self._findings.must(path, f"the version of {missing[0]!r:.80} is missing", 9240, section)
        known = [resource for resource in named if resource in uses]
        if known != [resource for resource in uses if resource in named]:
            self._findings.must(path, "not in the order of `uses`", 9240, "7.6")
        for resource in named:
            if resource not in uses:
                self._findings.note(path, f"{resource!r:.80} is not in `uses`", 9240, "7.6")

    def _parse(self, text: str, path: str) -> Entity | None:
        """The entity; a lenient reader masks host bits."""
        last: ValueError | None = None
        for is_lenient in (False, True):
            try:
                if self._domains is None:
                    return guess_entity(text, is_lenient=is_lenient)
                return self._domains.parse(text, is_lenient=is_lenient)
            except ValueError as error:
                if last is None:
                    self._findings.must(path, str(error), 9240, "5.1.3")
                last = error
        return None

    def _is_ignored(self, domain: str, path: str) -> bool:
        """Whether the client has to ignore a domain because of what defines it (section 4.6.1)."""
        name = parse_domain_name(domain)
        kind = DOMAIN_TYPES.get(name.type)
        own_id = self._entry.id if self._entry is not None else None
        if kind is None and not name.type.startswith("priv:"):
            self._findings.note(path, f"{name.type} is no entity domain type known to be registered", 9240, "5.1.1")
        if name.resource_id is None:
            self._has_agnostic = True
            if name.type in _ALWAYS_DEFINED:
                rfc = _ALWAYS_DEFINED[name.type]
                self._findings.must(path, f"a domain of type {name.type} needs its defining resource", rfc, "6.2")
            return False
        if name.resource_id == own_id:
            self._findings.must(
                path, "the resource ID is the property map's own and has to be left out", 9240, "5.1.2.3"
            )
        defining: str | None = media.PROPERTY_MAP
        if name.is_specific and name.resource_id != own_id:
            self._defining.setdefault(name.resource_id)
            defining = bare_type(self._media_types.get(name.resource_id))
        # Where nobody said what the type of the resource is, it is wrong only for a domain that none may define.
        is_wrong = kind is not None and (
            kind.defining_media_type is None or defining not in (None, kind.defining_media_type)
        )
        if is_wrong:
            self._findings.ignored(path, f"{domain} is defined by a resource of the wrong type", 9240, "4.6.1")
        return is_wrong

    def _is_taken(self, name: str, domain: str, path: str) -> bool:
        """Whether a property is kept: its name is one, and section 7.6 does not tell the client to ignore it.

        What is to be said of it is said for the first entity that has it.
        """
        parsed = self._names.get(name)
        if name not in self._names:
            try:
                parsed = parse_property_name(name)
            except ValueError as error:
                self._findings.must(path, str(error), 9240, "5.2.2")
            self._names[name] = parsed
        if parsed is None:
            return False
        is_own = self._entry is not None and parsed.resource_id == self._entry.id
        if self._mappings is not None and name not in self._mappings.get(domain, ()):
            if parsed.is_specific and not is_own and "." in domain:
                text = "not among the properties that `mappings` has for this domain"
                self._findings.ignored(path, text, 9240, "7.6")
                return False
            self._findings.note(path, "not among the properties of this domain in `mappings`", 9240, "7.4")
        if is_own:
            self._findings.should(path, "the resource ID is the property map's own", 9240, "5.2.2")
        elif parsed.resource_id:
            self._defining.setdefault(parsed.resource_id)
            self._check_definer(parsed, path)
        return True

    def _check_definer(self, name: ScopedName, path: str) -> None:
        due = PROPERTY_TYPES.get(name.type)
        given = bare_type(self._media_types.get(name.resource_id or ""))
        if due is not None and given is not None and due != given:
            self._findings.must(path, f"{name.type} is defined by {due}, not {given}", 9240, "4.7")

    def _check_value(self, name: str, value: Json, path: str) -> None:
        parsed = self._names[name]
        kind = parsed.type if parsed is not None else name
        if kind == _CDNI_CAPABILITIES and value is not None:
            if self._findings.is_a(value, list, path, 9241, "6.2.2"):
                for element in value:
                    check_capability(element, self._findings, path, "6.2.2")
        elif value is not None and not isinstance(value, str) and kind not in self._json_types:
            self._findings.should(path, f"a string or null is due, not {shown(value)}", 9240, "7.6")
            if self._findings.strict:
                raise DecodeError(str(self._findings.items[-1]))
