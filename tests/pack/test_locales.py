"""The translations in locales/ and in the pad: whole, in agreement with the glossary, and nothing lost on the way.

tests/reference/node_texts.json holds the English texts; tests/comfyui/browser/test_locales.py holds it to the nodes.
"""

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
LANGUAGES = ("zh", "ja", "ko", "fr", "de", "es")
ENGLISH = json.loads((ROOT / "tests" / "reference" / "node_texts.json").read_text("utf-8"))
COPIES = {"zh-TW": "zh"}
"""Languages that read another one's texts until somebody translates them: ComfyUI itself falls back to English."""
FILES = sorted((ROOT / "locales").glob("*/*.json"))
OWN_SCRIPT = {"zh": r"[\u4e00-\u9fff]", "ja": r"[\u3040-\u30ff\u4e00-\u9fff]", "ko": r"[\uac00-\ud7a3]"}
LITERAL = re.compile(
    r"https?://\S+\w|(?<=\s)/v1|\w+(?:/\w+)+|\w+\.(?:json|yaml)|\.(?:safetensors|pth)|[A-Z]+(?:_[A-Z]+)+"
    r"|python -m [\w.]+ \w+|\d+ x \d+|float\d+|\bauto\b|\bkeep\b(?=:)|\bzero\b(?=:)|from pooled_prompt|batch_size"
    r"|ease in-out|\bsmooth\b|\bhold\b|SDXL|KSampler|ControlNets?|Ollama"
)
"""What no language changes: files, addresses, variables, and the words of lists, which ComfyUI does not translate."""
NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?%?(?![\w.]*/)")
TRANSLATED_BY_COMFYUI = {"zh": {"KSampler": "K采样器"}, "ja": {"KSampler": "Kサンプラー"}}


def nodes(language: str) -> dict:
    return json.loads((ROOT / "locales" / language / "nodeDefs.json").read_text("utf-8"))


def flat(tree: dict, path: str = "") -> dict[str, str]:
    """Every text by its place."""
    texts = {}
    for key, value in tree.items():
        place = f"{path}.{key}".lstrip(".")
        texts |= flat(value, place) if isinstance(value, dict) else {place: value}
    return texts


def all_pairs() -> list[tuple[str, str, str, str]]:
    """(language, place, English, translation) of every text."""
    english = flat(ENGLISH)
    return [
        (language, place, english[place], text)
        for language in LANGUAGES
        for place, text in flat(nodes(language)).items()
    ]


def glossary() -> dict[str, dict[str, str]]:
    """The table of docs/translations.md: English term -> language -> term."""
    lines = (ROOT / "docs" / "translations.md").read_text("utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    head = next(row for row in rows if row[0] == "en")
    return {row[0]: dict(zip(head[1:], row[1:], strict=True)) for row in rows if len(row) == len(head)}


def plain(text: str) -> str:
    """In small letters, and with Spanish singulars such as emoción as their plurals (emociones) have them."""
    return text.casefold().replace("ción", "cion")


GLOSSARY = glossary()


# ---- the nodes' texts ------------------------------------------------------------------------------


def test_every_text_is_there_and_none_is_stale():
    for language in LANGUAGES:
        assert flat(nodes(language)).keys() == flat(ENGLISH).keys(), language
        assert all(text.strip() == text != "" for text in flat(nodes(language)).values()), language


def test_the_languages_are_those_of_the_glossary_and_hold_the_same_keys():
    assert {path.parent.name for path in FILES} == {*LANGUAGES, *COPIES}
    assert set(LANGUAGES) == set(GLOSSARY["valence"])
    others = [json.loads((ROOT / "locales" / language / "main.json").read_text("utf-8")) for language in LANGUAGES]
    assert all(flat(other).keys() == flat(others[0]).keys() for other in others)


def test_a_language_that_reads_anothers_texts_has_the_same():
    for copy, original in COPIES.items():
        for name in ("main.json", "nodeDefs.json"):
            texts = [(ROOT / "locales" / language / name).read_bytes() for language in (copy, original)]
            assert texts[0] == texts[1], f"copy locales/{original}/{name} over locales/{copy}/{name}"


def test_no_text_holds_what_comfyui_reads_as_a_variable_a_link_or_a_plural():
    for path in FILES:
        texts = flat(json.loads(path.read_text("utf-8"))).values()
        assert not [text for text in texts if re.search(r"[{}@|]", text)], path


def test_no_sentence_is_left_in_english():
    for language, place, english, text in all_pairs():
        if " " not in english:
            continue  # "points" is French too
        assert text != english, (language, place)
        if language in OWN_SCRIPT:
            assert re.search(OWN_SCRIPT[language], text), (language, place, text)
        else:
            words = set(re.findall(r"\w+", LITERAL.sub("", text).lower()))
            assert not words & {"the", "of", "with", "and", "for", "which"}, (language, place, text)


def test_numbers_files_addresses_and_words_of_lists_are_kept():
    for language, place, english, text in all_pairs():
        for literal in LITERAL.findall(english):
            kept = TRANSLATED_BY_COMFYUI.get(language, {}).get(literal, literal.removesuffix("s"))
            assert kept in text, (language, place, literal, text)
        left = [LITERAL.sub("", each) for each in (english, text)]
        assert set(NUMBER.findall(left[1])) == set(NUMBER.findall(left[0])), (language, place, text)


# ---- the glossary ----------------------------------------------------------------------------------


def test_a_term_is_called_the_same_everywhere():
    for term in ("valence", "arousal", "emotion", "emotion network", "strength", "emotion features"):
        for language, place, english, text in all_pairs():
            if re.search(rf"(?<![\w]){term}s?\b", english.lower().replace("_", " ")):
                assert plain(GLOSSARY[term][language]) in plain(text), (language, place, term, text)


def test_the_glossary_is_whole_and_tells_its_terms_apart():
    for language in LANGUAGES:
        words = [words[language] for words in GLOSSARY.values()]
        assert all(words) and len(set(words)) == len(words), language


# ---- the pad ---------------------------------------------------------------------------------------


def test_the_pad_has_all_its_words_in_every_language():
    script = (ROOT / "web" / "words.js").read_text("utf-8")
    words = json.loads(re.search(r"^const WORDS = (\{.*?^\});$", script, re.DOTALL | re.MULTILINE)[1])
    emotions = set(re.findall(r'\bname: "([^"]+)"', (ROOT / "web" / "emotions.js").read_text("utf-8")))
    scripts = "".join(path.read_text("utf-8") for path in (ROOT / "web").glob("*.js"))
    said = set(re.findall(r'\bsay\(\s*"([^"]+)"', scripts))
    assert words.keys() == set(LANGUAGES)
    for language, table in words.items():
        assert table.keys() == emotions | said, language
        for english, text in table.items():
            assert ("{}" in text) == ("{}" in english), (language, english)
            for term in ("valence", "arousal"):
                if term in english.lower():
                    assert plain(GLOSSARY[term][language]) in plain(text), (language, english)
