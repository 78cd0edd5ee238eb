"""The data sets, one a file: ``name_of_it.py`` is the data set ``name-of-it``.

A file has ``CLASS_NAMES``, ``SOURCE`` (where the images come from, and their licence) and a
function ``load()``, which returns the images for training and validation, and those for the test,
as :class:`lib.stages.data.Examples`. Cached results depend on the code of the file, so the sums of
its arrays stand there.
"""
