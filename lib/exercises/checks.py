"""What makes an answer right, for each exercise.

A check yields conditions, each with what is said if it does not hold; the first that does not is
told. Its first parameter is the answer, which its docstring describes; the others are names of the
chapter's notebook. Right is what these give, or what follows from a definition: no result of a run
is written down here.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

Conditions = Iterator[tuple[bool, str]]

CHAPTER = "Compare it with what the chapter's own cells give."


def _close(answer: Any, right: Any) -> bool:
    """Tell whether numbers are the same to a thousandth."""
    return bool(np.allclose(np.asarray(answer, float), np.asarray(right, float), 1e-3, 1e-9))


def exercise_1_1(answer: Any) -> Conditions:
    """a whole number."""
    yield answer != 128 * 3 * 3 * 64, "The biases are missing, one for each filter."
    yield answer != 128 * (3 * 3 + 1), "A filter sees all 64 maps of the layer below."
    yield (
        answer == 128 * (3 * 3 * 64 + 1),
        "Filters x (weights of a filter + 1): how many weights has one?",
    )


def exercise_1_2(answer: Any, fitted: Any, training: Any, models: Any) -> Conditions:
    """the history of `models.fit`, a list of values for each quantity."""
    yield answer != fitted.history, "This is the chapter's network, with dropout."
    right = models.fit(replace(training, dropout=0)).history
    yield answer["accuracy"] == right["accuracy"], "Change `dropout` to 0, and nothing else."


def exercise_1_3(answer: Any, models: Any, dataset: Any, images: Any) -> Conditions:
    """a frame with `mean` and `std` for each network."""
    answer = answer.set_index("model") if "model" in answer else answer
    yield {*answer.index} == {"shallow", "base"}, "One row for each of the two networks, by name."
    yield answer["mean"].max() <= 1, "Shares from 0 to 1, not per cent."
    yield answer["std"].max() > 0, "Three times the same seed gives three times the same network."
    for name in answer.index:
        networks = [models.trained(models.Training(dataset, name, seed)) for seed in range(3)]
        right = [models.accuracy(each, images.test.images, images.test.labels) for each in networks]
        yield (
            _close(answer["mean"][name], np.mean(right)),
            "Accuracies on all *test* images, not rounded, of the seeds 0, 1 and 2.",
        )
        yield (
            _close(answer["std"][name], np.std(right, ddof=1)),
            "`std` as pandas has it, of three accuracies that are not rounded.",
        )


def exercise_2_1(answer: Any, accuracy_under: Any, model: Any) -> Conditions:
    """a radius."""
    radii = (0.1, 0.15, 0.2, 0.25, 0.3)
    apart = [accuracy_under("fgsm", model, r) - accuracy_under("pgd", model, r) for r in radii]
    yield answer in radii, f"One of the radii {radii}."
    here = apart[radii.index(answer)]
    yield here > min(apart) or here == max(apart), "There they lie closest: take FGSM minus PGD."
    yield _close(here, max(apart)), "At another radius they lie farther apart."


def exercise_2_2(
    answer: Any, attacks: Any, models: Any, network: Any, batch: Any, seed: Any
) -> Conditions:
    """a dictionary: the accuracy at each radius."""

    def is_left(accuracy: float, steps: int, radius: float) -> bool:
        for start in (True, False):  # at random, or at the images as `pgd` above
            few = attacks.Attack("pgd", radius, steps=steps, random_start=start)
            moved = attacks.perturb(network, few, batch.images, batch.labels, seed=seed)
            if _close(accuracy, models.accuracy(network, moved, batch.labels)):
                return True
        return False

    yield {0.1, 0.2, 0.3} <= {*answer}, "Try 0.1, 0.2 and 0.3 at least."
    for radius, accuracy in answer.items():
        if not is_left(accuracy, 10, radius):
            many = is_left(accuracy, 40, radius)
            yield not many, f"At {radius} this is what 40 steps leave: say `steps=10`."
            yield False, f"At {radius}, ten steps against `batch` leave another share."


def exercise_2_3(answer: Any, batch: Any, epsilon: Any, by_hand: Any) -> Conditions:
    """images, as many as `batch` has."""
    moved, along = answer - batch.images, by_hand - batch.images
    yield moved.shape == batch.images.shape, "Move all images of `batch`."
    yield answer.min() >= 0 and answer.max() <= 1, "Pixels have to stay between 0 and 1: `np.clip`."
    yield abs(moved).max() > 0, "Nothing has moved."
    yield abs(moved).max() <= epsilon + 1e-6, "Some pixels moved by more than epsilon."
    free = (batch.images >= epsilon) & (batch.images <= 1 - epsilon)
    far = np.isclose(abs(moved[free]), epsilon, atol=1e-5)
    yield bool(far.all()), "Every pixel has to move by all of epsilon, as FGSM's do: draw signs."
    agree = float((np.sign(moved[free]) == np.sign(along[free])).mean())
    yield 0.4 < agree < 0.6, "These signs are not random: they follow the gradient."


def exercise_2_4(answer: Any, network: Any, batch: Any, epsilon: Any, gradient: Any) -> Conditions:
    """images, as many as `batch` has."""
    yield abs(answer - batch.images).max() <= epsilon + 1e-6, "Some pixels moved by too much."

    def equals(direction: int, labels: Any) -> bool:
        step = direction * epsilon * np.sign(gradient(network, batch.images, labels))
        return np.allclose(answer, np.clip(batch.images + step, 0, 1), atol=1e-5)

    yield not equals(1, batch.labels), "This is `fgsm` as it was: where does the target come in?"
    yield not equals(-1, batch.labels), "Down the true digit's slope helps the network: whose loss?"
    targets = [np.full_like(batch.labels, target) for target in range(10)]
    yield not any(equals(1, each) for each in targets), "This leads away from the target: go down."
    yield (
        any(equals(-1, each) for each in targets),
        "One step, down the slope of the target's loss.",
    )


def exercise_2_5(
    answer: Any, models: Any, dataset: Any, seed: Any, batch: Any, by_cleverhans: Any
) -> Conditions:
    """an accuracy, from 0 to 1."""
    other = models.trained(models.Training(dataset, "shallow", seed))
    pictures = {"clean": batch.images, "attacked": by_cleverhans}
    right = {
        name: models.accuracy(other, images, batch.labels) for name, images in pictures.items()
    }
    clean = _close(answer, right["clean"]) and not _close(*right.values())
    yield not clean, "This is its accuracy on clean images."
    yield _close(answer, right["attacked"]), "The images of `by_cleverhans`, read by `shallow`."


def exercise_3_1(
    answer: Any,
    evaluation: Any,
    attacks: Any,
    victim: Any,
    images_per_class: Any,
    success_by_rank: Any,
) -> Conditions:
    """nine numbers, the likeliest target's first."""
    yield len(answer) == 9, "Nine numbers, as `success_by_rank` returns them."

    def rates(method: str, loss_input: str = "logits") -> Any:
        budget = attacks.Attack(method, 0.1, loss_input=loss_input)
        targeted = evaluation.TargetedAttack(victim, budget, images_per_class)
        return success_by_rank(evaluation.targeted_predictions(targeted) == np.arange(10))

    right = rates("pgd")
    if not _close(answer, right):
        yield not _close(answer[::-1], right), "The likeliest target comes first."
        yield not _close(answer, rates("fgsm")), "This is FGSM."
        yield (
            not _close(answer, rates("pgd", "probabilities")),
            "This is the loss on probabilities.",
        )
        yield (
            False,
            "An attack as `reached` makes it, with 40 steps, at 0.1: which radius is yours?",
        )


