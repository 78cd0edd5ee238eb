"""Imports go one way through the rooms of lib: whoever takes a room away knows what is left."""

import ast
from pathlib import Path

import pytest

from lib.compute import provenance

MAY_IMPORT = {
    "compute": set(),
    "stages": {"compute"},
    "fast": {"compute", "stages"},
    "evidence": {"compute"},
    "figures": {"compute", "evidence"},
    "lab": set(),
    "autoattack": {"compute", "stages", "evidence"},
    "bench": {"compute", "stages", "fast", "evidence"},
    "cards": {"compute", "stages", "evidence"},
    "exercises": {"compute", "stages", "evidence"},
    "site": {"compute", "exercises"},
}
"""What each room may import, beside itself."""

DOORS = {
    "fast": ("stages",),
    "autoattack": ("site/cli.py",),
    "bench": ("site/cli.py",),
    "cards": ("site/cli.py",),
}
"""Rooms that are named in strings, so that they are looked for only when they are needed."""

MODULES = sorted(path.relative_to(provenance.PACKAGE) for path in provenance.PACKAGE.rglob("*.py"))


def rooms(modules: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


def imported(path: Path, *, strings: bool) -> set[str]:
    """Return the rooms that a module imports, or those that it names in strings as well."""
    tree = ast.parse((provenance.PACKAGE / path).read_text(encoding="utf-8"))
    if not strings:
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant):
                node.value = None
    return rooms(provenance.imported_modules(tree, ".".join(path.with_suffix("").parts)))


def test_every_room_is_known() -> None:
    found = {path.parts[0] for path in MODULES if len(path.parts) > 1}
    assert found == set(MAY_IMPORT)


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_what_lies_below(room: str) -> None:
    for path in (path for path in MODULES if path.parts[0] == room):
        beyond = imported(path, strings=False) - MAY_IMPORT[room] - {room}
        if path == Path("site/cli.py"):
            beyond -= {"autoattack", "bench", "cards"}  # within the commands that need them
        assert not beyond, f"{path} imports {sorted(beyond)}"


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_names_only_what_has_a_door(room: str) -> None:
    for path in (path for path in MODULES if path.parts[0] == room):
        beyond = imported(path, strings=True) - MAY_IMPORT[room] - {room}
        for other in beyond:
            assert str(path).startswith(DOORS.get(other, ())), f"{path} names {other}"
