"""What a chapter declares in its parameters cell, and which values it therefore gets."""

import ast
import io
import tokenize
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import nbformat

from lib.compute import parameters, sweeps
from lib.compute.parameters import RefusedError

if TYPE_CHECKING:
    from lib.site.book import Chapter


@dataclass(frozen=True)
class Parameter:
    """One line of a chapter's parameters cell."""

    name: str
    annotation: str
    default: Any
    help: str

    @property
    def _type(self) -> Any:
        try:
            return parameters.type_named(self.annotation)
        except RefusedError as error:
            raise RefusedError(f"{self.name}: {error}") from None

    @property
    def allowed(self) -> str:
        """What the parameter may be, in words."""
        return parameters.in_words(self._type)

    def validated(self, value: object) -> Any:
        """Return ``value`` as the chapter gets it: plain numbers, text and lists.

        Raises
        ------
        RefusedError
            The value is of the wrong type or out of range.
        """
        return parameters.validated(self.name, self._type, value)


def _tagged(cells: Iterable[nbformat.NotebookNode], tag: str) -> list[nbformat.NotebookNode]:
    return [cell for cell in cells if tag in cell.metadata.get("tags", [])]


def declared(notebook: nbformat.NotebookNode, where: str) -> dict[str, Parameter]:
    """Return the parameters that a chapter declares, by name, in their order.

    Parameters
    ----------
    notebook
        The chapter's source.
    where
        Its name, for messages.

    Raises
    ------
    RefusedError
        There is not one cell of parameters, or it does something else besides declaring them:
        then papermill would pass over what it does not know, and run with other values.
    """
    if stale := _tagged(notebook.cells, "injected-parameters"):
        raise RefusedError(
            f"{where}: cell {notebook.cells.index(stale[0]) + 1} holds the parameters of an "
            "earlier run, which would be used again: delete it"
        )
    cells = _tagged(notebook.cells, "parameters")
    if len(cells) != 1 or cells[0].cell_type != "code":
        raise RefusedError(
            f"{where}: it has {len(cells)} code cells tagged `parameters` instead of one, so that "
            "no value could be given to it"
        )
    source = cells[0].source
    try:
        statements = ast.parse(source).body
    except SyntaxError as error:
        raise RefusedError(f"{where}: its parameters cell is not Python: {error}") from None
    comments = {
        token.start[0]: token.string.lstrip("# ")
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    found: dict[str, Parameter] = {}
    for statement in statements:
        match statement:
            case ast.Import() | ast.ImportFrom():
                continue
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value) if (
                name not in found
            ):
                try:
                    default = ast.literal_eval(value)
                except ValueError:
                    pass
                else:
                    text = comments.get(statement.end_lineno or 0, "")
                    annotation = ast.unparse(statement.annotation)
                    found[name] = Parameter(name, annotation, default, text)
                    continue
        raise RefusedError(
            f"{where}: line {statement.lineno} of its parameters cell, "
            f"`{ast.unparse(statement).splitlines()[0]}`, declares no parameter: each is one line "
            "NAME: TYPE = VALUE, of a name and a plain value of its own"
        )
    return found


def settings(
    chapters: Iterable["Chapter"], preset: Mapping[str, object], given: Mapping[str, object]
) -> dict[str, dict[str, Any]]:
    """Return the validated parameters to be injected, by chapter.

    Parameters
    ----------
    chapters
        Those that are to run. Each gets the values that it declares.
    preset
        Values of the preset, by parameter name.
    given
        Values of the command line, which take precedence.

    Raises
    ------
    RefusedError
        A value or a setting of this machine is not allowed, none of the chapters declares a given
        name, or a chapter cannot run.
    """
    parameters.check_keras_file()
    sweeps.threads()
    chapters = list(chapters)
    for chapter in chapters:
        chapter.modules()  # a cell that is not Python is found before any chapter runs
    known = {name for chapter in chapters for name in chapter.parameters}
    for name in given:
        if name not in known:
            raise RefusedError(
                f"{name}: no such parameter{parameters.suggestion(name, known)} "
                f"{' and '.join(chapter.name for chapter in chapters)} declare"
                f"{'s' if len(chapters) == 1 else ''} {', '.join(sorted(known))}"
            )
    values = {**preset, **given}
    return {
        chapter.name: {
            name: parameter.validated(values[name])
            for name, parameter in chapter.parameters.items()
            if name in values
        }
        for chapter in chapters
    }
