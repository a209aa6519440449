"""The specification of the REST door, OpenAPI 3.1, made of what is served: no task or label is named here."""

from collections.abc import Mapping, Sequence
from typing import Any

from deploy.gateway.front.request import ID_CHARACTERS
from deploy.gateway.observability.server_timing import HEADER as SERVER_TIMING
from deploy.gateway.options import GatewayOptions
from deploy.gateway.rest.body import PLAIN
from deploy.gateway.rest.contracts import ServedPhotos
from deploy.gateway.rest.multipart import FORM
from deploy.gateway.rest.photo_query import LONGEST_TIMEOUT, MODEL, TASKS, TIMEOUT
from deploy.gateway.rest.problems import CONTENT_TYPE, REQUEST_ID, STATUSES
from qface_client import __version__
from qface_client.results import Analysis

PICTURES = ("image/jpeg", "image/png", "image/webp")
FORM_FIELD = "photo"

_ID = r"^[!-~]([ -~]{0,126}[!-~])?$"
_JSON = "application/json"
_TEXT = {"type": "string"}
_COUNT = {"type": "integer", "minimum": 0}
# Statuses that any request may get, and those of each operation beside them.
_ALWAYS = (400, 500)
_DESCRIPTION = (401, 404, 503)
_ANALYZE = tuple(status for status in STATUSES if status != 405)


def specification(photos: ServedPhotos, options: GatewayOptions) -> dict[str, Any]:
    """As plain data; it changes with what is served."""
    specified: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "Q-Face",
            "version": __version__,
            "description": "Answers about the faces in a photo. " + photos.first.info.notice,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": {
            "/v1/analyze": {"post": _analyze(photos)},
            "/v1/tasks": {"get": _get("getTasks", "What is answered, and what a request may name.", "Tasks")},
            "/v1/health/live": {"get": _get("getLive", "Whether the process runs.", "Live", errors=())},
            "/v1/health/ready": {
                "get": _get("getReady", "Whether requests are welcome.", "Ready", errors=(503,))
            },
        },
        "components": {
            "schemas": {
                "Analysis": Analysis.json_schema(photos.first.contract),
                "Tasks": _tasks_schema(),
                "Live": _flag("live"),
                "Ready": _flag("ready"),
                "Problem": _problem_schema(),
            },
            "headers": {
                REQUEST_ID: {
                    "description": "The request's id, the sent one or a new one. The access log has it.",
                    "required": True,
                    "schema": {"type": "string", "pattern": _ID, "maxLength": ID_CHARACTERS},
                }
            },
            "responses": {str(status): _problem(status) for status in STATUSES},
        },
    }
    if options.identity.keys is not None:
        specified["components"]["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer"},
            "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        }
        for path in ("/v1/analyze", "/v1/tasks"):
            for operation in specified["paths"][path].values():
                operation["security"] = [{"bearer": []}, {"key": []}]
    return specified


def _analyze(photos: ServedPhotos) -> dict[str, Any]:
    picture = {"schema": {"type": "string", "format": "binary"}}
    form = {
        "type": "object",
        "properties": {FORM_FIELD: {"type": "string", "format": "binary"}},
        "required": [FORM_FIELD],
        "additionalProperties": False,
    }
    return {
        "operationId": "analyze",
        "summary": "The faces of a photo, with the answers of the tasks that are asked for.",
        "parameters": [*_query(photos), *_headers()],
        "requestBody": {
            "required": True,
            "description": "The encoded picture as it is, also called "
            f"{' or '.join(PLAIN)}, or a form with one file. It is not stored.",
            "content": {
                **dict.fromkeys(PICTURES, picture),
                FORM: {"schema": form, "encoding": {FORM_FIELD: {"contentType": ", ".join(PICTURES)}}},
            },
        },
        "responses": {
            "200": {
                "description": "The faces, best score first; a photo without a face has none.",
                "headers": {
                    REQUEST_ID: {"$ref": f"#/components/headers/{REQUEST_ID}"},
                    SERVER_TIMING: {
                        "description": "Milliseconds of this request: total, since it arrived, and of them "
                        "queue, triton and json.",
                        "required": True,
                        "schema": _TEXT,
                    },
                },
                "content": {_JSON: {"schema": {"$ref": "#/components/schemas/Analysis"}}},
            },
            **_errors(_ANALYZE),
        },
    }


