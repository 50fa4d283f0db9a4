"""Valence and arousal in words: phrases for body, mood, light, colour and texture.

Every kind of phrase is written for the 25 points of the plane with valence and arousal in
{-3, -1.5, 0, 1.5, 3}. A point between them draws from its four neighbours with bilinear probabilities, so the
average position of the words drawn is the point asked for: the wording is graded over the whole plane.
"""

from __future__ import annotations

import math
from random import Random

STEP = 1.5  # distance of neighbouring points in the tables below
KINDS = ("mood", "body", "light", "colour", "texture")

# Each table: five rows for arousal 3, 1.5, 0, -1.5, -3; five cells for valence -3, -1.5, 0, 1.5, 3;
# the phrases of a cell are separated by "|". Phrases fit one person and many ("body"), and any place.

# Completes "the mood is ..." and "a ... mood".
_MOOD = """
terrified, desperate | furious, raging | panicked, anguished
alarmed, agitated | hostile, frantic | tense, enraged
electric, startled | hectic, high-strung | astonished, wide-awake
thrilling, energetic | excited, breathless | rousing, spirited
ecstatic, euphoric | wildly joyful, exhilarated | triumphant, overjoyed

anguished, bitter | dreadful, distressed | angry, tormented
uneasy, irritated | worried, strained | nervous, resentful
alert, expectant | busy, restless | watchful, charged
lively, cheerful | playful, bright | eager, optimistic
joyful, exuberant | delighted, radiant | jubilant, festive

miserable, sorrowful | grim, wretched | heartbroken, suffering
unhappy, troubled | sad, discontented | sullen, disappointed
neutral, matter-of-fact | ordinary, everyday | plain, unremarkable
pleasant, content | friendly, warm-hearted | glad, good-natured
happy, loving | blissful, grateful | deeply happy, affectionate

mournful, despairing | bleak, dejected | crushed, desolate
melancholy, downcast | gloomy, weary | lonely, subdued
quiet, detached | still, unhurried | idle, muted
calm, comfortable | gentle, relaxed | soothing, easy-going
serene, fulfilled | peaceful, tender | restful, blessed

lifeless, utterly hopeless | numb, forsaken | empty, defeated
dull, listless | bored, lethargic | tired, joyless
sleepy, motionless | drowsy, blank | hushed, inert
sleepy, soothing | drowsy, comfortable | tranquil, slow
deeply tranquil, blissful | profoundly peaceful, heavenly | perfectly still, contented
"""

_BODY = """
screaming in terror | shouting with rage, fists clenched | howling in panic
shouting and gesturing angrily | recoiling in alarm | tense and wild-eyed
gasping in wide-eyed surprise | rushing at full speed | turning around with a start
cheering with arms raised | laughing in mid-jump | shouting with excitement
jumping for joy | laughing wildly with arms flung wide | cheering in ecstasy

crying out in anguish | sobbing with clenched fists | glaring with bitter anger
frowning with tense shoulders | biting lips in worry | looking around nervously
looking around attentively | moving briskly | leaning forward, fully alert
smiling eagerly | grinning and chatting | moving with a light, lively step
laughing out loud with sparkling eyes | beaming with delight | dancing with joy

weeping openly | with tears running down | wincing in misery
with a sad, troubled look | looking unhappy | with lips pressed tight in disappointment
with a neutral expression | looking straight ahead | with a plain, composed look
smiling warmly | with a friendly smile | looking pleased
smiling with deep happiness | with a radiant, loving smile | glowing with gratitude

with head bowed in grief | slumped in despair | crying silently
with drooping shoulders | staring sadly at the ground | sighing wearily
with a distant gaze | moving slowly | quietly waiting
with a relaxed, gentle smile | perfectly at ease | breathing slowly, shoulders loose
with a serene smile | resting in quiet happiness | smiling tenderly

with hollow, lifeless eyes | motionless, without hope | utterly spent, staring at nothing
listless, with heavy eyelids | yawning with a dull stare | sagging with boredom
half asleep, barely moving | with a blank, drowsy look | motionless, eyes unfocused
drowsily comfortable, eyes half closed | dozing peacefully | sinking into a pleasant nap
eyes closed in perfect peace | sleeping with a blissful smile | utterly still and contented
"""

