"""What people type: numbers and lists as keyboards of several languages write them, and values with a minus."""

import argparse

import pytest

from emoticrafter.command_line import CommandLine
from emoticrafter.typed import read_number, read_numbers, read_whole, read_words

NUMBERS = {
    -1.5: ("-1.5", "−1.5", "–1,5", "—1.5", "‐1,50", "－１．５", "-١٫٥", "\u200e-1.5", " -1,5\u3000", "-۱.۵", "-15e-1"),
    0.5: (".5", "+.5", "＋０．５", "0,500", "5E−1", "٠٫٥"),
    1500.0: ("1500", "1.5e3", "1500,0"),
}
OBSTACLES = {
    "1,500": "the comma may separate thousands or decimals",
    "1.234,5": "the comma may separate",
    "1'000": "the apostrophe may separate",
    "1٬000": "the thousands separator may separate",
    "1 000": "it holds ' '",
    "1_000": "it holds '_'",
    "0x10": "it holds 'x'",
    "1，5": "FULLWIDTH COMMA",
    "1²": "SUPERSCRIPT TWO",
    "½": "VULGAR FRACTION ONE HALF",
    "nan": "expected a finite number",
    "-inf": "expected a finite number",
    "1e999": "expected a finite number",
    "": "expected a number such as -1.5, got ''",
    "--1": "expected a number such as -1.5, got '--1'",
    "\x1b[31m": r"got '\x1b[31m'",
    "9" * 500: "9...'",
}


def test_a_number_is_read_as_it_was_meant_or_refused_with_what_stands_in_the_way():
    for value, texts in NUMBERS.items():
        assert [read_number(text) for text in texts] == [value] * len(texts)
    for text, why in OBSTACLES.items():
        with pytest.raises(ValueError, match="expected a") as refused:
            read_number(text)
        assert why in str(refused.value)
        assert len(str(refused.value)) < 150
    assert read_number("2,125", most=3) == 2.125, "2125 would be too large"


def test_a_whole_number_keeps_every_digit():
    assert [read_whole(text) for text in ("-3", "−3", "＋１２", "٣", "9007199254740993")] == [-3, -3, 12, 3, 2**53 + 1]
    for text in ("1.0", "1e3", "1,000", "", "²"):
        with pytest.raises(ValueError, match="expected a whole number such as 12, got"):
            read_whole(text)


def test_words_are_separated_as_in_any_language():
    for text in (
        "a b,c",
        "a b，c",
        "a b、 c。",
        "a b；\n；c",
        "a  b ; c;",
        "a b،c",
        "a b|c",
        "a b\u3000c",
        "a b・c",
        "a b\u2028c",
        "- a b\n- c",
        "• a b • c",
        "1. a b\n2. c",
        "“a b”, 'c'",
        "「a b」／「c」",
        "a b፤c",
    ):
        assert read_words(text) == ["a b", "c"], text
    assert read_words("a b, c. ") == ["a b", "c"]
    assert read_words(" ，,\n") == []


def test_a_comma_between_digits_separates_unless_it_must_be_a_decimal_comma():
    for text in (
        "-1.5, 2",
        "-1.5 2",
        "-1,5 2",
        "-1,5; 2",
        "−1,5，2",
        "-1.5，2",
        "-1.5,2",
        "-1.5 ,2",
        "-1,5\t2,0",
        "-1.5\xa02",
    ):
        assert read_numbers(text, 2) == [-1.5, 2], text
    for text in ("-3,0,3", "-3, 0,3", "-3 0 3", "−3；0；3", "-3、0、3", "-3,0,3,", "[-3, 0, 3]"):
        assert read_numbers(text) == [-3, 0, 3], text
    assert read_numbers("-1,5;0;1,5") == [-1.5, 0, 1.5]
    refused = {
        ("1,5,2,5", 2): "expected 2 numbers, got 4 in",
        ("-2,5 0 2,5", None): "a comma may separate numbers or decimals",
        ("1,,2", None): "got ''",
        ("", None): "got ''",
        ("1 x", 2): "got 'x'",
        ("-3,000", None): "a comma may separate numbers or decimals",
    }
    for (text, count), why in refused.items():
        with pytest.raises(ValueError, match=why):
            read_numbers(text, count)


def test_a_value_of_an_option_may_begin_with_a_minus():
    parser = CommandLine(exit_on_error=False)
    parser.add_argument("--scale")
    parser.add_argument("--seeds", nargs="+")
    parser.add_argument("--fast", action="store_true")
    for value in ("-3..3", "-3,0,3", "-.5", "-1e3", "-x", "−3..3", "-3..3,-1..1"):
        assert parser.parse_args(["--scale", value, "--fast"]) == argparse.Namespace(scale=value, seeds=None, fast=True)
    assert parser.parse_args(["--seeds", "-1", "-2..3", "--scale=-1"]).seeds == ["-1", "-2..3"]
    with pytest.raises(argparse.ArgumentError, match="expected one argument"):
        parser.parse_args(["--scale", "--fast"])
