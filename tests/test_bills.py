"""What a defence costs as a whole, on numbers that can be added up by hand."""

import pandas as pd
import pytest

from lib.evidence import bills, records

STEP = pd.Series(
    {
        "whole": 1.0,
        "parallel": 0.9,
        "gathered": 2.0,
        "mask": 1.0,
        "selective": 0.5,
        "selective, all filters": 0.8,
    }
)


def curves(whole, split, attack="pgd", seed=0):
    """Return learning curves, one value an epoch from the start."""
    rows = [
        (attack, share, seed, epoch, value)
        for share, values in ((1.0, whole), (0.1, split))
        for epoch, value in enumerate(values)
    ]
    return pd.DataFrame(rows, columns=["attack", "fraction", "seed", "epoch", "value"])


def epochs(whole=2, split=3):
    rows = [(attack, 0, 0.9, whole, split) for attack in ("fgsm", "pgd")]
    return pd.DataFrame(rows, columns=["attack", "seed", "accuracy", "whole", "split"])


class TestEpochs:
    def test_the_accuracy_is_the_best_that_both_reach(self):
        needed = bills.epochs_needed(curves([0, 0.8, 0.95, 0.9], [0, 0.5, 0.7, 0.9]))
        assert needed.to_dict("records") == [
            {"attack": "pgd", "seed": 0, "accuracy": 0.9, "whole": 2, "split": 3}
        ]

    def test_each_attack_and_seed_has_its_own(self):
        runs = [
            curves([0, 0.9], [0, 0.9], attack, seed)
            for attack in ("fgsm", "pgd")
            for seed in (0, 1)
        ]
        assert len(bills.epochs_needed(pd.concat(runs))) == 4

    @pytest.mark.parametrize(
        ("split", "verdict"),
        [
            ([5], "one seed: undecided"),
            ([5, 2], "undecided"),
            ([5, 2, 1], "undecided"),
            ([4, 5, 4], "differs"),
        ],
    )
    def test_nothing_is_decided_by_one_seed_or_by_seeds_that_disagree(self, split, verdict):
        rows = [("pgd", seed, 0.9, 2, value) for seed, value in enumerate(split)]
        columns = ["attack", "seed", "accuracy", "whole", "split"]
        compared = bills.epochs_compared(pd.DataFrame(rows, columns=columns))
        assert compared["verdict"].item() == verdict
        assert compared["split"].item() == sum(split) / len(split)
        assert compared["low"].isna().item() == (len(split) == 1)


class TestBill:
    def parts(self, **changes):
        return bills.bill(epochs(**changes), STEP, 0.01, images=640, images_per_class=2)

    def test_each_part_is_counted_as_it_is_paid(self):
        rows = self.parts().set_index(["epochs", "attack", "way", "part"])["seconds"]
        parts = rows["needed"]
        assert parts["fgsm", "whole", "crafting training images"] == pytest.approx(6.4)
        assert parts["pgd", "whole", "crafting training images"] == pytest.approx(256)
        assert parts["fgsm", "selective", "finding dominant filters"] == pytest.approx(1.8)
        assert parts["pgd", "parallel", "finding dominant filters"] == pytest.approx(72)
        for way in ("whole", "selective, all filters"):  # they need no search
            assert parts["pgd", way, "finding dominant filters"] == 0
        # 1,280 images are ten steps; two epochs of the whole network, three of the split one.
        assert parts["fgsm", "selective, all filters", "fine-tuning"] == pytest.approx(16)
        assert parts["fgsm", "selective", "fine-tuning"] == pytest.approx(15)
        assert parts["fgsm", "gathered", "fine-tuning"] == pytest.approx(60)
        # With equal epochs, all have those of the split network.
        assert rows["equal", "fgsm", "selective, all filters", "fine-tuning"] == pytest.approx(24)
        assert rows["equal", "fgsm", "selective", "fine-tuning"] == pytest.approx(15)

    def test_a_way_is_compared_with_the_whole_network_in_the_same_layers(self):
        totals = bills.totals(self.parts()).set_index(["epochs", "attack", "way"])
        equal, totals = totals.loc["equal"], totals.loc["needed"]
        assert set(totals.loc["fgsm"].index) == {"parallel", "gathered", "mask", "selective"}
        assert equal.loc[("fgsm", "selective"), "to the same layers"] == pytest.approx(
            (6.4 + 1.8 + 15) / (6.4 + 24)
        )
        ours, theirs = totals.loc[("fgsm", "selective")], totals.loc[("fgsm", "parallel")]
        assert ours["to Keras's layers"] == pytest.approx((6.4 + 1.8 + 15) / (6.4 + 20))
        assert ours["to the same layers"] == pytest.approx((6.4 + 1.8 + 15) / (6.4 + 16))
        assert ours["attacks"] == pytest.approx(8.2 / 23.2)
        assert theirs["to the same layers"] == theirs["to Keras's layers"]

    def test_the_search_is_held_against_what_it_saves_in_the_same_layers(self):
        totals = bills.totals(self.parts()).set_index(["epochs", "attack", "way"])
        row = totals.loc[("equal", "fgsm", "selective")]
        assert (row["search"], row["saved"]) == (pytest.approx(1.8), pytest.approx(9))
        assert row["verdict"] == "the search pays"
        row = totals.loc[("equal", "pgd", "selective")]
        assert (row["search"], row["saved"]) == (pytest.approx(72), pytest.approx(9))
        assert row["verdict"] == "the search costs more"

    def test_runs_are_kept_apart(self):
        both = pd.concat([self.parts().assign(run=1), self.parts(whole=6).assign(run=2)])
        totals = bills.totals(both).set_index(["run", "epochs", "attack", "way"])
        share = totals["to the same layers"]
        assert share[1, "needed", "pgd", "selective"] > share[2, "needed", "pgd", "selective"]
        assert share[1, "equal", "pgd", "selective"] == share[2, "equal", "pgd", "selective"]


def test_all_filters_are_the_whole_network():
    everything = curves([0, 0.5, 0.9], []).query("fraction == 1")
    assert bills.epochs_needed(everything)[["whole", "split"]].to_numpy().tolist() == [[2, 2]]


def test_the_full_scale_bill_is_that_of_the_paper_s_numbers_of_images():
    times = pd.DataFrame(
        [("step", "base", way, 1.0, seconds, None) for way, seconds in STEP.items()]
        # One image in a second of the clock and four of CPU time: a tenth a gradient.
        + [("crafting", "PGD", "ours", 1.0, 4.0, 1.0), ("step", "dense", "whole", 1, 9, None)],
        columns=["section", "case", "way", "seconds", "cpu_seconds", "images_per_second"],
    )
    parts = bills.full_scale(records.full_scale("fine_tuning_curves"), times)
    parts = parts.query("epochs == 'equal'").set_index(["attack", "way", "part"])["seconds"]
    assert parts["fgsm", "whole", "crafting training images"] == pytest.approx(42_000 * 0.1)
    assert parts["fgsm", "mask", "finding dominant filters"] == pytest.approx(9_000 * 0.1)
    whole = parts["fgsm", "whole", "fine-tuning"]
    assert parts["fgsm", "selective", "fine-tuning"] == pytest.approx(whole / 2)
