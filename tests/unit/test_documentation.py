"""The documentation has everything that the code offers, and promises only what the code has."""

import ast
import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from commands import command_lines
from house import House
from pyvol.api.error_codes import TABLE
from pyvol.cli.group import MODULES, Commands, group
from pyvol.config import settings
from pyvol.core.model import options
from pyvol.daemon.app import create_app

TOP = Path(__file__).resolve().parents[2]
PAGES = [TOP / "README.md", TOP / "CONTRIBUTING.md", *sorted((TOP / "docs").rglob("*.md"))]
ENDS = re.compile(r"[:;,?] | \(|[)?]|…|\. ")
"""Where a part of an error's sentence ends. Its parts come from different places of the source."""
VALUE = r"\S+(?: \S+){0,3}"
"""What a message may have where the source has a placeholder."""
LINK = re.compile(r"\]\((?!https?:)(?P<file>[^)#]*)(?:#(?P<heading>[^)]*))?\)")


def read(name: str) -> str:
    """Return a page."""
    return (TOP / name).read_text()


def test_every_command_is_documented() -> None:
    """docs/cli.md has each command, with each argument and flag that only this command has."""
    assert isinstance(group, Commands)
    rows = [line for line in read("docs/cli.md").splitlines() if line.startswith("| `pyvol ")]
    known_elsewhere = {"--socket", "--json", *(setting.flag for setting in settings.TABLE)}
    for line, command in command_lines(group):
        found = [row for row in rows if row.startswith((f"| `{line} ", f"| `{line}`"))]
        assert found, line
        for option in command.params:
            if isinstance(option, click.Option) and not known_elsewhere & set(option.opts):
                assert any(flag in found[0] for flag in option.opts), f"{line} {option.opts}"


def test_the_readme_names_every_command() -> None:
    """The README's table leaves no command out."""
    text = read("README.md")
    for word in MODULES:
        assert f"`pyvol {word}" in text, word


@pytest.mark.parametrize("page", ["README.md", "docs/options.md"])
def test_every_option_is_documented(page: str) -> None:
    """Each option of a volume is in the table of both pages."""
    for option in options.TABLE:
        assert re.search(rf"^\| .*`{option.key}[`=]", read(page), re.MULTILINE), option.key


def test_the_docs_say_which_options_can_be_changed() -> None:
    """The last column of docs/options.md is what `pyvol set` takes."""
    for option in options.TABLE:
        row = next(line for line in read("docs/options.md").splitlines() if line.startswith(f"| `{option.key}` "))
        assert row.endswith("| yes |" if option.mutable else "| no |"), option.key


def test_every_setting_is_documented() -> None:
    """docs/settings.md has a row for each setting, with its flag, its variable and its default."""
    for setting in settings.TABLE:
        row = f"| `{setting.key}` | `{setting.flag}` | `{setting.variable}` | "
        assert row in read("docs/settings.md"), setting.key
        if setting.default:
            assert f"{row}`{setting.default}` |" in read("docs/settings.md"), setting.key


def test_the_example_of_the_settings_shows_the_defaults() -> None:
    """Without the # before each setting, pyvol.toml is valid, and has each setting with its default."""
    text = (TOP / "packaging" / "pyvol.toml").read_text()
    assert tomllib.loads(text) == {}
    shown = tomllib.loads("\n".join(line[1:] for line in text.splitlines() if re.match(r"#[a-z\[]", line)))
    for setting in settings.TABLE[1:]:
        assert setting.key in shown, setting.key
        if setting.default:
            assert shown[setting.key] == setting.default
    assert shown.keys() <= settings.BY_KEY.keys() | {"pools"}


def test_every_request_of_the_control_api_is_documented(house: House) -> None:
    """docs/cli.md has each path, with its method."""
    app = create_app(house.log, *house.control_api())
    text = read("docs/cli.md")
    for rule in app.url_map.iter_rules():
        for method in (rule.methods or set()) - {"HEAD"}:
            assert f"`{method} {rule.rule.replace('<name>', 'NAME').replace('<job>', 'ID')}" in text


def test_every_exit_code_is_documented() -> None:
    """docs/cli.md explains each code with which a command can end."""
    for code in {0} | {row.exit_code for row in TABLE.values()}:
        assert f"\n| {code} | " in read("docs/cli.md"), code


