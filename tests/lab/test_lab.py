"""What runs in the browser computes what Keras and the attacks of the book compute."""

import base64
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from nbformat import NO_CONVERT, read
from playwright.sync_api import Page

from lib.evidence import facts, records
from lib.lab import export, scenes
from lib.stages import attacks, data
from lib.stages.attacks import Attack

from ..browser import open_browser
from ..conftest import REAL_BOOK

NETWORKS = ("undefended", "split_pgd", "hardened")
COUNT, EPSILON = 50, 0.1
IMAGES = data.load("mnist-5k").test.first(COUNT)

RUN = """([name, images, labels, attack]) => {
    const engine = labEngine(), network = engine.prepare(labData.networks[name]);
    return images.map((pixels, row) => {
        const image = Float32Array.from(pixels), label = labels[row];
        const { logits } = engine.forward(network, image);
        const found = engine.run(network, image, { ...attack, label }, () => {});
        const after = engine.forward(network, found).logits;
        return { logits: [...logits], image: [...found], after: [...after] };
    });
}"""


@pytest.fixture(scope="module")
def kept():
    """Return the kept networks with the weights that the page has."""
    networks = {
        name: keras.saving.load_model(records.FULL_SCALE / "models" / f"{name}.keras")
        for name in NETWORKS
    }
    for network in networks.values():
        network.set_weights(export.rounded(network.get_weights()))
    return networks


@pytest.fixture(scope="module")
def page(kept, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    scripts = export.write(folder, kept, IMAGES.images[:10], IMAGES.labels[:10])
    garments = data.load("fashion-5k")
    some, trousers = garments.test.first(3), {"clothes": kept["undefended"]}
    names = {"classes": garments.class_names, "name": "clothes"}
    export.write(folder, trousers, some.images, some.labels, **names)
    export.copy_assets(folder)
    sources = ["engine.js", *(path.name for path in scripts), "lab.js"]
    tags = "".join(f'<script src="{name}"></script>' for name in sources)
    start = "<!doctype html><title>lab</title><script>var labData = { networks: {} };</script>"
    (folder / "index.html").write_text(f'{start}{tags}<div class="lab" id="lab"></div>')
    with open_browser() as browser:
        opened = browser.new_page()
        opened.set_default_timeout(120_000)  # a busy machine is no fault
        opened.goto((folder / "index.html").as_uri())
        yield opened


def in_page(page: Page, name: str, **attack: object) -> list[dict[str, list[float]]]:
    images = IMAGES.images.reshape(COUNT, -1).tolist()
    defaults = {"target": -1, "randomStart": False, "epsilon": EPSILON}
    found = page.evaluate(RUN, [name, images, IMAGES.labels.tolist(), {**defaults, **attack}])
    return list(found)


def signs(network: keras.Model, dtype: str) -> np.ndarray:
    """Return the signs of Keras's gradient in some precision."""
    config = network.get_config()
    for layer in config["layers"]:
        layer["config"]["dtype"] = dtype
    precise = keras.Sequential.from_config(config)
    precise.set_weights(network.get_weights())
    images = tf.constant(IMAGES.images, dtype)
    with tf.GradientTape() as tape:
        tape.watch(images)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
            IMAGES.labels, precise(images, training=False)
        )
    return np.sign(tape.gradient(losses, images).numpy())


@pytest.mark.parametrize("name", NETWORKS)
def test_logits_are_those_of_keras(page, kept, name):
    expected = kept[name](IMAGES.images).numpy()
    found = np.array([row["logits"] for row in in_page(page, name, steps=0)])
    assert np.abs(found - expected).max() <= 1e-3 * np.abs(expected).max()
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).all()


@pytest.mark.parametrize("name", NETWORKS)
def test_fgsm_moves_the_pixels_that_the_book_moves(page, kept, name):
    rows = in_page(page, name, steps=1, stepSize=EPSILON)
    found = np.array([row["image"] for row in rows]).reshape(IMAGES.images.shape)
    expected = attacks.perturb(kept[name], Attack("fgsm", EPSILON), IMAGES.images, IMAGES.labels)
    apart = np.abs(found - expected) > 1e-5
    # Where a derivative is 0 to rounding, its sign is whatever the order of sums makes of it:
    # there Keras in float32 and in float64 disagree as well.
    by_rounding = signs(kept[name], "float32") != signs(kept[name], "float64")
    assert apart.mean() <= max(2 * by_rounding.mean(), 1e-4)
    sure = kept[name](IMAGES.images).numpy()
    margin = np.partition(sure, -2, axis=1)
    undecided = margin[:, -1] - margin[:, -2] < 10  # elsewhere the softmax is saturated
    assert apart[undecided].mean() < 0.01