_LIGHT = """
harsh flickering red light | blinding flashes in the dark | a violent, glaring blaze
harsh glare with hard shadows | cold strobing light | lightning under a black sky
stark, high-contrast light | dazzling white spotlights | piercing backlight
dazzling sunlight with bright flares | vivid, sparkling lights | a rush of bright sunshine
brilliant golden light bursting everywhere | blazing, glittering sunlight | fireworks of light

stormy, threatening light | lurid light cut by black shadows | a feverish red glow
cold, uneasy sidelight | hard light under a darkening sky | sharp, unsteady light
crisp directional light | bright, cool light | clear light with strong shadows
bright, sunny light | crisp morning sunshine | fresh, clear sunlight
radiant golden sunlight | glorious sunbeams | sparkling summer light

dark, oppressive light | murky light under black clouds | thick shadow all around
dim grey light | flat light under heavy clouds | cold, cheerless light
even, neutral light | ordinary daylight | plain, balanced light
warm, pleasant light | soft sunlight | a friendly, warm glow
warm golden-hour light | rich honey-coloured light | glowing, generous light

bleak twilight | fading, sunless light | cold dusk closing in
pale, overcast light | faint bluish dusk | weak winter light
soft, diffuse light | hazy, muted light | calm, low-contrast light
mellow evening light | gentle, diffused sunshine | soft warm lamplight
soft golden dusk | tender, glowing candlelight | a peaceful amber glow

near darkness | dead grey gloom | the last trace of a dying light
dull, lightless haze | weak, tired light | a stale grey dimness
dim half-light | still, shadowless light | faint light before dawn
dreamy, dim warm light | soft moonlight | a drowsy, low glow
a heavenly, feather-soft glow | quiet, pearly light | the softest golden haze
"""

_COLOUR = """
blood reds and pitch blacks | clashing reds and sickly greens | scorched black and crimson
acid yellows and hard blacks | glaring reds and steel blues | clashing, feverish colours
stark, saturated contrasts | electric blues and whites | neon against black
vivid oranges and bright yellows | bold, saturated colours | hot pinks and bright blues
explosive rainbow colours | dazzling gold, magenta and turquoise | blazing, jubilant colours

bruised purples and dark reds | rusty reds and charcoal | poisonous greens and black
dirty greens and harsh greys | cold blues with angry red accents | sour, discordant colours
clear, contrasting colours | strong primary colours | crisp blues and reds
fresh greens and sunny yellows | lively, bright colours | cheerful oranges and sky blue
glowing yellows and hot pinks | brilliant, joyful colours | sunlit gold and vivid green

black and ashen grey | dark, muddy colours | murky browns and cold black
washed-out greys and browns | cool, drab colours | sallow, joyless colours
natural, balanced colours | neutral beiges and greys | true-to-life colours
warm, friendly colours | soft greens and warm creams | sunny, natural colours
rich golds and rosy pinks | luminous, warm colours | glowing peach and gold

cold slate blues and blacks | drained, deathly pale colours | bleak greys and dark blues
faded blues and greys | muted, chilly colours | wilted greens and dull violet
muted, quiet colours | pale greys and soft tans | subdued, even tones
gentle pastels | soft sage and cream | quiet, warm earth tones
tender pinks and pale gold | harmonious, glowing pastels | rose, honey and soft blue

lifeless grey and black | colour drained to ash | cold, dead monochrome
dusty grey-browns | flat, colourless tones | stale, faded grey
faint, nearly uniform tones | hushed monochrome | pale, sleepy grey
hazy lavender and cream | milky, restful pastels | soft, sleepy blues
pearl white and the softest gold | dreamlike ivory and pale blue | a whisper of rose and cream
"""

_TEXTURE = """
jagged, shattered surfaces | splintered edges and violent motion blur | torn, broken shapes
sharp, scratchy textures | rough, torn edges | shaking, blurred outlines
sharp, buzzing detail | streaks of fast motion | tense, crackling grain
sparkling, fast-moving detail | swirling lines full of energy | bright streaks of motion
shimmering sparkles and swirling motion | exuberant, whirling shapes | bursting, glittering detail

cracked, corroded surfaces | coarse, scarred textures | twisted, thorny shapes
rough, wrinkled textures | prickly, uneven surfaces | hard, restless edges
crisp, detailed textures | taut, clean lines | finely cut, sharp surfaces
crisp, fresh surfaces | bouncing, lively lines | bright, springy shapes
glittering, dancing highlights | glossy, sparkling surfaces | fluttering, festive shapes

crumbling, stained surfaces | heavy, filthy textures | ruined, broken textures
worn, damp surfaces | peeling, shabby textures | cold, rough surfaces
plain, regular surfaces | ordinary textures | simple, clear shapes
smooth, well-kept surfaces | warm, natural textures | round, friendly shapes
lush, velvety textures | rich, glowing surfaces | full, blooming shapes

decayed, sodden surfaces | cold, mouldering textures | heavy, collapsing shapes
dusty, sagging surfaces | limp, faded textures | drooping, tired shapes
soft-edged, quiet detail | flat, calm surfaces | loose, unhurried lines
soft, cosy textures | smooth, gently curved lines | comfortable, rounded shapes
silky, flowing textures | delicate, feather-light surfaces | tender, graceful shapes

frozen, decayed surfaces | ashen dust over everything | dead, hollow shapes
thick dust and slack lines | stale, motionless haze | blurred, sluggish shapes
misty, featureless surfaces | barely visible, still textures | shapes dissolving in haze
downy, blurred softness | slow, drifting mist | sleepy, pillow-soft shapes
cloud-like, weightless softness | smooth, glassy stillness | veils of perfectly still mist
"""


