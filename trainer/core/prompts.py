"""Files of prompts: a text file with one a line, or a table."""

from pathlib import Path

from trainer.core.rows import DataError, Problems, match_columns, parse_each, read_lines, read_rows, text_value

TABLES = (".csv", ".tsv", ".tab", ".jsonl", ".ndjson", ".json")
COLUMNS = {"prompt": "prompt", "neutral": "prompt", "neutral_prompt": "prompt"}


def read_prompts(path: Path, limit: int | None = None) -> list[str]:
    """The prompts of a text file, one a line, or of a table's column "prompt" or "neutral", each once.

    Empty lines and those that begin with # are left out.

    Raises:
        DataError: The file cannot be read, has no prompts, or a line comes twice.
    """
    path = Path(path)
    if path.suffix.lower() in TABLES:
        return _of_table(path)[:limit]
    prompts = read_lines(path)
    if not prompts:
        raise DataError(f"{path} has no prompts: expected one a line.")
    if prompts[0].startswith(('{"', "[{")) or COLUMNS.keys() & prompts[0].lower().split("\t"):
        return _of_table(path)[:limit]  # a table under another name
    if twice := [prompt for n, prompt in enumerate(prompts) if prompt in prompts[:n]]:
        raise DataError(f"{path} has {twice[0]!r} more than once.")
    return prompts[:limit]


def _of_table(path: Path) -> list[str]:
    rows, problems = read_rows(path), Problems(path)
    column = match_columns(path, rows, ["prompt"], COLUMNS)["prompt"]
    found = [parse_each(row, problems, {column: text_value}) for row in rows]
    problems.refuse()
    return list(dict.fromkeys(values[column] for values in found))
