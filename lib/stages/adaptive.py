"""Attackers who adapt: every attack is aimed at the defended model itself.

The rungs of a ladder, from noise to the strongest white-box attacks, and the checks that tell a
defence from one that only hides its gradients (Carlini et al. 2019; Athalye et al. 2018).
"""

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, get_args

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from lib.compute.cache import cached
from lib.compute.parameters import Count, Epsilon, Rung, Seed
from lib.fast import fused, survivors
from lib.stages import attacks, data, hardening, models, training
from lib.stages.attacks import Attack, StaticSet
from lib.stages.data import Images, Labels
from lib.stages.hardening import Hardening
from lib.stages.training import FineTuning

RUNGS: tuple[Rung, ...] = get_args(Rung)

MEANINGS: dict[Rung, str] = {
    "clean": "no attack",
    "noise": "random noise, uniform and of full strength",
    "static": "images crafted before the defence",
    "transfer": "images crafted on another undefended network",
    "square": "Square attack, no gradients",
    "fgsm": "FGSM",
    "pgd": "PGD",
    "restarts": "PGD, more steps and restarts",
    "targeted": "PGD at all nine other digits",
    "apgd-ce": "APGD, cross-entropy",
    "apgd-dlr": "APGD, ratio of logit differences",
    "fmn": "FMN, the smallest radius it can find",
}

BLACK_BOX: tuple[Rung, ...] = ("noise", "static", "transfer", "square")
"""Rungs that need no gradient of the model under attack."""

WHITE_BOX: tuple[Rung, ...] = ("fgsm", "pgd", "restarts")
"""Rungs that follow the gradient of the cross-entropy, which a masked gradient misleads."""

WITH_GRADIENTS: tuple[Rung, ...] = (*WHITE_BOX, "targeted", "apgd-ce", "apgd-dlr", "fmn")
"""All rungs that need gradients, also of losses that a saturated softmax does not mask."""

TOLERATED = 0.005
"""Share of the images by which a sanity check may be off; one image if that is more."""

ROUNDING = 1e-9

FMN_STEP = 100.0
"""L2 norm of the first step of FMN, the last is a hundredth of it: the ball cuts large ones."""

SURROGATE_EPOCHS = 4
"""An attacker's own network needs no last tenth of a per cent."""


@dataclass(frozen=True)
class Masked:
    """A planted fake defence: a trained network whose logits are multiplied.

    The softmax saturates, so that float32 gradients of the cross-entropy vanish. No prediction
    changes, and no image is any harder to find.
    """

    victim: models.Training
    scale: float = 1_000.0


Defence = models.Training | FineTuning | Hardening | Masked
"""What can be attacked: an undefended network, a defended one, a fake."""


@dataclass(frozen=True)
class Budget:
    """What an attacker may spend on an image; each rung uses what concerns it.

    Attributes
    ----------
    steps
        Of one run of an attack with gradients. A run of APGD or FMN with a fifth of them goes
        ahead, see :func:`run_lengths`.
    step_size
        Of PGD. APGD chooses its own, from ``2 * epsilon`` down.
    restarts
        Runs from new random starts (for targeted PGD, towards each digit). FMN has no random
        start, and so only one.
    queries
        Draws of noise, of which one suffices if the network misreads it, or steps of Square.
    """

    steps: Count = 40
    step_size: Epsilon = 0.01
    restarts: Count = 1
    queries: Count = 1


BUDGETS: dict[Rung, Budget] = {
    "noise": Budget(queries=20),
    "square": Budget(queries=1_000),
    "restarts": Budget(steps=100, restarts=5),
    "apgd-ce": Budget(steps=100, restarts=3),
    "apgd-dlr": Budget(steps=100, restarts=3),
    "fmn": Budget(steps=100),
}
"""Where a rung's default differs from that of :class:`Budget`."""


