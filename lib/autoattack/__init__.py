"""AutoAttack itself (Croce and Hein 2020), the original code, on networks that the book keeps.

It is in PyTorch: ``pip install -e '.[autoattack]'`` brings it, and nothing else here needs it.
"""