def exercise_3_2(answer: Any) -> Conditions:
    """a function of ten logits and a target."""

    def softmax(scores: Any) -> Any:
        raised = np.exp(scores - scores.max())
        return raised / raised.sum()

    def loss(logits: Any, target: int) -> float:
        return -math.log(softmax(softmax(logits))[target])

    logits, target, step = np.random.default_rng(0).normal(size=10), 3, 1e-5
    slopes = [
        (loss(logits + step * way, target) - loss(logits - step * way, target)) / (2 * step)
        for way in np.eye(10)
    ]
    found, own = np.asarray(answer(logits, target)), np.eye(10)[target]
    outer = softmax(softmax(logits)) - own
    yield found.shape == (10,), "It has a number for each logit."
    yield not np.allclose(found, softmax(logits) - own), "This is the gradient of one softmax."
    yield not np.allclose(found, outer), "This is with respect to p: multiply by its Jacobian."
    diagonal = softmax(logits) * outer
    yield not np.allclose(found, diagonal), "The Jacobian's other part is missing: minus p_i p_j."
    yield not np.allclose(found, np.negative(slopes), atol=1e-6), "The other sign: t's loss falls."
    yield np.allclose(found, slopes, atol=1e-6), "It is not the slope of the loss: check by hand."


def exercise_3_3(answer: Any) -> Conditions:
    """a number."""
    runner_up = (math.e - 1) / (math.e + 9)  # the size of its bracket
    yield not _close(answer, runner_up / (1 + runner_up)), "The other way round: how many *times*?"
    yield not _close(answer, 1 / runner_up), "The target's bracket has a 1 too: q_t - 1 - q_s."
    right = (1 + runner_up) / runner_up
    yield abs(answer / right - 1) < 0.01, "What are q_s and q_t, if p is nearly e_s?"


