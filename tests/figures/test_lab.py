"""The figure of the lab shows what each network reads."""

import numpy as np
from matplotlib import pyplot as plt

from lib.figures import lab


def test_each_network_has_a_row_and_what_it_reads_stands_above_the_image():
    image = np.zeros((28, 28, 1))
    rows = [("first", "static", 8, image), ("first", "fresh", 3, image)]
    rows += [("second", "static", 1, image), ("second", "fresh", 2, image)]
    figure = lab.readings(image, rows)
    titles = [axes.get_title() for axes in figure.axes]
    assert [title.replace("\n", " ") for title in titles] == [
        "first: clean",
        "static: read as 8",
        "fresh: read as 3",
        "second: clean",
        "static: read as 1",
        "fresh: read as 2",
    ]
    plt.close(figure)
