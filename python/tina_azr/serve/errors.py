"""Refusals as OpenAI's clients read them, also those that the framework makes itself."""

import logging
import traceback
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from typing_extensions import TypedDict

from tina_azr.serve.types import ApiError, refused

STATUSES = {
    400: "The request cannot be right: malformed JSON, a wrong type, a number out of bounds, a prompt that does not fit.",
    401: "The key is missing or wrong.",
    403: "Host, Origin or Sec-Fetch-Site is not this server's.",
    404: "There is no such thing.",
    408: "The body did not come in time.",
    413: "The body is too long.",
    415: "The body is not JSON.",
    431: "The headers are too long.",
    429: "The server is full; Retry-After says when to try again.",
    500: "The server has a fault.",
    503: "The server is shutting down, or its engine has failed.",
}


class ErrorFields(TypedDict):
    """OpenAI's four fields."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(TypedDict):
    """Every refusal."""

    error: ErrorFields


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The refusals of a route, for its OpenAPI description; those of the gate are in every route's."""
    return {status: {"model": ErrorBody, "description": STATUSES[status]} for status in sorted({400, 401, 403, 500, *statuses})}


def add_handlers(app: FastAPI) -> None:
    """Every refusal has OpenAI's shape."""

    async def api_error(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, ApiError)
        return JSONResponse(error.body(), status_code=error.status, headers=error.headers)

    async def http_error(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code)
        body = ApiError(error.status_code, str(error.detail), code=code).body()
        return JSONResponse(body, status_code=error.status_code, headers=error.headers)

    async def invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return await api_error(request, _first(error.errors()))

    app.add_exception_handler(ApiError, api_error)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(RequestValidationError, invalid)


def _first(problems: Sequence[Any]) -> ApiError:
    """The first problem, without what the client wrote there."""
    problem = problems[0]
    if problem["type"] == "json_invalid":
        return refused("the body is not JSON", None, code="invalid_json")
    path = [str(part) for part in problem["loc"][1:] if isinstance(part, int) or _is_field(str(part))]
    param = ".".join(path) or None
    return refused(f"{param or 'the body'}: {problem['msg']}", param, code="invalid_value")


def _is_field(part: str) -> bool:
    """The path also names the alternatives of a union, such as `str`, `list[TextPart]` and `InputMessage`."""
    return part.isidentifier() and part.islower() and part != "str"


logger = logging.getLogger("tina_azr.serve")


def log_fault(error: BaseException, what: str) -> None:
    """Write the frames of an exception, innermost last."""
    frames = traceback.extract_tb(error.__traceback__)
    where = "\n".join(f"  {frame.filename}:{frame.lineno} in {frame.name}" for frame in frames)
    logger.error(
        "%s failed with %s; its message is left out, for it may quote a conversation\n%s", what, type(error).__name__, where
    )
