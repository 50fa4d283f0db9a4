"""The report of a run: whole in one file, and clear about what is missing."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch

from trainer.report import main
from trainer.train import main as train

pytestmark = pytest.mark.slow

SMALL = "--width 64 --depth 1 --emotion-tokens 2 --emotion-hidden 16 --batch 8 --steps 6 --validate-every 3"


@pytest.fixture(scope="module")
def trained(data_folder, tmp_path_factory):
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("runs") / "a <run>"
    assert train([*f"{SMALL} --log-every 2".split(), "--data", str(data_folder), "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def page(trained):
    assert main([str(trained)]) == 0
    return (trained / "report.html").read_text()


def test_report_holds_every_figure_in_light_and_dark(trained, page):
    names = {path.stem for path in (trained / "report").glob("*.png")}
    plain = {"data", "density", "weights", "losses", "sensitivity", "directions"}
    assert names == plain | {f"{name}-dark" for name in plain}
    assert page.count("data:image/png;base64,") == len(names)
    assert page.count("<picture>") == len(plain)


def test_report_needs_no_other_file(page):
    assert not re.findall(r"""(?:src|href|srcset)=["'](?!data:)""", page)
    assert "<script" not in page
    assert "url(" not in page


def test_report_tells_settings_and_provenance(page, trained):
    told = json.loads((trained / "run.json").read_text())
    known = ("density power", "plane (for tests)", "not recorded: see its source", "a &lt;run&gt;", "6 of 6")
    for said in (told["data"]["fingerprint"], *known):
        assert said in page


def test_report_of_a_run_under_way(trained, tmp_path):
    """Before the first validation there is no network and no sensitivity yet."""
    for name in ("run.json", "metrics.jsonl"):
        shutil.copy(trained / name, tmp_path / name)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "metrics.jsonl").write_text(lines[0])
    assert main([str(tmp_path)]) == 0
    assert "none yet" in (tmp_path / "report.html").read_text()
    assert not (tmp_path / "report/sensitivity.png").exists()


def test_a_folder_that_is_no_run_is_refused(trained, tmp_path, capsys):
    assert main([str(tmp_path)]) == 1
    assert "there is no run.json" in capsys.readouterr().err
    shutil.copy(trained / "run.json", tmp_path)
    assert main([str(tmp_path)]) == 1
    assert "has no metrics yet: wait for the first lines" in capsys.readouterr().err


def test_a_damaged_run_json_is_named(trained, tmp_path, capsys):
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    for text in ("", "{", "{}", "[]", "null", '{"settings": []}'):
        (run / "run.json").write_text(text)
        assert main([str(run)]) == 1
        error = capsys.readouterr().err
        assert f"error: {run / 'run.json'} is damaged (" in error and "--resume writes it anew" in error


@pytest.mark.parametrize("name", ["network.safetensors", "sensitivity.json"])
def test_other_damaged_files_are_named(trained, tmp_path, capsys, name):
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    (run / name).write_bytes((run / name).read_bytes()[:500])
    assert main([str(run)]) == 1
    assert f"error: {run / name} is damaged" in capsys.readouterr().err
    (run / name).unlink()
    assert main([str(run)]) == 0, "the rest is still shown"


def test_damaged_lines_of_metrics_are_left_out(trained, tmp_path):
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    with (run / "metrics.jsonl").open("a") as file:
        file.write('null\n[]\n{"kind": "train"}\n{"step": 7}\n{"kind": "train", "step": 8}\n{"ki')
    assert main([str(run)]) == 0
    assert "6 of 6" in (run / "report.html").read_text()


def test_untrained_encoders_are_told_at_the_head(trained, page, tmp_path):
    said = "WARNING: trained on untrained stand-in encoders: fits no real checkpoint."
    assert said not in page
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    told = json.loads((run / "run.json").read_text())
    told["data"]["encoder"]["name"] = "tiny (untrained)"
    (run / "run.json").write_text(json.dumps(told))
    assert main([str(run)]) == 0
    text = (run / "report.html").read_text()
    assert text.index("<h1>") < text.index(said) < text.index("<dl>")


def test_moved_data_is_asked_for(trained, tmp_path, data_folder, capsys):
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    told = json.loads((run / "run.json").read_text())
    told["settings"]["data"] = str(tmp_path / "gone")
    (run / "run.json").write_text(json.dumps(told))
    assert main([str(run)]) == 1
    assert "give its new place with --data" in capsys.readouterr().err
    assert main([str(run), "--data", str(data_folder)]) == 0


def test_other_data_is_refused(trained, tmp_path, data_folder, capsys):
    text = (data_folder / "pairs.jsonl").read_text()
    (tmp_path / "pairs.jsonl").write_text(text.replace('"made"', '"other"'))
    assert main([str(trained), "--data", str(tmp_path)]) == 1
    assert "holds other data than the run was trained on" in capsys.readouterr().err