def exercise_3_4(
    answer: Any, evaluation: Any, attacks: Any, victim: Any, epsilon: Any, images_per_class: Any
) -> Conditions:
    """which images are read as which class, as `reached` returns it."""
    yield np.shape(answer) == (10, images_per_class, 10), "Its shape is that of `reached`."
    budget = attacks.Attack("pgd", epsilon, loss_input="probabilities")

    def reached(victim: Any) -> Any:
        targeted = evaluation.TargetedAttack(victim, budget, images_per_class)
        return evaluation.targeted_predictions(targeted) == np.arange(10)

    if not np.array_equal(answer, reached(replace(victim, dropout=0, patience=20))):
        usual = np.array_equal(answer, reached(victim))
        yield not usual, "This is the chapter's network: train another."
        yield False, "PGD, `dropout=0, patience=20`, and the loss on probabilities."


def exercise_4_1(answer: Any) -> Conditions:
    """a number."""
    yield not _close(answer, 1 / 2), "The union is larger than either set: count it."
    yield not _close(answer, 1 / 4), "In the union a filter of both sets counts once."
    yield _close(answer, 1 / 3), "How many are in both, how many in either?"


def exercise_4_2(
    answer: Any, jaccard: Any, own_top: Any, changes: Any, response: Any
) -> Conditions:
    """a Jaccard index."""
    relative = changes[0] / np.maximum(response[0], 1e-6)
    right = jaccard(own_top(relative), own_top(changes[0]))
    yield _close(answer, right), "Divide `changes[0]` by `response[0]`, filter by filter."


def exercise_4_3(answer: Any, map_change: Any) -> Conditions:
    """a number for each pair and filter."""
    yield (
        np.shape(answer) == (len(map_change), map_change.shape[-1]),
        "One number a pair and filter.",
    )
    yield not np.allclose(answer, map_change.mean(axis=(1, 2))), "This is the mean."
    yield (
        np.allclose(answer, map_change.max(axis=(1, 2))),
        "Over height and width: the axes 1 and 2.",
    )


