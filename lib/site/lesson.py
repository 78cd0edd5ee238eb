"""A Sphinx extension: questions that a reader answers before the page does, quizzes, solutions.

Questions and quizzes are radio buttons that ``_static/lesson.js`` brings to life: it remembers
what was chosen in the reader's browser, covers a result until something is, and shows what speaks
for or against an answer. Without JavaScript nothing is covered and everything can be read.
"""

from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Annotated

import yaml
from docutils import nodes  # type: ignore[import-untyped]
from docutils.statemachine import StringList  # type: ignore[import-untyped]
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, RootModel, ValidationError
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from lib.exercises import printed
from lib.site import exercises

QUIZZES = "quizzes"
"""The folder beside the chapters with a file of questions for each."""


class Answer(BaseModel):
    """An answer that can be chosen, and what is said to who chooses it."""

    model_config = ConfigDict(extra="forbid")
    text: str = Field(min_length=1)
    feedback: str = Field(min_length=1)
    right: bool = False


def _one_right(answers: list[Answer]) -> list[Answer]:
    if (count := sum(answer.right for answer in answers)) != 1:
        raise ValueError(f"one answer must be right, not {count}")
    return answers


class Question(BaseModel):
    """A question of a quiz."""

    model_config = ConfigDict(extra="forbid")
    question: str = Field(min_length=1)
    answers: Annotated[list[Answer], Field(min_length=3), AfterValidator(_one_right)]


class Quiz(RootModel[list[Question]]):
    """The questions at the end of a chapter."""


def quiz(path: Path) -> list[Question]:
    """Read a file of questions.

    Raises
    ------
    ValueError
        If it holds none: a pydantic error names the place.
    """
    return Quiz.model_validate(yaml.safe_load(path.read_text("utf-8"))).root


class _Asking(SphinxDirective):
    """What both directives share: radio buttons with text of the page beside them."""

    def _parsed(self, text: str) -> list[nodes.Node]:
        """Return the inline nodes of a line of Markdown."""
        holder = nodes.Element()
        self.state.nested_parse(StringList([text], self.env.doc2path(self.env.docname)), 0, holder)
        return [node for paragraph in holder.children for node in paragraph.children]

    def _choice(self, group: str, number: int, text: Iterable[nodes.Node]) -> list[nodes.Node]:
        button = f'<label><input type="radio" name="{escape(group)}" value="{number}"> <span>'
        return [_html(button), *text, _html("</span></label>")]


class Predict(_Asking):
    """Ask for a prediction: a question, and a list of what may be.

    What cells put out between this and the ``predicted`` of the same name is covered until
    something is chosen.
    """

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        """Return the question with a radio button for each item of its list."""
        name = self.arguments[0]
        holder = nodes.container(classes=["predict"], ids=[f"predict-{name}"])
        self.state.nested_parse(self.content, self.content_offset, holder)
        found = [node for node in holder.children if isinstance(node, nodes.bullet_list)]
        if len(found) != 1 or holder.children[-1] is not found[0]:
            raise self.error(f"predict {name}: it must end with one list of what may be")
        holder.remove(found[0])
        group = f"{self.env.docname}-{name}"
        holder += _html(f'<fieldset data-predict="{escape(name)}"><legend>Your prediction</legend>')
        for number, item in enumerate(found[0].children, start=1):
            text = [node for paragraph in item.children for node in paragraph.children]
            holder += self._choice(group, number, text)
        holder += _html("</fieldset>")
        return [holder]


class Predicted(SphinxDirective):
    """Show what was predicted, beside the result."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return a line that the script fills in."""
        name = escape(self.arguments[0])
        return [_html(f'<p class="predicted" data-predicted="{name}" role="status"></p>')]


class QuizDirective(_Asking):
    """The quiz of a chapter, from the file of its name."""

    def run(self) -> list[nodes.Node]:
        """Return the questions, each with its answers and what is said to them."""
        page = Path(self.env.doc2path(self.env.docname))
        path = page.parent / QUIZZES / f"{page.stem}.yaml"
        self.env.note_dependency(str(path))
        try:
            questions = quiz(path)
        except (OSError, ValidationError, yaml.YAMLError) as error:
            raise self.error(f"{QUIZZES}/{path.name}: {error}") from None
        holder = nodes.container(classes=["quiz"])
        for number, question in enumerate(questions, start=1):
            group = f"{self.env.docname}-quiz-{number}"
            holder += _html(f"<fieldset><legend><span>{number}.</span> ")
            holder += self._parsed(question.question)
            holder += _html("</legend>")
            for place, answer in enumerate(question.answers, start=1):
                holder += self._choice(group, place, self._parsed(answer.text))
                mark = "right" if answer.right else "wrong"
                holder += _html(f'<p class="feedback {mark}">')
                holder += self._parsed(answer.feedback)
                holder += _html("</p>")
            holder += _html('<p class="said" role="status"></p></fieldset>')
        return [holder]


class Solved(SphinxDirective):
    """The folded solution of an exercise, and how long it was measured to run.

    What stands in it is for those who read the notebook elsewhere, where it is shown as code.
    """

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        """Return the solution, from the file of the chapter's name."""
        page = Path(self.env.doc2path(self.env.docname))
        path = page.parent / printed.FOLDER.name / f"{page.stem}.md"
        self.env.note_dependency(str(path))
        number = self.arguments[0]
        try:
            text = printed.read(path)[number]
        except (OSError, KeyError):
            raise self.error(
                f"{printed.FOLDER.name}/{path.name} has no solution {number}"
            ) from None
        chapter, exercise = number.split(".")
        lines = [
            f":::{{solution}} ex-{int(chapter):02d}-{exercise}",
            f":label: sol-{int(chapter):02d}-{exercise}",
            ":class: dropdown",
            "",
            *text.splitlines(),
            "",
            exercises.took(path.parent, number),
            ":::",
        ]
        holder = nodes.Element()
        self.state.nested_parse(StringList(lines, str(path)), 0, holder)
        return list(holder.children)


def _html(text: str) -> nodes.Node:
    return nodes.raw("", text, format="html")


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the extension."""
    app.add_directive("predict", Predict)
    app.add_directive("predicted", Predicted)
    app.add_directive("quiz", QuizDirective)
    app.add_directive("solved", Solved)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
