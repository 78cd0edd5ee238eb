"""Mechanisms of the executable paper: one module a stage, imports in one direction.

``data -> models -> attacks -> filters -> splitting -> training -> evaluation -> plots``, with the
published numbers in ``paper``. What goes beyond the paper follows them: ``adaptive`` attacks, and
``hardening`` against them. ``fused``, ``winograd``, ``selective`` and ``survivors`` make stages
fast; ``costs``, ``timing`` and ``bench`` say how fast. ``cache``, ``provenance``, ``sweeps`` and
``results`` compute once and keep what was computed; ``intervals`` says how sure it is. The site is
made by ``builder``, ``site``, ``theme`` and ``cli``, which know no machine learning.
"""
