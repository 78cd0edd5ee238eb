"""The code digest changes with what a result depends on, and with nothing else."""

import ast
from importlib import metadata

import pytest

from lib.compute import provenance

SOURCES = {
    "bottom": "def scale(pixel):\n    return pixel / 255\n",
    "middle": "from lib.bottom import scale\n\ndef half(pixel):\n    return scale(pixel) / 2\n",
    "top": "from lib import middle\n\nRESULT = middle.half(3)\n",
    "aside": "ANSWER = 42\n",
    "room/__init__": "",
    "room/shelf": "from lib import bottom\n\nDEPTH = 1\n",
    "room/chair": "from . import shelf\nfrom ..middle import half\n\nLEGS = 4\n",
    "room/box/__init__": "from .. import shelf\n",
    "room/box/lid": "from ..chair import LEGS\n",
    "compute/parameters": "from lib import aside\n\nLIMIT = 7\n",
}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Put a package of modules that import each other in the place of lib."""
    for name, source in SOURCES.items():
        path = tmp_path / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
    monkeypatch.setattr(provenance, "PACKAGE", tmp_path)
    return tmp_path


def rewrite(package, module, old, new):
    path = package / f"{module}.py"
    source = path.read_text(encoding="utf-8")
    assert old in source
    path.write_text(source.replace(old, new), encoding="utf-8")


class TestImportedModules:
    @pytest.mark.parametrize(
        "code",
        [
            "from lib import middle, bottom",
            "from lib import middle as m, bottom as b",
            "import lib.middle, lib.bottom as b",
            "from lib.middle import half\nfrom lib.bottom import scale",
            "def later():\n    from lib import middle\n    import lib.bottom",
            "find = {'a': 'lib.middle', 'b': 'lib.bottom:scale'}",
        ],
    )
    def test_every_way_of_importing_counts(self, package, code):
        assert provenance.imported_modules(ast.parse(code)) == {"middle", "bottom"}

    @pytest.mark.parametrize(
        "code",
        [
            "from lib.room import shelf",
            "import lib.room.shelf",
            "from lib.room.shelf import DEPTH",
            "place = 'lib.room.shelf:DEPTH'",
        ],
    )
    def test_a_module_in_a_package_brings_the_package(self, package, code):
        assert provenance.imported_modules(ast.parse(code)) == {"room", "room.shelf"}

    @pytest.mark.parametrize(
        ("code", "importer"),
        [
            ("from . import shelf", "room.chair"),
            ("from .shelf import DEPTH", "room.chair"),
            ("from .. import shelf", "room.box.lid"),
            ("from . import shelf", "room.__init__"),
            ("from .room import shelf", "top"),
        ],
    )
    def test_relative_imports_start_from_the_importer(self, package, code, importer):
        found = provenance.imported_modules(ast.parse(code), importer)
        assert found == {"room", "room.shelf"}

    def test_other_packages_and_names_do_not(self, package):
        code = "import numpy, os.path\nfrom elsewhere import top\nfrom lib import a_constant"
        code += "\n'see lib.middle'\nname = 'lib.nothing'"
        assert provenance.imported_modules(ast.parse(code)) == set()


class TestClosure:
    def test_reaches_any_depth(self, package):
        assert provenance.code_closure(["top"]) == {"top", "middle", "bottom"}
        assert provenance.code_closure(["bottom", "aside"]) == {"bottom", "aside"}

    def test_reaches_into_packages(self, package):
        chair = {"room.chair", "room", "room.shelf", "middle", "bottom"}
        assert provenance.code_closure(["room.chair"]) == chair
        assert provenance.code_closure(["room.box.lid"]) == chair | {"room.box.lid", "room.box"}

    def test_ends_where_modules_import_each_other(self, package):
        rewrite(package, "bottom", "def scale", "from lib import top\n\ndef scale")
        assert provenance.code_closure(["bottom"]) == {"top", "middle", "bottom"}

    def test_an_unknown_module_is_named(self, package):
        with pytest.raises(ValueError, match="no module cellar"):
            provenance.code_closure(["cellar"])


class TestDigest:
    def test_is_sixteen_hexadecimal_digits(self, package):
        digest = provenance.code_digest("top")
        assert len(digest) == 16
        int(digest, 16)

    @pytest.mark.parametrize(
        "above", ["top", "room.shelf", "room.chair", "room.box", "room.box.lid"]
    )
    def test_changes_with_code_in_a_dependency_and_only_there(self, package, above):
        before = provenance.code_digest(above)
        aside = provenance.code_digest("aside")
        rewrite(package, "bottom", "255", "256")
        assert provenance.code_digest(above) != before
        assert provenance.code_digest("aside") == aside

    def test_does_not_change_with_code_that_is_not_imported(self, package):
        before = provenance.code_digest("top")
        rewrite(package, "aside", "42", "43")
        assert provenance.code_digest("top") == before

    def test_does_not_change_with_code_that_imports_it(self, package):
        before = provenance.code_digest("bottom")
        rewrite(package, "top", "(3)", "(4)")
        assert provenance.code_digest("bottom") == before

    def test_does_not_change_with_code_that_decides_no_number(self, package):
        rewrite(package, "bottom", "def scale", "from lib.compute import parameters\n\ndef scale")
        before = provenance.code_digest("top")
        rewrite(package, "compute/parameters", "7", "8")
        assert provenance.code_digest("top") == before

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ("def scale", '"""A module."""\n\ndef scale'),
            ("    return", '    """Scale a pixel."""\n    return'),
            ("    return", "    # a comment\n    return"),
            ("    return", "    print('scaling')\n    return"),
            ("pixel / 255\n", "(\n        pixel / 255\n    )\n"),
        ],
        ids=["module docstring", "docstring", "comment", "what is printed", "layout"],
    )
    def test_does_not_change_with_words_and_layout(self, package, old, new):
        before = provenance.code_digest("top")
        rewrite(package, "bottom", old, new)
        assert provenance.code_digest("top") == before

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ("if pixel < 0:\n        raise ValueError('negative')", "ValueError(f'no {pixel}')"),
            ("for row in tqdm(pixel, desc='rows'):\n        pass", "'images'"),
        ],
        ids=["message", "title of a bar"],
    )
    def test_does_not_change_with_messages(self, package, old, new):
        part = "ValueError('negative')" if "raise" in old else "'rows'"
        rewrite(package, "bottom", "    return", f"    {old}\n    return")
        before = provenance.code_digest("top")
        rewrite(package, "bottom", part, new)
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
        assert set(provenance.versions("compute.parameters")) == set()
        assert "scikit-learn" in provenance.versions("stages.data")
        assert {"tensorflow", "scikit-learn"} <= set(provenance.versions("stages.models"))
        attacks, adaptive = (
            set(provenance.versions(f"stages.{name}")) for name in ("attacks", "adaptive")
        )
        assert adaptive - attacks == {"adversarial-robustness-toolbox", "foolbox"}
