"""The networks are the paper's, their training is repeatable, their outputs are logits."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from pydantic import ValidationError

from lib.evidence import paper
from lib.stages import data, models
from tests.helpers import shared_tiny_model, tiny_model, tiny_split

SHORT = models.Training("mnist-tiny", "shallow", max_epochs=1)
fit = models.fit.__wrapped__  # without the cache


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("LIB_CACHE", str(tmp_path))


@pytest.fixture(scope="module")
def short():
    return fit(SHORT)


def same_weights(some, others):
    return all(np.array_equal(a, b) for a, b in zip(some, others, strict=True))


class TestArchitecture:
    @pytest.mark.parametrize(
        ("architecture", "parameters"),
        [("shallow", 55_594), ("base", 120_042), ("dense", 130_410)],
    )
    def test_parameters(self, architecture, parameters):
        assert models.build(architecture).count_params() == parameters

    def test_base_is_table_1_layer_by_layer(self):
        layers = [
            (
                type(layer).__name__,
                " x ".join(map(str, layer.output.shape[1:])),
                layer.count_params(),
            )
            for layer in models.build("base").layers
        ]
        assert layers == list(paper.table(1).itertuples(index=False, name=None))

    @pytest.mark.parametrize(
        ("architecture", "filters"),
        [("shallow", [16, 32]), ("base", [32, 64]), ("dense", [32, 64, 128])],
    )
    def test_conv_layers(self, architecture, filters):
        layers = models.conv_layers(models.build(architecture))
        assert [layer.filters for layer in layers] == filters

    def test_an_unknown_name_is_refused(self):
        with pytest.raises(ValidationError, match="'shallow', 'base'"):
            models.Training("mnist-tiny", "huge")

    @pytest.mark.parametrize("field", ["patience", "batch_size", "max_epochs"])
    def test_counts_start_at_one(self, field):
        with pytest.raises(ValidationError, match=field):
            models.Training("mnist-tiny", "base", **{field: 0})


class TestTraining:
    def test_learns(self):
        images, labels = tiny_split(200).images, tiny_split(200).labels
        untrained = models.build("shallow")
        assert models.accuracy(untrained, images, labels) < 0.3
        assert models.accuracy(shared_tiny_model(), images, labels) > 0.7

    def test_one_seed_gives_bit_identical_weights(self, short):
        keras.utils.set_random_seed(99)  # what other code did before
        again = fit(SHORT)
        assert same_weights(short.weights, again.weights)
        assert short.history == again.history

    def test_another_seed_gives_other_weights(self, short):
        other = fit(models.Training(**vars(SHORT) | {"seed": 1}))
        assert not any(
            np.array_equal(a, b) for a, b in zip(short.weights, other.weights, strict=True)
        )

    def test_history_has_a_value_an_epoch(self, short):
        assert set(short.history) == {"accuracy", "loss", "val_accuracy", "val_loss"}
        assert {len(values) for values in short.history.values()} == {1}

    def test_uses_the_paper_s_optimizer_and_a_loss_of_logits(self):
        model = models.build("shallow")
        models.compile_for_training(model, 0.001)
        assert isinstance(model.optimizer, keras.optimizers.RMSprop)
        assert float(model.optimizer.learning_rate) == pytest.approx(0.001)
        assert model.loss.get_config()["from_logits"]
        assert (SHORT.learning_rate, SHORT.patience) == (0.001, 2)


class TestEarlyStopping:
    def misled(self, monkeypatch, share):
        """Shift some of the validation digits by one: learning then raises their loss."""
        tiny = data.load("mnist-tiny")
        shifted = tiny.validation.labels.copy()
        shifted[: int(share * len(shifted))] += 1
        validation = data.Examples(tiny.validation.images, shifted % 10)
        monkeypatch.setattr(data, "load", lambda name: replace(tiny, validation=validation))
        return validation

    def fitted(self, patience, max_epochs):
        return fit(
            models.Training(
                "mnist-tiny", "shallow", batch_size=32, patience=patience, max_epochs=max_epochs
            )
        )

    @pytest.mark.parametrize(("patience", "max_epochs"), [(2, 20), (9, 3)])
    def test_keeps_the_best_epoch(self, monkeypatch, patience, max_epochs):
        validation = self.misled(monkeypatch, share=1)
        weights, history = self.fitted(patience, max_epochs)
        values = history["val_accuracy"]
        best = values.index(max(values))
        assert values[-1] < values[best]  # or the test would show nothing
        assert len(values) == min(best + 1 + patience, max_epochs)
        model = models.build("shallow")
        model.set_weights(weights)
        accuracy = models.accuracy(model, validation.images, validation.labels)
        assert accuracy == pytest.approx(values[best])

    def test_goes_by_accuracy_not_by_loss(self, monkeypatch):
        self.misled(monkeypatch, share=0.75)
        _, history = self.fitted(patience=1, max_epochs=3)
        losses, values = history["val_loss"], history["val_accuracy"]
        assert losses[1] > losses[0]
        assert values[1] > values[0]
        assert len(values) == 3  # by loss it would be 2


class TestTrained:
    @pytest.fixture
    def no_second_training(self, monkeypatch):
        """Train once; any further training fails."""
        fit_once = keras.Sequential.fit

        def fit(self, *arguments, **options):
            monkeypatch.setattr(keras.Sequential, "fit", None)
            return fit_once(self, *arguments, **options)

        monkeypatch.setattr(keras.Sequential, "fit", fit)

    def test_equal_trainings_share_one_model(self, no_second_training, monkeypatch):
        training = models.Training("mnist-tiny", "shallow", seed=7, max_epochs=1)
        model = models.trained(training)
        assert models.trained(models.Training(**vars(training))) is model
        from_disk = models.trained.__wrapped__(training)
        assert from_disk is not model
        assert same_weights(from_disk.get_weights(), model.get_weights())
        assert same_weights(models.fit(training).weights, model.get_weights())


class TestPrediction:
    def test_outputs_are_logits(self):
        logits = models.predict_logits(shared_tiny_model(), tiny_split(50).images)
        assert logits.shape == (50, 10)
        assert logits.dtype == np.float32
        assert logits.min() < 0
        assert logits.max() > 1

    def test_loss_of_the_logits_is_that_of_training(self, short):
        # With a softmax at the end, or a loss that expects one, the two would differ.
        tiny = data.load("mnist-tiny").validation
        model = models.build("shallow")
        model.set_weights(short.weights)
        logits = models.predict_logits(model, tiny.images).astype(np.float64)
        of_truth = logits[np.arange(len(tiny)), tiny.labels]
        loss = np.mean(np.log(np.exp(logits).sum(axis=1)) - of_truth)
        assert short.history["val_loss"] == [pytest.approx(loss, rel=1e-4)]

    def test_dropout_is_off(self):
        images = tiny_split(50).images
        with_dropout = tiny_model(dropout=0.9)
        assert not np.allclose(with_dropout(images, training=True), with_dropout(images))
        np.testing.assert_array_equal(
            models.predict_logits(with_dropout, images),
            models.predict_logits(tiny_model(dropout=0.0), images),
        )

    def test_the_size_of_a_batch_does_not_count(self, monkeypatch):
        images = tiny_split(50).images
        at_once = models.predict(shared_tiny_model(), images)
        monkeypatch.setattr(models, "PREDICTION_BATCH", 7)
        np.testing.assert_array_equal(models.predict(shared_tiny_model(), images), at_once)

    def test_accuracy_is_the_share_of_correct_digits(self):
        split = tiny_split(20)
        digits = models.predict(shared_tiny_model(), split.images)
        labels = digits.copy()
        labels[:5] = (labels[:5] + 1) % 10
        assert models.accuracy(shared_tiny_model(), split.images, labels) == 0.75
