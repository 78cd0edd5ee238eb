"""The command line: ``python -m lib``, whose commands ``--help`` lists."""

import errno
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

import click
import yaml

from lib.compute import parameters, provenance
from lib.compute.parameters import RefusedError
from lib.site import compare as comparison
from lib.site import copies, folders, reading, render
from lib.site import exercises as solutions
from lib.site import pdf as printing
from lib.site.board import Board
from lib.site.book import DEFAULT_PRESET, Book
from lib.site.runner import ExecutionError, Run, execute_all
from lib.site.schema import settings

P = ParamSpec("P")

REFUSED, INTERRUPTED = 2, 130


def _say_clearly(command: Callable[P, None]) -> Callable[P, None]:
    """Turn what a command may raise into a message and an exit code."""

    @wraps(command)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except RefusedError as error:
            click.echo(f"Error: {error}", err=True)
            sys.exit(REFUSED)
        except ExecutionError as error:
            click.echo(f"Error: {error}", err=True)
            sys.exit(1)
        except render.RenderError as error:
            click.echo(f"{error}\nError: the pages have warnings; the site is unchanged", err=True)
            sys.exit(1)
        except BrokenPipeError:
            raise  # who reads has enough, as head: click ends without a word
        except OSError as error:
            what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
            click.echo(f"Error: {what}{_way_out(error)}", err=True)
            sys.exit(1)
        except KeyboardInterrupt:
            click.echo("\nInterrupted; what had finished is kept.", err=True)
            sys.exit(INTERRUPTED)

    return guarded


def _way_out(error: OSError) -> str:
    match error.errno or (isinstance(error, FileNotFoundError) and errno.ENOENT):
        case errno.ENOSPC | errno.EDQUOT:
            return ": make room, then run the same command; what had finished is kept"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return ": the book needs to write there; LIB_CACHE names another folder for the cache"
        case errno.ENOENT:
            return ": run the same command again if something removed it meanwhile"
        case errno.EEXIST | errno.ENOTDIR:
            return ": a folder has to be there: move what is in its place"
    return ""


preset_option = click.option(
    "--preset",
    default=DEFAULT_PRESET,
    show_default=True,
    help="How much to compute: a file of book/presets, such as smoke, classroom or paper.",
)
values_option = click.option(
    "-p",
    "--parameter",
    "given",
    nargs=2,
    multiple=True,
    metavar="NAME VALUE",
    help="Set a parameter to a number (0.3, 8/255), a word (base) or a list ([0, 1]). Repeatable.",
)


def _runs(
    book: Book, preset: str, injected: Mapping[str, Mapping[str, Any]], *, record: bool = False
) -> list[Run]:
    """Return the runs of all chapters, by the values that each of them gets."""
    executed = book.build / "executed" / preset
    results = book.source / "results" if record else book.build / "results" / preset
    return [
        Run(book, chapter, injected[name], executed / f"{name}.ipynb", results, preset)
        for name, chapter in book.chapters.items()
    ]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.pass_context
def main(context: click.Context) -> None:
    """Run the chapters of the executable paper and render its site."""
    context.obj = context.obj or Book(provenance.CHECKOUT or Path.cwd())


@main.command()
@click.argument("chapters", nargs=-1)
@preset_option
@values_option
@click.option(
    "--jobs",
    type=click.IntRange(1),
    default=min(2, os.cpu_count() or 1),
    show_default=True,
    help="How many chapters run side by side; each takes up to 1.5 GB of memory.",
)
@click.option(
    "--record", is_flag=True, help="Keep the computed numbers in book/results, as the site quotes."
)
@click.pass_obj
@_say_clearly
def build(
    book: Book,
    chapters: tuple[str, ...],
    preset: str,
    given: tuple[tuple[str, str], ...],
    jobs: int,
    record: bool,
) -> None:
    """Run CHAPTERS (default: all) and render the site to _build/html.

    Chapters whose source, code, parameters and data are unchanged are not run again. A page that
    shows what all of them computed is always brought up to date.
    """
    values = book.preset(preset)
    chosen = book.chosen(chapters)
    if not chapters:
        book.refuse_lost_references()
    others = [chapter for chapter in book.chapters.values() if chapter not in chosen]
    injected = settings(chosen, values, _parsed(given)) | settings(others, values, {})
    runs = _runs(book, preset, injected, record=record)
    board = Board()
    with board:
        execute_all(
            [run for run in runs if run.chapter in chosen or run.chapter.reads_this_run],
            progress=lambda run: board.line(run.chapter.name),
            unchanged=lambda run: board.say(f"{run.chapter.name}: unchanged, not run again"),
            jobs=jobs,
        )
    shown = [run for run in runs if run.is_current]
    for left_out in runs:
        if left_out not in shown:
            click.echo(
                f"{left_out.chapter.name}: left out of the site, not run under this preset yet"
            )
    first_page, rendered = render.render(book, shown)
    click.echo(f"{'rendered' if rendered else 'site unchanged'}; open {first_page.as_uri()}")


