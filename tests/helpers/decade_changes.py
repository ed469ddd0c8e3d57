"""Changes to CBOR: something else, less or more at any place of a value."""

from collections.abc import Mapping

from decade_messages import ITEM
from hypothesis import strategies as st


def places(value, path=()):
    """Where there is something in a value: paths of keys."""
    yield path
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from places(item, (*path, key))
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from places(item, (*path, index))


def changed(value, path, change):
    """The value with what is at the path changed; None takes it away."""
    if not path:
        return change(value)
    key, *rest = path
    if isinstance(value, Mapping):
        made = dict(value) | {key: changed(value[key], rest, change)}
        return {key: item for key, item in made.items() if item is not REMOVED}
    parts = [changed(item, rest, change) if index == key else item for index, item in enumerate(value)]
    return tuple(item for item in parts if item is not REMOVED)


REMOVED = object()


def with_key(key, item):
    return lambda value: {**value, key: item} if isinstance(value, Mapping) else value


CHANGES = (
    st.builds(lambda item: lambda _: item, ITEM | st.just(()) | st.just({}) | st.just(-1))
    | st.just(lambda _: REMOVED)
    | st.builds(with_key, st.sampled_from([-3, 0, 1, 2, 3, 4, 5, 14, 63, 64, "x"]), ITEM)
    | st.builds(lambda more: lambda value: value + more if type(value) is type(more) else value, st.just((0,)))
)
