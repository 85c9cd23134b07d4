"""What a configuration says is what the served engine does."""

import pytest

from tina_azr.config import load_config


def test_settings_of_introspection_reach_the_engine() -> None:
    from tina_azr.engine.engine import IntrospectionWarning
    from tina_azr.serve.loading import open_for_serving

    said = ["skip_below=0.2", "obey_stop_plan=true", "adapter_rank=2", "film=true", "gate_layer=1", "tags=[plan]"]
    with pytest.warns(IntrospectionWarning, match="nothing trains them yet"):
        engine = open_for_serving(load_config(overrides=[f"introspection.{text}" for text in said]))
    settings = engine.settings
    assert (settings.skip_below, settings.obey_stop_plan, settings.tags) == (0.2, True, ("plan",))
    assert engine.modulator is not None
    shape = engine.modulator.shape
    assert (shape.rank, shape.film, shape.gate_layer) == (2, True, 1)
