"""Below each figure and table of a page: the cell that made it, and the records that it shows."""

import ast
import re
from collections.abc import Set
from pathlib import Path
from typing import Any, TypeGuard

import nbformat
from docutils import nodes  # type: ignore[import-untyped]
from sphinx.application import Sphinx

FOLDER = "site"
"""What lies in this folder beside the sources is copied into the site."""

RECORDS, FULL_SCALE, THIS_RUN = "records", "full-scale", "this-run"
"""Its folder for records, and in that those for both runs."""

_NUMBERED = ("table", "side_by_side")
"""Calls whose first argument is the number of a table of the paper."""


def _named(tree: ast.AST, known: Set[str]) -> set[str]:
    """Return which records a piece of code names; a single word may be a name of something else."""
    found = {
        str(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and node.value in known and "_" in str(node.value)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args:
            first = getattr(node.args[0], "value", None)
            if getattr(node.func, "attr", "") in _NUMBERED and type(first) is int:
                first = f"table_{first:02d}"
            found |= {str(first)} & known
    return found


class Sources:
    """Which records stand behind each name of a notebook, as far as its code goes."""

    def __init__(self, known: Set[str]) -> None:
        self.known = known
        self.behind: dict[str, set[str]] = {}

    def of(self, tree: ast.AST) -> set[str]:
        """Return the records that a piece of code names, or reads through earlier names."""
        used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} - _local(tree)
        return _named(tree, self.known).union(*(self.behind.get(name, set()) for name in used))

    def run(self, source: str) -> set[str]:
        """Follow the code of a cell; return the records behind what its last line shows."""
        shown: set[str] = set()
        for statement in ast.parse(source).body:
            shown = self.of(statement)
            names = _stored(statement) - _local(statement)
            if isinstance(statement, ast.FunctionDef):
                names = {statement.name}
            elif "save" in {getattr(node, "attr", "") for node in ast.walk(statement)}:
                # The frame that is saved is that record from now on.
                names = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
                names -= {node.value.id for node in ast.walk(statement) if _has_attribute(node)}
            for name in names:
                self.behind[name] = self.behind.get(name, set()) | shown
        return shown


def _has_attribute(node: ast.AST) -> TypeGuard[Any]:
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)


def _stored(tree: ast.AST) -> set[str]:
    return {
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }


def _local(tree: ast.AST) -> set[str]:
    """Return the names that mean something only within a comprehension or a function."""
    found = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    for node in ast.walk(tree):
        if isinstance(node, ast.comprehension):
            found |= _stored(node.target)
        elif isinstance(node, ast.FunctionDef):
            found |= _stored(node)
    return found


def _shows(cell: nbformat.NotebookNode) -> bool:
    """Tell whether a cell shows a figure with a caption, or a table."""
    if "figure" in cell.metadata.get("mystnb", {}):
        return True
    html = ["".join(out.get("data", {}).get("text/html", "")) for out in cell.get("outputs", [])]
    return any("<caption" in text for text in html)


def note(notebook: nbformat.NotebookNode, known: Set[str]) -> set[str]:
    """Note in the metadata of each cell that shows a figure or table which records it shows.

    Parameters
    ----------
    notebook
        An executed chapter, which is changed.
    known
        The names of all records.

    Returns
    -------
    set of str
        All records that are noted.
    """
    sources, noted = Sources(known), set[str]()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            behind = sources.run(re.sub(r"^[%!].*", "", cell.source, flags=re.MULTILINE))
            if _shows(cell) and "facts" not in cell.metadata.get("tags", []):
                cell.metadata["records"] = sorted(behind)
                noted |= behind
    return noted


def _link(app: Sphinx, doctree: nodes.document) -> None:
    """Put a line of links below each figure and table, and a place to lead to above its cell."""
    for cell in [*doctree.findall(nodes.container)]:
        names = cell.get("cell_metadata", {}).get("records")
        if names is None or cell.get("nb_element") != "cell_code":
            continue
        place = f"cell-{cell['cell_index']}"
        cell["ids"].append(place)
        links = {"this cell": f"#{place}"}
        for folder in (FULL_SCALE, THIS_RUN):
            for name in names:
                for path in (Path(app.srcdir) / FOLDER / RECORDS / folder).glob(f"{name}.*"):
                    told = f"{name} ({folder.replace('-', ' ')})"
                    links[told] = f"../{RECORDS}/{folder}/{path.name}"
        line = nodes.paragraph(classes=["made-by"])
        line += nodes.Text("Made by ")
        for number, (text, place) in enumerate(links.items()):
            line += nodes.Text(" from " if number == 1 else ", " if number else "")
            line += nodes.reference("", text, refuri=place, internal=True)
        cell.parent.insert(cell.parent.index(cell) + 1, line)


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the extension."""
    app.connect("doctree-read", _link)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
