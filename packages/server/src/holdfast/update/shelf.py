"""What is served of a scope's repositories, from memory: only what is newer, or the classic layout of a TUF repository.

1. A device is sent what differs from what it says it holds, not only what is newer: whoever stole a key may have given
   it versions far ahead, and after the next root it has to start again from ours. What it refuses costs a few KB.
2. Roots go first. A device that has more roots to follow than fit gets the rest with its next request.
3. A device that is directed somewhere is sent the role of that model and the exemptions, with those for its release.
4. The snapshot before the newest stays, for clients that are between two requests.
"""

from __future__ import annotations

import msgspec

from holdfast.update.online_files import OnlineSigner
from holdfast.update.proposals import Waiting
from holdfast.update.state import State
from holdfast_core.kernel.digests import digest_of
from holdfast_core.update.agreement import EXEMPTIONS
from holdfast_core.update.repository import FIRST_ROOT, Name, Online, Part, Repository
from holdfast_core.wire.update_metadata import FILES, Versions

SMALL_TARGETS = 8
"""Exemptions of one release that a device is sent, the last to end first."""
ROOTS_AT_ONCE = FILES - SMALL_TARGETS - 6
ROOTS_FIRST = 256 * 1024
"""Bytes of roots beyond which the rest waits for the next request."""
LARGEST_SMALL = 512 * 1024
"""Bytes of all exemptions in one answer. With these, the largest files allowed still fit into `LARGEST_BROUGHT`."""


class Shelf(msgspec.Struct, frozen=True):
    """One scope: its state and record, what waits, its online files and their keys."""

    state: State
    record: Repository
    waiting: dict[str, Waiting] = msgspec.field(default_factory=dict)
    snapshot: bytes = b""
    timestamp: bytes = b""
    before: dict[str, bytes] = msgspec.field(default_factory=dict)
    """Files that were in force just before, by name."""
    signers: dict[tuple[Name, str], OnlineSigner] = msgspec.field(default_factory=dict)

    @property
    def is_live(self) -> bool:
        """Whether devices can be sent anything."""
        return bool(self.timestamp)

    def key(self, which: Online) -> OnlineSigner | None:
        """The key in force for the director, or for bundles."""
        name = Name.DIRECTOR if which is Online.DIRECTOR else Name.OFFLINE
        return self.signers.get((name, "timestamp"))


def roots_newer(state: State, name: Name, version: int) -> dict[str, bytes]:
    """The roots after `version`, the next ones first, as many as fit."""
    chain = state.roots.get(name, ())
    first = max(0, version - FIRST_ROOT[name] + 1)
    found, size = {}, 0
    for file in chain[first : first + ROOTS_AT_ONCE]:
        if size > ROOTS_FIRST:
            break
        size += len(file.data)
        found[f"{file.root.version}.root.json"] = file.data
    return found


def roots_complete(state: State, name: Name, version: int, sent: dict[str, bytes]) -> bool:
    """Whether a device that takes the roots `sent` has the newest, and there is room for more."""
    newest = state.root(name)
    if newest is None or sum(map(len, sent.values())) > ROOTS_FIRST:
        return False
    return version >= newest.root.version or f"{newest.root.version}.root.json" in sent


def image_newer(shelf: Shelf, versions: Versions, path: str) -> dict[str, bytes]:
    """The files of the image repository that differ from what a device holds.

    Args:
        shelf: of its scope.
        versions: what it says it holds.
        path: the target that it is directed to; empty: none.
    """
    state, record = shelf.state, shelf.record
    files = roots_newer(state, Name.IMAGE, versions.root)
    if not shelf.is_live or not roots_complete(state, Name.IMAGE, versions.root, files):
        return files
    if record.timestamp is not None and versions.timestamp != record.timestamp.version:
        files["timestamp.json"] = shelf.timestamp
    if record.snapshot is not None and versions.snapshot != record.snapshot.version:
        files[f"{record.snapshot.version}.snapshot.json"] = shelf.snapshot
    if state.targets is not None and versions.targets != state.targets.targets.version:
        files[f"{state.targets.targets.version}.targets.json"] = state.targets.data
    model, _, rest = path.partition("/")
    small = _exemptions(state, f"{model}:{rest.partition('/')[0]}")
    for role in (model, EXEMPTIONS) if path else ():
        part = state.parts.get(role)
        if part is not None and role in state.roles and versions.roles.get(role) != part.version:
            files[role_file(part)] = state.roles[role]
    return files | small


def _exemptions(state: State, release: str) -> dict[str, bytes]:
    fitting = [each for each in state.exemptions if each.exemption.release == release]
    newest = sorted(fitting, key=lambda each: -each.exemption.until)[:SMALL_TARGETS]
    found, size = {}, 0
    for each in newest:
        size += len(each.data)
        if size <= LARGEST_SMALL:
            found[each.name] = each.data
    return found


def image_file(shelf: Shelf, name: str) -> bytes | None:
    """A file of the image repository by the name a TUF client asks for; `None` where there is none."""
    state, record = shelf.state, shelf.record
    if name == "timestamp.json":
        return shelf.timestamp or None
    number, _, rest = name.partition(".")
    if rest == "root.json":
        return root_file(state, Name.IMAGE, number)
    if rest == "snapshot.json" and record.snapshot is not None and number == str(record.snapshot.version):
        return shelf.snapshot
    role = rest.removesuffix(".json")
    part = state.parts.get(role)
    if part is not None and name == role_file(part):
        return state.targets.data if role == "targets" and state.targets else state.roles.get(role)
    small = next((each.data for each in state.exemptions if each.name == name), None)
    return small if small is not None else shelf.before.get(name)


def root_file(state: State, name: Name, number: str) -> bytes | None:
    """One root of a repository by its number in decimal."""
    return next((file.data for file in state.roots.get(name, ()) if str(file.root.version) == number), None)


def role_file(part: Part) -> str:
    """The name by which a role's file is served."""
    return f"{part.version}.{part.role}.json"


def replaced(old: Shelf | None, state: State) -> dict[str, bytes]:
    """The files of `old` that a client between two requests may still ask for."""
    if old is None:
        return {}
    kept = {}
    if old.record.snapshot is not None:
        kept[f"{old.record.snapshot.version}.snapshot.json"] = old.snapshot
    for role, part in old.state.parts.items():
        if state.parts.get(role) != part and (data := image_file(old, role_file(part))) is not None:
            kept[role_file(part)] = data
    return kept


def record_of(state: State, before: Repository) -> Repository:
    """The image repository's record for a state; the issues stay."""
    roots = tuple(root_part(file.data, file.root.version) for file in state.roots.get(Name.IMAGE, ()))
    parts = tuple(state.parts[role] for role in sorted(state.parts) if role != "targets")
    return msgspec.structs.replace(before, roots=roots, targets=state.parts.get("targets"), roles=parts)


def root_part(data: bytes, version: int) -> Part:
    """What is kept of a root."""
    return Part("root", version, digest_of(data), len(data))
