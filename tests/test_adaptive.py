"""The ladder attacks what it says, within its budget, and its checks flag a planted fake."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from lib.stages import (
    adapters,
    adaptive,
    attacks,
    data,
    defences,
    evaluation,
    models,
    robustness,
    threats,
)
from lib.stages.adaptive import Budget, CarliniWagner, Evaluation, Masked, sanity
from lib.stages.attackers import static, transfer
from lib.stages.attacks import Attack
from lib.stages.filters import Selection, Study
from lib.stages.hardening import Hardening
from lib.stages.training import FineTuning
from tests.helpers import TINY

COUNT = 40
CHEAP = {
    "noise": Budget(queries=4),
    "transfer": Budget(steps=10, step_size=0.03),
    "square": Budget(queries=60),
    "fgsm": Budget(),
    "pgd": Budget(steps=10, step_size=0.03),
    "restarts": Budget(steps=12, step_size=0.03, restarts=2),
    "targeted": Budget(steps=5, step_size=0.05),
    "apgd-ce": Budget(steps=10),
    "apgd-dlr": Budget(steps=10),
    "fmn": Budget(steps=20),
}
FGSM = Attack("fgsm", 0.2)
DEFENDED = FineTuning(
    TINY, FGSM, "mixed", Selection(Study(TINY, FGSM, images_per_class=2), 0.1), epochs=1
)
HARDENED = Hardening(TINY, Attack("pgd", 0.1, 0.05, 4), start="victim", epochs=5, batch_size=32)


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIB_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(attacks, "BATCH", 32)
        yield


def attacked(rung, epsilon=0.08, defence=TINY, **budget):
    changed = replace(CHEAP.get(rung, Budget()), **budget)
    return Evaluation(defence, rung, epsilon, COUNT, changed)


def clean_verdict():
    test = data.load("mnist-tiny").test.first(COUNT)
    return models.predict(models.trained(TINY), test.images) == test.labels


class TestRungs:
    @pytest.mark.parametrize("rung", adaptive.RUNGS)
    def test_an_image_misread_without_attack_was_not_withstood(self, rung):
        verdict = adaptive.withstood(attacked(rung))
        assert verdict.shape == (COUNT,)
        assert not verdict[~clean_verdict()].any()
        assert (~clean_verdict()).any()

    @pytest.mark.parametrize("rung", adaptive.RUNGS)
    def test_without_a_radius_nothing_changes(self, rung):
        np.testing.assert_array_equal(adaptive.withstood(attacked(rung, 0)), clean_verdict())

    def test_attackers_with_gradients_go_beyond_noise(self):
        found = {rung: adaptive.accuracy(attacked(rung)) for rung in adaptive.RUNGS}
        assert found["clean"] >= found["noise"] > 0.7
        for rung in ("fgsm", "pgd", "restarts", "targeted", "apgd-ce", "apgd-dlr", "fmn"):
            assert found["noise"] - found[rung] > 0.19, rung  # 8 of 40 images at least
        assert found["square"] < found["noise"]
        assert found["restarts"] <= found["pgd"] <= found["fgsm"] + 0.05

    def test_the_static_rung_is_the_papers_test(self):
        whole = Evaluation(DEFENDED, "static", FGSM.epsilon)
        expected = evaluation.defence_accuracy(DEFENDED)["static"]
        right = adaptive.withstood(Evaluation(DEFENDED, "clean"))
        test = data.load("mnist-tiny").test
        static = attacks.craft(attacks.StaticSet(TINY, FGSM, "test"))
        read = models.predict(adaptive.model_of(DEFENDED), static) == test.labels
        assert read.mean() == expected
        np.testing.assert_array_equal(adaptive.withstood(whole), read & right)
        some = replace(whole, count=COUNT)
        np.testing.assert_array_equal(adaptive.withstood(some), (read & right)[:COUNT])

    def test_images_of_a_transfer_come_from_another_network(self):
        crafted = transfer.surrogate_set(attacked("transfer"))
        assert crafted.victim.seed != TINY.seed
        assert crafted.victim.architecture == TINY.architecture
        assert crafted.attack.steps == 10

    def test_the_insider_copies_the_recipe_with_another_seed(self):
        copy = defences.copy_of(DEFENDED)
        assert replace(copy, seed=None) == DEFENDED
        assert copy.seed != TINY.seed
        own, theirs = map(adaptive.model_of, (DEFENDED, copy))
        assert not np.array_equal(own.get_weights()[-1], theirs.get_weights()[-1])
        known = attacked("insider", 0.2, DEFENDED)
        right = adaptive.clean_examples(known).at(
            adaptive.withstood(attacked("clean", 0.2, DEFENDED))
        )
        images = attacks.perturb(theirs, known.pgd, right.images, right.labels, seed=TINY.seed)
        read = models.predict(own, images) == right.labels
        assert adaptive.withstood(known).sum() == read.sum()
        assert read.mean() < adaptive.accuracy(attacked("noise", 0.2, DEFENDED))
        assert defences.copy_of(HARDENED) == replace(HARDENED, seed=1)
        assert defences.copy_of(TINY) == replace(TINY, seed=1)
        assert defences.copy_of(Masked(TINY)) == TINY

    @pytest.mark.parametrize("rung", ["transfer", "insider", "pgd", "restarts", "targeted"])
    @pytest.mark.parametrize("epsilon", [0.01, 0.3, 1.0])
    def test_steps_suffice_to_cross_the_ball(self, rung, epsilon):
        attack = Evaluation(TINY, rung, epsilon).pgd
        assert attack.steps * attack.step_size >= 2 * epsilon
        assert attack.step_size == max(0.01, 2.5 * epsilon / attack.steps)
        patient = adaptive.patient_budgets(epsilon, 50, 2, 10)
        attack = Evaluation(TINY, rung, epsilon, budget=patient.get(rung)).pgd
        assert attack.steps * attack.step_size >= 2 * epsilon

    def test_the_papers_own_budget_stays_where_its_images_are_shown(self):
        assert static.static_set(attacked("static", 0.3)).attack == Attack("pgd", 0.3)
        assert Attack("pgd", 0.3).step_size == 0.01

    def test_noise_is_uniform_and_of_full_strength_in_turn(self, monkeypatch):
        changes = []

        def note(clean, noisy, epsilon):
            inner = (clean > epsilon) & (clean < 1 - epsilon)  # clipping spares these pixels
            changes.append(np.abs(noisy - clean)[inner])

        monkeypatch.setattr(attacks, "check", note)
        adaptive.withstood.__wrapped__(attacked("noise", queries=4))
        assert len(changes) == 4
        for uniform, full in (changes[:2], changes[2:]):
            assert uniform.mean() == pytest.approx(0.04, rel=0.1)
            np.testing.assert_allclose(full, 0.08, atol=1e-6)

    def test_pgd_is_aimed_at_the_defended_model(self):
        some = adaptive.clean_examples(attacked("pgd", defence=DEFENDED))
        model = adaptive.model_of(DEFENDED)
        right = models.predict(model, some.images) == some.labels
        expected = right.copy()
        expected[right] = robustness.robust(
            model, Attack("pgd", 0.08, 0.03, 10), some.images[right], some.labels[right]
        )
        found = adaptive.withstood(attacked("pgd", defence=DEFENDED))
        np.testing.assert_array_equal(found, expected)
        assert 0 < found.sum() < right.sum()

    def test_equal_evaluations_are_equal_values(self):
        plain = Evaluation(TINY, "restarts")
        assert plain == Evaluation(TINY, "restarts", budget=adaptive.BUDGETS["restarts"])
        assert adaptive.budget_in_words(plain) == "5 x 100 steps"
        assert adaptive.budget_in_words(Evaluation(TINY, "square")) == "1,000 queries"
        assert adaptive.budget_in_words(Evaluation(TINY, "apgd-ce")) == "20, then 3 x 100 steps"
        assert adaptive.budget_in_words(Evaluation(TINY, "fmn")) == "20, then 100 steps"


class TestArt:
    def test_is_given_logits_with_dropout_off(self):
        model = models.build("shallow", dropout=0.9)
        test = data.load("mnist-tiny").test.first(5)
        given = adapters.art_classifier(model).predict(test.images)
        np.testing.assert_allclose(given, models.predict_logits(model, test.images), atol=1e-5)
        assert given.min() < 0

    @pytest.mark.parametrize("rung", ["square", "apgd-ce", "apgd-dlr", "fmn"])
    def test_the_model_is_traced_once_for_all_batches(self, rung):
        class Counting(keras.Model):
            input_shape = (None, 28, 28, 1)
            traces = 0

            def call(self, images, training=False):
                self.traces += 1
                return honest(images, training=training)

        honest, model = models.trained(TINY), Counting()
        for count in (40, 7):
            some = data.load("mnist-tiny").test.first(count)
            threats.attacker(rung).withstood(model, attacked(rung, steps=5, queries=5), some)
        # Once for the attack, once to judge.
        assert model.traces == 2

    @pytest.mark.parametrize("rung", ["square", "apgd-ce", "apgd-dlr", "fmn"])
    def test_images_are_judged_within_the_ball_only(self, rung, monkeypatch):
        checked = []

        def note(clean, adversarial, epsilon):
            checked.append(np.abs(adversarial - clean).max(initial=0))
            return check(clean, adversarial, epsilon)

        check = attacks.check
        monkeypatch.setattr(attacks, "check", note)
        found = adaptive.withstood.__wrapped__(attacked(rung))
        assert found.sum() < clean_verdict().sum()
        assert 0.07 < max(checked) <= 0.08 + attacks.ROUNDING

    @pytest.mark.parametrize("rung", ["apgd-ce", "apgd-dlr"])
    def test_every_query_is_judged_not_the_last_one_alone(self, rung):
        class Kind:
            """Repeats the attack's first queries, then gives the clean image back."""

            def generate(self, images, labels):
                attack = adapters.apgd_attack(recorder.classifier, attacked(rung), 4)
                attack.generate(images, labels)
                recorder(images)
                return images

        some = data.load("mnist-tiny").test.first(COUNT)
        right = some.at(clean_verdict())
        recorder = adapters.QueryRecorder(models.shared_model(models.trained(TINY)))
        queries = recorder.first_misread(Kind(), right)
        attacks.check(right.images, queries.clip(0, 1), 0.08)
        found = models.predict(models.trained(TINY), queries) != right.labels
        moved = (queries != right.images).any(axis=(1, 2, 3))
        assert found.any()
        np.testing.assert_array_equal(found, moved)

    def test_an_attack_ends_when_nobody_is_left(self):
        right = clean_verdict()
        some = data.load("mnist-tiny").test.first(COUNT)
        easy = Evaluation(TINY, "apgd-ce", 0.4, COUNT, Budget(steps=1_000))
        asked = []

        class Counted(adapters.QueryRecorder):
            def __call__(self, images, training=False):
                asked.append(len(images))
                return super().__call__(images, training)

        recorder = Counted(models.shared_model(models.trained(TINY)))
        attack = adapters.apgd_attack(recorder.classifier, easy, 1_000)
        queries = recorder.first_misread(attack, some.at(right))
        assert (models.predict(models.trained(TINY), queries) != some.labels[right]).all()
        assert len(asked) < 200

    def test_more_restarts_find_no_less(self):
        once, thrice = (
            adaptive.withstood(attacked("apgd-ce", 0.05, steps=5, restarts=restarts))
            for restarts in (1, 3)
        )
        assert not (thrice & ~once).any()

    def test_its_draws_repeat(self):
        found = adaptive.withstood.__wrapped__(attacked("square"))
        np.testing.assert_array_equal(found, adaptive.withstood(attacked("square")))


