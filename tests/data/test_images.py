"""Rated pictures: OASIS, EMOTIC and own lists become one image table; captions become pairs."""

import numpy as np
import pytest
from scipy.io import savemat

from trainer import prepare
from trainer.core.pictures import PictureFolder, path_inside
from trainer.core.rows import DataError
from trainer.data.images import RatedImage, caption_pairs, load_emotic, load_images, load_oasis, save_images
from trainer.data.pairs import load_table
from trainer.data.scales import Scale

OASIS = (
    '"","Theme","Category","Source","Valence_mean","Valence_SD","Valence_N","Arousal_mean","Arousal_SD","Arousal_N"\n'
    '"I1","Acorns 1","Object","Pixabay",4.68627450980392,0.94,102,2.35,1.4,101\n'
    '"I2","Fireworks 12","Scene","Pixabay",6.5,0.9,102,5.5,1.4,101\n'
)


@pytest.fixture
def oasis(tmp_path):
    folder = tmp_path / "Images"
    (folder / "more").mkdir(parents=True)
    (folder / "Acorns 1.jpg").touch()
    (folder / "more" / "fireworks 12.JPG").touch()
    path = tmp_path / "OASIS.csv"
    path.write_text(OASIS)
    return path, folder


def person(valence, arousal, **extra):
    return {"body_bbox": [0, 0, 9, 9], "annotations_continuous": {"valence": valence, "arousal": arousal}, **extra}


@pytest.fixture
def emotic(tmp_path):
    """Annotations.mat with the published structure: lists of structs, one or many people, one or many annotators."""
    folder = tmp_path / "emotic"
    for name in ("mscoco/images/a.jpg", "mscoco/images/b.jpg", "framesdb/images/c.jpg", "framesdb/images/d.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    votes = np.array(
        [(2.0, 9.0, 5.0), (4.0, 7.0, 5.0)], dtype=[(n, object) for n in ("valence", "arousal", "dominance")]
    )
    combined = {"combined_continuous": {"valence": 10.0, "arousal": 1.0}}

    def entry(folder_name, name, people):
        # A list of equal structs is a struct array, as MATLAB has it.
        array = np.empty(len(people), dtype=[(key, object) for key in people[0]])
        for k, one in enumerate(people):
            array[k] = tuple(one.values())
        return {"filename": name, "folder": folder_name, "person": array}

    def entries(*given):
        array = np.empty(len(given), dtype=[(key, object) for key in ("filename", "folder", "person")])
        for k, one in enumerate(given):
            array[k] = tuple(one.values())
        return array

    path = tmp_path / "Annotations.mat"
    savemat(
        path,
        {
            "train": entries(
                entry("mscoco/images", "a.jpg", [person(5.5, 10)]),
                entry("mscoco/images", "b.jpg", [person(1, 4), person(4, 7)]),
            ),
            "val": entries(entry("framesdb/images", "c.jpg", [person(2, 2, **combined)])),
            "test": entries(entry("framesdb/images", "d.jpg", [{"annotations_continuous": votes}])),
        },
    )
    return path, folder


def test_oasis_gives_ratings_files_and_captions(oasis):
    acorns, fireworks = load_oasis(*oasis)
    assert acorns == RatedImage(
        "oasis-Acorns 1", "Acorns 1.jpg", pytest.approx(0.68627, abs=1e-5), pytest.approx(-1.65), "oasis", "Acorns"
    )
    assert fireworks.image == "more/fireworks 12.JPG" and fireworks.caption == "Fireworks"


def test_oasis_names_missing_pictures_and_columns(oasis, tmp_path):
    path, folder = oasis
    (folder / "Acorns 1.jpg").unlink()
    with pytest.raises(DataError, match=r"row 1 \(line 2\): image 'Acorns 1' is not in the picture folder"):
        load_oasis(path, folder)
    skipped = []
    assert [image.id for image in load_oasis(path, folder, skipped)] == ["oasis-Fireworks 12"] and len(skipped) == 1
    path.write_text(OASIS.replace("Arousal_mean", "ArousalMean"))
    with pytest.raises(DataError, match="no column 'arousal_mean'; did you mean 'ArousalMean'"):
        load_oasis(path, folder)
    path.write_text(OASIS)
    with pytest.raises(DataError, match="no such picture folder"):
        load_oasis(path, tmp_path / "none")