def test_every_error_code_is_documented() -> None:
    """docs/errors.md has a section for each code and for no other, with its HTTP status and exit code."""
    sections = re.findall(
        r"^### (\w+)\n\nHTTP (\d+), exit code (\d+)\. .+?\n\n> .", read("docs/errors.md"), re.MULTILINE | re.DOTALL
    )
    assert {code: (int(status), int(ended)) for code, status, ended in sections} == TABLE
    assert len(sections) == len(TABLE) == read("docs/errors.md").count("\n### ")


def test_the_messages_in_the_docs_are_the_messages_of_the_code() -> None:
    """The fixed words of each message of pyvol that the documentation quotes are in the source."""
    known = re.compile("|".join(sorted(source_messages())))
    assert known.fullmatch("cannot be removed")
    assert not known.fullmatch("these words are in no message")
    for message in [*symptoms(), *quotes(), *examples()]:
        for part in parts(re.sub(r"^(volume|pool) '[^']+' ", "", message)):
            assert known.fullmatch(part), f"{part!r} of {message!r}"


def test_the_docs_separate_cause_and_hint_as_the_code_does() -> None:
    """A hint follows the cause after a semicolon, and without a cause it follows a colon."""
    for message in [*symptoms(), *quotes(), *examples()]:
        assert "; " not in message.partition(": ")[0], message


def symptoms() -> list[str]:
    """Return the messages of pyvol that docs/when-things-go-wrong.md lists as symptoms.

    Messages of Docker and of Compose are left out.
    """
    ours = read("docs/when-things-go-wrong.md").partition("### Docker and Swarm")[0]
    cells = [line.split(" | ")[0] for line in ours.splitlines() if line.startswith("| ")]
    return [message for cell in cells for message in re.findall(r"`([^`]+)`", cell)]


def quotes() -> list[str]:
    """Return the messages about a volume or a pool that any page quotes."""
    return [quote for page in PAGES for quote in re.findall(r"`((?:volume|pool) '[^`]+)`", page.read_text())]


def examples() -> list[str]:
    """Return the message that docs/errors.md has for each code that pyvol returns."""
    sections = [text for text in read("docs/errors.md").split("\n### ") if "never returns it" not in text]
    return [" ".join(re.findall(r"^> (.*)", text, re.MULTILINE)) for text in sections[1:]]


def parts(text: str) -> Iterator[str]:
    """Yield the parts of a message that have at least three words, and are not the kernel's."""
    for part in ENDS.split(text):
        words = [word for word in part.split() if re.fullmatch("[a-z]{2,}", word)]
        if len(words) >= 3 and part not in map(os.strerror, range(1, 100)):
            yield part.strip()


def source_messages() -> set[str]:
    """Return expressions for the parts of the source's strings, and for runs of them between placeholders."""
    found = set()
    for path in (TOP / "plugin/pyvol").rglob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        docstrings = {node.value for node in nodes if isinstance(node, ast.Expr)}
        for part in (part for node in nodes if node not in docstrings for part in ENDS.split(fixed_words(node))):
            words = part.split("\0")
            runs = ("\0".join(words[i:j]).strip() for i in range(len(words)) for j in range(i + 1, len(words) + 1))
            found |= {VALUE.join(map(re.escape, run.split("\0"))) for run in runs if re.search("[a-z]{3}", run)}
    return found


def fixed_words(node: ast.AST) -> str:
    """Return the text of a string, with a NUL for each placeholder; empty for other nodes."""
    if isinstance(node, ast.JoinedStr):
        return "".join(map(fixed_words, node.values))
    if isinstance(node, ast.FormattedValue):
        return "\0"
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(TOP)))
def test_links_lead_somewhere(page: Path) -> None:
    """Each link between the pages leads to a file that is there, and to a heading that it has."""
    for link in LINK.finditer(page.read_text()):
        target = page.parent / link["file"] if link["file"] else page
        assert target.exists(), link[0]
        if link["heading"]:
            headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
            assert link["heading"] in {heading.lower().replace(" ", "-") for heading in headings}, link[0]


def test_every_target_of_make_is_in_its_help() -> None:
    """`make` lists each target that the documentation uses."""
    listed = set(re.findall(r"^([a-z-]+):.*## ", read("Makefile"), re.MULTILINE))
    used = {word for page in PAGES for word in re.findall(r"\bmake ([a-z-]+)", "\n".join(commands(page)))}
    assert used
    assert used <= listed


def commands(page: Path) -> list[str]:
    """Return the code of a page: the blocks for a shell, and the make commands between backticks."""
    text = page.read_text()
    return re.findall(r"```sh\n(.*?)```", text, re.DOTALL) + re.findall(r"`(make [^`\n]*)`", text)
