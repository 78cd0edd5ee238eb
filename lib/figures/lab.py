"""The figure of the lab."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
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
    names = list(dict.fromkeys(name for name, *_ in rows))
    size = (style.WIDTH, 2.2 * len(names))
    figure, grid = plt.subplots(len(names), 3, figsize=size, squeeze=False)
    for panels, name in zip(grid, names, strict=True):
        style.draw_image(panels[0], clean, f"{name}:\nclean")
        shown = (reading for reading in rows if reading[0] == name)
        for axes, (_, kind, read, image) in zip(panels[1:], shown, strict=True):
            style.draw_image(axes, image, f"{kind}:\nread as {read}")
    return figure
