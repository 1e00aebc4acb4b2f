"""The description of what is served (OpenAPI 3.1), made from what the protocols read."""

from collections.abc import Collection, Mapping
from importlib.metadata import version
from typing import Any

import msgspec

from tightrope.serve.protocols.oip_http import InferRequest
from tightrope.serve.protocols.openai import ChatRequest, ClassifyRequest, EmbeddingsRequest

TEXT = {"type": "string"}
BYTES = {"schema": {"type": "string", "format": "binary"}}
TOKENS = {"type": "array", "items": {"type": "integer"}, "minItems": 1}
OPENAI_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {"message": TEXT, "type": TEXT, "param": {"type": ["string", "null"]}, "code": TEXT},
        }
    },
}
OIP_ERROR = {"type": "object", "required": ["error"], "properties": {"error": TEXT}}
REFUSALS = {
    "400": "Not what the protocol says",
    "401": "No key, or one that is not known",
    "403": "The key may not do this",
    "404": "No such model",
    "405": "Not with this method",
    "408": "The request did not come in time",
    "409": "Not in this state",
    "413": "More than is taken",
    "415": "A type or feature that is not had",
    "429": "Over a rate or a budget, or more than can be answered in time",
    "500": "A defect in the server",
    "502": "An upstream server did not answer",
    "503": "Going away, or not loaded yet",
    "504": "Not answered in time",
}


def described(served: Collection[str] = ()) -> dict[str, Any]:
    """Return the document that ``/openapi.json`` serves; paths of deferrable work are in it where they are ``served``."""
    asked, schemas = msgspec.json.schema_components(
        (EmbeddingsRequest, ClassifyRequest, ChatRequest, InferRequest), ref_template="#/components/schemas/{name}"
    )
    embeddings, classify, chat, infer = asked
    schemas["EmbeddingsRequest"]["properties"]["input"]["anyOf"] += [TOKENS, {**TOKENS, "items": TOKENS}]
    name = _path_parameter("name", "A model")
    number = _path_parameter("version", "A version; each model has 1 alone")
    inferring = _operation("Tensors to tensors", _objects("model_name", "outputs"), OIP_ERROR, body=infer)
    ready = _operation("Whether a model may be asked", _objects("ready"), OIP_ERROR)
    tensors = _operation("A model's tensors", _objects("name", "inputs", "outputs"), OIP_ERROR)
    inferring["requestBody"]["content"]["application/octet-stream"] = BYTES
    inferring["responses"]["200"]["content"]["application/octet-stream"] = BYTES
    chatting = _operation("Messages to an answer", {"type": "object"}, OPENAI_ERROR, body=chat)
    chatting["responses"]["200"]["content"]["text/event-stream"] = {"schema": _objects("data")}
    metrics = _operation("Prometheus metrics", {}, OPENAI_ERROR)
    metrics["responses"]["200"] = _answer("The metrics", "text/plain", TEXT)
    paths = {
        "/v1/embeddings": {
            "post": _operation("Texts to vectors", _objects("data", "model", "usage"), OPENAI_ERROR, body=embeddings)
        },
        "/v1/classify": {"post": _operation("Texts to labels", _objects("data", "model", "usage"), OPENAI_ERROR, body=classify)},
        "/v1/chat/completions": {"post": chatting},
        "/v1/models": {"get": _operation("The models", _objects("data"), OPENAI_ERROR)},
        "/v1/models/{name}": {"get": _operation("One model", _objects("id"), OPENAI_ERROR), "parameters": [name]},
        "/v2": {"get": _open("What this server is", _objects("name", "version", "extensions"))},
        "/v2/health/live": {"get": _open("Whether the process runs", _objects("live"))},
        "/v2/health/ready": {"get": _open("Whether requests are to be sent here", _objects("ready"), "503")},
        "/v2/models/{name}": {"get": tensors, "parameters": [name]},
        "/v2/models/{name}/versions/{version}": {"get": tensors, "parameters": [name, number]},
        "/v2/models/{name}/ready": {"get": ready, "parameters": [name]},
        "/v2/models/{name}/versions/{version}/ready": {"get": ready, "parameters": [name, number]},
        "/v2/models/{name}/infer": {"post": inferring, "parameters": [name]},
        "/v2/models/{name}/versions/{version}/infer": {"post": inferring, "parameters": [name, number]},
        "/healthz": {"get": _open("Whether the process runs", _objects("live"))},
        "/readyz": {"get": _open("Whether requests are to be sent here", _objects("ready"), "503")},
        "/metrics": {"get": metrics},
        "/openapi.json": {"get": _open("This description", {"type": "object"})},
    }
    paths |= {path: stated for path, stated in _jobs().items() if path in served}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "tightrope",
            "version": version("tightrope"),
            "description": "OpenAI's API and the Open Inference Protocol.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "api-key": {"type": "apiKey", "in": "header", "name": "api-key"},
            },
        },
    }


