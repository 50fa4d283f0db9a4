"""The paper's tables: rows, spread and tests from known numbers; and every table from end to end on a tiny run."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from PIL import Image as Pillow

from emoticrafter.weights import read_metadata
from tests.tiny_miniature import Paints, make_run, save_tiny_network
from trainer.core.rows import DataError
from trainer.evaluation.manifest import read_manifest
from trainer.evaluation.results import ALWAYS_0
from trainer.miniature.recipe import TINY
from trainer.painters.plan import grid, is_method_name
from trainer.tables import draw, fits, make, people, text
from trainer.tables.__main__ import main
from trainer.tables.figures import Found, Row
from trainer.tables.fits import check_base, fit
from trainer.tables.rows import DEVIATION, LABELS, NETWORKS, OURS, PICTURES, PLAIN, REWRITING, TABLES, TITLES
from trainer.tables.settings import table_names
from trainer.tables.sources import Drawing, Miniature, Sdxl, given_networks, method_name

PROMPTS = 14  # with fewer, scipy tries all signs of tied differences: seconds for a test

# ---- numbers ---------------------------------------------------------------------------------------


def found(rows: dict[str, list[list[float]]], figure: str = "V-Error") -> Found:
    """A table of one figure from its values by row, network and prompt; networks are of seeds 0, 1 …"""
    made = {}
    for name, values in rows.items():
        seeds = tuple(range(len(values))) if name in NETWORKS else ()
        made[name] = Row(TITLES.get(name, name), {figure: np.array(values)}, seeds)
    return Found(len(rows[OURS][0]), 25, 1, made, (figure,), {"valence and arousal": "a test"}, [])


def test_networks_are_averaged_prompt_by_prompt_and_their_spread_stands_beside():
    row = found({OURS: [[0.0] * 6 + [1.0] * 6, [1.0] * 12]}).rows[OURS]
    assert row.seeds == (0, 1) and row.of_networks("V-Error") == [0.5, 1.0]
    assert row.estimate("V-Error").mean == pytest.approx(0.75)
    assert row.deviation("V-Error") == pytest.approx(np.std([0.5, 1.0], ddof=1))
    assert row.over_networks("V-Error").tolist() == [0.5] * 6 + [1.0] * 6
    assert found({OURS: [[1.0] * 12]}).rows[OURS].deviation("V-Error") is None


def test_rows_are_tested_against_ours_alone_with_holms_correction():
    base = np.linspace(0.1, 0.6, PROMPTS)
    either_way = base + np.tile([0.3, -0.3], PROMPTS // 2) * np.arange(1, PROMPTS + 1)
    rows = {OURS: [base, base + 0.01], "time-embedding": [base + 1, base + 2], REWRITING: [either_way]}
    table = found(rows)
    assert set(table.tests) == {("V-Error", "time-embedding", OURS), ("V-Error", REWRITING, OURS)}
    test, p = table.tests["V-Error", "time-embedding", OURS]
    assert test.effect == 1 and test.difference == pytest.approx(1.495)
    assert p == pytest.approx(2 * test.p) and p < 0.01  # the smaller of two
    shown = text.shown(table, "python -m trainer.tables 1")
    assert "| time embedding | 2 | 1.850 ± 0.707 * |" in shown
    [rewriting] = [line for line in shown.splitlines() if line.startswith("| rewriting | – |")]
    assert "*" not in rewriting and "±" not in rewriting
    assert shown.endswith("Made by `python -m trainer.tables 1`.")


@pytest.mark.parametrize(
    ("ours", "other", "said"),
    [
        ([0.0, 0.04], [0.01, 0.052], "0.331 ± 0.030 *"),  # both seeds say so, though they lie further apart
        ([0.0, 0.01], [0.03, 0.01], "0.320 ± 0.014 |"),  # every prompt agrees, but one seed alone says so
        ([0.0, 0.01], [0.05], "0.350 |"),
        ([0.0], [0.05, 0.06], "0.355 ± 0.007 |"),
    ],
)
def test_a_star_needs_a_difference_between_prompts_and_between_networks(ours, other, said):
    base = np.linspace(0.1, 0.5, PROMPTS)
    table = found({OURS: [base + by for by in ours], "improved": [base + by for by in other]})
    [(_, p)] = table.tests.values()
    assert p < 0.01
    assert f"| {said}" in text.shown(table, "command")


def test_rows_are_compared_over_the_seeds_that_both_have():
    base = np.linspace(0.1, 0.6, PROMPTS)
    table = found({OURS: [base, base + 0.01, base + 9], "unweighted": [base + 0.02, base + 0.03]})
    test, _ = table.tests["V-Error", "unweighted", OURS]
    assert test.difference == pytest.approx(0.02)
    unweighted, ours = table.rows["unweighted"], table.rows[OURS]
    assert unweighted.differences(ours, "V-Error") == pytest.approx([0.02, 0.02])


def test_a_pair_of_rows_is_compared_beside_ours():
    base = np.linspace(0.1, 0.6, PROMPTS)
    rows = {OURS: [base, base], "paper": [base, base + 0.02], "paper-improved": [base - 0.09, base - 0.08]}
    table = replace(found(rows), pairs=(("paper-improved", "paper"), ("improved", "paper")))
    shown = text.shown(table, "command")
    line = "| paper's recipe, improved − paper's recipe | -0.095 *, p < 0.001, r -1.00 |"
    assert line in shown and "ours, improved −" not in shown  # which is not there
    [test] = text.as_json(table, {})["further"]
    assert (test["first"], test["second"], test["effect"]) == ("paper-improved", "paper", -1)


def test_too_few_prompts_get_no_test_and_no_interval():
    shown = text.shown(found({OURS: [[0.1, 0.2]], REWRITING: [[0.3, 0.4]]}), "command")
    assert "| ours, the paper's form | 1 | 0.150 |" in shown
    assert "differs from “ours, the paper's form” at" in shown, "two rows may be ours"
    assert "\n| ours, the paper's form | – |\n" in shown  # no interval
    # Neither an interval nor a test.
    assert "| rewriting | – | 0.350 |" in shown and shown.count("\n| rewriting | – |\n") == 2


def test_json_has_every_network():
    table = found({OURS: [[0.1] * 6, [0.3] * 6], ALWAYS_0: [[1.8] * 6]})
    stored = json.loads(json.dumps(text.as_json(table, {OURS: ["a", "b"]}), allow_nan=False))
    ours = stored["rows"][OURS]
    assert ours["networks"] == ["a", "b"]
    assert ours["figures"]["V-Error"]["networks"] == pytest.approx([0.1, 0.3])
    assert stored["rows"][ALWAYS_0]["figures"]["V-Error"]["against ours"]["p"] < 0.05


# ---- what is named ---------------------------------------------------------------------------------


def test_tables_are_named_as_the_paper_names_them():
    assert table_names(["1"]) == ["table 1"]
    assert table_names(["1", "2", "3", "4", "figure", "10", "settings"]) == list(TABLES)
    assert table_names(["figure", "10", "1", "table", "1"]) == ["figure 10", "table 1"]
    with pytest.raises(DataError, match="'7' is not a table: expected 1, 2, 3, 4, figure 10 or settings"):
        table_names(["7"])


def test_every_row_has_a_title_and_a_name_that_a_manifest_takes():
    for table in TABLES.values():
        assert OURS in table.rows and {table.reference, *table.rows} <= set(TITLES)
    assert set(NETWORKS) <= set(TITLES)
    assert method_name("scale-1.5", 2) == "scale-1_5-2"
    for row in NETWORKS:
        assert is_method_name(method_name(row, 0))


def test_networks_are_where_their_commands_put_them(tmp_path):
    source = Miniature(tmp_path / "run", tmp_path / "baselines", 2)
    [pictures, _], [deviation, _] = source.drawings(PICTURES), source.drawings(DEVIATION)
    assert pictures.network == tmp_path / "run/emotion/pictures-0/network.safetensors"
    assert deviation.network == tmp_path / "run/emotion/network-5700-0/network.safetensors"
    first, second = source.drawings("improved")
    path = tmp_path / "run/emotion/improved-0/network.safetensors"
    assert first == Drawing("improved", "improved-0", path, 0)
    assert second.seed == 1
    [baseline, _] = source.drawings("time-embedding")
    assert baseline.network == tmp_path / "baselines/time-embedding-0/network.safetensors"
    assert source.drawings(PLAIN) == [Drawing(PLAIN, PLAIN)]
    first.network.parent.mkdir(parents=True)
    first.network.touch()
    assert not source.is_fitted(first)  # training writes the best so far before it has ended
    first.network.with_name("finished").touch()
    assert source.is_fitted(first)


def test_what_a_network_begins_with_is_fitted_before_it_and_once(tmp_path):
    source = Miniature(tmp_path / "run", tmp_path / "baselines", 2)
    [first, second], [labels, _] = source.drawings(PICTURES), source.drawings(LABELS)
    waiting = [drawing.method for drawing in source.missing([first, second, labels])]
    assert waiting == ["deviation-0", "labels-0", "pictures-0", "deviation-1", "labels-1", "pictures-1"]
    labels.network.parent.mkdir(parents=True)
    labels.network.touch()
    assert source.missing([first, labels]) == [first]


def test_given_networks_are_checked(tmp_path):
    file = tmp_path / "a.safetensors"
    file.touch()
    assert given_networks([f"ours={file}", f"ours={file}"]) == {OURS: [file, file]}
    with pytest.raises(DataError) as error:
        given_networks(["their=x", f"ours={tmp_path / 'none'}", "ours"])
    assert "NAME one of ours" in str(error.value) and "none does not exist" in str(error.value)
    assert len(str(error.value).splitlines()) == 3


# ---- from end to end -------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path):
    """An untrained run with two networks of ours, two of its paper's form, and one of each of the others of table 4."""
    return make_run(
        tmp_path / "run", "default-0", "default-1", "unweighted-0", "scale-1.5-0", "pictures-0", "pictures-1"
    )


