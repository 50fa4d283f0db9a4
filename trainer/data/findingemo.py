"""FindingEmo: 25,869 human ratings of valence and arousal, turned into pairs of prompts.

Source: L. Mertens et al., "FindingEmo: An Image Dataset for Emotion Recognition in the Wild", NeurIPS 2024; the
annotations come from the package ``findingemo-light`` (CC BY-NC-SA 4.0: no commercial use, share alike), which
also covers what is made from them. Pictures are not needed: the folder of each one is the query it was found
with ("Loving toddlers sports": an emotion, people, a place). People and place give the neutral prompt. The
emotion word was only a wish of the search, so the emotional prompt follows the rating instead.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from random import Random

from emoticrafter.fit.wording import KINDS, emotional_prompt, upper_first
from trainer.core.rows import DataError, Problems, match_columns, named_cells, parse_each, read_rows, text_value
from trainer.data.pairs import PairTable, assign_split
from trainer.data.scales import SCALES, Scale

LICENCE = (
    "FindingEmo annotations by L. Mertens et al., CC BY-NC-SA 4.0 "
    "(https://creativecommons.org/licenses/by-nc-sa/4.0/): not for commercial use; "
    "name the authors and share what you make from them under the same licence."
)
COLUMNS = ("index", "image_path", "tags", "valence", "arousal")

# Query word -> the people in the picture.
PEOPLE = {
    "babies": ("a mother with a baby", "a father with a baby", "a couple with a baby"),
    "toddlers": ("a toddler", "two toddlers", "a group of toddlers"),
    "children": ("a boy and a girl", "two children", "a group of children", "a child"),
    "adolescents": ("an adolescent", "two adolescents", "a group of adolescents"),
    "teenagers": ("a teenager", "two teenagers", "a group of teenagers"),
    "youth": ("two young people", "a group of young people", "several young people"),
    "students": ("a student", "two students", "a group of students"),
    "adults": ("a man and a woman", "two adults", "three adults", "a group of adults"),
    "people": ("a man and a woman", "a man", "a woman", "two people", "several people", "a group of people"),
    "soldiers": ("a soldier", "two soldiers", "three soldiers", "a group of soldiers"),
    "twenty-something": ("a man in his twenties", "a woman in her twenties", "two friends in their twenties"),
    "thirty-something": ("a man in his thirties", "a woman in her thirties", "a couple in their thirties"),
    "forty-something": ("a man in his forties", "a woman in her forties", "a couple in their forties"),
    "fifty-something": ("a man in his fifties", "a woman in her fifties", "a couple in their fifties"),
    "midlife": ("a middle-aged man", "a middle-aged woman", "a middle-aged couple"),
    "retiree": ("a retired man", "a retired woman", "a retired couple"),
    "pensioner": ("a pensioner", "two pensioners", "a group of pensioners"),
    "seniors": ("two seniors", "a group of seniors", "an old man", "an old woman"),
    "elderly": ("an elderly man", "an elderly woman", "an elderly couple", "a group of elderly people"),
}
YOUNG = {"babies", "toddlers", "children", "adolescents", "teenagers", "youth"}

# Query word -> (where the people are or what they do), (the same place without people).
PLACES = {
    "anniversary": (("at an anniversary dinner", "at an anniversary gathering"), "a table laid for an anniversary"),
    "army": (("at an army base", "at a military parade", "next to an army truck"), "an army base"),
    "bathroom": (("brushing teeth in a bathroom", "washing hands in a bathroom"), "a bathroom"),
    "beach": (("on a beach", "at the beach", "walking along a beach"), "a beach"),
    "bedroom": (("reading in a bedroom", "tidying a bedroom"), "a bedroom"),
    "birthday": (("at a birthday party", "next to a birthday cake"), "a room set up for a birthday"),
    "ceremony": (("at a ceremony", "at an award ceremony", "at an outdoor ceremony"), "a hall set up for a ceremony"),
    "church": (("in a church", "in front of a church", "between the pews of a church"), "a church"),
    "circus": (("at a circus", "in front of a circus tent", "in a circus ring"), "a circus tent"),
    "city": (("in a city", "on a city street", "at a city crossing"), "a city street"),
    "classroom": (("in a classroom", "at a desk in a classroom", "by a blackboard"), "a classroom"),
    "comforting": (("sitting on a bench with a friend",), "a bench in a park"),
    "competition": (("at a competition", "taking part in a competition"), "an arena set up for a competition"),
    "conference": (("at a conference", "in a conference hall", "at a conference table"), "a conference hall"),
    "counseling": (("in a counseling session", "in a counselor's office"), "a counselor's office"),
    "countryside": (("in the countryside", "on a country road", "by a field"), "a country road between fields"),
    "court": (("in a courtroom", "outside a courthouse"), "a courtroom"),
    "court of law": (("in a court of law", "in front of a judge's bench"), "a court of law"),
    "desert": (("in a desert", "walking through a desert", "on a desert road"), "a desert"),
    "fall": (("in a park in fall", "walking on fallen leaves", "outdoors in autumn"), "a park in autumn"),
    "festival": (("at a festival", "at a street festival", "at a music festival"), "a street set up for a festival"),
    "fighting": (("in a boxing gym", "at a wrestling match", "in a scuffle on the street"), "a boxing ring"),
    "film": (("on a film set", "in a film scene", "in front of a film camera"), "a film set"),
    "forest": (("in a forest", "on a forest trail", "under tall trees in a forest"), "a forest"),
    "funeral": (("at a funeral", "next to a grave at a funeral", "walking in a funeral procession"), "a cemetery"),
    "garden": (("in a garden", "working in a garden", "on a garden path"), "a garden"),
    "gathering": (("at a gathering", "at a gathering in a community hall"), "a community hall"),
    "grocery store": (("in a grocery store", "at the checkout of a grocery store"), "the aisle of a grocery store"),
    "holding": (("holding a bag", "holding an umbrella", "holding a box"), "an umbrella and a bag on a chair"),
    "holiday": (("on holiday", "on a holiday trip", "in front of a holiday home"), "a holiday home"),
    "home": (("at home", "in front of a house", "in the hallway of a home"), "a house"),
    "hospital": (("in a hospital", "in a hospital corridor", "in a hospital ward"), "a hospital corridor"),
    "hugging": (("hugging a friend", "hugging a relative"), "a station platform"),
    "kissing": (("kissing a relative on the cheek", "kissing a friend on the cheek"), "a bench by a river"),
    "kitchen": (("in a kitchen", "cooking in a kitchen", "at a kitchen table"), "a kitchen"),
    "library": (("in a library", "reading in a library", "between library shelves"), "a library"),
    "living room": (("in a living room", "on a sofa in a living room"), "a living room"),
    "mall": (("in a shopping mall", "on an escalator in a mall"), "a shopping mall"),
    "meeting": (("in a meeting", "in a meeting room", "at a table in a meeting"), "a meeting room"),
    "movie": (("in a movie theater", "in a movie scene", "in front of a movie screen"), "a movie theater"),
    "museum": (("in a museum", "in front of a painting in a museum"), "a museum hall"),
    "nature": (("in nature", "hiking in nature", "by a lake"), "a lake between hills"),
    "nursing home": (("in a nursing home", "in the lounge of a nursing home"), "the lounge of a nursing home"),
    "office": (("in an office", "at a desk in an office", "by an office window"), "an office"),
    "party": (("at a party", "at a house party", "at a garden party"), "a room set up for a party"),
    "playground": (("on a playground", "next to a swing on a playground"), "a playground"),
    "playing": (("playing a game", "playing a board game", "playing with a ball"), "a board game on a table"),
    "prison": (("in a prison", "in a prison yard", "in a prison visiting room"), "a prison corridor"),
    "proposal": (("at a marriage proposal", "at a marriage proposal in a park"), "a ring box on a table"),
    "protest": (("at a protest", "in a protest march", "holding a sign at a protest"), "a street with protest banners"),
    "rally": (("at a rally", "in the crowd at a rally", "at an outdoor rally"), "a square set up for a rally"),
    "school": (("at school", "in a school hallway", "in front of a school"), "a school hallway"),
    "shop": (("in a shop", "at the counter of a shop", "in front of a shop"), "a shop"),
    "shopping": (("shopping", "carrying shopping bags", "on a shopping street"), "a shopping street"),
    "soccer": (("playing soccer", "on a soccer field", "at a soccer match"), "a soccer field"),
    "sports": (("playing sports", "on a sports field", "in a gym"), "a sports field"),
    "spring": (("in a park in spring", "outdoors in spring", "by a tree in spring"), "a park in spring"),
    "studio": (("in a studio", "in an art studio", "in a recording studio"), "an art studio"),
    "summer": (("outdoors in summer", "in a park in summer", "on a terrace in summer"), "a park in summer"),
    "tennis": (("playing tennis", "on a tennis court", "at a tennis match"), "a tennis court"),
    "theater": (("in a theater", "on a theater stage", "in the lobby of a theater"), "a theater stage"),
    "war": (("in a war", "on a wartime street", "in a trench"), "a wartime street"),
    "wedding": (("at a wedding", "at a wedding reception", "on the steps at a wedding"), "a hall set up for a wedding"),
    "winter": (("outdoors in winter", "in a park in winter", "walking through snow"), "a park in winter"),
    "work": (("at work", "working at a desk", "at a work site"), "a work site"),
    "workplace": (("at a workplace", "in an open-plan workplace", "in a workshop"), "a workshop"),
}
# What the young do where the phrases above are about adults.
YOUNG_PLACES = {
    "army": ("watching a military parade", "visiting an army base"),
    "bathroom": ("brushing teeth in a bathroom",),
    "bedroom": ("playing with toys in a bedroom", "reading in a bedroom"),
    "fighting": ("in a scuffle on a playground", "in a judo class"),
    "kissing": ("with grandparents on a family visit",),
    "prison": ("visiting a prison", "in a prison visiting room"),
    "proposal": ("watching a marriage proposal", "watching a marriage proposal in a park"),
    "war": ("on a wartime street", "in a shelter in a war"),
    "work": ("visiting a work site", "at a parent's work"),
    "workplace": ("visiting a workplace", "in a workshop"),
}
FRAMES = ("{}", "{}", "a photo of {}", "a candid photo of {}", "a wide shot of {}")


def annotations_path() -> Path:
    """The annotation file of ``findingemo-light``, found without importing the package (only its data is needed).

    Raises:
        DataError: the package is not installed, or it is another edition.
    """
    spec = find_spec("findingemo_light")
    if spec is None or not spec.submodule_search_locations:
        raise DataError(
            "FindingEmo's annotations come with the package findingemo-light, which is not installed. "
            "Install it: pip install findingemo-light==1.0.0"
        )
    path = Path(spec.submodule_search_locations[0]) / "data" / "annotations_single.ann"
    if not path.exists():
        raise DataError(f"{path} does not exist; expected findingemo-light 1.0.0: pip install findingemo-light==1.0.0")
    return path


def parse_query(image_path: str) -> tuple[str, str, str]:
    """The emotion, people and place that a picture was searched with.

    Args:
        image_path: "/Run_2/Fed up forty-something court of law/picture.jpg".

    Returns:
        ("Fed up", "forty-something", "court of law").

    Raises:
        ValueError: the folder is not such a query.
    """
    folders = image_path.strip("/").split("/")
    words = folders[-2].split() if len(folders) > 1 else []
    for position, word in enumerate(words):
        if word in PEOPLE and " ".join(words[position + 1 :]) in PLACES:
            return " ".join(words[:position]), word, " ".join(words[position + 1 :])
    raise ValueError(f"{image_path!r} does not lie in a folder named '<emotion> <people> <place>' with known words")


def neutral_prompt(people: str | None, place: str, random: Random) -> str:
    """The content without emotion: "A couple in their forties in a court of law".

    Args:
        people: A key of PEOPLE, or None for the place without people.
        place: A key of PLACES.
        random: The source of randomness.
    """
    doing, scene = PLACES[place]
    if people is None:
        seen = scene
    else:
        doing = YOUNG_PLACES.get(place, doing) if people in YOUNG else doing
        seen = f"{random.choice(PEOPLE[people])} {random.choice(doing)}"
    return upper_first(random.choice(FRAMES).format(seen))


def findingemo_table(seed: int = 0, fraction: float = 0.01, scene_share: float = 0.1) -> PairTable:
    """One pair of prompts for every annotation.

    Args:
        seed: Decides every wording and the split; each row has its own, so rows don't depend on each other.
        fraction: The validation share.
        scene_share: The share of pairs that show the place without people, so that the network does not
            learn that emotion means people.

    Raises:
        DataError: the annotations are missing or not as expected.
    """
    path = annotations_path()
    rows = read_rows(path)
    columns = match_columns(path, rows, COLUMNS, {name: name for name in COLUMNS})
    scale, problems = Scale(*SCALES["findingemo"]), Problems(path)
    readers = {
        "index": text_value,
        "image_path": lambda value: parse_query(text_value(value)),
        "valence": scale.to_valence,
        "arousal": scale.to_arousal,
    }
    pairs = []
    for row in rows:
        cells = named_cells(row, columns)
        if rating := parse_each(row, problems, readers, cells):
            deserted = "NoPeople" in str(cells["tags"]).split(",")
            pairs.append(_pair(rating, deserted, seed, scene_share))
    problems.refuse("Expected the annotations of findingemo-light 1.0.0.")
    columns = {name: [pair[name] for pair in pairs] for name in pairs[0]}
    split = assign_split(columns["neutral"], fraction, seed)
    return PairTable(**columns, source=["findingemo"] * len(pairs), split=split)


def _pair(rating: dict, deserted: bool, seed: int, scene_share: float) -> dict:
    random = Random(f"{seed}/{rating['index']}")  # noqa: S311 - wording, not secrets
    _, people, place = rating["image_path"]
    if random.random() < scene_share or deserted:
        people = None
    kinds = KINDS if people else tuple(kind for kind in KINDS if kind != "body")
    neutral = neutral_prompt(people, place, random)
    valence, arousal = rating["valence"], rating["arousal"]
    return {
        "id": f"findingemo-{rating['index']}",
        "neutral": neutral,
        "emotional": emotional_prompt(neutral, valence, arousal, random, kinds),
        "valence": valence,
        "arousal": arousal,
    }