@main.command()
@preset_option
@click.pass_obj
@_say_clearly
def pdf(book: Book, preset: str) -> None:
    """Print what `build` has run to _build/book.pdf, with bookmarks and links.

    It takes a Chromium that the machine has, and playwright, which tests/requirements.txt pins.
    Folded code is left out.
    """
    printing.browser()  # before minutes are spent
    values = settings(list(book.chapters.values()), book.preset(preset), {})
    runs = _runs(book, preset, values)
    current = [run for run in runs if run.is_current]
    if not current:
        raise RefusedError(f"no chapter is up to date: python -m lib build --preset {preset}")
    target = book.build / "book.pdf"
    with folders.private(book.build, "printing-") as workplace:
        printing.write(render.in_one_file(book, current, workplace), target)
    click.echo(f"{len(current)} of {len(runs)} chapters; open {target.as_uri()}")


@main.command()
@click.argument("chapter")
@preset_option
@values_option
@click.pass_obj
@_say_clearly
def run(book: Book, chapter: str, preset: str, given: tuple[tuple[str, str], ...]) -> None:
    """Run one CHAPTER into _build/run, without the site.

    The copy is named by what is changed, as 02_attacks-steps-10: `python -m lib compare` lists
    such runs, and puts two of them side by side.
    """
    (chosen,) = book.chosen([chapter])
    values = settings([chosen], book.preset(preset), _parsed(given))[chosen.name]
    target = book.build / "run" / f"{chosen.name}.ipynb"
    alone = Run(book, chosen, values, target, book.build / "results" / "run", preset)
    if changes := comparison.changes(alone):
        target = target.with_stem(f"{chosen.name}{changes}")
        alone = replace(alone, executed=target, results=book.build / "results" / f"run{changes}")
    yours = [name for name, _ in given]
    for who, own in (("-p", True), (f"preset {preset}", False)):
        if told := [f"{name} {values[name]}" for name in values if (name in yours) is own]:
            click.echo(f"set by {who}: {', '.join(told)}")
    with Board() as board, board.line(chosen.name) as on_cell:
        alone.execute(on_cell)
    click.echo(target)


@main.command()
@click.argument("runs", nargs=-1, metavar="[A [B]]")
@click.pass_obj
@_say_clearly
def compare(book: Book, runs: tuple[str, ...]) -> None:
    """Put the tables of run A and run B (default: site) side by side, where they differ.

    Without A, list the runs: those of `python -m lib run`, `lab` for the copies that `make lab`
    opens, and those of the builds by their presets; `site` is the default preset's.
    """
    if len(runs) > 2:
        raise RefusedError("compare takes two runs at most")
    if not runs:
        for name, chapters in comparison.known(book).items():
            click.echo(f"{name}  ({', '.join(chapters)})")
        return
    first, second = (*runs, comparison.SITE)[:2]
    for text in comparison.report(book, (first, second)):
        click.echo(text)


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
@_say_clearly
def lab(book: Book, options: tuple[str, ...]) -> None:
    """Open copies of the chapters in JupyterLab, in _build/lab; OPTIONS are JupyterLab's.

    The sources stay as they are. A copy that you changed is never replaced. `python -m lib compare
    lab` says what came out otherwise than on the site, once you have saved it.
    """
    for line in copies.update(book):
        click.echo(line)
    sys.exit(copies.open_jupyter(book, options))


