"""Cards: what a network withstands, for one of them and for a whole class."""
