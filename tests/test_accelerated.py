"""lib.fast can be taken away: the same verdicts come out, later."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lib.stages import accelerated

from .conftest import ROOT

EXPERIMENT = """
import json
import sys

from lib.stages import adaptive, models
from lib.stages.attacks import Attack
from lib.stages.filters import Selection, Study
from lib.stages.training import FineTuning

# Without dropout: it draws other units in each form.
network = models.Training("mnist-tiny", "shallow", dropout=0.0, batch_size=32, max_epochs=3)
attack = Attack("fgsm", 0.1)
selection = Selection(Study(network, attack, images_per_class=2), 0.5)
tuned = FineTuning(network, attack, "mixed", selection, epochs=1)
verdicts = {
    f"{type(defence).__name__} {rung}": adaptive.withstood(
        adaptive.Evaluation(defence, rung, 0.06, 60, adaptive.Budget(steps=4, restarts=2))
    ).tolist()
    for defence in (network, tuned)
    for rung in ("clean", "pgd", "targeted")
}
fast = [name for name in sys.modules if name.startswith("lib.fast.")]
print(json.dumps({"fast": fast, "verdicts": verdicts}))
"""


def outcome(folder: Path, *removed: str) -> dict[str, object]:
    """Compute the experiment in a copy of lib without some rooms."""
    ignored = shutil.ignore_patterns("__pycache__", *removed)
    shutil.copytree(ROOT / "lib", folder / "lib", ignore=ignored)
    ran = subprocess.run(
        [sys.executable, "-c", EXPERIMENT], cwd=folder, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    found: dict[str, object] = json.loads(ran.stdout)
    return found


def test_verdicts_without_the_fast_layers_are_the_same(tmp_path: Path) -> None:
    with_them = outcome(tmp_path / "with")
    without = outcome(tmp_path / "without", "fast")
    assert len(with_them["fast"]) == 3  # type: ignore[arg-type]
    assert without["fast"] == []
    assert without["verdicts"] == with_them["verdicts"]
    for name, verdict in without["verdicts"].items():  # type: ignore[attr-defined]
        assert 5 < sum(verdict) < 60, name  # there is something to tell apart


def test_a_fault_in_the_fast_layers_is_not_taken_for_their_absence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(AttributeError, match="nowhere"):
        accelerated.find("lib.fast.fused:nowhere")
