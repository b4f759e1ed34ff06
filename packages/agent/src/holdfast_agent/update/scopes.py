"""Whether metadata belongs where it was found: to this repository, and to the device's own scope.

1. Roots name their repository and their scope, targets that people sign their scope. One that names another is refused,
   however well it is signed: the same people may sign for several environments.
2. The scope is that of the pinned image root. Where that names none there is nothing to compare with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.printable import printable

if TYPE_CHECKING:
    from holdfast_agent.update.metadata_view import View
    from holdfast_agent.update.repository import Repository

OTHER_SCOPE = "update.metadata_other_scope"
_REMEDY = "It was signed for another place. Compare tenant and environment of the server with the device's enrollment."


def check_place(root: View, repository: str, scope: str) -> None:
    """Refuse a root of another repository or scope.

    Args:
        root: verified.
        repository: which one it should be of.
        scope: the device's own; empty where none was pinned.

    Raises:
        HostileData: ``update.metadata_other_repository``, ``update.metadata_other_scope``.
    """
    if root.repository and root.repository != repository:
        raise HostileData(
            "update.metadata_other_repository",
            f"A root of the repository {printable(root.repository)} stood in for the {repository} repository's.",
            remedy="Nothing of it was kept. Find out who answered in the server's place.",
        )
    if scope and root.scope != scope:
        raise foreign(f"The {repository} repository's root {root.version}", root.scope, scope)


def check_scopes(repository: Repository, scope: str) -> None:
    """Refuse what people signed for another scope. Raises HostileData ``update.metadata_other_scope``."""
    others = sorted(repository.scopes() - {scope})
    if scope and others:
        raise foreign(f"Metadata of the {repository.name} repository", others[0], scope)


def foreign(what: str, found: str, scope: str) -> HostileData:
    """The refusal of what is for another scope."""
    named = printable(found[:127]) or "no environment"
    return HostileData(OTHER_SCOPE, f"{what} is for {named}, and this device is of {scope}.", remedy=_REMEDY)
