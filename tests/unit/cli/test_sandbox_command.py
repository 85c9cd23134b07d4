"""`tina-azr sandbox` on the real sandbox."""

import json
import signal
import subprocess
import sys
import time
from itertools import count
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tina_azr.benchmarks import sandbox as benchmark
from tina_azr.benchmarks import sandbox_peers
from tina_azr.cli.main import cli
from tina_azr.cli.sandbox import FACTS
from tina_azr.sandbox import Limits, Sandbox, Way

OTHERS = ("prepared calls", "two threads", "in-process exec", "subprocess")
KEYS = {"outcome", "value", "error", "stdout", "fuel", "wall_ms", "memory_bytes"}


@pytest.fixture
def program(tmp_path: Path) -> Path:
    file = tmp_path / "program.py"
    file.write_text("def f(n):\n    print('f', n)\n    return [n * n]\n", encoding="utf-8")
    return file


def call(*arguments: str | Path, text: str | None = None) -> Result:
    return CliRunner().invoke(cli, ["sandbox", *map(str, arguments)], input=text)


def test_a_value_goes_to_stdout_after_what_was_printed(program: Path) -> None:
    result = call("run", program, "--call", "f(4)")
    assert (result.exit_code, result.stdout) == (0, "f 4\n[16]\n")


def test_control_characters_of_a_program_are_escaped() -> None:
    source = "print('\\x1b[31mred', end='')"
    assert call("run", "-", text=source).stdout == "\\x1b[31mred\nNone\n"
    assert json.loads(call("run", "-", "--json", text=source).stdout)["stdout"] == "\x1b[31mred"


def test_a_file_that_begins_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    file = tmp_path / "program.py"
    file.write_text("def f(x):\n    return x", encoding="utf-8-sig")
    assert call("run", file, "--call", "f(1)").stdout == "1\n"


def test_json_is_one_object_with_the_documented_keys(program: Path) -> None:
    result = call("run", program, "--call", "f(4)", "--json")
    answer = json.loads(result.stdout)
    assert set(answer) == KEYS
    assert (answer["outcome"], answer["value"], answer["error"], answer["stdout"]) == ("ok", "[16]", None, "f 4\n")
    assert answer["fuel"] > 0 < answer["memory_bytes"]


def test_failed_program_gives_the_same_json_and_exit_status_1(program: Path) -> None:
    result = call("run", program, "--call", "f([])", "--json")
    answer = json.loads(result.stdout)
    assert (result.exit_code, set(answer), answer["outcome"]) == (1, KEYS, "exception")
    assert answer["error"].startswith("TypeError")


def test_the_policy_is_the_standard_one_unless_another_is_named() -> None:
    source = "import random\ndef f(x):\n    return x"
    refused = json.loads(call("run", "-", "--call", "f(1)", "--json", text=source).stdout)
    assert refused["outcome"] == "rejected"
    assert "line 1" in refused["error"]
    assert call("run", "-", "--call", "f(1)", "--policy", "open", text=source).stdout == "1\n"


ENDLESS_FUEL = ("--fuel", "100000000000000")


@pytest.mark.parametrize(("limits", "outcome"), [(("--fuel", "1000"), "fuel"), ((*ENDLESS_FUEL, "--wall-ms", "50"), "timeout")])
def test_a_limit_is_an_outcome_of_its_own(limits: tuple[str, ...], outcome: str) -> None:
    result = call("run", "-", *limits, "--json", text="while True: pass")
    assert (result.exit_code, json.loads(result.stdout)["outcome"]) == (1, outcome)


ANNOUNCED = """
from tina_azr.cli.main import main
from tina_azr.sandbox import Sandbox

def announced(act):
    def acting(*given, **options):
        print("running", flush=True)
        return act(*given, **options)
    return acting

Sandbox.run_calls, Sandbox.check_many = announced(Sandbox.run_calls), announced(Sandbox.check_many)
main()
"""
"""`tina-azr`, saying when programs begin."""


@pytest.mark.parametrize(
    "command",
    [
        *(" ".join((act, "endless.py", *ENDLESS_FUEL, "--wall-ms", "600000")) for act in ("run", "check")),
        "bench --corpus endless.jsonl",  # a batch of hundreds, each up to its fuel
    ],
)
def test_ctrl_c_does_not_wait_for_the_program(tmp_path: Path, command: str) -> None:
    (tmp_path / "endless.py").write_text("while True: pass", encoding="utf-8")
    row = json.dumps({"snippet": "def f():\n    while True: pass", "input": "", "output": "1"})
    (tmp_path / "endless.jsonl").write_text(f"{row}\n" * benchmark.BATCH, encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, "-c", ANNOUNCED, "sandbox", *command.split()],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "running\n"
            time.sleep(0.3)  # from there into the sandbox
            process.send_signal(signal.SIGINT)
            out, said = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, out, said[-10:]) == (130, "", "\nStopped.\n")