class TestLadder:
    def test_the_worst_case_is_the_mean_of_minima(self):
        rungs = ("clean", "fgsm", "noise", "pgd")
        table = adaptive.ladder(TINY, rungs, count=COUNT, epsilon=0.08, budgets=CHEAP)
        verdicts = [adaptive.withstood(attacked(rung)) for rung in rungs]
        assert table["rung"].tolist() == list(rungs)
        assert table["accuracy"].tolist() == [verdict.mean() for verdict in verdicts]
        minima = [np.minimum.reduce(verdicts[:n]).mean() for n in range(1, 5)]
        assert table["worst case"].tolist() == minima
        assert table["budget"].tolist() == ["none", "1 step", "4 draws", "10 steps"]


class Rounded(keras.layers.Layer):
    """Knows few shades of grey, so that pixels that move a little move nothing."""

    def call(self, images):
        return keras.ops.round(images * 3) / 3 + 0 * images  # a gradient of zero, not none


class Shaken(keras.layers.Layer):
    """Moves every pixel at random whenever it is asked."""

    def __init__(self):
        super().__init__()
        self.seeds = keras.random.SeedGenerator(0)

    def call(self, images):
        return images + keras.random.uniform(keras.ops.shape(images), -0.5, 0.5, seed=self.seeds)


