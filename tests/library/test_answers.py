"""What a language model answered, without its thoughts, and as JSON."""

import json

import pytest

from emoticrafter.language.answers import json_object, one_line, without_thoughts

SQUARE = "A red square"
THOUGHT = (
    "<think>x</think>A red square",
    "<Thinking>\nx\n</Thinking>\n\nA red square",
    "<thought>x<thought>y</thought>z</thought>A red square",
    "<think>one</think>\n<think>two</think>A red square",
    "x</think>A red square",
    "<think>[THINK]</think>A red square",
    "[THINK]<think>[/THINK]A red square",
    "◁think▷x◁/think▷A red square",
    '<reasoning effort="high">x</reasoning><answer>A red square</answer>',
    "<think>x</think><answer>A red square",
    "<|begin_of_thought|>x<|end_of_thought|><|begin_of_solution|>A red square<|end_of_solution|>",
    "<|START_THINKING|>x<|END_THINKING|><|START_RESPONSE|>A red square<|END_RESPONSE|>",
    "<|channel|>analysis<|message|>Is <think> meant?<|end|>"
    "<|start|>assistant<|channel|>final<|message|>A red square<|return|>",
    "analysis<|message|>x<|end|><|start|>assistant<|channel|>final <|constrain|>json<|message|>A red square",
    "analysisThe user wants red.assistantfinalA red square",
    "<|channel>thought\nx<channel|>A red square<turn|>",
    "Here is my thought process: x. Here is my response: A red square",
    "A red square<|im_end|>\n<|im_start|>user\nThanks",
    "<|start_header_id|>assistant<|end_header_id|>\n\nA red square<|eot_id|>",
    "A red square</s>",
    "<think/>A red square",
    "&lt;think&gt;x&lt;/think&gt;A red square",
    "<seed_thinking_process>x</seed_thinking_process><final_answer>A red square</final_answer>",
    "<|thought_start|>x<|thought_end|>A red square",
    "<|start_of_reasoning|>x<|end_of_reasoning|>A red square",
    "[REASONING]x[/REASONING]A red square",
    "<unused94>thought\nx<unused95>A red square",
    '<details type="reasoning" done="true"><summary>Thought for 5 s</summary>x</details>A red square',
)


def test_thoughts_and_marks_are_taken_off_an_answer():
    for answer in (SQUARE, *THOUGHT):
        assert without_thoughts(answer) == SQUARE, answer


def test_a_thought_that_never_ends_is_no_answer():
    unclosed = ("<think>x", "<think>x<think>y</think>z", "[THINK]x", "<think>x</think><think>y")
    for answer in (*unclosed, "<|channel|>analysis<|message|>x", "<|channel|>commentary<|message|>x<|end|>"):
        assert without_thoughts(answer) == "", answer


def test_a_prompt_keeps_words_that_only_look_like_marks():
    for prompt in ("a <3 b", "[thought] bubble", "analysis of a final", "(think:1.2), <lora:think:1>", "a {b|c} {d}"):
        assert without_thoughts(prompt) == prompt


def test_json_is_found_behind_thoughts_and_between_prose():
    rating = {"valence": 1, "arousal": -0.5}
    text = json.dumps(rating)
    answers = [text, f"```json\n{text}\n```", f"Sure {{as asked}}:\n```\n{text}\n```\nDone.", f"The rating is {text}."]
    answers += [
        f'I answer as {{"valence": number}}. {text}',
        f'{{"draft": 1}} {text}',
        f"{text} Again: {text}",
        f"\ufeff{text}",
    ]
    answers += [thought.replace(SQUARE, text) for thought in THOUGHT]
    answers.append(text.replace("{", '{"reasoning": "x", '))
    answers.append(f'<think>{{"valence": 3, "arousal": 3}}</think>{text}')
    for answer in answers:
        assert json_object(answer, rating) == rating, answer


def test_what_is_not_one_json_object_is_refused():
    text = '{"valence": 1, "arousal": 0}'
    two = f"{text} or rather {text.replace('1', '2')}"
    wrong = {
        two: "more than one",
        "[1]": "not a JSON object",
        "null": "not a JSON object",
        "{'valence': 1}": "not JSON",
    }
    wrong |= {"<think>": "not JSON", f"<think>{text}": "not JSON", "[" * 40_000: "not JSON", '{"a":' * 9000: "not JSON"}
    wrong |= {"1" * 5000: "not", "{" * 50_000: "not JSON", "x" * 60_000: "60,000 characters", "": "not JSON"}
    for answer, why in wrong.items():
        with pytest.raises(ValueError, match=why):
            json_object(answer, ("valence", "arousal"))


def test_a_line_keeps_what_scripts_and_emoji_need_and_nothing_that_steers():
    assert one_line("a\x1b[2J\u202e b\0\n\u2028\ud800 c\x9b") == "a[2J b c"
    for text in ("می‌خواهم", "👩‍🚀 ❤️", "é"):
        assert one_line(text) == text
