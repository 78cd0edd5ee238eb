"""Arms compared: the wider interval, what could be seen, and verdicts that hide nothing."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from lib.evidence import contrasts, records


def arms(**accuracies: list[float]) -> pd.DataFrame:
    """Return accuracies of arms, one a network, in the one cell ``test``."""
    return pd.DataFrame(
        [
            ("test", arm, seed, value, 10_000)
            for arm, values in accuracies.items()
            for seed, value in enumerate(values)
        ],
        columns=["test", "arm", "seed", "value", "images"],
    )


def judged(values: pd.DataFrame, *, half: float = 0.0001, **columns: Any) -> pd.DataFrame:
    """Judge all arms but the last against it, with recorded intervals of some width."""
    means = values.groupby("arm", sort=False)["value"].mean()
    rows = [
        ("test", arm, means.index[-1], ahead, ahead - half, ahead + half, 0.001)
        for arm, ahead in (means[:-1] - means.iloc[-1]).items()
    ]
    names = ["test", "arm", "other", "difference", "low", "high", "p"]
    frame = pd.DataFrame(rows, columns=names).assign(**columns)
    return contrasts.judge(frame, values, cell=["test"], family=["test"])


class TestCompare:
    def test_of_two_intervals_it_takes_the_wider(self) -> None:
        ahead = np.zeros((3, 1_000))
        ahead[0, :300] = 1  # one network alone
        found = contrasts.compare(ahead, 0 * ahead)
        assert found["difference"] == pytest.approx(0.1)
        assert found["low"] < 0.1 - 4.3 * 0.1 + 0.001  # Student's, over three networks

    def test_no_bound_is_beyond_what_shares_can_differ_by(self) -> None:
        ahead = np.zeros((3, 20))
        ahead[0] = 1
        found = contrasts.compare(ahead, 0 * ahead)
        assert (found["low"], found["high"]) == (-1, 1)

    def test_one_network_has_the_interval_over_its_images(self) -> None:
        found = contrasts.compare(np.ones(100), np.zeros(100))
        assert 0.9 < found["low"] < found["high"] <= 1


class TestJudge:
    def test_a_recorded_interval_is_no_narrower_than_students(self) -> None:
        row = judged(arms(new=[0.9, 0.8, 0.7], old=[0.7, 0.7, 0.7])).iloc[0]
        assert row["networks"] == 3
        assert row["low"] < -0.04
        assert row["p"] > 0.05
        assert row["verdict"] == "undecided"

    def test_within_the_margin_a_difference_is_still_one(self) -> None:
        row = judged(arms(new=[0.992, 0.993, 0.994], old=[0.99, 0.991, 0.992])).iloc[0]
        assert row["verdict"] == "differs, by less than 1 point"
        assert row["ratio"] == pytest.approx(0.77, abs=0.02)
        assert row["ratio_low"] < row["ratio"] < row["ratio_high"]

    def test_many_comparisons_are_corrected_and_the_primary_one_is_not(self) -> None:
        new = {f"new{index}": [0.90 + index / 1e3, 0.91, 0.928] for index in range(9)}
        values = arms(**new, old=[0.8, 0.8, 0.8])
        rows = judged(values, half=0.05, primary=[True, *8 * [False]])
        assert rows["corrected"][0] == rows["p"][0]
        assert (rows["corrected"][1:] > rows["p"][1:]).all()
        assert rows["verdict"][0] == "differs, by more than 1 point"

    def test_too_few_networks_get_no_verdict_unless_there_is_nothing_to_compare(self) -> None:
        values = arms(new=[0.9, 0.91], old=[0.8, 0.81])
        row = pd.DataFrame([("test", "new", "old", 0.1, 0.08, 0.12, 0.001)])
        row.columns = ["test", "arm", "other", "difference", "low", "high", "p"]

        def verdict(values: pd.DataFrame, fewest: int) -> str:
            found = contrasts.judge(row, values, cell=["test"], family=["test"], fewest=fewest)
            return str(found["verdict"][0])

        assert verdict(values, 3) == contrasts.TOO_FEW
        assert verdict(values, 2) != contrasts.TOO_FEW
        assert verdict(arms(new=[0.001, 0.0], old=[0.0, 0.0]), 3) == contrasts.BOTH_FALLEN

    def test_what_would_matter_is_the_callers_to_say(self) -> None:
        values = arms(new=[0.62, 0.63, 0.64], old=[0.6, 0.61, 0.62])
        row = pd.DataFrame([("test", "new", "old", 0.02, 0.019, 0.021, 0.001)])
        row.columns = ["test", "arm", "other", "difference", "low", "high", "p"]
        judged_rows = contrasts.judge(row, values, cell=["test"], family=["test"], margin=0.05)
        assert judged_rows["verdict"][0] == "differs, by less than 5 points"

    def test_what_differs_only_before_the_correction_says_so(self) -> None:
        new = {f"new{index}": [0.88, 0.91, 0.94] for index in range(9)}
        rows = judged(arms(**new, old=[0.8, 0.8, 0.8]))
        found = "undecided (uncorrected: differs, by more than 1 point)"
        assert set(rows["verdict"]) == {found}

    @pytest.mark.parametrize(
        ("new", "undefended", "verdict"),
        [
            (0.005, 0.0, contrasts.BOTH_FALLEN),
            (0.3, 0.68, contrasts.BOTH_WORSE),
            (0.3, 0.305, "undecided"),
        ],
    )
    def test_where_there_is_nothing_to_compare_the_row_says_that_and_nothing_else(
        self, new: float, undefended: float, verdict: str
    ) -> None:
        values = arms(new=[new, new + 0.001, new - 0.001], old=[0.003, new, new / 2])
        rows = judged(values, undefended_value=undefended)
        assert rows["verdict"].tolist() == [verdict]
        shown = contrasts.show(rows, ["arm"]).iloc[0]
        numbers = shown[["could see", "ahead by", "times the errors"]]
        assert numbers.isna().all() == (verdict != "undecided")
        # What was named first is reported in any case, with the remark beside it.
        primary = contrasts.show(rows.assign(primary=True), ["arm"]).iloc[0]
        assert primary["verdict"] == verdict
        assert pd.isna(primary["ahead by"]) == (verdict == contrasts.BOTH_FALLEN)

    def test_more_networks_see_more_and_none_sees_less_than_its_interval(self) -> None:
        three, six = ([0.9, 0.88, 0.92] * times for times in (1, 2))
        seen = [
            judged(arms(new=new, old=[0.9] * len(new)))["smallest"].item() for new in (three, six)
        ]
        assert seen[0] == pytest.approx(5.65 * 0.02 / 3**0.5, rel=0.01)
        assert seen[1] < seen[0] / 2
        wide = judged(arms(new=three, old=[0.9] * 3), half=0.3).iloc[0]
        assert wide["smallest"] >= 0.3

    def test_one_network_sees_by_its_images(self) -> None:
        row = judged(arms(new=[0.9], old=[0.88]), half=0.0196).iloc[0]
        assert row["smallest"] == pytest.approx(0.028, rel=0.01)

    def test_draws_are_averaged(self) -> None:
        values = arms(new=[0.9, 0.9, 0.9], old=[0.8, 0.8, 0.8])
        twice = pd.concat([values, values.assign(value=values["value"] - 0.02)])
        assert judged(twice)["arm_value"].item() == pytest.approx(0.89)


class TestShow:
    def test_what_could_be_seen_comes_before_what_was(self) -> None:
        shown = contrasts.show(judged(arms(new=[0.9, 0.8, 0.7], old=[0.7, 0.7, 0.7])), ["arm"])
        columns = ["arm", "could see", "verdict", "ahead by", "times the errors"]
        assert list(shown) == columns
        assert shown["could see"].item() == "33"

    def test_a_comparison_that_can_see_nothing_says_so(self) -> None:
        shown = contrasts.show(judged(arms(new=[1.0, 0.0, 0.5], old=[0.4, 0.4, 0.4])), ["arm"])
        assert shown["could see"].item() == "none"


class TestTrends:
    VALUES = pd.DataFrame(
        [
            (test, fraction, seed, 0.99 + sign * fraction / 200 + seed / 1_000)
            for test, sign in (("static", 1), ("clean", 0))
            for fraction in (0, 0.1, 0.5, 1)
            for seed in range(3)
        ],
        columns=["test", "fraction", "seed", "value"],
    )

    def test_errors_that_fall_at_every_step_are_seen_below_a_point(self) -> None:
        found = contrasts.trends(self.VALUES, cell=["test"], along="fraction").set_index("test")
        assert found.loc["static", "verdict"] == "falls"
        assert found.loc["static", "every"]
        assert found.loc["clean", "verdict"] == "no trend seen"
        assert not found.loc["clean", "every"]

    def test_from_one_network_there_is_no_test(self) -> None:
        found = contrasts.trends(self.VALUES.query("seed == 0"), cell=["test"], along="fraction")
        assert set(found["verdict"]) == {contrasts.UNTESTED}

    def test_runs_are_corrected_apart(self) -> None:
        runs = pd.concat(self.VALUES.assign(run=run) for run in ("full scale", "this run"))
        apart = contrasts.trends(runs, cell=["run", "test"], along="fraction", family=["run"])
        together = contrasts.trends(runs, cell=["run", "test"], along="fraction")
        assert (apart["corrected"] <= together["corrected"]).all()
        assert apart["corrected"].min() < together["corrected"].min()


def recorded(name: str) -> pd.DataFrame:
    rows = records.full_scale(name)
    assert rows is not None
    return rows


def test_what_was_called_a_difference_between_few_networks_is_none_by_the_wider_interval() -> None:
    found = contrasts.judge(
        recorded("controls_contrasts"), recorded("controls"), cell=["test"], family=["test"]
    ).set_index(["test", "arm", "other"])
    for test, other in (("static", "whole network"), ("clean", "convolutions only")):
        verdict = str(found["verdict"][test, "dominant filters", other])
        assert verdict.startswith("undecided (uncorrected: differs"), other
