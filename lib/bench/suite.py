"""Measures what the book says about speed, as ratios, and writes it down for the book to quote."""

import itertools
import json
import os
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, get_args

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from cleverhans.tf2.attacks.fast_gradient_method import fast_gradient_method
from cleverhans.tf2.attacks.projected_gradient_descent import projected_gradient_descent
from joblib.externals.loky import get_reusable_executor

from lib.bench import costs
from lib.bench.timing import Comparison, fresh_process, in_turn, in_words, machine
from lib.compute import sweeps
from lib.compute.parameters import Architecture, Dataset, Method
from lib.evidence import records
from lib.stages import adapters, attacks, data, filters, models, robustness, splitting
from lib.stages.attacks import Attack
from lib.stages.data import Examples, Images
from lib.stages.filters import FilterChoice

Section = Literal["step", "survivors", "crafting", "sweeps"]
SECTIONS: tuple[Section, ...] = get_args(Section)

RECORD = records.FULL_SCALE / "bench.json"
"""Where the measurements are that the book quotes."""

KERNELS_ONLY = "selective, all filters"
"""The selective layer when every filter trains: what its faster loops give by themselves."""

STEP_GOALS: dict[Architecture, float] = {"base": 0.6, "dense": 0.5}
"""Largest share of the whole model's step that a selective step should take."""

FRACTION = 0.1
EPSILON = 0.3
HARDLY_ANY = 0.01
"""An epsilon at which nearly every image withstands: the undefended model as a robust one."""


@dataclass(frozen=True)
class Scale:
    """How much is measured; the defaults take some minutes on two cores."""

    rounds: int = 7
    architectures: tuple[Architecture, ...] = ("shallow", "base", "dense")
    training_steps: int = 20
    dataset: Dataset = "mnist-5k"
    victim: Architecture = "base"
    images: int = 512
    attack_steps: int = 40
    batches: tuple[int, ...] = (32, 64, 256, 512)
    threads: tuple[int, ...] = (1, 2)
    epochs: int = 10
    """Of each training in a sweep; sweeps take long, so they have rounds of their own."""
    sweep_rounds: int = 3


QUICK = Scale(
    rounds=3,
    architectures=("shallow",),
    training_steps=1,
    dataset="mnist-tiny",
    victim="shallow",
    images=32,
    attack_steps=2,
    batches=(16,),
    threads=(1,),
    epochs=1,
    sweep_rounds=1,
)
"""Enough to see that everything runs, and nothing to quote."""


# --- A training step ----------------------------------------------------------------------


class MaskedRMSprop(keras.optimizers.RMSprop):
    """The paper's optimizer, with some gradients multiplied by zero first.

    Parameters
    ----------
    learning_rate
        As for RMSprop, where a gradient of zero changes nothing.
    masks
        Zeros and ones for each trainable weight, in its shape or one that broadcasts to it.
    """

    def __init__(self, learning_rate: float, masks: list[np.ndarray[Any, Any]]) -> None:
        super().__init__(learning_rate)
        self.masks = [tf.constant(mask, tf.float32) for mask in masks]

    def apply(self, grads: list[tf.Tensor], trainable_variables: Any = None) -> None:
        """Update the weights with the masked gradients."""
        masked = [gradient * mask for gradient, mask in zip(grads, self.masks, strict=True)]
        super().apply(masked, trainable_variables)


def some_filters(architecture: Architecture, fraction: float) -> FilterChoice:
    """Return as many filters of each layer as a fraction has, spread evenly.

    Which ones they are makes no difference to the time.
    """
    return tuple(
        tuple(np.linspace(0, count - 1, filters.how_many(fraction, count), dtype=int).tolist())
        for count in models.conv_filters(architecture)
    )


def _masks(model: keras.Model, choice: FilterChoice) -> list[np.ndarray[Any, Any]]:
    masks = [np.ones(weight.shape, np.float32) for weight in model.trainable_weights]
    for index, chosen in enumerate(choice):
        for mask in masks[2 * index : 2 * index + 2]:  # kernel and bias
            mask[...] = 0
            mask[..., list(chosen)] = 1
    return masks