@pytest.mark.parametrize("name", NETWORKS)
def test_pgd_reaches_what_the_book_reaches(page, kept, name):
    attack = Attack("pgd", 0.2, step_size=0.02, steps=20, random_start=False)
    rows = in_page(page, name, steps=20, stepSize=0.02, epsilon=0.2)
    images = attacks.perturb(kept[name], attack, IMAGES.images, IMAGES.labels)
    expected = kept[name](images).numpy().argmax(axis=1)
    found = np.argmax([row["after"] for row in rows], axis=1)
    right = expected == IMAGES.labels
    assert ((found == IMAGES.labels) == right).mean() >= 0.96
    moved = np.array([row["image"] for row in rows]).reshape(IMAGES.images.shape) - IMAGES.images
    assert np.abs(moved).max() <= 0.2 + 1e-6


def test_a_targeted_step_goes_towards_the_target(page, kept):
    before = in_page(page, "undefended", steps=0)
    after = in_page(page, "undefended", steps=1, stepSize=EPSILON, target=8)

    def share(row: dict[str, list[float]]) -> float:
        powers = np.exp(np.array(row["after"]) - max(row["after"]))
        return float(powers[8] / powers.sum())

    nearer = [share(one) > share(other) for one, other in zip(after, before, strict=True)]
    assert np.mean(nearer) > 0.9


PICTURE = ["labimports", "labparams", "labload", "labreading", "labshares", "labtold", "labstory"]
"""The cells of the lab that make the picture of the first page."""


@pytest.mark.parametrize(
    ("name", "instead", "words"),
    [
        ("undefended", "hardened", "the undefended network misreads it"),
        ("split_pgd", "undefended", "the defended one reads it"),
        ("split_pgd", "hardened", "and misreads a fresh one"),
    ],
)
def test_another_network_stops_the_picture_of_the_first_page(name, instead, words, monkeypatch):
    true = records.network
    monkeypatch.setattr(records, "network", lambda kept: true(instead if kept == name else kept))
    cells = read(REAL_BOOK.source / "lab.ipynb", NO_CONVERT).cells
    found = [cell for cell in cells if cell.id in PICTURE]
    assert [cell.id for cell in found] == PICTURE
    namespace: dict[str, object] = {}
    with pytest.raises(facts.FactError, match=words):
        for cell in found:
            exec(compile(cell.source, cell.id, "exec"), namespace)


class TestExport:
    def test_weights_come_back_as_they_were_rounded(self, kept):
        network = kept["undefended"]
        described = export.description(network)
        flat = np.frombuffer(base64.b64decode(described["weights"]), "<f2").astype(np.float32)
        expected = np.concatenate([weight.ravel() for weight in network.get_weights()])
        np.testing.assert_array_equal(flat, expected)
        kinds = [layer["kind"] for layer in described["layers"]]
        assert kinds == ["conv", "pool", "conv", "pool", "dense", "dense"]

    @pytest.mark.parametrize(
        "layer",
        [
            keras.layers.AveragePooling2D(2),
            keras.layers.Conv2D(2, 3, activation="relu"),
            keras.layers.Conv2D(2, 3, padding="same", activation="tanh"),
            keras.layers.Conv2D(2, 3, padding="same", strides=2),
            keras.layers.BatchNormalization(),
        ],
        ids=["average", "valid", "tanh", "strides", "normalisation"],
    )
    def test_what_the_page_cannot_compute_is_named(self, layer):
        network = keras.Sequential([keras.Input((28, 28, 1)), layer])
        with pytest.raises(ValueError, match=layer.name):
            export.description(network)

    def test_the_filters_that_were_trained_are_found(self, kept):
        changed = export.changed_filters(kept["split_pgd"], kept["undefended"])
        assert [len(layer) for layer in changed] == [4, 7]

    def test_scripts_are_json(self, kept, tmp_path):
        scene, script = export.write(
            tmp_path, {"one": kept["undefended"]}, IMAGES.images[:2], [3, 4], dominant=[[1], [2]]
        )
        content = json.loads(scene.read_text().removeprefix("labData.scene = ").rstrip(";\n"))
        assert content["labels"] == [3, 4]
        assert content["dominant"] == [[1], [2]]
        assert "classes" not in content
        assert script.name == "network-one.js"


