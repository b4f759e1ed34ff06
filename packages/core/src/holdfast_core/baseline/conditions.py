"""Conditions: what a control may ask of a model file before it asks anything of a device.

1. A condition reads the model file only, never a device: it decides what is asked, not how it came out.
2. Where it guards whether a control applies at all, it carries the sentence that is shown where it does not hold.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec

from holdfast_core.inventory.model import (
    Classification,
    Constraints,
    DeviceModel,
    Direction,
    Transport,
    UpdateKind,
)

Sentence = Annotated[str, msgspec.Meta(min_length=12, max_length=400)]


class Data(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of what a catalogue holds."""


class _Condition(Data, frozen=True, tag_field="kind", kw_only=True):
    """Base of the conditions."""

    otherwise: Sentence | Literal[""] = ""
    """Why nothing is asked where it does not hold."""


class ConstraintIs(_Condition, frozen=True, kw_only=True, tag="constraint"):
    """A declared constraint has one of the values."""

    name: str
    one_of: tuple[bool | int | str, ...]

    def __post_init__(self) -> None:
        """Refuse the name of a constraint that no model declares."""
        if self.name not in Constraints.__struct_fields__:
            raise ValueError(f"no constraint is called {self.name!r}")

    def holds(self, model: DeviceModel) -> bool:
        """Whether `model` declares it so."""
        return getattr(model.constraints, self.name) in self.one_of


class HasFlow(_Condition, frozen=True, kw_only=True, tag="flow"):
    """The model declares a flow like this one."""

    direction: Direction | None = None
    transport: Transport | None = None
    encrypted: bool | None = None
    ports: tuple[int, ...] = ()

    def holds(self, model: DeviceModel) -> bool:
        """Whether any flow of `model` matches every part that is given."""
        return any(
            self.direction in {None, flow.direction}
            and self.transport in {None, flow.transport}
            and self.encrypted in {None, flow.encrypted}
            and (not self.ports or flow.port in self.ports)
            for flow in model.flows
        )


class HasInterface(_Condition, frozen=True, kw_only=True, tag="interface"):
    """The model declares an interface of one of these kinds."""

    kinds: tuple[str, ...]

    def holds(self, model: DeviceModel) -> bool:
        """Whether any interface of `model` is of one of the kinds."""
        return any(interface.kind in self.kinds for interface in model.interfaces)


class UpdateIs(_Condition, frozen=True, kw_only=True, tag="update"):
    """The device is updated in one of these ways."""

    kinds: tuple[UpdateKind, ...]

    def holds(self, model: DeviceModel) -> bool:
        """Whether `model` is updated so."""
        return model.update.kind in self.kinds


class Declares(_Condition, frozen=True, kw_only=True, tag="declares"):
    """The model's list of this name is not empty."""

    what: Literal[
        "autostart", "setuid", "writable", "accounts", "root_fs_drivers", "components", "root_daemons", "feed_keys"
    ]

    def holds(self, model: DeviceModel) -> bool:
        """Whether `model` lists anything there."""
        return bool(getattr(model.expected, self.what))


class ConstraintAtMost(_Condition, frozen=True, kw_only=True, tag="constraint_at_most"):
    """A declared number is at most `maximum`; one that is not declared is not."""

    name: str
    maximum: int

    def __post_init__(self) -> None:
        """Refuse the name of a constraint that no model declares."""
        if self.name not in Constraints.__struct_fields__:
            raise ValueError(f"no constraint is called {self.name!r}")

    def holds(self, model: DeviceModel) -> bool:
        """Whether `model` declares no more."""
        value = getattr(model.constraints, self.name)
        return isinstance(value, int) and not isinstance(value, bool) and value <= self.maximum


class HoldsData(_Condition, frozen=True, kw_only=True, tag="data"):
    """The model declares data of one of these classes."""

    classes: tuple[Classification, ...]

    def holds(self, model: DeviceModel) -> bool:
        """Whether `model` holds any such data."""
        return any(item.classification in self.classes for item in model.data)


Condition: TypeAlias = ConstraintIs | ConstraintAtMost | HasFlow | HasInterface | HoldsData | UpdateIs | Declares
