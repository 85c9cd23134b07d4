"""Commands of the README and the docs: each runs. Those that take minutes or a GPU run in a shorter form, listed here."""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "CONTRIBUTING.md", "docs/extending.md", "docs/run_folder.md")
BRIEF = "--set heldout.per_cell=2 --set selfplay.proposals_per_mode=4 --set run.threads=1"
TINY_QWEN = "--dry-run --set model.name=tiny"
SHORTER = {
    "make train": "tina-azr train --steps 2 --run-dir runs/of-make " + BRIEF,
    # It does not end by itself: up, reached, and asked to end, also where one of these fails.
    "tina-azr serve": "tina-azr serve --port 0 > served & trap 'kill $! 2>/dev/null || true' EXIT; "
    r"until url=$(sed -n 's/^Serving at \(\S*\) .*/\1/p' served) && test $url; do kill -0 $!; sleep 0.5; done; "
    "python -c 'import sys; from urllib.request import *; urlopen(sys.argv[1] + \"/ready\")' $url; kill -TERM $!; wait $!",
    "make test": "make --dry-run test -C " + str(ROOT),
    "tina-azr chat": r"printf 'Predict the output.\n```python\ndef f(x):\n    return x\n```\n```input\n7\n```\n' | tina-azr chat --seed 0",
    "tina-azr train --run-dir runs/first --seed 1": f"tina-azr train --run-dir runs/first --seed 1 --steps 2 {BRIEF}",
    "tina-azr train --preset qwen3-4b-thinking": f"tina-azr train --preset qwen3-4b-thinking {TINY_QWEN}",
    "tina-azr train --set 'rewards.solver_terms=[correctness, brevity]'": None,
    "tina-azr train --set learning.advantage=centred": None,
    "tina-azr train --set 'introspection.heads=[linked]' --set introspection.aggregator=maximum": None,
    "tina-azr train --preset qwen3-4b-thinking --set 'tasks.modes=[deduction, abduction, induction, size]'": None,
}
"""Command -> what runs in its place; None: it needs what its page asks the reader to write, which test_docs.py does."""


def commands(page: str) -> list[str]:
    """Lines of the page's sh blocks, comments cut off."""
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^( *)```sh\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL)
    lines = [line for _, block in blocks for line in textwrap.dedent(block).splitlines()]
    return [line.split(" # ")[0].strip() for line in lines if line.strip()]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that looks like the checkout to the commands, shared by all of them in order."""
    folder = tmp_path_factory.mktemp("checkout")
    (folder / "configs").symlink_to(ROOT / "configs")
    return folder


def test_the_readme_begins_with_the_two_commands() -> None:
    assert commands("README.md")[:2] == ["make train", "make test"]


def test_the_silent_part_of_the_set_up_is_announced_before_it_begins(tmp_path: Path) -> None:
    done = subprocess.run(
        ["make", "--dry-run", "native", f"VENV={tmp_path}"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    before, install, _ = done.stdout.partition("-m pip install --editable")
    assert install
    assert "pip says nothing while it builds" in before


def test_no_shorter_form_is_left_over() -> None:
    assert set(SHORTER) <= {command for page in PAGES for command in commands(page)}


@pytest.mark.slow
@pytest.mark.timeout(1_500)
@pytest.mark.parametrize("command", [command for page in PAGES for command in commands(page)])
def test_a_documented_command_runs(command: str, checkout: Path) -> None:
    shorter = SHORTER.get(command, command)
    if shorter is None:
        return
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", shorter],
        cwd=checkout,
        env={**os.environ, "PATH": path, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=1_400,
        check=False,
    )
    assert done.returncode == 0, f"{shorter}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


def test_the_python_example_of_the_readme_runs(checkout: Path) -> None:
    (example,) = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    done = subprocess.run([sys.executable, "-c", example], cwd=checkout, capture_output=True, text=True, timeout=120, check=True)
    assert "value='45'" in done.stdout
