"""The one door to :mod:`lib.fast`, which gives the same results sooner.

Nothing here needs it: where the folder is missing, or cannot compute a network, the plain way runs.
"""

import pkgutil
from collections.abc import Callable
from functools import cache
from typing import Any

from lib.compute.provenance import PACKAGE


@cache  # TensorFlow leaves such functions alone: of an import in a graph it warns on the page
def find(name: str) -> Callable[..., Any] | None:
    """Return a function of :mod:`lib.fast`, or None where that is not there.

    Parameters
    ----------
    name
        As ``lib.fast.fused:logits``. Written out where it is used: results that it computes then
        depend on its code, see :func:`lib.compute.provenance.imported_modules`.
    """
    if not (PACKAGE / "fast" / "__init__.py").is_file():
        return None
    function: Callable[..., Any] = pkgutil.resolve_name(name)
    return function
