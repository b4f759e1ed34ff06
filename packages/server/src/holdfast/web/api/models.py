"""Models: which there are, what a model file says, and the baseline that follows from it."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from pydantic import Field

from holdfast.baseline.service import Compiled
from holdfast.ports.store import StoredModel
from holdfast.web.api.callers import Admin, Reader, Served
from holdfast.web.api.shapes import AnswerShape, Json, ReasonShape, Shape, Time, answers, maybe, plain, reasons
from holdfast_core.baseline.difference import Differing, difference
from holdfast_core.baseline.model import Line
from holdfast_core.inventory.rules import contradictions, integrity_answer, recovery_answer, update_answer
from holdfast_core.kernel.instants import Instant, rfc3339

router = APIRouter(prefix="/models", tags=["models"])

Reference = Annotated[str, Path(description="The model, as name@version.", max_length=128)]


class ModelSummary(Shape):
    """One model. `digest` is of what its file says, comments and order aside."""

    reference: str
    digest: str
    device_class: str = Field(serialization_alias="class")
    description: str
    added_at: Time


class ModelList(Shape):
    """Models by reference."""

    items: list[ModelSummary]


class ModelPage(ModelSummary):
    """A model, what it argues with itself about, and the questions that it answers first."""

    model: Json
    contradictions: list[ReasonShape]
    answers: list[AnswerShape]


class BaselineLine(Shape):
    """What is asked of the model for one control, and why. `by` stands in where `demand` is ``compensated``."""

    control: str
    title: str
    severity: str
    demand: str
    reason: str
    by: list[str]
    owner: str
    expires: Time | None
    signed: bool
    """Whether a person declared the compensation."""


class BaselinePage(Shape):
    """A tailored baseline; `plan` is what a device of the model is asked to probe, `counts` lines by demand."""

    reference: str
    device_class: str = Field(serialization_alias="class")
    catalogue: str
    remarks: list[str]
    lines: list[BaselineLine]
    counts: dict[str, int]
    plan: Json


class DifferingLine(Shape):
    """One control of which other things are asked; null where that catalogue has no such control."""

    control: str
    title: str
    before: BaselineLine | None
    after: BaselineLine | None


class DifferencePage(Shape):
    """What differs between the baselines of two models."""

    before: str
    after: str
    items: list[DifferingLine]


@router.get("")
async def list_models(caller: Reader, services: Served) -> ModelList:
    """List the models."""
    return ModelList(items=[ModelSummary(**_summary(stored)) for stored in services.inventory.models(caller.scope)])


@router.post(
    "",
    status_code=201,
    openapi_extra={
        "requestBody": {"required": True, "content": {"application/yaml": {"schema": {"type": "string"}}}},
    },
)
async def add_model(request: Request, caller: Admin, services: Served) -> ModelPage:
    """Add a model file (YAML). The same content again changes nothing; another one under a known version is refused."""
    stored = await services.inventory.add_model(caller.scope, await request.body(), actor=caller.actor)
    return _page(stored, services.clock.now())


@router.get("/{reference}")
async def show_model(reference: Reference, caller: Reader, services: Served) -> ModelPage:
    """Show a model."""
    return _page(services.inventory.model(caller.scope, reference), services.clock.now())


@router.get("/{reference}/baseline")
async def show_baseline(reference: Reference, caller: Reader, services: Served) -> BaselinePage:
    """Show the baseline that follows from a model, with the reason of every line."""
    stored = services.inventory.model(caller.scope, reference)
    return _baseline(stored, services.baseline.show(stored))


@router.get("/{reference}/difference")
async def show_difference(
    reference: Reference,
    caller: Reader,
    services: Served,
    other: Annotated[str, Query(description="The model to compare with, as name@version.", max_length=128)],
) -> DifferencePage:
    """Show what is asked differently of two models, or of two versions of one."""
    before, after = (services.inventory.model(caller.scope, name) for name in (reference, other))
    found = difference(services.baseline.show(before).baseline, services.baseline.show(after).baseline)
    return DifferencePage(before=before.reference, after=after.reference, items=[_differing(entry) for entry in found])


def _differing(entry: Differing) -> DifferingLine:
    return DifferingLine(
        control=entry.control,
        title=entry.title,
        before=_line(entry.before) if entry.before else None,
        after=_line(entry.after) if entry.after else None,
    )


def _summary(stored: StoredModel) -> Json:
    return {
        "reference": stored.reference,
        "digest": stored.digest,
        "device_class": stored.model.device_class.value,
        "description": stored.model.description,
        "added_at": rfc3339(stored.added_at),
    }


def _page(stored: StoredModel, now: Instant) -> ModelPage:
    model = stored.model
    return ModelPage(
        **_summary(stored),
        model=plain(model),
        contradictions=reasons(contradictions(model, now)),
        answers=answers(integrity_answer(model, now), update_answer(model, now), recovery_answer(model, now)),
    )


def _baseline(stored: StoredModel, compiled: Compiled) -> BaselinePage:
    baseline = compiled.baseline
    return BaselinePage(
        reference=stored.reference,
        device_class=baseline.device_class.value,
        catalogue=baseline.catalogue,
        remarks=list(baseline.remarks),
        lines=[_line(line) for line in baseline.lines],
        counts=dict(Counter(line.demand.value for line in baseline.lines)),
        plan=plain(compiled.plan),
    )


def _line(line: Line) -> BaselineLine:
    return BaselineLine(
        control=line.control,
        title=line.title,
        severity=line.severity.value,
        demand=line.demand.value,
        reason=line.reason,
        by=list(line.by),
        owner=line.owner,
        expires=maybe(line.expires),
        signed=line.signed,
    )
