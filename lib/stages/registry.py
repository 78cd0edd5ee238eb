"""Data sets, networks and attackers by name: each is a file, found by listing its folder."""

from importlib import import_module
from types import ModuleType

from lib.compute import registered


def entry(folder: str, name: str) -> ModuleType:
    """Return the module of a data set, a network or an attacker.

    Parameters
    ----------
    folder
        ``datasets``, ``networks`` or ``attackers``.
    name
        One of :func:`lib.compute.registered.names`.

    Raises
    ------
    ValueError
        If there is no such file.
    """
    known = registered.names(folder)
    if name not in known:
        raise ValueError(f"{name!r} is none of the {folder} {', '.join(known)}")
    # By name alone: cached results depend on the files that an experiment names, not on all.
    return import_module("lib." + registered.module(folder, name))
