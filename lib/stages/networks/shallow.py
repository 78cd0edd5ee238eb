"""The shallow network of the paper's section 3.3 (55,594 parameters)."""

ORDER = 1
FILTERS = (16, 32)
