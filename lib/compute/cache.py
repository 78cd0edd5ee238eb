"""Results that are computed once: experiments are values, and equal values share a result.

A result is stored under a digest of the experiment, of the code of its stage and of all
stages below it, and of the versions of the numerical packages. :class:`joblib.Memory`
writes it atomically and computes it again when the stored copy is damaged.
"""

import hashlib
import json
import os
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, cast

from filelock import FileLock, Timeout
from joblib import Memory
from platformdirs import user_cache_path

from lib.compute import parameters, provenance, registered, units
from lib.compute.parameters import RefusedError

E = TypeVar("E")
R = TypeVar("R")

ROOM = 200_000_000
"""Bytes: about the largest result, as images of all of MNIST."""


def home() -> Path:
    """Return where what is computed goes: ``_build`` of the checkout, else the user's cache."""
    if provenance.CHECKOUT:
        return provenance.CHECKOUT / "_build"
    return user_cache_path("dominant-filters")


def folder() -> Path:
    """Return where results are kept: ``$LIB_CACHE``, else ``cache`` in :func:`home`."""
    return parameters.named_path("LIB_CACHE") or home() / "cache"


def trusted_folder() -> Path:
    """Make the folder, or refuse one that others can write: stored results are pickles.

    Raises
    ------
    RefusedError
        Whoever can write there could have their code run here; or it is full.
    """
    path = folder()
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.name != "nt":
        for place in (path, path / "joblib"):
            found = place.stat() if place.exists() else None
            if found and (found.st_uid not in (0, os.geteuid()) or found.st_mode & 0o022):
                raise RefusedError(
                    f"{place}: others can write there (mode {found.st_mode & 0o777:o}, owner "
                    f"{found.st_uid}), and reading kept results runs code: `chmod go-w` it, if it "
                    "is yours, or let LIB_CACHE name a folder of your own"
                )
    if shutil.disk_usage(path).free < ROOM:
        raise RefusedError(
            f"{path}: less than {ROOM // 10**6} MB are free there, so that nothing would be kept: "
            "make room, or let LIB_CACHE name another folder"
        )
    return path


def place(kind: str, name: str) -> Path:
    """Return where a file of a kind lies in the cache, in a folder that is there."""
    path = trusted_folder() / kind / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def lock(name: str) -> FileLock:
    """Return a lock that one process at a time holds, and that ends with its process."""
    return FileLock(place("locks", name))


_listeners: list[Callable[[str], object]] = []


def report(line: str) -> None:
    """Say how far the computation is, to the last listener or to standard error.

    The site drops what goes to stderr; a terminal and the builder's log show it.
    """
    if _listeners:
        _listeners[-1](line)
    else:
        print(line, file=sys.stderr, flush=True)


@contextmanager
def heard_by(listener: Callable[[str], object]) -> Iterator[None]:
    """Give the lines that are reported to a listener instead of standard error."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.pop()


def _turn(digest: str, experiment: object) -> AbstractContextManager[object]:
    """Wait while another process computes the same experiment: its result is then stored."""
    try:
        return lock(digest).acquire(timeout=0)
    except Timeout:
        report(f"computed elsewhere    {experiment}")
        return lock(digest).acquire()


def _compute(function: Callable[[Any], Any], experiment: Any, key: str) -> Any:
    started = time.perf_counter()
    result = function(experiment)
    report(f"computed in {time.perf_counter() - started:6.1f} s  {experiment}")
    return result


def key(function: Callable[[E], R], experiment: E) -> str:
    """Return the digest under which the result of ``function(experiment)`` is stored.

    Parameters
    ----------
    function
        Computes the experiment; its module and all modules below it count with their code.
    experiment
        A frozen dataclass; nested ones count with all their fields. Of the data sets, networks and
        attackers, the files count that it names, and no others.
    """
    fields = asdict(experiment)  # type: ignore[call-overload]
    modules = {function.__module__.removeprefix("lib."), *registered.modules(fields)}
    determined_by = {
        "experiment": fields,
        "function": function.__qualname__,
        "code": provenance.running_digest(*sorted(modules)),
        "versions": provenance.versions(*sorted(modules)),
        "settings": provenance.settings(),
    }
    return hashlib.sha256(json.dumps(determined_by, sort_keys=True).encode()).hexdigest()


def cached(function: Callable[[E], R]) -> Callable[[E], R]:
    """Keep the results of ``function`` on disk.

    Parameters
    ----------
    function
        Computes one experiment, a frozen dataclass, which is its only argument. It must be
        a function of its module, and say in its result all that a caller needs.

    Returns
    -------
    callable
        The same function, which computes each experiment once.
    """

    @wraps(function)
    def recalled(experiment: E) -> R:
        digest = key(function, experiment)
        if (kept := units.find(digest)) is not None:
            units.note(digest, function.__qualname__, experiment, kept)
            report(f"comes with the book   {experiment}")
            return cast(R, kept)
        # Compressed for the checksum that comes with it: a flipped bit is noticed.
        memory = Memory(trusted_folder(), verbose=0, compress=1)
        # The key says all that determines the result, so nothing else may count.
        stored = memory.cache(_compute, ignore=["function", "experiment"])
        with warnings.catch_warnings():
            # joblib warns that a large result takes long to store: that is what it is for.
            warnings.simplefilter("ignore", UserWarning)
            if stored.check_call_in_cache(function, experiment, digest):
                report(f"from the cache        {experiment}")
                result: R = stored(function, experiment, digest)
            else:
                with _turn(digest, experiment):
                    result = stored(function, experiment, digest)
                if not stored.check_call_in_cache(function, experiment, digest):
                    report(f"NOT KEPT, see above: to stop now loses it  {experiment}")
        units.note(digest, function.__qualname__, experiment, result)
        return result

    return recalled
