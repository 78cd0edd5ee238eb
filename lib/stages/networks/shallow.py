"""The shallow network of the paper's section 3.3 (55,594 parameters)."""

ORDER = 1
OF_THE_PAPER = True
FILTERS = (16, 32)
