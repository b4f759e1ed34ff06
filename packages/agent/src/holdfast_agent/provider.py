"""Letting this process's TLS use a key that lies in a TPM: OpenSSL's tpm2 provider, loaded where Python's ssl lives.

1. Python names no provider, so the three public functions of OpenSSL 3 that do are called in the very library that
   its ssl module is linked to. No configuration file, no second process, and nothing is reached inside an object.
2. Loaded once, before the first context that shows the identity; not at all where the key is a plain file.
3. Elliptic curves then go to the chip, also for verifying the server; hashes, ciphers and random numbers do not.
   Debian's tpm2-openssl 1.1 needs it so: left to choose, OpenSSL would ask it for a private key that no chip gives.
"""

from __future__ import annotations

import ctypes
import os

from holdfast_core.kernel.errors import WorldError

PROPERTIES = b"?provider=tpm2,tpm2.digest!=yes,tpm2.cipher!=yes,tpm2.rand!=yes"
TCTI_VARIABLE = "TPM2OPENSSL_TCTI"


def use_tpm(tcti: str) -> None:
    """Load the provider, and send to the chip what only it can do.

    Args:
        tcti: how the chip is reached, as tpm2-tss writes it, e.g. ``device:/dev/tpmrm0``.

    Raises:
        WorldError: ``agent.tpm_provider``.
    """
    # Both are read by the provider's C code when it is loaded; what goes wrong is told by us, not by its log.
    os.environ[TCTI_VARIABLE] = tcti
    os.environ.setdefault("TSS2_LOG", "all+NONE")
    import _ssl  # noqa: PLC0415  (loads OpenSSL, which must see the variable)

    try:
        library = ctypes.CDLL(_ssl.__file__)
        load, prefer = library.OSSL_PROVIDER_load, library.EVP_set_default_properties
    except (AttributeError, OSError) as error:
        raise _unusable("Python's OpenSSL has no providers; it must be version 3") from error
    load.restype, load.argtypes = ctypes.c_void_p, (ctypes.c_void_p, ctypes.c_char_p)
    prefer.restype, prefer.argtypes = ctypes.c_int, (ctypes.c_void_p, ctypes.c_char_p)
    # The default one by name as well: OpenSSL loads it by itself only while no other was asked for.
    for name in (b"default", b"tpm2"):
        if not load(None, name):
            raise _unusable(f"OpenSSL could not load its {name.decode()} provider")
    if prefer(None, PROPERTIES) != 1:
        raise _unusable("OpenSSL took no preference for the tpm2 provider")


def _unusable(why: str) -> WorldError:
    return WorldError(
        "agent.tpm_provider",
        f"The key in the TPM cannot be used for TLS: {why}.",
        remedy="Install OpenSSL's tpm2 provider (Debian: apt-get install tpm2-openssl), and let the agent use "
        "/dev/tpmrm0 (group tss).",
    )
