"""Every figure that a test draws is legible on a phone."""

from collections.abc import Iterator

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
from matplotlib.text import Text

from lib.figures import style


@pytest.fixture(autouse=True)
def _legible() -> Iterator[None]:
    plt.close("all")
    with mpl.rc_context():
        style.use_style()
        yield
    for figure in map(plt.figure, plt.get_fignums()):
        assert figure.get_figwidth() <= style.WIDTH
        texts = [text for text in figure.findobj(Text) if text.get_text()]
        small = {text.get_text() for text in texts if text.get_fontsize() < 10}
        assert not small, "a phone of 390 pixels draws them with fewer than 9"
