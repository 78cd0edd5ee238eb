"""Every exercise can be checked, every solution runs as it is printed, and says what it shows."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import numpy as np
import pytest
from playwright.sync_api import expect
from scipy.special import softmax
from tqdm import tqdm

from lib import exercises
from lib.exercises import checks, printed
from lib.site import exercises as running
from lib.site.schema import settings
from lib.stages import adaptive
from lib.stages.hardening import Hardening

from ..browser import open_browser
from ..conftest import REAL_BOOK

CHAPTERS = [chapter for chapter in REAL_BOOK.chapters.values() if running.printed_in(chapter)]
PRINTED = {
    number: text
    for chapter in CHAPTERS
    for number, text in printed.read(printed.FOLDER / f"{chapter.name}.md").items()
}


def accuracy(names: SimpleNamespace, network: Any, images: Any) -> float:
    return float(names.models.accuracy(network, images, names.batch.labels))


LOGITS = np.array([0.3, -1.0, 2.0])


def slope_of_double_softmax(z: np.ndarray, target: int) -> np.ndarray:
    """Return the gradient of the loss by differences."""

    def loss(z: np.ndarray) -> float:
        return float(-np.log(softmax(softmax(z))[target]))

    return np.array([(loss(z + h) - loss(z - h)) / 2e-4 for h in 1e-4 * np.eye(len(z))])


def false_alarms() -> np.ndarray:
    """Return how many of sixty comparisons of equals are alarms, and of families corrected."""
    p = np.random.default_rng(0).uniform(size=(20_000, 5, 12))
    smallest = 12 * p.min(axis=-1)  # what Holm's correction asks for its first rejection
    return np.array([(p < 0.05).sum(axis=(1, 2)).mean(), (smallest < 0.05).sum(axis=1).mean()])


def far_better_under_one_step(hardened: Hardening, epsilon: float) -> bool:
    """Tell whether PGD leaves less than half of what FGSM leaves, of more images than asked for."""
    ladder = adaptive.ladder(hardened, ("fgsm", "pgd"), count=100, epsilon=epsilon)
    left = dict(zip(ladder["rung"], ladder["accuracy"], strict=True))
    return left["pgd"] < left["fgsm"] / 2


SAID: dict[str, Callable[[SimpleNamespace], object]] = {
    "1.1": lambda n: (
        n.by_hand == sum(map(np.size, n.models.build("dense").layers[6].get_weights()))
    ),
    "1.2": lambda n: n.without.history["accuracy"][-1] > n.fitted.history["accuracy"][-1],
    "1.3": lambda n: abs(n.spread["mean"].diff().iloc[-1]) < 3 * n.spread["std"].max(),
    "2.1": lambda n: 0.1 <= n.widest < 0.3,
    "2.2": lambda n: all(n.ten[radius] > n.one[radius] for radius in (0.2, 0.3)),
    "2.3": lambda n: accuracy(n, n.network, n.noisy) > 3 * accuracy(n, n.network, n.by_hand),
    "2.4": lambda n: (
        (n.models.predict(n.network, n.towards) == 8).mean()
        > (n.models.predict(n.network, n.batch.images) == 8).mean()
    ),
    "2.5": lambda n: n.transferred < accuracy(n, n.other, n.batch.images) / 2,
    "3.1": lambda n: n.by_place[0] > 2 * n.by_place[1] > 0 and np.mean(n.by_place) < 0.5,
    "3.2": lambda n: np.allclose(
        n.double(LOGITS, 1), slope_of_double_softmax(LOGITS, 1), atol=1e-6
    ),
    "3.3": lambda n: 7.5 < n.factor < 8,
    "3.4": lambda n: (
        n.three_cases(n.surer_hit)["average"]
        < n.three_cases(n.arms["pgd", "probabilities"])["average"]
    ),
    "4.1": lambda n: all(
        np.isclose(n.index, n.jaccard(range(2 * k), range(k, 3 * k))) for k in (1, 2, 5)
    ),
    "4.2": lambda n: n.in_common == 0,
    "4.3": lambda n: n.jaccard(n.own_top(n.largest), n.own_top(n.average)) < 0.2,
    "4.4": lambda n: abs(n.ratio[:, 1] - 1).max() < 0.3,  # the frozen ones: about as much
    "5.1": lambda n: (
        0.1
        < n.models.accuracy(n.forgetful, n.images.test.images, n.images.test.labels)
        < n.models.accuracy(n.model, n.images.test.images, n.images.test.labels)
    ),
    "5.2": lambda n: n.by_batch[32] > n.by_batch[512],
    "5.3": lambda n: n.carried[0] < 0.1 < n.carried[1],
    "6.1": lambda n: n.most < 0.5,
    "6.2": lambda n: (
        n.models.accuracy(n.last_only, n.crafted, n.digits)
        < n.models.accuracy(n.training.defended(n.tuning), n.crafted, n.digits) - 0.05
    ),
    "6.3": lambda n: (
        abs(
            n.models.accuracy(n.split, n.crafted, n.digits)
            - n.models.accuracy(n.training.defended(n.split_tuning), n.crafted, n.digits)
        )
        < 0.1
    ),
    "7.1": lambda n: (
        abs(n.at_last - n.adaptive.accuracy(n.Evaluation(n.split_pgd, "pgd", 0.1, 20))) < 0.1
    ),
    "7.2": lambda n: (
        n.found[1000][0] > n.found[1][0] and not any(two for _, two in n.found.values())
    ),
    "7.3": lambda n: not any(n.missed[rung] for rung in ("noise", "static", "transfer", "square")),
    "8.1": lambda n: np.allclose(false_alarms(), (n.by_chance, n.corrected), rtol=0.1),
    "8.2": lambda n: n.bounds.high > 0.01 and 1.5 < n.enough / 100 < 2.5,
    "8.3": lambda n: sum(n.shared) < sum(map(len, n.dominant)) / 2,
    "9.1": lambda n: far_better_under_one_step(n.fast, n.epsilon),
    "9.2": lambda n: n.starts["scratch"][0] < 0.2 < n.starts["victim"][0],
    "9.3": lambda n: n.left[0].mean() > 0.5 and not np.logical_and.reduce(n.left).any(),
    "10.1": lambda n: 0.6 < n.share < 0.7,
    "10.2": lambda n: 0 < n.half < 0.2,
    "10.3": lambda n: 0.9 < n.bound < 1.05,  # times of this machine
    "11.1": lambda n: n.between.low < 0 < n.one.low,
    "11.2": lambda n: all(n.kept[0.3][name] >= radius for name, radius in n.kept[0.5].items()),
    "11.3": lambda n: 0.3 < n.by_half < 0.36,
    "12.1": lambda n: not any(n.claims.ALL[name].part == "Filters" for name in n.turned),
    "12.2": lambda n: n.alone < 0.5 and n.reads["dense layers only"] >= n.reads["dominant filters"],
    "12.3": lambda n: (
        "within" in n.within and n.falls.p < 0.05 and n.times.low < 1 < 1.5 < n.times.estimate
    ),
}
"""What the text of a solution says of its result, as far as it holds of a few hundred images."""

WRONG: dict[str, tuple[Callable[[SimpleNamespace], object], str]] = {
    "1.1": (lambda n: 128 * 3 * 3 * 64, "biases"),
    "1.2": (lambda n: n.fitted.history, "with dropout"),
    "1.3": (lambda n: n.spread.assign(std=0.0), "same seed"),
    "2.1": (lambda n: 0.7, "One of the radii"),
    "2.2": (lambda n: n.one, "leave another share"),
    "2.3": (lambda n: n.by_hand, "follow the gradient"),
    "2.4": (lambda n: n.by_hand, "where does the target come in"),
    "2.5": (lambda n: accuracy(n, n.other, n.batch.images), "on clean images"),
    "3.1": (lambda n: n.by_place[::-1], "comes first"),
    "3.2": (lambda n: lambda z, t: n.softmax(z) - np.eye(10)[t], "one softmax"),
    "3.3": (lambda n: 1 / n.factor, "The other way round"),
    "3.4": (lambda n: n.surer_hit[:2], "shape"),
    "4.1": (lambda n: 0.5, "union"),
    "4.2": (lambda n: 1, "Divide"),
    "4.3": (lambda n: n.average, "This is the mean"),
    "4.4": (lambda n: 1 / n.ratio, "The other way round"),
    "5.1": (lambda n: n.splitting.gathered(n.model, n.chosen), "still restored"),
    "5.2": (lambda n: {32: 0.0, 512: 2.0}, "At 32"),
    "5.3": (lambda n: n.carried[::-1], "comes first"),
    "6.1": (lambda n: 1 - n.most, "that trains"),
    "6.2": (lambda n: n.models.trained(n.tuning.victim), "Nothing has been trained"),
    "6.3": (lambda n: [range(len(some)) for some in n.choice], "not random"),
    "7.1": (lambda n: 2, "PGD at 0.1"),
    "7.2": (lambda n: {scale: (2, 2) for scale in n.found}, "At 1"),
    "7.3": (lambda n: n.missed | {"noise": [0]}, "noise"),
    "8.1": (lambda n: (3, 0.05), "five"),
    "8.2": (lambda n: 2 * n.enough, "Fewer"),
    "8.3": (lambda n: [99 for _ in n.shared], "Count"),
    "9.1": (lambda n: n.one_step[:1], "rungs"),
    "9.2": (lambda n: {"victim": n.starts["victim"]}, "scratch"),
    "9.3": (lambda n: n.arms[n.DOMINANT, 0, 0, 32], "dense_layers=False"),
    "10.1": (lambda n: 1 - n.share, "none of the first"),
    "10.2": (lambda n: 0.0, "A larger one"),
    "10.3": (lambda n: 1 / n.bound, "The other way round"),
    "11.1": (lambda n: n.intervals.apart(n.other, n.one), "other way round"),
    "11.2": (lambda n: {0.5: n.kept[0.5]}, "at least"),
    "11.3": (lambda n: 0.5, "share of one choice"),
    "12.1": (lambda n: n.turned[:-1], "more of them"),
    "12.2": (lambda n: 1 - n.alone, "What they repair alone"),
    "12.3": (lambda n: 1 / n.times.estimate, "ratio|other way"),
}
"""A wrong answer to each exercise, and what the hint speaks of."""


@pytest.fixture(scope="module")
def solved() -> Iterator[Callable[[str], dict[str, Any]]]:
    """Return a function that runs the solutions of a chapter, each chapter once."""
    known: dict[str, dict[str, Any]] = {}

    def of(number: str) -> dict[str, Any]:
        chapter = next(
            each for each in CHAPTERS if number in printed.read(printed.FOLDER / f"{each.name}.md")
        )
        if chapter.name not in known:
            given = {"rounds": 1} if "rounds" in chapter.parameters else {}  # of timings
            values = settings([chapter], REAL_BOOK.preset("smoke"), given)[chapter.name]
            with pytest.MonkeyPatch.context() as patch:
                patch.delenv("TF_NUM_INTRAOP_THREADS", raising=False)  # no processes of a sweep
                found = {each.number: each for each in running.solve(chapter, values)}
            known[chapter.name] = found
        return known[chapter.name]

    yield of
    known.clear()
    exercises._silence.close()


@pytest.mark.parametrize("number", PRINTED)
class TestSolutions:
    def test_it_runs_as_printed_and_its_check_says_right(
        self, number: str, solved: Callable[[str], dict[str, Any]]
    ) -> None:
        said = solved(number)[number].said
        assert said.endswith(f"Exercise {number}: right.\n"), said
        for noise in ("from the cache", "computed in", "ms/step", "%|"):
            assert noise not in said

    def test_its_text_says_what_comes_out(
        self, number: str, solved: Callable[[str], dict[str, Any]]
    ) -> None:
        found = solved(number)[number]
        assert SAID[number](SimpleNamespace(**found.names)), found.said

    def test_a_wrong_answer_gets_a_hint(
        self,
        number: str,
        solved: Callable[[str], dict[str, Any]],
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        names = dict(solved(number)[number].names)
        answer, hint = WRONG[number]
        names["wrong"] = answer(SimpleNamespace(**names))
        exec(f"exercises.check({number!r}, wrong)", names)
        said = capsys.readouterr().out
        assert "not yet" in said and re.search(hint, said), said


class TestBook:
    @pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.name)
    def test_each_exercise_has_a_solution_that_ends_with_its_check(self, chapter: Any) -> None:
        cells = nbformat.read(chapter.path, as_version=4).cells
        text = cells[-1].source
        assert text.startswith("## Exercises\n")
        solutions = printed.read(printed.FOLDER / f"{chapter.name}.md")
        assert len(solutions) >= 3
        labels = [f"ex-{int(a):02d}-{b}" for a, b in (n.split(".") for n in solutions)]
        assert re.findall(r"^:label: (.+)$", text, re.M) == labels
        assert re.findall(r"^```\{solved\} (.+)$", text, re.M) == [*solutions]
        asked = re.findall(r'`(exercises\.check\("[\d.]+", [^`]+\))`', text)
        ends = [printed.code(each).strip().splitlines()[-1] for each in solutions.values()]
        assert asked == ends

    def test_what_was_measured_is_said_and_nothing_else(self) -> None:
        measured = json.loads((printed.FOLDER / running.SECONDS).read_text("utf-8"))
        assert measured and measured.keys() <= PRINTED.keys()
        for number in PRINTED:
            assert ("Measured: " in running.took(printed.FOLDER, number)) == (number in measured)

    def test_the_page_numbers_exercises_as_their_checks_do(self, site: Path) -> None:
        for chapter in CHAPTERS:
            page = (site / "book" / f"{chapter.name}.html").read_text("utf-8")
            numbers = re.findall(r'caption-number">Exercise ([\d.]+) <', page)
            assert numbers == [*printed.read(printed.FOLDER / f"{chapter.name}.md")]
            assert len(re.findall(r'class="solution dropdown admonition"', page)) == len(numbers)

    def test_a_solution_is_folded_until_its_button_is_pressed(self, site: Path) -> None:
        with open_browser() as browser:
            page = browser.new_page()
            page.goto((site / "book" / "02_attacks.html").as_uri())
            text = page.locator("#sol-02-1 pre")
            expect(text).to_be_hidden()
            button = page.get_by_role("button", name="solution to Exercise 2.1")
            button.focus()
            page.keyboard.press("Enter")
            expect(text).to_be_visible()


class TestChecks:
    def test_what_is_no_answer_is_told_what_it_should_be(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        exercises.check("8.1", None)
        assert capsys.readouterr().out == (
            "Exercise 8.1: not yet. The answer must be two numbers: without a correction, and at "
            "most with one.\n"
        )

    def test_a_chapter_has_to_be_run_first(self, capsys: pytest.CaptureFixture[str]) -> None:
        exec("exercises.check('2.5', 0.5)", {"exercises": exercises})
        assert "run the cells of the chapter first, models is missing" in capsys.readouterr().out

    def test_an_unknown_exercise_is_refused(self) -> None:
        for function in (lambda: exercises.check("2.9", 1), lambda: exercises.solution("2.9")):
            with pytest.raises(ValueError, match=r"no exercise 2\.9"):
                function()

    def test_a_solution_is_shown_without_marks_of_the_page(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shown: list[Any] = []
        monkeypatch.setattr("IPython.display.display", shown.append)
        exercises.solution("2.1")
        assert shown[0].data == PRINTED["2.1"]
        assert ":::" not in shown[0].data

    def test_there_is_a_check_for_each_exercise_and_no_other(self) -> None:
        numbers = {f"exercise_{number.replace('.', '_')}" for number in PRINTED}
        assert {name for name in vars(checks) if name.startswith("exercise_")} == numbers
        assert {*SAID} == {*WRONG} == {*PRINTED}


def test_what_the_cache_says_can_be_silenced(capsys: pytest.CaptureFixture[str]) -> None:
    from lib.compute import cache

    exercises.quiet()
    cache.report("from the cache")
    list(tqdm(range(3)))
    assert not capsys.readouterr().err
    exercises._silence.close()
    cache.report("from the cache")
    list(tqdm(range(3)))
    assert re.search("from the cache.*3/3", capsys.readouterr().err, re.DOTALL)
