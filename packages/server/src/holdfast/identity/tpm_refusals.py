"""In which words an enrollment with a TPM is refused; the rules that refuse are `tpm_enrollment`'s."""

from __future__ import annotations

from holdfast_core.identity.rules import IdentityRefused
from holdfast_core.kernel.errors import WorldError


def claim_required() -> IdentityRefused:
    """A genuine chip, and nobody said which device it is in."""
    return IdentityRefused(
        "tpm.claim_required",
        "The chip is genuine, but nobody has said that it is this device's.",
        remedy="Enroll with a claim (holdfast claim create DEVICE), or pin the chip: holdfast tpm pin DEVICE DIGEST.",
    )


def session_invalid() -> IdentityRefused:
    """An exchange that was never begun here, or too long ago."""
    return IdentityRefused(
        "tpm.session_invalid",
        "This exchange was not begun here, or too long ago.",
        remedy="Begin again; the agent's enroll command does so.",
        http_status=401,
    )


def session_spent() -> IdentityRefused:
    """An exchange whose secret was shown before."""
    return IdentityRefused(
        "tpm.session_spent",
        "This exchange was used already.",
        remedy="Begin again; each exchange serves once.",
        http_status=401,
    )


def chip_of_another() -> IdentityRefused:
    """A chip that is another device's."""
    return IdentityRefused(
        "tpm.ek_bound",
        "This chip is another device's. An incident was opened.",
        remedy="If the board was moved on purpose, an operator releases the chip: holdfast tpm release DIGEST.",
    )


def chip_of_retired(device: str) -> IdentityRefused:
    """A chip whose device was retired."""
    return IdentityRefused(
        "tpm.device_retired",
        f"The chip of {device} asked for a certificate, and that device is retired.",
        remedy="Find out who runs it. To use the board again, release its chip and give it another name.",
    )


def device_bound() -> IdentityRefused:
    """A device that has another chip."""
    return IdentityRefused(
        "tpm.device_bound",
        "This device is known to have another chip.",
        remedy="If its board was replaced, an operator releases the old chip first: holdfast tpm release DIGEST.",
    )


def revoked() -> IdentityRefused:
    """A device that a person cut off."""
    return IdentityRefused(
        "tpm.revoked",
        "The last certificate of this device was revoked, so its chip alone does not bring it back.",
        remedy="Ask an operator for a claim: holdfast claim create DEVICE.",
    )


def held(device: str) -> IdentityRefused:
    """A device that is quarantined."""
    return IdentityRefused(
        "tpm.held",
        f"{device} is quarantined, and what is held gets no new certificate.",
        remedy="A person decides first: holdfast device release DEVICE --why REASON.",
    )


def tpm_required() -> IdentityRefused:
    """A key outside of the TPM of a device that has one."""
    return IdentityRefused(
        "tpm.required",
        "This device has a TPM, and the request is for a key that the TPM did not prove.",
        remedy="Enroll or renew with the chip (holdfast-agent enroll --key tpm). If it has none any more, an operator "
        "releases it: holdfast tpm release DIGEST.",
    )


def busy() -> WorldError:
    """The same chip at the same time or too often, or more exchanges than are remembered."""
    return WorldError(
        "tpm.busy",
        "The chip is being enrolled at this moment, or came too often, or very many come.",
        remedy="Come again after the time in Retry-After.",
    )