@pytest.fixture
def tables(run, tmp_path, monkeypatch):
    """Runs the command with a painter of colours; gives its status and what was drawn."""

    def command(*words, source=("--run", str(run), "--baselines", str(tmp_path / "baselines"))):
        painter = Paints()
        monkeypatch.setattr("trainer.painters.draw.load_painter", lambda settings, device: painter)
        common = ["--out", str(tmp_path / "tables"), "--prompts", str(PROMPTS), "--device", "cpu"]
        return main([*source, *common, *words]), painter.drawn

    return command


@pytest.fixture
def nine_points(monkeypatch):
    """Fewer pictures than the 25 points need, and fewer shuffles."""
    monkeypatch.setattr("trainer.evaluation.results.SHUFFLES", 2)
    monkeypatch.setattr(draw, "POINTS", grid((-3.0, 0.0, 3.0)))


@pytest.mark.slow
def test_every_table_is_made_and_made_again_from_what_is_fitted(tables, nine_points, tmp_path, capsys):
    document = tmp_path / "docs" / "results.md"
    document.parent.mkdir()
    document.write_text("# Results\n\n## One\n\n<!-- table 1: begin -->\n<!-- table 1: end -->\n\nAfter.\n")
    code, drawn = tables(*["1", "2", "4", "figure", "10", "--no-fit", "--networks", "2", "--table"], str(document))
    said = capsys.readouterr().out
    assert code == 0, said
    assert "left out, because they are not fitted: cross-attention-0, cross-attention-1" in said
    methods = "truth ours-0 ours-1 pictures-0 pictures-1 rewriting plain unweighted-0 scale-1_5-0"
    assert {task.method for task in drawn} == set(methods.split())
    assert len(drawn) == PROMPTS * (8 * 9 + 1)
    assert len(read_manifest(tmp_path / "tables" / "images" / "manifest.jsonl")) == len(drawn)
    shown = document.read_text()
    assert shown.startswith("# Results\n\n## One\n\n<!-- table 1: begin -->\n\n14 prompts at 9 points, 1 picture seed.")
    assert "\nAfter.\n" in shown
    for name in ("table 1", "table 2", "table 4", "figure 10"):
        assert f"<!-- {name}: begin -->" in shown
    one = (tmp_path / "tables" / "table-1.md").read_text()
    for row in ("ours", "ours, labels shuffled", "ours, labels negated", "ours, the paper's form"):
        assert f"\n| {row} | 2 |" in one
    for row in ("truth", "rewriting", "plain prompts", "always 0"):
        assert f"\n| {row} | – |" in one
    assert "instant field" not in one, "it is not fitted"
    assert "V-Error 2" in one and "The two readers differ in valence by" in one
    csv = (tmp_path / "tables" / "table-1-images.csv").read_text().splitlines()
    assert len(csv) == 1 + PROMPTS * (6 * 9 + 1) and "read valence 2" in csv[0]
    assert "cross attention" not in one and "content" in one and "CLIPScore" not in one
    four = (tmp_path / "tables" / "table-4.md").read_text()
    assert "| ours, the paper's form | 2 |" in four and "| ours, the paper's form, labels negated | 2 |" in four
    # What the others are tested against has no test itself.
    assert one.count("\n| ours | ") == 2 and four.count("\n| ours, the paper's form | ") == 2
    two = (tmp_path / "tables" / "table-2.md").read_text()
    assert "LPIPS-Continuous" in two and "always 0" not in two
    assert "\n| ours, the paper's form | – |" not in two.partition("Further comparisons")[2]
    for name in ("figure-10.png", "table-1.jpg"):
        for picture in (tmp_path / "tables" / name, document.parent / "images" / name):
            assert Pillow.open(picture).size[0] > 600
    assert "along valence and along arousal, by each method](images/table-1.jpg)" in shown

    assert tables("1", "--no-fit", "--networks", "2") == (0, [])
    again = (tmp_path / "tables" / "table-1.md").read_text()
    assert again.partition("Made by")[0] == one.partition("Made by")[0]


