"""Access middleware: every request passes it before the application, and every response after.

The checks of Host, Origin and Sec-Fetch-Site keep out pages of other sites. The key keeps out other machines. The content type keeps
out HTML forms, and the limits keep out oversized requests. The path comes from the ASGI scope, never from a URL that is built from the
Host header.
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
from tina_azr.serve.types import ApiError, server_error

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
"""Path labels of the request counter; other paths count as `other`."""
HEADER_BYTES = 32 * 1024
"""Most bytes of a request's headers and path together."""
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
class AccessRules:
    """Rules of the access middleware: address, key and limits."""

    address: OwnAddress
    key: str | None
    """API key that clients must send; None: no key."""
    body_bytes: int
    read_seconds: float


class AccessMiddleware:
    """Outermost ASGI application: checks access, reads the body, adds security headers, counts requests."""

    def __init__(self, app: ASGIApp, rules: AccessRules, metrics: Metrics) -> None:
        self._app = app
        self._rules = rules
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        secured_send = _SecuredSend(send)
        try:
            self._check(scope)
            body = await self._body(scope, receive)
            await self._app(scope, body, secured_send)
        except ApiError as error:
            await _send_error(error, scope, receive, secured_send)
        except Exception as error:  # noqa: BLE001 - catches everything: logged without its text, answered with 500
            log_fault(error, "a request")
            await _send_error(
                server_error("internal server error; the server's log has the traceback"), scope, receive, secured_send
            )
        path = scope["path"] if scope["path"] in KNOWN_PATHS else OPEN_FOLDER if _is_static(scope) else "other"
        self._metrics.requests.labels(path, str(secured_send.status)).inc()

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        if sum(len(name) + len(value) for name, value in headers.raw) + len(scope["raw_path"] or b"") > HEADER_BYTES:
            raise ApiError(431, f"the headers are longer than {HEADER_BYTES} bytes", code="headers_too_long")
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._rules.address.accepts(hosts[0]):
            raise _forbidden(
                "the Host header does not name this server; allow another name, a tunnel or a proxy with --allow-host", "bad_host"
            )
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
        """Read the whole body, within the limits of size and time.

        Return a `receive` that first replays the body and then waits for the client's disconnect.
        """
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
            raise ApiError(408, f"the body did not arrive within {self._rules.read_seconds:g} s", code="timeout") from error
        whole: list[Message] = [{"type": "http.request", "body": b"".join(pieces), "more_body": False}]

        async def replay() -> Message:
            return whole.pop() if whole else await receive()

        return replay


class _SecuredSend:
    """ASGI `send` that adds the security headers and keeps the status."""

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


async def _send_error(error: ApiError, scope: Scope, receive: Receive, secured_send: _SecuredSend) -> None:
    if secured_send.status is not None:
        # A part of the response has been sent, so the error cannot be sent; the connection is closed.
        return
    headers = error.headers if error.status not in (408, 413, 431) else {**error.headers, "Connection": "close"}
    await JSONResponse(error.body(), status_code=error.status, headers=headers)(scope, receive, secured_send)


def _check_key(headers: Headers, key: str) -> None:
    scheme, _, given = headers.get("authorization", "").partition(" ")
    sent = given.strip() if scheme.lower() == "bearer" else ""
    if not hmac.compare_digest(sent.encode(), key.encode()):
        problem = "the API key is wrong" if sent else "this server requires an API key"
        raise ApiError(
            401,
            f"{problem}: send the header Authorization: Bearer KEY",
            kind="authentication_error",
            code="invalid_api_key",
            headers={"WWW-Authenticate": "Bearer"},
        )


def _is_static(scope: Scope) -> bool:
    return bool(scope["path"].startswith(OPEN_FOLDER))


def _is_navigation(scope: Scope, headers: Headers) -> bool:
    """Return whether the request is a link to the page. Other sites may link to it: that only shows the page."""
    return scope["method"] == "GET" and scope["path"] == "/" and headers.get("sec-fetch-mode") == "navigate"


def _forbidden(message: str, code: str) -> ApiError:
    return ApiError(403, message, kind="permission_error", code=code)


def _too_long(limit: int) -> ApiError:
    return ApiError(413, f"the body is longer than the limit of {limit} bytes", code="body_too_long")
