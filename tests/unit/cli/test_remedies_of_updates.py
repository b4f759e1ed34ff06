"""Every command that a remedy of updates names is one: its words, its options, and what they need stand at the CLI."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from holdfast.cli.app import build

PACKAGES = Path(__file__).resolve().parents[3] / "packages"
FOLDERS = ("core/src/holdfast_core/update", "server/src/holdfast/update")
API = ("artefacts", "device_updates", "releases", "repositories", "rollout_pages", "rollouts", "update_tokens")
FILES = (
    "core/src/holdfast_core/supply/model.py",
    "server/src/holdfast/ports/artefacts.py",
    *(f"server/src/holdfast/web/api/{name}.py" for name in API),
)
VALUE = "VALUE"
"""Stands for what an f-string puts in: a name, or whole options."""
PROSE = {"wrote"}
"""Words after the name of a group that make it a sentence: what holdfast keys wrote."""
ENDS = ".,;:)"


def told(tree: ast.AST) -> Iterator[str]:
    """Every text of a module but its docstrings, what is put in replaced by `VALUE`."""
    docstrings, within = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            docstrings.add(id(node.value))
        if isinstance(node, ast.JoinedStr):
            parts = [each.value if isinstance(each, ast.Constant) else VALUE for each in node.values]
            within.update(id(each) for each in node.values)
            yield "".join(map(str, parts))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings | within:
            yield node.value


def commands(text: str) -> Iterator[list[str]]:
    """The commands that a text names, each as its words, up to the end of the clause."""
    for found in re.finditer(r"(?<![\w-])holdfast (?=[a-z])(.*)", text):
        words = []
        for word in found[1].split(" holdfast ")[0].split():
            if word.startswith("("):
                break
            words.append(word.rstrip(ENDS))
            if word[-1] in ENDS:
                break
        yield words


def refused(words: list[str]) -> str:
    """What keeps a command from running as it is written; empty where nothing does."""
    command: Any = typer.main.get_command(build())
    rest = list(words)
    while hasattr(command, "commands"):
        if not rest:
            return ""  # a group, named as such
        word = rest.pop(0)
        if word not in command.commands:
            return "" if word in PROSE else f"there is no {word!r}"
        command = command.commands[word]
    return _misfit(command, rest)


def _misfit(command: Any, rest: list[str]) -> str:
    options = {name: each for each in command.params for name in (*each.opts, *each.secondary_opts)}
    needed = [each for each in command.params if each.param_type_name == "argument" and each.required]
    given, has_options = 0, False
    while rest:
        word = rest.pop(0)
        if word.startswith("-"):
            has_options = True
            if word not in options:
                return f"{command.name} has no {word}"
            if not options[word].is_flag and (not rest or rest.pop(0).startswith("-")):
                return f"{word} needs a value"
        elif not word.islower():  # a name to put in; small words go on with the sentence
            given += 1
        elif not has_options and not given:
            break
    if (has_options or given) and given < len(needed):
        return f"{command.name} needs {needed[given].name}"
    return ""


def named() -> list[tuple[str, list[str]]]:
    """The commands that the feature names, with the module."""
    paths = [path for folder in FOLDERS for path in sorted((PACKAGES / folder).glob("*.py"))]
    paths.extend(PACKAGES / file for file in FILES)
    return [
        (path.name, words)
        for path in paths
        for text in told(ast.parse(path.read_text("utf-8")))
        for line in text.splitlines()
        for words in commands(line)
    ]


def test_every_command_that_a_remedy_names_exists_with_its_options():
    found = named()
    assert len(found) > 40, "the control: they are found at all"
    wrong = [f"{where}: holdfast {' '.join(words)}: {why}" for where, words in found if (why := refused(words))]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Look: holdfast rollout devices --bad.", "devices needs rollout"),
        ("Go on: holdfast rollout resume --anyway.", "resume needs rollout"),
        ("Go on: holdfast rollout resume NAME --anyhow.", "resume has no --anyhow"),
        ("Do it: holdfast release forget NAME.", "there is no 'forget'"),
        ("Do it: holdfast keys root --from.", "--from needs a value"),
        ("Look: holdfast rollout devices NAME --bad. Then abort it.", ""),
        ("Name the labs: holdfast release policy --lab-site SITE.", ""),
        ("Fetch what waits (holdfast keys fetch), sign it.", ""),
        ("Give the file that holdfast keys wrote.", ""),
    ],
)
def test_a_command_that_cannot_run_is_seen(text, why):
    (words,) = commands(text)
    assert refused(words) == why
