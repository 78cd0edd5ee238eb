"""How the book's figures look."""
