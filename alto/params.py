"""Reading what is posted to a server: each mistake becomes the error that RFC 7285 section 8.5.2 has for it."""

from alto._json import Json, dumps
from alto.errors import ErrorCode, RequestError
from alto.findings import is_json, join


def fields(value: Json, path: str = "") -> dict[str, Json]:
    """`value`, which is to be an object. Raises RequestError."""
    if not isinstance(value, dict):
        raise wrong_type(path)
    return value


def required(tree: dict[str, Json], name: str, kind: type, path: str = "") -> Json:
    """The member `name` of the object at `path`, of the JSON type `kind`. Raises RequestError."""
    inner = join(path, name)
    if name not in tree:
        raise RequestError(ErrorCode.MISSING_FIELD, field=inner)
    if not is_json(tree[name], kind):
        raise wrong_type(inner)
    return tree[name]


def optional(tree: dict[str, Json], name: str, kind: type, path: str = "") -> Json | None:
    """Like `required`, and None where it is absent."""
    return required(tree, name, kind, path) if name in tree else None


def elements(tree: dict[str, Json], name: str, kind: type, path: str = "") -> list[Json]:
    """The required array `name`, whose elements are to be of the type `kind`.

    Raises RequestError; an element of another type is an invalid value of the array, says section 8.5.2.
    """
    found: list[Json] = required(tree, name, list, path)
    for element in found:
        if not is_json(element, kind):
            raise bad_value(join(path, name), element)
    return found


def optional_elements(tree: dict[str, Json], name: str, kind: type, path: str = "") -> list[Json] | None:
    """Like `elements`, and None where it is absent."""
    return elements(tree, name, kind, path) if name in tree else None


def wrong_type(path: str) -> RequestError:
    """E_INVALID_FIELD_TYPE for the member at `path`; none is named for the whole body."""
    return RequestError(ErrorCode.INVALID_FIELD_TYPE, field=path or None)


def bad_value(path: str, value: Json) -> RequestError:
    """E_INVALID_FIELD_VALUE; `value` becomes the string that the error has to carry, cut where it is long."""
    text = value if isinstance(value, str) else dumps(value).decode("utf-8")
    return RequestError(ErrorCode.INVALID_FIELD_VALUE, field=path, value=text[:MAX_ECHO])


MAX_ECHO = 256
"""Characters of a bad value that are sent back: enough to find it, and no echo of a large body."""
