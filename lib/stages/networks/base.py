"""The base network of the paper's Table 1 (120,042 parameters)."""

ORDER = 2
OF_THE_PAPER = True
FILTERS = (32, 64)