def exercise_4_4(
    answer: Any,
    filters: Any,
    attacks: Any,
    study: Any,
    fraction: Any,
    clean: Any,
    chosen: Any,
    network: Any,
) -> Conditions:
    """a ratio for each layer, of the dominant filters and of the frozen ones."""
    from lib.stages import training

    selection = filters.Selection(study, fraction)
    tuning = training.FineTuning(study.victim, study.attack, "mixed", selection)
    pairs, _, aims = attacks.with_all_targets(clean.per_class(2))
    aim = {"targeted": True, "seed": study.victim.seed}

    def disturbed(model: Any, victim: Any) -> Any:
        moved = attacks.perturb(victim, study.attack, pairs, aims, **aim)
        means = [each.mean(axis=0) for each in filters.output_changes(model, pairs, moved)]
        return [
            (mean[list(some)].mean(), np.delete(mean, list(some)).mean())
            for mean, some in zip(means, chosen, strict=True)
        ]

    tuned, before = training.defended(tuning), np.array(disturbed(network, network))
    yield np.shape(answer) == before.shape, "A row a layer; dominant and frozen as columns."
    after = disturbed(tuned, tuned)
    if not _close(answer, after / before):
        yield not _close(answer, before / after), "The other way round: after, over before."
        stale = disturbed(tuned, network) / before
        yield not _close(answer, stale), "These images were made before the defence: attack anew."
        yield False, "The mean change after, over that before, of two images a class."


def exercise_5_1(answer: Any, splitting: Any, model: Any, images: Any, models: Any) -> Conditions:
    """a network."""
    orders = [each.order for each in answer.layers if isinstance(each, splitting.ChannelOrder)]
    yield bool(orders), "Start from `splitting.gathered`, which has layers that restore the order."
    left = [order for order in orders if [*order] != sorted(order)]
    yield len(left) < len(orders), "Nothing is left out yet: the order is still restored."
    yield not left, "In all layers: some still restore the order."
    some = images.test.images[:100]
    changed = np.abs(models.predict_logits(answer, some) - models.predict_logits(model, some))
    yield changed.max() > 1e-3, "It computes what it computed before: was `order` changed in place?"


def exercise_5_2(
    answer: Any, evaluation: Any, fine_tuning: Any, example: Any, fraction: Any
) -> Conditions:
    """a dictionary: static accuracy by batch size."""
    yield len(answer) > 1, "Try several sizes."
    tuning = fine_tuning(example, "pgd", "mixed", fraction)
    for size, accuracy in answer.items():
        right = evaluation.defence_accuracy(replace(tuning, batch_size=size))
        clean = _close(accuracy, right["clean"]) and not _close(*[right[x] for x in right][:2])
        yield not clean, "This is clean accuracy."
        yield (
            _close(accuracy, right["static"]),
            f"At {size}: PGD, mixed images, the usual fraction.",
        )


def exercise_5_3(
    answer: Any,
    models: Any,
    attacks: Any,
    training: Any,
    fine_tuning: Any,
    dataset: Any,
    seed: Any,
    epsilon: Any,
    fraction: Any,
    images: Any,
) -> Conditions:
    """two accuracies: the undefended and the defended base network's."""
    names = ("shallow", "base")
    made_for = {name: models.Training(dataset, name, seed) for name in names}
    networks = [
        models.trained(made_for["base"]),
        training.defended(fine_tuning("base", "pgd", "mixed", fraction)),
    ]
    right = {}
    for name, victim in made_for.items():
        static = attacks.StaticSet(victim, attacks.Attack("pgd", epsilon), "test")
        pictures = attacks.craft(static)
        right[name] = [models.accuracy(one, pictures, images.test.labels) for one in networks]
    yield len(answer) == 2, "Two numbers: the undefended network's first."
    own = _close(answer, right["base"]) and not _close(*right.values())
    yield not own, "These images were made for the base network: take those for `shallow`."
    yield not _close(answer[::-1], right["shallow"]), "The undefended network's comes first."
    yield _close(answer, right["shallow"]), "Static PGD images, for `shallow`, of the test images."


def exercise_6_1(answer: Any, splitting: Any, models: Any, model: Any) -> Conditions:
    """a share of the parameters, from 0 to 1."""
    network = models.build(model)
    frozen = sum(layer.count_params() for layer in models.conv_layers(network))
    share = frozen / network.count_params()
    yield not _close(answer, 1 - share), "This is the share that trains."
    yield not _close(answer, 1), "The dense layers train in any case."
    yield _close(answer, share), "All parameters of the convolutions, of those of the network."


