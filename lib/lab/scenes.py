"""What stands on a page before a scene is started, and without JavaScript: a computed picture.

Pictures are 28 pixels wide and stand in the page itself, so that it loads no file for them.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any
from urllib.parse import urlencode

import numpy as np
from matplotlib.image import imsave
from numpy.typing import NDArray

Pixels = NDArray[np.floating[Any]]
"""An image, shape ``(28, 28, 1)``, or what is added to one."""


@dataclass(frozen=True)
class Reading:
    """What a network reads in an image.

    Attributes
    ----------
    network
        In words.
    name
        The class that it reads.
    share
        Its probability, from 0 to 1.
    right
        Whether the image shows that class.
    """

    network: str
    name: str
    share: float
    right: bool

    def __str__(self) -> str:
        """Return the sentence."""
        verdict = "right" if self.right else "wrong"
        return f"{self.network} reads {self.name} ({self.share:.0%}), {verdict}"


@dataclass(frozen=True)
class Row:
    """One image as it was changed, and what came of it.

    Attributes
    ----------
    title
        Against whom it was crafted.
    attacked
        The image.
    readings
        By one network or several.
    share
        How many of all such images the last network reads, from 0 to 1.
    """

    title: str
    attacked: Pixels
    readings: Sequence[Reading]
    share: float


def picture(values: Pixels, alt: str, limit: float | None = None) -> str:
    """Return an image element that holds its pixels.

    Parameters
    ----------
    values
        From 0 (black) to 1 (white) or, with a limit, signed: red is darker, blue brighter.
    alt
        What it shows.
    limit
        Largest absolute value.
    """
    low, high, colors = (0.0, 1.0, "gray") if limit is None else (-limit, limit, "RdBu")
    file = io.BytesIO()
    imsave(file, values.reshape(values.shape[:2]), cmap=colors, vmin=low, vmax=high, format="png")
    data = base64.b64encode(file.getvalue()).decode("ascii")
    return f'<img src="data:image/png;base64,{data}" alt="{escape(alt)}" width="112" height="112">'


def scene(
    name: str,
    state: Mapping[str, object],
    clean: Pixels,
    attacked: Pixels,
    readings: Sequence[Reading],
    *,
    parts: str = "",
    images: str = "scene",
) -> str:
    """Return a scene that waits to be started.

    Parameters
    ----------
    name
        Its id: unique on the page, and in the address that leads to it.
    state
        Where it begins, as the address has it: ``image``, ``against``, ``attack``, ``epsilon``,
        ``target``, ``left``, ``right``.
    clean, attacked
        The image before and after the attack of that state.
    readings
        What the networks of the scene read in the attacked image.
    parts
        What the reader can change, in words divided by spaces; everything if empty.
    images
        The name of its images, as of :func:`lib.lab.export.write`.
    """
    change = attacked - clean
    said = [str(reading) for reading in readings]
    pictures = (
        (picture(clean, "The image before the attack"), "image"),
        (picture(change, "Blue and red pixels", max(np.abs(change).max(), 1e-6)), "what is added"),
        (picture(attacked, f"The image after the attack: {'; '.join(said)}"), "what is read"),
    )
    figures = "".join(
        f"<figure>{image}<figcaption>{words}</figcaption></figure>" for image, words in pictures
    )
    sentences = "".join(f"<li>{escape(sentence)}</li>" for sentence in said)
    return (
        f'<div class="lab" id="{name}" data-scene="{escape(urlencode(state))}" '
        f'data-parts="{parts}" data-images="{images}"><div class="lab-pictures">{figures}</div>'
        f'<ul class="lab-said">{sentences}</ul>'
        '<button class="lab-start" type="button" hidden>Try it in the page</button>'
        "<noscript>With JavaScript this picture can be tried at other settings.</noscript></div>"
    )


def story(clean: Pixels, rows: Sequence[Row], epsilon: float) -> str:
    """Return the picture of the first page: an image, two attacks, what is read of each.

    Parameters
    ----------
    clean
        The image before any attack.
    rows
        How it was attacked.
    epsilon
        The radius of the attacks, in pixel units.
    """
    sections = "".join(_row(clean, row, epsilon) for row in rows)
    return f'<div class="story">{sections}</div>'


def _row(clean: Pixels, row: Row, epsilon: float) -> str:
    said = "; ".join(map(str, row.readings))
    parts = (
        picture(clean, "A digit of the test set"),
        "<b aria-hidden='true'>+</b>",
        picture(row.attacked - clean, "A pattern of small changes, up and down", epsilon),
        "<b aria-hidden='true'>=</b>",
        picture(row.attacked, f"The digit with these changes: a person still reads it; {said}"),
    )
    verdicts = "".join(
        f'<li data-right="{str(reading.right).lower()}">{escape(reading.network)} reads '
        f"<b>{escape(reading.name)}</b></li>"
        for reading in row.readings
    )
    last = row.readings[-1].network
    return (
        f'<section><p class="story-title">{escape(row.title)}</p>'
        f'<div class="story-sum">{"".join(parts)}</div><div class="story-read"><ul>{verdicts}</ul>'
        f'<p class="story-share" style="--share:{row.share:.4f}">'
        f"{escape(last)}: {row.share:.0%} of all such images right</p></div></section>"
    )
