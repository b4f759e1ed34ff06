"""The device's connection to its server, whatever its key lies in.

1. What a TPM or a token needs is loaded only where there is one.
"""

from __future__ import annotations

from holdfast_agent import transport
from holdfast_agent.state import IDENTITY, ROOT, Config, Folder, KeyPlace
from holdfast_core.kernel.errors import WorldError


def dial(folder: Folder, config: Config) -> transport.Channel:
    """The device's connection to its server. Raises WorldError ``agent.identity_unusable``, ``agent.tpm_provider``."""
    if config.key is KeyPlace.TPM:
        from holdfast_agent.provider import use_tpm  # noqa: PLC0415  (only where there is a chip)

        use_tpm(config.tcti)
    if config.key is KeyPlace.TOKEN:
        from holdfast_agent.relay import RelayClient  # noqa: PLC0415  (only where there is a token)
        from holdfast_agent.token import parse_token  # noqa: PLC0415

        server, token = transport.parse_server(config.server), parse_token(config.token)
        return RelayClient(server, token, root=folder.path / ROOT, identity=folder.path / IDENTITY)
    try:
        context = transport.pinned_context((folder.path / ROOT).read_text("ascii"), folder.path / IDENTITY)
    except (OSError, UnicodeDecodeError) as error:
        raise WorldError(
            "agent.identity_unusable",
            f"The device's key, certificate or authority cannot be used: {error}.",
            remedy="Ask an operator for a new claim and enroll the device again.",
        ) from error
    return transport.Client(transport.parse_server(config.server), context)