def exercise_6_2(answer: Any, models: Any, fine_tuning: Any, seeds: Any) -> Conditions:
    """a network."""
    before = models.fit(fine_tuning(seeds[0], "pgd", "mixed", 0).victim).weights
    after = answer.get_weights()
    yield len(after) == len(before), "Train the undefended network further, unsplit."
    moved = [not np.array_equal(a, b) for a, b in zip(after, before, strict=True)]
    yield any(moved), "Nothing has been trained."
    yield not any(moved[:-2]), "Layers before the last one have been trained, too."
    yield all(moved[-2:]), "The last layer has weights and biases: both train."


def exercise_6_3(answer: Any, models: Any, filters: Any, model: Any, tenth: Any) -> Conditions:
    """the chosen filters, a tuple for each layer."""
    counts = models.conv_filters(model)
    yield len(answer) == len(counts), "Some filters of each convolution."
    wanted = [filters.how_many(tenth, count) for count in counts]
    yield [len({*some}) for some in answer] == wanted, f"As many as are dominant: {wanted}."
    inside = all(0 <= min(some) <= max(some) < n for some, n in zip(answer, counts, strict=True))
    yield inside, "There are no such filters."
    first = all([*some] == [*range(len(some))] for some in answer)
    yield not first, "The first ones are not random."


def exercise_7_1(
    answer: Any,
    adaptive: Any,
    attacks: Any,
    models: Any,
    split_pgd: Any,
    test: Any,
    seed: Any,
) -> Conditions:
    """an accuracy, from 0 to 1."""
    network = adaptive.model_of(split_pgd)
    for steps, hint in ((40, ""), (1, "This is after one step: take all 40.")):
        small = attacks.Attack("pgd", 0.1, steps=steps)
        last = attacks.perturb(network, small, test.images, test.labels, seed=seed)
        left = _close(answer, models.accuracy(network, last, test.labels))
        if left:
            yield not hint, hint
            return
    yield False, "PGD at 0.1 against the defended network, with `test` and `seed`."


def exercise_7_2(
    answer: Any,
    adaptive: Any,
    fake: Any,
    epsilon: Any,
    attacked_images: Any,
    BUDGETS: Any,  # noqa: N803
) -> Conditions:
    """a dictionary: by scale, the accuracy under PGD and under APGD with the ratio."""
    yield len(answer) > 1, "Try several scales."
    for scale, pair in answer.items():
        masked = replace(fake, scale=scale)
        right = [
            adaptive.accuracy(adaptive.Evaluation(masked, rung, epsilon, attacked_images, budget))
            for rung, budget in (("pgd", None), ("apgd-dlr", BUDGETS["apgd-dlr"]))
        ]
        yield len(pair) == 2, "Two numbers for each scale."
        swapped = _close(pair[::-1], right) and not _close(*right)
        yield not swapped, "PGD's comes first."
        yield _close(pair, right), f"At {scale}: `replace(fake, scale=...)`, at the usual epsilon."
    yield max(answer) >= 100, "Try larger scales."


def exercise_7_3(
    answer: Any,
    adaptive: Any,
    split_pgd: Any,
    attacked_images: Any,
    many_steps: Any,
    restarts: Any,
    queries: Any,
) -> Conditions:
    """a dictionary: by rung, the numbers of the images that PGD alone misses."""
    budgets = adaptive.patient_budgets(0.1, many_steps, restarts, queries)

    def held(rung: str) -> Any:
        terms = (rung, 0.1, attacked_images, budgets.get(rung) if rung != "pgd" else None)
        return adaptive.withstood(adaptive.Evaluation(split_pgd, *terms))

    yield {*answer} >= {*adaptive.RUNGS} - {"pgd"}, "Ask every rung of `adaptive.RUNGS`."
    for rung, found in answer.items():
        right = np.flatnonzero(held("pgd") & ~held(rung))
        yield [*found] == [*right], f"{rung}: those that PGD leaves and it does not, at 0.1."


def exercise_8_1(answer: Any) -> Conditions:
    """two numbers: without a correction, and at most with one."""
    yield len(answer) == 2, "Two numbers."
    yield _close(answer[0], 3), "Each of the sixty has a chance of 5%."
    yield not _close(answer[1], 0.05), "Corrected within *each* test: there are five of them."
    yield _close(answer[1], 0.25), "At most 5% for all comparisons of a test together."


