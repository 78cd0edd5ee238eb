"""The dense network of the paper's section 3.3 (130,410 parameters)."""

ORDER = 3
OF_THE_PAPER = True
FILTERS = (32, 64, 128)
