"""Tests that configured settings reach the served engine."""

from scripted_chat import ScriptedChatEngine
from scripted_server import running
from tina_azr.config import load_config


def test_settings_of_introspection_reach_the_engine() -> None:
    from tina_azr.serve.loading import open_for_serving

    given = ["skip_below=0.2", "obey_stop_plan=true", "tags=[plan]"]
    engine = open_for_serving(load_config(overrides=[f"introspection.{text}" for text in given]))
    settings = engine.settings
    assert (settings.skip_below, settings.obey_stop_plan, settings.tags) == (0.2, True, ("plan",))


def test_completions_of_a_prompt_are_limited_by_the_queue() -> None:
    with running(ScriptedChatEngine(), queue=3) as server:
        answer = server.chat({"messages": [{"role": "user", "content": "hello"}], "n": 4})
    assert answer.status_code == 400
    assert "at most 3 completions" in answer.json()["error"]["message"]