@main.command()
@click.argument("chapters", nargs=-1)
@preset_option
@click.option("--record", is_flag=True, help="Keep the measured times, as the site quotes.")
@click.pass_obj
@_say_clearly
def exercises(book: Book, chapters: tuple[str, ...], preset: str, record: bool) -> None:
    """Run the solutions of the exercises in CHAPTERS (default: all), and say how long each took.

    What the chapters themselves need is computed first, or comes from the cache. So does what a
    solution has computed before: measure with a cache that has the chapters' results alone.
    """
    chosen = [each for each in book.chosen(chapters) if solutions.printed_in(each)]
    values = settings(chosen, book.preset(preset), {})
    for chapter in chosen:
        seconds = {}
        for solved in solutions.solve(chapter, values[chapter.name]):
            seconds[solved.number] = round(solved.seconds, 1)
            click.secho(f"{solved.number}  {solved.seconds:.1f} s", bold=True)
            click.echo(solved.said)
        if record:
            solutions.write(seconds)


@main.command("list")
@click.argument("chapters", nargs=-1)
@click.pass_obj
@_say_clearly
def list_(book: Book, chapters: tuple[str, ...]) -> None:
    """List CHAPTERS (default: all) and their parameters."""
    for chapter in book.chosen(chapters):
        click.secho(f"{chapter.name}  {chapter.title}", bold=True)
        click.echo(f"  {reading.count(chapter.notebook)}")
        for line in chapter.parameters.values():
            click.echo(f"  {line.name}: {line.annotation} = {line.default!r}  {line.help}")
            click.echo(f"      {line.allowed}")


@main.command()
@click.argument("sections", nargs=-1, metavar="[step|survivors|crafting|sweeps]...")
@click.option("--rounds", type=click.IntRange(3), help="How often each way is timed.")
@click.option("--quick", is_flag=True, help="Tiny sizes: does it run? Nothing to quote.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to write. By default book/results/bench.json, which the book quotes; with "
    "--quick, nowhere.",
)
def bench(sections: tuple[str, ...], rounds: int | None, quick: bool, output: Path | None) -> None:
    """Time SECTIONS (default: all), what is compared in turn, and write down the ratios.

    The ratios, of CPU time and of time, are medians over rounds, with quartiles, and stand beside
    their goals. What is compared runs on one thread unless TF_NUM_INTRAOP_THREADS says more.
    Leave the machine alone meanwhile: it takes some minutes.
    """
    for kind in ("INTRAOP", "INTEROP"):  # so that CPU time and time agree on an idle machine
        os.environ.setdefault(f"TF_NUM_{kind}_THREADS", "1")
    from lib.bench import suite as benchmark  # TensorFlow takes seconds to import

    unknown = [name for name in sections if name not in benchmark.SECTIONS]
    if unknown:
        raise click.BadParameter(f"{unknown[0]}: one of {', '.join(benchmark.SECTIONS)}")
    chosen = tuple(name for name in benchmark.SECTIONS if name in sections or not sections)
    scale = benchmark.QUICK if quick else benchmark.Scale()
    if rounds:
        scale = replace(scale, rounds=rounds)
    measured = benchmark.measure(scale, chosen, click.echo)
    target = output or (None if quick else benchmark.RECORD)
    if target is not None:
        benchmark.write(measured | {"quick": quick}, target)
        click.echo(f"\nwritten to {target}")


def _terms(command: Callable[P, None]) -> Callable[P, None]:
    """Give a command the options that say how networks are attacked."""
    for option in (
        click.option("--quick", is_flag=True, help="Small budgets: a first look, no result."),
        click.option(
            "--epsilon",
            default="0.3",
            show_default=True,
            help="L-infinity radius, as 8/255.",
        ),
        click.option(
            "--images", default="100", show_default=True, help="How many images are attacked."
        ),
        click.option(
            "--dataset",
            default="mnist-5k",
            show_default=True,
            help=f"Whose images: {parameters.in_words(parameters.Dataset)}.",
        ),
    ):
        command = option(command)
    return command


