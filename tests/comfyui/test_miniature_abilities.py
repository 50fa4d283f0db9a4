"""What the paper shows of its method, with figures: drawn by the shipped workflow, read by the miniature's readers.

Steps of 0.2, named emotions, empty prompts, and values that override words of feeling in the prompt (Dang et al. 2025,
section 5). The limits are below what was measured with the shipped weights, which docs/miniature.md tells.
"""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import kendalltau

from emoticrafter.emotions import RUSSELL
from emoticrafter.research.readers import distance, load_reader, read_pictures
from scripts import demo, workflow
from trainer.miniature.readers import split_scores
from trainer.world.scene import SUBJECTS

WEIGHTS = Path(__file__).parents[2] / "miniature"
AXES = ("valence", "arousal")
SCENES = {"windmill": "a windmill in a meadow at sunset", "face": "a portrait of a person at the beach at noon"}

# Least taus between asked and read in 31 steps of 0.2, the largest jump of what is read between two of them, and the
# largest distance between two as a part of that between the ends.
STEP_TAU = {"valence": 0.85, "arousal": 0.75}
STEP_JUMP = 1.2
STEP_PART = 0.4
SAME_SUBJECT = 0.9
# Signs of valence and arousal that are read as the name says.
NAMED_RIGHT = 0.85
# Without any words: least tau, and least rise of what is read for every 1 that is asked.
EMPTY_TAU, EMPTY_SLOPE = 0.75, 0.4
# Words alone move what is read to their side by this; values of 2.5 against them move it past 0 to theirs.
WORDS, OVERRIDDEN = 0.5, 0.5


class Draw:
    """Pictures of the shipped workflow."""

    def __init__(self, server):
        self.server, self.prompt = server, demo.base_prompt(server.object_info())

    def __call__(self, points: list[tuple[str, float, float]], strength: float = 1.0) -> torch.Tensor:
        """A picture for each (text, valence, arousal): [B, H, W, 3] in [0, 1]."""
        prompt = workflow.set_inputs(self.prompt, "EmotiCrafterConditioning", strength=strength)
        files = [self.server.queue(demo.at_point(prompt, demo.Point(*point))).images[0] for point in points]
        return torch.from_numpy(np.stack([np.asarray(Image.open(io.BytesIO(file))) for file in files])) / 255


@pytest.fixture(scope="module")
def draw(server):
    return Draw(server)


@pytest.fixture(scope="module")
def emotion_reader():
    return load_reader(WEIGHTS / "emotion_reader.safetensors")[0]


@pytest.fixture(scope="module")
def content_reader():
    return load_reader(WEIGHTS / "content_reader.safetensors")[0]


def shown_subjects(reader, pictures: torch.Tensor) -> list[str]:
    subjects, _settings, _times = split_scores(reader(pictures.permute(0, 3, 1, 2)))
    return [SUBJECTS[number] for number in subjects.argmax(1)]


# ---- steps of 0.2 ----------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=AXES)
def strip(request, draw):
    """The axis, its 31 values, and the pictures along it."""
    points = demo.strip_points(SCENES["windmill"], 0.2)[request.param]
    return request.param, demo.strip_values(0.2), draw(points)


def test_steps_of_a_fifth_follow_each_other_in_order(strip, emotion_reader):
    axis, asked, pictures = strip
    read = read_pictures(emotion_reader, pictures)[:, AXES.index(axis)].numpy()
    assert kendalltau(asked, read, variant="c").statistic >= STEP_TAU[axis], np.round(read, 2)
    assert np.abs(np.diff(read)).max() <= STEP_JUMP, np.round(read, 2)


def test_steps_of_a_fifth_are_small_and_none_is_nothing(strip, content_reader):
    _axis, _asked, pictures = strip
    pictures = pictures.permute(0, 3, 1, 2)
    steps = distance(content_reader, pictures[:-1], pictures[1:])
    whole = distance(content_reader, pictures[:1], pictures[-1:])
    assert steps.min() > 0
    assert steps.max() <= STEP_PART * whole, (steps, whole)


def test_steps_of_a_fifth_keep_the_subject(strip, content_reader):
    _axis, _asked, pictures = strip
    shown = shown_subjects(content_reader, pictures)
    assert np.mean([subject == "windmill" for subject in shown]) >= SAME_SUBJECT, shown


# ---- named emotions --------------------------------------------------------------------------------


def test_named_emotions_are_read_as_what_they_are(draw, emotion_reader):
    names = ("happy", "excited", "calm", "relaxed", "sad", "bored", "angry", "frustrated")
    points = [(text, *RUSSELL[name]) for name in names for text in SCENES.values()]
    read = read_pictures(emotion_reader, draw(points))
    asked = torch.tensor([point[1:] for point in points])
    right = (read.sign() == asked.sign()).float()
    told = dict(zip(names, read.unflatten(0, (len(names), -1)).tolist(), strict=True))
    assert right[:, 0].mean() >= NAMED_RIGHT, told
    assert right[:, 1].mean() >= NAMED_RIGHT, told


# ---- empty prompts ---------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", AXES)
def test_an_empty_prompt_takes_the_emotion(draw, emotion_reader, axis):
    asked = np.linspace(-3, 3, 7)
    points = [("", value, 0.0) if axis == "valence" else ("", 0.0, value) for value in asked]
    read = read_pictures(emotion_reader, draw(points))[:, AXES.index(axis)].numpy()
    assert kendalltau(asked, read, variant="c").statistic >= EMPTY_TAU, np.round(read, 2)
    assert np.polyfit(asked, read, 1)[0] >= EMPTY_SLOPE, np.round(read, 2)


# ---- words of feeling ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("axis", "side", "words"),
    [
        ("valence", 1, "joyful mood, glowing light"),
        ("valence", -1, "bleak mood, cold grey light"),
        ("arousal", 1, "brisk mood, energetic"),
        ("arousal", -1, "quiet mood, hushed"),
        ("valence", 1, "happy mood, glorious golden light, a clear golden sky"),
        ("valence", -1, "miserable mood, icy darkness, cold rain from a dark sky"),
        ("arousal", 1, "startling mood, in violent motion, gusts and racing clouds"),
        ("arousal", -1, "drowsy mood, utterly still, a windless haze"),
    ],
)
def test_values_override_words_of_feeling(draw, emotion_reader, axis, side, words):
    number = AXES.index(axis)
    texts = [f"{text}, {words}" for text in SCENES.values()]
    against = [-2.5 * side if one == axis else 0.0 for one in AXES]
    by_words = read_pictures(emotion_reader, draw([(text, 0.0, 0.0) for text in texts], strength=0.0))
    by_values = read_pictures(emotion_reader, draw([(text, *against) for text in texts]))
    assert side * by_words[:, number].mean() >= WORDS, by_words
    assert side * by_values[:, number].mean() <= -OVERRIDDEN, by_values