def patient_budgets(
    epsilon: Epsilon, steps: Count, restarts: Count, queries: Count
) -> dict[Rung, Budget]:
    """Return the budgets of the attackers that are not plain PGD, by rung.

    All steps of PGD together cross the ball, and more.
    """
    step_size = max(Budget().step_size, 2.5 * epsilon / steps)
    return {
        "square": Budget(queries=queries),
        "restarts": Budget(steps=steps, step_size=step_size, restarts=restarts),
        "apgd-ce": Budget(steps=steps, restarts=restarts),
        "apgd-dlr": Budget(steps=steps, restarts=restarts),
        "fmn": Budget(steps=steps),
    }


def run_lengths(budget: Budget, rung: Rung) -> list[int]:
    """Return the steps of each run of APGD or FMN.

    Their libraries attack to the last step whoever is fooled, so a short run goes ahead: the
    full ones are for the images that are left.
    """
    runs = 1 if rung == "fmn" else budget.restarts
    return [max(1, budget.steps // 5), *[budget.steps] * runs]


@dataclass(frozen=True)
class Assault:
    """One rung against one defence.

    Attributes
    ----------
    defence
        The model under attack.
    rung
        The attack.
    epsilon
        L-infinity radius.
    count
        The first so many test images; all if ``None``. MNIST's own are no random sample of its
        test set, see :meth:`lib.stages.data.Split.first`.
    budget
        That of :data:`BUDGETS` if not given.
    """

    defence: Defence
    rung: Rung
    epsilon: Epsilon = 0.3
    count: Count | None = None
    budget: Budget | None = None

    def __post_init__(self) -> None:
        """Fill in the budget: equal assaults are equal values."""
        if self.budget is None:
            object.__setattr__(self, "budget", BUDGETS.get(self.rung, Budget()))


def victim_of(defence: Defence) -> models.Training:
    """Return the undefended network that a defence starts from, or itself."""
    return defence if isinstance(defence, models.Training) else defence.victim


@lru_cache(maxsize=32)
def model_of(defence: Defence) -> Any:
    """Return the model of a defence, the same object each time: do not change it."""
    match defence:
        case FineTuning():
            return training.defended(defence)
        case Hardening():
            return hardening.hardened(defence)
        case Masked():
            honest = models.trained(defence.victim)
            scaled = keras.layers.Rescaling(defence.scale)
            return keras.Sequential([keras.Input(honest.input_shape[1:]), *honest.layers, scaled])
    return models.trained(defence)


def test_images(assault: Assault) -> data.Split:
    """Return the clean images that an assault is about."""
    test = data.load(victim_of(assault.defence).dataset).test
    return test if assault.count is None else test.first(assault.count)


test_images.__test__ = False  # type: ignore[attr-defined]  # no test, for all its name


def budget_in_words(assault: Assault) -> str:
    """Return what an assault spends on an image, for a table."""
    budget = _budget(assault)
    steps = f"{budget.steps:,} steps"
    runs = f"{budget.restarts} x {steps}" if budget.restarts > 1 else steps
    short = run_lengths(budget, assault.rung)[0]
    words: dict[Rung, str] = {
        "clean": "none",
        "noise": f"{budget.queries:,} draws",
        "static": "none of its own",
        "transfer": "none of its own",
        "square": f"{budget.queries:,} queries",
        "fgsm": "1 step",
        "targeted": f"9 x {runs}",
        "apgd-ce": f"{short:,}, then {runs}",
        "apgd-dlr": f"{short:,}, then {runs}",
        "fmn": f"{short:,}, then {steps}",
    }
    return words.get(assault.rung, runs)


def _budget(assault: Assault) -> Budget:
    return assault.budget or Budget()


def _seed(assault: Assault) -> Seed:
    return victim_of(assault.defence).seed


def _set_elsewhere(assault: Assault) -> StaticSet:
    """Return the adversarial images of an attacker who cannot reach the defended model.

    The surrogate of a transfer is undefended whatever it stands in for: an attacker who knows that
    there is a defence, but does not carry it out.
    """
    defence, victim = assault.defence, victim_of(assault.defence)
    if assault.rung == "transfer":
        surrogate = replace(victim, seed=victim.seed + 1, max_epochs=SURROGATE_EPOCHS)
        budget = _budget(assault)
        attack = Attack("pgd", assault.epsilon, budget.step_size, budget.steps)
        return StaticSet(surrogate, attack, "test", assault.count)
    method = defence.attack.method if isinstance(defence, FineTuning) else "pgd"
    # Of all test images, as the paper's tables need them: those are already in the cache.
    return StaticSet(victim, Attack(method, assault.epsilon), "test")


def _by_noise(model: Any, assault: Assault, split: data.Split) -> NDArray[np.bool_]:
    """Try uniform noise, and noise of full strength and random sign, in turn.

    An image is lost at the first draw that is misread, so the attacker must see the answers.
    """
    random = np.random.default_rng(_seed(assault))
    epsilon, left = assault.epsilon, np.arange(len(split))
    for query in range(_budget(assault).queries):
        shape = (len(left), *split.images.shape[1:])
        if query % 2:
            noise = random.choice(np.array([-epsilon, epsilon], np.float32), shape)
        else:
            noise = random.uniform(-epsilon, epsilon, shape).astype(np.float32)
        images = np.clip(split.images[left] + noise, 0, 1)
        left = _still_right(model, images, split, left, epsilon)
    return np.isin(np.arange(len(split)), left)


def _still_right(
    model: Any, images: Images, split: data.Split, left: NDArray[np.intp], epsilon: Epsilon
) -> NDArray[np.intp]:
    """Return the rows of ``left`` whose attacked image is still read correctly."""
    if not len(left):
        return left
    attacks.check(split.images[left], images, epsilon)
    right: NDArray[np.bool_] = models.predict(model, images) == split.labels[left]
    return left[right]


def _by_pgd(model: Any, assault: Assault, split: data.Split) -> NDArray[np.bool_]:
    budget = _budget(assault)
    attack = Attack("pgd", assault.epsilon, budget.step_size, budget.steps)
    if assault.rung == "fgsm":
        attack = Attack("fgsm", assault.epsilon)
    return survivors.robust(
        model,
        attack,
        split.images,
        split.labels,
        restarts=budget.restarts,
        seed=_seed(assault),
        targeted=assault.rung == "targeted",
    )


def foolbox_model(model: Callable[..., tf.Tensor]) -> Any:
    """Return a model as Foolbox wants it; the device is named, as its own search warns."""
    from foolbox.models.tensorflow import TensorFlowModel

    device = "/GPU:0" if tf.config.list_physical_devices("GPU") else "/CPU:0"
    return TensorFlowModel(model, bounds=(0, 1), device=device)


@lru_cache(maxsize=32)
def _called_by_others(model: Any) -> Callable[..., tf.Tensor]:
    """Return a model as other libraries call it, traced once for batches of any size."""
    images = tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)

    @tf.function(input_signature=[images])
    def logits(images: tf.Tensor) -> tf.Tensor:
        return fused.logits(model, images)

    def call(images: Any, training: bool = False) -> tf.Tensor:
        return logits(tf.cast(images, tf.float32))

    return call


def art_model(function: Callable[..., tf.Tensor], input_shape: tuple[int, ...]) -> Any:
    """Return a function from images to logits as the Adversarial Robustness Toolbox wants it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it misses PyTorch, and tqdm misses widgets
        from art.estimators.classification import TensorFlowV2Classifier
    return TensorFlowV2Classifier(
        model=function,
        nb_classes=data.CLASSES,
        input_shape=input_shape,
        loss_object=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        clip_values=(0.0, 1.0),
    )


@lru_cache(maxsize=32)
def art_classifier(model: Any) -> Any:
    """Return a model as ART wants it: logits, without dropout."""
    return art_model(_called_by_others(model), model.input_shape[1:])


class _AllMisreadError(Exception):
    """No image of the batch is left to attack."""


class Watched:
    """A model that judges each image that an attack asks it about.

    ART's APGD judges only its last step, and returns the random start where that one failed.
    This keeps the first misread query of each image, and ends the attack when all have one.

    Parameters
    ----------
    model
        Maps images to logits.
    """

    def __init__(self, model: Any) -> None:
        self.function = _called_by_others(model)
        self.classifier = art_model(self, model.input_shape[1:])
        self.labels: Labels | None = None
        self.found: Images = np.empty(0, np.float32)
        self.misread = np.empty(0, np.bool_)

    def __call__(self, images: Any, training: bool = False) -> tf.Tensor:
        """Return the logits of a batch, and judge it if it is the one under attack."""
        logits = self.function(images)
        # ART compiles its predictions of whole sets. The queries of an attack are eager.
        if self.labels is not None and tf.executing_eagerly():
            answers = tf.argmax(logits, axis=1).numpy()
            new = (answers != self.labels) & ~self.misread
            self.found[new] = np.asarray(images)[new]
            self.misread |= new
            if self.misread.all():
                raise _AllMisreadError
        return logits

    def queried(self, attack: Any, split: data.Split) -> Images:
        """Run an attack of ART, made for :attr:`classifier`, on images that are read correctly.

        Returns
        -------
        ndarray
            Of each image the first query that was misread; the image itself where none was.
        """
        found = split.images.copy()
        for start in range(0, len(split), attacks.BATCH):
            rows = np.arange(start, min(start + attacks.BATCH, len(split)))
            # ART leaves out whom it sees misread, and then no batch would fit the labels.
            answers = tf.argmax(self.function(split.images[rows]), axis=1).numpy()
            rows = rows[answers == split.labels[rows]]
            if not len(rows):
                continue
            images, labels = split.images[rows], split.labels[rows]
            self.found, self.labels = images.copy(), labels
            self.misread = np.zeros(len(rows), np.bool_)
            try:
                attack.generate(images, labels)
            except _AllMisreadError:
                pass
            finally:
                self.labels = None
            found[rows] = self.found
        return found


def _apgd(classifier: Any, assault: Assault, steps: Count) -> Any:
    from art.attacks.evasion import AutoProjectedGradientDescent

    losses = {"apgd-ce": "cross_entropy", "apgd-dlr": "difference_logits_ratio"}
    return AutoProjectedGradientDescent(
        classifier,
        norm=np.inf,
        eps=float(assault.epsilon),
        eps_step=2 * float(assault.epsilon),
        max_iter=steps,
        nb_random_init=1,
        loss_type=losses[assault.rung],
        batch_size=attacks.BATCH,
        verbose=False,
    )


def _by_apgd(model: Any, assault: Assault, split: data.Split) -> NDArray[np.bool_]:
    """Run ART's APGD from one random start after another, on the images that are left."""
    watched, left = Watched(models.stand_in(model)), np.arange(len(split))
    keras.utils.set_random_seed(_seed(assault))  # ART draws from NumPy's global generator
    for steps in run_lengths(_budget(assault), assault.rung):
        attack = _apgd(watched.classifier, assault, steps)
        images = watched.queried(attack, data.Split(split.images[left], split.labels[left]))
        left = _still_right(model, np.clip(images, 0, 1), split, left, assault.epsilon)
    return np.isin(np.arange(len(split)), left)


def _by_square(model: Any, assault: Assault, split: data.Split) -> NDArray[np.bool_]:
    """Run ART's Square, which accepts every query that is misread and then leaves the image."""
    from art.attacks.evasion import SquareAttack

    budget = _budget(assault)
    keras.utils.set_random_seed(_seed(assault))  # ART draws from NumPy's global generator
    attack = SquareAttack(
        art_classifier(models.stand_in(model)),
        norm=np.inf,
        eps=float(assault.epsilon),
        max_iter=budget.queries,
        p_init=0.8,
        batch_size=attacks.BATCH,
        verbose=False,
    )
    images = np.clip(attack.generate(split.images, split.labels), 0, 1)
    rows = np.arange(len(split))
    return np.isin(rows, _still_right(model, images, split, rows, assault.epsilon))


def _by_fmn(model: Any, assault: Assault, split: data.Split) -> NDArray[np.bool_]:
    """Look for the nearest misread image, and judge those that lie within the radius.

    The fast minimum-norm attack (Pintor et al. 2021) stands in for FAB, which ART lacks: like
    FAB it has no radius, and follows differences of logits. It keeps the best of all steps.
    """
    from foolbox.attacks.fast_minimum_norm import LInfFMNAttack

    wrapped = foolbox_model(_called_by_others(models.stand_in(model)))
    left = np.arange(len(split))
    for steps in run_lengths(_budget(assault), assault.rung):
        attack, images = LInfFMNAttack(steps=steps, max_stepsize=FMN_STEP), split.images[left]
        for start in range(0, len(left), attacks.BATCH):
            rows = slice(start, start + attacks.BATCH)
            clean, labels = images[rows], split.labels[left][rows]
            _, found, _ = attack(wrapped, tf.constant(clean), tf.constant(labels), epsilons=None)
            far = np.abs(found.numpy() - clean).max(axis=(1, 2, 3)) > assault.epsilon
            images[rows] = np.where(far[:, None, None, None], clean, found.numpy())
        left = _still_right(model, np.clip(images, 0, 1), split, left, assault.epsilon)
    return np.isin(np.arange(len(split)), left)


@cached
def withstood(assault: Assault) -> NDArray[np.bool_]:
    """Tell which test images a model reads correctly under an assault.

    Returns
    -------
    ndarray
        One truth value an image of :func:`test_images`. An image that is misread without any
        attack is not attacked, and counts as not withstood.
    """
    model, split = model_of(assault.defence), test_images(assault)
    verdict: NDArray[np.bool_] = models.predict(model, split.images) == split.labels
    rows = np.flatnonzero(verdict)
    if assault.rung == "clean" or assault.epsilon == 0 or not len(rows):
        return verdict
    right = data.Split(split.images[rows], split.labels[rows])
    match assault.rung:
        case "static" | "transfer":
            images = attacks.craft(_set_elsewhere(assault))[rows]
            left = _still_right(model, images, split, rows, assault.epsilon)
            verdict = np.isin(np.arange(len(split)), left)
        case "noise":
            verdict[rows] = _by_noise(model, assault, right)
        case "square":
            verdict[rows] = _by_square(model, assault, right)
        case "apgd-ce" | "apgd-dlr":
            verdict[rows] = _by_apgd(model, assault, right)
        case "fmn":
            verdict[rows] = _by_fmn(model, assault, right)
        case _:
            verdict[rows] = _by_pgd(model, assault, right)
    return verdict


def accuracy(assault: Assault) -> float:
    """Return the share of test images that a model reads correctly under an assault."""
    return float(withstood(assault).mean())


def ladder(
    defence: Defence,
    rungs: Sequence[Rung] = RUNGS,
    *,
    count: Count | None = None,
    epsilon: Epsilon = 0.3,
    budgets: Mapping[Rung, Budget] | None = None,
    run: Callable[..., Iterable[Any]] = map,
) -> pd.DataFrame:
    """Attack a defence with one rung after another.

    Parameters
    ----------
    defence
        The model under attack.
    rungs
        The attacks, in the order of the rows.
    count, epsilon
        As in :class:`Assault`.
    budgets
        Those that differ from :data:`BUDGETS`.
    run
        What computes the rungs: one after another, or :func:`lib.compute.sweeps.run`.

    Returns
    -------
    pandas.DataFrame
        One row a rung: ``rung``, ``budget``, ``accuracy``, and ``worst case``, the share of the
        images that withstood this rung and all rows above it.
    """
    assaults = [Assault(defence, rung, epsilon, count, (budgets or {}).get(rung)) for rung in rungs]
    verdicts = list(run(withstood, assaults))
    standing = np.logical_and.accumulate(verdicts)
    return pd.DataFrame(
        {
            "rung": rungs,
            "budget": map(budget_in_words, assaults),
            "accuracy": np.mean(verdicts, axis=1),
            "worst case": np.mean(standing, axis=1),
        }
    )


def epsilon_curve(
    defence: Defence, epsilons: Sequence[Epsilon], *, count: Count | None = None
) -> pd.DataFrame:
    """Return the accuracy under PGD for several radii, columns ``epsilon`` and ``accuracy``.

    The step grows with the radius: 40 steps of 0.01 could not cross a large ball.
    """
    rows = []
    for epsilon in epsilons:
        budget = Budget(step_size=max(Budget().step_size, epsilon / 10))
        rows.append((epsilon, accuracy(Assault(defence, "pgd", epsilon, count, budget))))
    return pd.DataFrame(rows, columns=["epsilon", "accuracy"])


def gradient_sizes(model: Any, split: data.Split) -> NDArray[np.float32]:
    """Return the largest derivative of the loss by a pixel, for each image, shape ``(n,)``."""
    sizes = []
    for start in range(0, len(split), attacks.BATCH):
        rows = slice(start, start + attacks.BATCH)
        images = tf.constant(split.images[rows])
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
                split.labels[rows], model(images, training=False)
            )
        gradients = np.abs(tape.gradient(losses, images).numpy())
        sizes.append(gradients.max(axis=(1, 2, 3)))
    return np.concatenate(sizes)


