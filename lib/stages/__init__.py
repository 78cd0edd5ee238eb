"""The paper, stage by stage: data, networks, attacks, filters, splitting, training, evaluation."""

import os
import sys

from lib.compute import parameters

if "keras" not in sys.modules:
    os.environ["KERAS_BACKEND"] = "tensorflow"
    parameters.check_keras_file()

import keras

if keras.config.backend() != "tensorflow":
    raise ImportError(
        f"this book needs Keras on tensorflow, not on {keras.config.backend()}: the variable "
        "KERAS_BACKEND or the file keras.json, in KERAS_HOME or ~/.keras, says otherwise"
    )

# What a user's keras.json or variables say of these would change numbers without a word.
keras.config.set_floatx("float32")
keras.config.set_dtype_policy("float32")
keras.config.set_epsilon(1e-7)
keras.config.set_image_data_format("channels_last")
keras.config.set_max_epochs(None)
keras.config.set_max_steps_per_epoch(None)
