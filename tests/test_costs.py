"""The counts are those of the graphs that TensorFlow runs."""

import keras
import pytest
import tensorflow as tf
from tensorflow.python.framework import ops

from lib.bench import costs, steps
from lib.evidence import bills
from lib.fast import fused
from lib.stages import models, splitting

COUNTED = ("Conv2D", "Conv2DBackpropInput", "Conv2DBackpropFilter", "MatMul")
CHOICES = {
    "base": ((1, 4, 9, 30), (0, 5, 6, 7, 20, 40, 63)),
    "dense": ((3, 9), (1, 2, 60), (0, 5, 100, 127)),
}
EVERY_CHOICE = pytest.mark.parametrize(
    ("architecture", "choice"), CHOICES.items(), ids=list(CHOICES)
)


def counted_in_graph(graph):
    """Return the multiply-adds that TensorFlow counts in what leads to a graph's outputs."""
    to_visit, run = [tensor.op for tensor in graph.outputs], {}
    while to_visit:
        operation = to_visit.pop()
        if operation.name not in run:
            run[operation.name] = operation
            to_visit += [tensor.op for tensor in operation.inputs]
    return sum(
        ops.get_stats_for_node_def(graph, operation.node_def, "flops").value / 2
        for operation in run.values()
        if operation.type in COUNTED
    )


def counted_in_step(model):
    """Return the multiply-adds of a training step on one image."""

    @tf.function
    def gradients(images, labels):
        with tf.GradientTape() as tape:
            logits = model(images, training=True)
            loss = keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
        return tape.gradient(loss, [weight.value for weight in model.trainable_weights])

    example = tf.zeros((1, 28, 28, 1)), tf.zeros(1, tf.int64)
    return counted_in_graph(gradients.get_concrete_function(*example).graph)


@EVERY_CHOICE
class TestMultiplyAdds:
    def test_of_the_whole_model(self, architecture, choice):
        model = models.build(architecture)
        counts = costs.step_multiply_adds(model, choice, "whole")
        assert counts.drop(columns="layer").to_numpy().sum() == counted_in_step(model)

    @pytest.mark.parametrize("way", ["parallel", "gathered"])
    def test_of_parallel_layers(self, architecture, choice, way):
        model = models.build(architecture)
        counts = costs.step_multiply_adds(model, choice, way)
        expected = counted_in_step(steps.SPLIT[way](model, choice))
        assert counts.drop(columns="layer").to_numpy().sum() == expected

    def test_a_mask_saves_nothing(self, architecture, choice):
        model = models.build(architecture)
        whole, mask = (costs.step_multiply_adds(model, choice, way) for way in ("whole", "mask"))
        assert whole.equals(mask)

    def test_the_selective_layer_saves_both_kinds_of_gradients(self, architecture, choice):
        model = models.build(architecture)
        whole, selective = (
            costs.step_multiply_adds(model, choice, way).set_index("layer")
            for way in ("whole", "selective")
        )
        for layer, chosen in zip(models.conv_layers(model), choice, strict=True):
            # Of the third convolution's 7 x 7 places, pooling uses 6 x 6.
            used = 36 / 49 if layer.name == "conv3" else 1
            weights = whole.loc[layer.name, "weight gradients"] * len(chosen) / layer.filters
            assert selective.loc[layer.name, "weight gradients"] == weights * used
            assert selective.loc[layer.name, "forward"] == whole.loc[layer.name, "forward"] * used
        second = whole.loc["conv2", "input gradients"] * len(choice[0]) / model.layers[0].filters
        assert selective.loc["conv2", "input gradients"] == second

    def test_without_trainable_filters_only_the_dense_layers_cost(self, architecture, choice):
        model = models.build(architecture)
        nothing = tuple(() for _ in choice)
        for way in ("parallel", "selective"):
            counts = costs.step_multiply_adds(model, nothing, way).set_index("layer")
            assert counts.loc["dense1", "input gradients"] == 0
            assert counts.loc["logits", "input gradients"] > 0
            assert (counts.filter(like="conv", axis=0)["weight gradients"] == 0).all()