def without_gradient(defence: Defence, *, count: Count | None = None) -> float:
    """Return the share of correctly read test images that give an attacker no gradient.

    A derivative below the smallest normal float32 counts as none.
    """
    assault = Assault(defence, "clean", count=count)
    split, right = test_images(assault), withstood(assault)
    sizes = gradient_sizes(model_of(defence), data.Split(split.images[right], split.labels[right]))
    return float(np.mean(sizes < np.finfo(np.float32).tiny))


def worst_case(
    defence: Defence,
    rungs: Sequence[Rung] = RUNGS,
    *,
    count: Count | None = None,
    epsilon: Epsilon = 0.3,
    budgets: Mapping[Rung, Budget] | None = None,
) -> NDArray[np.bool_]:
    """Tell which test images a model reads correctly under each of some assaults.

    Parameters
    ----------
    defence, rungs, count, epsilon, budgets
        As in :func:`ladder`. Once no image is left, the other rungs are not run.

    Returns
    -------
    ndarray
        One truth value an image of :func:`test_images`.
    """
    standing = withstood(Assault(defence, "clean", epsilon, count))
    for rung in rungs:
        if standing.any():
            budget = (budgets or {}).get(rung)
            standing = standing & withstood(Assault(defence, rung, epsilon, count, budget))
    return standing


