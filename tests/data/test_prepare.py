"""python -m trainer.prepare: the data folder, going on, refusing, and what it prints."""

import json
from dataclasses import replace

import numpy as np
import pytest

from trainer import prepare
from trainer.data.data_folder import PrepareSettings, collect_pairs
from trainer.data.data_folder import prepare as prepare_folder
from trainer.data.pairs import load_table
from trainer.data.scales import Scale
from trainer.features.store import FeatureStore

PAIRS = "neutral,emotional,valence,arousal\n" + "".join(
    f"A house number {k},A house number {k} in a mood,{1 + k % 9},{1 + k // 9}\n" for k in range(72)
)


@pytest.fixture
def pairs(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text(PAIRS)
    return path


@pytest.mark.slow
def test_pairs_and_features_from_an_own_file(pairs, tmp_path, capsys):
    out = tmp_path / "data"
    arguments = ["--pairs", str(pairs), "--scale=1..9", "--limit", "6", "--out", str(out)]
    assert prepare.main([*arguments, "--encoder", "tiny"]) == 0
    text = capsys.readouterr().out
    assert "6 pairs (5 to train, 1 to validate)" in text
    assert f"next: python -m trainer.train --data {out} --out runs/data" in text
    table = load_table(out)
    store = FeatureStore(out / "features", table)
    assert len(store) == 6 and store.neutral([0, 5]).shape == (2, 77, store.width)
    about = json.loads((out / "about.json").read_text())
    assert about["fingerprint"] == table.fingerprint() and "licence" not in about


@pytest.mark.slow
def test_findingemo_is_the_default_and_names_its_licence(tmp_path, capsys):
    out = tmp_path / "data"
    assert prepare.main(["--out", str(out), "--limit", "300", "--pairs-only"]) == 0
    text = capsys.readouterr().out
    assert "CC BY-NC-SA 4.0" in text and "not for commercial use" in text
    assert "valence -3.00 to +3.00" in text and "sources: findingemo 300" in text
    assert "next: the same command without --pairs-only" in text
    table = load_table(out)
    assert len(table) == 300 and not (out / "features").exists()
    # As all annotations: mean 0.33 and -0.19.
    assert abs(table.valence.mean() - 0.4) < 0.15 and abs(table.arousal.mean() + 0.2) < 0.15
    assert len(np.unique(np.stack([table.valence, table.arousal]), axis=1).T) > 35
    assert "CC BY-NC-SA" in json.loads((out / "about.json").read_text())["licence"]


def test_the_same_command_goes_on_and_other_pairs_are_not_replaced(pairs, tmp_path, capsys):
    out = tmp_path / "data"
    base = ["--pairs", str(pairs), "--scale=1..9", "--out", str(out), "--pairs-only"]
    assert prepare.main(base) == 0
    before = (out / "pairs.jsonl").read_bytes()
    assert prepare.main(base) == 0
    assert prepare.main([*base, "--limit", "5"]) == 1
    assert "holds other pairs. Choose another --out" in capsys.readouterr().err
    assert (out / "pairs.jsonl").read_bytes() == before


def test_bad_rows_are_refused_or_left_out(pairs, tmp_path, capsys):
    pairs.write_text(PAIRS + "A,B,10,1\nA,,1,1\n")
    arguments = ["--pairs", str(pairs), "--scale=1..9", "--out", str(tmp_path / "data"), "--pairs-only"]
    assert prepare.main(arguments) == 1
    error = capsys.readouterr().err
    assert "row 73 (line 74): valence is 10, outside 1..9" in error and "Traceback" not in error
    assert not (tmp_path / "data").exists()
    assert prepare.main([*arguments, "--skip-bad"]) == 0
    text = capsys.readouterr().out
    assert "2 problems, the rows are left out" in text and "72 pairs" in text


@pytest.mark.slow
def test_several_files_are_joined_without_leaks_and_without_a_word(pairs, tmp_path, capsys):
    other = tmp_path / "other.jsonl"
    row = {"neutral": "A HOUSE number 3", "emotional": "x", "valence": 5, "arousal": 5, "split": "validation"}
    other.write_text(json.dumps(row) + "\n")
    settings = PrepareSettings(tmp_path / "data", [pairs, other], Scale.parse("1..9"), encoder="tiny", limit=6)
    table = prepare_folder(settings)
    assert load_table(settings.out).fingerprint() == table.fingerprint()
    assert len(FeatureStore(settings.out / "features", table)) == 6
    assert "".join(capsys.readouterr()) == ""
    table, _ = collect_pairs(replace(settings, limit=None))
    assert len(table) == 73 and table.split[3] == table.split[72]


def test_wrong_options_are_refused(capsys):
    for arguments, message in (
        (["--scale=9..1"], "expected LOW..HIGH such as 1..9"),
        (["--validation", "1"], "from 0 to below 1"),
        (["--limit", "0"], "expected at least 1"),
        (["--limit", "5", "--seed", "-1"], "argument --seed: expected 0 or a positive integer, got -1"),
        (["--encoder"], "expected one argument"),
    ):
        with pytest.raises(SystemExit) as stopped:
            prepare.main(arguments)
        assert stopped.value.code == 2 and message in capsys.readouterr().err


def test_an_encoder_that_cannot_be_read_keeps_the_pairs(pairs, tmp_path, capsys):
    out = tmp_path / "data"
    encoder = tmp_path / "sd15.safetensors"
    encoder.write_bytes(b"not weights")
    arguments = ["--pairs", str(pairs), "--scale=1..9", "--out", str(out), "--encoder", str(encoder)]
    assert prepare.main(arguments) == 1
    assert "sd15.safetensors" in capsys.readouterr().err
    assert len(load_table(out)) == 72


def test_what_training_would_refuse_is_not_encoded(tmp_path, capsys):
    """Nothing is written, so that the same folder takes the mended file."""
    line, head = "A house number {k},A house {k} in a mood,{v},{a}\n", "neutral,emotional,valence,arousal\n"
    several = [(k, k % 7 - 3, k // 7 - 2) for k in range(35)]

    def rows(points, text=line):
        return head + "".join(text.format(k=k, v=v, a=a) for k, v, a in points)

    for name, content, more, message in (
        ("one row", rows(several[:1]), [], "None of the 1 pairs is for validation"),
        (
            "one prompt",
            rows(several, "A house,A house {k},{v},{a}\n"),
            [],
            "is for validation: training needs pairs of two",
        ),
        ("no share", rows(several), ["--validation", "0"], "a --validation share such as 0.01"),
        ("all validated", head.strip() + ",split\nA,B,1,2,validation\nC,D,2,1,validation\n", [], "is for training"),
        ("constant", rows([(k, v, 1) for k, v, _ in several]), [], "lie on one line or point"),
        ("equal", rows([(k, v, v) for k, v, _ in several]), [], "lie on one line or point"),
        ("a point", rows([(k, 1, 1) for k in range(9)]), [], "lie on one line or point"),
        ("far away", _far_away(), [], "is so far from all training pairs"),
    ):
        path, out = tmp_path / f"{name}.csv", tmp_path / name
        path.write_text(content)
        command = ["--pairs", str(path), "--out", str(out), *more]
        assert prepare.main([*command, "--encoder", "none.safetensors"]) == 1
        error = capsys.readouterr().err
        assert message in error and error.startswith(f"error: {path}: cannot be trained on. "), name
        assert not out.exists()
        assert prepare.main([*command, "--pairs-only"]) == 0, "they may be joined with others"
    capsys.readouterr()
    command = ["--pairs", str(tmp_path / "constant.csv"), "--out", str(tmp_path / "other"), "--bandwidth", "isotropic"]
    assert prepare.main([*command, "--encoder", "none.safetensors"]) == 1
    assert "The text encoders 'none.safetensors' were not found" in capsys.readouterr().err


def _far_away() -> str:
    lines = [f"p{k},q{k},{k % 5 / 1000},{k // 5 / 1000},train" for k in range(25)]
    return "\n".join(["neutral,emotional,valence,arousal,split", *lines, "far,away,3,3,validation"]) + "\n"


def test_unknown_commands_name_the_known_ones(capsys):
    assert prepare.main(["write-prompt"]) == 2
    assert "write-prompts" in capsys.readouterr().err