def fine_tuned_in(
    way: str, original: keras.Model, choice: FilterChoice, learning_rate: float = 0.001
) -> keras.Model:
    """Return a model that is ready to fine-tune some filters of another in one of the ways.

    Parameters
    ----------
    way
        One of :data:`lib.bench.costs.WAYS`, or :data:`KERNELS_ONLY`, where no choice counts.
    original
        Of :func:`lib.stages.models.build`.
    choice
        The filters that train.
    learning_rate
        Of RMSprop, the paper's optimizer.
    """
    if way == KERNELS_ONLY:
        way = "selective"
        choice = tuple(tuple(range(layer.filters)) for layer in models.conv_layers(original))
    match way:
        case "parallel":
            model = splitting.parallel(original, choice)
        case "selective":
            model = splitting.selective(original, choice)
        case "whole" | "mask":
            model = keras.models.clone_model(original)
            model.set_weights(original.get_weights())
        case _:
            raise ValueError(f"ways are {', '.join(costs.WAYS)}, not {way!r}")
    models.compile_for_training(model, learning_rate)
    if way == "mask":
        model.optimizer = MaskedRMSprop(learning_rate, _masks(model, choice))
    return model


def training_steps(
    architecture: Architecture,
    *,
    fraction: float = FRACTION,
    steps: int = 10,
    batch: int = 128,
    rounds: int = 7,
) -> pd.DataFrame:
    """Time training steps of the four ways, and of the selective layer without selecting.

    Parameters
    ----------
    architecture
        The network, untrained: values do not change the time.
    fraction
        Share of each layer's filters that trains.
    steps
        Steps in one measurement, as ``fit`` takes them in training: rounded up to what it
        does between two returns to Python.
    batch
        Images in a step.
    rounds
        How often each way is timed.

    Returns
    -------
    pandas.DataFrame
        Seconds a step, one row a round, one column a way.
    """
    models.make_repeatable(0)
    original, choice = models.build(architecture), some_filters(architecture, fraction)
    random = np.random.default_rng(0)
    images = tf.constant(random.random((batch, 28, 28, 1), np.float32))
    labels = tf.constant(random.integers(0, data.CLASSES, batch))

    calls = -(-steps // models.STEPS_PER_CALL)

    def stepping(way: str) -> Callable[[], None]:
        model = fine_tuned_in(way, original, choice)
        model.train_on_batch(images, labels)  # makes the function that is timed
        batches = iter(tf.data.Dataset.from_tensors((images, labels)).repeat())

        def take_steps() -> None:
            for _ in range(calls):
                model.train_function(batches)

        return take_steps

    ways = {way: stepping(way) for way in (*costs.WAYS, KERNELS_ONLY)}
    return in_turn(ways, rounds) / (calls * models.STEPS_PER_CALL)


def compare_steps(scale: Scale) -> Iterator[Comparison]:
    """Compare a training step of the ways to fine-tune some filters."""
    for architecture in scale.architectures:
        seconds = training_steps(architecture, steps=scale.training_steps, rounds=scale.rounds)
        goal = STEP_GOALS.get(architecture)
        goals = {} if goal is None else {"selective": goal}
        yield Comparison("step", architecture, seconds, "whole", goals)


# --- Attacks ------------------------------------------------------------------------------


def _victim(scale: Scale) -> tuple[keras.Model, Examples]:
    images = data.load(scale.dataset).test
    model = models.trained(models.Training(scale.dataset, scale.victim))
    return model, images.first(min(scale.images, len(images)))


def compare_survivors(scale: Scale) -> Iterator[Comparison]:
    """Compare attacking survivors with CleverHans, which attacks every image to the last step.

    On a robust model hardly any image falls; a small epsilon makes the undefended model one.
    """
    model, images = _victim(scale)
    as_it_is = keras.Model(model.inputs, model.outputs)  # with TensorFlow's own gradient
    for case, epsilon, goal in (
        ("undefended model", EPSILON, 0.2),
        ("hardly any image falls", HARDLY_ANY, 1.0),
    ):
        attack = Attack("pgd", epsilon, steps=scale.attack_steps)

        def plain(attack: Attack = attack) -> None:
            found = attacks.perturb(as_it_is, attack, images.images, images.labels)
            models.predict(model, found)

        def drop_fooled(attack: Attack = attack) -> None:
            robustness.robust(model, attack, images.images, images.labels)

        def attack_one(attack: Attack = attack) -> None:
            # Where the plain attack seeds its random starts, TensorFlow forgets how functions
            # were set up: that is its own cost, and not that of the way that comes next.
            robustness.robust(model, attack, images.images[:1], images.labels[:1])

        ways = {"plain": plain, "survivors": drop_fooled}
        seconds = in_turn(ways, scale.rounds, before=attack_one)
        yield Comparison(
            "survivors", case, seconds, "plain", {"survivors": goal}, images=len(images)
        )


Crafter = Callable[[], Images]


def _in_batches(
    attack_batch: Callable[[tf.Tensor, tf.Tensor], tf.Tensor], images: Examples, batch: int
) -> Images:
    parts = [
        attack_batch(
            tf.constant(images.images[start : start + batch]),
            tf.constant(images.labels[start : start + batch]),
        ).numpy()
        for start in range(0, len(images), batch)
    ]
    return np.concatenate(parts)


def _cleverhans(model: keras.Model, attack: Attack) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Return CleverHans's attack as its tutorial calls it: no labels, no bounds."""
    if attack.method == "fgsm":
        return lambda images, _: fast_gradient_method(model, images, attack.epsilon, np.inf)
    return lambda images, _: projected_gradient_descent(
        model, images, attack.epsilon, attack.step_size, attack.steps, np.inf, rand_init=False
    )


def _foolbox(model: keras.Model, attack: Attack) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that PyTorch is not there
        from foolbox.attacks.fast_gradient_method import LinfFastGradientAttack
        from foolbox.attacks.projected_gradient_descent import LinfProjectedGradientDescentAttack

    wrapped = adapters.foolbox_model(model)
    if attack.method == "fgsm":
        method: Any = LinfFastGradientAttack(random_start=False)
    else:
        method = LinfProjectedGradientDescentAttack(
            abs_stepsize=attack.step_size, steps=attack.steps, random_start=False
        )
    return lambda images, labels: method(wrapped, images, labels, epsilons=attack.epsilon)[1]


def _art(model: keras.Model, attack: Attack) -> Callable[[Images, data.Labels], Images]:
    classifier = adapters.art_model(model, (28, 28, 1))
    from art.attacks import evasion

    common = {"eps": attack.epsilon, "batch_size": attacks.BATCH}
    if attack.method == "fgsm":
        method = evasion.FastGradientMethod(classifier, **common)
    else:
        method = evasion.ProjectedGradientDescentTensorFlowV2(
            classifier,
            eps_step=attack.step_size,
            max_iter=attack.steps,
            verbose=False,
            **common,
        )
    generate: Callable[[Images, data.Labels], Images] = method.generate
    return generate


def crafters(model: keras.Model, attack: Attack, images: Examples) -> dict[str, Crafter]:
    """Return the implementations of an attack, on the same images.

    Parameters
    ----------
    model
        Maps images to logits.
    attack
        Without a random start.
    images
        What they perturb.

    Returns
    -------
    dict
        Functions that return adversarial images: ``ours``, which is CleverHans with the true
        labels, bounds and a fused gradient; ``CleverHans`` as in its tutorial, so without all
        three; ``Foolbox`` and ``ART``.
    """
    cleverhans, foolbox = _cleverhans(model, attack), _foolbox(model, attack)
    art = _art(model, attack)
    return {
        "ours": lambda: attacks.perturb(model, attack, images.images, images.labels),
        "CleverHans": lambda: _in_batches(cleverhans, images, attacks.BATCH),
        "Foolbox": lambda: _in_batches(foolbox, images, attacks.BATCH),
        "ART": lambda: art(images.images, images.labels),
    }


def compare_crafting(scale: Scale) -> Iterator[Comparison]:
    """Compare the implementations of the attacks, then batches, pipelines and threads."""
    model, images = _victim(scale)
    methods: tuple[Method, ...] = ("fgsm", "pgd")
    for method in methods:
        attack = _attack(method, scale.attack_steps)
        # Enough of them for a measurement, few enough for forty steps.
        some = images if method == "fgsm" else images.first(min(attacks.BATCH, len(images)))
        seconds = in_turn(crafters(model, attack, some), scale.rounds)
        fastest = seconds.drop(columns="ours").median().idxmin()
        yield Comparison(
            "crafting", method.upper(), seconds, str(fastest), {"ours": 1.0}, images=len(some)
        )
    yield from _compare_batches(scale, model, images)
    yield from _compare_threads(scale, len(images))


def _attack(method: Method, steps: int) -> Attack:
    return Attack(method, EPSILON, steps=steps, random_start=False)


def _compare_batches(scale: Scale, model: keras.Model, images: Examples) -> Iterator[Comparison]:
    attack_batch = _cleverhans(model, _attack("pgd", max(1, scale.attack_steps // 4)))
    usual = f"batches of {attacks.BATCH}"

    def sliced(batch: int) -> Crafter:
        return lambda: _in_batches(attack_batch, images, batch)

    def prefetched() -> None:
        pipeline = tf.data.Dataset.from_tensor_slices((images.images, images.labels))
        for batch in pipeline.batch(attacks.BATCH).prefetch(tf.data.AUTOTUNE):
            attack_batch(*batch).numpy()

    ways: dict[str, Callable[[], object]] = {usual: sliced(attacks.BATCH)}
    ways |= {f"batches of {batch}": sliced(batch) for batch in scale.batches}
    ways["tf.data, prefetched"] = prefetched
    seconds = in_turn(ways, scale.rounds)
    yield Comparison("crafting", "batches", seconds, usual, images=len(images))


def _craft_untrained(scale: Scale, count: int) -> None:
    """Craft images against a new model: the weights make no difference to the time."""
    model = _untrained(scale.victim)
    images = data.load(scale.dataset).test.first(count)
    attack_batch = _cleverhans(model, _attack("pgd", max(1, scale.attack_steps // 4)))
    _in_batches(attack_batch, images, attacks.BATCH)


@cache
def _untrained(architecture: Architecture) -> keras.Model:
    return models.build(architecture)


def _compare_threads(scale: Scale, count: int) -> Iterator[Comparison]:
    def crafting_in(pool: ProcessPoolExecutor) -> Callable[[], None]:
        return lambda: pool.submit(_craft_untrained, scale, count).result()

    with ExitStack() as open_pools:
        ways = {"as TensorFlow chooses": crafting_in(open_pools.enter_context(fresh_process()))}
        for threads in scale.threads:
            pool = fresh_process(TF_NUM_INTRAOP_THREADS=str(threads), TF_NUM_INTEROP_THREADS="1")
            name = f"{threads} thread{'s' * (threads > 1)}, one operation at a time"
            ways[name] = crafting_in(open_pools.enter_context(pool))
        seconds = in_turn(ways, scale.rounds)
    yield Comparison("crafting", "threads", seconds, "as TensorFlow chooses", images=count)


def machine_rate(seconds: float = 1.0) -> dict[str, float]:
    """Measure how many operations a second the machine reaches where it has it easy.

    Parameters
    ----------
    seconds
        How long to measure each.

    Returns
    -------
    dict
        GFLOP/s, two operations a multiply-add: the median of a large ``convolution``, and of a
        ``matrix product``.
    """
    maps, kernel = tf.random.normal((128, 28, 28, 64)), tf.random.normal((3, 3, 64, 64))
    square = tf.random.normal((2048, 2048))
    work: dict[str, tuple[Callable[[], tf.Tensor], int]] = {
        "convolution": (
            lambda: tf.nn.conv2d(maps, kernel, 1, "SAME"),
            128 * 28 * 28 * 3 * 3 * 64 * 64,
        ),
        "matrix product": (lambda: tf.matmul(square, square), 2048**3),
    }
    rates = {}
    for name, (run, multiply_adds) in work.items():
        once = {name: lambda run=run: run().numpy()}
        times: list[float] = []
        while sum(times) < seconds:
            times += in_turn(once, 3)[name].tolist()
        rates[name] = 2 * multiply_adds / float(np.median(times)) / 1e9
    return rates


def share_of_machine(crafting: pd.DataFrame, scale: Scale) -> dict[str, float]:
    """Return the rate of our PGD, in GFLOP/s, beside that of the machine.

    Parameters
    ----------
    crafting
        The rows of :func:`compare_crafting`.
    scale
        What they were measured with.
    """
    ours = crafting[(crafting["case"] == "PGD") & (crafting["way"] == "ours")]
    per_image = costs.attack_multiply_adds(models.build(scale.victim)) * scale.attack_steps
    rate = 2 * per_image * float(ours["images_per_second"].item()) / 1e9
    rates = machine_rate()
    return {"PGD": rate, **rates, "share of the convolution": rate / rates["convolution"]}


# --- Sweeps -------------------------------------------------------------------------------


def sweep_units(scale: Scale, first_seed: int) -> list[models.Training]:
    """Return trainings of equal length, one a processor, with seeds that follow each other."""
    return [
        models.Training(
            scale.dataset,
            "shallow",
            seed=first_seed + number,
            max_epochs=scale.epochs,
            patience=scale.epochs,
        )
        for number in range(os.cpu_count() or 1)
    ]


def _sweep(scale: Scale, workers: int, first_seed: int) -> None:
    sweeps.run(models.fit, sweep_units(scale, first_seed), workers=workers)


def _end_workers() -> None:
    get_reusable_executor().shutdown(wait=True)


def _end_workers_of(pool: ProcessPoolExecutor) -> None:
    """End the processes of a sweep, which otherwise wait five minutes for more work."""
    pool.submit(_end_workers).result()


def compare_sweeps(scale: Scale) -> Iterator[Comparison]:
    """Compare one process that has all threads with as many processes as there are processors."""
    processors = os.cpu_count() or 1
    one, several = "one process, all threads", f"{processors} processes, one thread each"
    seeds = itertools.count(step=processors)  # nothing twice, so nothing from the cache

    def sweeping(pool: ProcessPoolExecutor, workers: int) -> Callable[[], None]:
        return lambda: pool.submit(_sweep, scale, workers, next(seeds)).result()

    with TemporaryDirectory() as folder, ExitStack() as open_pools:
        ways = {}
        for name, threads, workers in ((one, processors, 1), (several, 1, processors)):
            pool = fresh_process(TF_NUM_INTRAOP_THREADS=str(threads), LIB_CACHE=folder)
            ways[name] = sweeping(open_pools.enter_context(pool), workers)
            if workers > 1:
                open_pools.callback(_end_workers_of, pool)
        seconds = in_turn(ways, scale.sweep_rounds)
    yield Comparison("sweeps", "equal trainings", seconds, one)


# --- All of it ----------------------------------------------------------------------------

COMPARE: dict[Section, Callable[[Scale], Iterator[Comparison]]] = {
    "step": compare_steps,
    "survivors": compare_survivors,
    "crafting": compare_crafting,
    "sweeps": compare_sweeps,
}


def counts(architectures: tuple[Architecture, ...]) -> list[dict[str, Any]]:
    """Return multiply-adds for an image and bytes for a batch of the four ways."""
    rows = []
    for architecture in architectures:
        model, choice = models.build(architecture), some_filters(architecture, FRACTION)
        for way in costs.WAYS:
            step = costs.step_multiply_adds(model, choice, way).drop(columns="layer").sum()
            stored = costs.step_bytes(model, choice, way)
            rows.append(
                {
                    "case": architecture,
                    "way": way,
                    "multiply_adds": {name: int(value) for name, value in step.items()},
                    "bytes": stored,
                }
            )
    return rows


def measure(
    scale: Scale, sections: tuple[Section, ...] = SECTIONS, report: Callable[[str], None] = print
) -> dict[str, Any]:
    """Measure some sections, and report each comparison as soon as it is there.

    Returns
    -------
    dict
        What :func:`write` writes: ``machine``, ``scale``, ``rows`` as of
        :meth:`lib.bench.timing.Comparison.rows`, ``counts``, and ``gflops`` of crafting.
    """
    described = machine()
    report(f"{described['processor']}, {described['cores']} cores, load {described['load']}")
    frames: list[pd.DataFrame] = []
    gflops: dict[str, float] = {}
    for section in sections:
        of_section = []
        for comparison in COMPARE[section](scale):
            of_section.append(comparison.rows())
            report(in_words(of_section[-1]))
        frames += of_section
        if section == "crafting":
            gflops = share_of_machine(pd.concat(of_section), scale)
            report("\n".join(f"{name:>40}  {value:10.2f}" for name, value in gflops.items()))
    rows = pd.concat(frames, ignore_index=True)
    return {
        "machine": described,
        "scale": asdict(scale),
        "rows": json.loads(rows.to_json(orient="records", double_precision=6)),
        "counts": counts(scale.architectures),
        "gflops": {name: round(value, 4) for name, value in gflops.items()},
    }


def write(measured: dict[str, Any], path: Path = RECORD) -> None:
    """Write what was measured: the whole file, or the old one stays."""
    records.write(path, json.dumps(measured, indent=1) + "\n")


def recorded(path: Path = RECORD) -> dict[str, Any] | None:
    """Return what was measured for the book, or None if nothing was."""
    if not path.is_file():
        return None
    measured: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return measured
