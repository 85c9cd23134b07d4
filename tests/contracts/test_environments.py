"""Environments of the developer's tools: the versions in pyproject.toml agree."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_lint_environment_has_the_versions_of_the_full_one() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    full = {*project["project"]["dependencies"], *project["project"]["optional-dependencies"]["dev"]}
    offenders = [requirement for requirement in project["dependency-groups"]["lint"] if requirement not in full]
    assert not offenders, "\n".join(offenders)