def exercise_8_2(answer: Any, intervals: Any) -> Conditions:
    """a number of images."""
    right = [intervals.paired(np.zeros((1, count))).within(0.01) for count in (answer, answer - 1)]
    yield right[0], "With so many the interval is still wider than a point on one side."
    yield not right[1], "Fewer are enough."


def exercise_8_3(answer: Any, filters: Any, arms: Any, seeds: Any) -> Conditions:
    """a number for each layer."""
    names = ("dominant filters", "random filters")
    both = [filters.choose(arms[name, 0, seeds[0]].selection) for name in names]
    yield len(answer) == len(both[0]), "A number for each convolution."
    right = [len({*a} & {*b}) for a, b in zip(*both, strict=True)]
    yield [*answer] == right, "Count the filters that both choices have, draw 0."


def exercise_9_1(
    answer: Any, adaptive: Any, fast: Any, defence: Any, attacked_images: Any, epsilon: Any
) -> Conditions:
    """the ladder's frame."""
    rungs, terms = ("clean", "fgsm", "pgd"), {"count": attacked_images, "epsilon": epsilon}
    found = answer.set_index("rung")["accuracy"].to_dict()
    yield {*rungs} <= {*found}, "The rungs `clean`, `fgsm` and `pgd`."
    one, several = (
        adaptive.ladder(each, rungs, **terms).set_index("rung")["accuracy"].to_dict()
        for each in (fast, defence)
    )
    yield found == one or found != several, "This is the network that trained with several steps."
    yield all(_close(found[rung], one[rung]) for rung in rungs), "`fast`, at the usual epsilon."


def exercise_9_2(answer: Any, hardening: Any, defence: Any) -> Conditions:
    """a dictionary: clean accuracy after each epoch, for `scratch` and for `victim`."""
    for start in ("scratch", "victim"):
        yield start in answer, f"`start` may be `{start}`, too."
        right = hardening.harden(replace(defence, growth=0.0, start=start)).history["clean"]
        yield [*answer[start]] == right, f"{start}: `growth=0.0`, and all else as in `defence`."


def exercise_9_3(
    answer: Any,
    arms: Any,
    DOMINANT: Any,  # noqa: N803
    arm_seeds: Any,
    arm_hidden_units: Any,
) -> Conditions:
    """a hardening, as `arms` has them."""
    usual = arms[DOMINANT, 0, arm_seeds[0], arm_hidden_units[0]]
    yield answer != usual, "Its dense layers train as well: `dense_layers=False`."
    yield (
        answer == replace(usual, dense_layers=False),
        "The arm of dominant filters, otherwise as it is.",
    )


def _share_of_step(costs: Any, network: Any, choice: Any) -> float:
    """Return what a selective step multiplies, as a share of the whole network's."""
    work = [
        costs.step_multiply_adds(network, choice, way).drop(columns="layer").sum().sum()
        for way in ("selective", "whole")
    ]
    return float(work[0] / work[1])


def exercise_10_1(
    answer: Any, costs: Any, network: Any, models: Any, model: Any, chosen: Any
) -> Conditions:
    """a share, from 0 to 1."""
    every = [range(count) for count in models.conv_filters(model)]
    share = partial(_share_of_step, costs, network)
    yield not _close(answer, share((every[0], (), *chosen[2:]))), "The *first* one is frozen."
    right = share(((), every[1], *chosen[2:]))
    yield _close(answer, right), "All of the second, none of the first."


def exercise_10_2(
    answer: Any, costs: Any, steps: Any, network: Any, model: Any, chosen: Any
) -> Conditions:
    """a fraction of the filters, in twentieths."""

    def share(fraction: float) -> float:
        return _share_of_step(costs, network, steps.some_filters(model, fraction))

    yield 0 <= answer <= 1, "A fraction lies between 0 and 1."
    yield share(answer) <= 0.5, "There a step takes more than half."
    yield share(answer + 0.05) > 0.5, "A larger one still takes no more than half."


