"""Named emotions: where they lie, who says so, and what a file of own ones may hold."""

import json
import math
import re
import sys
from pathlib import Path

import pytest

from emoticrafter.emotions import EMOTIONS, MIKELS, PLUTCHIK, RUSSELL, find_emotion, read_own_emotions

ROOT = Path(__file__).parents[2]


# ---- the built-in ones -----------------------------------------------------------------------------


def test_the_three_sets_are_whole():
    assert len(RUSSELL) == 16
    assert len(PLUTCHIK) == 24
    assert set(MIKELS) == {*("amusement", "awe", "contentment", "excitement"), *("anger", "disgust", "fear", "sadness")}
    assert len(EMOTIONS) == 48


def test_every_label_is_its_own_and_names_its_source():
    labels = [emotion.label for emotion in EMOTIONS]
    assert len(set(labels)) == len(labels)
    assert all(re.fullmatch(r"[a-z ]+ \(.*(Russell|FindingEmo).*\)", label) for label in labels)
    assert {"happy (Russell)", "joy (Plutchik, FindingEmo)", "awe (Mikels, FindingEmo's amazement)"} <= {*labels}


def test_all_lie_in_the_plane():
    assert all(-3 <= value <= 3 for emotion in EMOTIONS for value in emotion.point)


def test_the_circumplex_is_in_russells_order():
    words = ["pleased", "happy", "excited", "astonished", "afraid", "angry", "frustrated", "miserable", "sad"]
    words += ["bored", "tired", "sleepy", "relaxed", "calm", "at ease"]
    angles = [math.atan2(*reversed(RUSSELL[word])) % (2 * math.pi) for word in words]
    assert angles == sorted(angles)


def test_the_mean_ratings_are_those_of_findingemo():
    # Of its stronger words the rating is stronger, as Plutchik's rings have it.
    for strong, plain in [("ecstasy", "joy"), ("terror", "fear"), ("grief", "sadness"), ("rage", "anger")]:
        assert math.hypot(*PLUTCHIK[strong]) > math.hypot(*PLUTCHIK[plain])


def test_the_pad_has_the_same_words_at_the_same_places():
    script = (ROOT / "web" / "emotions.js").read_text("utf-8")
    found = re.findall(r'name: "([a-z ]+)", valence: (\S+), arousal: (\S+) }', script)
    assert {name: (float(valence), float(arousal)) for name, valence, arousal in found} == RUSSELL


# ---- looking one up --------------------------------------------------------------------------------


def own(tmp_path: Path, content) -> tuple:
    path = tmp_path / "emotions.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return read_own_emotions(path)


def test_an_emotion_is_found_by_name_set_or_label():
    for words, point in (
        ("calm", RUSSELL["calm"]),
        ("At  Ease", RUSSELL["at ease"]),
        ("fear", PLUTCHIK["fear"]),
        ("excitement (Mikels)", RUSSELL["excited"]),
        ("joy (Plutchik)", PLUTCHIK["joy"]),
        ("awe (Mikels, FindingEmo's amazement)", PLUTCHIK["amazement"]),
    ):
        assert find_emotion(words, EMOTIONS) == point


def test_a_name_means_the_own_emotion_where_there_is_one(tmp_path):
    emotions = [*own(tmp_path, {"Calm": [1, -2]}).emotions, *EMOTIONS]
    assert find_emotion("calm", emotions) == (1, -2)
    assert find_emotion("calm (emotions.json)", emotions) == (1, -2)
    assert find_emotion("calm (Russell)", emotions) == RUSSELL["calm"]


def test_an_unknown_name_gets_similar_ones():
    with pytest.raises(ValueError, match=r'there is no emotion "exited".*similar: excited'):
        find_emotion("exited", EMOTIONS)
    with pytest.raises(ValueError, match="such as calm, excited or sad"):
        find_emotion("1.0 zzz", EMOTIONS)


# ---- people's own ----------------------------------------------------------------------------------


def test_own_emotions_keep_their_order_and_name_the_file(tmp_path):
    written = "\ufeff" + json.dumps({"homesick": [-1.2, -0.4], "jubelnd, früh": [3, 2.2]})
    (homesick, jubilant), problems = own(tmp_path, written)
    assert (homesick.label, jubilant.label) == ("homesick (emotions.json)", "jubelnd, früh (emotions.json)")
    assert jubilant.point == (3.0, 2.2) and problems == ()
    assert own(tmp_path, "{}") == own(tmp_path, " {\n} \n") == ((), ())


MISTAKES = """{
  "right": [1, 2],
  "too far": [4, 0],
  "three": [1, 2, 3],
  "words": ["1", 2],

  "right ": [0, 0],
  "yes": [true, false], "nested": {"valence": {"is": [1]}},
  "nan": [NaN, 0],
  "huge": [1e999, 0],
  "none": null,
  "smile (big)": [1, 1],
  "": [1, 1],
  "12": [1, 1],
  "also right": [-3, 3]
}"""