def _parse(table: str) -> dict[tuple[int, int], tuple[str, ...]]:
    """(valence step, arousal step), each -2..2, -> phrases."""
    cells = [tuple(phrase.strip() for phrase in line.split("|")) for line in table.split("\n") if line.strip()]
    if len(cells) != 25:
        raise ValueError(f"a table of phrases has 25 cells, got {len(cells)}")
    return {(column - 2, 2 - row): cells[5 * row + column] for row in range(5) for column in range(5)}


PHRASES = {
    "mood": _parse(_MOOD),
    "body": _parse(_BODY),
    "light": _parse(_LIGHT),
    "colour": _parse(_COLOUR),
    "texture": _parse(_TEXTURE),
}


def _neighbour(value: float, threshold: float) -> int:
    """The table step below or above a value, above with probability = its fraction of the way there."""
    place = value / STEP
    below = min(math.floor(place), 1)
    return below + (threshold < place - below)


def draw_phrases(valence: float, arousal: float, random: Random, kinds: tuple[str, ...] = KINDS) -> dict[str, str]:
    """Phrases for a point of the plane: more of them the further it is from the middle.

    Args:
        valence, arousal: In [-3, 3].
        random: The source of chance.
        kinds: Kinds to choose from; the first is always there.

    Returns:
        Kind -> phrase, in the order of ``kinds``; two of them in the middle, all at the corners.
    """
    intensity = math.hypot(valence, arousal) / math.hypot(3, 3)
    count = 2 + round(intensity * (len(kinds) - 2))
    chosen = {kinds[0], *random.sample(kinds[1:], count - 1)}
    # Evenly spaced thresholds from one random start keep the average of a few draws close to the point itself.
    starts = random.random(), random.random()
    order = random.sample(range(count), count), random.sample(range(count), count)
    phrases = {}
    for number, kind in enumerate(kind for kind in kinds if kind in chosen):
        v, a = ((start + places[number] / count) % 1 for start, places in zip(starts, order, strict=True))
        phrases[kind] = random.choice(PHRASES[kind][_neighbour(valence, v), _neighbour(arousal, a)])
    return phrases


def emotional_prompt(
    neutral: str, valence: float, arousal: float, random: Random, kinds: tuple[str, ...] = KINDS
) -> str:
    """A neutral prompt retold with a mood that fits valence and arousal.

    Args:
        neutral: The content, without emotion and without a full stop: "Two soldiers in a library".
        valence, arousal: In [-3, 3].
        random: The source of chance.
        kinds: Leave out "body" where nobody is in the picture.
    """
    phrases = draw_phrases(valence, arousal, random, kinds)
    return random.choice(_SENTENCES)(neutral.rstrip(" ."), phrases)


def _article(words: str) -> str:
    return f"an {words}" if words[0] in "aeiou" else f"a {words}"


def upper_first(text: str) -> str:
    """The text with a capital first letter."""
    return text[:1].upper() + text[1:]


def _lower_first(text: str) -> str:
    # "I" and abbreviations keep their capitals.
    keeps = text[1:2].isupper() or text.startswith("I ")
    return text if keeps else text[:1].lower() + text[1:]


def _commas(*parts: str | None) -> str:
    return ", ".join(part for part in parts if part)


def _list(neutral: str, said: dict[str, str]) -> str:
    """Two soldiers in a library, smiling warmly, soft sunlight, gentle pastels, a calm, comfortable mood"""
    mood = f"{_article(said['mood'])} mood"
    return _commas(neutral, said.get("body"), said.get("light"), said.get("colour"), said.get("texture"), mood)


def _with(said: dict[str, str]) -> str:
    """with gentle pastels and soft textures; a comma where one of them has its own "and"."""
    parts = [said[kind] for kind in ("colour", "texture") if kind in said]
    link = ", and " if any(" and " in part or ", " in part for part in parts) else " and "
    return f"with {link.join(parts)}" if parts else ""


def _scene(neutral: str, said: dict[str, str]) -> str:
    """A calm, comfortable scene: two soldiers in a library, smiling warmly, in soft sunlight, with gentle pastels"""
    light = said.get("light") and f"in {said['light']}"
    told = _commas(_lower_first(neutral), said.get("body"), light, _with(said))
    return f"{upper_first(_article(said['mood']))} scene: {told}"


def _told(neutral: str, said: dict[str, str]) -> str:
    """Two soldiers in a library, smiling warmly, in soft sunlight. The mood is calm and comfortable, with pastels."""
    light = said.get("light") and f"in {said['light']}"
    mood = said["mood"].replace(", ", " and ")
    return f"{_commas(neutral, said.get('body'), light)}. {_commas(f'The mood is {mood}', _with(said))}"


def _framed(neutral: str, said: dict[str, str]) -> str:
    """Two soldiers in a library, smiling warmly. Soft sunlight, gentle pastels, a calm, comfortable atmosphere."""
    atmosphere = f"{_article(said['mood'])} atmosphere"
    around = _commas(said.get("light"), said.get("colour"), said.get("texture"), atmosphere)
    return f"{_commas(neutral, said.get('body'))}. {upper_first(around)}"


_SENTENCES = (_list, _scene, _told, _framed)
