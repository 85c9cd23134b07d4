"""Tests of the calibration: its maps, its file, and its errors."""

import datetime
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tina_azr.errors import ConfigError, ScoreError
from tina_azr.introspection.calibration import (
    Calibration,
    Change,
    ConfidenceCalibration,
    ConfidenceMap,
    Measured,
    QuantileFactor,
)
from tina_azr.introspection.types import Plan

SEEN = Measured(value=0.1, low=0.05, high=None, n=60)
COVERAGE = Change(before=SEEN, after=SEEN)


def factors(*pairs: tuple[float, float]) -> tuple[QuantileFactor, ...]:
    return tuple(QuantileFactor(quantile=q, factor=f, n=60, coverage=COVERAGE) for q, f in pairs)


@pytest.fixture
def full() -> Calibration:
    return Calibration(
        date=datetime.date(2026, 5, 4),
        policy_digest="p1",
        heads_digest="h1",
        tokenizer_digest="t1",
        c0=ConfidenceCalibration(
            pooled=ConfidenceMap(method="temperature", temperature=2.0, n=400),
            by_mode={"induction": ConfidenceMap(method="platt", temperature=1.5, bias=-0.5, n=200)},
            scores={"ece": COVERAGE},
        ),
        cE=ConfidenceCalibration(pooled=ConfidenceMap(method="isotonic", knots=((0.2, 0.1), (0.8, 0.7)), n=1000)),
        budget=factors((0.5, 1.5), (0.8, 0.5), (0.95, 1.0)),
        budget_clip=90,
        slack=0.25,
        head_temperature=0.5,
        plan_thresholds={Plan.STOP: 0.9, Plan.VERIFY: 0.5},
    )


def test_a_saved_calibration_reads_back_equal(full: Calibration, tmp_path: Path) -> None:
    full.save(tmp_path / "calibration.json")
    loaded = Calibration.load(tmp_path / "calibration.json")
    assert loaded == full
    assert loaded.digest == full.digest


