"""The reference of updates says what the code does: its codes are those of the device, its examples are taken."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator

import msgspec
import pytest

from conftest import ROOT
from holdfast_agent.update.installers.boot_state import BootState
from holdfast_agent.update.installers.chosen import Setup
from holdfast_core.update import assignment, install_trial, machine

PAGE = ROOT / "docs" / "reference" / "updates.md"
AGENT = ROOT / "packages/agent/src/holdfast_agent"
CORE = ROOT / "packages/core/src/holdfast_core/update"
MODULES = (
    *sorted((AGENT / "update").rglob("*.py")),
    AGENT / "loop.py",
    *(CORE / f"{name}.py" for name in ("agreement", "assignment", "install_trial", "machine", "time")),
)
_CODE = re.compile(r"(update|installer)\.[a-z_]*[a-z]")
_PREFIXES = {
    "agreement.py": "update.",
    "carried.py": "update.bundle_",
    "clock.py": "update.time_",
    "refusals.py": "update.metadata_",
    "swupdate_said.py": "installer.",
    "targets.py": "update.target_",
}
"""Modules with a `_refused` that puts these before what it is given."""


def _words() -> Iterator[tuple[str, str, bool]]:
    """Every text in the modules: the module's name, the text, and whether it is what a refusal is called."""
    for path in MODULES:
        tree = ast.parse(path.read_text())
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
        names = {id(node.args[0]) for node in calls if node.func.id == "_refused" and node.args}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield path.name, node.value, id(node) in names


def said() -> set[str]:
    """Every code that a device may report, or the server in its place."""
    found = {text for _, text, _ in _words() if _CODE.fullmatch(text)}
    return found | {_PREFIXES[module] + text for module, text, named in _words() if named and module in _PREFIXES}


def possible() -> set[str]:
    """Those and the ones that are put together of a table's words."""
    return said() | {_PREFIXES[module] + text for module, text, _ in _words() if module in _PREFIXES}


def listed() -> set[str]:
    return {code for code in re.findall(r"`([a-z]+\.[a-z_]+)`", PAGE.read_text()) if _CODE.fullmatch(code)}


def test_every_code_of_the_device_is_on_the_page_and_no_other() -> None:
    assert said() - listed() == set()
    assert listed() - possible() == set()
    assert len(said()) > 60


def examples() -> list[str]:
    return re.findall(r"^```json\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("text", examples())
def test_an_example_is_taken_by_the_code_that_reads_it(text: str) -> None:
    kind: type[BootState | Setup] = Setup if "kind" in json.loads(text) else BootState
    assert msgspec.json.decode(text, type=kind)


def test_the_numbers_on_the_page_are_those_in_force() -> None:
    page = PAGE.read_text()
    assert install_trial.SELF_TEST_S == 300
    assert "within 5 minutes" in page
    assert (machine.FIRST_PAUSE_S, machine.LONGEST_PAUSE_S) == (30, 3_600)
    assert (machine.MOST_WRITES, machine.GIVE_UP, machine.MOST_SPOILED) == (3, 5, 2)
    assert assignment.HELD == 7
