"""``holdfast model``: check and show work on a file, with no server; add and list are the server's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from holdfast.cli.session import Exit, Session, command, finish

if TYPE_CHECKING:
    from holdfast_core.baseline.model import Baseline
    from holdfast_core.inventory.answers import Answer
    from holdfast_core.inventory.model import DeviceModel
    from holdfast_core.kernel.reasons import Reason

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="A model file (YAML); - reads stdin.")]
WhatArgument = Annotated[
    str, typer.Argument(metavar="FILE|NAME@VERSION", help="A model file, or a model that was added to the server.")
]
ExampleArgument = Annotated[str, typer.Argument(metavar="NAME", help="Which one; without it, all are listed.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    command(app, "check", epilog="Exit: 0 fine, 1 not a model file, 3 contradictions.")(check)
    command(app, "show")(show)
    command(app, "example")(example)
    command(app, "schema")(schema)
    command(app, "add")(add)
    command(app, "list")(list_models)


def check(session: Session, *, file: FileArgument) -> None:
    """Check a model file: its form, its contradictions, and the two questions. Needs no server."""
    from holdfast.cli.files import read_model  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415

    model = read_model(file)
    found, answers = _read(model)
    if session.json:
        emit({"model": _reference(model), "contradictions": found, "answers": answer_documents(answers)})
    else:
        _show_answers(answer_documents(answers))
        _show_contradictions(found)
        if not found:
            words(("✓ ", "green"), f"{_reference(model)} is a valid model file without contradictions.")
    finish(Exit.FINDINGS if found else Exit.FINE)


def show(session: Session, *, what: WhatArgument) -> None:
    """Show a model: the questions, its contradictions, and how much is asked of it."""
    from holdfast.cli.terminal import emit  # noqa: PLC0415  (rule 3 of the package)

    local = what == "-" or Path(what).is_file()
    document = _from_file(Path(what)) if local else _from_server(session, what)
    if session.json:
        emit(document)
    else:
        _show(document)


def example(session: Session, *, name: ExampleArgument = "") -> None:
    """Print an example model file to start from, or list the examples."""
    from holdfast.cli.terminal import emit, out, raw, table  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.inventory import model_file  # noqa: PLC0415

    if name:
        text = model_file.example_bytes(name).decode()
        emit({"name": name, "text": text}) if session.json else out().file.write(text)
        return
    models = model_file.load_examples()
    if session.json:
        emit({"items": list(models)})
        return
    table(
        ("name", "class", "what it is"),
        [(n, m.device_class.value, m.description) for n, m in models.items()],
        fold=("what it is",),
    )
    raw("")


def schema(session: Session) -> None:
    """Print the JSON Schema of model files, for editors that complete and check while you write."""
    del session  # it is JSON either way
    from holdfast.cli.terminal import out  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.inventory import model_file  # noqa: PLC0415

    out().file.write(model_file.schema_text())


def add(session: Session, *, file: FileArgument) -> None:
    """Add a model file to the control plane. A model never changes; raise its version instead."""
    from holdfast.cli.connection import connected  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.files import read_bounded  # noqa: PLC0415
    from holdfast.cli.terminal import emit, raw, words  # noqa: PLC0415
    from holdfast_core.kernel.limits import LIMITS  # noqa: PLC0415

    data = read_bounded(file, LIMITS.model_bytes)
    with connected(session.folder) as api:
        added = api.post("/models", content=data, media="application/yaml")
    if session.json:
        emit(added)
        return
    raw(added["reference"])
    words(("✓ ", "green"), f"added {added['reference']}. Its baseline: holdfast baseline show {added['reference']}")


def list_models(session: Session) -> None:
    """List the models that were added."""
    from holdfast.cli.connection import connected  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.terminal import emit, table  # noqa: PLC0415

    with connected(session.folder) as api:
        items = api.get("/models")["items"]
    if session.json:
        emit({"items": items})
        return
    rows = [(m["reference"], m["class"], m.get("description", "")) for m in items]
    table(("model", "class", "what it is"), rows, fold=("what it is",))


def _from_file(path: Path) -> dict[str, Any]:
    import msgspec  # noqa: PLC0415  (rule 3 of the package)

    from holdfast.adapters.system import SystemClock  # noqa: PLC0415
    from holdfast.cli.files import read_model  # noqa: PLC0415
    from holdfast_core.baseline.tailoring import compile_plan, tailor  # noqa: PLC0415
    from holdfast_probe.catalogue import shipped_catalogue  # noqa: PLC0415

    model, catalogue = read_model(path), shipped_catalogue()
    found, answers = _read(model)
    baseline: Baseline = tailor(catalogue, model, SystemClock().now())
    document: dict[str, Any] = msgspec.to_builtins(
        {
            "reference": _reference(model),
            "model": model,
            "contradictions": found,
            "answers": answer_documents(answers),
            "lines": baseline.lines,
            "plan": compile_plan(baseline, model, catalogue),
        }
    )
    return document


def _from_server(session: Session, reference: str) -> dict[str, Any]:
    from holdfast.cli.connection import connected, part  # noqa: PLC0415  (rule 3 of the package)

    with connected(session.folder) as api:
        told = api.get(f"/models/{part(reference)}")
        return {**api.get(f"/models/{part(reference)}/baseline"), **told}


def _read(model: DeviceModel) -> tuple[tuple[Reason, ...], tuple[Answer, ...]]:
    from holdfast.adapters.system import SystemClock  # noqa: PLC0415  (rule 3 of the package)
    from holdfast_core.inventory.answers import (  # noqa: PLC0415
        integrity_answer,
        recovery_answer,
        update_answer,
    )
    from holdfast_core.inventory.contradictions import contradictions  # noqa: PLC0415

    now = SystemClock().now()
    return contradictions(model, now), (
        integrity_answer(model, now),
        update_answer(model, now),
        recovery_answer(model, now),
    )


def answer_documents(answers: tuple[Answer, ...]) -> list[dict[str, Any]]:
    """Answers as the API sends them: ``question`` is the stable word, ``asks`` the sentence."""
    import msgspec  # noqa: PLC0415  (rule 3 of the package)

    return [
        {**msgspec.to_builtins(answer), "question": answer.question.name.lower(), "asks": answer.question.value}
        for answer in answers
    ]


def _reference(model: DeviceModel) -> str:
    return f"{model.name}@{model.version}"


def _show_contradictions(found: tuple[Reason, ...] | list[dict[str, Any]]) -> None:
    import msgspec  # noqa: PLC0415  (rule 3 of the package)

    from holdfast.cli.terminal import heading, show  # noqa: PLC0415

    if not found:
        return
    heading(f"{len(found)} contradictions" if len(found) > 1 else "A contradiction")
    for reason in msgspec.to_builtins(found):
        show(("✗ ", "red"), reason["sentence"], (f" [{reason['code']}]", "dim"), indent=2)
        show(("fix: ", "bold"), reason.get("remedy", ""), indent=4)


def _show_answers(answers: list[dict[str, Any]]) -> None:
    from holdfast.cli.terminal import show, word  # noqa: PLC0415

    for answer in answers:
        show((answer["asks"], "bold"), "  ", word(answer["says"]))
        show(answer["sentence"], indent=4)


def _show(document: dict[str, Any]) -> None:
    from collections import Counter  # noqa: PLC0415  (rule 3 of the package)

    from holdfast.cli.terminal import heading, raw, show  # noqa: PLC0415

    model = document["model"]
    show((document.get("reference") or f"{model['name']}@{model['version']}", "bold"), f"  {model['class']}")
    show(model["description"], indent=2)
    raw("")
    _show_answers(document["answers"])
    _show_contradictions(document["contradictions"])
    lines = document["lines"]
    counts = Counter(line["demand"] for line in lines)
    heading("Baseline: " + ", ".join(f"{n} {demand.replace('_', ' ')}" for demand, n in counts.most_common()))
    show("Line by line, with the reasons: holdfast baseline show, for the same model.", indent=2)
