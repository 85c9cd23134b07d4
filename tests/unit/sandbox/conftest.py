"""One real sandbox for the folder: it holds nothing between runs, which is what is tested here."""

from collections.abc import Iterator

import pytest

from tina_azr.sandbox import Policy, Sandbox


@pytest.fixture(scope="session")
def box() -> Iterator[Sandbox]:
    with Sandbox(policy=Policy.OPEN) as sandbox:
        yield sandbox
