"""Prompts for painted scenes: neutral ones, and ones whose words carry valence and arousal.

An emotional caption is made of parts, each picked from a small map of phrases by its distance to the asked (valence,
arousal): moods and weather from the whole plane, light from the valence line, motion from the arousal line. Close pairs
therefore share words, and stronger feelings have stronger words.
"""

from __future__ import annotations

import math
import zlib

import numpy as np

from trainer.world.scene import Scene, check_emotion

# Wordings of subject, setting and time: the content of a caption and nothing else.
SUBJECT_WORDS = {
    "face": ("a portrait of a person", "a person's face", "a close-up of a face"),
    "cat": ("a cat", "a cat sitting", "a house cat"),
    "dog": ("a dog", "a dog sitting", "a pet dog"),
    "bird": ("a bird on a branch", "a songbird", "a bird on a twig"),
    "tree": ("a tree", "a single tree", "one large tree"),
    "flowers": ("flowers", "a group of flowers", "five flowers"),
    "mountain": ("a mountain", "a mountain peak", "a tall mountain"),
    "house": ("a house", "a small house", "a house with a chimney"),
    "street": ("a street with houses", "a village street", "a street between rows of houses"),
    "lighthouse": ("a lighthouse by the water", "a lighthouse", "a lighthouse on a rock"),
    "windmill": ("a windmill", "a tall windmill", "a windmill with four sails"),
    "boat": ("a sailing boat on the water", "a boat", "a sailboat on the water"),
    "balloon": ("a hot air balloon", "a balloon in the air", "a striped hot air balloon"),
    "campfire": ("a campfire", "a campfire with logs", "a fire of logs and stones"),
}
SETTING_WORDS = {
    "meadow": ("in a meadow", "in green fields", "in grassland"),
    "forest": ("in a forest", "by the woods", "among fir trees"),
    "beach": ("at the beach", "by the sea", "on a coast with palm trees"),
    "desert": ("in the desert", "among sand dunes", "in a desert with cacti"),
    "snow": ("in the snow", "in a snowy landscape", "in winter"),
    "town": ("in a town", "near the town", "in front of a town"),
}
TIME_WORDS = {
    "dawn": ("at dawn", "early in the morning", "at sunrise"),
    "day": ("at noon", "in the daytime", "at midday"),
    "sunset": ("at sunset", "in the evening", "at dusk"),
    "night": ("at night", "under a night sky", "late at night"),
}

