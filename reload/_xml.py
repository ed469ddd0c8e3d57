"""XML of configuration documents: elements with the exact octets that they have (RFC 6940 section 11.1).

expat reads it. What may make a small document expensive is refused: DOCTYPE and with it all entities, depth, number.
"""

from __future__ import annotations

from collections.abc import Mapping
from xml.parsers import expat

import attrs

from reload.errors import DecodeError

MAX_DOCUMENT = 1 << 20
"""Octets: some thousand bad-nodes and a hundred root-certs. A ConfigUpdate could claim 16 MiB."""
MAX_DEPTH = 16
"""Elements within one another; RFC 6940 needs 6."""
MAX_ELEMENTS = 20_000
"""Each costs some 500 octets of memory, however short it is in the document."""
MAX_PREFIXES = 64
"""Namespace prefixes in scope: every element that declares one has a copy of them all."""


@attrs.define
class Element:
    """An element: `text` is that of its own, stripped; `start` to `stop` are its octets if there is content in it.

    Attributes without a namespace have their bare name, others "namespace name". `prefixes` are those in scope.
    """

    namespace: str
    name: str
    attributes: Mapping[str, str]
    prefixes: Mapping[str, str] = attrs.field(repr=False)
    start: int
    stop: int = 0
    text: str = ""
    children: list[Element] = attrs.field(factory=list)


def read_xml(document: bytes) -> Element:
    """The root element. Raises DecodeError: not well-formed, not UTF-8, or hostile."""
    if len(document) > MAX_DOCUMENT:
        raise DecodeError(f"Configuration Document: {len(document)} octets, at most {MAX_DOCUMENT} are read")
    # expat would find out UTF-16 by itself, and count octets of it as something else.
    if b"\0" in document:
        raise DecodeError("Configuration Document: not UTF-8")
    try:
        document.decode()
    except UnicodeDecodeError as exc:
        raise DecodeError("Configuration Document: not UTF-8") from exc
    return _Reader(document).root


class _Reader:
    def __init__(self, document: bytes) -> None:
        self._document = document
        self._open: list[Element] = []
        self._scopes: list[Mapping[str, str]] = [{}]
        self._declared: dict[str, str] = {}
        self._texts: list[list[str]] = []
        self._count = 0
        self._root: Element | None = None
        # Whatever the document says of its encoding, it is read as UTF-8; `_declaration` refuses another one.
        parser = self._parser = expat.ParserCreate("utf-8", " ")
        parser.buffer_text = True
        parser.XmlDeclHandler = self._declaration
        parser.StartDoctypeDeclHandler = self._doctype
        parser.StartNamespaceDeclHandler = self._namespace
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        try:
            parser.Parse(document, True)
        except expat.ExpatError as exc:
            raise DecodeError(f"Configuration Document: not well-formed, {exc}") from exc

    @property
    def root(self) -> Element:
        assert self._root is not None  # expat refuses a document without an element
        return self._root

    def _declaration(self, version: str, encoding: str | None, standalone: int) -> None:
        if encoding is not None and encoding.lower() != "utf-8":
            raise DecodeError(f"Configuration Document: in {encoding:.20}, UTF-8 is due")

    def _doctype(self, *declared: object) -> None:
        raise DecodeError("Configuration Document: a DOCTYPE, which may declare entities without end")

    def _namespace(self, prefix: str | None, uri: str | None) -> None:
        self._declared[prefix or ""] = uri or ""

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if self._count > MAX_ELEMENTS or len(self._open) == MAX_DEPTH:
            raise DecodeError(f"Configuration Document: over {MAX_ELEMENTS} elements, or deeper than {MAX_DEPTH}")
        if self._declared:
            scope = {**self._scopes[-1], **self._declared}
            if len(scope) > MAX_PREFIXES:
                raise DecodeError(f"Configuration Document: over {MAX_PREFIXES} namespace prefixes")
            self._scopes.append(scope)
            self._declared = {}
        else:
            self._scopes.append(self._scopes[-1])
        namespace, _, local = name.rpartition(" ")
        element = Element(namespace, local, attributes, self._scopes[-1], self._parser.CurrentByteIndex)
        if self._open:
            self._open[-1].children.append(element)
        else:
            self._root = element
        self._open.append(element)
        self._texts.append([])

    def _end(self, name: str) -> None:
        element = self._open.pop()
        self._scopes.pop()
        element.text = "".join(self._texts.pop()).strip(" \t\r\n")
        # At the "<" of the end tag; an element without content may have none, and its stop is of no use.
        element.stop = self._document.find(b">", self._parser.CurrentByteIndex) + 1

    def _text(self, text: str) -> None:
        self._texts[-1].append(text)
