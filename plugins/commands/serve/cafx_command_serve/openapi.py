"""The description of the JSON interface in OpenAPI's terms."""

from __future__ import annotations

from typing import Any

from cafx_command_serve.limits import Limits

NUMBER, TEXT, INTEGER = {"type": "number"}, {"type": "string"}, {"type": "integer"}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


CLASS = _object(**{"class": INTEGER}, label=TEXT, score=NUMBER, probability=NUMBER)
HEDGED = _object(node=TEXT, name=TEXT, probability=NUMBER, bits=NUMBER)
BOX = _object(**{"class": INTEGER}, label=TEXT, score=NUMBER, xmin=NUMBER, ymin=NUMBER, xmax=NUMBER, ymax=NUMBER)
COMMON = {"image": _object(height=INTEGER, width=INTEGER), "seconds": NUMBER, "preprocessing": TEXT, "model": TEXT}
REFUSALS = {
    "400": "no image, a damaged one, or a URL that cannot be used",
    "403": "URLs are switched off, or the request comes from a page of another site",
    "404": "the net does something else",
    "408": "the request arrived too slowly",
    "413": "too many bytes or pixels",
    "415": "no image that can be read",
    "502": "the image cannot be fetched from its URL",
    "503": "too many requests are waiting; Retry-After says when to try again",
}


def description(detects: bool, limits: Limits) -> dict[str, Any]:
    """The OpenAPI document of a server.

    Args:
        detects: whether the net gives boxes.
        limits: of requests.
    """
    if detects:
        answer = _object(boxes=_list(BOX), **COMMON)
        path, summary = "/detect", "Objects in an image, the best first."
        query = {"name": "threshold", "in": "query", "schema": {**NUMBER, "default": 0.5}}
    else:
        answer = _object(top=_list(CLASS), **COMMON)
        answer["properties"]["hedged"] = _list(HEDGED)
        path, summary = "/classify", "The most likely classes of an image; with an is-a tree, hedged answers, too."
        query = {"name": "top", "in": "query", "schema": {**INTEGER, "default": 5, "minimum": 1}}
    plain = {"200": _with_schema("as it says", {"type": "object"})}
    return {
        "openapi": "3.1.0",
        "info": {"title": "cafx serve", "version": "1", "description": f"Images of at most {limits.body:,} bytes."},
        "paths": {
            path: {"post": _operation(summary, query, answer)},
            "/model": {"get": {"summary": "What is served, and what happens to images.", "responses": plain}},
            "/health": {"get": {"summary": "Whether the server works.", "responses": plain}},
            "/metrics": {
                "get": {"summary": "Prometheus' text format.", "responses": {"200": {"description": "counts, times"}}}
            },
        },
    }


def _operation(summary: str, query: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    file = {"type": "string", "format": "binary"}
    content = {
        "image/*": {"schema": file},
        "multipart/form-data": {"schema": {"type": "object", "properties": {"image": file, "url": TEXT}}},
        "application/json": {"schema": _object(url=TEXT)},
    }
    failed = {status: _with_schema(text, _object(error=TEXT)) for status, text in REFUSALS.items()}
    responses = {"200": _with_schema("the answer", answer), **failed}
    return {
        "summary": summary,
        "parameters": [query],
        "requestBody": {"required": True, "content": content},
        "responses": responses,
    }


def _with_schema(text: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": text, "content": {"application/json": {"schema": schema}}}