def _jobs() -> dict[str, Any]:
    """Return the paths of files and batches."""
    file, batch, listed = _objects("id", "object"), _objects("id", "object", "status"), _objects("object", "data", "has_more")
    upload = _operation("Take a file of requests in", file, OPENAI_ERROR)
    form = {
        "type": "object",
        "required": ["file", "purpose"],
        "properties": {"file": BYTES["schema"], "purpose": {"const": "batch"}},
    }
    upload["requestBody"] = {"required": True, "content": {"multipart/form-data": {"schema": form}}}
    names = ("input_file_id", "endpoint", "completion_window")
    texts = {"type": "object", "additionalProperties": TEXT}
    asked = {"type": "object", "required": list(names), "properties": {**dict.fromkeys(names, TEXT), "metadata": texts}}
    content = _operation("A file's content", {}, OPENAI_ERROR)
    content["responses"]["200"] = {"description": "The file as it is", "content": {"application/octet-stream": BYTES}}
    one = [_path_parameter("id", "A file or a batch")]
    hand_in = _operation("Hand a file of requests in", batch, OPENAI_ERROR, body=asked)
    for making in (upload, hand_in):
        making["parameters"] = [
            {"name": "Idempotency-Key", "in": "header", "description": "Done once for each key", "schema": TEXT}
        ]
        making["responses"]["422"] = _answer("The key of another request", "application/json", OPENAI_ERROR)
    return {
        "/v1/files": {"get": _operation("The files", listed, OPENAI_ERROR), "post": upload},
        "/v1/files/{id}": {
            "get": _operation("A file", file, OPENAI_ERROR),
            "delete": _operation("Delete a file", file, OPENAI_ERROR),
            "parameters": one,
        },
        "/v1/files/{id}/content": {"get": content, "parameters": one},
        "/v1/batches": {
            "get": _operation("The batches", listed, OPENAI_ERROR),
            "post": hand_in,
        },
        "/v1/batches/{id}": {"get": _operation("A batch", batch, OPENAI_ERROR), "parameters": one},
        "/v1/batches/{id}/cancel": {"post": _operation("Stop a batch", batch, OPENAI_ERROR), "parameters": one},
    }


def _operation(
    summary: str, answer: Mapping[str, Any], error: Mapping[str, Any], *, body: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return what asks for a key, and may be refused."""
    refusals = {status: _answer(text, "application/json", error) for status, text in REFUSALS.items()}
    made: dict[str, Any] = {
        "summary": summary,
        "security": [{}, {"bearer": []}, {"api-key": []}],
        "responses": {"200": _answer(summary, "application/json", answer), **refusals},
    }
    if body is not None:
        made["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return made


def _open(summary: str, answer: Mapping[str, Any], *others: str) -> dict[str, Any]:
    """Return what everybody may ask."""
    return {
        "summary": summary,
        "responses": {status: _answer(summary, "application/json", answer) for status in ("200", *others)},
    }


def _answer(text: str, content_type: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return an answer's description."""
    return {"description": text, "content": {content_type: {"schema": schema}}}


def _objects(*required: str) -> dict[str, Any]:
    """Return the schema of an object that has these fields at least."""
    return {"type": "object", "required": list(required)}


def _path_parameter(name: str, text: str) -> dict[str, Any]:
    """Return a part of a path."""
    return {"name": name, "in": "path", "required": True, "description": text, "schema": TEXT}
