"""Tests of access control: Host, Origin, Sec-Fetch-Site, key, content type, length and speed of a body."""

import json
import socket
from collections.abc import Iterator

import httpx
import pytest

from scripted_chat import ScriptedChatEngine
from scripted_server import PATIENCE, RunningServer, running
from tina_azr.serve.access.middleware import HEADER_BYTES

KEY = "correct-horse-battery"
ASK = {"messages": [{"role": "user", "content": "hello"}]}


def error_of(response: httpx.Response) -> dict[str, str | None]:
    """Return the error of a response, and check that it has OpenAI's format."""
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    error: dict[str, str | None] = body["error"]
    return error


def port_of(client: httpx.Client) -> int:
    assert client.base_url.port is not None
    return client.base_url.port


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
def test_names_of_this_machine_are_accepted(client: httpx.Client, name: str) -> None:
    assert client.get("/health", headers={"Host": f"{name}:{port_of(client)}"}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:{port}",
        "127.0.0.1.evil.example:{port}",
        "localhost",
        "localhost:1",
        "192.168.0.7:{port}",
        "a/b:{port}",
        "localhost:{port}:1",
        "",
    ],
)
@pytest.mark.parametrize("path", ["/", "/health", "/metrics", "/v1/models", "/static/index.html"])
def test_foreign_host_is_refused_on_every_path(client: httpx.Client, host: str, path: str) -> None:
    response = client.get(path, headers={"Host": host.format(port=port_of(client))})
    assert (response.status_code, error_of(response)["code"]) == (403, "bad_host")


def test_two_host_headers_are_refused(client: httpx.Client) -> None:
    lines = f"GET /health HTTP/1.1\r\nHost: localhost:{port_of(client)}\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
    assert raw(port_of(client), lines.encode()).startswith(b"HTTP/1.1 4")


def test_allowed_host_is_accepted() -> None:
    with running(ScriptedChatEngine(), hosts=["box.example", "tunnel.example:9000"]) as server:
        seen = {
            host: server.get("/health", headers={"Host": host}).status_code
            for host in ("box.example", "box.example:80", "tunnel.example:9000", "tunnel.example:9001", "other.example")
        }
    assert seen == {
        "box.example": 200,
        "box.example:80": 200,
        "tunnel.example:9000": 200,
        "tunnel.example:9001": 403,
        "other.example": 403,
    }


def test_server_listens_on_ipv6() -> None:
    with running(ScriptedChatEngine(), host="::1") as server:
        assert server.url.startswith("http://[::1]:")
        assert server.get("/health", headers={"Origin": server.url}).status_code == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "http://localhost:1", "https://localhost", "null", "file://", "http://127.0.0.1.evil.example"]
)
def test_a_page_of_another_origin_is_refused(client: httpx.Client, origin: str) -> None:
    response = client.post("/v1/chat/completions", json=ASK, headers={"Origin": origin})
    assert (response.status_code, error_of(response)["code"]) == (403, "cross_origin")
    assert "access-control-allow-origin" not in response.headers


def test_own_page_is_accepted(client: httpx.Client) -> None:
    headers = {"Origin": str(client.base_url).rstrip("/"), "Sec-Fetch-Site": "same-origin"}
    assert client.post("/v1/chat/completions", json=ASK, headers=headers).status_code == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_cross_site_request_without_origin_is_refused(client: httpx.Client, site: str) -> None:
    response = client.get("/v1/models", headers={"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate"})
    assert (response.status_code, error_of(response)["code"]) == (403, "cross_site")


def test_link_from_another_site_opens_the_page(client: httpx.Client) -> None:
    assert client.get("/", headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}).status_code == 200
    assert client.get("/", headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}).status_code == 403


