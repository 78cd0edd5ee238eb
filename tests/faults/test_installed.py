"""Installed without the book, and installed again without a network."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ..conftest import ROOT
from .conftest import Shows

PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")

ASK = """\
from lib.compute import cache
from lib.evidence import records

print(records.__file__)
print(records.missing(), len(records.full_scale("table_04")))
print(cache.folder())
print(records.folder())
"""


def test_records_come_along_and_results_go_to_the_user(tmp_path: Path, shows: Shows) -> None:
    built = shutil.ignore_patterns(".*", "_build", "build", "*.egg-info", "__pycache__")
    source = shutil.copytree(ROOT, tmp_path / "source", ignore=built)
    offline = ("--no-deps", "--no-build-isolation", "--no-index")
    installed = tmp_path / "installed"
    subprocess.run([*PIP, "install", *offline, "--target", installed, source], check=True)
    variables = {"HOME": str(tmp_path), "PYTHONPATH": str(installed), "XDG_CACHE_HOME": ""}
    unset = ("LIB_CACHE", "LIB_RESULTS")
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        cwd=tmp_path,
        env={**{k: v for k, v in os.environ.items() if k not in unset}, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    module, records, cache, results = done.stdout.splitlines()
    shows(f"records {records}")
    assert module.startswith(str(installed))
    assert records.startswith("[] ")
    assert int(records.split()[-1]) > 0
    for folder in (cache, results):
        assert folder.startswith(str(tmp_path))
        assert not folder.startswith(str(installed))


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")
@pytest.mark.parametrize(
    ("change", "installs"),
    [
        (["requirements.txt"], False),
        (["pyproject.toml"], False),
        (["requirements.txt", "pyproject.toml", "tests/requirements.txt"], False),
        (["+requirements.txt"], True),
        (["+tests/requirements.txt"], True),
    ],
    ids=lambda value: str(value),
)
def test_only_other_contents_install_again(
    tmp_path: Path, change: list[str], installs: bool, shows: Shows
) -> None:
    """A newer time, as after an update of the checkout, does not: there may be no network."""
    for name in ("Makefile", "requirements.txt", "pyproject.toml", "tests/requirements.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)

    def planned() -> str:
        command = ["make", "-n", "test"]
        return subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout

    stamps = [line.split()[1] for line in planned().splitlines() if line.startswith("touch ")]
    assert len(stamps) == 2
    for name in (".venv/bin/python", *stamps):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert "pip install" not in planned()
    for name in change:
        path = tmp_path / name.removeprefix("+")
        if name.startswith("+"):
            path.write_text(path.read_text("utf-8") + "# more\n", "utf-8")
        later = path.stat().st_mtime + 3600
        os.utime(path, (later, later))
    shows("installs" if "pip install" in planned() else "installs nothing")
    assert ("pip install" in planned()) == installs
