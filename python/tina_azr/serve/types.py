"""Types of the server: the served model, its limits, and API errors."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tina_azr.errors import ServeError
from tina_azr.text.style import PromptStyle


class EndedBy(StrEnum):
    """Reason why the server, not the model, ended a request."""

    CLIENT = "client"
    """The client disconnected."""
    TIME_LIMIT = "time_limit"
    """`serve.request_seconds` passed."""
    SHUTDOWN = "shutdown"
    """The server is stopping, and the grace period has passed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits:
    """Limits of the server that never needed a second value and are therefore not settings."""

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
    """Sampling parameters of a request that gives none."""

    max_tokens: int
    max_think_tokens: int
    """Budget if neither request nor forecast gives one, and the upper bound of every budget."""
    temperature: float
    top_p: float
    top_k: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationCard:
    """Facts about the calibration of the confidences. All None: they were never calibrated."""

    digest: str | None = None
    n: int | None = None
    """Held-out answers that it was fitted on."""
    ece: float | None = None
    """Expected calibration error there."""
    date: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel:
    """The model of this server, as clients see it."""

    name: str
    embedded: bool
    """Whether it ships inside the package."""
    note: str
    """Text for people that says what the model can and cannot do."""
    context_limit: int
    """Tokens, prompt and completion together."""
    defaults: Defaults
    heads: bool
    """Whether it forecasts budget and confidence."""
    calibration: CalibrationCard = field(default_factory=CalibrationCard)
    prompts: PromptStyle = PromptStyle.FULL
    """Prompt set that the model was trained on; the page's examples are of this set."""
    created: int = 0
    """Seconds since 1970, for `/v1/models`."""


class ApiError(ServeError):
    """Error response with a status and OpenAI's four fields. It never holds text of a prompt or of reasoning."""

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
        """Return the response body, `{"error": {...}}`."""
        return {"error": {"message": str(self), "type": self.kind, "param": self.param, "code": self.code}}


def bad_request(message: str, param: str | None, *, code: str | None = None) -> ApiError:
    """Return an error with status 400 that names the invalid field."""
    return ApiError(400, message, param=param, code=code)


def server_error(message: str) -> ApiError:
    """Return an error with status 500."""
    return ApiError(500, message, kind="server_error", code="internal_error")