def test_emotic_averages_people_and_annotators(emotic):
    images = {image.image: image for image in load_emotic(*emotic)}
    assert len(images) == 4
    expected = {
        "mscoco/images/a.jpg": (0, 3),
        "mscoco/images/b.jpg": (-2, 0),  # two people
        "framesdb/images/c.jpg": (3, -3),  # the mean that EMOTIC gives comes first
        "framesdb/images/d.jpg": (-5 / 3, 5 / 3),  # two annotators
    }
    for name, rating in expected.items():
        assert (images[name].valence, images[name].arousal) == pytest.approx(rating), name


def test_emotic_refuses_what_is_not_its_file(emotic, tmp_path):
    path, folder = emotic
    (folder / "mscoco/images/a.jpg").unlink()
    with pytest.raises(DataError, match=r"train\(1\): image 'mscoco/images/a\.jpg' is not in the picture folder"):
        load_emotic(path, folder)
    other = tmp_path / "other.mat"
    savemat(other, {"x": 1})
    with pytest.raises(DataError, match="found none of them"):
        load_emotic(other, folder)
    other.write_text("not MATLAB")
    with pytest.raises(DataError, match=r"Expected Annotations\.mat"):
        load_emotic(other, folder)


def test_incomplete_entries_of_emotic_are_named(emotic):
    path, folder = emotic
    kinds = {
        "empty": np.empty(0),
        "nothing": {"filename": np.empty(0), "folder": np.empty(0), "person": np.empty(0)},
        "no name": {"folder": "mscoco/images", "person": person(1, 4)},
        "nobody": {"filename": "a.jpg", "folder": "mscoco/images", "person": np.empty(0)},
        "no votes": {"filename": "b.jpg", "folder": "mscoco/images", "person": {"body_bbox": [0, 0, 9, 9]}},
        "empty votes": {
            "filename": "c.jpg", "folder": "framesdb/images",
            "person": {"annotations_continuous": np.empty(0), "combined_continuous": np.empty(0)},
        },
        "half a vote": {
            "filename": "d.jpg", "folder": "framesdb/images",
            "person": {"annotations_continuous": {"valence": float("nan"), "arousal": 5.0}},
        },
    }  # fmt: skip
    kinds["good"] = {"filename": "a.jpg", "folder": "mscoco/images", "person": person(5.5, 10)}
    train = np.empty(len(kinds), dtype=object)
    train[:] = list(kinds.values())
    savemat(path, {"train": train, "val": np.empty(0)})
    with pytest.raises(DataError) as caught:
        load_emotic(path, folder)
    for number, name in enumerate(kinds, start=1):
        missing = "image" if number <= 3 else "valence"
        assert (f"train({number}): {missing} is missing" in str(caught.value)) == (name != "good"), name
    assert [image.image for image in load_emotic(path, folder, [])] == ["mscoco/images/a.jpg"]