GROWING: dict[Rung, str] = {
    "square": "queries",
    "restarts": "restarts",
    "targeted": "steps",
    "apgd-ce": "steps",
    "apgd-dlr": "steps",
    "fmn": "steps",
}
"""What :func:`sanity_checks` doubles in the budget of a rung."""


def sanity_checks(
    defence: Defence,
    *,
    count: Count,
    epsilon: Epsilon = 0.3,
    epsilons: Sequence[Epsilon] = (0.1, 0.3, 0.5, 1.0),
    budgets: Mapping[Rung, Budget] | None = None,
    doubled: Sequence[Rung] = ("apgd-ce", "apgd-dlr", "square"),
) -> pd.DataFrame:
    """Check whether the attacks on a defence can be trusted to be strong.

    Parameters
    ----------
    defence
        The model under attack.
    count, epsilon, budgets
        As in :func:`ladder`.
    epsilons
        Radii of the curve, ascending; at the last one every image can be turned into any other.
    doubled
        Rungs of :data:`GROWING` which, with twice the budget, must take no more from the worst
        case over all rungs.

    Returns
    -------
    pandas.DataFrame
        One row a check: ``check``, ``value``, the ``limit`` that the value must not exceed, and
        ``passed``. All values are shares of the images. The limit forgives one image.
    """
    budgets = {**BUDGETS, **(budgets or {})}

    def under(rung: Rung, budget: Budget | None = None) -> NDArray[np.bool_]:
        return withstood(Assault(defence, rung, epsilon, count, budget or budgets.get(rung)))

    def twice(rung: Rung, what: str) -> NDArray[np.bool_]:
        budget = budgets.get(rung, Budget())
        return under(rung, replace(budget, **{what: 2 * getattr(budget, what)}))

    def under_all(*rungs: Rung) -> NDArray[np.bool_]:
        return worst_case(defence, rungs, count=count, epsilon=epsilon, budgets=budgets)

    def beyond(standing: NDArray[np.bool_], *others: NDArray[np.bool_]) -> float:
        """Return the share of the images standing that others than those who tried find."""
        return float(standing.mean() - np.logical_and.reduce([standing, *others]).mean())

    clean = float(under("clean").mean())
    curve = epsilon_curve(defence, epsilons, count=count)["accuracy"]
    patient, strongest = under("restarts"), WITH_GRADIENTS[::-1]
    values = {
        f"accuracy at epsilon {epsilons[-1]:g}": curve.iloc[-1],
        "rise of accuracy with epsilon": max(0.0, float(np.diff([clean, *curve]).max())),
        "images without a gradient": without_gradient(defence, count=count),
        "found without gradients, not by PGD": beyond(
            under_all(*WHITE_BOX), *map(under, BLACK_BOX)
        ),
        "found without gradients, by no rung with them": float(
            under_all(*strongest).mean() - under_all(*strongest, *BLACK_BOX).mean()
        ),
        "found by one step, not by many": beyond(under("pgd"), under("fgsm")),
        "PGD: found by twice the steps only": beyond(patient, twice("restarts", "steps")),
        "PGD: found by twice the restarts only": beyond(patient, twice("restarts", "restarts")),
    }
    worst = under_all(*strongest, *BLACK_BOX)
    for rung in doubled:
        # Of nothing nothing can be taken, so there is no need to try.
        values[f"worst case: found by {rung} with twice the {GROWING[rung]}"] = (
            beyond(worst, twice(rung, GROWING[rung])) if worst.any() else 0.0
        )
    frame = pd.DataFrame(values.items(), columns=["check", "value"])
    frame["limit"] = max(TOLERATED, 1 / count)
    frame["passed"] = frame["value"] <= frame["limit"] + ROUNDING
    return frame


