"""The figure of the lab."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lib.figures import style

Reading = tuple[str, str, int, NDArray[np.floating]]
"""Name of the network, ``static`` or ``fresh``, the class that it reads, the image."""


def readings(clean: NDArray[np.floating], rows: Sequence[Reading]) -> Figure:
    """Draw an image, what is left of it under attack, and what each network reads.

    Parameters
    ----------
    clean
        The image, shape ``(28, 28, 1)``.
    rows
        Two for each network: static, then fresh.
    """
    drawn = []
    for name, kind, read, image in rows:
        if kind == "static":
            drawn.append((f"{name}:\nclean", clean))
        drawn.append((f"{kind}:\nread as {read}", image))
    titles, images = zip(*drawn, strict=True)
    return style.image_grid(images, 3, titles)
