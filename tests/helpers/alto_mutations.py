"""What becomes of a valid request: changes that know its structure, as Hypothesis draws them, and what is no JSON."""

import copy
import json
from typing import Any

from hypothesis import strategies as st

TOKENS: list[Any] = [
    "PID1", "PID3", "nobody", "elsewhere", "ipv4", "ipv6", "ipv4:192.0.2.1", "ipv4:192.0.2.01", "ipv4:::1", "ipv6:::1",
    "ipv6:::ffff:192.0.2.1", "ipv6:fe80::1%eth0", "ipv4:0.0.0.0/0", "192.0.2.1", "ipv4:192.0.2.1/24", ".ane:MEC1",
    "network-map.pid", "isp", ".isp", "cpu", "pid", "numerical", "ordinal", "array", "routingcost", "ane-path",
    "hopcount", "delay-ow", "priv:x", "ge 1", "[1] le 3", "[9] le 3", "le  1e400", "gt NaN", "eq -0", "network-map",
    "costs", "some-costs", "private-costs", "updates", "max-reservable-bandwidth", "../x", "a.b", "a/b", "", " ", "\0",
    "x" * 65, "x" * 300, "\u202e", "\U0001f600", "null", "{}", "${7*7}", "' or 1=1 --", "<script>", "%00",
]  # fmt: skip
NAMES = [
    "pids", "srcs", "dsts", "address-types", "cost-type", "multi-cost-types", "testable-cost-types", "constraints",
    "or-constraints", "calendared", "cost-mode", "cost-metric", "description", "endpoints", "properties", "entities",
    "ane-property-names", "cdni-capabilities", "capability-type", "capability-value", "delivery-protocols", "add",
    "remove", "resource-id", "tag", "incremental-changes", "input", "meta", "__class__", "x", "",
]  # fmt: skip
_NUMBERS = st.sampled_from([0, 1, -1, 2, 64, 2**53, 2**64, -(2**70), 0.5, 1e308, -0.0, 10**400])
_SCALARS = st.none() | st.booleans() | _NUMBERS | st.sampled_from(TOKENS) | st.text(max_size=6)
VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=6,
)
# What is no JSON, or none of one meaning, or barely.
TEXTS = st.sampled_from(
    [
        b"", b" ", b"{", b"}", b"nul", b"NaN", b"[NaN]", b"Infinity", b"1e999", b"-", b"'x'", b"{'a':1}", b"{a:1}",
        b'{"pids":[],}', b'{"pids":[]}{}', b"\xef\xbb\xbf{}", b"\xff\xfe{\0}\0", b'{"\xff":1}', b'{"a":"\\ud800"}',
        b'{"pids":[],"pids":[]}', b"[" * 5000, b"[" * 70 + b"]" * 70, b'{"a":' * 70 + b"1" + b"}" * 70, b"9" * 5000,
        b"/* */{}", b"\0", b'"\x01"', b'{"a"\xc2\xa0:1}',
    ]
)  # fmt: skip


def spots(tree: Any) -> list[tuple[Any, Any]]:
    """Each member or element, outer ones first: what it is in, and its name or place."""
    found: list[tuple[Any, Any]] = []
    level = [tree]
    while level:
        inner = []
        for outer in level:
            for key, value in outer.items() if isinstance(outer, dict) else enumerate(outer):
                found.append((outer, key))
                if isinstance(value, dict | list):
                    inner.append(value)
        level = inner
    return found


@st.composite
def mutants(draw: st.DrawFn, seeds: list[Any]) -> bytes:
    """One of the requests after one to three changes, as octets; now and then what is hardly JSON."""
    if draw(st.integers(0, 9)) == 0:
        return draw(TEXTS | st.binary(max_size=40))
    tree = copy.deepcopy(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 3))):
        tree = _changed(draw, tree)
    body = json.dumps(tree).encode()
    if draw(st.integers(0, 9)) == 0:
        place = draw(st.integers(0, len(body)))
        start, rest = body[:place], body[place:]
        return draw(st.sampled_from([start, start + b"\0" + rest, start + b'"' + rest, body + body]))
    return body


def _changed(draw: st.DrawFn, tree: Any) -> Any:
    places = spots(tree) if isinstance(tree, dict | list) else []
    if not places or draw(st.integers(0, 19)) == 0:
        return draw(VALUES)
    outer, key = places[draw(st.integers(0, len(places) - 1))]
    match draw(st.integers(0, 9)):
        case 0 | 1:
            del outer[key]
        case 2 | 3 | 4:
            outer[key] = draw(VALUES)
        case 5:
            outer[key] = [outer[key]] * draw(st.sampled_from([1, 2, 70]))
        case 6:
            outer[key] = {draw(st.sampled_from(NAMES)): outer[key]}
        case 7:
            other, its = places[draw(st.integers(0, len(places) - 1))]
            outer[key] = copy.deepcopy(other[its])
        case 8:
            if isinstance(outer, dict):
                outer[draw(st.sampled_from(NAMES) | st.sampled_from(TOKENS[:20]))] = draw(VALUES)
            else:
                outer.insert(key, draw(VALUES))
        case 9:
            if isinstance(outer, dict):
                outer[draw(st.sampled_from(NAMES) | st.text(max_size=4))] = outer.pop(key)
            else:
                outer.append(copy.deepcopy(outer[key]))
    return tree
