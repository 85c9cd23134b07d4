"""The scanner's benchmark runs, and its three ways agree."""

import json

from click.testing import CliRunner

from tina_azr.benchmarks.text import main


def test_three_ways_count_the_same_and_each_is_timed() -> None:
    result = CliRunner().invoke(main, ["--ids", "20000", "--rounds", "1", "--json"], catch_exceptions=False)
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(line["ids"], line["dtype"]) for line in lines] == [(20000, "int32"), (20000, "int64")]
    assert all(line[name] > 0 for line in lines for name in ("scanner", "numpy", "loop"))