def _query(photos: ServedPhotos) -> list[dict[str, Any]]:
    names = [task.name for task in photos.first.contract.tasks if task.readable]
    found: list[dict[str, Any]] = [
        {
            "name": TASKS,
            "in": "query",
            "description": "Names with commas between them. Without it: all that the caller may ask for.",
            "style": "form",
            "explode": False,
            "schema": {
                "type": "array",
                "items": {"type": "string", "enum": names},
                "minItems": 1,
                "uniqueItems": True,
            },
        }
    ]
    if photos.networks:
        found.append(
            {
                "name": MODEL,
                "in": "query",
                "description": "Which of the server's networks answers; without it the first one.",
                "schema": {"type": "string", "enum": list(photos.networks)},
            }
        )
    for name, parameter in photos.first.parameters.items():
        words = parameter.to_json()
        described = words.pop("description", "")
        schema = {word: value for word, value in words.items() if not word.startswith("x-")}
        found.append({"name": name, "in": "query", "description": described, "schema": schema})
    return found


def _headers() -> list[dict[str, Any]]:
    return [
        {
            "name": REQUEST_ID,
            "in": "header",
            "description": "An id of the caller's own, for its log and the server's.",
            "schema": {"type": "string", "pattern": _ID, "minLength": 1, "maxLength": ID_CHARACTERS},
        },
        {
            "name": TIMEOUT,
            "in": "header",
            "description": "Seconds that the caller waits; a 504 comes after them.",
            "schema": {"type": "number", "exclusiveMinimum": 0, "maximum": LONGEST_TIMEOUT},
        },
    ]


def _get(
    identifier: str, summary: str, schema: str, *, errors: Sequence[int] = _DESCRIPTION
) -> dict[str, Any]:
    content = {_JSON: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {
        "operationId": identifier,
        "summary": summary,
        "responses": {"200": {"description": "It is so.", "content": content}, **_errors(errors)},
    }


def _errors(statuses: Sequence[int]) -> dict[str, Any]:
    every = sorted({*statuses, *_ALWAYS})
    return {str(status): {"$ref": f"#/components/responses/{status}"} for status in every}


def _problem(status: int) -> Mapping[str, Any]:
    content = {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    headers: dict[str, Any] = {}
    if status in (429, 503):
        headers["Retry-After"] = {
            "description": "Seconds until another try makes sense.",
            "required": status == 429,
            "schema": {"type": "integer", "minimum": 1},
        }
    if status == 401:
        headers["WWW-Authenticate"] = {"required": True, "schema": _TEXT}
    return {"description": STATUSES[status], "headers": headers, "content": content}


def _problem_schema() -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "type": {"type": "string", "format": "uri-reference"},
            "title": _TEXT,
            "status": {"type": "integer", "enum": list(STATUSES)},
            "detail": {"type": "string", "description": "What was wrong, and what to do, in a sentence."},
            "reason": {"type": "string", "pattern": "^[a-z_]+$", "description": "One word, for programs."},
        },
        "required": ["type", "title", "status", "detail", "reason"],
    }


def _tasks_schema() -> dict[str, Any]:
    names = {"type": "array", "items": _TEXT}
    task = {
        "type": "object",
        "properties": {"name": _TEXT, "kind": _TEXT, "labels": names, "unit": _TEXT},
        "required": ["name", "kind", "labels", "unit"],
    }
    return {
        "type": "object",
        "properties": {
            "contract": {"type": "string", "description": "Its hash; another one: labels may have changed."},
            "input_size": _COUNT,
            "crop": _TEXT,
            "tasks": {"type": "array", "items": task},
            "models": names,
            "precision": {"type": "string", "description": "In which the network computes: fp32, bf16."},
            "notice": _TEXT,
            "request_parameters": {"type": "object", "additionalProperties": {"type": "object"}},
        },
        "required": ["contract", "tasks", "models", "precision", "notice", "request_parameters"],
    }


def _flag(name: str) -> dict[str, Any]:
    return {"type": "object", "properties": {name: {"const": True}}, "required": [name]}
