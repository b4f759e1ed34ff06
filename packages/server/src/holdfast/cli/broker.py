"""``holdfast broker``: the message brokers that devices talk to."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from holdfast.cli.session import Exit, Session, command
from holdfast.ports.broker import BrokerKind

NameArgument = Annotated[str, typer.Argument(metavar="BROKER", help="Its name.")]
KindOption = Annotated[BrokerKind, typer.Option(help="Which program it is.")]
FolderOption = Annotated[Path, typer.Option("--folder", help="Where its files are written, on this machine.")]
PortOption = Annotated[int, typer.Option(min=1, max=65_535, help="Where devices connect: MQTT over mutual TLS.")]
ControlPortOption = Annotated[
    int,
    typer.Option("--control-port", min=1, max=65_535, help="Where this machine alone connects: control or monitoring."),
]
HostOption = Annotated[str, typer.Option(help="The address it listens on.")]
NamesOption = Annotated[
    list[str] | None,
    typer.Option("--name", metavar="HOST", help="A name or address devices reach it under; repeat it."),
]
LeafOption = Annotated[
    int, typer.Option("--leaf-port", min=0, max=65_535, help="NATS: where gateways connect; 0: nowhere.")
]
LeafOfOption = Annotated[str, typer.Option("--leaf-of", metavar="HOST:PORT", help="NATS: the hub it is a leaf of.")]
ReloadOption = Annotated[
    str,
    typer.Option(
        metavar="COMMAND", help="A command that makes it read its files again, instead of SIGHUP; no shell reads it."
    ),
]
RunAsOption = Annotated[
    str,
    typer.Option("--run-as", metavar="ACCOUNT", help="mosquitto started as root: the account it changes to."),
]
FileOption = Annotated[str, typer.Option("--file", help="Only this file, as it is.")]
OfDeviceOption = Annotated[str, typer.Option("--device", help="Only those of this device.")]
UnusedOption = Annotated[bool, typer.Option("--unused", help="Only what was not used for thirty days.")]

_UNSEEN = {True: "not in 30 days", False: "-"}
FAULTY = "Exit: 0 it obeys, 1 it could not be reached, 3 something is wrong with it."


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    command(app, "add")(add)
    command(app, "list")(list_brokers)
    command(app, "render")(render)
    command(app, "apply", epilog=FAULTY)(apply)
    command(app, "check", epilog=FAULTY)(check)
    command(app, "connections")(connections)
    command(app, "grants")(grants)
    command(app, "remove")(remove)


def add(
    session: Session,
    *,
    name: NameArgument,
    folder: FolderOption,
    kind: KindOption = BrokerKind.MOSQUITTO,
    port: PortOption = 8883,
    control_port: ControlPortOption = 8884,
    host: HostOption = "0.0.0.0",  # noqa: S104  (devices call from outside; mutual TLS guards the port)
    names: NamesOption = None,
    leaf_port: LeafOption = 0,
    leaf_of: LeafOfOption = "",
    reload: ReloadOption = "",
    run_as: RunAsOption = "",
) -> None:
    """Add a broker of this machine, and write the files it is started with."""
    from holdfast.cli.connection import connected  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415

    body = {
        "name": name,
        "kind": kind.value,
        "folder": str(folder.absolute()),
        "port": port,
        "control_port": control_port,
        "host": host,
        "names": names or [],
        "leaf_port": leaf_port,
        "leaf_of": leaf_of,
        "reload": shlex.split(reload),
        "run_as": run_as,
    }
    with connected(session.folder) as api:
        told = api.post("/brokers", body)
    if session.json:
        emit(told)
        return
    words(("✓ ", "green"), f"The broker {name} is added. Its files are in {told['folder']}: start it on them.")
    words(f"Then: holdfast broker apply {name}. A running server does so by itself.")


def list_brokers(session: Session) -> None:
    """List brokers, and whether they obey."""
    from holdfast.adapters.system import SystemClock  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.connection import connected  # noqa: PLC0415
    from holdfast.cli.terminal import ago, emit, table, words  # noqa: PLC0415

    with connected(session.folder) as api:
        items = api.get("/brokers")["items"]
    if session.json:
        emit({"items": items})
        return
    now = SystemClock().now()
    rows = [
        (
            b["name"],
            b["kind"],
            f"{b['host']}:{b['port']}",
            str(b["admitted"]),
            ago(b.get("published_at"), now),
            b["faults"][0]["code"] if b["faults"] else "fine",
        )
        for b in items
    ]
    if rows:
        table(("broker", "kind", "devices connect to", "admitted", "published", "state"), rows)
    else:
        words("No brokers. Add one: holdfast broker add NAME --folder FOLDER")


def render(session: Session, *, broker: NameArgument, file: FileOption = "") -> None:
    """Show the files of a broker as they would be published now; nothing is written."""
    from holdfast.cli.connection import connected, part  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.terminal import emit, heading, raw, words  # noqa: PLC0415

    with connected(session.folder) as api:
        items = api.get(f"/brokers/{part(broker)}/files")["items"]
    wanted = [item for item in items if file in ("", item["name"])]
    if session.json:
        emit({"items": wanted})
        return
    for item in wanted:
        if not file:
            heading(item["name"])
        for line in item["text"].splitlines():
            raw(line)
    if not wanted:
        words(f"It has no such file; it has {', '.join(item['name'] for item in items)}.")
        raise typer.Exit(Exit.FAILED)


def apply(session: Session, *, broker: NameArgument) -> None:
    """Publish everything to a broker now, have it read its files, and see with two identities that it obeys."""
    _tried(session, broker, "apply")


def check(session: Session, *, broker: NameArgument) -> None:
    """Try a broker: files as published, a revoked identity refused, a good one admitted, lists far from lapsing."""
    _tried(session, broker, "check")


def _tried(session: Session, broker: str, verb: str) -> None:
    from holdfast.cli.connection import connected, part  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.terminal import emit, show, words  # noqa: PLC0415

    with connected(session.folder) as api:
        told = api.post(f"/brokers/{part(broker)}/{verb}")
    if session.json:
        emit(told)
    elif not told["faults"]:
        words(("✓ ", "green"), f"The broker {broker} obeys; {told['admitted']} devices may connect.")
    for fault in [] if session.json else told["faults"]:
        show("• ", fault["sentence"], (f" [{fault['code']}]", "dim"))
        show(("fix: ", "bold"), fault["remedy"], indent=2)
    if told["faults"]:
        raise typer.Exit(Exit.FINDINGS)


def connections(session: Session, *, broker: NameArgument) -> None:
    """List the devices that are connected to a broker."""
    from holdfast.adapters.system import SystemClock  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.connection import connected, part  # noqa: PLC0415
    from holdfast.cli.terminal import ago, emit, table, words  # noqa: PLC0415

    with connected(session.folder) as api:
        items = api.get(f"/brokers/{part(broker)}/connections")["items"]
    if session.json:
        emit({"items": items})
        return
    now = SystemClock().now()
    if items:
        table(
            ("device", "client id", "from", "since"),
            [(c["device"], c["client_id"], c["address"], ago(c["since"], now)) for c in items],
        )
    else:
        words("No device is connected.")


def grants(
    session: Session, *, broker: NameArgument, device: OfDeviceOption = "", unused: UnusedOption = False
) -> None:
    """Show what devices may publish and read at a broker, and when they last did."""
    from holdfast.cli.connection import connected, part  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.terminal import emit, table, words  # noqa: PLC0415

    path = f"/brokers/{part(broker)}/grants"
    with connected(session.folder) as api:
        items = api.get(path, device=device)["items"] if device else list(api.pages(path))
    if session.json:
        emit({"items": items})
        return
    rows = [row for item in items for row in _rows(item, only_unused=unused)]
    if rows:
        table(("device", "may", "topics", "last used"), rows, fold=("topics",))
    else:
        words("Nothing was granted and left unused." if unused else "No device may connect.")


def _rows(item: dict[str, Any], *, only_unused: bool) -> list[tuple[str, str, str, str]]:
    rows = [
        (
            item["device"],
            g["action"],
            g["filter"],
            g["used_on"] or _UNSEEN[g["unused_for_30_days"]],
        )
        for g in item["granted"]
        if g["unused_for_30_days"] or not only_unused
    ]
    if only_unused:
        return rows
    rows.extend((item["device"], "refused", r["topic"], f"{r['day']}, {r['times']} times") for r in item["refused"])
    rows.extend((item["device"], "withheld", reason["sentence"], "-") for reason in item["withheld"])
    return rows


def remove(session: Session, *, broker: NameArgument) -> None:
    """Forget a broker. Its files stay: stop it, for nobody tells it of revocations any more."""
    from holdfast.cli.connection import connected, part  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415

    with connected(session.folder) as api:
        told = api.delete(f"/brokers/{part(broker)}")
    if session.json:
        emit(told)
    else:
        words(("✓ ", "green"), f"The broker {broker} is forgotten. Stop it: it hears of no revocation any more.")
