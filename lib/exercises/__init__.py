"""For those who work on the exercises in a notebook: checks, solutions and quiet."""

import inspect
import sys
from contextlib import ExitStack
from functools import partialmethod

from tqdm import tqdm

from lib.compute import cache
from lib.exercises import checks, printed

CANNOT_BE_READ = (TypeError, ValueError, AttributeError, LookupError)
"""What a check raises at an answer of another kind than it asks for."""

_silence = ExitStack()


def quiet() -> None:
    """Leave out what the cache says and bars of progress from here on: results stand alone."""
    _silence.callback(setattr, tqdm, "__init__", tqdm.__init__)
    tqdm.__init__ = partialmethod(tqdm.__init__, disable=True)
    _silence.enter_context(cache.heard_by(lambda line: None))


def check(number: str, answer: object) -> None:
    """Say whether an answer is right, or give a hint.

    Parameters
    ----------
    number
        Of the exercise, as on the page: ``"2.1"``.
    answer
        What the exercise asks for. It is compared with what the notebook's own names give, so run
        the chapter's cells first.

    Raises
    ------
    ValueError
        There is no such exercise.
    """
    function = getattr(checks, f"exercise_{number.replace('.', '_')}", None)
    if function is None:
        raise ValueError(f"there is no exercise {number}")
    _, *needed = inspect.signature(function).parameters
    notebook = sys._getframe(1).f_globals
    if missing := [name for name in needed if name not in notebook]:
        print(f"Exercise {number}: run the cells of the chapter first, {missing[0]} is missing.")
        return
    try:
        hints = (hint for holds, hint in function(answer, *map(notebook.get, needed)) if not holds)
        hint = next(hints, None)
    except CANNOT_BE_READ:
        hint = f"The answer must be {inspect.getdoc(function)}"
    print(f"Exercise {number}: " + ("right." if hint is None else f"not yet. {hint}"))


def solution(number: str) -> None:
    """Show the solution of an exercise, as the page has it.

    Raises
    ------
    ValueError
        There is no such exercise.
    """
    from IPython.display import Markdown, display

    for path in printed.FOLDER.glob("*.md"):
        if text := printed.read(path).get(number):
            display(Markdown(text))
            return
    raise ValueError(f"there is no exercise {number}")
