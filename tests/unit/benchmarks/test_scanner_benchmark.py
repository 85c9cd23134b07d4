"""Test of the tag scanner's benchmark: all ways agree, and each is timed."""

import json

from click.testing import CliRunner

from tina_azr.benchmarks.text import main


def test_all_ways_agree_and_each_is_timed() -> None:
    arguments = ["--ids", "20000", "--completions", "3", "--rounds", "1", "--json"]
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    batches, completions = lines[:2], lines[2:]
    assert [(line["ids"], line["dtype"]) for line in batches] == [(20000, "int32"), (20000, "int64")]
    assert all(line[name] > 0 for line in batches for name in ("scanner", "numpy", "loop"))
    assert [(line["operation"], line["tokens"][0]) for line in completions] == [
        ("count", 40),
        ("split", 40),
        ("count", 2000),
        ("split", 2000),
    ]
    assert all(line["former_us"] > 0 and line["scanner_us"] > 0 for line in completions)
