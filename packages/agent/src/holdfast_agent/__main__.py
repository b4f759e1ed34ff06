"""The command line: ``holdfast-agent enroll | check-in | run | status | update | tpm | attest | secret | tuf``.

1. Data goes to stdout, words to stderr. A secret goes to stdout alone, as it is, and only whole.
2. Exit codes: 0 fine, 1 failed, 2 usage, 3 (``status`` only) ran fine and there is something to act on.
3. The claim is read from a file, from stdin or from ``HOLDFAST_CLAIM``; never from an argument, which every process
   on the machine can read.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import msgspec

from holdfast_agent.clock import Clock
from holdfast_agent.loop import OVER, Agent, say
from holdfast_agent.state import DEFAULT_TCTI, Config, Folder, KeyPlace, LightAudit
from holdfast_agent.status import as_json, in_text, read_status
from holdfast_agent.transport import parse_server
from holdfast_core.kernel.digests import parse_digest
from holdfast_core.kernel.errors import HoldfastError, HostileData
from holdfast_core.kernel.ids import parse_device_id, parse_name

DEFAULT_STATE = "/var/lib/holdfast-agent"
CLAIM_VARIABLE = "HOLDFAST_CLAIM"
MAX_CLAIM = 512
LONGEST_WAIT_S = 3600
"""Between two questions whether a person approved the key, whatever the server says."""
FINE, FAILED, USAGE, FOUND = 0, 1, 2, 3


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run one command and end the process with its exit code."""
    options = _parser().parse_args(arguments)
    commands: dict[str, Callable[[argparse.Namespace], int]] = {
        "enroll": _enroll,
        "check-in": _check_in,
        "run": _run,
        "status": _status,
        "tpm": _tpm,
        "attest": _attest,
        "secret": _secret,
        "tuf": _tuf,
        "update": _update,
    }
    try:
        sys.exit(commands[options.command](options))
    except HoldfastError as error:
        say(str(error))
        sys.exit(FAILED)
    except KeyboardInterrupt:
        sys.exit(FAILED)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="holdfast-agent", description="What runs on a device of a Holdfast fleet.")
    parser.add_argument("--version", action=_Version, nargs=0, help="which one")
    commands = parser.add_subparsers(dest="command", required=True)

    enroll = commands.add_parser("enroll", help="join a control plane with a claim")
    enroll.add_argument("server", metavar="URL", help="https://HOST[:8444]")
    enroll.add_argument("--device", required=True, metavar="ID", help="the name the claim was made for")
    enroll.add_argument("--ca", required=True, metavar="sha256:HEX", help="digest of the server's root authority")
    enroll.add_argument(
        "--claim-file",
        metavar="FILE",
        help=f"where the claim stands; '-' is stdin; default: the variable {CLAIM_VARIABLE}",
    )
    enroll.add_argument(
        "--wait", action="store_true", help="ask without a claim, show the key's fingerprint, wait for a person"
    )
    enroll.add_argument("--root", default="/", metavar="PATH", help="the file tree to look at (default: /)")
    enroll.add_argument("--proc", default="/proc", metavar="PATH", help="the device's own procfs (default: /proc)")
    enroll.add_argument("--release-file", default="", metavar="FILE", help="JSON with build, version and slot")
    enroll.add_argument(
        "--light-audit",
        default=LightAudit.INTERVAL.value,
        choices=[policy.value for policy in LightAudit],
        help="when to look at the cheap controls again (default: interval)",
    )
    enroll.add_argument(
        "--light-interval", default=0, type=int, metavar="SECONDS", help="for 'interval' (default: as the plan says)"
    )

    enroll.add_argument(
        "--key",
        default=KeyPlace.FILE.value,
        metavar="file|tpm|pkcs11:URI",
        help="where the private key is: made in a file (the default), made in the TPM, or there already in a token",
    )
    enroll.add_argument("--tcti", default=DEFAULT_TCTI, help=f"how the TPM is reached (default: {DEFAULT_TCTI})")
    _attesting(enroll)
    _updating(enroll)

    check_in = commands.add_parser("check-in", help="check in once, for timers")
    check_in.add_argument("--light-audit", action="store_true", help="look at the cheap controls even if not due")
    check_in.add_argument("--now", action="store_true", help="call although the server refused this device lately")
    commands.add_parser("run", help="check in whenever it is due, until stopped")
    status = commands.add_parser("status", help="show what the agent knows; exit 3 when there is something to act on")
    status.add_argument(
        "--pin", action="store_true", help="only the pinned checkpoint, for 'holdfast log verify --pin'"
    )
    for command in (enroll, check_in, status):
        command.add_argument("--json", action="store_true", help="the status as one JSON object on stdout")
    tpm = commands.add_parser("tpm", help="show the digest of the TPM's endorsement key, for 'holdfast tpm pin'")
    tpm.add_argument("--tcti", default=DEFAULT_TCTI, help=f"how the TPM is reached (default: {DEFAULT_TCTI})")
    tpm.add_argument("--json", action="store_true", help="as one JSON object on stdout")
    attest = commands.add_parser("attest", help="show the evidence that would be sent for a nonce; sends nothing")
    attest.add_argument("--nonce", required=True, metavar="HEX", help="any 8 to 64 letters and digits")
    secret = commands.add_parser("secret", help="print what was sealed for this device, once it is affirmed")
    secret.add_argument("name", metavar="NAME", help="what the operator sealed it under")
    _tuf_arguments(commands.add_parser("tuf", help="fetch and verify from any TUF repository; needs no enrollment"))
    update = commands.add_parser("update", help="install from a bundle that was carried here, without a network")
    update.add_argument("bundle", type=Path, metavar="BUNDLE", help="the zip file, or the folder it was unpacked to")
    for command in (enroll, check_in, commands.choices["run"], status, attest, secret, update):
        command.add_argument(
            "--state", default=DEFAULT_STATE, type=Path, metavar="DIR", help=f"state folder (default: {DEFAULT_STATE})"
        )
    return parser


