"""From a model file to what its devices' evidence must show.

1. The root of trust decides by what a device attests; a model may narrow the registers, never the checks.
2. Registers that nobody named are 0 to 7: what the firmware, and whom it trusts, measured. A loader that measures more
   has its registers named in the model, and its values in the releases.
"""

from __future__ import annotations

from holdfast_core.attestation.model import FEATURE, Expected, Method, Policy
from holdfast_core.inventory.model import DeviceModel, RootOfTrust

FIRMWARE_REGISTERS = tuple(range(8))
_METHODS = {RootOfTrust.TPM: Method.TPM, RootOfTrust.PSA: Method.TOKEN}


def policy_of(model: DeviceModel) -> Policy:
    """The policy of a model; with `Method.NONE` no evidence is asked for."""
    asked = model.attestation
    method = _METHODS.get(model.constraints.root_of_trust, Method.NONE)
    if not (asks(model) and method is not Method.NONE):
        return Policy(Method.NONE)
    return Policy(
        method=method,
        bank=asked.bank.value,
        registers=tuple(sorted(set(asked.registers))) or FIRMWARE_REGISTERS,
        ima=asked.ima,
        secure_boot=model.boot.secure_boot and method is Method.TPM,
        lifecycle=asked.lifecycle,
        debug_off=asked.debug_off,
        tamper_proof=asked.tamper_proof,
        components=None
        if asked.components is None
        else tuple(sorted(Expected(part.place, part.identity) for part in asked.components)),
    )


def asks(model: DeviceModel) -> bool:
    """Whether a model's devices are asked for evidence: where they can measure, or their verdict needs it."""
    return model.boot.measured_boot or any(need.appraisal == FEATURE for need in model.needs)
