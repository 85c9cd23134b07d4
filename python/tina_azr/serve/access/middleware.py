"""What every request passes before the application sees it, and every response after: one place for all rules of access.

Host, Origin and Sec-Fetch-Site keep foreign pages out, the key foreign machines, the content type forms, the limits giants. The path is
taken from the scope, never from a URL that the Host header had a part in.
"""

import asyncio
import hmac
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tina_azr.serve.access.hosts import OwnAddress, same_origin
from tina_azr.serve.errors import log_fault
from tina_azr.serve.metrics import Metrics
from tina_azr.serve.types import ApiError, failed

OPEN_PATHS = ("/", "/health", "/ready")
OPEN_FOLDER = "/static/"
KNOWN_PATHS = (
    *OPEN_PATHS,
    "/metrics",
    "/openapi.json",
    "/v1/models",
    "/v1/chat/completions",
    "/v1/chat/completions/control",
    "/v1/responses",
    "/v1/tina/info",
    "/v1/tina/render",
    "/v1/tina/sandbox",
)
"""Labels of the request counter; anything else counts as `other`."""
HEADER_BYTES = 32 * 1024
"""Of a request: all its headers and its path."""
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
SECURITY_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRules:
    """Who may come in, with how much."""

    address: OwnAddress
    key: str | None
    """What clients must send; None: nothing."""
    body_bytes: int
    read_seconds: float


class Gate:
    """The outermost application."""

    def __init__(self, app: ASGIApp, rules: GateRules, metrics: Metrics) -> None:
        self._app = app
        self._rules = rules
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(send)
        try:
            self._check(scope)
            body = await self._body(scope, receive)
            await self._app(scope, body, answer)
        except ApiError as error:
            await _refuse(error, scope, receive, answer)
        except Exception as error:  # noqa: BLE001 - the capture point of HTTP: a fault is logged without its text, and said
            log_fault(error, "a request")
            await _refuse(failed("the server has a fault: its log says where"), scope, receive, answer)
        path = scope["path"] if scope["path"] in KNOWN_PATHS else OPEN_FOLDER if _is_static(scope) else "other"
        self._metrics.requests.labels(path, str(answer.status)).inc()

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        if sum(len(name) + len(value) for name, value in headers.raw) + len(scope["raw_path"] or b"") > HEADER_BYTES:
            raise ApiError(431, f"the headers are longer than {HEADER_BYTES} bytes", code="headers_too_long")
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._rules.address.answers_to(hosts[0]):
            raise _forbidden("this Host is not this server's; a name, a tunnel or a proxy is allowed with --allow-host", "bad_host")
        origin = headers.get("origin")
        if origin is not None and not same_origin(origin, hosts[0]):
            raise _forbidden("requests from pages of other sites are refused", "cross_origin")
        site = headers.get("sec-fetch-site")
        if site not in (None, "same-origin", "none") and not _is_navigation(scope, headers):
            raise _forbidden("requests from pages of other sites are refused", "cross_site")
        if self._rules.key is not None and scope["path"] not in OPEN_PATHS and not _is_static(scope):
            _check_key(headers, self._rules.key)
        if scope["method"] == "POST" and headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise ApiError(415, "send JSON, with the header Content-Type: application/json", code="unsupported_media_type")

    async def _body(self, scope: Scope, receive: Receive) -> Receive:
        """The body read to its end, at most so long and for so long; what follows it is the client's leaving."""
        limit = self._rules.body_bytes
        length = Headers(scope=scope).get("content-length", "0")
        if not length.isdecimal() or int(length) > limit:
            raise _too_long(limit)
        pieces: list[bytes] = []
        size, more = 0, True
        try:
            async with asyncio.timeout(self._rules.read_seconds):
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ApiError(400, "the body ended early", code="incomplete_body")
                    pieces.append(message.get("body", b""))
                    size += len(pieces[-1])
                    if size > limit:
                        raise _too_long(limit)
                    more = message.get("more_body", False)
        except TimeoutError as error:
            raise ApiError(408, f"the body did not come within {self._rules.read_seconds:g} s", code="timeout") from error
        whole: list[Message] = [{"type": "http.request", "body": b"".join(pieces), "more_body": False}]

        async def replay() -> Message:
            return whole.pop() if whole else await receive()

        return replay


class _Answer:
    """`send` that adds the headers and remembers the status."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status: int | None = None

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in SECURITY_HEADERS.items():
                headers[name] = value
            headers.setdefault("Cache-Control", "no-store")
        await self._send(message)


async def _refuse(error: ApiError, scope: Scope, receive: Receive, answer: _Answer) -> None:
    if answer.status is not None:
        # Half a response is out already; ending the connection is all that is left.
        return
    headers = error.headers if error.status not in (408, 413, 431) else {**error.headers, "Connection": "close"}
    await JSONResponse(error.body(), status_code=error.status, headers=headers)(scope, receive, answer)


def _check_key(headers: Headers, key: str) -> None:
    scheme, _, given = headers.get("authorization", "").partition(" ")
    sent = given.strip() if scheme.lower() == "bearer" else ""
    if not hmac.compare_digest(sent.encode(), key.encode()):
        said = "the key that was sent is not this server's" if sent else "this server wants its key"
        raise ApiError(
            401,
            f"{said}: send the header Authorization: Bearer KEY",
            kind="authentication_error",
            code="invalid_api_key",
            headers={"WWW-Authenticate": "Bearer"},
        )


def _is_static(scope: Scope) -> bool:
    return bool(scope["path"].startswith(OPEN_FOLDER))


def _is_navigation(scope: Scope, headers: Headers) -> bool:
    """A link on another site may lead to the page: that shows it, and does nothing."""
    return scope["method"] == "GET" and scope["path"] == "/" and headers.get("sec-fetch-mode") == "navigate"


def _forbidden(message: str, code: str) -> ApiError:
    return ApiError(403, message, kind="permission_error", code=code)


def _too_long(limit: int) -> ApiError:
    return ApiError(413, f"the body is longer than the {limit} bytes that are taken", code="body_too_long")