def _attesting(enroll: argparse.ArgumentParser) -> None:
    """The options that say where evidence of the boot is found."""
    enroll.add_argument("--sys", default="/sys", metavar="PATH", help="the device's own sysfs (default: /sys)")
    enroll.add_argument("--boot-log", default="", metavar="FILE", help="the firmware's event log (default: in sysfs)")
    enroll.add_argument(
        "--claims-file", default="", metavar="FILE", help="JSON of tamper switches, debug ports and lifecycle"
    )
    enroll.add_argument(
        "--attest-token",
        default="",
        metavar="COMMAND",
        help="a program with its arguments that prints a token for the nonce it is given last; no shell is involved",
    )


def _tuf_arguments(tuf: argparse.ArgumentParser) -> None:
    """As the public TUF conformance suite calls a client."""
    tuf.add_argument("--metadata-dir", required=True, type=Path, metavar="DIR", help="where trusted metadata lies")
    tuf.add_argument("--metadata-url", default="", metavar="URL", help="where the repository's metadata is served")
    tuf.add_argument("--target-name", default=[], action="append", metavar="NAME", help="a target; repeatable")
    tuf.add_argument("--target-base-url", default="", metavar="URL", help="where its targets are served")
    tuf.add_argument("--target-dir", type=Path, metavar="DIR", help="where targets are put")
    actions = tuf.add_subparsers(dest="action", required=True)
    actions.add_parser("init", help="trust a root").add_argument("root", type=Path, metavar="ROOT")
    actions.add_parser("refresh", help="bring the metadata up to date")
    actions.add_parser("download", help="fetch targets, and print where they lie")


def _updating(enroll: argparse.ArgumentParser) -> None:
    """The options that say how the device is updated."""
    how = enroll.add_mutually_exclusive_group()
    how.add_argument("--slots", default="", metavar="FOLDER", help="update two slots in files: a.img, b.img, boot.json")
    how.add_argument(
        "--installer", default="", metavar="KIND", help="update with rauc, or rauc|swupdate|mcuboot:FILE (JSON)"
    )
    enroll.add_argument("--update-cache", default="", metavar="URL", help="the site's gateway, http://HOST:PORT")
    enroll.add_argument(
        "--update-roots", default="", metavar="FOLDER", help="the factory's director.root.json and image.root.json"
    )
    enroll.add_argument("--model", default="", metavar="NAME", help="this device's model, as releases name theirs")
    enroll.add_argument(
        "--hardware", default=[], action="append", metavar="NAME", help="this board, as releases name it; repeatable"
    )
    enroll.add_argument(
        "--reboot-command", default="systemctl reboot", metavar="COMMAND", help="what begins a new boot; no shell"
    )


