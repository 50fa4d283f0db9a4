"""FindingEmo's annotations as pairs: the query is taken apart, the words follow the rating."""

import re
import subprocess
import sys
from collections import Counter
from random import Random

import numpy as np
import pytest

from emoticrafter.fit import wording
from emoticrafter.fit.wording import KINDS, PHRASES, draw_phrases, emotional_prompt
from trainer.core.rows import DataError, read_rows
from trainer.data import findingemo
from trainer.data.findingemo import PEOPLE, PLACES, YOUNG, YOUNG_PLACES, findingemo_table, neutral_prompt, parse_query
from trainer.features.tokenizer import clip_tokenizer


@pytest.fixture(scope="module")
def table():
    return findingemo_table()


def test_all_annotations_on_our_scale(table):
    assert len(table) == 25_869 and len(set(table.id)) == 25_869
    assert set(table.valence.tolist()) == set(table.arousal.tolist()) == {-3, -2, -1, 0, 1, 2, 3}
    # The published mean ratings of two labels; arousal is given as 0..6.
    rows = {f"findingemo-{row.values['index']}": row.values for row in read_rows(findingemo.annotations_path())}
    for label, expected in {"Joy": (2.02, 0.04), "Rage": (-1.92, 1.54), "Boredom": (-0.36, -1.35)}.items():
        chosen = [k for k, name in enumerate(table.id) if rows[name]["emotion"] == label]
        assert (table.valence[chosen].mean(), table.arousal[chosen].mean()) == pytest.approx(expected, abs=0.006)


@pytest.fixture
def first_rows(monkeypatch, tmp_path):
    """The first 2,000 annotations alone: enough where the table is made more than once."""
    lines = findingemo.annotations_path().read_text(encoding="utf-8").splitlines(keepends=True)
    path = tmp_path / "annotations_single.ann"
    path.write_text("".join(lines[:2001]), encoding="utf-8")
    monkeypatch.setattr(findingemo, "annotations_path", lambda: path)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/Run_2/Loving toddlers sports/haiti-kids.jpg", ("Loving", "toddlers", "sports")),
        ("/Run_2/Fed up forty-something court of law/a b.jpg", ("Fed up", "forty-something", "court of law")),
        ("/Run_1/Grossed out people nursing home/x.jpg", ("Grossed out", "people", "nursing home")),
    ],
)
def test_queries_are_taken_apart(path, expected):
    assert parse_query(path) == expected


@pytest.mark.parametrize("path", ["/Run_2/Happy robots beach/x.jpg", "/Run_2/Happy people moon/x.jpg", "x.jpg", ""])
def test_other_folders_are_refused(path):
    with pytest.raises(ValueError, match="with known words"):
        parse_query(path)


def test_neutral_prompts_name_people_and_place_only(table):
    emotion_words = {
        parse_query(row.values["image_path"])[0].lower() for row in read_rows(findingemo.annotations_path())
    }
    pattern = re.compile(rf"\b({'|'.join(emotion_words)})\b")
    # The search's wish is not what people saw.
    assert {word for text in set(table.neutral) for word in pattern.findall(text.lower())} == set()
    for people in (*PEOPLE, None):
        for place in PLACES:
            text = neutral_prompt(people, place, Random(1))
            assert text[0].isupper() and "  " not in text and not text.endswith(".")


def test_the_young_are_not_put_into_scenes_of_grown_ups():
    for people in YOUNG:
        for place, doing in YOUNG_PLACES.items():
            for seed in range(10):
                assert any(phrase in neutral_prompt(people, place, Random(seed)) for phrase in doing)
    for seed in range(20):
        assert "kissing" not in neutral_prompt("teenagers", "kissing", Random(seed))


def test_every_wording_is_repeatable_and_changes_with_the_seed(first_rows, table):
    some = findingemo_table()
    # A row's words depend on the row alone.
    assert some.emotional == table.emotional[:2000]
    assert findingemo_table().fingerprint() == some.fingerprint()
    other = findingemo_table(seed=1)
    assert sum(a == b for a, b in zip(some.emotional, other.emotional, strict=True)) < 20
    assert other.id == some.id


def test_prompts_vary_and_fit_the_text_encoders(table):
    assert len(set(table.emotional)) > 25_000 and len(set(table.neutral)) > 10_000
    tokenizer, longest = clip_tokenizer(), sorted(table.emotional, key=len)[-300:]
    assert max(map(len, tokenizer(longest)["input_ids"])) <= 77


