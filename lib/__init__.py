"""Mechanisms of the executable paper: one module a stage, imports in one direction.

``data -> models -> attacks -> filters -> splitting -> training -> evaluation -> plots``,
with the published numbers in ``paper`` and the site builder, which knows no machine
learning, in ``builder`` and ``cli``.
"""
