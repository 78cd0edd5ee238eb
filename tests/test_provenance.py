"""The code digest changes with what a result depends on, and with nothing else."""

import ast
from importlib import metadata

import pytest

from lib import provenance

STAGES = (
    "data",
    "models",
    "attacks",
    "filters",
    "selective",
    "survivors",
    "splitting",
    "training",
    "hardening",
    "evaluation",
    "adaptive",
)

SOURCES = {
    "bottom": "def scale(pixel):\n    return pixel / 255\n",
    "middle": "from lib.bottom import scale\n\ndef half(pixel):\n    return scale(pixel) / 2\n",
    "top": "from lib import middle\n\nRESULT = middle.half(3)\n",
    "aside": "ANSWER = 42\n",
}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Put a package of four modules, of which three import each other, in the place of lib."""
    for name, source in SOURCES.items():
        (tmp_path / f"{name}.py").write_text(source, encoding="utf-8")
    monkeypatch.setattr(provenance, "PACKAGE", tmp_path)
    provenance.code_digest.cache_clear()
    yield tmp_path
    provenance.code_digest.cache_clear()


def rewrite(package, module, old, new):
    path = package / f"{module}.py"
    source = path.read_text(encoding="utf-8")
    assert old in source
    path.write_text(source.replace(old, new), encoding="utf-8")
    provenance.code_digest.cache_clear()


class TestImportedModules:
    @pytest.mark.parametrize(
        "code",
        [
            "from lib import middle, bottom",
            "from lib import middle as m, bottom as b",
            "import lib.middle, lib.bottom as b",
            "from lib.middle import half\nfrom lib.bottom import scale",
            "def later():\n    from lib import middle\n    import lib.bottom",
        ],
    )
    def test_every_way_of_importing_counts(self, package, code):
        assert provenance.imported_modules(ast.parse(code)) == {"middle", "bottom"}

    def test_other_packages_and_names_do_not(self, package):
        code = "import numpy, os.path\nfrom elsewhere import top\nfrom lib import a_constant"
        assert provenance.imported_modules(ast.parse(code)) == set()


class TestClosure:
    def test_reaches_any_depth(self, package):
        assert provenance.code_closure(["top"]) == {"top", "middle", "bottom"}
        assert provenance.code_closure(["bottom", "aside"]) == {"bottom", "aside"}

    def test_ends_where_modules_import_each_other(self, package):
        rewrite(package, "bottom", "def scale", "from lib import top\n\ndef scale")
        assert provenance.code_closure(["bottom"]) == {"top", "middle", "bottom"}

    @pytest.mark.parametrize("stage", STAGES)
    def test_a_stage_imports_only_stages_to_its_left(self, stage):
        to_the_right = set(STAGES[STAGES.index(stage) + 1 :])
        beside = {"plots", "paper", "results", "builder", "cli", "sweeps", "costs", "bench"}
        beside |= {"timing", "intervals", "site", "theme"}
        assert not provenance.code_closure([stage]) & (to_the_right | beside)

    def test_attacks_depend_on_the_stages_before_them(self):
        assert provenance.code_closure(["attacks"]) >= {"attacks", "models", "data", "parameters"}


class TestDigest:
    def test_is_sixteen_hexadecimal_digits(self, package):
        digest = provenance.code_digest("top")
        assert len(digest) == 16
        int(digest, 16)

    def test_changes_with_code_in_a_dependency_and_only_there(self, package):
        above = provenance.code_digest("top")
        aside = provenance.code_digest("aside")
        rewrite(package, "bottom", "255", "256")
        assert provenance.code_digest("top") != above
        assert provenance.code_digest("aside") == aside

    def test_does_not_change_with_code_that_is_not_imported(self, package):
        before = provenance.code_digest("top")
        rewrite(package, "aside", "42", "43")
        assert provenance.code_digest("top") == before

    def test_does_not_change_with_code_that_imports_it(self, package):
        before = provenance.code_digest("bottom")
        rewrite(package, "top", "(3)", "(4)")
        assert provenance.code_digest("bottom") == before

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ("def scale", '"""A module."""\n\ndef scale'),
            ("    return", '    """Scale a pixel."""\n    return'),
            ("    return", "    # a comment\n    return"),
            ("pixel / 255\n", "(\n        pixel / 255\n    )\n"),
        ],
        ids=["module docstring", "docstring", "comment", "layout"],
    )
    def test_does_not_change_with_words_and_layout(self, package, old, new):
        before = provenance.code_digest("top")
        rewrite(package, "bottom", old, new)
        assert provenance.code_digest("top") == before

    def test_a_string_that_is_used_counts(self, package):
        rewrite(package, "aside", "42", "'logits'")
        before = provenance.code_digest("aside")
        rewrite(package, "aside", "logits", "probabilities")
        assert provenance.code_digest("aside") != before

    def test_the_order_of_the_names_does_not_count(self, package):
        assert provenance.code_digest("aside", "top") == provenance.code_digest("top", "aside")


class TestVersions:
    def test_are_those_installed(self):
        versions = provenance.versions()
        assert {"tensorflow", "keras", "numpy", "cleverhans", "foolbox"} <= set(versions)
        assert versions["numpy"] == metadata.version("numpy")

    def test_of_a_stage_are_those_of_what_it_imports_at_any_depth(self):
        assert set(provenance.versions("parameters")) == set()
        assert "scikit-learn" in provenance.versions("data")
        assert {"tensorflow", "scikit-learn"} <= set(provenance.versions("models"))
        attacks, adaptive = (set(provenance.versions(name)) for name in ("attacks", "adaptive"))
        assert adaptive - attacks == {"adversarial-robustness-toolbox", "foolbox"}
