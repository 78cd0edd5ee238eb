"""Lists every input that is tried, with what it shows: ``python -m pytest tests/faults --list``."""

from collections.abc import Callable

import pytest

Shows = Callable[[str], None]

LINES = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--list", action="store_true", help="list the inputs tried and what they show")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[LINES] = []


@pytest.fixture
def shows(request: pytest.FixtureRequest) -> Shows:
    """Return a function that notes what the input of this test shows."""

    def note(text: str) -> None:
        lines = [line for line in text.strip().splitlines() if line.strip()]
        kind, _, tried = request.node.nodeid.rpartition("faults/")[2].partition("::")
        place = kind.removeprefix("test_").removesuffix(".py")
        request.config.stash[LINES].append(f"{place}: {tried}\n    {' / '.join(lines)[:400]}")

    return note


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if config.getoption("--list", False):
        terminalreporter.section("inputs tried, and what each shows")
        for line in config.stash[LINES]:
            terminalreporter.write_line(line)
