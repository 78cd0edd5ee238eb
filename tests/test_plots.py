"""The figures: colours that everyone can tell apart, and pixels drawn with their true values."""

import html
import io

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

from lib.figures import style

mpl.use("agg")


@pytest.fixture(autouse=True)
def our_style():
    with mpl.rc_context():
        style.use_style()
        yield
    plt.close("all")


def svg_of(figure):
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def test_equal_figures_give_equal_files():
    shown = [svg_of(style.image_grid(np.eye(5)[np.newaxis], columns=1)) for _ in range(2)]
    assert shown[0] == shown[1]


def test_colors_tell_models_and_attacks_apart():
    colors = [*style.MODEL_COLORS.values(), *style.ATTACK_COLORS.values()]
    assert len(set(colors)) == 5


def test_networks_get_colors_and_marks_in_their_order():
    assert list(style.MODEL_COLORS)[:3] == ["shallow", "base", "dense"]
    assert set(style.MODEL_MARKERS) == set(style.MODEL_COLORS)


def test_an_image_is_drawn_from_black_to_white_whatever_its_range():
    figure = style.image_grid(np.full((1, 28, 28, 1), 0.5), columns=1)
    (drawn,) = figure.axes[0].images
    assert drawn.get_clim() == (0, 1)
    assert drawn.get_array().shape == (28, 28)


def test_signed_values_are_drawn_with_zero_in_the_middle():
    figure = style.image_grid(np.array([[[-0.1, 0.3]]]), columns=1, limit=0.3)
    (drawn,) = figure.axes[0].images
    assert drawn.get_clim() == (-0.3, 0.3)
    assert drawn.get_cmap()(drawn.norm(0.0))[:3] == pytest.approx((1, 1, 1), abs=0.05)


@pytest.mark.parametrize("count", [0, 1, 6, 7])
def test_a_grid_shows_every_image_under_its_title(count):
    titles = [str(number) for number in range(count)]
    figure = style.image_grid(np.zeros((count, 4, 4)), columns=6, titles=titles)
    shown = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title() for axes in shown] == titles


def test_a_hidden_diagonal_keeps_its_numbers():
    counts = np.arange(100).reshape(10, 10)
    axes = style.class_matrix(
        counts, rows="true", columns="predicted", colorbar="images", hide_diagonal=True
    )
    assert sorted(int(text.get_text()) for text in axes.texts) == list(range(100))
    assert np.ma.getmaskarray(axes.collections[0].get_array()).reshape(10, 10).diagonal().all()


def test_a_network_is_drawn_with_every_layer_and_shape():
    figure = style.network_diagram([("Conv2D", (28, 28, 32)), ("Flatten", (3136,))])
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts == ["Conv2D", "28 x 28\nx 32", "Flatten", "3136"]


def test_a_phone_draws_ten_points_with_nine_pixels():
    words = ["T-shirt", *map(str, range(1, 10))]
    style.class_matrix(np.eye(10, dtype=int), rows="", columns="", colorbar="", names=words)
    style.network_diagram([("Dense", (10,))])
    for figure in map(plt.figure, plt.get_fignums()):
        texts = [text for text in figure.findobj(mpl.text.Text) if text.get_text()]
        assert min(text.get_fontsize() for text in texts) >= 10
        margins = 2 * mpl.rcParams["savefig.pad_inches"]
        assert 9 * 7.2 * (figure.get_figwidth() + margins) <= 390 - 2 * 16


def test_names_are_drawn_as_they_are_written():
    """A class of a data set may have any name; none of it is a formula or a tag."""
    names = ["$x^", "a<b>&c", "\\frac{1", "_" * 3, "$5 shoes$"]
    figure, axes = plt.subplots()
    axes.set_xticks(range(len(names)), names)
    axes.set_title(" ".join(names))
    mpl.rcParams["svg.fonttype"] = "none"
    drawn = html.unescape(svg_of(figure).decode())
    for name in names:
        assert f">{name}</text>" in drawn
