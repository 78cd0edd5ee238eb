"""How sphinx-revealjs builds the slides of the lessons."""

project = "Dominant filters"
extensions = ["myst_parser", "sphinx_revealjs"]
include_patterns = ["slides/lesson_*.md"]
root_doc = "slides/lesson_1"
myst_enable_extensions = ["dollarmath", "attrs_inline"]
mathjax_path = "mathjax/tex-chtml.js"  # the copy that the book has
revealjs_style_theme = "white"
revealjs_script_plugins = [
    {"name": "RevealNotes", "src": "revealjs/plugin/notes/notes.js"},
]
revealjs_css_files = ["slides.css"]  # of the book, as MathJax
html_scaled_image_link = False
