"""People's own controls, laid over a catalogue: added, or changed in parts.

1. An own control has a number from `OWN` to `OWN_LAST`, so that no later version of the shipped catalogue collides.
2. An override names a control and the fields that it changes; classes are changed one by one, everything else whole.
3. The result is a catalogue like any other, with a version that names both and a digest of its own.
4. Nothing is taken away: who does not want a control says for which class it does not apply, and why.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import msgspec

from holdfast_core.baseline.control import Burden, Catalogue, Control, ControlIds, Prohibition
from holdfast_core.baseline.model import ControlId
from holdfast_core.kernel.errors import HostileData

OWN, OWN_LAST = 50, 89

Version = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]{0,31}$")]


class Overlay(msgspec.Struct, frozen=True):
    """What is laid over a catalogue. `overrides` are fields by control, in plain form."""

    version: Version
    controls: tuple[Control, ...] = ()
    overrides: tuple[tuple[ControlId, dict[str, Any]], ...] = ()
    prohibitions: tuple[Prohibition, ...] = ()
    stand_ins: dict[Burden, ControlIds] = msgspec.field(default_factory=dict)


def overlaid(base: Catalogue, overlay: Overlay) -> Catalogue:
    """`base` with `overlay` over it.

    Raises:
        HostileData: ``catalogue.own_number``, ``catalogue.override_unknown``, ``catalogue.override``,
            ``catalogue.invalid``.
    """
    for control in overlay.controls:
        if not OWN <= int(control.id[-2:]) <= OWN_LAST:
            raise HostileData(
                "catalogue.own_number",
                f"{control.id} is not a number of your own.",
                remedy=f"Give your own controls numbers from {OWN} to {OWN_LAST}, or override the shipped one.",
            )
    known = {control.id: control for control in base.controls}
    for name, fields in overlay.overrides:
        known[name] = _overridden(known, name, fields)
    order = list(type(base.controls[0].group)) if base.controls else []
    controls = sorted(
        (*known.values(), *overlay.controls), key=lambda control: (order.index(control.group), control.id)
    )
    try:
        return Catalogue(
            version=f"{base.version}+{overlay.version}",
            controls=tuple(controls),
            prohibitions=(*base.prohibitions, *overlay.prohibitions),
            stand_ins={**base.stand_ins, **overlay.stand_ins},
        )
    except ValueError as error:
        raise HostileData(
            "catalogue.invalid",
            f"The catalogue with {overlay.version} over it is refused: {error}.",
            remedy="Correct the control that is named; holdfast control lint checks a folder.",
        ) from None


def own_probes(catalogue: Catalogue, shipped: Catalogue) -> frozenset[ControlId]:
    """The controls whose probe a device does not have in the catalogue that it came with."""
    with_device = {control.id: control.probe for control in shipped.controls}
    return frozenset(control.id for control in catalogue.controls if with_device.get(control.id) != control.probe)


def _overridden(known: Mapping[ControlId, Control], name: ControlId, fields: Mapping[str, Any]) -> Control:
    if name not in known:
        raise HostileData(
            "catalogue.override_unknown",
            f"{name} is overridden, and there is no such control.",
            remedy="holdfast control list shows every control.",
        )
    if strange := sorted(fields.keys() & {"id", "group"}) or sorted(fields.keys() - set(_FIELDS)):
        raise HostileData(
            "catalogue.override",
            f"{name}: {strange[0]!r} cannot be overridden.",
            remedy=f"Override one of {', '.join(sorted(set(_FIELDS) - {'id', 'group'}))}.",
        )
    plain = msgspec.to_builtins(known[name])
    classes = {**plain["classes"], **fields.get("classes", {})}
    try:
        return msgspec.convert({**plain, **fields, "classes": classes}, Control)
    except msgspec.ValidationError as error:
        raise HostileData(
            "catalogue.override",
            f"{name}: {error}.",
            remedy="Give the field a value of the control format; docs/reference/control-format.md lists it.",
        ) from None


_FIELDS: Iterable[str] = Control.__struct_fields__