def test_pictures_are_found_however_the_disk_has_them(tmp_path):
    folder, elsewhere = tmp_path / "pictures", tmp_path / "disk"
    for path in (folder / "train" / "A.JPG", folder / "train" / "sub" / "Cafe\u0301 1.Jpeg", elsewhere / "b.png"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (folder / "linked").symlink_to(elsewhere)
    (folder / "again").symlink_to(elsewhere)
    (folder / "round").symlink_to(folder)
    (folder / "c.png").symlink_to(elsewhere / "b.png")
    (folder / "gone.png").symlink_to(elsewhere / "gone.png")
    for junk in ("._A.JPG", ".git/A.jpg", "__MACOSX/train/A.JPG", "Thumbs.db", "A.txt"):
        (folder / junk).parent.mkdir(parents=True, exist_ok=True)
        (folder / junk).touch()
    pictures = PictureFolder(folder)
    for name, found in {
        "train/A.JPG": "train/A.JPG",
        "train\\A.JPG": "train/A.JPG",
        "a.jpg": "train/A.JPG",
        "A": "train/A.JPG",
        "Train/a.jpg": "train/A.JPG",
        "Caf\u00e9 1": "train/sub/Cafe\u0301 1.Jpeg",
        "sub/caf\u00e9 1.jpeg": "train/sub/Cafe\u0301 1.Jpeg",
        "linked/b.png": "linked/b.png",
        "b.png": "again/b.png",
        "c.png": "c.png",
        str(folder / "c.png"): "c.png",
    }.items():
        assert pictures.find(name) == found, name
    for name in ("gone.png", "rain/A.JPG", "b.jpg", ".", "", "../disk/b.png", "Thumbs.db/x"):
        with pytest.raises(ValueError, match=r"is a broken symlink|is not in the picture|lies outside"):
            pictures.find(name)


def test_a_name_that_fits_two_pictures_is_refused_with_both(oasis):
    path, folder = oasis
    (folder / "more" / "Acorns 1.JPG").touch()
    with pytest.raises(DataError, match=r"row 1 .*'Acorns 1' may be 'Acorns 1.jpg' or 'more/Acorns 1.JPG': name its"):
        load_oasis(path, folder)
    own = folder.parent / "own.csv"
    own.write_text("image,valence,arousal\nmore/acorns 1.jpg,2,-1\nAcorns 1.jpg,1,-2\n")
    assert [image.image for image in load_images(own, folder)] == ["more/Acorns 1.JPG", "Acorns 1.jpg"]


def test_an_own_list_on_an_own_scale(tmp_path):
    (tmp_path / "a.png").touch()
    path = tmp_path / "own.csv"
    path.write_text("Image,Valence,Arousal,Caption\na.png,9,5,A lamp\n")
    assert load_images(path, tmp_path, Scale.parse("1..9")) == [RatedImage("a.png", "a.png", 3, 0, "own", "A lamp")]
    path.write_text("image,valence,arousal\na.png,9,5\n../own.csv,1,1\na.png,1,1\n")
    with pytest.raises(DataError) as caught:
        load_images(path, tmp_path)
    for part in ("valence is 9, outside -3..3", "--scale=1..9", "'../own.csv' lies outside the picture folder"):
        assert part in str(caught.value)


def test_lists_of_other_data_sets_are_read(tmp_path):
    folder = tmp_path / "FindingEmo" / "Run_1" / "Happy adults party"
    folder.mkdir(parents=True)
    (folder / "1.jpg").touch()
    path = tmp_path / "annotations.ann"
    path.write_text("index,image_path,valence,arousal\n0,/Run_1/Happy adults party/1.jpg,2,5\n")
    with pytest.raises(DataError, match=r"--scale=1\.\.5"):
        load_images(path, tmp_path / "FindingEmo", None)
    [image] = load_images(path, tmp_path / "FindingEmo", Scale.parse("findingemo"))
    assert image == RatedImage("Run_1/Happy adults party/1.jpg", "Run_1/Happy adults party/1.jpg", 2, 2, "annotations")


def test_oasis_on_another_scale_is_sent_to_the_table_option(oasis):
    path, folder = oasis
    path.write_text(OASIS.replace("6.5", "-0.5"))
    with pytest.raises(DataError, match=r"-0\.5, outside 1\.\.7\n.*OASIS rates on 1\.\.7: .* --table and --scale"):
        load_oasis(path, folder)


def test_image_tables_round_trip_and_ids_are_single(tmp_path):
    images = [RatedImage("a", "a.png", 1.5, -2, "test"), RatedImage("b", "b.png", 0, 0, "test", "A lamp")]
    save_images(images, tmp_path / "images.jsonl")
    assert load_images(tmp_path / "images.jsonl") == images
    save_images([images[0], images[0]], tmp_path / "images.jsonl")
    with pytest.raises(DataError, match=r"row 2 \(line 2\): id 'a' is already taken by row 1"):
        load_images(tmp_path / "images.jsonl")


def test_paths_stay_inside_the_folder(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").touch()
    (tmp_path / "out.png").touch()
    assert path_inside(tmp_path / "in", "a.png").name == "a.png"
    for name in ("../out.png", str(tmp_path / "out.png"), "sub/../../out.png"):
        with pytest.raises(ValueError, match="lies outside the picture folder"):
            path_inside(tmp_path / "in", name)


def test_captions_become_pairs():
    images = [RatedImage(f"i{k}", f"{k}.png", 2.5, 2.5, "test", f"acorns number {k}.") for k in range(30)]
    table = caption_pairs(images)
    assert table.neutral[3] == "Acorns number 3"
    assert all("corns number" in text for text in table.emotional) and len(set(table.emotional)) == 30
    assert table.fingerprint() == caption_pairs(images).fingerprint()
    assert not any("jumping for joy" in text for text in table.emotional)
    assert any("laughing" in text or "cheer" in text for text in caption_pairs(images, people=True).emotional)
    images[4].caption = None
    with pytest.raises(DataError, match="1 of 30 pictures have no caption"):
        caption_pairs(images)


def test_the_commands_from_oasis_to_pairs(oasis, tmp_path, capsys):
    path, folder = oasis
    table, pairs = tmp_path / "images.jsonl", tmp_path / "pairs.jsonl"
    assert prepare.main(["images", "--oasis", str(path), "--folder", str(folder), "--out", str(table)]) == 0
    assert "2 pictures, 2 with a caption" in capsys.readouterr().out
    assert prepare.main(["caption-pairs", str(table), "--out", str(pairs)]) == 0
    assert load_table(pairs).neutral == ["Acorns", "Fireworks"]
