"""State of a conversation, without the terminal: messages, settings, and the commands that change them.

The state is immutable: a command takes a conversation and returns a new one.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from tina_azr.cli.chat.file import SavedChat, load_chat, save_chat
from tina_azr.cli.model_options import EXAMPLE, budget_of
from tina_azr.engine.types import GenerationRequest, Message
from tina_azr.errors import ConfigError, TinaError


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat:
    """Conversation, and the options for its next turn."""

    model: str
    system: str | None = None
    messages: tuple[Message, ...] = ()
    """User and assistant in turn; reasoning is never kept."""
    visible: bool = False
    budget: str = "auto"
    """As the user gave it; see `budget_of`."""

    def request(self, user: str, sampling: GenerationRequest) -> GenerationRequest:
        """Build the request of the next turn. `sampling` gives all fields that the conversation does not set."""
        tokens, quantile = budget_of(self.budget)
        system = () if self.system is None else (Message(role="system", content=self.system),)
        return replace(
            sampling,
            messages=(*system, *self.messages, Message(role="user", content=user)),
            visible=self.visible,
            budget_tokens=tokens,
            budget_quantile=quantile,
        )

    def with_turn(self, user: str, answer: str) -> "Chat":
        """Return the conversation with one more turn."""
        return replace(
            self,
            messages=(*self.messages, Message(role="user", content=user), Message(role="assistant", content=answer)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """Result of a line that the user typed."""

    chat: Chat
    text: str = ""
    """Text for the user."""
    prompt: str | None = None
    """Prompt for the model; None: nothing to send."""
    exit: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """Chat command, a line that begins with `/`."""

    usage: str
    summary: str
    act: Callable[[Chat, str], Reply]


def read_line(chat: Chat, line: str) -> Reply:
    """Return the effect of a command, or the message to send. `//` at the start stands for a message that begins with `/`."""
    if not line.strip():
        return Reply(chat=chat)
    if not line.startswith("/") or line.startswith("//"):
        return Reply(chat=chat, prompt=line[1:] if line.startswith("//") else line)
    name, argument = (*line.split(maxsplit=1), "")[:2]
    command = COMMANDS.get(name)
    if command is None:
        return Reply(chat=chat, text=f"there is no command {name}; /help lists them (a message that begins with / needs two)")
    try:
        return command.act(chat, argument.strip())
    except TinaError as error:
        return Reply(chat=chat, text=str(error))


def _help(chat: Chat, _: str) -> Reply:
    width = max(len(command.usage) for command in COMMANDS.values())
    lines = [f"{command.usage:{width}}  {command.summary}" for command in COMMANDS.values()]
    keys = "Enter sends; a new line: Alt-Enter, Ctrl-J, or \\ at the end of a line. Ctrl-C stops an answer, twice leaves; Ctrl-D leaves."
    return Reply(chat=chat, text="\n".join([*lines, keys]))


def _reset(chat: Chat, _: str) -> Reply:
    return Reply(chat=replace(chat, messages=()), text="conversation cleared; the system message is kept")


def _system(chat: Chat, text: str) -> Reply:
    if not text:
        return Reply(chat=chat, text=f"system message: {chat.system or 'none'}")
    if text == "none":
        return Reply(chat=replace(chat, system=None), text="no system message")
    return Reply(chat=replace(chat, system=text), text="system message set")


def _visible(chat: Chat, _: str) -> Reply:
    return Reply(chat=replace(chat, visible=True), text="the reasoning is shown from now on")


def _hidden(chat: Chat, _: str) -> Reply:
    return Reply(chat=replace(chat, visible=False), text="the reasoning is folded from now on")


def _budget(chat: Chat, text: str) -> Reply:
    if not text:
        return Reply(chat=chat, text=f"budget: {chat.budget}")
    budget_of(text)
    return Reply(chat=replace(chat, budget=text), text=f"budget: {text}")


def _save(chat: Chat, text: str) -> Reply:
    path = _path("/save", text)
    save_chat(
        path,
        SavedChat(model=chat.model, system=chat.system, visible=chat.visible, budget=chat.budget, messages=chat.messages),
    )
    return Reply(chat=chat, text=f"saved {_turns(chat)} in {path}")


def _load(chat: Chat, text: str) -> Reply:
    path = _path("/load", text)
    saved = load_chat(path)
    budget_of(saved.budget)
    loaded = replace(chat, system=saved.system, visible=saved.visible, budget=saved.budget, messages=tuple(saved.messages))
    other = "" if saved.model == chat.model else f"; it was made with {saved.model}"
    return Reply(chat=loaded, text=f"loaded {_turns(loaded)} from {path}{other}")


def _example(chat: Chat, _: str) -> Reply:
    # The embedded model can only answer single tasks, so earlier turns are dropped.
    begun = "started again: the conversation so far is forgotten\n" if chat.messages else ""
    return Reply(chat=replace(chat, messages=()), text=begun + EXAMPLE.rstrip(), prompt=EXAMPLE)


def _exit(chat: Chat, _: str) -> Reply:
    return Reply(chat=chat, exit=True)


def _path(command: str, text: str) -> Path:
    if not text:
        raise ConfigError(f"{command} needs the name of a file")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"{text}: {error}") from error


def _turns(chat: Chat) -> str:
    count = len(chat.messages) // 2
    return f"{count} turn{'' if count == 1 else 's'}"


COMMANDS: dict[str, Command] = {
    "/help": Command(usage="/help", summary="this list", act=_help),
    "/reset": Command(usage="/reset", summary="clear the conversation", act=_reset),
    "/system": Command(
        usage="/system TEXT", summary="set the system message (`none` removes it; without TEXT: show it)", act=_system
    ),
    "/visible": Command(usage="/visible", summary="show the reasoning", act=_visible),
    "/hidden": Command(usage="/hidden", summary="fold the reasoning into one line", act=_hidden),
    "/budget": Command(
        usage="/budget N|auto|low|medium|high", summary="think tokens to aim at, or which quantile of the forecast", act=_budget
    ),
    "/save": Command(usage="/save FILE", summary="save the conversation, without its reasoning", act=_save),
    "/load": Command(usage="/load FILE", summary="continue a saved conversation", act=_load),
    "/example": Command(usage="/example", summary="start again with a task that the embedded model was made for", act=_example),
    "/exit": Command(usage="/exit", summary="leave", act=_exit),
}
"""Every command by its name, in the order of /help."""