@pytest.mark.parametrize("architecture", ["shallow", "base"])
def test_all_ways_agree_if_every_filter_trains_and_every_place_is_used(architecture):
    model = models.build(architecture)
    everything = tuple(tuple(range(layer.filters)) for layer in models.conv_layers(model))
    assert costs.every_filter(model) == everything
    whole, *others = (costs.step_multiply_adds(model, everything, way) for way in costs.WAYS)
    assert all(whole.equals(counts) for counts in others)


@EVERY_CHOICE
def test_where_everything_trains_no_choice_counts(architecture, choice):
    model = models.build(architecture)
    everything = costs.every_filter(model)
    for way in costs.WHOLE:
        counts = costs.step_multiply_adds(model, choice, way)
        assert counts.equals(costs.step_multiply_adds(model, everything, way))
        assert costs.step_bytes(model, choice, way) == costs.step_bytes(model, everything, way)
    ours = costs.step_multiply_adds(model, everything, "selective")
    assert ours.equals(costs.step_multiply_adds(model, choice, "selective, all filters"))


def test_a_way_is_compared_with_the_whole_network_in_the_same_layers():
    assert set(bills.SAME_KERNEL) == set(costs.WAYS) - set(costs.WHOLE)
    assert set(bills.SAME_KERNEL.values()) == set(costs.WHOLE)
    ours = {way for way, whole in bills.SAME_KERNEL.items() if whole != "whole"}
    assert ours == {"selective"}


@pytest.mark.parametrize("architecture", ["shallow", "base", "dense"])
def test_an_attack_needs_as_much_backwards_as_forwards(architecture):
    model = models.build(architecture)
    logits = tf.function(lambda images: fused.logits(model, images))
    graph = logits.get_concrete_function(tf.zeros((1, 28, 28, 1))).graph
    assert costs.attack_multiply_adds(model) == 2 * counted_in_graph(graph)


def test_an_attack_needs_the_gradient_of_the_image():
    model = models.build("shallow")

    @tf.function
    def gradient(images, labels):
        with tf.GradientTape() as tape:
            tape.watch(images)
            loss = tf.nn.sparse_softmax_cross_entropy_with_logits(
                labels, fused.logits(model, images)
            )
        return tape.gradient(loss, images)

    example = tf.zeros((1, 28, 28, 1)), tf.zeros(1, tf.int64)
    graph = gradient.get_concrete_function(*example).graph
    assert costs.attack_multiply_adds(model) == counted_in_graph(graph)


def test_bytes_of_weights_and_optimizer():
    model, choice = models.build("base"), CHOICES["base"]
    trainable = splitting.trainable_parameters(splitting.parallel(model, choice))
    stored = {way: costs.step_bytes(model, choice, way) for way in costs.WAYS}
    assert stored["whole"]["weights"] == 4 * 120_042
    assert stored["whole"]["gradients and averages"] == 2 * 4 * 120_042
    assert stored["selective"]["gradients and averages"] == 2 * 4 * trainable
    assert stored["mask"]["weights"] == 4 * (120_042 + 832 + 18_496)


def test_activations_grow_with_the_batch_and_parallel_layers_keep_more():
    model, choice = models.build("base"), CHOICES["base"]
    activations = {
        way: costs.step_bytes(model, choice, way, batch=1)["activations"] for way in costs.WAYS
    }
    assert activations["selective"] < activations["whole"] < activations["parallel"]
    assert activations["parallel"] == activations["gathered"]
    twice = costs.step_bytes(model, choice, "whole", batch=2)["activations"]
    assert twice == 2 * activations["whole"]


def test_everything_that_is_counted_in_one_table():
    model, choice = models.build("base"), CHOICES["base"]
    counts = costs.counted(model, choice).set_index(["kind", "way", "part"])["value"]
    whole = costs.step_multiply_adds(model, choice, "whole")
    assert counts[costs.OPERATIONS, "whole", "output"] == whole["forward"].sum() / 1e6
    stored = costs.step_bytes(model, choice, "mask")
    assert counts[costs.MEMORY, "mask", "weights"] == stored["weights"] / 2**20
    assert set(counts.index.get_level_values("way")) == set(costs.WAYS)
