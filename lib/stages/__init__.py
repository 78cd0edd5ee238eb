"""The paper, stage by stage: data, networks, attacks, filters, splitting, training, evaluation."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow: it greets on import
