"""The solutions of the exercises, as the book prints them."""

import re
from pathlib import Path

from lib.compute import provenance

FOLDER = (
    provenance.CHECKOUT / "book" / "solutions"
    if provenance.CHECKOUT
    else provenance.PACKAGE / "exercises" / "solutions"
)
"""A Markdown file for each chapter; with the package without a checkout."""

NUMBER = re.compile(r"^# (\d+\.\d+)\n", re.MULTILINE)
"""What stands before the solution of an exercise: its number."""

CODE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def read(path: Path) -> dict[str, str]:
    """Return the solutions of a chapter by the numbers of their exercises."""
    _, *parts = NUMBER.split(path.read_text("utf-8"))
    return dict(zip(parts[::2], map(str.strip, parts[1::2]), strict=True))


def code(solution: str) -> str:
    """Return the code of a solution, without its words."""
    return "\n".join(CODE.findall(solution))
