"""The fourth baseline: a language model rewrites every prompt for every point of the plane, SDXL draws the rest.

The node Rewrite Prompt for Emotion asks the same question in the same words (emoticrafter/language/rewriting.py).
"""

from pathlib import Path

from tqdm import tqdm

from emoticrafter.language.chat import ChatSettings
from emoticrafter.language.rewriting import UnusableAnswerError, rewrite_prompt
from emoticrafter.va import grid_points
from trainer.core.prompts import read_prompts
from trainer.core.rows import write_jsonl

ASKS = 3  # seeds that are tried before a run ends for an answer that is no prompt


def rewrite_all(prompts: Path, out: Path, settings: ChatSettings, side: int, seed: int) -> None:
    """Writes one line for every prompt and point: prompt, valence, arousal, rewritten.

    Args:
        prompts: A file of prompts, see `read_prompts`.
        out: The .jsonl file; the folder beside it keeps every answer, so that a second run asks for the rest only.
        settings: Whom to ask.
        side: Points along each axis.
        seed: See `rewrite_prompt`; after an answer that is no prompt, the next ones are tried.

    Raises:
        DataError: The prompts cannot be read.
        RewriteError: The language model gave no usable answer; what it answered before is kept.
    """
    wanted = read_prompts(prompts)
    points, answers = grid_points(side, side, (-3, 3), (-3, 3)), out.with_suffix(".answers")
    rows = []
    with tqdm(total=len(wanted) * len(points), unit="prompt") as bar:
        for prompt in wanted:
            for valence, arousal in points:
                rewritten = _rewritten(prompt, valence, arousal, settings, seed, answers)
                rows.append({"prompt": prompt, "valence": valence, "arousal": arousal, "rewritten": rewritten})
                bar.update()
    write_jsonl(out, rows)


def _rewritten(prompt: str, valence: float, arousal: float, settings: ChatSettings, seed: int, answers: Path) -> str:
    for asked in range(seed, seed + ASKS):
        try:
            return rewrite_prompt(prompt, valence, arousal, settings, asked, answers, lambda: None)
        except UnusableAnswerError as error:
            last = error
    raise last
