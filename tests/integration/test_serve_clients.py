"""Tests of `tina-azr serve` with the embedded model and two clients, openai and curl. Other clients are in tests/peers."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

SERVE = [sys.executable, "-m", "tina_azr", "serve", "--port", "0", "--set", "run.threads=1"]
QUESTION = "Solve.\n```python\ndef f(a):\n    a = a + 3\n    return a\n```\n```input\n4\n```"
KEY = "integration-key"


class Command:
    """The command in its own process."""

    def __init__(self, *arguments: str, key: str | None = None) -> None:
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"} | ({} if key is None else {"TINA_AZR_API_KEY": key})
        self.process = subprocess.Popen(
            [*SERVE, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )
        self.said = ""
        self.url = self._read_url()

    def _read_url(self) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said += line
            if found := re.search(r"Serving at (\S+) ", line):
                return found[1]
        assert self.process.stderr is not None
        raise AssertionError(f"the server ended: {self.process.stderr.read()}")

    def stop(self, by: signal.Signals = signal.SIGINT) -> tuple[int, str, str]:
        """Stop the command; return its exit status, standard output and standard error."""
        self.process.send_signal(by)
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, self.said + out, err


@pytest.fixture(scope="module")
def command() -> Iterator[Command]:
    running = Command()
    yield running
    running.stop()


@pytest.fixture
def client(command: Command) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{command.url}/v1", api_key="any", max_retries=0, timeout=60) as sdk:
        yield sdk


def test_embedded_model_prints_its_note(command: Command) -> None:
    assert "the model that ships inside" in command.said
    assert "tina-azr serve --model" in command.said


def test_openai_lists_the_model(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["tiny"]
    assert client.models.retrieve("tiny").owned_by == "tina-azr"


def test_openai_gets_an_answer(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="tiny", messages=[{"role": "user", "content": QUESTION}], seed=1, n=2, logprobs=True
    )
    usage, tina = answer.usage, answer.model_extra["tina"]  # type: ignore[index]
    assert usage is not None
    assert usage.completion_tokens_details is not None
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert usage.completion_tokens_details.reasoning_tokens == sum(choice.model_extra["tina"]["used"] for choice in answer.choices)  # type: ignore[index]
    assert tina["think_stop"] in ("closed", "slack", "wall")
    tokens = answer.choices[0].logprobs
    assert tokens is not None
    assert tokens.content
    assert all(token.logprob <= 0 for token in tokens.content)


def test_openai_streams_the_same_answer(client: openai.OpenAI) -> None:
    def ask() -> tuple[str, str | None]:
        whole = client.chat.completions.create(
            model="tiny", messages=[{"role": "user", "content": QUESTION}], seed=3, temperature=0
        )
        return whole.choices[0].message.content or "", whole.choices[0].finish_reason

    chunks = list(
        client.chat.completions.create(
            model="tiny",
            messages=[{"role": "user", "content": QUESTION}],
            seed=3,
            temperature=0,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    *parts, last = chunks
    text = "".join(chunk.choices[0].delta.content or "" for chunk in parts)
    assert (text, parts[-1].choices[0].finish_reason) == ask()
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.completion_tokens > 0


def test_openai_speaks_the_responses_api(client: openai.OpenAI) -> None:
    whole = client.responses.create(model="tiny", input=QUESTION, temperature=0, instructions="")
    assert whole.status == "completed"
    assert whole.usage is not None
    assert whole.usage.output_tokens >= whole.usage.output_tokens_details.reasoning_tokens
    with client.responses.stream(model="tiny", input=QUESTION, temperature=0) as stream:
        names = [event.type for event in stream]
        final = stream.get_final_response()
    assert (names[0], names[-1]) == ("response.created", "response.completed")
    assert final.output_text == whole.output_text


def test_openai_client_raises_its_own_errors(client: openai.OpenAI) -> None:
    messages = [{"role": "user", "content": "x"}]
    with pytest.raises(openai.NotFoundError, match="no model of that name"):
        client.chat.completions.create(model="gpt-9", messages=messages)  # type: ignore[arg-type]
    with pytest.raises(openai.BadRequestError, match="temperature"):
        client.chat.completions.create(model="tiny", messages=messages, temperature=9)  # type: ignore[arg-type]
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "x " * 3_000}])


def test_the_python_example_of_the_serving_page_runs(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert "http://127.0.0.1:8000" in example
    space: dict[str, Any] = {}
    exec(example.replace("http://127.0.0.1:8000", command.url), space)
    space["client"].close()
    assert space["answer"].choices[0].message.content in capsys.readouterr().out


def curl(*arguments: str) -> str:
    done = subprocess.run(
        ["curl", "--silent", "--show-error", "--max-time", "60", *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout


def test_curl_gets_an_answer_and_a_stream(command: Command) -> None:
    body = {"messages": [{"role": "user", "content": QUESTION}], "temperature": 0}
    send = ("-H", "Content-Type: application/json", f"{command.url}/v1/chat/completions", "-d")
    whole = json.loads(curl(*send, json.dumps(body)))
    blocks = curl("--no-buffer", *send, json.dumps({**body, "stream": True})).strip().split("\n\n")
    assert blocks[-1] == "data: [DONE]"
    chunks = [json.loads(block.removeprefix("data: ")) for block in blocks[:-1]]
    text = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
    assert text == whole["choices"][0]["message"]["content"]


def test_the_sandbox_behind_the_page_runs_a_program(command: Command) -> None:
    outcome = httpx.post(
        f"{command.url}/v1/tina/sandbox", json={"program": "def f(n):\n    return n * n", "call": "f(12)"}, timeout=60
    ).json()
    assert (outcome["outcome"], outcome["value"]) == ("ok", "144")


def test_ctrl_c_and_a_key_from_the_environment() -> None:
    locked = Command(key=KEY)
    assert httpx.get(f"{locked.url}/v1/models", timeout=60).status_code == 401
    with openai.OpenAI(base_url=f"{locked.url}/v1", api_key=KEY) as sdk:
        sdk.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "my secret"}], max_tokens=20)
    status, out, err = locked.stop()
    assert (status, out.splitlines()[-1]) == (0, "Stopped.")
    assert "key required" in out
    assert "chatcmpl-" in err
    for text in (out, err):
        assert KEY not in text
        assert "my secret" not in text


def test_sigterm_ends_cleanly() -> None:
    status, out, _ = Command("--quiet", "--host", "::1", "--allow-host", "[::1]:9000").stop(signal.SIGTERM)
    assert (status, out.splitlines()[-1]) == (0, "Stopped.")


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--host", "0.0.0.0"], 2, "TINA_AZR_API_KEY"),
        (["--host", "::"], 2, "TINA_AZR_API_KEY"),
        (["--port", "70000"], 2, "Error: --port: `serve.port` is 70000"),
        (["--model", "no/such/model/here"], 1, "no/such/model/here"),
        (["--api-key-file", "missing"], 2, "missing"),
    ],
)
def test_wrong_settings_are_reported_before_loading(arguments: list[str], status: int, words: str, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "TINA_AZR_API_KEY"}
    done = subprocess.run(
        [*SERVE, *arguments], capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=120, check=False
    )
    assert done.returncode == status, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
