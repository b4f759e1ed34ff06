"""``holdfast keys``: whose signatures devices take releases by. Making keys, signing, publishing.

1. What people sign is signed on their own machines: ``new``, ``root`` and ``sign`` need no server and no network.
2. What is about to be signed is told in words first, compared with what is in force; ``sign`` asks, then signs.
3. What waits is fetched from the server and given back to it in one file, which goes from hand to hand in between.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from holdfast.cli.session import Exit, Session, command, confirmed, finish, usage

FileOption = Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="Where to write.")]
PassphraseOption = Annotated[
    Path | None,
    typer.Option("--passphrase-file", metavar="FILE", help="The key's passphrase; default: asked for.", dir_okay=False),
]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Whose key it is; for your eyes only.")]
CeremonyArgument = Annotated[Path, typer.Argument(metavar="FILE", help="What 'keys root' or 'keys fetch' wrote.")]
CeremoniesArgument = Annotated[list[Path], typer.Argument(metavar="FILE...", help="Signed files.")]
KeyOption = Annotated[Path, typer.Option("--key", metavar="KEY", help="Your private key.", dir_okay=False)]
KeptRootOption = Annotated[
    Path | None,
    typer.Option(
        "--root",
        metavar="FILE",
        help="A file that you signed or checked before: its newest image root is what this one is verified from.",
    ),
]
RootKeysOption = Annotated[list[Path] | None, typer.Option("--root-key", metavar="PUB", help="Who signs roots.")]
TargetsKeysOption = Annotated[
    list[Path] | None, typer.Option("--targets-key", metavar="PUB", help="Who signs releases.")
]
RootThreshold = Annotated[int, typer.Option("--root-threshold", min=1, max=16, help="How many of them have to.")]
TargetsThreshold = Annotated[int, typer.Option("--targets-threshold", min=1, max=16, help="The same of releases.")]
OnlineOption = Annotated[Path, typer.Option("--online", metavar="FILE", help="What 'keys online' wrote.")]
FromOption = Annotated[
    Path | None, typer.Option("--from", metavar="FILE", help="What 'keys fetch --all' wrote: rotate from there.")
]
FreshOption = Annotated[
    list[str] | None,
    typer.Option("--new", metavar="PURPOSE", help="Make this key anew: director, timestamp, snapshot, bundle."),
]
YesOption = Annotated[bool, typer.Option("--yes", help="Sign without being asked.")]
AllOption = Annotated[bool, typer.Option("--all", help="With every file in force, as a rotation needs.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    command(app, "new")(new)
    command(app, "online")(online)
    command(app, "root")(root)
    command(app, "fetch")(fetch)
    command(app, "sign")(sign)
    command(app, "publish")(publish)
    command(app, "show")(show)


def new(session: Session, *, name: NameArgument, output: FileOption, passphrase_file: PassphraseOption = None) -> None:
    """Make a signing key for a person. The private half never leaves FILE; hand out the public one beside it."""
    from holdfast.cli.keys_files import find_passphrase, make_key, public_path  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415
    from holdfast.update.online_files import key_id  # noqa: PLC0415

    passphrase = find_passphrase(passphrase_file, f"Passphrase for {name}'s key", again=True)
    made = key_id(make_key(output, passphrase))
    if session.json:
        emit({"name": name, "key": str(output), "public": str(public_path(output)), "keyid": made})
        return
    words(("✓ ", "green"), f"{name}'s key is in {output}; its name is {made[:16]}.")
    words(f"Hand out {public_path(output)}. Keep {output} on a medium of its own, and a copy elsewhere.")


def online(session: Session, *, output: FileOption, fresh: FreshOption = None) -> None:
    """Write the server's public keys, for a root to name. Keys made with --new count from the next root on."""
    from holdfast.cli.connection import connected  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.files import write_whole  # noqa: PLC0415
    from holdfast.cli.keys_files import parse_online  # noqa: PLC0415
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415
    from holdfast_core.kernel.digests import canonical  # noqa: PLC0415

    with connected(session.folder) as api:
        told = api.post("/update/keys", {"fresh": fresh or []})
    data = canonical(told)
    parse_online(data, output)
    write_whole(output, data + b"\n")
    if session.json:
        emit(told)
    else:
        words(("✓ ", "green"), f"The server's public keys are in {output}.")


