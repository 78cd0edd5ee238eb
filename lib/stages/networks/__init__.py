"""The networks, one a file: ``name_of_it.py`` is the network ``name-of-it``.

A file has either ``FILTERS``, the filters of each block of convolution, ReLU, max-pooling and
dropout, for a network like the paper's, or a function ``build(dropout, hidden_units)``, which
returns any untrained Keras model from images to logits. With ``OF_THE_PAPER = True`` it is one of
the paper's, over which its tables and the chapters' sweeps go; any other is named to be used.
"""
