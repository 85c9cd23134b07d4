"""Real sandboxes for the folder, one for each way of running: nothing is held between runs, which is what is tested here."""

from collections.abc import Iterator

import pytest

from tina_azr.sandbox import Sandbox, StaticPolicy, Way


@pytest.fixture(scope="session", params=list(Way))
def box(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    with Sandbox(policy=StaticPolicy.OPEN, way=request.param, verify_every=1) as sandbox:
        yield sandbox