def test_the_digest_names_the_content_and_not_the_layout(full: Calibration, tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    full.save(path)
    values = json.loads(path.read_text())
    path.write_text(json.dumps(dict(reversed(list(values.items())))))
    assert Calibration.load(path).digest == full.digest
    assert full.model_copy(update={"slack": 0.26}).digest != full.digest
    assert len(full.digest) == 16 and int(full.digest, 16)


def test_temperature_against_a_worked_example(full: Calibration) -> None:
    # The odds 9 at temperature 2 are 3.
    assert full.apply_confidence(0.9) == pytest.approx(0.75)
    assert full.apply_confidence(0.9, "deduction") == pytest.approx(0.75)
    assert full.apply_confidence(0.0) == 0.0
    assert full.apply_confidence(1.0) == 1.0


def test_mode_with_its_own_map_uses_it(full: Calibration) -> None:
    expected = 1 / (1 + np.exp(-(np.log(9) / 1.5 - 0.5)))
    assert full.apply_confidence(0.9, "induction") == pytest.approx(expected)


def test_isotonic_map_is_linear_between_knots_and_constant_outside(full: Calibration) -> None:
    found = [full.apply_confidence(p, moment="cE") for p in (0.0, 0.2, 0.5, 0.8, 1.0)]
    assert found == pytest.approx([0.1, 0.1, 0.4, 0.7, 0.7])


def test_a_confidence_outside_0_to_1_is_refused(full: Calibration) -> None:
    for p in (-0.1, 1.1, float("nan")):
        with pytest.raises(ScoreError, match=r"must lie in \[0, 1\]"):
            full.apply_confidence(p)


def test_the_identity_changes_nothing() -> None:
    identity = Calibration.identity()
    assert identity.apply_confidence(0.3, "deduction", moment="cE") == 0.3
    assert identity.apply_budget({0.5: 10, 0.8: 20}) == {0.5: 10, 0.8: 20}
    plans = dict(zip(Plan, (0.1, 0.2, 0.3, 0.4), strict=True))
    assert identity.apply_plan(plans) == pytest.approx(plans)
    assert identity.choose_plan(plans) is Plan.STOP


def test_budget_quantiles_are_corrected_clipped_and_stay_rising(full: Calibration) -> None:
    assert full.apply_budget({0.95: 200, 0.5: 40, 0.8: 60}) == {0.5: 60, 0.8: 60, 0.95: 90}


@given(st.lists(st.floats(0, 1e6), min_size=3, max_size=3).map(sorted), st.lists(st.floats(0.01, 100), min_size=3, max_size=3))
def test_corrected_quantiles_always_rise(tokens: list[float], by: list[float]) -> None:
    calibration = Calibration(budget=factors(*zip((0.5, 0.8, 0.95), by, strict=True)), budget_clip=5_000)
    found = list(calibration.apply_budget(dict(zip((0.5, 0.8, 0.95), tokens, strict=True))).values())
    assert found == sorted(found)
    assert found[-1] <= 5_000


def test_a_quantile_that_was_not_fitted_is_refused(full: Calibration) -> None:
    with pytest.raises(ScoreError, match=r"quantiles \[0.5, 0.8, 0.95\], not to 0.9"):
        full.apply_budget({0.9: 10})


def test_the_head_temperature_sharpens_plans(full: Calibration) -> None:
    found = full.apply_plan(dict(zip(Plan, (0.1, 0.2, 0.3, 0.4), strict=True)))
    assert list(found.values()) == pytest.approx([1 / 30, 4 / 30, 9 / 30, 16 / 30])


def test_a_plan_below_its_threshold_is_not_chosen(full: Calibration) -> None:
    assert full.choose_plan(dict(zip(Plan, (0.1, 0.2, 0.1, 0.6), strict=True))) is Plan.OUTLINE
    assert full.choose_plan(dict(zip(Plan, (0.01, 0.02, 0.02, 0.95), strict=True))) is Plan.STOP


def test_without_a_plan_above_its_threshold_stop_is_not_chosen() -> None:
    strict = Calibration(plan_thresholds=dict.fromkeys(Plan, 0.9))
    assert strict.choose_plan(dict(zip(Plan, (0.1, 0.2, 0.15, 0.55), strict=True))) is Plan.VERIFY


def test_plan_thresholds_may_be_keyed_by_index(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text('{"plan_thresholds": {"3": 0.9, "verify": 0.5}}')
    assert Calibration.load(path).plan_thresholds == {Plan.STOP: 0.9, Plan.VERIFY: 0.5}


def test_mismatches_are_whole_sentences(full: Calibration) -> None:
    assert full.mismatches(policy_digest="p1", heads_digest="h1", tokenizer_digest="t1") == []
    assert full.mismatches() == []
    policy, tokenizer = full.mismatches(policy_digest="p2", tokenizer_digest="t2")
    assert policy.startswith("The calibration was fitted to policy p1, but runs with p2:")
    assert tokenizer.startswith("The calibration was fitted to tokenizer t1, but runs with t2:")
    assert policy.endswith("`tina-azr calibrate`.")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON: EOF while parsing an object"),
        ("[]", "the file is [], but must be an object"),
        ('{"slak": 1}', "unknown key `slak` (did you mean `slack`?). Keys there: schema_version, date,"),
        ('{"c0": {"pooled": {"temperatur": 1}}}', "unknown key `c0.pooled.temperatur` (did you mean `temperature`?)"),
        ('{"c0": {"by_mode": {"a": {"x": 1}}}}', "unknown key `c0.by_mode.a.x`. Keys there: method, temperature, bias, knots, n"),
        ('{"budget": [{"quantil": 1}]}', "unknown key `budget.0.quantil` (did you mean `quantile`?)"),
        ('{"budget": [{"quantile": 0.5}]}', "`budget.0.factor` is missing"),
        (
            '{"c0": {"pooled": {"method": "temperature", "temperature": 0}}}',
            "`c0.pooled.temperature` is 0, but must be greater than 0",
        ),
        ('{"c0": {"pooled": {"temperature": 2}}}', "`c0.pooled`: a temperature belongs to methods `temperature` and `platt`"),
        ('{"c0": {"pooled": {"method": "temperature", "bias": 1}}}', "`c0.pooled`: a bias belongs to method `platt`"),
        ('{"c0": {"pooled": {"knots": [[0, 0]]}}}', "`c0.pooled`: knots belong to method `isotonic`, not to `identity`"),
        ('{"cE": {"pooled": {"method": "isotonic"}}}', "`cE.pooled`: knots must be at least one pair"),
        ('{"cE": {"pooled": {"method": "isotonic", "knots": [[0, 0.5], [1, 0.2]]}}}', "calibrated ones never falling"),
        ('{"head_temperature": -1}', "`head_temperature` is -1, but must be greater than 0"),
        ('{"head_temperature": NaN}', "`head_temperature` is nan, but must be a finite number"),
        ('{"head_temperature": "1"}', "`head_temperature` is '1', but must be a valid number"),
        ('{"budget_clip": 0}', "`budget_clip` is 0, but must be greater than or equal to 1"),
        ('{"policy_digest": 3}', "`policy_digest` is 3, but must be a valid string"),
        ('{"schema_version": 2}', "`schema_version` is 2, but must be 1"),
        ('{"date": "May"}', "`date` is 'May', but must be a valid date in the format YYYY-MM-DD"),
        ('{"plan_thresholds": {"short": 0.5}}', "`plan_thresholds`: there is no plan `short`. Plans: outline (0), verify (1)"),
        ('{"plan_thresholds": {"4": 0.5}}', "`plan_thresholds`: there is no plan `4`"),
        ('{"plan_thresholds": {"stop": 0.5, "3": 0.5}}', "`plan_thresholds`: one plan has two thresholds"),
        ('{"plan_thresholds": {"stop": 1.5}}', "`plan_thresholds.stop` is 1.5, but must be less than or equal to 1"),
    ],
)
def test_bad_file_error_names_file_key_and_valid_values(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        Calibration.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert said in str(caught.value)


def test_every_problem_of_a_file_is_listed(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text('{"slack": -1, "budget_clip": "x"}')
    with pytest.raises(ConfigError) as caught:
        Calibration.load(path)
    assert len(str(caught.value).splitlines()) == 2


def test_quantiles_in_the_file_must_rise(full: Calibration, tmp_path: Path) -> None:
    full.model_copy(update={"budget": full.budget[::-1]}).save(tmp_path / "c.json")
    with pytest.raises(ConfigError, match="`budget`: the quantiles must rise"):
        Calibration.load(tmp_path / "c.json")


def test_missing_file_and_binary_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such calibration"):
        Calibration.load(tmp_path / "none.json")
    with pytest.raises(ConfigError, match="cannot be read"):
        Calibration.load(tmp_path)
    (tmp_path / "c.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read"):
        Calibration.load(tmp_path / "c.json")