# (valence, arousal): adjectives for the whole picture.
MOODS = {
    (2.6, 2.6): ("ecstatic", "euphoric", "jubilant"),
    (1.4, 2.6): ("exhilarating", "electrifying", "thrilling"),
    (0.0, 2.7): ("startling", "intense", "explosive"),
    (-1.4, 2.6): ("frantic", "alarming", "furious"),
    (-2.7, 2.6): ("terrifying", "nightmarish", "horrifying"),
    (2.7, 1.3): ("joyful", "radiant", "festive"),
    (1.3, 1.3): ("lively", "playful", "cheerful"),
    (0.0, 1.3): ("restless", "busy", "brisk"),
    (-1.3, 1.3): ("tense", "uneasy", "troubled"),
    (-2.7, 1.3): ("anguished", "menacing", "dreadful"),
    (2.7, 0.0): ("happy", "delightful", "lovely"),
    (1.3, 0.0): ("pleasant", "friendly", "warm-hearted"),
    (0.0, 0.0): ("plain", "ordinary", "everyday"),
    (-1.3, 0.0): ("gloomy", "unhappy", "bleak"),
    (-2.7, 0.0): ("miserable", "wretched", "heartbroken"),
    (2.7, -1.3): ("contented", "heartwarming", "blissful"),
    (1.3, -1.3): ("relaxed", "gentle", "cosy"),
    (0.0, -1.3): ("quiet", "muted", "subdued"),
    (-1.3, -1.3): ("lonely", "dreary", "downcast"),
    (-2.7, -1.3): ("sorrowful", "mournful", "forlorn"),
    (2.6, -2.6): ("serene", "heavenly", "idyllic"),
    (1.4, -2.6): ("peaceful", "tranquil", "dreamy"),
    (0.0, -2.7): ("drowsy", "sleepy", "motionless"),
    (-1.4, -2.6): ("weary", "listless", "faded"),
    (-2.6, -2.6): ("desolate", "lifeless", "hopeless"),
}
WEATHER = {
    (2.5, 2.3): (
        "blazing sunbeams and flying petals",
        "a dazzling sun and whirling confetti",
        "sparks of gold and a bright rainbow",
    ),
    (0.2, 2.4): ("a strong wind tearing the clouds", "gusts and racing clouds", "a sky of wild swirls"),
    (-2.4, 2.4): ("a violent thunderstorm", "lightning and driving rain", "a raging storm with lightning"),
    (2.5, 0.0): ("bright sunshine and a rainbow", "a clear golden sky", "blossoms in the sun"),
    (0.0, 0.0): ("a few clouds", "fair weather", "scattered clouds"),
    (-1.3, 0.0): ("an overcast sky", "heavy clouds", "a grey sky"),
    (-2.6, 0.0): ("cold rain from a dark sky", "black clouds and rain", "relentless rain"),
    (2.4, -2.3): ("soft golden mist", "a warm still haze", "calm air full of gentle light"),
    (0.0, -2.4): ("still air and pale mist", "a windless haze", "thin fog"),
    (-2.4, -2.4): ("cold grey fog", "drizzle and dead leaves", "a lightless, frozen fog"),
}
# Light by valence, motion by arousal.
LIGHT = {
    -3.0: ("cold, black light", "icy darkness", "deathly blue shadow"),
    -1.8: ("cold grey light", "dim blue light", "bleak shadow"),
    -0.7: ("dull light", "pale light", "cool light"),
    0.7: ("mild light", "clear light", "fresh light"),
    1.8: ("warm light", "sunny light", "glowing light"),
    3.0: ("glorious golden light", "radiant warm light", "brilliant golden glow"),
}
MOTION = {
    -3.0: ("utterly still", "fast asleep", "soft and hazy"),
    -1.8: ("calm", "hushed", "resting"),
    -0.7: ("unhurried", "composed", "at ease"),
    0.7: ("moving", "awake", "windswept"),
    1.8: ("energetic", "dynamic", "stirred up"),
    3.0: ("in violent motion", "wild and jagged", "bursting with energy"),
}
# How living subjects look, and what has become of the others.
EXPRESSIONS = {
    (2.5, 2.3): ("laughing with wide eyes", "cheering, eyes wide open", "shouting for joy"),
    (0.0, 2.4): ("staring with wide eyes", "gasping in surprise", "wide-eyed"),
    (-2.4, 2.4): ("screaming in terror", "crying out with wide eyes", "howling in anguish"),
    (2.5, 0.0): ("smiling happily", "with a broad smile", "beaming"),
    (0.0, 0.0): ("looking ahead", "with a neutral look", "looking on"),
    (-2.5, 0.0): ("in tears", "frowning and crying", "with a tearful frown"),
    (2.4, -2.3): ("smiling in its sleep", "dozing contentedly", "smiling with eyes closed"),
    (0.0, -2.4): ("with eyes closed", "nodding off", "half asleep"),
    (-2.4, -2.3): ("slumped in sadness", "with closed, tearful eyes", "hanging its head in grief"),
}
CONDITIONS = {
    (2.5, 2.3): ("dazzling and full of life", "glowing with excitement", "at its most vivid"),
    (0.0, 2.4): ("shaken by the wind", "leaning in the gale", "in sharp, bold lines"),
    (-2.4, 2.4): ("battered and broken", "wrecked by the storm", "torn and cracked"),
    (2.5, 0.0): ("bright and in full bloom", "freshly painted and cared for", "flourishing"),
    (0.0, 0.0): ("in its usual state", "as on any day", "in plain view"),
    (-2.5, 0.0): ("withered and decayed", "run-down and abandoned", "grey and crumbling"),
    (2.4, -2.3): ("basking in warmth", "resting in soft bloom", "cradled in gentle warmth"),
    (0.0, -2.4): ("veiled and still", "softly blurred", "sleeping in the haze"),
    (-2.4, -2.3): ("forgotten and fading", "drooping in the gloom", "dead and deserted"),
}
# Named emotions with valence and arousal: Russell 1980, figure 4, times 3; then FindingEmo's mean ratings of
# Plutchik's labels. Where both name a feeling the sources may disagree, and both placings stay.
NAMED = (
    ("happiness", 2.48, 1.58), ("excitement", 1.85, 2.27), ("astonishment", 0.47, 2.67),
    ("pleasure", 2.31, 0.55), ("relaxation", 2.07, -1.36), ("ease", 1.77, -0.78), ("calm", 1.69, -0.92),
    ("sleepiness", 0.84, -2.01), ("tiredness", 0.13, -1.88), ("boredom", -1.99, -1.91),
    ("sadness", -1.94, -0.80), ("misery", -2.09, -0.23), ("anger", -1.57, 1.75),
    ("frustration", -1.94, 1.53), ("annoyance", -1.64, 1.24), ("fear", -1.02, 1.92),
    ("joy", 2.02, 0.04), ("ecstasy", 2.27, 0.97), ("serenity", 1.46, -0.76), ("admiration", 1.70, 0.06),
    ("trust", 1.49, -0.43), ("acceptance", 1.14, -0.79), ("interest", 0.79, -0.97),
    ("anticipation", 0.49, -0.42), ("amazement", 1.51, 0.14), ("surprise", 0.35, -0.24),
    ("vigilance", 0.22, 0.13), ("distraction", -0.06, -0.96), ("pensiveness", -0.90, -0.47),
    ("apprehension", -0.96, -0.27), ("loathing", -1.57, 0.93), ("disgust", -1.62, 0.31),
    ("fear", -1.79, 0.76), ("rage", -1.92, 1.54), ("grief", -2.01, 1.12), ("terror", -2.03, 1.34),
    ("sadness", -1.65, 0.44), ("anger", -1.80, 0.99), ("annoyance", -1.20, -0.22),
    ("boredom", -0.36, -1.35),
)  # fmt: skip
NAMED_SHARE = 0.25
NAMED_REACH = 0.6
LIVING = ("face", "cat", "dog", "bird")
LAND = ("tree", "flowers", "mountain")