def test_the_split_keeps_neutral_prompts_apart(table):
    validation = {table.neutral[k] for k in table.indexes("validation")}
    assert not validation & {table.neutral[k] for k in table.indexes("train")}
    assert 0.005 < len(table.indexes("validation")) / len(table) < 0.02


def test_some_scenes_have_nobody_in_them(first_rows):
    body = {phrase for cell in PHRASES["body"].values() for phrase in cell}
    deserted = findingemo_table(scene_share=0.999)
    assert not any(phrase in text for text in deserted.emotional[:500] for phrase in body)
    scenes = {scene.lower() for _, scene in PLACES.values()}
    crowded = findingemo_table(scene_share=0)
    # All but those whose annotator saw nobody.
    assert sum(text.lower() in scenes for text in crowded.neutral) < 10


@pytest.mark.slow
def test_words_tell_valence_and_arousal_back(table):
    """Mean ratings of the words predict held-out ratings: the wording carries both, a neutral prompt neither."""

    def predicted(texts, values):
        train = np.arange(len(texts)) % 5 > 0
        words = [set(re.findall("[a-z]+", text.lower())) for text in texts]
        sums, counts = Counter(), Counter()
        for k in np.flatnonzero(train):
            for word in words[k]:
                sums[word] += float(values[k])
                counts[word] += 1
        rare = {word for word in counts if counts[word] < 20 or counts[word] > 3000}
        means = [
            np.mean([sums[w] / counts[w] for w in words[k] if w in counts and w not in rare] or [0])
            for k in np.flatnonzero(~train)
        ]
        return np.corrcoef(means, values[~train])[0, 1]

    for values in (table.valence, table.arousal):
        assert predicted(table.emotional, values) > 0.85
    assert predicted(table.neutral, table.arousal) < 0.2


def test_phrases_are_graded_over_the_plane():
    """The average place of the phrases drawn is the point asked for, also between the written points."""
    place = {(kind, phrase): cell for kind in KINDS for cell, phrases in PHRASES[kind].items() for phrase in phrases}
    assert len(place) == sum(len(cell) for kind in KINDS for cell in PHRASES[kind].values())  # no phrase twice
    for valence, arousal in [(-3, 3), (0.4, -2.2), (1.1, 1.9), (-2.7, -0.3), (0, 0), (3, 3)]:
        drawn = [place[item] for seed in range(400) for item in draw_phrases(valence, arousal, Random(seed)).items()]
        assert np.mean(drawn, axis=0) * wording.STEP == pytest.approx((valence, arousal), abs=0.1)
        assert np.ptp(np.array(drawn), axis=0).max() <= 1  # never further than the neighbouring points


def test_stronger_emotions_take_more_words():
    counts = [len(draw_phrases(r, -r, Random(0))) for r in (0, 1, 2, 3)]
    assert counts[0] == 2 and counts[-1] == len(KINDS) and counts == sorted(counts)


def test_sentences_are_well_formed():
    for seed in range(2000):
        random = Random(seed)
        text = emotional_prompt(
            "A photo of two seniors by a lake", random.uniform(-3, 3), random.uniform(-3, 3), random
        )
        assert "wo seniors by a lake" in text
        assert not re.search(r"  | ,|,,|\.\.|None|\ba [aeiou]|\ban [^aeiou]|, and with|with ,|with$", text), text


def test_a_missing_package_says_what_to_install(monkeypatch):
    monkeypatch.setattr(findingemo, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"pip install findingemo-light==1\.0\.0"):
        findingemo_table()


def test_damaged_annotations_are_refused_with_their_rows(monkeypatch, tmp_path):
    path = tmp_path / "annotations_single.ann"
    head = "index,user,image_path,tags,age,valence,arousal,emotion,dec_factors,ambiguity,datetime\n"
    path.write_text(head + "0,u,/Run_1/Sad people moon/x.jpg,,Adults,4,7,Joy,,0,\n")
    monkeypatch.setattr(findingemo, "annotations_path", lambda: path)
    with pytest.raises(DataError) as caught:
        findingemo_table()
    for part in ("row 1 (line 2)", "known words", "valence is 4, outside -3..3", "arousal is 7, outside 0..6"):
        assert part in str(caught.value)


def test_the_package_itself_is_never_imported():
    code = (
        "import sys; from trainer.data.findingemo import annotations_path; annotations_path();"
        "print([m for m in sys.modules if m.startswith('findingemo_light')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
