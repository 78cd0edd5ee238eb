"""Criteria that compete: what they choose, that all pay alike, and that what is held stays."""

import inspect
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, get_args

import keras
import numpy as np
import pytest

from lib.compute.parameters import Criterion, RefusedError
from lib.stages import attacks, criteria, data, filters, hardening, models, threats
from lib.stages.attacks import Attack
from lib.stages.criteria import Assault, Contender
from lib.stages.filters import Selection, Study
from lib.stages.hardening import Hardening
from lib.stages.models import Training

VICTIM = Training("mnist-tiny", "shallow", batch_size=32, max_epochs=5)
HOW = Hardening(
    VICTIM, Attack("pgd", 0.1, 0.05, 2), start="victim", epochs=2, batch_size=32, growth=0
)
CHANGE = Contender(HOW, "change", images_per_class=1)


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIB_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def moved(contender: Contender) -> list[tuple[int, ...]]:
    """Return the filters of each convolution whose kernel or bias is no longer the victim's."""
    before, after = models.fit(VICTIM).weights, criteria.train(contender).weights
    changed = [
        (old != new).reshape(-1, old.shape[-1]).any(axis=0)
        for old, new in zip(before[:4], after[:4], strict=True)
    ]
    return [tuple(np.flatnonzero(changed[at] | changed[at + 1])) for at in (0, 2)]


def test_only_the_chosen_filters_change() -> None:
    (choice, *_), weights = criteria.train(CHANGE).choices, criteria.train(CHANGE).weights
    assert moved(CHANGE) == list(choice) == list(criteria.choose(CHANGE, models.trained(VICTIM)))
    dense = zip(models.fit(VICTIM).weights[4:], weights[4:], strict=True)
    assert all((old != new).any() for old, new in dense)


def test_chosen_again_the_filters_of_all_epochs_change_and_no_others() -> None:
    outcome = criteria.train(again := replace(CHANGE, criterion="random, again"))
    first, second = outcome.choices[:2]
    assert first != second
    assert first == criteria.choose(replace(CHANGE, criterion="random"), models.trained(VICTIM))
    assert moved(again) == [
        tuple(sorted({index for choice in outcome.choices for index in choice[layer]}))
        for layer in (0, 1)
    ]
    assert outcome.filters_trained() == sum(map(len, moved(again))) > sum(map(len, first))


def test_it_trains_as_hardening_does_that_trains_the_same_filters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    selection = Selection(Study(VICTIM, HOW.attack, 1), 0.1, "random")
    train = data.load("mnist-tiny").train
    whole = len(train) // 32 * 32
    images = data.load("mnist-tiny")
    monkeypatch.setattr(data, "load", lambda _: replace(images, train=train.first(whole)))
    monkeypatch.setattr(criteria, "choose", lambda *_: filters.choose(selection))
    ours = inspect.unwrap(criteria.train)(replace(CHANGE, criterion="random"))
    theirs = inspect.unwrap(hardening.harden)(replace(HOW, selection=selection))
    assert len(ours.choices) == HOW.epochs
    trained, old = ours.weights[2], models.fit(VICTIM).weights[2]
    moved_by = np.abs(trained - old).max()
    assert moved_by > 0.005
    for one, other in zip(ours.weights, theirs.weights, strict=True):
        assert np.abs(one - other).max() < moved_by / 20


@pytest.mark.parametrize("criterion", get_args(Criterion))
def test_nobody_takes_more_gradients_than_another(criterion: Criterion) -> None:
    contender = replace(CHANGE, criterion=criterion)
    epochs = criteria.steps_by_epoch(contender)
    of_a_step = 32 * (HOW.attack.steps + 1)
    spent = sum(epochs) * of_a_step + criteria.share_spent_on_choosing(
        contender
    ) * hardening.gradients(HOW)
    left = hardening.gradients(HOW) - spent
    room = of_a_step + (criteria.price(contender) if contender.chooses_again else 0)
    assert 0 <= left < room
    assert (criteria.price(contender) > 0) == (
        contender.measure in (*criteria.BY_CHANGE, "gradient")
    )


