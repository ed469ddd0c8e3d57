"""The page: a template, its parts put together, and the data as JSON that nothing in it can break out of.

What a server chose - names, descriptions, values - is only ever data. The content security policy lets the page's one
script and one style run, known by their digests, and nothing that came with the data; and it forbids every request,
but those to its own server of a page that is kept up to date.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from importlib import resources

from attrs import frozen

from alto._json import Json, dumps
from interop.alto_viz.snapshot import Snapshot

_SCRIPTS = (
    "dom.js",
    "address.js",
    "tables.js",
    "costs.js",
    "properties.js",
    "colours.js",
    "heatmap.js",
    "costpart.js",
    "lookup.js",
    "pids.js",
    "rest.js",
    "live.js",
    "main.js",
)
"""In the order in which they stand in the page, each using those before it."""

# Within a script element only these can end it, or open a comment; U+2028 and U+2029 are for old JavaScript.
_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


@frozen
class Live:
    """How a page that a server itself shows is kept up to date. URIs are relative to the page's own."""

    data_uri: str
    """Where to GET the data anew."""
    stream_uri: str | None = None
    """The update stream that tells when; None where there is none, and then nothing is updated."""
    add: Json = None
    """What to ask of it (RFC 8895 section 6.5)."""

    def to_json(self) -> Json:
        """What the page is told."""
        return {"data": self.data_uri, "stream": self.stream_uri, "add": self.add}


def data(snapshot: Snapshot, *, live: Live | None = None) -> bytes:
    """The data of a page: JSON that is safe within a script element."""
    tree = {**snapshot.to_json(), "live": None if live is None else live.to_json()}
    text = dumps(tree).decode("utf-8")
    for character, escape in _ESCAPES.items():
        text = text.replace(character, escape)
    return text.encode("utf-8")


def page(snapshot: Snapshot, *, live: Live | None = None) -> bytes:
    """One HTML page with all that is in the snapshot, in UTF-8. It needs no network; with `live` its own server."""
    return page_of(data(snapshot, live=live), is_live=live is not None)


def page_of(content: bytes, *, is_live: bool) -> bytes:
    """The page of data that are made already."""
    template, style, script = _parts()
    filled = {
        "{{policy}}": policy(is_live=is_live),
        "{{style}}": style,
        "{{script}}": script,
        "{{footing}}": " but its own server" if is_live else "",
    }
    head, _, tail = template.partition("{{data}}")
    for name, text in filled.items():
        head, tail = head.replace(name, text), tail.replace(name, text)
    return head.encode("utf-8") + content + tail.encode("utf-8")


def policy(*, is_live: bool) -> str:
    """The content security policy (W3C CSP Level 3) of the page."""
    _, style, script = _parts()
    connect = "'self'" if is_live else "'none'"
    return (
        f"default-src 'none'; script-src {_digest(script)}; style-src {_digest(style)}; connect-src {connect}; "
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )


@functools.cache
def _parts() -> tuple[str, str, str]:
    """The template, the style and the script, as they stand between their tags."""
    folder = resources.files("interop.alto_viz") / "template"
    scripts = [(folder / name).read_text("utf-8") for name in _SCRIPTS]
    script = '"use strict";\n(() => {\n' + "\n".join(scripts) + "})();\n"
    return (folder / "page.html").read_text("utf-8"), (folder / "style.css").read_text("utf-8"), script


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode('ascii')}'"
