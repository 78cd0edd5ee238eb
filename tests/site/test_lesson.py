"""Questions come before their answers, and what a reader chose stays."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

import nbformat
import pytest
from playwright.sync_api import Page, expect
from pydantic import ValidationError

from lib.site import lesson

from ..browser import open_browser
from ..conftest import ROOT

BOOK = ROOT / "book"
QUESTIONS = 5
PREDICTIONS = 3
CHAPTERS = range(1, 11)  # the last, about costs, has no quiz

each_chapter = pytest.mark.parametrize("number", CHAPTERS)
each_quiz = pytest.mark.parametrize("number", CHAPTERS[:-1])


def chapter(number: int) -> Path:
    [path] = BOOK.glob(f"{number:02d}_*.ipynb")
    return path


def questions_of(number: int) -> list[lesson.Question]:
    return lesson.quiz(BOOK / lesson.QUIZZES / f"{chapter(number).stem}.yaml")


ANSWERS = [{"text": "this", "feedback": "no"}, {"text": "that", "feedback": "no"}]
RIGHT = {"text": "the other", "feedback": "yes", "right": True}


class TestQuestions:
    @each_quiz
    def test_a_quiz_has_five_questions_and_stands_at_the_end_of_its_chapter(
        self, number: int
    ) -> None:
        questions = questions_of(number)
        assert len(questions) == QUESTIONS
        assert len({question.question for question in questions}) == QUESTIONS
        places = [[answer.right for answer in each.answers].index(True) for each in questions]
        assert len(set(places)) > 1  # the right one is not always at the same place
        cells = nbformat.read(chapter(number), as_version=4).cells
        text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
        order = ("## Summary\n", "## Quiz\n\n```{quiz}\n```", "## Exercises\n")
        places_in_text = list(map(text.index, order))
        assert places_in_text == sorted(places_in_text)

    @each_chapter
    def test_predictions_are_asked_for_before_a_cell_and_shown_after_it(self, number: int) -> None:
        cells = nbformat.read(chapter(number), as_version=4).cells
        asked: dict[str, int] = {}
        shown: dict[str, int] = {}
        for place, cell in enumerate(cells):
            if cell.cell_type == "markdown":
                asked |= dict.fromkeys(
                    re.findall(r"^:::\{predict\} (\S+)$", cell.source, re.M), place
                )
                found = re.findall(r"^```\{predicted\} (\S+)\n```$", cell.source, re.M)
                shown |= dict.fromkeys(found, place)
        assert len(asked) >= PREDICTIONS
        assert asked.keys() == shown.keys()
        for name, place in asked.items():
            between = cells[place + 1 : shown[name]]
            code = [cell for cell in between if cell.cell_type == "code"]
            assert code, name
            # What is covered until the reader has chosen is the result, and little more.
            assert len(code) <= 5, name

    @pytest.mark.parametrize(
        ("answers", "wrong"),
        [
            (ANSWERS, "at least 3"),
            ([*ANSWERS, RIGHT, RIGHT], "one answer must be right, not 2"),
            ([*ANSWERS, ANSWERS[0]], "one answer must be right, not 0"),
            ([*ANSWERS, {"text": "the other", "right": True}], "feedback"),
            ([*ANSWERS, RIGHT | {"write": True}], "write"),
        ],
    )
    def test_a_question_that_cannot_be_answered_is_refused(
        self, answers: list[object], wrong: str, tmp_path: Path
    ) -> None:
        path = tmp_path / "quiz.yaml"
        path.write_text(str([{"question": "Which?", "answers": answers}]), "utf-8")
        with pytest.raises(ValidationError, match=wrong):
            lesson.quiz(path)


@pytest.fixture
def page(site: Path) -> Iterator[Page]:
    with open_browser() as browser:
        opened = browser.new_page()
        opened.goto((site / "book" / "01_model.html").as_uri())
        yield opened


class TestInThePage:
    def test_a_result_is_covered_until_a_prediction_which_stays(self, page: Page) -> None:
        asked = page.locator("#predict-layer")
        result = page.locator("#predict-layer ~ .cell .cell_output").first
        said = page.locator("[data-predicted=layer]")
        expect(result).to_be_hidden()
        expect(said).to_be_hidden()
        asked.locator("input").first.focus()
        page.keyboard.press("ArrowDown")
        expect(result).to_be_visible()
        expect(said).to_have_text(re.compile("You predicted: The second convolution"))
        page.reload()
        expect(asked.locator("input").nth(1)).to_be_checked()
        expect(result).to_be_visible()
        expect(said).to_have_text(re.compile("You predicted: The second convolution"))

    def test_nobody_has_to_predict(self, page: Page) -> None:
        result = page.locator("#predict-layer ~ .cell .cell_output").first
        page.get_by_role("button", name="without a prediction").first.click()
        expect(result).to_be_visible()

    def test_each_prediction_covers_a_result_and_has_a_button_in_sight(self, page: Page) -> None:
        for number in CHAPTERS:
            page.goto(urljoin(page.url, f"{chapter(number).stem}.html"))
            expect(page.locator(".uncover")).to_have_count(page.locator("[data-predict]").count())
            for button in page.locator(".uncover").all():
                expect(button).to_be_visible()

    def test_each_answer_of_a_quiz_is_answered(self, page: Page) -> None:
        for number, question in enumerate(questions_of(1)):
            shown = page.locator(".quiz fieldset").nth(number)
            for place, answer in enumerate(question.answers):
                expect(shown.locator(".said")).not_to_contain_text(answer.feedback)
                shown.locator("input").nth(place).focus()
                page.keyboard.press("Space")
                expect(shown.locator(".said")).to_have_text(answer.feedback)
                right = "right" in str(shown.locator(".said").get_attribute("class"))
                assert right == answer.right
        page.reload()
        expect(page.locator(".quiz fieldset").last.locator(".said")).to_have_text(answer.feedback)

    def test_without_a_script_everything_can_be_read(self, site: Path) -> None:
        with open_browser() as browser:
            plain = browser.new_context(java_script_enabled=False).new_page()
            plain.goto((site / "book" / "01_model.html").as_uri())
            expect(plain.locator("#predict-layer ~ .cell .cell_output").first).to_be_visible()
            expect(plain.locator(".quiz .feedback").first).to_be_visible()