def test_a_choice_that_would_take_all_gradients_is_refused() -> None:
    with pytest.raises(ValueError, match="more epochs, or fewer images_per_class"):
        criteria.steps_by_epoch(replace(CHANGE, images_per_class=20))


def test_a_relative_change_does_not_prefer_what_is_loud() -> None:
    clean = [np.array([[10.0, 1.0, 0.0], [30.0, 1.0, 0.0]])]
    changes = [np.array([[4.0, 1.0, 9.0]])]
    assert criteria.relative(changes, clean)[0].tolist() == [[0.2, 1.0, 0.0]]


def test_a_filters_sensitivity_is_that_of_the_loss_to_its_weights() -> None:
    network = keras.models.clone_model(models.trained(VICTIM))
    network.set_weights(models.fit(VICTIM).weights)
    examples = data.load("mnist-tiny").validation.first(40)
    kernel = models.conv_layers(network)[0].kernel
    silenced = kernel.numpy()
    silenced[..., 0] = 0
    kernel.assign(silenced)
    found = criteria.sensitivities(network, examples.images, examples.labels)[0]
    assert found[0] == 0

    def loss() -> float:
        logits = models.predict_logits(network, examples.images).astype(float)
        peak = logits.max(axis=1, keepdims=True)
        total = np.log(np.exp(logits - peak).sum(axis=1)) + peak[:, 0]
        return float(np.mean(total - logits[range(len(logits)), examples.labels]))

    start, expected, step = kernel.numpy(), 0.0, 1e-2
    for place in np.ndindex(start.shape[:3]):
        by_side = []
        for side in (step, -step):
            turned = start.copy()
            turned[(*place, 3)] += side
            kernel.assign(turned)
            by_side.append(loss())
        expected += abs(start[(*place, 3)] * (by_side[0] - by_side[1]) / (2 * step))
    assert found[3] == pytest.approx(expected, rel=0.05)


def test_the_papers_criterion_is_its_measure_and_the_least_is_its_reverse() -> None:
    network, clean = models.trained(VICTIM), criteria.looked_at(CHANGE)
    images, _, targets = attacks.with_all_targets(clean)
    crafted = attacks.perturb(network, HOW.attack, images, targets, targeted=True, seed=VICTIM.seed)
    orders = [
        filters.ranking(layer, 0.1) for layer in filters.output_changes(network, images, crafted)
    ]
    least = criteria.choose(replace(CHANGE, criterion="least change"), network)
    for order, chosen, last in zip(orders, criteria.choose(CHANGE, network), least, strict=True):
        assert set(order[: len(chosen)]) == set(chosen)
        assert set(order[-len(last) :]) == set(last)


def test_criteria_look_at_no_test_image() -> None:
    validation = data.load("mnist-tiny").validation.images
    seen = {image.tobytes() for image in criteria.looked_at(CHANGE).images}
    assert seen <= {image.tobytes() for image in validation}


def test_an_attack_on_a_contender_is_the_one_on_any_network() -> None:
    clean, attacked = (
        criteria.withstood(Assault(CHANGE, rung, 20, threats.Budget(steps=5)))
        for rung in ("clean", "apgd-ce")
    )
    test = data.load("mnist-tiny").test.first(20)
    read = models.predict(criteria.network_of(CHANGE), test.images) == test.labels
    assert (clean == read).all()
    assert clean.any()
    assert (attacked <= clean).all()
    assert attacked.sum() < clean.sum()


@pytest.mark.parametrize("other", [{"start": "scratch"}, {"loss": "trades"}])
def test_all_start_from_trained_weights_and_have_the_same_loss(other: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="starts from trained weights"):
        Contender(replace(HOW, **other), "change")


def test_who_has_chosen_already_cannot_compete() -> None:
    with pytest.raises(ValueError, match="chooses its filters itself"):
        Contender(replace(HOW, selection=Selection(Study(VICTIM, HOW.attack), 0.1)), "change")


def test_a_network_with_branches_is_refused_by_name() -> None:
    victim = replace(VICTIM, architecture="residual")
    with pytest.raises(RefusedError, match="residual has branches"):
        inspect.unwrap(criteria.train)(replace(CHANGE, hardening=replace(HOW, victim=victim)))
