"""``holdfast rollout``: bringing a release to many devices, wave by wave.

What a person does to one stands in `rollout_acts`, looking while it goes on in `rollout_watch`, how waves are written
in `waves`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from holdfast.cli.release import path_of as release_path
from holdfast.cli.session import Exit, Session, command, finish, usage
from holdfast_core.update.model import Stage

RolloutArgument = Annotated[str, typer.Argument(metavar="ROLLOUT", help="The rollout's name.")]
ReleaseOption = Annotated[str, typer.Option("--release", metavar="MODEL:VERSION", help="What to roll out.")]
SiteOption = Annotated[list[str] | None, typer.Option("--site", metavar="SITE", help="Only this site; repeat it.")]
LabelOption = Annotated[
    list[str] | None, typer.Option("--label", metavar="KEY=VALUE", help="Only devices with this label; repeat it.")
]
DevicesOption = Annotated[
    list[str] | None, typer.Option("--device", metavar="DEVICE", help="Only this device; repeat it.")
]
WaveOption = Annotated[
    list[str] | None,
    typer.Option("--wave", metavar="WAVE", help="A wave: canary:1%, lab:label=ring=0, first:device=gw-1; repeat it."),
]
SoakOption = Annotated[
    str, typer.Option("--soak", help="How long a device has to stay well, of waves that do not say.")
]
AtOnceOption = Annotated[int, typer.Option("--at-once", min=0, help="Devices under way together; 0: no bound.")]
PerHourOption = Annotated[int, typer.Option("--per-hour", min=0, help="Devices begun with in an hour; 0: no bound.")]
FailedOption = Annotated[
    float | None, typer.Option("--failed", metavar="%", help="Halt at this share of failures.", show_default=False)
]
SilentOption = Annotated[
    float | None, typer.Option("--silent", metavar="%", help="Halt at this share of silence.", show_default=False)
]
SucceededOption = Annotated[
    float | None,
    typer.Option("--succeeded", metavar="%", help="Done before the next wave opens.", show_default=False),
]
DeadlineOption = Annotated[
    str, typer.Option("--deadline", help="From directing a device until it confirmed.", show_default=False)
]
PatienceOption = Annotated[
    str, typer.Option("--patience", help="Silence of a device until it counts.", show_default=False)
]
BatteryOption = Annotated[
    int | None, typer.Option("--battery", min=0, max=100, help="Percent, without mains.", show_default=False)
]
KbitOption = Annotated[
    int | None, typer.Option("--kbit-s", min=0, help="The most that a download may take.", show_default=False)
]
ConfirmOption = Annotated[
    str, typer.Option("--confirm", help="How long a release may run unconfirmed.", show_default=False)
]
BackOption = Annotated[bool, typer.Option("--back", help="When it halts, devices on trial fall back at once.")]
FileOption = Annotated[
    Path | None,
    typer.Option(
        "--file", metavar="FILE", help="The rollout as YAML or JSON instead; - reads stdin.", show_default=False
    ),
]
BadOption = Annotated[bool, typer.Option("--bad", help="Only those that failed, fell back or fell silent.")]
StageOption = Annotated[Stage | None, typer.Option("--stage", help="Only those in this stage.", show_default=False)]
LimitOption = Annotated[int | None, typer.Option(min=1, help="Show at most so many.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    command(app, "create")(create)
    command(app, "plan")(plan)
    command(app, "list")(list_rollouts)
    command(app, "show", epilog="Exit: 0 fine, 3 it halted, or devices failed or fell silent.")(show)
    command(app, "devices")(devices)


def create(
    session: Session,
    *,
    rollout: RolloutArgument,
    release: ReleaseOption = "",
    file: FileOption = None,
    waves: WaveOption = None,
    sites: SiteOption = None,
    labels: LabelOption = None,
    devices: DevicesOption = None,
    soak: SoakOption = "1h",
    at_once: AtOnceOption = 0,
    per_hour: PerHourOption = 0,
    failed: FailedOption = None,
    silent: SilentOption = None,
    succeeded: SucceededOption = None,
    deadline: DeadlineOption = "",
    patience: PatienceOption = "",
    battery: BatteryOption = None,
    kbit_s: KbitOption = None,
    confirm: ConfirmOption = "",
    back: BackOption = False,
) -> None:
    """Write a rollout down. No device hears of it before holdfast rollout start.

    Without --wave it goes canary:1%, early:10%, rest:100%. A share counts all devices up to its wave.
    """
    from holdfast.cli.connection import connected  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.rollout_text import show_rollout  # noqa: PLC0415
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415
    from holdfast.cli.waves import DEFAULT, seconds, wave  # noqa: PLC0415

    if bool(release) == (file is not None):
        usage("Name what to roll out with --release, or a file that says everything with --file.")
    if file is not None:
        body = {**_from_file(file), "name": rollout}
    else:
        shared = {"soak_s": seconds(soak, "--soak"), "at_once": at_once, "per_hour": per_hour}
        times = {"deadline_s": ("--deadline", deadline), "patience_s": ("--patience", patience)}
        limits: dict[str, Any] = {"failed": failed, "silent": silent, "succeeded": succeeded}
        limits |= {key: seconds(text, what) if text else None for key, (what, text) in times.items()}
        confirm_s = seconds(confirm, "--confirm") if confirm else None
        body = {
            "name": rollout,
            "release": release,
            "selection": {"sites": sites or [], "labels": _pairs(labels), "devices": devices or []},
            "waves": [wave(each, shared) for each in waves or DEFAULT],
            "thresholds": _given(limits),
            "guards": _given({"battery": battery, "kbit_s": kbit_s, "confirm_s": confirm_s}),
            "back": back,
        }
    with connected(session.folder) as api:
        told = api.post("/rollouts", body)
    if session.json:
        emit(told)
        return
    show_rollout(told, _now())
    words(("✓ ", "green"), f"{rollout} is written down, for {told['selected']} devices; nothing has begun.")
    words(f"Look ahead: holdfast rollout plan {rollout}. Begin: holdfast rollout start {rollout}")


def _from_file(file: Path) -> dict[str, Any]:
    from holdfast.cli.files import read_bounded  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.rollout_file import read_rollout  # noqa: PLC0415
    from holdfast_core.kernel.limits import LIMITS  # noqa: PLC0415

    return read_rollout(read_bounded(file, LIMITS.model_bytes))


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _pairs(given: list[str] | None) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for each in given or ():
        key, equals, value = each.partition("=")
        if not equals:
            usage(f"--label {each}: write KEY=VALUE.")
        pairs[key] = value
    return pairs


def plan(session: Session, *, rollout: RolloutArgument) -> None:
    """Foresee a rollout: when each wave opens and ends, and how many devices a bad release would reach at worst."""
    from holdfast.cli.connection import connected  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.plan_text import show_plan  # noqa: PLC0415
    from holdfast.cli.terminal import emit  # noqa: PLC0415

    with connected(session.folder) as api:
        told = api.get(path_of(rollout, "/plan"))
    if session.json:
        emit(told)
    else:
        show_plan(told)


def list_rollouts(session: Session) -> None:
    """List the rollouts, the newest first."""
    from holdfast.cli.connection import connected  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.rollout_text import show_list  # noqa: PLC0415
    from holdfast.cli.terminal import emit  # noqa: PLC0415

    with connected(session.folder) as api:
        items = api.get("/rollouts")["items"]
    if session.json:
        emit({"items": items})
    else:
        show_list(items, _now())


def show(session: Session, *, rollout: RolloutArgument) -> None:
    """Show a rollout: each wave, what stands in the way and what to do about it, and everything that happened."""
    from holdfast.cli.connection import connected  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.rollout_text import show_rollout, show_turns  # noqa: PLC0415
    from holdfast.cli.terminal import emit  # noqa: PLC0415

    with connected(session.folder) as api:
        told = api.get(path_of(rollout))
        spread = api.get(release_path(told["release"]))["spread"]
    if session.json:
        emit({**told, "spread": spread})
    else:
        now = _now()
        show_rollout(told, now)
        show_turns(told, spread, now)
    finish(ending(told))


def ending(told: dict[str, Any]) -> Exit:
    """What a command that looks at a rollout ends with."""
    return Exit.FINDINGS if told["halted"] or told["bad"] or told["silent"] else Exit.FINE


def devices(
    session: Session,
    *,
    rollout: RolloutArgument,
    bad: BadOption = False,
    stage: StageOption = None,
    limit: LimitOption = None,
) -> None:
    """List the devices of a rollout: how far each has come, and what it says where something is wrong."""
    from holdfast.cli.connection import connected  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.rollout_text import show_devices  # noqa: PLC0415
    from holdfast.cli.terminal import emit  # noqa: PLC0415

    with connected(session.folder) as api:
        told = api.get(path_of(rollout))
        query = {"stage": stage and stage.value, "bad": "true" if bad else None}
        items = list(api.pages(path_of(rollout, "/devices"), limit=limit, **query))
    names = [wave["name"] for wave in told["waves"]]
    if session.json:
        emit({"items": items})
    else:
        show_devices(items, names, _now(), bad=bad)


def path_of(rollout: str, what: str = "") -> str:
    """The path of a rollout, and what is below it."""
    from holdfast.cli.connection import part  # noqa: PLC0415  (rule 3 of the package)

    return f"/rollouts/{part(rollout)}{what}"


def _now() -> Any:
    from holdfast.adapters.system import SystemClock  # noqa: PLC0415  (rule 3 of the package)

    return SystemClock().now()