@pytest.mark.slow
def test_the_study_says_that_no_people_were_asked(tables, tmp_path):
    code, drawn = tables("3", "--networks", "2")
    assert code == 0 and {task.method for task in drawn} == {"pictures-0", "ours-0", "rewriting"}
    shown = (tmp_path / "tables" / "table-3.md").read_text()
    assert "**No people were asked.** 24 simulated participants" in shown
    assert "pictures of ours and rewriting" in shown
    assert "| V-ranking (tau) ↑ |" in shown and "published" not in shown and "smoothness (1-5)" not in shown
    [study] = (tmp_path / "tables").glob("study-*")
    assert (study / "page" / "index.html").is_file()
    # People's files have a table of their own: here, the simulated ones, which the report goes on calling so.
    answers = ["--answers", str(study / "simulated answers"), "--key", str(study / "key.json")]
    assert tables("3", *answers) == (0, [])
    of_people = (tmp_path / "tables" / "table-3-of-people.md").read_text()
    assert of_people.startswith("# Table 3 of people: User study ") and "No people were asked" in of_people
    assert "miniature" not in of_people.partition("\n")[0]
    assert (tmp_path / "tables" / "table-3.md").read_text() == shown


def test_a_study_with_too_few_prompts_is_refused_before_anything_is_drawn(tables, tmp_path, capsys):
    assert tables("3", "--prompts", "8") == (1, [])
    said = capsys.readouterr().err
    assert "error: table 3 needs 10 prompts" in said and "Give --prompts 10 or more" in said
    assert "--order" not in said and not (tmp_path / "tables").exists()
    assert people.too_few(5, 2) is people.too_few(None, 1) is None
    assert "--prompts 4 with --seeds 2 is 8. Give --prompts 5" in people.too_few(4, 2)


