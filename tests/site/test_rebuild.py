"""A book that runs again computes again what a change concerns, and nothing else."""

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from click.testing import CliRunner

from lib.compute import provenance
from lib.site.book import Book
from lib.site.cli import main

from ..conftest import ROOT, write_chapter

# The stages of a real chapter as small as they get; epsilon, a parameter of the tiny book,
# stands for the step size.
CELL = """\
from matplotlib import pyplot as plt

from lib.stages import attacks, evaluation, filters, models, training
from lib.figures import style

victim = models.Training("mnist-tiny", "shallow", max_epochs=1)
for method in ("fgsm", "pgd"):
    attack = attacks.Attack(method, 0.3, step_size=epsilon, steps=2)
    study = filters.Study(victim, attack, images_per_class=1)
    chosen = filters.Selection(study, 0.1) if method == "pgd" else None
    evaluation.defence_accuracy(training.FineTuning(victim, attack, "mixed", chosen, epochs=1))
figure, axes = plt.subplots()
style.in_percent(axes)
print("axis from {:g} to {:g}".format(*axes.get_ylim()))
"""


@dataclass(frozen=True)
class Units:
    computed: set[str]
    recalled: set[str]
    printed: str


def units(notebook: Path) -> Units:
    """Return the experiments that an executed chapter computed, and those from the cache."""
    streams = [
        (output.name, output.text)
        for cell in nbformat.read(notebook, as_version=4).cells
        for output in cell.get("outputs", [])
        if output.output_type == "stream"
    ]
    # Not at the start of a line: on a slow machine there may be a progress bar before it.
    text = "".join(text for name, text in streams if name == "stderr")
    return Units(
        computed=set(re.findall(r"computed in +\S+ s +(.+)$", text, re.M)),
        recalled=set(re.findall(r"from the cache +(.+)$", text, re.M)),
        printed="".join(text for name, text in streams if name == "stdout"),
    )


class Rebuilt:
    """A book with a copy of the package and one chapter, which is run again after changes."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.first = self.run()

    def run(self, *arguments: str) -> Units:
        arguments = ("run", "01_tiny", *arguments)
        result = CliRunner().invoke(main, arguments, obj=self.book, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return units(Path(result.stdout.splitlines()[-1]))


@pytest.fixture(scope="module")
def rebuilt(
    new_book: Callable[..., Book], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Rebuilt]:
    book = new_book()
    write_chapter(book, "01_tiny", CELL)
    # The kernel starts in the book's folder, so this is the package that it imports.
    shutil.copytree(ROOT / "lib", book.root / "lib")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIB_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(provenance, "PACKAGE", book.root / "lib")
        yield Rebuilt(book)


def test_the_first_run_computes_every_stage(rebuilt: Rebuilt) -> None:
    kinds = {unit.split("(")[0] for unit in rebuilt.first.computed}
    assert kinds == {"Training", "StaticSet", "Study", "FineTuning"}


def test_another_plotting_function_retrains_nothing(rebuilt: Rebuilt) -> None:
    path = rebuilt.book.root / "lib" / "figures" / "style.py"
    source = path.read_text(encoding="utf-8")
    assert "axes.set_ylim(-0.03, 1.03)" in source
    path.write_text(source.replace("set_ylim(-0.03, 1.03)", "set_ylim(-0.5, 1.5)"))
    again = rebuilt.run()
    assert not again.computed
    assert again.recalled
    assert "from -0.03 to 1.03" in rebuilt.first.printed
    assert "from -0.5 to 1.5" in again.printed  # the new figure is on the page


def test_another_step_size_computes_what_depends_on_it(rebuilt: Rebuilt) -> None:
    again = rebuilt.run("-p", "epsilon", "0.1")
    of_pgd = {unit for unit in rebuilt.first.computed if "method='pgd'" in unit}
    assert {unit.split("(")[0] for unit in of_pgd} == {"StaticSet", "Study", "FineTuning"}
    assert again.computed == {unit.replace("step_size=0.2", "step_size=0.1") for unit in of_pgd}
