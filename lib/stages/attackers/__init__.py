"""The attackers, one a file: ``name_of_it.py`` is the rung ``name-of-it`` of the ladder.

A file has ``ATTACKER``, a :class:`lib.stages.threats.Attacker`, and its place in the ladder as
``ORDER``, the weakest first.
"""
