"""Write the probes and the conditions of docs/reference/control-format.md from their specs, so that they stay true.

Usage: probe_reference.py [--check]

1. Between two marks the page is this program's; everything else on it is written by people.
2. What a kind passes, fails and cannot say is its docstring, word for word; a key is told by the string below it.
3. With --check nothing is written; exit 1 says that the page is stale.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import re
import sys
import typing
from collections.abc import Iterator
from enum import EnumType
from pathlib import Path

import msgspec

from holdfast_core.baseline import conditions, probes
from holdfast_core.baseline.probes.shape import Wanting
from holdfast_probe.audit import HUNTS
from holdfast_probe.mending import MENDS

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "control-format.md"
_WANTED = tuple(field.name for field in msgspec.structs.fields(Wanting))
_AREAS = {
    "files": "Files and settings",
    "boot": "Boot, kernel, mounts",
    "services": "Services and listeners",
    "network": "Network",
    "logs": "Logs and clock",
    "credentials": "Accounts, keys, secrets, data",
    "programs": "Programs, packages, updates",
    "statements": "Statements",
    "probes": "Combinations",
}
PROBES: tuple[type[msgspec.Struct], ...] = typing.get_args(probes.ProbeSpec)
CONDITIONS: tuple[type[msgspec.Struct], ...] = typing.get_args(conditions.Condition)
_TAGS = {kind.__name__: str(kind.__struct_config__.tag) for kind in PROBES}


def render(page: str) -> str:
    """`page` with what stands between the marks written anew."""
    found = {
        "probes": _probes(),
        "conditions": "\n".join(_kind(kind) for kind in CONDITIONS),
    }
    for name, text in found.items():
        begin, end = f"<!-- {name}: written by tools/probe_reference.py -->\n", f"<!-- end of {name} -->\n"
        before, _, rest = page.partition(begin)
        _, _, after = rest.partition(end)
        page = f"{before}{begin}\n{text}\n{end}{after}"
    return page


def _probes() -> str:
    lines: list[str] = []
    for area, title in _AREAS.items():
        own = [kind for kind in PROBES if kind.__module__.rpartition(".")[2] == area]
        lines += [f"### {title}", "", *(_kind(kind) for kind in own)]
    return "\n".join(lines)


def _kind(kind: type[msgspec.Struct]) -> str:
    """One kind: what it says, then its keys."""
    info = typing.cast("msgspec.inspect.StructType", msgspec.inspect.type_info(kind))
    docs = _docs(kind)
    left_out = _WANTED if issubclass(kind, Wanting) else ("otherwise",) if kind in CONDITIONS else ()
    own = [field for field in info.fields if field.name not in left_out]
    lines = [f"#### `{info.tag}`", "", *_marks(kind), *_paragraphs(kind.__doc__ or "")]
    if own:
        lines += ["| key | value | when left out |", "|---|---|---|"]
        lines += [
            f"| `{field.name}` | {_cell(_told(field.type), docs.get(field.name, ''))} | {_default(field)} |"
            for field in own
        ]
        lines.append("")
    for field in own:
        lines += _members(field.type)
    return "\n".join(lines)


def _marks(kind: type[msgspec.Struct]) -> Iterator[str]:
    """What else is known of a probe: whether it is costly, whether a fix can be worked out, whether it takes values."""
    marks = []
    if issubclass(kind, Wanting):
        marks.append("[values](#values)")
    if kind in HUNTS:
        marks.append("heavy")
    if kind in MENDS:
        marks.append("a fix can be worked out")
    if marks:
        yield f"*{', '.join(marks)}*"
        yield ""


def _told(kind: msgspec.inspect.Type) -> str:
    """A type in words."""
    match kind:
        case msgspec.inspect.BoolType():
            return "`true` or `false`"
        case msgspec.inspect.IntType(ge=low, le=high):
            return "number" if low is None or high is None else f"number, {low} to {high}"
        case msgspec.inspect.StrType(pattern=pattern):
            return _text(pattern)
        case msgspec.inspect.EnumType() | msgspec.inspect.LiteralType():
            return "one of " + ", ".join(f"`{value}`" for value in _choices(kind))
    return _composed(kind)


def _composed(kind: msgspec.inspect.Type) -> str:
    """A type that is made of others, in words."""
    match kind:
        case msgspec.inspect.VarTupleType(item_type=item):
            return f"list of {_several(item)}"
        case msgspec.inspect.TupleType(item_types=items):
            return f"[{', '.join(map(_told, items))}]"
        case msgspec.inspect.UnionType(types=types):
            if any(isinstance(part, msgspec.inspect.StructType) for part in types):
                return "probe"
            return " or ".join(_told(part) for part in types if not isinstance(part, msgspec.inspect.NoneType))
    raise TypeError(f"how is {kind} told?")


def _choices(kind: msgspec.inspect.EnumType | msgspec.inspect.LiteralType) -> list[str]:
    if isinstance(kind, msgspec.inspect.EnumType):
        return [str(member.value) for member in kind.cls]
    return [str(value) for value in kind.values]


def _several(item: msgspec.inspect.Type) -> str:
    told = _told(item)
    return f"{told}s" if " " not in told else told.removeprefix("one of ")


def _text(pattern: str | None) -> str:
    match pattern:
        case None:
            return "text"
        case "^/":
            return "path"
        case _ if pattern.startswith("^[0-9]{4}-"):
            return "day"
    return f"text that matches `{pattern}`"


def _default(field: msgspec.inspect.Field) -> str:
    if field.required:
        return "required"
    if field.default in ("", (), None) or field.default is msgspec.NODEFAULT:
        return ""
    value = field.default
    return f"`{getattr(value, 'value', value)}`".replace("True", "true").replace("False", "false")


def _members(kind: msgspec.inspect.Type) -> list[str]:
    """A table of what each member of a choice means, where it is told."""
    if not isinstance(kind, msgspec.inspect.EnumType):
        return []
    docs = _docs(kind.cls)
    rows = [f"| `{member.value}` | {_cell(docs.get(member.name, ''))} |" for member in kind.cls]
    return ["| choice | meaning |", "|---|---|", *rows, ""] if docs else []


def _docs(kind: type[msgspec.Struct] | EnumType) -> dict[str, str]:
    """The strings below the fields of a class."""
    body = typing.cast("ast.ClassDef", ast.parse(inspect.getsource(kind)).body[0]).body
    found = {}
    for statement, after in itertools.pairwise(body):
        match statement, after:
            case (
                ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                found[name] = text
    return found


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        yield _marked(" ".join(paragraph.split()))
        yield ""


def _cell(*parts: str) -> str:
    return ". ".join(_marked(" ".join(part.split())) for part in parts if part).replace("|", "\\|")


def _marked(text: str) -> str:
    """Text of a docstring as Markdown; a spec that it names is called as it is written in a file."""
    plain = re.sub(r"``([^`]+)``", r"`\1`", text)
    return re.sub(r"`([A-Z][A-Za-z]+)`", lambda found: f"`{_TAGS.get(found[1], found[1])}`", plain)


def main(arguments: list[str]) -> int:
    """Write the page, or only compare it."""
    page = PAGE.read_text()
    if "--check" in arguments:
        return int(page != render(page))
    PAGE.write_text(render(page))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
