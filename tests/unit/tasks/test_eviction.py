"""Which tasks a full buffer lets go."""

from hypothesis import given
from hypothesis import strategies as st

from tina_azr.tasks.eviction import Candidate, choose_evicted

RATES = st.none() | st.sampled_from([0.0, 0.125, 0.5, 0.875, 1.0])


@st.composite
def candidates(draw: st.DrawFn) -> list[Candidate]:
    rows = draw(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("stu"), RATES), max_size=30))
    return [
        Candidate(id=number, mode=mode, structure=structure, step=number // 5, pass_rate=rate)
        for number, (mode, structure, rate) in enumerate(rows)
    ]


def task(id: int, *, structure: str = "", step: int = 0, pass_rate: float | None = 0.5) -> Candidate:
    return Candidate(id=id, mode="deduction", structure=structure or str(id), step=step, pass_rate=pass_rate)


@given(candidates(), st.integers(1, 40))
def test_exactly_the_surplus_goes(tasks: list[Candidate], size: int) -> None:
    evicted = choose_evicted(tasks, size=size, step=10**6)
    assert len(evicted) == len(set(evicted)) == max(0, len(tasks) - size)
    assert set(evicted) <= {one.id for one in tasks}


@given(candidates(), st.integers(5, 20))
def test_what_the_step_brought_stays_while_there_is_room(tasks: list[Candidate], size: int) -> None:
    step = max((one.step for one in tasks), default=0)
    assert not {one.id for one in tasks if one.step == step} & set(choose_evicted(tasks, size=size, step=step))


def test_tasks_at_the_frontier_outlive_those_always_or_never_solved() -> None:
    tasks = [task(n, pass_rate=rate) for n, rate in enumerate([0.5, 0.0, 0.4, 1.0, 0.6, 0.0])]
    assert sorted(choose_evicted(tasks, size=3, step=9)) == [1, 3, 5]


def test_of_equally_useful_tasks_the_oldest_goes() -> None:
    assert choose_evicted([task(n) for n in range(10)], size=8, step=9) == [0, 1]


def test_of_a_crowded_template_the_best_stays_and_the_rest_makes_room() -> None:
    crowd = [task(n, structure="same", pass_rate=0.5) for n in range(6)]
    rare = [task(10 + n, pass_rate=0.125) for n in range(2)]
    old_crowd_new_rare = choose_evicted(crowd + rare, size=3, step=99)
    assert not {5, 10, 11} & set(old_crowd_new_rare)
