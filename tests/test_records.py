"""Results are recorded whole, read back as they were, and compared cell by cell."""

import json
import re
import subprocess
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from lib.compute import parameters, provenance
from lib.evidence import paper, records, runs, tables


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Keep what the tests write, and what they read as full-scale results, out of the checkout."""
    monkeypatch.setenv("LIB_RESULTS", str(tmp_path / "run"))
    monkeypatch.setattr(records, "FULL_SCALE", tmp_path / "full")
    return tmp_path / "run"


@pytest.fixture
def record_full_scale(monkeypatch):
    def record(name, frame):
        with monkeypatch.context() as patch:
            patch.setenv("LIB_RESULTS", str(records.FULL_SCALE))
            records.save(name, frame)

    return record


def ours(**columns):
    return pd.DataFrame({"attack": "fgsm", "model": "base", **columns})


class TestSave:
    def test_the_default_folder_is_in_the_build_folder(self, monkeypatch):
        monkeypatch.delenv("LIB_RESULTS")
        assert records.folder().parts[-2:] == ("_build", "results")

    def test_text_is_tidy_and_rounded(self, folder):
        frame = pd.DataFrame({"model": ["base"], "epsilon": [0.3], "seed": [7], "value": [1 / 3]})
        path = records.save("table_04", frame)
        assert path == folder / "table_04.csv"
        assert path.read_bytes() == b"model,epsilon,seed,value\nbase,0.3,7,0.333333\n"

    def test_what_is_read_back_is_what_was_saved(self, record_full_scale):
        frame = pd.DataFrame(
            {"training": ["none", "None", "NA"], "seed": [0, 1, 2], "value": [0.5, np.nan, 1e-7]}
        )
        record_full_scale("table_06", frame)
        pd.testing.assert_frame_equal(records.full_scale("table_06"), frame)

    def test_this_run_is_not_the_full_scale_run(self, record_full_scale):
        record_full_scale("table_06", ours(value=[0.25]))
        assert records.this_run("table_06") is None
        records.save("table_06", ours(value=[0.75]))
        assert records.this_run("table_06")["value"].tolist() == [0.75]
        assert records.full_scale("table_06")["value"].tolist() == [0.25]

    def test_provenance_says_what_produced_each_name(self, folder, monkeypatch):
        monkeypatch.setenv("LIB_PRESET", "classroom")
        records.save("table_04", ours(seed=[2, 1, 2], value=0.0), code="stages.data")
        records.save("figure_04", ours(value=[0.0]))
        origins = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
        assert list(origins) == ["figure_04", "table_04"]
        table, figure = origins["table_04"], origins["figure_04"]
        assert table["seeds"] == [1, 2]
        assert table["code"] == provenance.code_digest("stages.data")
        assert "seeds" not in figure
        assert figure["code"] == provenance.code_digest("stages.evaluation")
        assert figure["preset"] == "classroom"
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", figure["date"])
        assert "tensorflow" in figure["packages"]
        assert figure["processors"] >= 1

    def test_provenance_says_what_was_given_beside_the_preset(self, folder, monkeypatch):
        def origin():
            records.save("table_04", ours(value=[0.0]))
            return json.loads((folder / "provenance.json").read_text(encoding="utf-8"))["table_04"]

        monkeypatch.delenv("TF_NUM_INTRAOP_THREADS", raising=False)
        assert "parameters" not in origin()
        assert origin()["threads"] == "default"
        monkeypatch.setenv("LIB_GIVEN", '{"seed": 3, "architectures": ["dense"]}')
        monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "1")
        assert origin()["parameters"] == {"seed": 3, "architectures": ["dense"]}
        assert origin()["threads"] == "1"

    def test_they_name_the_plan_that_they_were_made_under(self, tmp_path, monkeypatch):
        def git(*arguments):
            identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
            command = ["git", *identity, "-C", str(tmp_path), *arguments]
            return subprocess.run(command, check=True, capture_output=True, text=True).stdout

        monkeypatch.setattr(records.provenance, "CHECKOUT", tmp_path)
        page = tmp_path / "book" / "plan.ipynb"
        page.parent.mkdir()
        page.write_text("ten networks")
        found = []
        for step in (["init"], ["add", "."], ["commit", "-m", "The plan"]):
            found.append(records.plan.__wrapped__())
            git(*step)
        assert found == ["", "", ""]
        assert records.plan.__wrapped__() == git("log", "-1", "--format=%h").strip()
        page.write_text("three networks")
        assert records.plan.__wrapped__().endswith("+")

    def test_provenance_names_no_machine_and_no_path(self, folder, monkeypatch):
        monkeypatch.setattr("platform.node", lambda: "a-host-name")
        records.save("table_04", ours(value=[0.0]))
        text = (folder / "provenance.json").read_text(encoding="utf-8")
        assert "a-host-name" not in text
        assert str(Path.home()) not in text
        assert str(folder) not in text

    def test_a_failure_in_the_middle_of_writing_leaves_the_old_file(self, folder, monkeypatch):
        path = records.save("table_04", ours(value=[0.25]))
        before = {p.name: p.read_bytes() for p in folder.iterdir()}

        def half(self, text, **options):
            self.write_bytes(text.encode()[: len(text) // 2])
            raise OSError("no space left on device")

        monkeypatch.setattr(Path, "write_text", half)
        with pytest.raises(OSError, match="no space left"):
            records.save("table_04", ours(value=[0.75]))
        assert path.is_file()
        assert {p.name: p.read_bytes() for p in folder.iterdir()} == before

    @pytest.mark.parametrize("name", ["../table_04", "Table 4", "", "table_04.csv"])
    def test_names_that_are_not_names_are_refused(self, name, folder):
        with pytest.raises(ValueError, match="small letters"):
            records.save(name, ours(value=[0.0]))
        assert not folder.exists()


class TestFullScale:
    def test_none_without_a_file(self):
        assert records.full_scale("table_04") is None

    def test_all_that_is_measured_is_missing_at_first(self, record_full_scale):
        names = records.missing()
        assert len(names) == 11 + 5
        assert names[0] == "table_02"
        assert names[-1] == "figure_06"
        record_full_scale("table_04", ours(value=[0.0]))
        assert records.missing() == [name for name in names if name != "table_04"]


class TestSideBySide:
    def test_without_a_full_scale_run_its_column_is_empty(self):
        frame = tables.side_by_side(4, ours(epsilon=[0.1, 0.3], value=[0.7, 0.2]))
        assert list(frame) == ["attack", "model", "epsilon", "paper", "full scale", "this run"]
        keys = list(paper.keys(4))
        pd.testing.assert_frame_equal(frame[keys], paper.table(4)[keys])
        pd.testing.assert_series_equal(frame["paper"], paper.table(4)["value"], check_names=False)
        assert frame["full scale"].isna().all()
        this_run = frame.set_index(keys)["this run"].dropna()
        assert this_run.to_dict() == {("fgsm", "base", 0.1): 0.7, ("fgsm", "base", 0.3): 0.2}

    def test_numbers_land_in_their_own_cells_whatever_the_order(self, record_full_scale):
        published = paper.table(7)
        full = published.assign(value=published["value"] / 2).sample(frac=1, random_state=1)
        record_full_scale("table_07", full)
        this_run = published.assign(value=published["value"] / 4).sample(frac=1, random_state=2)
        frame = tables.side_by_side(7, this_run)
        np.testing.assert_allclose(frame["paper"], published["value"])
        np.testing.assert_allclose(frame["full scale"], published["value"] / 2, atol=1e-5)
        np.testing.assert_allclose(frame["this run"], published["value"] / 4)

    def test_rows_that_only_we_have_come_last(self, record_full_scale):
        record_full_scale("table_04", ours(epsilon=[0.4, 0.3], value=[0.15, 0.2]))
        frame = tables.side_by_side(4, ours(epsilon=[0, 0.3, 0.4], value=[0.99, 0.2, 0.1]))
        assert len(frame) == 12 + 2
        last = frame.iloc[12:]
        assert list(last["epsilon"]) == [0.4, 0.0]
        assert last["paper"].isna().all()
        np.testing.assert_array_equal(last["full scale"], [0.15, np.nan])
        np.testing.assert_array_equal(last["this run"], [0.1, 0.99])

    def test_several_seeds_give_the_mean_and_its_interval(self, record_full_scale):
        values = [0.1, 0.2, 0.6]
        record_full_scale("table_04", ours(epsilon=0.3, seed=[0, 1, 2], value=values))
        frame = tables.side_by_side(4, ours(epsilon=[0.3], seed=[0], value=[0.4]))
        assert list(frame)[-3:] == ["full scale", "± full scale", "this run"]
        row = frame[(frame["model"] == "base") & (frame["epsilon"] == 0.3)].iloc[0]
        assert row["full scale"] == pytest.approx(0.3)
        # Student's t with two degrees of freedom: 4.303 at 97.5%.
        expected = 4.30265 * np.std(values, ddof=1) / np.sqrt(3)
        assert row["± full scale"] == pytest.approx(expected, rel=1e-5)
        assert row["this run"] == 0.4

    def test_a_cell_with_one_seed_has_no_interval(self):
        rows = ours(epsilon=[0.1, 0.1, 0.3], seed=[0, 1, 0], value=[0.5, 0.7, 0.2])
        frame = tables.side_by_side(4, rows).set_index(["model", "epsilon"])
        assert frame.loc[("base", 0.1), "± this run"] > 0
        assert np.isnan(frame.loc[("base", 0.3), "± this run"])
        assert frame.loc[("base", 0.3), "this run"] == 0.2

    def test_keys_match_in_spite_of_rounding(self):
        frame = tables.side_by_side(4, ours(epsilon=[0.1 + 0.2], value=[0.2]))
        assert len(frame) == 12
        assert frame["this run"].notna().sum() == 1

    def test_a_key_that_never_varies_may_be_left_out(self):
        rows = pd.DataFrame({"model": ["base"], "epsilon": [0.3], "value": [0.2]})
        assert tables.side_by_side(5, rows)["this run"].notna().sum() == 1

    def test_a_key_that_varies_may_not(self):
        with pytest.raises(ValueError, match="table 4 lack epsilon"):
            tables.side_by_side(4, ours(value=[0.2]))

    def test_two_values_for_one_cell_are_refused(self):
        rows = ours(epsilon=0.3, images=[100, 200], value=[0.2, 0.3])
        with pytest.raises(ValueError, match="this run: more than one row"):
            tables.side_by_side(4, rows)

    @pytest.mark.parametrize("number", range(1, 13))
    def test_every_table_can_be_compared(self, number, record_full_scale):
        published = paper.table(number)
        record_full_scale(f"table_{number:02d}", published)
        frame = tables.side_by_side(number, published)
        assert len(frame) == len(published)
        np.testing.assert_allclose(frame["full scale"], frame["paper"], rtol=1e-5)
        np.testing.assert_allclose(frame["this run"], frame["paper"])


class TestConditions:
    def test_usual_settings_change_nothing(self, record_full_scale, folder):
        record_full_scale("table_04", ours(epsilon=[0.3], value=[0.2]))
        rows = ours(epsilon=[0.3], value=[0.1])
        usual = runs.Run(epsilon=0.3, model="base")
        pd.testing.assert_frame_equal(
            usual.side_by_side(4, rows), tables.side_by_side(4, rows), check_names=False
        )
        assert usual.save("table_04", rows) == folder / "table_04.csv"
        assert usual.full_scale("table_04")["value"].tolist() == [0.2]
        assert repr(usual).startswith("Comparable with the paper")

    def test_changed_settings_stand_alone(self, record_full_scale, folder):
        record_full_scale("table_04", ours(epsilon=0.3, seed=[0, 1], value=[0.2, 0.3]))
        rows = ours(epsilon=[0.3], value=[0.1])
        changed = runs.Run(fraction=0.2, model="base")
        alone = changed.side_by_side(4, rows)
        assert list(alone) == ["attack", "model", "epsilon", "this run"]
        assert alone["this run"].tolist() == [0.1]
        assert changed.save("table_04", rows) == folder / "table_04_changed.csv"
        assert records.this_run("table_04") is None
        assert changed.full_scale("table_04") is None
        assert repr(changed).startswith("Not comparable: this run has fraction 0.2 instead of 0.1")
        assert "\n" not in repr(changed)

    def test_a_record_that_says_its_settings_is_searched_for_them(self, record_full_scale):
        assert runs.Run(model="dense").full_scale("filter_overlap") is None
        overlap = pd.DataFrame(
            {"model": ["base", "dense"], "epsilon": [0.3, 0.1], "value": [0.5, 0.6]}
        )
        record_full_scale("filter_overlap", overlap)

        def found(**settings):
            rows = runs.Run(**settings).full_scale("filter_overlap")
            return None if rows is None else rows["value"].tolist()

        assert found(model="base") == [0.5]
        assert found(model="dense") == [0.6]
        assert found(model="dense", epsilon=0.1) == [0.6]
        assert found(model="dense", epsilon=0.3) is None
        assert found(model="dense", fraction=0.2) is None

    def test_a_record_is_not_searched_for_what_it_sweeps_over(self, record_full_scale):
        curve = pd.DataFrame({"epsilon": [0.1, 0.3], "value": [0.5, 0.4]})
        record_full_scale("epsilon_curve", curve)
        here = curve.assign(value=0.0)
        usual = runs.Run(epsilon=0.3).both("epsilon_curve", here, swept="epsilon")
        assert usual["value"].tolist() == [0.5, 0.4, 0, 0]
        assert usual["run"].tolist() == ["full scale"] * 2 + ["this run"] * 2
        changed = runs.Run(epsilon=0.1).both("epsilon_curve", here, swept="epsilon")
        assert set(changed["run"]) == {"this run"}

    def test_other_names_are_refused(self):
        with pytest.raises(ValueError, match="radius is not one of the settings"):
            runs.Run(radius=0.3)

    def test_the_usual_settings_are_the_papers(self):
        quoted = paper.quoted()
        assert runs.USUAL["epsilon"] == quoted["filter identification epsilon"]
        assert runs.USUAL["epsilon"] == quoted["adversarial training epsilon"]
        assert runs.USUAL["fraction"] == quoted["dominant filter fraction"]


class TestAcross:
    rows = pd.DataFrame(
        [
            ("full scale", "noise", "a", 0.5),
            ("full scale", "clean", "b", np.nan),
            ("this run", "clean", "c", 0.3),
            ("this run", "pgd", "d", 0.4),
        ],
        columns=["run", "rung", "budget", "accuracy"],
    )

    def test_runs_stand_beside_each_other_and_rows_are_ordered_as_in_the_last(self):
        wide = tables.across(self.rows, ["rung"], ["budget", "accuracy"])
        assert list(wide) == [
            *("rung", "budget, full scale", "budget, this run"),
            *("accuracy, full scale", "accuracy, this run"),
        ]
        assert wide["rung"].tolist() == ["clean", "pgd", "noise"]
        assert wide["budget, this run"].fillna("").tolist() == ["c", "d", ""]
        assert wide["accuracy, full scale"].fillna(0).tolist() == [0, 0, 0.5]

    def test_one_run_has_one_column(self):
        alone = self.rows[self.rows["run"] == "this run"]
        assert list(tables.across(alone, ["rung"], ["accuracy"])) == ["rung", "accuracy, this run"]


class TestKept:
    @pytest.mark.parametrize(
        ("worst", "said"), [(0.7, "is kept"), (0.3, "not seen"), (0.52, "undecided")]
    )
    def test_a_half_is_kept_if_the_whole_interval_says_so(self, worst, said):
        rungs = ["clean", "pgd", "fmn"]
        ladder = pd.DataFrame({"rung": rungs, "accuracy": [0.9, worst, 0.8], "images": 100})
        ladder["worst case"] = ladder["accuracy"].cummin()
        found = tables.kept(ladder)
        assert (found["clean"], found["robust"]) == (0.9, worst)
        assert found["more than half"] == said


class TestShow:
    frame = pd.DataFrame(
        {"model": ["base", "dense"], "epsilon": [0.3, 0.25], "paper": [0.9894, np.nan]}
    )

    def html(self, **options):
        return tables.show(self.frame, **options).to_html()

    def test_shares_are_percentages_and_settings_are_not(self):
        cells = re.findall(r"<td[^>]*>([^<]*)</td>", self.html())
        assert cells == ["base", "0.3", "98.94%", "dense", "0.25", "\N{EN DASH}"]

    def test_counts_are_whole_numbers(self):
        frame = tables.side_by_side(1, paper.table(1))
        cells = re.findall(r"<td[^>]*>([^<]*)</td>", tables.show(frame, percent=False).to_html())
        assert cells[:5] == ["Conv2D", "28 x 28 x 32", "832", "\N{EN DASH}", "832"]
        assert "100,384" in cells
        assert ">120,042<" in tables.show(pd.DataFrame({"total": [120042]})).to_html()

    def test_columns_that_name_a_row_become_one(self):
        html = self.html(names=["model", "epsilon"])
        cells = re.findall(r"<t[dh][^>]*>([^<]*)</t[dh]>", html)
        assert cells[:4] == ["model, epsilon", "paper", "base, 0.3", "98.94%"]

    def test_the_caption_is_there_and_the_index_is_not(self):
        html = self.html(caption="What it shows")
        assert "<caption>What it shows</caption>" in html
        assert "row_heading" not in html

    def test_numbers_are_aligned_and_no_colour_is_named(self):
        html = self.html()
        style = html[: html.index("</style>")]
        aligned = re.findall(r"\.col(\d)[^{]*\{\s*text-align: (\w+)", style)
        assert aligned == [("0", "left"), ("1", "right"), ("2", "right")]
        assert "color" not in style
        # The theme gives a dark page's tables their colours by this class.
        assert 'class="dataframe"' in html

    @pytest.mark.parametrize(
        ("values", "side"),
        [
            (["+2.6 [1.2, 3.9]", "\N{EN DASH}"], "right"),
            (["40 steps", "none"], "left"),
            (["yes", "no"], "left"),
            ([0.5, 1.0], "right"),
        ],
    )
    def test_text_that_begins_with_a_number_is_aligned_as_one(self, values, side):
        style = tables.show(pd.DataFrame({"what": values})).to_html()
        assert f"text-align: {side}" in style[: style.index("</style>")]

    def test_equal_tables_give_equal_html(self):
        assert self.html(caption="a") == self.html(caption="a")
        assert self.html(caption="a") != self.html(caption="b")


CLOTHES = records.AttackedOn("fashion-mnist", 1_000, 0.15)


class TestSaveNetwork:
    LADDER = pd.DataFrame(
        {
            "rung": ["clean", "pgd"],
            "budget": ["\N{EN DASH}", "40 steps"],
            "accuracy": [0.99, 0.125],
            "worst case": [0.99, 0.1],
        }
    )

    def test_keras_alone_loads_it_and_the_card_has_the_ladder(self, folder):
        inputs = keras.Input((2,))
        network = keras.Model(inputs, keras.layers.Dense(3)(inputs))
        path = records.save_network("small", network, self.LADDER, "A small one.", attacked=CLOTHES)
        images = np.ones((4, 2), np.float32)
        again = keras.saving.load_model(path)
        np.testing.assert_array_equal(again(images), network(images))
        card = path.with_suffix(".md").read_text(encoding="utf-8")
        assert (
            "A small one. Attacked at epsilon 0.15 on the\n"
            "first 1,000 test images (fashion-mnist)." in card
        )
        assert "| pgd | 40 steps | 12.50% | 10.00% |" in card
        origins = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
        assert origins["models/small"]["dataset"] == "fashion-mnist"
        assert origins["models/small"]["code"] == provenance.code_digest("stages.adaptive")
        assert {one.name for one in path.parent.iterdir()} == {"small.keras", "small.md"}

    def test_networks_are_told_apart_by_what_they_read(self, monkeypatch):
        monkeypatch.setenv("LIB_RESULTS", str(records.FULL_SCALE))
        inputs = keras.Input((2,))
        network = keras.Model(inputs, keras.layers.Dense(1)(inputs))
        for name, dataset in (("shoes", "fashion-mnist"), ("digits", "mnist")):
            records.save_network(
                name, network, self.LADDER, "", attacked=CLOTHES._replace(dataset=dataset)
            )
        origins = json.loads((records.FULL_SCALE / "provenance.json").read_text("utf-8"))
        del origins["models/digits"]["dataset"]  # as in the first records
        (records.FULL_SCALE / "provenance.json").write_text(json.dumps(origins), "utf-8")
        for dataset, names in (
            ("mnist", ["digits"]),
            ("mnist-5k", ["digits"]),
            ("fashion-5k", ["shoes"]),
        ):
            assert [path.stem for path in records.networks_of(dataset)] == names
        with pytest.raises(parameters.RefusedError, match="no network of letters: name a file"):
            records.networks_of("letters")

    def test_a_failure_leaves_the_old_network(self):
        class Full:
            def save(self, path):
                Path(path).write_bytes(b"half")
                raise OSError("no space left on device")

        inputs = keras.Input((2,))
        path = records.save_network(
            "small",
            keras.Model(inputs, keras.layers.Dense(1)(inputs)),
            self.LADDER,
            "",
            attacked=CLOTHES,
        )
        before = path.read_bytes()
        with pytest.raises(OSError, match="no space"):
            records.save_network("small", Full(), self.LADDER, "", attacked=CLOTHES)
        assert path.read_bytes() == before
        assert {one.name for one in path.parent.iterdir()} == {"small.keras", "small.md"}
