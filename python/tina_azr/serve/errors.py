"""Error responses in OpenAI's format, including those that FastAPI raises itself."""

import logging
import traceback
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from typing_extensions import TypedDict

from tina_azr.serve.types import ApiError, bad_request

STATUSES = {
    400: "The request is invalid: malformed JSON, a wrong type, a number out of bounds, or a prompt that does not fit.",
    401: "The key is missing or wrong.",
    403: "Host, Origin or Sec-Fetch-Site does not belong to this server.",
    404: "Not found.",
    408: "The body did not arrive in time.",
    413: "The body is too long.",
    415: "The body is not JSON.",
    431: "The headers are too long.",
    429: "The server is full; Retry-After says when to try again.",
    500: "Internal error of the server.",
    503: "The server is shutting down, or its engine has failed.",
}


class ErrorFields(TypedDict):
    """Four fields of an error in OpenAI's format."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(TypedDict):
    """Body of every error response."""

    error: ErrorFields


def error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the error responses of a route for its OpenAPI description, with those of the access middleware."""
    return {status: {"model": ErrorBody, "description": STATUSES[status]} for status in sorted({400, 401, 403, 500, *statuses})}


def add_handlers(app: FastAPI) -> None:
    """Install handlers that turn every error into OpenAI's format."""

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
        return await api_error(request, _first_error(error.errors()))

    app.add_exception_handler(ApiError, api_error)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(RequestValidationError, invalid)


def _first_error(problems: Sequence[Any]) -> ApiError:
    """Return the first validation problem, without the value that the client sent."""
    problem = problems[0]
    if problem["type"] == "json_invalid":
        return bad_request("the body is not JSON", None, code="invalid_json")
    path = [str(part) for part in problem["loc"][1:] if isinstance(part, int) or _is_field(str(part))]
    param = ".".join(path) or None
    return bad_request(f"{param or 'the body'}: {problem['msg']}", param, code="invalid_value")


def _is_field(part: str) -> bool:
    """Return whether a part of an error's path is a field.

    The path also names the alternatives of a union, for example `str`, `list[TextPart]` and `InputMessage`.
    """
    return part.isidentifier() and part.islower() and part != "str"


logger = logging.getLogger("tina_azr.serve")


def log_fault(error: BaseException, what: str) -> None:
    """Log the frames of an exception, innermost last, without its message."""
    frames = traceback.extract_tb(error.__traceback__)
    where = "\n".join(f"  {frame.filename}:{frame.lineno} in {frame.name}" for frame in frames)
    logger.error(
        "%s failed with %s; its message is omitted because it may quote a conversation\n%s", what, type(error).__name__, where
    )
