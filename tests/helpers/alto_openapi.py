"""An OpenAPI document of an ALTO server, made from its IRD and from the RFCs' schemas, for tools that know no ALTO."""

from collections.abc import Mapping
from typing import Any

import alto_shapes as shapes

NEVER = "no-such-resource"
"""The one resource that the document says may be followed, so that no tool waits for the end of an update stream."""


def openapi(directory: Any, asked: Mapping[str, list[Any]]) -> dict[str, Any]:
    """The document: an operation for each resource of the IRD, with what is `asked` of it as examples."""
    paths: dict[str, Any] = {"/": {"get": _get("application/alto-directory+json")}}
    for name, entry in directory["resources"].items():
        accepts, kind = entry.get("accepts"), entry["media-type"]
        if accepts is None:
            paths[entry["uri"]] = {"get": _get(kind)}
        else:
            schema = shapes.request_schema(accepts, entry.get("capabilities", {}))
            examples = asked.get(name, [])
            if kind == "text/event-stream":
                schema, examples = _never(schema), []
            paths[entry["uri"]] = {"post": _post(accepts, schema, kind, examples)}
    return {"openapi": "3.1.0", "info": {"title": "ALTO", "version": "1"}, "paths": paths}


def _get(kind: str) -> dict[str, Any]:
    return {"responses": {"200": {"description": "the whole", "content": {kind: {"schema": {"type": "object"}}}}}}


def _post(accepts: str, schema: Any, kind: str, asked: list[Any]) -> dict[str, Any]:
    bare = kind.partition(";")[0]
    # What each cost is depends on what was asked, which OpenAPI cannot say.
    answer = {} if bare in ("multipart/related", "text/event-stream") else shapes.answer_schema(bare)
    if bare in ("application/alto-costmap+json", "application/alto-endpointcost+json"):
        answer = {"type": "object", "required": ["meta", next(iter(answer["properties"].keys() - {"meta"}))]}
    examples = {f"e{at}": {"value": body} for at, body in enumerate(asked)}
    error = {"description": "one error", "content": {"application/alto-error+json": {"schema": shapes.ERROR}}}
    other = {"description": "another media type", "content": {"text/plain": {"schema": {"type": "string"}}}}
    return {
        "requestBody": {"required": True, "content": {accepts: {"schema": schema, "examples": examples}}},
        "responses": {
            "200": {"description": "what is asked", "content": {bare: {"schema": answer}}},
            "400": error,
            "415": other,
        },
    }


def _never(schema: shapes.Schema) -> shapes.Schema:
    add = schema["properties"]["add"]
    update = {**add["additionalProperties"], "properties": {**add["additionalProperties"]["properties"]}}
    update["properties"]["resource-id"] = {"const": NEVER}
    return {**schema, "properties": {"add": {**add, "additionalProperties": update}}}