@dataclass(frozen=True)
class CarliniWagner:
    """The attack of Carlini and Wagner (2017) for small L2 distances, as Foolbox has it.

    Attributes
    ----------
    defence
        The model under attack.
    count
        The first so many test images.
    steps, step_size
        Of Adam, in each search.
    searches
        Of the constant that weighs the two parts of the loss: tenfold until something is found,
        then by halves.
    first_constant
        Small, as the smallest constant that finds something gives the nearest image.
    """

    defence: Defence
    count: Count = 20
    steps: Count = 500
    step_size: float = 0.02
    searches: Count = 9
    first_constant: float = 0.01


@cached
def l2_distances(attack: CarliniWagner) -> NDArray[np.float32]:
    """Return the L2 distance to the nearest adversarial image that the attack finds.

    Returns
    -------
    ndarray
        Shape ``(count,)``: 0 where the image itself is misread, infinite where the attack finds
        none. Foolbox then returns a black image, which is no find, whatever the network reads in
        it.
    """
    from foolbox.attacks.carlini_wagner import L2CarliniWagnerAttack

    split = test_images(Assault(attack.defence, "clean", count=attack.count))
    model = model_of(attack.defence)
    found = L2CarliniWagnerAttack(
        binary_search_steps=attack.searches,
        steps=attack.steps,
        stepsize=attack.step_size,
        initial_const=attack.first_constant,
    )
    _, images, _ = found(
        foolbox_model(_called_by_others(models.stand_in(model))),
        tf.constant(split.images),
        tf.constant(split.labels),
        epsilons=None,
    )
    images = images.numpy()
    distances = np.linalg.norm((images - split.images).reshape(len(split), -1), axis=1)
    fooled = models.predict(model, images) != split.labels
    nothing = ~images.any(axis=(1, 2, 3))
    distances[nothing | ~fooled] = np.inf
    distances[models.predict(model, split.images) != split.labels] = 0
    nearest: NDArray[np.float32] = distances.astype(np.float32)
    return nearest