class _Version(argparse.Action):
    """Shows the version. The module that knows it is large, so no other command loads it."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib import metadata  # noqa: PLC0415  (see above)

        parser.exit(FINE, f"holdfast-agent {metadata.version('holdfast-agent')}\n")


def _enroll(options: argparse.Namespace) -> int:
    try:
        parse_server(options.server)
        parse_device_id(options.device)
        ca = parse_digest(options.ca)
        key = _key_place(options.key)
        # A chip that the server knows needs no claim.
        needless = options.wait or (key is KeyPlace.TPM and not _claim_given(options.claim_file))
        claim = "" if needless else _claim(options.claim_file)
        token_command = _token_command(options.attest_token)
        _check_cache(options.update_cache)
        model = parse_name(options.model, what="model") if options.model else ""
        reboot_command = tuple(shlex.split(options.reboot_command))
        root, proc = Path(options.root).resolve(strict=True), Path(options.proc).resolve(strict=True)
    except HostileData as error:
        say(str(error))
        return USAGE
    except OSError as error:
        say(f"{error.filename} cannot be used: {error.strerror}.")
        return USAGE
    except ValueError as error:
        say(f"{options.reboot_command[:80]!r} is no command: {error}.")
        return USAGE
    config = Config(
        server=options.server.rstrip("/"),
        device=options.device,
        root=str(root),
        proc=str(proc) if options.proc != "/proc" else "/proc",
        release_file=_absolute(options.release_file),
        light_audit=LightAudit(options.light_audit),
        light_interval_s=max(0, options.light_interval),
        key=key,
        tcti=options.tcti if key is KeyPlace.TPM else "",
        token=options.key if key is KeyPlace.TOKEN else "",
        sys=_absolute(options.sys),
        boot_log=_absolute(options.boot_log),
        claims_file=_absolute(options.claims_file),
        attest_token=token_command,
        installer=f"file:{_absolute(options.slots)}" if options.slots else options.installer,
        hardware=tuple(options.hardware),
        model=model,
        reboot_command=reboot_command,
        update_cache=options.update_cache,
        update_roots=_absolute(options.update_roots),
    )
    from holdfast_agent.enroll import enroll  # noqa: PLC0415  (imports cryptography, which a check-in must not)

    folder = Folder(options.state)
    with folder.locked():
        enroll(folder, config, ca=ca, claim=claim, waiting=_wait if options.wait else None)
    say(f"Enrolled as {config.device}. Check in with: holdfast-agent check-in --state {options.state}")
    _as_json(options, folder)
    return FINE


def _wait(fingerprint: str, seconds: int) -> None:
    say(f"A person has to approve this key: {fingerprint}")
    time.sleep(min(max(seconds, 1), LONGEST_WAIT_S))


def _key_place(text: str) -> KeyPlace:
    """Where the key is to be. Raises HostileData ``enroll.key``, ``agent.token_uri``."""
    if text.startswith("pkcs11:"):
        from holdfast_agent.token import parse_token  # noqa: PLC0415  (only where there is a token)

        parse_token(text)
        return KeyPlace.TOKEN
    if text in (KeyPlace.FILE, KeyPlace.TPM):
        return KeyPlace(text)
    raise HostileData("enroll.key", f"{text[:80]!r} is no place for a key.", remedy="Write file, tpm, or pkcs11:URI.")


def _absolute(name: str) -> str:
    """The whole path of what may not exist yet; empty where none is named."""
    return os.path.abspath(name) if name else ""  # noqa: PTH100  (pathlib's needs it to be there)


def _token_command(text: str) -> tuple[str, ...]:
    """The words of a command, whose first one is a whole path. Raises HostileData ``enroll.attest_token``."""
    try:
        words = tuple(shlex.split(text))
    except ValueError:
        words = ("",)
    if words and not words[0].startswith("/"):
        raise HostileData(
            "enroll.attest_token",
            f"{text[:80]!r} names no program.",
            remedy="Write the program's whole path and its arguments, as in '/usr/bin/token --psa'.",
        )
    return words


def _check_cache(url: str) -> None:
    """Raises HostileData ``agent.cache_url``."""
    if url:
        from holdfast_agent.update.site_cache import parse_cache  # noqa: PLC0415  (only where there is one)

        parse_cache(url)


def _claim_given(source: str | None) -> bool:
    return source is not None or CLAIM_VARIABLE in os.environ


def _claim(source: str | None) -> str:
    """The claim's text. Raises HostileData ``enroll.no_claim``, OSError."""
    if source == "-":
        text = sys.stdin.readline(MAX_CLAIM)
    elif source is not None:
        with Path(source).open(encoding="utf-8", errors="replace") as file:
            text = file.readline(MAX_CLAIM)
    else:
        text = os.environ.get(CLAIM_VARIABLE, "")
    text = text.strip()
    if not text or not text.isascii() or not text.isprintable():
        raise HostileData(
            "enroll.no_claim",
            "There is no claim to enroll with.",
            remedy=f"Set {CLAIM_VARIABLE}, or --claim-file FILE ('-' reads stdin). Without a claim: --wait.",
        )
    return text


def _tpm(options: argparse.Namespace) -> int:
    from holdfast_agent.tpm_enroll import endorsement_of  # noqa: PLC0415  (imports cryptography)

    endorsement, digest = endorsement_of(options.tcti)
    certified = bool(endorsement.certificates)
    if options.json:
        told = {"digest": digest, "kind": endorsement.kind, "certified": certified}
        sys.stdout.write(msgspec.json.encode(told).decode() + "\n")
        return FINE
    say(f"The endorsement key ({endorsement.kind}) {'has a' if certified else 'has no'} certificate of its maker.")
    sys.stdout.write(digest + "\n")
    return FINE


