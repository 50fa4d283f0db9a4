"""Text between marks in a document."""

from trainer.core.markdown import put_between_marks, table


def test_a_document_keeps_what_stands_around_the_marks(tmp_path):
    path = tmp_path / "miniature.md"
    path.write_text("# Title\n\nBefore.\n\n<!-- measured: begin -->\nold\n<!-- measured: end -->\n\nAfter.\n")
    for _ in range(2):
        put_between_marks(path, "| new |", "measured")
    kept = path.read_text()
    assert kept.startswith("# Title\n\nBefore.\n") and kept.endswith("\nAfter.\n")
    assert "old" not in kept and kept.count("| new |") == 1


def test_a_name_in_a_table_is_neither_markup_nor_several_lines():
    names = ["<img src=x onerror=alert(1)>", "[here](javascript:alert(1))", "a\n|b\x1b"]
    text = table(["", "n"], [[name, "1"] for name in names])
    assert "<" not in text and "](" not in text and "\x1b" not in text
    assert len(text.splitlines()) == 5
