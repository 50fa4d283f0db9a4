"""The fourth baseline: a language model rewrites every prompt for every point of the plane, SDXL draws the rest.

The node Rewrite Prompt for Emotion asks the same question in the same words (emoticrafter/rewriting.py).
"""

from pathlib import Path

from tqdm import tqdm

from emoticrafter.chat import ChatSettings
from emoticrafter.rewriting import rewrite_prompt
from emoticrafter.va import grid_points
from trainer.rows import write_jsonl


def rewrite_all(prompts: Path, out: Path, settings: ChatSettings, side: int, seed: int) -> None:
    """Writes one line for every prompt and point: prompt, valence, arousal, rewritten.

    Args:
        prompts: A text file with a prompt a line; empty lines and those that begin with # are left out.
        out: The .jsonl file; the folder beside it keeps every answer, so that a second run asks for the rest only.
        settings: Whom to ask.
        side: Points along each axis.
        seed: See `rewrite_prompt`.

    Raises:
        ValueError: There is no prompt.
        RewriteError: The language model gave no usable answer; what it answered before is kept.
    """
    lines = [line.strip() for line in prompts.read_text(encoding="utf-8").splitlines()]
    wanted = [line for line in lines if line and not line.startswith("#")]
    if not wanted:
        raise ValueError(f"{prompts} holds no prompt: expected one a line.")
    points, answers = grid_points(side, side, (-3, 3), (-3, 3)), out.with_suffix(".answers")
    rows = []
    with tqdm(total=len(wanted) * len(points), unit="prompt") as bar:
        for prompt in wanted:
            for valence, arousal in points:
                rewritten = rewrite_prompt(prompt, valence, arousal, settings, seed, answers, lambda: None)
                rows.append(
                    {"prompt": prompt, "valence": valence, "arousal": arousal, "rewritten": rewritten}
                )
                bar.update()
    write_jsonl(out, rows)
