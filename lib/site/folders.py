"""Private folders that do not outlive the process that made them, even one that is killed."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory


@contextmanager
def private(parent: Path, prefix: str) -> Iterator[Path]:
    """Make a folder that is removed at the end, after those that ended processes left there.

    Parameters
    ----------
    parent
        Where to make it.
    prefix
        How its name starts, and those of its like.
    """
    if os.name != "nt":  # there, asking for a process may end it
        for left in parent.glob(f"{prefix}*"):
            process = left.name.removeprefix(prefix).partition("-")[0]
            if process.isdigit() and not _is_alive(int(process)):
                shutil.rmtree(left, ignore_errors=True)
    with TemporaryDirectory(
        prefix=f"{prefix}{os.getpid()}-", dir=parent, ignore_cleanup_errors=True
    ) as folder:
        yield Path(folder)


def _is_alive(process: int) -> bool:
    with suppress(PermissionError):  # somebody else's
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return False
    return True
