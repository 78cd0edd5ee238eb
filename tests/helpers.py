"""What several test modules need: one small network, trained once for all of them."""

from functools import cache

from lib.stages import data, models

TINY = models.Training("mnist-tiny", "shallow", batch_size=32, max_epochs=8)


@cache
def trained_weights():
    """Return the weights of the small network; the result cache is not touched."""
    return models.fit.__wrapped__(TINY).weights


def tiny_model(dropout=0.25):
    """Return a new network with the weights of the small one."""
    model = models.build("shallow", dropout)
    model.set_weights(trained_weights())
    return model


@cache
def shared_tiny_model():
    """Return the small network, the same object each time: do not change it."""
    return tiny_model()


def tiny_split(count):
    """Return the first test images of ``mnist-tiny``."""
    return data.load("mnist-tiny").test.first(count)