def _attest(options: argparse.Namespace) -> int:
    from holdfast_agent.dry_run import dry_run  # noqa: PLC0415  (only a person asks for it)

    folder = Folder(options.state)
    config = folder.config()
    shown = dry_run(folder, config, _clock(config), options.nonce)
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(shown)).decode() + "\n")
    return FAILED if "trouble" in shown else FINE


def _secret(options: argparse.Namespace) -> int:
    from holdfast_agent.sealed import checked_name, secret_for  # noqa: PLC0415  (a check-in does without it)

    try:
        name = checked_name(options.name)
    except HostileData as error:
        say(str(error))
        return USAGE
    folder = Folder(options.state)
    config = folder.config()
    secret = secret_for(folder, config, _clock(config), name)
    try:
        sys.stdout.buffer.write(secret)
        sys.stdout.buffer.flush()
    except OSError as error:
        say(f"The secret could not be told on stdout: {error.strerror}. [agent.stdout] Let whoever needs it read it.")
        # What is left in the buffer would be written again at the end of the process.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    return FINE


def _tuf(options: argparse.Namespace) -> int:
    try:
        from holdfast_agent.update import tuf_command  # noqa: PLC0415  (loads python-tuf)
    except ImportError as error:
        say(f"python-tuf is not here: {error}. [tuf.missing] Install holdfast-agent[update].")
        return FAILED
    if options.action == "init":
        tuf_command.init(options.metadata_dir, options.root)
    elif options.action == "refresh":
        tuf_command.refresh(options.metadata_dir, options.metadata_url)
    elif not options.target_dir or not options.target_name:
        say("Name the targets and the folder for them: --target-name NAME --target-dir DIR.")
        return USAGE
    else:
        place = (options.target_base_url, options.target_dir)
        for path in tuf_command.download(options.metadata_dir, options.metadata_url, options.target_name, *place):
            sys.stdout.write(f"{path}\n")
    return FINE


def _update(options: argparse.Namespace) -> int:
    folder = Folder(options.state)
    with folder.locked():
        config = folder.config()
        agent = Agent(folder, config, _clock(config))
        target = agent.carry(options.bundle)
    say(f"{target.offer.release} is what people signed for this device. How far it is: holdfast-agent status.")
    return FINE


def _clock(config: Config) -> Clock:
    return Clock(config.device, Path(config.proc))


def _check_in(options: argparse.Namespace) -> int:
    folder = Folder(options.state)
    with folder.locked():
        config = folder.config()
        agent = Agent(folder, config, _clock(config))
        trouble = agent.state.trouble
        if trouble is not None and trouble.of_identity and agent.blocked and not options.now:
            _say_why(f"Not calling yet. {trouble.sentence}", trouble.code, trouble.remedy)
            return FAILED
        taken = agent.contact(recheck=options.light_audit)
        if agent.retired:
            say(OVER)
            return FINE
        agent.give_up_trial()
        agent.finish_update()
    _tell(agent)
    _as_json(options, folder)
    return FINE if taken else FAILED


def _tell(agent: Agent) -> None:
    """How the contact ended, in words."""
    trouble, verdict = agent.state.trouble, agent.state.verdict
    if trouble is not None:
        _say_why(trouble.sentence, trouble.code, trouble.remedy)
    elif verdict is not None:
        say(f"Checked in: {verdict.level}.")
        for reason in verdict.reasons:
            _say_why(f"  {reason.sentence}", reason.code, reason.remedy)


def _say_why(sentence: str, code: str, remedy: str) -> None:
    say(f"{sentence} [{code}]")
    if remedy:
        say(f"    do this: {remedy}")


def _run(options: argparse.Namespace) -> NoReturn:
    folder = Folder(options.state)
    with folder.locked():
        config = folder.config()
        Agent(folder, config, _clock(config)).run()


def _as_json(options: argparse.Namespace, folder: Folder) -> None:
    """The status afterwards, where ``--json`` asks for it."""
    if options.json:
        config = folder.config()
        sys.stdout.write(as_json(read_status(folder, config, _clock(config))))


def _status(options: argparse.Namespace) -> int:
    folder = Folder(options.state)
    config = folder.config()
    status = read_status(folder, config, _clock(config))
    if options.pin:
        sys.stdout.write(status.checkpoint)
        return FINE if status.checkpoint else FAILED
    sys.stdout.write(as_json(status) if options.json else in_text(status))
    return FINE if status.trusted else FOUND


if __name__ == "__main__":
    main()