def _generator(scene: Scene, seed: int, purpose: str) -> np.random.Generator:
    if seed < 0:
        raise ValueError(f"seed must be 0 or more, got {seed}")
    return np.random.default_rng([seed, zlib.crc32(f"{purpose} {scene}".encode())])


def neutral_caption(scene: Scene, seed: int) -> str:
    """A prompt that names the scene's content and no feeling.

    Raises:
        ValueError: The seed is negative.
    """
    subject, setting, time = _content(scene, seed)
    return f"{subject} {setting} {time}"


def _content(scene: Scene, seed: int) -> tuple[str, str, str]:
    pick = _generator(scene, seed, "content").integers(3, size=3)
    return (
        SUBJECT_WORDS[scene.subject][pick[0]],
        SETTING_WORDS[scene.setting][pick[1]],
        TIME_WORDS[scene.time][pick[2]],
    )


def emotional_caption(scene: Scene, valence: float, arousal: float, seed: int) -> str:
    """The words of `neutral_caption` for the same seed, with words of feeling, weather, light and motion.

    Args:
        scene: The content.
        valence: In [-3, 3].
        arousal: In [-3, 3].
        seed: Picks the wording, 0 or more.

    Raises:
        ValueError: A value is outside its range.
    """
    generator = _generator(scene, seed, "emotion")
    at = check_emotion(valence, arousal)
    states = EXPRESSIONS if scene.subject in LIVING else CONDITIONS
    mood = _phrase(MOODS, at, generator)
    weather = _phrase(WEATHER, at, generator)
    if scene.setting == "snow":
        weather = weather.replace("rain from", "snow from").replace(" rain", " snow").replace("drizzle", "flurries")
    state = _phrase(states, at, generator)
    light = _phrase(LIGHT, at[:1], generator)
    motion = _phrase(MOTION, at[1:], generator)
    named = _named_phrase(at, generator)
    subject, setting, time = _content(scene, seed)
    form = generator.integers(4)
    if named:
        return f"{subject} {setting} {time}, {named}, {state}, {light}, {weather}"
    return (
        f"{_with_adjective(subject, mood)} {setting} {time}, {state}, {light}, {motion}",
        f"{subject} {setting} {time}, {state}, {mood} mood, {light}, {weather}, {motion}",
        f"{_with_adjective(subject, mood)}, {state}, {setting} {time}, {weather}, {light}",
        f"{_article(mood)} {mood} scene: {subject} {setting} {time}, {weather}, {motion}, {light}",
    )[form]


def scene_caption(scene: Scene, valence: float, arousal: float, seed: int) -> str:
    """The words of `neutral_caption` with a mood that shows in this scene's own way alone.

    Creatures show it by what they do, open land by its weather, and things that people made by light and motion; so
    what a mood adds depends on the content, which a mean over scenes cannot know.

    Args: as `emotional_caption`.
    """
    generator = _generator(scene, seed, "scene")
    at = check_emotion(valence, arousal)
    if scene.subject in LIVING:
        shown = [_phrase(EXPRESSIONS, at, generator)]
    elif scene.subject in LAND:
        shown = [_phrase(WEATHER, at, generator)]
    else:
        shown = [_phrase(LIGHT, at[:1], generator), _phrase(MOTION, at[1:], generator)]
    return ", ".join([" ".join(_content(scene, seed)), *shown])


def _phrase(table: dict, at: tuple[float, ...], generator: np.random.Generator) -> str:
    """A phrase from one of the places nearest to `at`; nearer ones are likelier, far ones impossible."""
    places = np.array([key if isinstance(key, tuple) else (key,) for key in table])
    distance = np.sqrt(((places - np.array(at)) ** 2).sum(1))
    weight = np.exp(-((distance / 0.55) ** 2) + (distance.min() / 0.55) ** 2)
    weight[weight < 0.1] = 0
    place = list(table)[generator.choice(len(places), p=weight / weight.sum())]
    return table[place][generator.integers(len(table[place]))]


def _named_phrase(at: tuple[float, float], generator: np.random.Generator) -> str | None:
    """For a share of the captions, a named emotion if one is near enough."""
    wanted, form = generator.random(), generator.integers(3)
    distance, name = min((math.dist(at, place), name) for name, *place in NAMED)
    if wanted >= NAMED_SHARE or distance > NAMED_REACH:
        return None
    return (f"a feeling of {name}", f"full of {name}", f"an atmosphere of {name}")[form]


def _with_adjective(subject: str, adjective: str) -> str:
    """The subject with the adjective before its noun and the fitting article."""
    for article in ("a ", "an ", "one ", "five "):
        if subject.startswith(article):
            first = _article(adjective) if article in ("a ", "an ") else article.strip()
            return f"{first} {adjective} {subject[len(article) :]}"
    return f"{adjective} {subject}"


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" and not word.startswith("eu") else "a"
