"""Running one of the TPM's tools: a list of our own words, a time limit, and its first complaint told on.

1. No shell, and no argument from the network other than hexadecimal digits.
"""

from __future__ import annotations

import os
import subprocess

from holdfast_core.kernel.errors import WorldError

TCTI_VARIABLE = "TPM2TOOLS_TCTI"
STEP_S = 120.0
"""A slow chip needs half a minute for an RSA key."""
LARGEST_OUTPUT = 64 * 1024


def run_tool(command: tuple[str, ...], tcti: str, given: bytes = b"") -> bytes:
    """Run one tool.

    Args:
        command: its name and arguments.
        tcti: how the chip is reached.
        given: what it reads from stdin.

    Returns:
        What it wrote to stdout.

    Raises:
        WorldError: ``agent.tpm``, ``agent.tpm_tools``.
    """
    environment = {**os.environ, TCTI_VARIABLE: tcti, "TSS2_LOG": "all+NONE"}
    try:
        done = subprocess.run(  # noqa: S603  (a list of our own words)
            command, env=environment, input=given, capture_output=True, timeout=STEP_S, check=False
        )
    except FileNotFoundError as error:
        raise WorldError(
            "agent.tpm_tools",
            f"{command[0]} is not installed.",
            remedy="Install tpm2-tools 5 (Debian: apt-get install tpm2-tools tpm2-openssl).",
        ) from error
    except subprocess.TimeoutExpired as error:
        raise tpm_failed(command[0], f"it took more than {STEP_S:g} s") from error
    if done.returncode:
        raise tpm_failed(command[0], _last_words(done.stderr[-LARGEST_OUTPUT:]))
    return done.stdout[:LARGEST_OUTPUT]


def tpm_failed(who: str, why: str) -> WorldError:
    """The error of a chip, or of the way to it, that did not do what it should."""
    return WorldError(
        "agent.tpm",
        f"The TPM did not do what it should: {who}: {why}.",
        remedy="Check that /dev/tpmrm0 is there and may be used (group tss), and that no other program holds the chip.",
    )


def _last_words(output: bytes) -> str:
    """The first complaint of a tool: those after it only say that it gave up."""
    lines = [line.strip() for line in output.decode("utf-8", "replace").splitlines()]
    said = next((line for line in lines if line.startswith("ERROR")), "it gave no reason")
    return "".join(sign if sign.isprintable() else " " for sign in said[:200])
