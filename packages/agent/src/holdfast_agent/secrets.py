"""Local secrets on the device: fetched, set, confirmed.

1. A secret lives in this process's memory from the answer until ``chpasswd`` has it on its stdin. It is in no file of
   the agent's, no argument, no environment, no message and no log.
2. Nothing is remembered between contacts: the directive stays open until every secret in it is confirmed, and asking
   for the same version again gives the same secret, so doing all of it again does no harm.
3. What cannot be set is refused with a reason. The server keeps the older secret and this one until one is confirmed.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Protocol

import msgspec

from holdfast_agent.directives import done, refused
from holdfast_agent.transport import Channel, Failed
from holdfast_core.wire.frame import DirectiveReport
from holdfast_core.wire.orders import Order
from holdfast_core.wire.secrets import PATH, Ordered, SecretsArgs, SecretTold

SET_S = 60
"""For one account; hashing a password is meant to take long."""
PLACES = "/usr/sbin:/usr/bin:/sbin:/bin"
JSON = {"Content-Type": "application/json"}
STALE = "secret.stale"


class NotSet(Exception):
    """A secret could not be set; `code` and `sentence` say why, and hold nothing of it."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


class Setter(Protocol):
    """Sets the secret of an account of this device."""

    def put(self, account: str, secret: str) -> None:
        """Set it, or raise `NotSet`; setting what is set already does no harm."""
        ...


class Chpasswd:
    """Sets passwords as ``chpasswd`` (shadow, busybox) does.

    Args:
        root: the file tree whose accounts are meant.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, account: str, secret: str) -> None:
        """See `Setter`."""
        if account not in self._accounts():
            raise NotSet("secret.no_account", f"There is no account {account!r} on this device.")
        program = shutil.which("chpasswd", path=PLACES)
        if program is None:
            raise NotSet("secret.no_chpasswd", "There is no chpasswd on this device to set a password with.")
        # In another tree the device's own PAM has no say, so the hash is named.
        elsewhere = [] if self._root == Path("/") else ["-R", str(self._root), "-c", "SHA512"]
        try:
            ended = subprocess.run(  # noqa: S603  (no shell; the program is the system's, the account was checked)
                [program, *elsewhere],
                input=f"{account}:{secret}\n".encode(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # not even what it says may hold a part of its input
                env={"PATH": PLACES, "LC_ALL": "C"},
                timeout=SET_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            # A timeout's own text names the command only; its input is not kept.
            raise NotSet("secret.not_set", f"chpasswd could not be run: {type(error).__name__}.") from None
        if ended.returncode != 0:
            raise NotSet(
                "secret.not_set",
                f"chpasswd ended with {ended.returncode}: the agent may lack the right to change passwords.",
            )

    def _accounts(self) -> set[str]:
        try:
            lines = (self._root / "etc/passwd").read_text("utf-8", "replace").splitlines()
        except OSError:
            return set()
        return {line.partition(":")[0] for line in lines}


def carry_out(order: Order, channel: Channel, setter: Setter) -> DirectiveReport | None:
    """Fetch, set and confirm the secrets of a directive; its report, or `None` while some of it is to be done again."""
    try:
        args = msgspec.json.decode(order.args, type=SecretsArgs)
    except (msgspec.MsgspecError, RecursionError) as error:
        return refused(order, "directive.malformed", f"The arguments could not be read: {error}.")
    again = False
    why: DirectiveReport | None = None
    for each in args.secrets:
        try:
            _rotate(each, channel, setter)
        except NotSet as error:
            why = why or refused(order, error.code, error.sentence)
        except Failed as error:
            if error.refusal.passing:
                again = True
            elif error.refusal.code != STALE:  # another version waits, or none: the next directive says
                why = why or refused(order, error.refusal.code, error.refusal.sentence)
    if again:
        return None
    return why or done(order)


def _rotate(each: Ordered, channel: Channel, setter: Setter) -> None:
    asked = msgspec.json.encode({"version": each.version})
    answer = channel.call("POST", f"{PATH}{each.account}", asked, JSON)
    try:
        told = msgspec.json.decode(answer, type=SecretTold)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        told = None
    # A secret with a line's end in it would be two lines for chpasswd, the second about another account.
    if told is None or (told.account, told.version) != (each.account, each.version) or not told.secret.isprintable():
        raise NotSet("secret.bad_answer", "The server's answer does not hold the secret that was asked for.")
    setter.put(told.account, told.secret)
    channel.call("POST", f"{PATH}{each.account}/confirmed", asked, JSON)