@pytest.mark.parametrize("media", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_form_content_types_are_refused(client: httpx.Client, media: str) -> None:
    response = client.post("/v1/chat/completions", content=json.dumps(ASK), headers={"Content-Type": media})
    assert (response.status_code, error_of(response)["code"]) == (415, "unsupported_media_type")


@pytest.fixture(scope="module")
def locked() -> Iterator[RunningServer]:
    with running(ScriptedChatEngine(), key=KEY) as server:
        yield server


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer wrong", f"Bearer {KEY}x", f"Bearer {KEY[:-1]}", f"Basic {KEY}", KEY]
)
@pytest.mark.parametrize("path", ["/v1/models", "/v1/tina/info", "/metrics", "/openapi.json", "/nothing", "//v1/models"])
def test_a_wrong_key_is_refused(locked: RunningServer, header: str | None, path: str) -> None:
    response = locked.get(path, headers={} if header is None else {"Authorization": header})
    assert (response.status_code, error_of(response)["code"]) == (401, "invalid_api_key")
    assert ("the API key is wrong" in response.text) is bool(header and header.startswith("Bearer "))
    assert response.headers["www-authenticate"] == "Bearer"
    assert KEY not in response.text


def test_non_ascii_key_is_refused_without_a_server_error(locked: RunningServer) -> None:
    assert locked.get("/v1/models", headers={"Authorization": "Bearer žluť".encode()}).status_code == 401


def test_right_key_is_accepted(locked: RunningServer) -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    assert locked.get("/v1/models", headers=headers).status_code == 200
    assert locked.post("/v1/chat/completions", ASK, headers=headers).status_code == 200


@pytest.mark.parametrize("path", ["/", "/health", "/ready", "/static/index.html"])
def test_page_and_health_probes_need_no_key(locked: RunningServer, path: str) -> None:
    assert locked.get(path).status_code == 200


def test_too_long_body_is_refused(client: httpx.Client) -> None:
    response = client.post("/v1/chat/completions", content=b" " * 20_001, headers={"Content-Type": "application/json"})
    assert (response.status_code, error_of(response)["code"]) == (413, "body_too_long")


def test_chunked_body_is_refused_once_it_is_too_long(client: httpx.Client) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 100_000_000:
            sent += 1_000
            yield b" " * 1_000

    try:
        response = client.post("/v1/chat/completions", content=endless(), headers={"Content-Type": "application/json"})
        assert response.status_code == 413
    except httpx.WriteError:
        pass  # the server hung up on a client that went on sending
    assert sent < 20_000_000


def test_invalid_content_length_is_refused(client: httpx.Client) -> None:
    head = f"POST /v1/responses HTTP/1.1\r\nHost: localhost:{port_of(client)}\r\nContent-Type: application/json\r\n"
    assert raw(port_of(client), f"{head}Content-Length: -5\r\n\r\n".encode()).startswith(b"HTTP/1.1 4")


def test_missing_body_times_out() -> None:
    with running(ScriptedChatEngine(), read_seconds=0.2) as server:
        port = httpx.URL(server.url).port
        assert port is not None
        head = f"POST /v1/responses HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Type: application/json\r\n"
        assert raw(port, f"{head}Content-Length: 50\r\n\r\n{{".encode()).startswith(b"HTTP/1.1 408")


def test_too_long_headers_are_refused(client: httpx.Client) -> None:
    # Hardly longer than is taken: of much longer ones the server may read a part first, and HTTP's parser refuses that part, by 400.
    lines = f"GET /health HTTP/1.1\r\nHost: localhost:{port_of(client)}\r\nX-Long: {'a' * HEADER_BYTES}\r\n\r\n"
    assert raw(port_of(client), lines.encode()).startswith(b"HTTP/1.1 431")


@pytest.mark.parametrize("path", ["/", "/v1/models", "/nothing", "/static/../app.py"])
def test_every_response_has_security_headers(client: httpx.Client, path: str) -> None:
    headers = client.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "server" not in headers


def raw(port: int, data: bytes) -> bytes:
    """Send raw bytes that no client library would send, and return the response."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.sendall(data)
        return connection.recv(65_536)