def _validated_terms(dataset: str, images: str, epsilon: str) -> dict[str, Any]:
    """Check what can be checked before TensorFlow is imported, which takes seconds."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    types = {"images": parameters.Count, "epsilon": parameters.Epsilon}
    values = _parsed((("images", images), ("epsilon", epsilon)))
    return {
        "dataset": parameters.validated("dataset", parameters.Dataset, dataset),
        **{name: parameters.validated(name, types[name], value) for name, value in values.items()},
    }


@main.command()
@click.argument("network", type=click.Path(path_type=Path))
@_terms
@_say_clearly
def attack(network: Path, dataset: str, images: str, epsilon: str, quick: bool) -> None:
    """Attack a NETWORK of your own, a .keras file, with the ladder of chapter 7.

    It must map images of 28 x 28 pixels, 0 to 1, to ten logits or probabilities. What it
    withstands, and whether the attacks can be trusted, is written beside it: to NAME.card.md and
    NAME.card.json. The images are the validation images, which you may know; a scoreboard takes
    the test images. Stop it at any time: what has finished is kept.
    """
    values = _validated_terms(dataset, images, epsilon)
    from lib.cards import card as cards  # TensorFlow takes seconds to import

    card = cards.evaluate(network, cards.Terms(**values, quick=quick), click.echo)
    for note in card.notes:
        click.echo(note)
    click.echo(f"{card.worst_case:.1%} of {card.terms.images} images withstand every attack")
    for flag in card.flags:
        click.echo(f"CHECK FAILED  {flag}")
    for path in card.write(network.with_suffix("")):
        click.echo(path)


@main.command()
@click.argument("networks", nargs=-1, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--dataset", default="mnist", show_default=True, help="Whose test images.")
@click.option("--images", default="1000", show_default=True, help="How many are attacked.")
@click.option("--epsilon", default="0.3", show_default=True, help="L-infinity radius, as 8/255.")
@click.option("--record", is_flag=True, help="Keep scores and logs in book/results, as quoted.")
@_say_clearly
def autoattack(
    networks: tuple[Path, ...], dataset: str, images: str, epsilon: str, record: bool
) -> None:
    """Judge NETWORKS, .keras files, by AutoAttack itself.

    That is the original code, which `pip install -e '.[autoattack]'` brings. First it judges a
    network whose score is published, on 4,000 images of MNIST: if they differ, it stops there.
    The better part of an hour for each network that withstands most of it; what has finished is
    kept. By default it takes those that the book keeps of the data set. With --record, the
    record is of these networks and no others.
    """
    values = _validated_terms(dataset, images, epsilon)
    try:
        from lib.autoattack import kept as judged
    except ModuleNotFoundError as error:
        if error.name not in {"torch", "pyautoattack"}:
            raise
        raise RefusedError(
            f"{error.name} is not installed, which AutoAttack takes: pip install -e '.[autoattack]'"
        ) from None
    for row in judged.judge(networks, **values, record=record):
        click.echo(row)


@main.command()
@click.argument("networks", nargs=-1, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--dataset", default="mnist", show_default=True, help="Whose test images.")
@click.option("--images", default="100", show_default=True, help="How many are certified.")
@click.option(
    "--epsilon",
    "radii",
    multiple=True,
    default=("0.01", "0.02", "0.03", "0.05", "0.1"),
    show_default=True,
    help="L-infinity radius, as 8/255; give it again for another.",
)
@click.option("--record", is_flag=True, help="Keep the rows in book/results, as quoted.")
@_say_clearly
def certify(
    networks: tuple[Path, ...], dataset: str, images: str, radii: tuple[str, ...], record: bool
) -> None:
    """Prove what no attack can take from NETWORKS, .keras files.

    Each radius gets two numbers, a share of the first test images that is certified, and one that
    withstands attacks; what is robust is between them. Seconds an image; what has finished is kept.
    By default it takes those that the book keeps of the data set. With --record, the
    record is of these networks and no others.
    """
    checked = [_validated_terms(dataset, images, radius) for radius in radii]
    values = checked[0] | {"radii": [each["epsilon"] for each in checked]}
    del values["epsilon"]
    from lib.cards import certificate

    for row in certificate.certify(networks, **values, record=record):
        click.echo(row)


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
@_terms
@_say_clearly
def scoreboard(folder: Path, dataset: str, images: str, epsilon: str, quick: bool) -> None:
    """Rank the networks of a class: all .keras files in FOLDER, on FOLDER/scoreboard.html.

    Each is attacked again, on test images, whatever the card beside it says.
    """
    values = _validated_terms(dataset, images, epsilon)
    from lib.cards import board
    from lib.cards.card import Terms

    terms = Terms(**values, part="test", quick=quick)
    page = board.write(folder, board.judged(folder, terms, click.echo), terms)
    click.echo(f"open {page.absolute().as_uri()}")


def _parsed(given: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, text in given:
        if name in values:
            raise RefusedError(f"{name}: it is given twice, as {values[name]} and as {text}")
        try:
            values[name] = parameters.parsed(text)
        except (ValueError, yaml.YAMLError):
            raise RefusedError(f"{name}: {text[:60]} cannot be read as a value") from None
    return values
