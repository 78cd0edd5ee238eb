"""Below each figure and table of a page: the cell that made it, and the records that it shows."""

import ast
from collections import defaultdict
from collections.abc import Set
from pathlib import Path

import nbformat
from docutils import nodes  # type: ignore[import-untyped]
from sphinx.application import Sphinx

from lib.site import names

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


def _whose(node: ast.AST) -> str:
    """Return the name that an expression is built on: ``frame`` of ``frame.assign(seed=0)``."""
    while isinstance(node, ast.Call | ast.Attribute | ast.Subscript):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def follow(source: str, known: Set[str], behind: defaultdict[str, set[str]]) -> set[str]:
    """Return the records behind what the last line of a cell shows.

    Parameters
    ----------
    source
        Of the cell.
    known
        The names of all records.
    behind
        The records behind each name of the notebook so far, as far as its code goes; the cell's own
        names are added.
    """
    shown: set[str] = set()
    for statement in ast.parse(source).body:
        code = ast.unparse(statement)
        shown = _named(statement, known).union(*(behind[name] for name in names.used(code)))
        calls = [node for node in ast.walk(statement) if isinstance(node, ast.Call)]
        saved = [call for call in calls if getattr(call.func, "attr", "") == "save"]
        # A frame that is saved is that record from now on.
        frames = {name for call in saved for arg in call.args if (name := _whose(arg))}
        for name in names.bound(code) | frames:
            behind[name] |= shown
    return shown


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
    behind: defaultdict[str, set[str]] = defaultdict(set)
    noted = set[str]()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            shown = follow(names.plain(cell.source), known, behind)
            if _shows(cell) and "facts" not in cell.metadata.get("tags", []):
                cell.metadata["records"] = sorted(shown)
                noted |= shown
    return noted


def _link(app: Sphinx, doctree: nodes.document) -> None:
    """Put a line of links below each figure and table, and a place to lead to above its cell."""
    for cell in [*doctree.findall(nodes.container)]:
        records = cell.get("cell_metadata", {}).get("records")
        if records is None or cell.get("nb_element") != "cell_code":
            continue
        place = f"cell-{cell['cell_index']}"
        cell["ids"].append(place)
        links = {"this cell": f"#{place}"}
        for folder in (FULL_SCALE, THIS_RUN):
            for name in records:
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