def exercise_10_3(answer: Any, gradient: Any, own_step: Any, bills: Any) -> Conditions:
    """a ratio."""
    crafting = 10 * gradient * bills.BATCH
    some, every = own_step["selective"], own_step["selective, all filters"]
    yield not _close(answer, some / every), "The attack costs as well, in both."
    yield not _close(answer, (crafting + every) / (crafting + some)), "The other way round."
    one = (crafting / bills.BATCH + some) / (crafting / bills.BATCH + every)
    yield not _close(answer, one), "A step has a batch of images, each with ten gradients."
    yield (
        _close(answer, (crafting + some) / (crafting + every)),
        "Crafting and a step, over the same.",
    )


def exercise_11_1(answer: Any, intervals: Any) -> Conditions:
    """an interval."""
    one, other = intervals.Interval(0.06, 0.01, 0.11), intervals.Interval(0.03, -0.02, 0.08)
    right = intervals.apart(one, other)
    yield not _close(answer[:3], intervals.apart(other, one)[:3]), "The other way round."
    yield _close(answer[0], right[0]), "The estimate is the difference of the two effects."
    yield _close(answer[1:3], right[1:3]), "Each bound takes the half of either interval."


def exercise_11_2(answer: Any, curve: Any) -> Conditions:
    """a dictionary: for each share the largest radius, by data set."""
    yield {0.3, 0.5, 0.7} <= {*answer}, "Try 0.3, 0.5 and 0.7 at least."
    for share, found in answer.items():
        enough = curve[curve["value"] >= share].groupby("dataset")["epsilon"].max()
        yield dict(found) == enough.to_dict(), f"{share:g}: the largest radius that keeps as much."


def exercise_11_3(answer: Any, by_chance: Any) -> Conditions:
    """a mean Jaccard index."""
    yield not _close(answer, 0.5), "That is the share of one choice that the other has, too."
    yield abs(answer - np.mean(by_chance(32, 16))) < 0.01, "`by_chance` draws ten classes."


def exercise_12_1(answer: Sequence[str], claims: Any) -> Conditions:
    """the names of claims."""
    at = [claims.full_scale(margin) for margin in (0.003, 0.01, 0.03)]
    said = {
        name: {claims.judge(claim.as_measured, record).says for record in at}
        for name, claim in claims.ALL.items()
    }
    right = {name for name, verdicts in said.items() if len(verdicts) > 1}
    yield {*answer} <= {*claims.ALL}, "Names of `claims.ALL`."
    yield (
        {*answer} <= right,
        f"{min({*answer} - right, default='')} has the same verdict throughout.",
    )
    yield right <= {*answer}, "There are more of them."


def _static() -> Any:
    from lib.evidence import records

    arms = records.full_scale("controls")
    assert arms is not None
    return arms.query("test == 'static'").groupby("arm")["value"].mean()


def exercise_12_2(answer: Any) -> Conditions:
    """a share, from 0 to 1."""
    reads = _static()
    dominant, none = reads["dominant filters"], reads["undefended"]
    without = (dominant - reads["dense layers only"]) / (dominant - none)
    yield not _close(answer, without), "This is what is lost without them: the first question."
    right = (reads["dominant filters only"] - none) / (dominant - none)
    yield (
        _close(answer, right),
        "What they repair alone, of what they repair with the dense layers.",
    )


def exercise_12_3(answer: Any) -> Conditions:
    """a ratio of errors."""
    from lib.evidence import intervals, records

    rows = records.full_scale("table_10")
    assert rows is not None
    rows = rows.query("training == 'mixed' and test == 'static'")
    accuracy = rows.pivot_table("value", "seed", "fraction")
    other = intervals.error_ratio(accuracy[1.0], accuracy[0.1], 10_000).estimate
    yield not _close(answer, other), "The other way round: a tenth's errors, over those of all."
    right = intervals.error_ratio(accuracy[0.1], accuracy[1.0], 10_000).estimate
    yield _close(answer, right), "Errors, not accuracies, of FGSM, mixed images, static test."
