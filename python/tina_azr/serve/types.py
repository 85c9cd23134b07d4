"""What the server knows of the model it serves, and the error that every refusal is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tina_azr.errors import ServeError
from tina_azr.text.style import PromptStyle


class EndedBy(StrEnum):
    """Why the server, not the model, ended a request."""

    CLIENT = "client"
    """It left."""
    TIME_LIMIT = "time_limit"
    """`serve.request_seconds` passed."""
    SHUTDOWN = "shutdown"
    """The server stops, and the grace time passed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits:
    """Limits of every server that never needed a second value, so they are no settings."""

    body_bytes: int = 1_048_576
    """Longest request body."""
    messages: int = 512
    """Most messages of one conversation."""
    prompt_chars: int = 500_000
    """Longest conversation in characters, all messages together, before it is tokenized."""
    choices: int = 16
    """Most completions of one prompt (`n`); never more than the queue holds."""
    read_seconds: float = 20.0
    """Longest time in which a request's body must arrive."""
    ping_seconds: float = 15.0
    """A stream that is silent for this long is sent a comment, so that no proxy closes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What a request that does not say otherwise is sampled with."""

    max_tokens: int
    max_think_tokens: int
    """The budget where nothing else says one, and the most: a larger one is lowered to it."""
    temperature: float
    top_p: float
    top_k: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationCard:
    """What is known of the confidence that is shown. All None: it was never calibrated."""

    digest: str | None = None
    n: int | None = None
    """Held-out answers that it was fitted on."""
    ece: float | None = None
    """Expected calibration error there."""
    date: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel:
    """The one model of this server, as clients are told of it."""

    name: str
    embedded: bool
    """It is one that ships inside the package."""
    note: str
    """For people: what it can and cannot do."""
    context_limit: int
    """Tokens, prompt and completion together."""
    defaults: Defaults
    heads: bool
    """It forecasts budget and confidence."""
    calibration: CalibrationCard = field(default_factory=CalibrationCard)
    prompts: PromptStyle = PromptStyle.FULL
    """What it reads; the page's examples are of this set."""
    created: int = 0
    """Seconds since 1970, for `/v1/models`."""


class ApiError(ServeError):
    """One refusal, as the client reads it: OpenAI's four fields and a status. Never holds text of a prompt or a thought."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.param = param
        self.code = code
        self.headers = dict(headers or {})

    def body(self) -> dict[str, dict[str, str | None]]:
        """`{"error": {...}}`."""
        return {"error": {"message": str(self), "type": self.kind, "param": self.param, "code": self.code}}


def refused(message: str, param: str | None, *, code: str | None = None) -> ApiError:
    """A request that cannot be right: 400, naming the field."""
    return ApiError(400, message, param=param, code=code)


def failed(message: str) -> ApiError:
    """A fault on this side: 500."""
    return ApiError(500, message, kind="server_error", code="internal_error")
