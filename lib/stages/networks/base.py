"""The base network of the paper's Table 1 (120,042 parameters)."""

ORDER = 2
FILTERS = (32, 64)