def root(
    session: Session,
    *,
    online_file: OnlineOption,
    output: FileOption,
    root_key: RootKeysOption = None,
    root_threshold: RootThreshold = 2,
    targets_key: TargetsKeysOption = None,
    targets_threshold: TargetsThreshold = 2,
    before: FromOption = None,
) -> None:
    """Write the roots to be signed: the first ones, or with --from those that follow.

    Whoever is not named stays as in --from. Sign FILE with 'keys sign' by old and new signers, then 'keys publish' it.
    """
    from holdfast.adapters.system import SystemClock  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.files import write_whole  # noqa: PLC0415
    from holdfast.cli.keys_files import read_holders, read_online  # noqa: PLC0415
    from holdfast.cli.keys_making import rotated, started  # noqa: PLC0415
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415
    from holdfast.update.ceremony import encode_ceremony  # noqa: PLC0415

    scope, publics = read_online(online_file)
    root_holders = read_holders(root_key, root_threshold) if root_key else None
    targets_holders = read_holders(targets_key, targets_threshold) if targets_key else None
    now = SystemClock().now()
    if before is not None:
        made = rotated(before, scope, publics, now, root=root_holders, targets=targets_holders)
    elif root_holders is None or targets_holders is None:
        usage("Name the signers: --root-key and --targets-key, each as often as there are people.")
    else:
        made = started(scope, publics, root_holders, targets_holders, now)
    write_whole(output, encode_ceremony(made))
    if session.json:
        emit({"file": str(output), "files": [f"{each.repository.value}/{each.role}" for each in made.files]})
    else:
        words(("✓ ", "green"), f"{output} holds {len(made.files)} files to be signed: holdfast keys sign {output}.")


def fetch(session: Session, *, output: FileOption, everything: AllOption = False) -> None:
    """Fetch what waits for signatures, with what it is compared with."""
    from holdfast.cli.connection import connected  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.files import write_whole  # noqa: PLC0415
    from holdfast.cli.keys_making import ceremony_from  # noqa: PLC0415
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415
    from holdfast.update.ceremony import encode_ceremony  # noqa: PLC0415

    with connected(session.folder) as api:
        told = ceremony_from(api.get("/update/ceremony", whole="true" if everything else "false"))
    write_whole(output, encode_ceremony(told))
    if session.json:
        emit({"file": str(output), "waiting": [each.role for each in told.files]})
    else:
        words(("✓ ", "green"), f"{len(told.files)} file(s) wait in {output}.")


def sign(
    session: Session,
    *,
    file: CeremonyArgument,
    key: KeyOption,
    kept_root: KeptRootOption = None,
    passphrase_file: PassphraseOption = None,
    yes: YesOption = False,
) -> None:
    """Say in words what a file changes, ask, and sign it. The signatures are added to FILE itself."""
    from holdfast.cli.files import read_bounded, write_whole  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.keys_files import public_path, read_private, read_public  # noqa: PLC0415
    from holdfast.cli.keys_making import newest_root, signed  # noqa: PLC0415
    from holdfast.cli.keys_text import show_told  # noqa: PLC0415
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415
    from holdfast.update.ceremony import LARGEST_CEREMONY, decode_ceremony, encode_ceremony  # noqa: PLC0415
    from holdfast.update.online_files import key_id  # noqa: PLC0415
    from holdfast.update.wording import told  # noqa: PLC0415

    ceremony = decode_ceremony(read_bounded(file, LARGEST_CEREMONY))
    private = read_private(key, passphrase_file) if not public_path(key).exists() else None
    public = private.public_key() if private is not None else read_public(public_path(key))
    said = told(ceremony, key_id(public), newest_root(kept_root) if kept_root is not None else None)
    if not session.json:
        show_told(said)
    wanted = [index for index, each in enumerate(said) if each.counts and not each.signed]
    if wanted:
        confirmed(f"Sign {len(wanted)} file(s) with {key}?", yes=yes)
        private = private or read_private(key, passphrase_file)
        write_whole(file, encode_ceremony(signed(ceremony, wanted, private)))
    if session.json:
        emit({"files": said, "signed": [said[index].role for index in wanted]})
    elif wanted:
        words(("✓ ", "green"), f"Signed. Pass {file} on, or publish it: holdfast keys publish {file}.")
    else:
        words("There is nothing in it for this key to sign.")
    finish(Exit.FINE if wanted else Exit.FINDINGS)


def publish(session: Session, *, files: CeremoniesArgument) -> None:
    """Give signed files to the server. What has its threshold is in force at once, all of it together."""
    from holdfast.cli.connection import connected  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.files import read_bounded  # noqa: PLC0415
    from holdfast.cli.keys_making import merged  # noqa: PLC0415
    from holdfast.cli.keys_text import show_progress  # noqa: PLC0415
    from holdfast.cli.terminal import emit  # noqa: PLC0415
    from holdfast.update.ceremony import LARGEST_CEREMONY, decode_ceremony, encode_ceremony  # noqa: PLC0415

    whole = merged([decode_ceremony(read_bounded(path, LARGEST_CEREMONY)) for path in files])
    with connected(session.folder) as api:
        told: dict[str, Any] = api.post("/update/ceremony", content=encode_ceremony(whole))
    if session.json:
        emit(told)
    else:
        show_progress(told["items"])


def show(session: Session) -> None:
    """Show who has to sign what, what expires when, and what waits."""
    from holdfast.cli.connection import connected  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.keys_text import show_standing  # noqa: PLC0415
    from holdfast.cli.terminal import emit  # noqa: PLC0415

    with connected(session.folder) as api:
        told = api.get("/update/repositories")
    if session.json:
        emit(told)
    else:
        show_standing(told)
