"""The OpenAPI document, completed: what the framework cannot know.

1. Every error of every operation is a problem, never the framework's own form.
2. Every operation needs a bearer token; the local socket, which needs none, is no part of the document.
"""

from __future__ import annotations

from typing import Any

_PROBLEM_SCHEMA = {
    "title": "Problem",
    "description": "RFC 9457, with a stable `code` and a `remedy`.",
    "type": "object",
    "required": ["type", "title", "status", "detail", "code", "remedy"],
    "properties": {
        "type": {"type": "string", "format": "uri", "description": "urn:holdfast:problem: and the code"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "remedy": {"type": "string"},
    },
}
_PROBLEM = {
    "description": "A problem.",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
_UNAUTHORISED = {
    **_PROBLEM,
    "description": "No token, or one that is not valid.",
    "headers": {"WWW-Authenticate": {"schema": {"type": "string"}}},
}
_FRAMEWORK_SCHEMAS = ("HTTPValidationError", "ValidationError")


def completed(document: dict[str, Any]) -> dict[str, Any]:
    """`document` with problems, and with how callers prove who they are; completing it twice changes nothing."""
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in _FRAMEWORK_SCHEMAS:
        schemas.pop(name, None)
    schemas["Problem"] = _PROBLEM_SCHEMA
    components["responses"] = {"Problem": _PROBLEM, "Unauthorised": _UNAUTHORISED}
    components["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "description": "An operator token, hft_…"}
    }
    document["security"] = [{"token": []}]
    for operations in document.get("paths", {}).values():
        for operation in operations.values():
            responses = operation["responses"]
            responses.pop("422", None)
            responses["401"] = {"$ref": "#/components/responses/Unauthorised"}
            responses["default"] = {"$ref": "#/components/responses/Problem"}
    return document
