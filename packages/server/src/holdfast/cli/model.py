"""``holdfast model``: check and show work on a file, with no server; add and list are the server's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from holdfast.cli.session import Exit, Session, command, finish

if TYPE_CHECKING:
    from holdfast_core.baseline.declared import Claim
    from holdfast_core.baseline.model import Baseline
    from holdfast_core.inventory.answers import Answer
    from holdfast_core.inventory.model import DeviceModel
    from holdfast_core.kernel.reasons import Reason

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="A model file (YAML); - reads stdin.")]
WhatArgument = Annotated[
    str, typer.Argument(metavar="FILE|NAME@VERSION", help="A model file, or a model that was added to the server.")
]
ImageOption = Annotated[
    Path | None,
    typer.Option("--image", metavar="TARGET", help="Its image, or a folder with its root.", show_default=False),
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


def check(session: Session, *, file: FileArgument, image: ImageOption = None) -> None:
    """Check a model file: its form, its contradictions, and the questions. Needs no server and no device.

    With its image, what the model declares is held against what the image shows.
    """
    from holdfast.cli.files import read_model  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415

    model = read_model(file)
    found, answers = _read(model)
    claims = _claims(model, file, image) if image is not None else ()
    contradicted = [claim for claim in claims if claim.shows == "contradicted"]
    if session.json:
        document = {"model": _reference(model), "contradictions": found, "answers": answer_documents(answers)}
        emit(document if image is None else {**document, "image": str(image), "claims": claims})
    else:
        _show_answers(answer_documents(answers))
        _show_contradictions(found)
        _show_claims(claims)
        if not found and not contradicted:
            words(("✓ ", "green"), f"{_reference(model)} is a valid model file without contradictions.")
    finish(Exit.FINDINGS if found or contradicted else Exit.FINE)


def _claims(model: DeviceModel, file: Path, image: Path) -> tuple[Claim, ...]:
    """What an image says of a model's declarations."""
    from holdfast.cli.audit_files import Given  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.audit_look import examine  # noqa: PLC0415
    from holdfast.cli.audit_target import opened  # noqa: PLC0415
    from holdfast_core.baseline.declared import claims  # noqa: PLC0415
    from holdfast_core.baseline.model import Judged, Report  # noqa: PLC0415
    from holdfast_core.kernel.printable import printable  # noqa: PLC0415
    from holdfast_probe.programs.releases import os_release  # noqa: PLC0415

    document = examine(image, Given(model_file=file))
    judged = tuple(
        Judged(each.control, each.title, each.severity, each.outcome, each.reason, each.proof, each.why, each.remedy)
        for each in document.judged
    )
    with opened(image) as what:
        filesystem = what.root.told.filesystem if what.root is not None else ""
        support_end = os_release(what.root).get("SUPPORT_END", "") if what.root is not None else ""
    report = Report(judged, document.asked, document.decided)
    return claims(model, report, filesystem=filesystem, support_end=printable(support_end)[:40])


def _show_claims(claims: tuple[Claim, ...]) -> None:
    from holdfast.cli.audit_text import hidden_of  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.terminal import heading, show, word  # noqa: PLC0415

    if not claims:
        return
    heading("What the image shows")
    for claim in claims:
        show(word(claim.shows.value), "  ", (claim.field, "bold"), f"  {claim.sentence}", indent=2)
        if claim.proof:
            show(("seen: ", "dim"), claim.proof[0], indent=4)
        if more := hidden_of(claim.proof[1:]):
            show((f"and {more} more", "dim"), indent=4)
        if claim.remedy and claim.shows == "contradicted":
            show(("fix: ", "bold"), claim.remedy, indent=4)


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
        # The schema lies where its reader puts it: beside the file, by holdfast model schema > model.schema.json.
        text = model_file.example_bytes(name).decode().replace("$schema=../", "$schema=", 1)
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
        known = {each["reference"] for each in api.get("/models")["items"]}
        added = api.post("/models", content=data, media="application/yaml")
    if session.json:
        emit(added)
        return
    raw(added["reference"])
    said = "was there already, the same" if added["reference"] in known else "is added"
    words(("✓ ", "green"), f"{added['reference']} {said}. Its baseline: holdfast baseline show {added['reference']}")


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
    from holdfast.cli.baseline import line_documents  # noqa: PLC0415
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
            "lines": line_documents(baseline.lines),
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
