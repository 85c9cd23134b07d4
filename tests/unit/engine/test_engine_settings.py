"""Settings of the engine have the configuration as their one source."""

import pytest
import torch

from tina_azr.config import Config, load_config
from tina_azr.engine import loading
from tina_azr.engine.settings import EngineSettings, engine_settings


def test_default_settings_are_those_of_the_default_configuration() -> None:
    assert engine_settings(Config()) == EngineSettings()


def test_every_served_setting_reaches_the_engine() -> None:
    introspection = {"slack": 0.25, "min_think_tokens": 3, "max_think_tokens": 99, "skip_below": 0.2, "obey_stop_plan": True}
    serve = {"slots": 3, "kv_tokens": 640, "abstain_below": 0.4, "allow_visible_reasoning": True}
    config = Config.model_validate({"introspection": introspection | {"tags": ["plan"]}, "serve": serve})
    settings = engine_settings(config, tags=("plan", "check"))
    budget = settings.budget
    assert (budget.slack, budget.min_think_tokens, budget.max_think_tokens) == (0.25, 3, 99)
    assert (settings.skip_below, settings.obey_stop_plan, settings.tags) == (0.2, True, ("plan", "check"))
    assert (settings.slots, settings.kv_tokens, settings.abstain_below, settings.allow_visible) == (3, 640, 0.4, True)
    assert not engine_settings(config, allow_visible=False).allow_visible


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["run.threads=3"], [3]),
        ([], [1]),  # the embedded model
        (["model.name=./folder"], []),
        (["model.name=./folder", "run.threads=2"], [2]),
    ],
)
def test_threads_of_the_configuration_are_set(overrides: list[str], expected: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    monkeypatch.setattr(loading, "open_engine", lambda *_, **__: None)
    loading.open_configured(load_config(overrides=overrides))
    assert threads == expected
