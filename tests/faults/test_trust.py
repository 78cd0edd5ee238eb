"""Networks, pages and workflows from others: nothing of theirs runs, nothing is more than text."""

import ast
import json
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import keras
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner

from lib.compute.parameters import RefusedError
from lib.evidence import claims, records, tables
from lib.evidence.claims import page
from lib.evidence.claims.judging import Answer, Part, Verdict
from lib.site.book import Book
from lib.site.cli import main

from ..conftest import ROOT, write_chapter
from .conftest import Shows

KEPT = records.FULL_SCALE / "models" / "undefended.keras"


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a file in the place of a kept network."""
    monkeypatch.setattr(records, "FULL_SCALE", tmp_path)
    (tmp_path / "models").mkdir()
    return Path(shutil.copy(KEPT, tmp_path / "models" / "planted.keras"))


def with_a_lambda(path: Path) -> None:
    inputs = keras.Input((1,))
    keras.Model(inputs, keras.layers.Lambda(lambda x: x + 1)(inputs)).save(path)


def naming(module: str, name: str) -> Callable[[Path], None]:
    def plant(path: Path) -> None:
        with zipfile.ZipFile(path) as archive:
            files = {entry: archive.read(entry) for entry in archive.namelist()}
        config = json.loads(files["config.json"])
        config["config"]["layers"][1] |= {"module": module, "class_name": name}
        files["config.json"] = json.dumps(config).encode()
        with zipfile.ZipFile(path, "w") as archive:
            for entry, content in files.items():
                archive.writestr(entry, content)

    return plant


PLANTED: dict[str, Callable[[Path], object]] = {
    "a layer of code": with_a_lambda,
    "a function of the system": naming("os", "system"),
    "a class of another package": naming("subprocess", "Popen"),
    "half a file": lambda path: path.write_bytes(path.read_bytes()[:100_000]),
    "an empty file": lambda path: path.write_bytes(b""),
    "a pickle": lambda path: path.write_bytes(b"\x80\x04N."),
    "no file": lambda path: path.unlink(),
}


@pytest.mark.parametrize("plant", PLANTED)
def test_a_network_is_loaded_in_safe_mode_or_refused(kept: Path, plant: str, shows: Shows) -> None:
    assert len(records.network("planted").layers) > 5
    PLANTED[plant](kept)
    with pytest.raises(RefusedError, match=r"planted\.keras: not a network") as raised:
        records.network("planted")
    shows(str(raised.value))
    assert "\n" not in str(raised.value)


class TestTables:
    """A record that is damaged gives no mean of what is left of it."""

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("model,value\nbase,0.5\nbase,\n", "line 3 is without its numbers"),
            ("model,seed,value\nbase,0,0.5\nbase,,0.5\n", "line 3 is without its numbers"),
            ("model,seed,value\nbase,0,half\n", "line 2 is without its numbers"),
            ("model,seed,value\nbase,0,nan\n", "line 2 is without its numbers"),
            ("model,seed,value\n<<<<<<< HEAD\nbase,0,0.5\n", "line 2 is without its numbers"),
            ("rung,accuracy\npgd,0.5\n=======\n", "line 3 is without its numbers"),
            ("model,seed,value\nbase,0,0.5\nbase,1,0.5,0.6\n", "not a table"),
            ("", "not a table"),
            ("\0\xff", "not a table"),
        ],
        ids=lambda value: repr(value)[:40],
    )
    def test_a_damaged_record(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, reason: str, shows: Shows
    ) -> None:
        monkeypatch.setattr(records, "FULL_SCALE", tmp_path)
        (tmp_path / "table_04.csv").write_text(text, "latin-1")
        with pytest.raises(RefusedError, match=reason) as raised:
            records.full_scale("table_04")
        shows(str(raised.value))
        assert "table_04.csv" in str(raised.value)

    def test_a_record_without_a_column_says_which(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shows: Shows
    ) -> None:
        rows = records.full_scale("table_04")
        assert rows is not None
        monkeypatch.setattr(records, "FULL_SCALE", tmp_path)
        for lost in ("model", "epsilon", "value"):
            rows.drop(columns=lost).to_csv(tmp_path / "table_04.csv", index=False)
            with pytest.raises(ValueError, match=f"lack {lost}") as raised:
                tables.side_by_side(4, rows)
            shows(str(raised.value))

    @pytest.mark.parametrize(
        ("line", "reason"),
        [
            ("a,b,c", "not enough values"),
            ("a,b,c,d,e,f,g,h", "too many values"),
            ("no_rule,part,says,1,really?,01_model,", "no rule 'no_rule'"),
            ("base_parameters,part,says,1,really?,01_model,no_rule", "no rule 'no_rule'"),
            ("base_parameters,part,says,1,really?,model,", "'model' is no chapter"),
            ('base_parameters,part,"says,1,really?,01_model,', "unexpected end"),
            ("<<<<<<< HEAD", "not enough values"),
        ],
    )
    def test_a_bad_line_of_the_claims(
        self, tmp_path: Path, line: str, reason: str, shows: Shows
    ) -> None:
        good = Path(claims.__path__[0], "claims.csv").read_text("utf-8").splitlines()[:2]
        (tmp_path / "claims.csv").write_text("\n".join([*good, line, ""]), "utf-8")
        with pytest.raises(RefusedError, match=rf"claims.csv: line \d: .*{reason}") as raised:
            list(claims._read(tmp_path / "claims.csv"))
        shows(str(raised.value))


HTML = [
    "<script>alert(1)</script>",
    "<b>bold</b> & p < 0.05",
    "\"><img src=x onerror='alert(1)'>",
]


def harmless(shown: str, text: str) -> bool:
    """Tell whether a text is there, and not as HTML."""
    tag = re.search("<[a-z]+", text)
    return tag is not None and text not in shown and tag[0].replace("<", "&lt;") in shown


@pytest.mark.parametrize("text", HTML)
class TestHtml:
    def test_in_a_table(self, text: str, shows: Shows) -> None:
        for frame, caption in [
            (pd.DataFrame({"class": [text], "n": [1]}), None),
            (pd.DataFrame({text: ["a"]}), None),
            (pd.DataFrame({"class": pd.Categorical([text])}), None),
            (pd.DataFrame({"class": ["a"]}), text),
        ]:
            assert harmless(tables.show(frame, caption=caption).to_html(), text)
        shows("entry, heading, category, caption: as text")

    @pytest.mark.parametrize("field", ["part", "statement", "section", "question"])
    def test_in_a_claim(
        self, text: str, field: str, monkeypatch: pytest.MonkeyPatch, shows: Shows
    ) -> None:
        claim = claims.ALL["base_parameters"]._replace(**{field: text})
        monkeypatch.setattr(claims, "ALL", {"one": claim})
        found = page.evidence(claim.part, {"this run": claims.Recorded(lambda _: None)}).data
        if field in ("part", "statement"):
            found += page.overview({"this run": claims.Recorded(lambda _: None)}).to_html()
        assert harmless(found, text)
        assert "<details>" in found
        shows(f"{field} as text")

    def test_in_what_a_verdict_rests_on(self, text: str, shows: Shows) -> None:
        part = Part(text, text, Answer.YES, text, text)
        found = page.parts(Verdict("holds", (part,))).to_html()
        assert harmless(found, text)
        shows("as text")


def test_in_a_page_that_is_built(new_book: Callable[..., Book], shows: Shows) -> None:
    planted = "<script>alert(1)</script>"
    cell = f"""\
    import pandas as pd
    from lib.evidence import tables
    print({planted!r})
    tables.show(pd.DataFrame({{"class": [{planted!r}]}}), caption={planted!r})
    """
    book = new_book(cell)
    result = CliRunner().invoke(main, ["build"], obj=book)
    assert result.exit_code == 0, result.output
    pages = [path.read_text("utf-8") for path in (book.build / "html").rglob("*.html")]
    assert all(planted not in text for text in pages)
    shown = "".join(pages)
    assert shown.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 3
    shows("printed, entry, caption: as text")


@pytest.mark.parametrize("name", ['02_a"><script>', "02_<b>c", "02 b", "02_a&b", "02_{x}"])
def test_a_name_of_a_file(new_book: Callable[..., Book], name: str, shows: Shows) -> None:
    """The theme writes it into addresses as it is."""
    book = new_book("1")
    write_chapter(book, name, "1")
    result = CliRunner().invoke(main, ["build"], obj=Book(book.root))
    shows(result.stderr)
    assert result.exit_code == 2
    assert f"book/{name}: its name may have letters, digits, - and _" in result.stderr


class TestWorkflow:
    FLOWS = sorted((ROOT / ".github" / "workflows").glob("*.y*ml"))

    @pytest.mark.parametrize("path", FLOWS, ids=lambda path: path.name)
    def test_actions_are_pinned_and_rights_are_least(self, path: Path, shows: Shows) -> None:
        flow = yaml.safe_load(path.read_text("utf-8"))
        assert flow["permissions"] == {"contents": "read"}
        for name, job in flow["jobs"].items():
            steps = job["steps"]
            for step in steps:
                if "uses" in step:
                    assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step["uses"]), name
                if step.get("uses", "").startswith("actions/checkout@"):
                    assert step["with"]["persist-credentials"] is False
            if "permissions" in job:  # who may write runs no code of the repository
                assert job["permissions"] == {"pages": "write", "id-token": "write"}
                assert not any("run" in step or "checkout" in step["uses"] for step in steps)
        shows(", ".join(flow["jobs"]))

    def test_weaknesses_of_what_is_installed_are_looked_for(self, shows: Shows) -> None:
        commands = [
            step.get("run", "")
            for path in self.FLOWS
            for job in yaml.safe_load(path.read_text("utf-8"))["jobs"].values()
            for step in job["steps"]
        ]
        assert any("pip-audit --requirement" in command for command in commands)
        shows("pip-audit in its own job")


def test_only_checked_data_come_over_a_network(shows: Shows) -> None:
    """What downloads is Keras's loader, behind the sums of ``data.published``."""
    network = {"aiohttp", "ftplib", "http", "httpx", "requests", "socket", "urllib", "urllib3"}
    loaders = {}
    for path in sorted((ROOT / "lib").rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        for node in ast.walk(tree):
            names = [alias.name for alias in getattr(node, "names", []) if hasattr(alias, "name")]
            origin = getattr(node, "module", None) or ""
            found = {name.partition(".")[0] for name in [*names, origin] if name != "urllib.parse"}
            assert not (isinstance(node, ast.Import | ast.ImportFrom) and found & network), path
            if origin.startswith("keras.") and "datasets" in origin:
                loaders[path.stem] = "data.published(" in path.read_text("utf-8")
            attribute = getattr(node, "attr", getattr(node, "id", ""))
            assert attribute not in ("get_file", "urlopen", "urlretrieve"), path
    shows(", ".join(loaders))
    assert loaders == {"fashion_mnist": True, "mnist": True}
