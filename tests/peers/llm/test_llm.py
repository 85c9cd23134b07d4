"""Simon Willison's `llm` command as a client of `tina-azr serve`."""

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

QUESTION = "Solve.\n```python\ndef f(a):\n    a = a + 3\n    return a\n```\n```input\n4\n```"


def answer_of(server: str) -> str:
    """Return the server's greedy answer to QUESTION, asked over plain HTTP."""
    body = {"messages": [{"role": "user", "content": QUESTION}], "temperature": 0}
    request = urllib.request.Request(
        f"{server}/v1/chat/completions", data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        return str(json.load(response)["choices"][0]["message"]["content"])


@pytest.mark.parametrize("arguments", [[], ["--no-stream"]], ids=["streamed", "whole"])
def test_llm_prints_the_answer_of_the_server(server: str, tmp_path: Path, arguments: list[str]) -> None:
    model = f"- model_id: mine\n  model_name: tiny\n  api_base: {server}/v1\n  api_key_name: none\n"
    (tmp_path / "extra-openai-models.yaml").write_text(model)
    done = subprocess.run(
        [sys.executable, "-m", "llm", "-m", "mine", "--key", "any", "-o", "temperature", "0", *arguments, QUESTION],
        env={**os.environ, "LLM_USER_PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == answer_of(server).strip()