class TestScene:
    @pytest.fixture
    def scene(self, page):
        page.evaluate("location.hash = ''; document.getElementById('lab').dataset.scene = ''")
        page.evaluate("Lab.mount(document.getElementById('lab'))")
        page.wait_for_selector("#lab[data-ready]")
        return page

    def until_ready(self, page: Page) -> None:
        page.wait_for_selector("#lab:not([aria-busy])")

    def test_it_shows_something_at_once(self, scene):
        assert scene.locator("#lab .lab-verdict").first.inner_text().startswith("reads")
        assert scene.locator("#lab .lab-responses").count() == 2

    def test_the_keyboard_alone_attacks(self, scene):
        scene.locator("#lab select").nth(1).focus()
        scene.keyboard.press("ArrowDown")  # from FGSM to PGD
        self.until_ready(scene)
        assert "attack=pgd" in scene.evaluate("location.hash")

    def test_a_drawing_is_read(self, scene):
        pad = scene.locator("#lab .lab-pad")
        pad.focus()
        for key in (" ", "ArrowDown", " ", "ArrowDown", " "):
            scene.keyboard.press(key)
        self.until_ready(scene)
        assert "What was drawn counts as" in scene.locator("#lab .lab-status").inner_text()

    def test_an_address_brings_the_scene_back(self, scene):
        scene.evaluate("location.hash = 'scene=lab&image=4&attack=none&epsilon=0.2'")
        scene.evaluate("Lab.mount(document.getElementById('lab'))")
        scene.wait_for_selector("#lab:not([aria-busy])")
        assert scene.locator("#lab input[type=radio]:checked").get_attribute("value") == "4"
        assert scene.locator("#lab select").nth(1).input_value() == "none"

    def test_a_drawing_in_a_corner_is_moved_to_the_middle(self, scene):
        scene.locator("#lab .lab-draw button").click()
        self.until_ready(scene)
        box = scene.locator("#lab .lab-pad").bounding_box()
        scene.mouse.move(box["x"] + 12, box["y"] + 12)
        scene.mouse.down()
        scene.mouse.move(box["x"] + 20, box["y"] + 20)
        scene.mouse.up()
        scene.wait_for_function("location.hash.includes('drawn=')")
        drawn = scene.evaluate("new URLSearchParams(location.hash.slice(1)).get('drawn')")
        pixels = np.frombuffer(base64.b64decode(drawn), "u1").reshape(28, 28).astype(float)
        for axis in (0, 1):
            middle = (pixels.sum(axis=1 - axis) @ np.arange(28)) / pixels.sum()
            assert middle == pytest.approx(13.5, abs=1)

    def test_a_waiting_scene_starts_where_its_picture_was_taken(self, page):
        said = [scenes.Reading("undefended", "3", 1.0, True)]
        state = {"image": 3, "attack": "none", "left": "undefended", "right": "undefended"}
        image = IMAGES.images[3]
        html = scenes.scene("small", state, image, image, said, parts="epsilon")
        page.evaluate("html => document.body.insertAdjacentHTML('beforeend', html)", html)
        small = page.locator("#small")
        assert small.locator("img").count() == 3
        assert "undefended reads 3 (100%), right" in small.inner_text()
        page.evaluate("Lab.mount(document.getElementById('small'))")
        page.wait_for_selector("#small[data-ready]")
        assert small.locator("select, input[type=radio]").count() == 0
        assert small.locator("input[type=range]").count() == 2  # epsilon, and the hidden film's
        assert small.locator(".lab-reader").count() == 1

    def test_a_scene_may_have_images_and_networks_of_its_own(self, page):
        state = {"image": 1, **dict.fromkeys(("against", "left", "right"), "clothes")}
        html = scenes.scene("worn", state, IMAGES.images[1], IMAGES.images[1], [], images="clothes")
        page.evaluate("html => document.body.insertAdjacentHTML('beforeend', html)", html)
        page.evaluate("Lab.mount(document.getElementById('worn'))")
        page.wait_for_selector("#worn[data-ready]")
        worn = data.load("fashion-5k")
        labels = worn.test.first(3).labels
        names = [f"{worn.class_names[label]}, image {at}" for at, label in enumerate(labels, 1)]
        choices = page.locator("#worn .lab-strip input")
        assert [choice.get_attribute("aria-label") for choice in choices.all()] == names
        assert page.locator("#worn select").first.locator("option").all_inner_texts() == ["clothes"]
        assert page.locator("#worn .lab-responses").count() == 2
