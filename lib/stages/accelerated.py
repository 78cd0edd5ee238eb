"""The one door to :mod:`lib.fast`, which gives the same results sooner.

Nothing here needs it: where the folder is missing, or cannot compute a network, the plain way runs.
"""

import pkgutil
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any


def find(name: str) -> Callable[..., Any] | None:
    """Return a function of :mod:`lib.fast`, or None where that is not there.

    Parameters
    ----------
    name
        As ``lib.fast.fused:logits``. Written out where it is used: results that it computes then
        depend on its code, see :func:`lib.compute.provenance.imported_modules`.
    """
    package = find_spec("lib.fast")
    if package is None or not package.has_location:
        return None
    function: Callable[..., Any] = pkgutil.resolve_name(name)
    return function