def test_fuel_error_names_the_flag_only_for_people() -> None:
    used = "used all of its 1000 fuel"
    assert f"fuel: {used}; --fuel N gives it more\n" in call("run", "-", "--fuel", "1000", text="while True: pass").stderr
    assert json.loads(call("run", "-", "--fuel", "1000", "--json", text="while True: pass").stdout)["error"] == used


def test_check_needs_determinism_as_well() -> None:
    source = "def f(x):\n    return list({str(n) for n in range(x)})"
    assert json.loads(call("run", "-", "--call", "f(9)", "--json", text=source).stdout)["outcome"] == "ok"
    result = call("check", "-", "--call", "f(9)", "--json", text=source)
    assert (result.exit_code, json.loads(result.stdout)["outcome"]) == (1, "nondeterministic")


def test_without_a_call_only_the_program_runs() -> None:
    assert call("run", "-", text="print(3)").stdout == "3\nNone\n"


def test_a_missing_file_and_impossible_limits_are_usage_errors(program: Path) -> None:
    assert call("run", "nowhere.py").exit_code == 2
    assert call("run", program, "--fuel", "9" * 25).exit_code == 2
    assert call("run", program, "--policy", "lax").exit_code == 2


def test_minimum_memory_is_given_in_mb_and_works(program: Path) -> None:
    assert "64<=x<=4096" in call("run", "--help").stdout
    result = call("run", program, "--memory-mb", "63")
    assert result.exit_code == 2
    assert "63 is not in the range 64<=x<=4096" in result.stderr
    with pytest.raises(ValueError, match="give at least"):
        Sandbox(limits=Limits(memory_bytes=(64 << 20) - 1))
    assert call("run", program, "--memory-mb", "64", "--call", "f(4)").exit_code == 0


def test_program_that_is_not_utf8_is_a_usage_error(tmp_path: Path) -> None:
    file = tmp_path / "program.py"
    file.write_bytes(b"x = '\xff'")
    result = call("run", file)
    assert result.exit_code == 2
    assert "not UTF-8" in result.stderr