@pytest.mark.slow
def test_a_table_that_cannot_be_made_leaves_the_others(tables, nine_points, tmp_path, monkeypatch, capsys):
    find = make.find

    def fails(table, *rest):
        if table is TABLES["table 2"]:
            raise DataError("its pictures are gone")
        return find(table, *rest)

    monkeypatch.setattr(make, "find", fails)
    code, drawn = tables("2", "3", "4", "--no-fit", "--networks", "1", "--prompts", "2")
    said = capsys.readouterr().err
    assert code == 1 and drawn
    assert "error: table 3 needs 10 prompts" in said and "error: table 2: its pictures are gone" in said
    made = {path.name for path in (tmp_path / "tables").glob("*.md")}
    assert made == {"table-4.md"}


@pytest.mark.slow
def test_a_dry_run_says_what_is_missing_and_does_nothing(tables, tmp_path, capsys):
    assert tables("1", "--dry-run", "--networks", "2") == (0, [])
    said = capsys.readouterr().out
    assert (
        "fits: 11 are missing" in said
        and "instant-2000/network.safetensors" in said
        and "cross-attention-1/network.safetensors" in said
    )
    assert "pictures: 6,314 of 6,314 are missing" in said and "0.01 GB" in said
    assert not (tmp_path / "tables").exists()
    assert tables("1", "--dry-run", "--networks", "2", "--no-fit") == (0, [])
    assert "their rows are left out\npictures: 2,114 of 2,114" in capsys.readouterr().out


@pytest.mark.slow
def test_sdxl_takes_networks_by_name(tables, nine_points, run, tmp_path, capsys):
    network = save_tiny_network(tmp_path / "mine.safetensors", sum(TINY.text_widths))
    words = ["--sdxl", "somewhere", "--reader", str(run / "readers" / "emotion.safetensors")]
    words += ["--clip", "none", "--lpips", "none", "--network", f"ours={network}", f"ours={network}"]
    code, drawn = tables("1", *words, f"deviation={network}", f"unweighted={network}", source=())
    assert code == 0, capsys.readouterr().err
    assert {task.method for task in drawn} == {"ours-0", "ours-1", "deviation-0", "plain"}
    given = Sdxl("somewhere", {row: [network] for row in (OURS, DEVIATION)}, None)
    strengths = [given.painter(*given.drawings(row)).as_json()["strength"] for row in (OURS, DEVIATION)]
    assert strengths == [1.0, 0.9], "as the row's title says"
    shown = (tmp_path / "tables" / "table-1.md").read_text()
    assert shown.startswith("# Table 1 on SDXL (somewhere): Five methods")
    assert "| ours, the paper's form | 2 |" in shown and "content" not in shown
    assert "− ours" not in shown, "what is tested against ours is no further comparison"
    tables("1", *words, "--dry-run", source=())
    assert "pictures: 0 of 266 are missing" in capsys.readouterr().out
    alone = [*words[: words.index("--network")], "--network", f"pictures={network}"]
    assert tables("1", *alone, source=())[0] == 0 and "| ours | 1 |" in (tmp_path / "tables" / "table-1.md").read_text()
    assert tables("4", *alone, source=()) == (1, [])
    assert "Table 4 lacks a network of ours, which its other rows are compared with." in capsys.readouterr().err


