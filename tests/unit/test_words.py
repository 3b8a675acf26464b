"""scripts/check-words finds words of its list and long lines in prose, and leaves code alone."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "check-words"
LONG = "word " * 25


def check(path: Path, text: str) -> list[str]:
    """Write a file and check it; return the problems, each as `line: message`."""
    path.write_text(text, encoding="utf-8")
    done = subprocess.run([sys.executable, SCRIPT, path], capture_output=True, text=True, check=False)
    assert done.returncode == bool(done.stderr)
    return [line.partition(f"{path.name}:")[2] for line in done.stderr.splitlines()]


def test_words_in_the_text_of_markdown_are_found(tmp_path: Path) -> None:
    """A phrase is found in paragraphs, list items and table cells, also where a line ends in it."""
    text = "# Pages\n\nIt is made Anew.\n\n- The server lets\n  go of it.\n\n| a | b |\n|---|---|\n| x | mended |\n"
    assert check(tmp_path / "page.md", text) == [
        "3: 'Anew' → 'again'",
        "5: 'lets go' → 'releases, deletes'",
        "10: 'mended' → 'fix, hint'",
    ]


def test_code_in_markdown_is_not_checked(tmp_path: Path) -> None:
    """Blocks of code, inline code and the targets of links may have any word, and lines of any length."""
    text = f"`anew` and [a page](made-anew.md)\n\n```text\nmade anew\n{LONG}\n```\n"
    assert check(tmp_path / "page.md", text) == []


def test_long_lines_of_prose_are_found(tmp_path: Path) -> None:
    """A line of prose has at most 110 columns, except rows of tables and a link that fills its line."""
    link = f"- [the page](https://docs.example/{'x' * 110})"
    assert check(tmp_path / "page.md", f"# Page\n\n{LONG}\n\n| {LONG} |\n|---|\n\n{link}\n") == [
        "3: longer than 110 columns"
    ]


def test_words_in_comments_and_strings_of_python_are_found(tmp_path: Path) -> None:
    """Docstrings, comments over several lines and messages are checked; names and single words are not."""
    text = (
        '"""Tell whether it is so."""\n\nanew = "anew"  # a name\n\n# The engine lets\n# go of it.\n'
        'raise ValueError(\n    f"volume {anew} "\n    "is no volume"\n)\n'
    )
    assert check(tmp_path / "module.py", text) == [
        "1: 'Tell whether' → 'returns whether, checks whether'",
        "5: 'lets go' → 'releases, deletes'",
        "9: 'is no' → 'is not a'",
    ]


def test_normal_english_is_not_reported(tmp_path: Path) -> None:
    """The list spares the ordinary uses of its words."""
    text = (
        "There is no pool, so pyvol is no longer needed. You can see that the well-known port is well\n"
        "known. See the docs for a good reason. It stands for a volume of its own driver, and tells Docker.\n"
    )
    assert check(tmp_path / "page.md", text) == []


def test_other_files_are_checked_as_a_whole(tmp_path: Path) -> None:
    """In a script or a unit all text counts."""
    assert check(tmp_path / "script", '#!/bin/sh\nsay "it is made anew"\n') == ["2: 'anew' → 'again'"]


def test_all_files_of_a_directory_are_checked(tmp_path: Path) -> None:
    """In a directory, the script checks the Markdown and Python files at any depth."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "page.md").write_text("made anew\n")
    (tmp_path / "docs" / "data.json").write_text('{"text": "made anew"}\n')
    done = subprocess.run([sys.executable, SCRIPT, "."], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stderr == "docs/page.md:1: 'anew' → 'again'\n"
