"""``holdfast attest result`` and ``verify``: how a device stands, signed, for whoever trusts no word of ours.

Verifying needs neither a server nor a network: the result, and the control plane's log key from a place one trusts.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from holdfast.cli.device import DeviceArgument
from holdfast.cli.log import verifier_key
from holdfast.cli.session import Exit, Session, command, finish

if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdfast.cli.result_claims import Claims
    from holdfast_core.kernel.instants import Instant

LARGEST = 16 * 1024
OutOption = Annotated[
    Path | None, typer.Option("--out", metavar="FILE", help="Write it there instead of stdout.", show_default=False)
]
ResultArgument = Annotated[Path, typer.Argument(metavar="FILE", help="A result; - reads stdin.")]
KeyOption = Annotated[
    str,
    typer.Option(
        "--key", metavar="KEY|FILE", help="The control plane's log key, as holdfast log key prints it on the server."
    ),
]
OfDeviceOption = Annotated[
    str, typer.Option("--device", metavar="DEVICE", help="Only a result of this device is good.", show_default=False)
]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    command(app, "result")(result)
    command(
        app,
        "verify",
        epilog="Exit: 0 genuine, in time and affirming; 3 genuine, and not affirming or too old; 1 not genuine.",
    )(verify)


def result(session: Session, *, device: DeviceArgument, out: OutOption = None) -> None:
    """Print the signed attestation result of a device as of now: an EAR, as a JWT."""
    from holdfast.cli.connection import connected, part  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.files import write_whole  # noqa: PLC0415
    from holdfast.cli.terminal import emit, raw, words  # noqa: PLC0415

    parts: list[bytes] = []
    with connected(session.folder) as api:
        api.lines(f"/devices/{part(device)}/attestation/result", parts.append)
    token = b"".join(parts).decode()
    if out is not None:
        write_whole(out, token.encode() + b"\n")
        words(("✓ ", "green"), f"Written to {out}. Check it anywhere: holdfast attest verify {out} --key KEY")
        words("KEY is what holdfast log key prints; give it by another way than the result.")
    if session.json:
        emit({"device": device, "result": token})
    elif out is None:
        raw(token)


def verify(session: Session, *, file: ResultArgument, key: KeyOption, device: OfDeviceOption = "") -> None:
    """Verify a result offline: who signed it, of which device it is, whether it still counts, and what it says."""
    from holdfast.adapters.system import SystemClock  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.files import read_bounded  # noqa: PLC0415
    from holdfast.cli.result_claims import read_claims  # noqa: PLC0415
    from holdfast.cli.terminal import emit  # noqa: PLC0415
    from holdfast_core.attestation.ear import open_result  # noqa: PLC0415
    from holdfast_core.formats.note import parse_verifier_key  # noqa: PLC0415
    from holdfast_core.kernel.errors import HostileData  # noqa: PLC0415

    token = read_bounded(file, LARGEST).decode("ascii", "replace")
    opened = open_result(token, parse_verifier_key(verifier_key(key)))
    claims = read_claims(opened)
    if device and claims.device != device:
        raise HostileData(
            "result.device",
            f"The result is of {claims.device}, not of {device}.",
            remedy="Ask for one of the right device: holdfast attest result DEVICE.",
        )
    now = SystemClock().now()
    good = claims.counts(now)
    if session.json:
        emit({"good": good, "device": claims.device, "tier": claims.tier, "claims": opened})
    else:
        _show(claims, opened, now, good=good)
    finish(Exit.FINE if good else Exit.FINDINGS)


def _show(claims: Claims, opened: Mapping[str, Any], now: Instant, *, good: bool) -> None:
    from holdfast.cli.attest_state_text import show_vector, told  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.terminal import ago, fields, raw, show, words  # noqa: PLC0415
    from holdfast_core.kernel.instants import rfc3339  # noqa: PLC0415

    show((claims.device, "bold"), "  ", told(claims.tier), ", ", told(claims.freshness), f"  {claims.release}")
    show_vector(claims.vector)
    raw("")
    fields(
        [
            ("signed by", claims.issuer),
            ("of", claims.subject),
            ("made", ago(rfc3339(claims.made_at), now)),
            ("counts until", ago(rfc3339(claims.until), now) if claims.until is not None else "it counts for nothing"),
            ("because", ", ".join(claims.reasons)),
            ("profile", str(opened["eat_profile"])),
        ]
    )
    if good:
        words(("✓ ", "green"), "Genuine, in time and affirming.")
    elif claims.until is not None and now >= claims.until:
        words(("✗ ", "red"), "Genuine, but too old: ask for a new one (holdfast attest result).")
    else:
        words(("✗ ", "red"), f"Genuine, and it says {claims.tier}: do not rely on this device.")
