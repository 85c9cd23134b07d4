"""Every limit ends a program in an outcome of its own, which says what was used and what is allowed (fault E11)."""

from dataclasses import replace

import pytest

from tina_azr.sandbox import Limits, OutcomeKind, Sandbox, StaticPolicy

SMALL = Limits(fuel=2_000_000_000, wall_ms=60_000, memory_bytes=96 << 20, output_bytes=1000, source_bytes=4000)
SLEEPLESS = "def f():\n    while True:\n        pass"


def sandbox(**changes: int) -> Sandbox:
    return Sandbox(limits=replace(SMALL, **changes), policy=StaticPolicy.OPEN)


def test_fault_e11_a_loop_ends_with_its_fuel() -> None:
    outcome = sandbox(fuel=50_000_000).run(SLEEPLESS, "f()")
    assert (outcome.kind, outcome.fuel) == (OutcomeKind.FUEL, 50_000_000)
    assert "50000000" in str(outcome.error)


def test_fault_e11_a_loop_with_fuel_to_burn_ends_with_its_time() -> None:
    outcome = sandbox(fuel=1_000_000_000_000, wall_ms=200).run(SLEEPLESS, "f()")
    assert outcome.kind is OutcomeKind.TIMEOUT
    assert "200 ms" in str(outcome.error)
    # So much fuel would last for minutes; a machine that stalls for some seconds is late, and no fault.
    assert 200 <= outcome.wall_ms < 20_000


@pytest.mark.parametrize("call", ["'a' * 10**9", "[0] * 10**9", "bytearray(200 << 20)", "list(range(10**8))", "9 ** 9 ** 8"])
def test_fault_e11_memory_ends(call: str) -> None:
    outcome = sandbox().run("", call)
    # An allocation that is refused is a MemoryError where Python can still say so.
    assert outcome.kind in {OutcomeKind.MEMORY, OutcomeKind.FUEL} or "MemoryError" in str(outcome.error)
    assert outcome.memory_bytes <= SMALL.memory_bytes


def test_printing_is_bounded() -> None:
    outcome = sandbox().run("def f():\n    for i in range(10**6):\n        print(i)", "f()")
    assert outcome.kind in {OutcomeKind.OUTPUT, OutcomeKind.FUEL}
    assert len(outcome.stdout) <= SMALL.output_bytes
    little = sandbox().run("", "print('a' * 1001)")
    assert little.kind is OutcomeKind.OUTPUT
    assert "1000" in str(little.error)


@pytest.mark.parametrize("value", ["'a' * 1001", "[1] * 400", "10 ** 1001", "{i: i for i in range(500)}"])
def test_a_result_is_bounded_and_never_cut(value: str) -> None:
    outcome = sandbox().run("", value)
    assert (outcome.kind, outcome.value) == (OutcomeKind.OUTPUT, None)
    assert "1000" in str(outcome.error)


def test_a_source_is_bounded() -> None:
    outcome = sandbox().run("x = 1\n" * 1000, "x")
    assert outcome.kind is OutcomeKind.REJECTED
    assert "6000" in str(outcome.error)
    assert "4000" in str(outcome.error)


def test_recursion_ends_as_pythons_own_error() -> None:
    outcome = sandbox().run("def f(n):\n    return f(n + 1)", "f(0)")
    assert outcome.kind is OutcomeKind.EXCEPTION
    assert str(outcome.error).startswith("RecursionError")


@pytest.mark.parametrize(
    "source",
    ["(" * 3000, "x = " + "[" * 3000, "x = 1" + "+1" * 1500, "".join(" " * n + "if 1:\n" for n in range(80)) + " " * 80 + "pass"],
)
def test_deep_sources_are_contained(source: str) -> None:
    outcome = sandbox().run(source, "1")
    assert outcome.kind in {OutcomeKind.REJECTED, OutcomeKind.EXCEPTION, OutcomeKind.OK}


def test_a_deep_result_is_contained() -> None:
    outcome = sandbox(output_bytes=100_000).run(
        "def f():\n    x = []\n    for _ in range(10**4):\n        x = [x]\n    return x", "f()"
    )
    assert not outcome.ok
    cyclic = sandbox().run("x = []\nx.append(x)", "x")
    assert not cyclic.ok


def test_a_regular_expression_that_blows_up_ends_with_its_fuel() -> None:
    outcome = sandbox(fuel=200_000_000).run("import re", "re.match('(a+)+$', 'a' * 40 + 'b')")
    assert outcome.kind is OutcomeKind.FUEL


def test_a_program_that_reached_a_limit_costs_the_next_one_nothing(box: Sandbox) -> None:
    outcomes = box.run_many([("", "'a' * 10**9"), ("", "1 + 1"), ("def f():\n    f()", "f()"), ("", "2 + 2")])
    assert [outcomes[1].value, outcomes[3].value] == ["2", "4"]


def test_limits_under_which_nothing_runs_are_refused() -> None:
    with pytest.raises(ValueError, match="at least"):
        Sandbox(limits=Limits(memory_bytes=1 << 20))
