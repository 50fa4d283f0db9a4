"""Text from outside: wherever it is quoted, it is printable, short and no markup."""

import logging
import time

import pytest

from emoticrafter.quoting import is_showable, printable, printable_errors, quoted, shown

NASTY = "\ud800 \x1b[2J \u202e \x00 \u2028 \x85 \U000e0001"


def test_what_cannot_be_printed_is_spelled_out():
    for text in (printable(NASTY), shown(NASTY), quoted(NASTY), quoted([NASTY])):
        assert text.isprintable() and text.encode()
    assert printable("Gefühl 情感\u3000👩\u200d🚀\nتند") == "Gefühl 情感\u3000👩\u200d🚀\nتند"
    assert shown("two\nlines") == r"two\nlines"


def test_a_quote_is_short_whatever_it_quotes():
    deep = []
    for _ in range(100_000):
        deep = [deep]
    started = time.process_time()
    for value in ("x" * 20_000_000, "\x1b" * 1_000_000, 10**100_000, deep, [[1]] * 10**6, {"a": deep}, b"\x1b" * 10**6):
        assert len(quoted(value)) < 1000 and quoted(value).isprintable()
    assert time.process_time() - started < 1
    assert quoted([1.5, "a", None]) == "[1.5, 'a', None]"
    assert quoted({}) == "a dict of 0"


def test_markup_is_not_a_name():
    assert "<" not in shown("<img src=x onerror=alert(1)>") + quoted("<b>")
    names = ("<b>", "a\nb", "a\tb", NASTY, "a>")
    assert [is_showable(name) for name in names] == [False] * len(names)
    assert is_showable("with a space/Gefühl & 情感 'x' (2).safetensors")


def test_errors_and_their_causes_can_be_logged():
    with pytest.raises(ValueError) as told, printable_errors():
        try:
            raise KeyError(NASTY)
        except KeyError as error:
            raise ValueError(f"{NASTY}\n" * 100_000) from error
    assert len(str(told.value)) < 50_000 and str(told.value).replace("\n", "").isprintable()
    assert str(told.value.__cause__).isprintable()


def test_the_log_takes_any_text(caplog):
    with caplog.at_level(logging.INFO, "emoticrafter"):
        logging.getLogger("emoticrafter").info("Loading %s", NASTY)
    assert caplog.messages[0].startswith("Loading ") and caplog.messages[0].isprintable()