def test_a_mistake_costs_its_own_entry_and_is_told_with_its_line(tmp_path):
    emotions, problems = own(tmp_path, MISTAKES)
    assert [emotion.name for emotion in emotions] == ["right", "also right"]
    assert list(problems) == [
        'line 3: "too far" is [4, 0]: expected numbers from -3 to 3',
        'line 4: "three" is [1, 2, 3]: expected [valence, arousal], two numbers',
        'line 5: "words" is ["1", 2]: expected [valence, arousal], two numbers',
        'line 7: "right" is already in line 2',
        'line 8: "yes" is [true, false]: expected [valence, arousal], two numbers',
        'line 8: "nested" is {"valence": {"is": [1]}}: expected [valence, arousal], two numbers',
        'line 9: "nan" is [NaN, 0]: expected numbers from -3 to 3',
        'line 10: "huge" is [Infinity, 0]: expected numbers from -3 to 3',
        'line 11: "none" is null: expected [valence, arousal], two numbers',
        'line 12: "smile (big)" is not a name: expected words, without brackets',
        "and 2 more mistakes",
    ]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('{"a": [1, 2]\n "b": [1, 2]}', "line 2: Expecting ',' delimiter (column 2), got '\"'"),
        ("", "line 1: Expecting value (column 1)"),
        ('{"a": [−1, 2]}', "line 1: Expecting value (column 8), got '−'"),
        ('{"": [1, 1]}', 'line 1: "" is not a name: expected words, without brackets'),
        ('{"12": [1, 1]}', 'line 1: "12" is not a name: expected words, without brackets'),
        ("[1, 2]", 'line 1: expected {"name": [valence, arousal], ...}'),
        ('{"a": [' + "9" * 5000 + ", 1]}", "it does not hold a list of emotions"),
        ('{"a": ' + "[" * 90000 + "]" * 90000 + "}", "it does not hold a list of emotions"),
        ('{"a": [' + "9" * 400 + ", 1]}", f'line 1: "a" is [{"9" * 39}...: expected numbers from -3 to 3'),
        ('{"' + "a" * 500 + '": [1, 1]}', f'line 1: "{"a" * 40}..." is a name of 500 characters: expected at most 40'),
    ],
)
def test_what_is_no_list_of_emotions_is_told(tmp_path, content, told):
    emotions, problems = own(tmp_path, content)
    assert emotions == ()
    assert list(problems) == [told]


def test_no_depth_of_brackets_is_an_error(tmp_path):
    """Some can be read, and are too deep to be written into the message."""
    deepest = sys.getrecursionlimit()
    for depth in range(deepest - 150, deepest):
        emotions, problems = own(tmp_path, '{"right": [1, 2], "a": ' + "[" * depth + "]" * depth + "}")
        assert len(problems) == 1
        assert len(emotions) == ("does not hold a list" not in problems[0])


def test_a_file_that_cannot_be_read_is_told(tmp_path):
    path = tmp_path / "emotions.json"
    path.write_bytes('{"früh": [1, 1]}'.encode("latin-1"))
    assert read_own_emotions(path).problems == ("it is not saved as UTF-8 text",)
    [problem] = read_own_emotions(tmp_path).problems
    assert problem.startswith("it cannot be read (")


def test_a_file_on_another_scale_is_told_in_a_few_lines(tmp_path):
    emotions, problems = own(tmp_path, {"right": [1, 2], **{f"word {n} x": [5, 7] for n in range(500)}})
    assert [emotion.name for emotion in emotions] == ["right"]
    assert len(problems) == 11
    assert problems[-1] == "and 490 more mistakes"


def test_a_long_file_is_read_with_its_lines_and_one_too_long_is_told(tmp_path):
    entries = [f'"feeling {n}": [1, 2]' for n in range(900)]
    emotions, problems = own(tmp_path, "{" + ",\n".join([*entries, '"far off": [9, 0]']) + "}")
    assert len(emotions) == 900
    assert list(problems) == ['line 901: "far off" is [9, 0]: expected numbers from -3 to 3']
    assert own(tmp_path, " " * 200_001) == ((), ("it is too long: expected at most 200,000 characters",))


# ---- the help page ---------------------------------------------------------------------------------


def test_the_help_page_names_every_emotion_and_its_file_is_right(tmp_path):
    page = (ROOT / "web" / "docs" / "EmotiCrafterPreset.md").read_text("utf-8")
    for source, words in (("Russell", RUSSELL), ("Plutchik, FindingEmo", PLUTCHIK), ("Mikels", MIKELS)):
        [line] = re.findall(rf"^- \*\*{source}\*\*.*: ([a-z ,]+)\.", page, re.MULTILINE)
        assert line.split(", ") == list(words)
    [example] = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    emotions, problems = own(tmp_path, example)
    assert [emotion.name for emotion in emotions] == ["homesick", "triumphant"]
    assert problems == ()