def checks(defence, epsilon):
    return adaptive.sanity_checks(
        defence, count=COUNT, epsilon=epsilon, epsilons=(epsilon, 0.4, 1.0), budgets=CHEAP
    ).set_index("check")


class TestSanity:
    @pytest.mark.parametrize("defence", [TINY, DEFENDED], ids=["undefended", "defended"])
    def test_an_honest_model_is_not_flagged(self, defence):
        table = checks(defence, 0.2)
        assert table["passed"].all(), table

    def test_what_is_left_must_withstand_twice_the_budget(self):
        table, taken = checks(DEFENDED, 0.08), []
        names = [
            "worst case: found by apgd-ce with twice the steps",
            "worst case: found by square with twice the queries",
        ]
        # The insider needs a copy of the defence; the checks hold it against no model.
        rungs = [*sanity.WITH_GRADIENTS, *sanity.BLACK_BOX]
        worst = adaptive.worst_case(DEFENDED, rungs, count=COUNT, epsilon=0.08, budgets=CHEAP)
        assert worst.any()
        for rung, what, name in zip(
            ("apgd-ce", "square"), ("steps", "queries"), names, strict=True
        ):
            budget = CHEAP[rung]
            twice = replace(budget, **{what: 2 * getattr(budget, what)})
            left = worst & adaptive.withstood(Evaluation(DEFENDED, rung, 0.08, COUNT, twice))
            assert table.loc[name, "value"] == worst.mean() - left.mean()
            taken.append(left)
        together = "worst case: found by all doublings together"
        assert table.loc[together, "value"] >= worst.mean() - np.logical_and(*taken).mean()
        assert table.loc[together, "value"] >= table.loc[names, "value"].max()

    def test_too_few_queries_are_noticed(self, monkeypatch):
        monkeypatch.setattr(sanity, "WITH_GRADIENTS", ("pgd",))
        monkeypatch.setattr(sanity, "BLACK_BOX", ("square",))
        few = CHEAP | {"pgd": Budget(steps=1, step_size=1e-4), "square": Budget(queries=64)}
        table = adaptive.sanity_checks(
            HARDENED, count=COUNT, epsilon=0.2, epsilons=(1.0,), budgets=few, doubled=["square"]
        ).set_index("check")
        assert not table.loc["worst case: found by square with twice the queries", "passed"]
        assert not any("apgd" in name for name in table.index)

    def test_a_hardened_network_is_checked_like_any_other(self):
        table = checks(HARDENED, 0.08)
        assert len(table) == 13
        assert table.loc["accuracy at epsilon 1", "value"] == 0
        assert table.loc["images without a gradient", "passed"]
        worst = adaptive.worst_case(HARDENED, count=COUNT, epsilon=0.08, budgets=CHEAP)
        full = adaptive.ladder(HARDENED, count=COUNT, epsilon=0.08, budgets=CHEAP)
        assert worst.mean() == full["worst case"].iloc[-1] > 0

    def test_a_planted_fake_is_flagged(self):
        fake = Masked(TINY)
        clean = [adaptive.withstood(Evaluation(one, "clean", count=COUNT)) for one in (TINY, fake)]
        np.testing.assert_array_equal(*clean)
        # It looks like a defence ...
        assert adaptive.accuracy(attacked("pgd", 0.2, fake)) > 0.5
        assert adaptive.accuracy(attacked("pgd", 0.2)) < 0.1
        # ... and is not.
        flagged = checks(fake, 0.2).query("not passed").index
        assert {
            "accuracy at epsilon 1",
            "images without a gradient",
            "found without gradients, not by PGD",
        } <= set(flagged)

    @pytest.mark.parametrize(
        ("layer", "misled", "sign"),
        [
            (Rounded(), "pgd", "images without a gradient"),
            (Shaken(), "square", "images read differently when asked again"),
        ],
        ids=["shattered gradients", "random input"],
    )
    def test_other_planted_fakes_are_flagged(self, layer, misled, sign, monkeypatch):
        fake = Masked(TINY, scale=float(len(sign)))  # stands for the model below
        honest = models.trained(TINY)
        model = keras.Sequential([keras.Input((28, 28, 1)), layer, *honest.layers])
        for module in (threats, sanity):
            monkeypatch.setattr(
                module,
                "model_of",
                lambda defence: model if defence == fake else defences.model_of(defence),
            )
        assert adaptive.accuracy(attacked("clean", 0.2, fake)) > 0.6
        # It looks like a defence against the attack that it misleads.
        assert adaptive.accuracy(attacked(misled, 0.2, fake)) > (
            adaptive.accuracy(attacked(misled, 0.2)) + 0.1
        )
        table = checks(fake, 0.2)
        assert not table.loc[sign, "passed"]
        assert checks(TINY, 0.2).loc[sign, "passed"]

    def test_a_vanishing_gradient_is_counted(self):
        assert adaptive.without_gradient(TINY, count=COUNT) == 0
        assert adaptive.without_gradient(Masked(TINY), count=COUNT) > 0.5
        assert adaptive.without_gradient(Masked(TINY, 1.0), count=COUNT) == 0


class TestCarliniWagner:
    def test_distances_are_those_of_adversarial_images(self):
        attack = CarliniWagner(TINY, 8, steps=40, step_size=0.1, searches=6, first_constant=0.1)
        distances = adaptive.l2_distances(attack)
        right = clean_verdict()[:8]
        assert (distances[~right] == 0).all()
        assert (distances[right] > 0.05).all()
        # An L-infinity ball of 0.2 around 28 x 28 pixels reaches to 5.6.
        assert np.median(distances[right]) < 3
        farther = adaptive.l2_distances(replace(attack, steps=10, searches=1))
        assert (distances <= farther + 1e-6).all()

    def test_what_is_not_found_is_infinitely_far(self):
        """A black image, which Foolbox returns then, is misread here and would look like a find."""
        hopeless = CarliniWagner(TINY, count=COUNT, steps=1, step_size=1e-6, searches=1)
        test = data.load("mnist-tiny").test.first(COUNT)
        black = models.predict(models.trained(TINY), np.zeros_like(test.images)) != test.labels
        right = clean_verdict()
        assert (black & right).any()
        distances = adaptive.l2_distances(hopeless)
        assert np.isinf(distances[right]).all()
        assert (distances[~right] == 0).all()
