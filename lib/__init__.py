"""Mechanisms of the executable paper, in rooms; imports go one way.

``compute``: what is computed once (cache, provenance, sweeps, parameters). ``stages``: the paper,
from data to attackers who adapt. ``fast``: the same results sooner. ``evidence``: numbers and what
they mean. ``figures``: how they look. ``site``: runs chapters and renders pages. ``bench``: times
what the book says about speed. ``lab``: a live network in the page.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow: it greets on import
