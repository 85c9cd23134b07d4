"""`POST /v1/responses`: the body, and what the engine is asked for it. Nothing is stored: a conversation is sent whole each time."""

from typing import Literal

from pydantic import Field

from tina_azr.engine.types import GenerationRequest, Message
from tina_azr.serve.bodies import Body, Content, RequestLimits, Role, Text, Tokens, check_model, message, unsupported
from tina_azr.serve.request_fields import RequestFields, TextFormat
from tina_azr.serve.types import ServedModel


class InputMessage(Body):
    """A turn of the conversation."""

    type: Literal["message"] = "message"
    role: Role
    content: Content


class InputReasoning(Body):
    """A thought of an earlier response that a client sends back. It is not read."""

    type: Literal["reasoning"]


class TextOptions(Body):
    """`text`."""

    format: TextFormat | None = None


class ResponsesRequest(RequestFields):
    """The body."""

    input: Text | list[InputMessage | InputReasoning] = Field(min_length=1)
    instructions: Text | None = None
    """A system message before the others."""
    max_output_tokens: Tokens | None = None
    """Thought and answer together."""
    text: TextOptions | None = None
    background: bool | None = None
    previous_response_id: Text | None = None
    """Only null: responses are not stored."""

    def to_engine(self, model: ServedModel, limits: RequestLimits) -> GenerationRequest:
        """The engine's request. Raises ApiError for what this server does not have or does not do."""
        check_model(self.model, model)
        unsupported(
            {
                "tools": self.wants_tools(),
                "background": bool(self.background),
                "previous_response_id": self.previous_response_id is not None,
                "text.format": self.text is not None and self.text.format is not None and self.text.format.type != "text",
            }
        )
        return self.asked(self._turns(), "input", self.max_output_tokens, model, limits)

    def _turns(self) -> list[Message]:
        given = [InputMessage(role="user", content=self.input)] if isinstance(self.input, str) else self.input
        system = [Message(role="system", content=self.instructions)] if self.instructions else []
        return system + [message(turn.role, turn.content) for turn in given if isinstance(turn, InputMessage)]