def test_bench_compares_with_recorded_outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = count()  # one more each time that a clock is looked at
    for module in (benchmark, sandbox_peers):
        monkeypatch.setattr(module, "perf_counter", lambda: next(seconds))
    rows = [
        {"snippet": "def f(a):\n    return a + 1", "imports": [], "input": "1", "output": "2"},
        {"snippet": "def f(a):\n    return math.floor(a)", "imports": ["import math"], "inputs": ["2.5"], "outputs": ["3"]},
    ]
    (tmp_path / "tasks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = call("bench", "--corpus", tmp_path, "--peers", "--rounds", "2", "--json")
    answer = json.loads(result.stdout)
    assert (answer["programs"], answer["agreement"], answer["disagreements"]) == (2, 0.5, {"another value": 1})
    assert 0 < answer["p50_us"] <= answer["p99_us"]
    # Whole programs are timed together, those of a peer one by one: a second for both of them against a second for each.
    speeds = {name: (one["programs_per_second"], one["share"]) for name, one in {"sandbox": answer, **answer["others"]}.items()}
    assert speeds["sandbox"] == speeds["two threads"] == (2.0, 2.0)
    assert speeds["in-process exec"] == speeds["subprocess"] == (1.0, 1.0)
    others = {name: (other["programs"], other["agreement"]) for name, other in answer["others"].items()}
    assert {name: others[name] for name in OTHERS} == dict.fromkeys(OTHERS, (2, 0.5))


def test_peers_survive_hostile_programs(tmp_path: Path) -> None:
    programs = [
        "import sys; sys.exit()",
        "return 1 / 0",
        "return '\0'",
        "return '\ud800'",
        "print('9'); return 1",
        "return input()",
    ]
    rows = [{"snippet": f"def f(a):\n    {program}", "input": "1", "output": "1"} for program in programs]
    file = tmp_path / "tasks.jsonl"
    file.write_text("\n\n".join(json.dumps(row) for row in rows))
    answer = json.loads(call("bench", "--corpus", file, "--peers", "--rounds", "1", "--json").stdout)
    shares = [answer["agreement"], *(answer["others"][name]["agreement"] for name in OTHERS)]
    assert shares == [pytest.approx(1 / 6, abs=1e-3)] * 5
    assert answer["disagreements"] == {"ended: rejected": 2, "ended: exception": 2, "ended: not_literal": 1}


def test_files_written_by_peers_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    row = {"snippet": "def f(a): return open('litter', 'w').write(a)", "input": "'abc'", "output": "3"}
    Path("tasks.jsonl").write_text(json.dumps(row))
    answer = json.loads(call("bench", "--corpus", "tasks.jsonl", "--peers", "--rounds", "1", "--json").stdout)
    assert [answer["others"][name]["agreement"] for name in OTHERS] == [0.0, 0.0, 1.0, 1.0]
    assert answer["disagreements"] == {"ended: rejected": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["tasks.jsonl"]


def test_record_that_is_not_a_literal_never_agrees(tmp_path: Path) -> None:
    file = tmp_path / "tasks.jsonl"
    rows = [{"snippet": "def f(a): return a", "input": given, "output": output} for given, output in (("1", "1"), ("len", "<cut"))]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert json.loads(call("bench", "--corpus", file, "--rounds", "1", "--json").stdout)["agreement"] == 0.5


def test_bench_without_a_corpus_runs_the_seed_tasks() -> None:
    answer = json.loads(call("bench", "--limit", "14", "--rounds", "1", "--json").stdout)
    assert (answer["programs"], answer["agreement"], answer["share"], answer["disagreements"]) == (14, 1.0, None, {})
    assert list(answer["others"]) == ["prepared calls", "two threads"]


def test_subprocess_peer_reports_that_it_ran_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox_peers, "SUBPROCESS_LIMIT", 3)
    result = call("bench", "--limit", "10", "--rounds", "1", "--peers")
    assert "subprocess ran only 3 of the 10 programs" in result.stdout
    assert "share" in result.stdout


def test_without_peers_there_is_no_share_column() -> None:
    assert "share" not in call("bench", "--limit", "3", "--rounds", "1").stdout


def test_limited_corpus_is_drawn_evenly() -> None:
    rows = [benchmark.Row("", str(number), None) for number in range(10)]
    assert [row.call for row in benchmark.evenly(rows, 4)] == ["0", "2", "5", "7"]
    assert benchmark.evenly(rows, 99) == rows


@pytest.mark.parametrize(
    "line",
    [
        b'{"snippet": "def f(a): return a"}',
        b"[1]",
        b"\xff",
        b"{",
        b'{"snippet": "def f(a): return a", "inputs": ["1", "2"], "outputs": ["1"]}',
    ],
    ids=["no input", "no object", "not UTF-8", "not JSON", "an output is missing"],
)
def test_malformed_corpus_is_named_with_its_line(tmp_path: Path, line: bytes) -> None:
    file = tmp_path / "tasks.jsonl"
    file.write_bytes(b"\n" + line + b"\n")
    result = call("bench", "--corpus", file)
    assert result.exit_code == 2
    assert f"{file}, line 2" in result.stderr


def test_a_folder_without_tasks_is_refused(tmp_path: Path) -> None:
    result = call("bench", "--corpus", tmp_path)
    assert result.exit_code == 2
    assert "no tasks" in result.stderr


def test_warm_says_when_it_is_done() -> None:
    result = call("warm")
    assert (result.exit_code, result.stdout) == (0, "ready\n")


def test_info_names_engine_and_images() -> None:
    facts = json.loads(call("info", "--json").stdout)
    assert facts["engine"].startswith("wasmtime ")
    assert facts["python"].startswith("3.14.")
    assert facts["componentize_py"] == "0.25.1"
    assert facts["image"] != facts["second_image"]


def test_info_for_people_has_labels() -> None:
    facts, lines = Sandbox().info(), call("info").stdout.splitlines()
    assert [line[:13].strip() for line in lines] == [
        *("engine", "Python", "built by", "interpreter", "image", "second image", "image size", "cache", "cache size", "threads"),
    ]
    assert lines[6] == f"image size    {int(facts['image_bytes']) / 1e6:.1f} MB"
    assert set(FACTS) == set(facts)


@pytest.mark.parametrize("way", list(Way))
def test_every_way_of_running_has_a_label(way: Way) -> None:
    assert FACTS["way"](way.value)[1].endswith("each program")