def test_what_is_wrong_is_said_in_a_line(tables, capsys):
    for words, said in (
        ("9", "'9' is not a table"),
        ("1 --networks 0", "--networks 0: expected at least 1"),
        ("3 --answers x", "--answers and --key go together"),
        ("1 --sdxl x", "--sdxl needs --reader"),
        ("1 --sdxl x --reader y", "--sdxl needs --network ours=FILE or pictures=FILE"),
        ("1 --network ours=x", "are for --sdxl"),
        ("1 --run none --shipped nowhere", "nowhere has no unet.safetensors"),
    ):
        assert tables(*words.split())[0] == 1
        error = capsys.readouterr().err
        assert "error: " in error and said in error and "Traceback" not in error


def test_without_a_network_of_ours_there_is_no_table(tables, run, capsys):
    for name in ("pictures-0", "pictures-1"):
        (run / "emotion" / name / "network.safetensors").unlink()
    for name in ("default-0", "default-1"):
        (run / "emotion" / name / "finished").unlink()
    assert tables("1", "--no-fit")[0] == 1
    assert "Table 1 lacks a network of pictures or ours, which" in capsys.readouterr().err


# ---- fits ------------------------------------------------------------------------------------------


def test_a_baseline_of_another_run_is_refused(run, tmp_path):
    from emoticrafter.research.baselines import TimeEmbedding, TimeEmbeddingConfig, save_baseline

    source = Miniature(run, tmp_path / "baselines", 1)
    [drawing] = source.drawings("time-embedding")
    check_base(source, [drawing])  # not fitted yet
    for other in ("0" * 64, None):
        training = {"base": {"unet_sha256": other}} if other else None
        save_baseline(TimeEmbedding(TimeEmbeddingConfig(64)), drawing.network, training)
        with pytest.raises(DataError, match="fitted to another generator than that of"):
            check_base(source, [drawing])


@pytest.mark.slow
def test_what_is_missing_is_fitted_by_the_baselines_and_the_miniatures_own_commands(run, tmp_path, monkeypatch):
    from trainer.baselines.settings import Settings

    monkeypatch.setattr("trainer.tables.fits.Settings", partial(Settings, steps=2, batch=2))
    source = Miniature(run, tmp_path / "baselines", 1)
    missing = [*source.drawings("time-embedding"), *source.drawings("improved")]
    assert not any(map(source.is_fitted, missing))
    fit(source, missing, "cpu")
    check_base(source, missing)
    assert all(map(source.is_fitted, missing))
    assert (run / "latents.npy").is_file()
    settings = json.loads((missing[1].network.parent / "run.json").read_text())["settings"]
    assert (settings["weight_clip"], settings["preserve"]) == (5.0, 0.25)


@pytest.mark.slow
def test_a_network_is_fitted_to_captions_and_then_to_pictures(run, tmp_path, monkeypatch):
    monkeypatch.setattr("trainer.tables.fits.STEPS", 2)
    short = {row: replace(settings, steps=2, batch=2) for row, settings in fits.STAGES.items()}
    monkeypatch.setattr("trainer.tables.fits.STAGES", short)
    source = Miniature(run, tmp_path / "baselines", 3)
    drawings = [source.drawings(row)[2] for row in (PICTURES, DEVIATION)]
    fit(source, drawings, "cpu")
    assert all(map(source.is_fitted, drawings))
    training, captions = (read_metadata(drawing.network)["training"] for drawing in drawings)
    labels, reader = (stage["settings"] for stage in training["stages"])
    assert (reader["teacher"], reader["seed"]) == ("reader", 2)
    assert (labels["teacher"], labels["residual_scale"], labels["contrary_share"]) == ("labels", 0.9, 0.25)
    assert (labels["seed"], captions["seed"]) == (2, 2)
