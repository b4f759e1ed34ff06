"""``holdfast release``: what devices can install; who agreed to it, what is missing, and where it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from holdfast.cli.session import Exit, Session, command, finish, usage
from holdfast_core.supply.model import Nature, PayloadKind

ReleaseArgument = Annotated[str, typer.Argument(metavar="MODEL:VERSION", help="The release.")]
PayloadArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The payload: what devices install.")]
ModelOption = Annotated[str, typer.Option("--model", metavar="NAME", help="The model it is for, without its version.")]
VersionOption = Annotated[str, typer.Option("--version", metavar="VERSION", help="What the release is called.")]
CounterOption = Annotated[
    int, typer.Option("--counter", metavar="N", min=0, help="Its release counter: higher than all before it.")
]
HardwareOption = Annotated[
    list[str], typer.Option("--hardware", metavar="NAME", help="A board that it runs on; repeat it.")
]
NatureOption = Annotated[Nature, typer.Option("--nature", help="Why it was made.")]
KindOption = Annotated[PayloadKind, typer.Option("--kind", help="What the payload is.")]
SvnOption = Annotated[
    int, typer.Option("--svn", metavar="N", min=0, help="Its security version number; going back below is refused.")
]
NeedsOption = Annotated[
    int, typer.Option("--needs", metavar="N", min=0, help="The smallest release counter that it installs over.")
]
SupportOption = Annotated[
    str, typer.Option("--support-end", metavar="YYYY-MM-DD", help="The last day of its support.", show_default=False)
]
SbomOption = Annotated[
    Path | None,
    typer.Option("--sbom", metavar="FILE", help="Its bill of materials (CycloneDX, SPDX).", show_default=False),
]
NameOption = Annotated[
    str, typer.Option("--name", metavar="NAME", help="The payload's name, if not FILE's.", show_default=False)
]
OfModelOption = Annotated[str, typer.Option("--model", metavar="NAME", help="Only those of this model.")]
DeviceOption = Annotated[
    list[str], typer.Option("--device", metavar="DEVICE", help="A lab device that runs it now; repeat it.")
]
ResultsOption = Annotated[
    Path, typer.Option("--results", metavar="FILE", help="The tests' report; its digest is kept, not it.")
]
TicketOption = Annotated[str, typer.Option("--ticket", metavar="NAME", help="The change's name in your own system.")]
ApprovalsOption = Annotated[
    int | None,
    typer.Option("--approvals", min=0, max=8, help="People who have to agree and did not add it.", show_default=False),
]
LabOption = Annotated[
    list[str] | None,
    typer.Option("--lab-site", metavar="SITE", help="A lab; repeat it. Elsewhere a validation is needed then."),
]
NoLabOption = Annotated[bool, typer.Option("--no-lab", help="There is no lab any more.")]
GoOption = Annotated[bool, typer.Option("--yes", help="Take them off the disk; else they are only shown.")]
LARGEST_RESULTS = 256 * 1024 * 1024


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    command(app, "add")(add)
    command(app, "list")(list_releases)
    command(app, "show", epilog="Exit: 0 it may roll out, 3 something is missing.")(show)
    command(app, "propose")(propose)
    command(app, "approve")(approve)
    command(app, "validate")(validate)
    command(app, "policy")(policy)
    command(app, "prune")(prune)


def add(
    session: Session,
    *,
    file: PayloadArgument,
    model: ModelOption,
    version: VersionOption,
    counter: CounterOption,
    hardware: HardwareOption,
    nature: NatureOption,
    kind: KindOption,
    svn: SvnOption = 0,
    needs: NeedsOption = 0,
    support_end: SupportOption = "",
    sbom: SbomOption = None,
    name: NameOption = "",
) -> None:
    """Add a release that devices can install. What the payload says of itself is checked by its own tool.

    The file is sent in pieces; repeat the command after an interruption, and it goes on where it stopped.
    """
    from holdfast.cli.connection import connected  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.release_text import show_added  # noqa: PLC0415
    from holdfast.cli.terminal import emit  # noqa: PLC0415
    from holdfast.cli.upload import upload  # noqa: PLC0415

    with connected(session.folder) as api:
        body = {
            "model": model,
            "version": version,
            "counter": counter,
            "kind": kind.value,
            "file": name or file.name,
            "artefact": upload(api, file),
            "hardware": hardware,
            "nature": nature.value,
            "svn": svn,
            "needs": needs,
            "support_end": support_end,
            "sbom": upload(api, sbom) if sbom is not None else "",
        }
        told = api.post("/update/releases", body)
    if session.json:
        emit(told)
    else:
        show_added(told)


def list_releases(session: Session, *, model: OfModelOption = "") -> None:
    """List the releases that can be installed, what each lacks, and where it runs."""
    from holdfast.cli.connection import connected  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.release_text import show_list  # noqa: PLC0415
    from holdfast.cli.terminal import emit  # noqa: PLC0415

    with connected(session.folder) as api:
        items = list(api.pages("/update/releases", model=model))
    if session.json:
        emit({"items": items})
    else:
        show_list(items)


def show(session: Session, *, release: ReleaseArgument) -> None:
    """Show a release: what is offered, who agreed, what is missing before it may roll out, and where it runs."""
    from holdfast.adapters.system import SystemClock  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.connection import connected  # noqa: PLC0415
    from holdfast.cli.release_text import show_release  # noqa: PLC0415
    from holdfast.cli.terminal import emit  # noqa: PLC0415

    with connected(session.folder) as api:
        told = api.get(path_of(release))
        rollouts = [each for each in api.get("/rollouts")["items"] if each["release"] == release]
    if session.json:
        emit({**told, "rollouts": rollouts})
    else:
        show_release(told, rollouts, SystemClock().now())
    finish(Exit.FINDINGS if told["lacks"] else Exit.FINE)


def propose(session: Session, *, release: ReleaseArgument) -> None:
    """Ask the signers for a release that was added before the repository was founded."""
    from holdfast.cli.connection import connected  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.release_text import show_proposed  # noqa: PLC0415
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415

    with connected(session.folder) as api:
        told = api.post(path_of(release, "/propose"))
    if session.json:
        emit(told)
    elif told["proposed"]:
        show_proposed()
    else:
        words("Its signers were asked before, or signed it already.")


def approve(session: Session, *, release: ReleaseArgument) -> None:
    """Say that a release may roll out. Whoever added it cannot; the policy says how many others have to."""
    from holdfast.cli.connection import connected  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.release_text import show_lacks  # noqa: PLC0415
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415

    with connected(session.folder) as api:
        told = api.post(path_of(release, "/approve"))
    if session.json:
        emit(told)
        return
    words(("✓ ", "green"), f"{release} is approved by you: {len(told['approvals'])} of {told['approvals_needed']}.")
    show_lacks(told)


def validate(
    session: Session,
    *,
    release: ReleaseArgument,
    devices: DeviceOption,
    results: ResultsOption,
    ticket: TicketOption,
) -> None:
    """Record that lab devices ran a release and passed. Each has to run it now, and to prove it where it can."""
    from holdfast.cli.connection import connected  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.files import read_bounded  # noqa: PLC0415
    from holdfast.cli.release_text import show_lacks  # noqa: PLC0415
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415
    from holdfast_core.kernel.digests import digest_of  # noqa: PLC0415

    digest = digest_of(read_bounded(results, LARGEST_RESULTS))
    with connected(session.folder) as api:
        body = {"devices": devices, "results": digest, "ticket": ticket}
        told = api.post(path_of(release, "/validate"), body)
    if session.json:
        emit(told)
        return
    words(("✓ ", "green"), f"{release} is validated by {', '.join(devices)}, {ticket}. Keep {results}: {digest}")
    if told["validation"]["weak"]:
        words("By the devices' own word: their model cannot prove what it booted.")
    show_lacks(told)


def policy(
    session: Session, *, approvals: ApprovalsOption = None, lab_sites: LabOption = None, no_lab: NoLabOption = False
) -> None:
    """Show who has to agree before a release rolls out, or change it."""
    from holdfast.cli.connection import connected  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.release_text import show_policy  # noqa: PLC0415
    from holdfast.cli.terminal import emit  # noqa: PLC0415

    if lab_sites and no_lab:
        usage("--lab-site and --no-lab exclude each other.")
    with connected(session.folder) as api:
        told = api.get("/update/policy")
        if approvals is not None or lab_sites or no_lab:
            sites = [] if no_lab else lab_sites or told["lab_sites"]
            number = told["approvals"] if approvals is None else approvals
            told = api.post("/update/policy", {"approvals": number, "lab_sites": sites})
    if session.json:
        emit(told)
    else:
        show_policy(told)


def prune(session: Session, *, yes: GoOption = False) -> None:
    """Show which payloads nobody needs any more, or take them off the disk.

    Those go that no release names, and those of releases that their signers took out and no device is directed to.
    The releases themselves stay.
    """
    from holdfast.cli.connection import connected  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.release_text import show_pruned  # noqa: PLC0415
    from holdfast.cli.terminal import emit  # noqa: PLC0415

    with connected(session.folder) as api:
        told = api.post("/update/prune", {"yes": yes})
    if session.json:
        emit(told)
    else:
        show_pruned(told)


def path_of(release: str, what: str = "") -> str:
    """The path of a release that can be installed, and what is below it."""
    from holdfast.cli.connection import part  # noqa: PLC0415  (rule 3 of the package)

    return f"/update/releases/{part(release)}{what}"
