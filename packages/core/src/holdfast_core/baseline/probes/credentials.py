"""The probes of accounts, keys, certificates, secrets, and of the data that a device holds."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, TypeAlias

import msgspec

from holdfast_core.baseline.probes.shape import PathGlob, Probe


class AccountCheck(StrEnum):
    """What `Accounts` asks of ``/etc/passwd`` and ``/etc/shadow``."""

    EMPTY_PASSWORD = "empty_password"  # noqa: S105  (the name of a check)
    """No account has an empty password field."""
    DEFAULT_PASSWORD = "default_password"  # noqa: S105  (the name of a check)
    """No account opens with a notorious vendor default or with its own name."""
    UID_ZERO = "uid_zero"
    """Only ``root`` has uid 0."""
    HASH_STRENGTH = "hash_strength"
    """Every password hash is sha256-crypt or stronger."""
    UNEXPECTED_LOGIN = "unexpected_login"
    """Every account that can log in is in the plan's `accounts`."""
    SHARED_HASH = "shared_hash"
    """No account opens with a password that the image brings: every device of the build has that one.

    A folder: no usable hash at all. Live: none equals the one in ``/rom``; without a ``/rom`` to compare: unknown.
    """
    PASSWORD_LOGIN = "password_login"  # noqa: S105  (the name of a check)
    """No account opens with a password at all: there is nothing to guess. For conditions."""


class Accounts(Probe, frozen=True, tag="accounts"):
    """One `check` of the accounts; no ``/etc/passwd``: not applicable, but unknown beside a shell and an init.

    Unknown as well where programs read a line differently, and where a link leads out of an image.
    """

    check: AccountCheck


class RootRights(Probe, frozen=True, tag="root_rights"):
    """No rule of sudo or doas lets everybody, or anybody without a password, do anything as root.

    Rules of ``root`` itself do not count. Neither sudoers nor doas.conf: not applicable.
    """


class PasswordFiles(Probe, frozen=True, tag="password_files"):
    """No password file of a web server, PPP or Wi-Fi holds a notorious default, an MD5 or DES hash, or plain text.

    Plain text counts in files that others than their owner can read, and in an image always: every device of the
    build has it. Nothing of the kind: not applicable. What cannot be tried within the budget: unknown.
    """


class PrivateKeys(Probe, frozen=True, tag="private_keys"):
    """No file holds a private key that decodes (PEM, DER, OpenSSH, dropbear), but for matches of `allow`. Walks, reads.

    A program that merely contains the words of a header has no key.
    """

    allow: Annotated[tuple[PathGlob, ...], msgspec.Meta(max_length=64)] = ()


class ServerKeys(Probe, frozen=True, tag="server_keys"):
    """No private key that a server on the device shows (SSH host keys, keys of web servers and brokers) is shared.

    A folder: none lies in it, since every device of the build would have it. Live: none equals the file in ``/rom``;
    without a ``/rom`` to compare with: unknown. No key: pass in a folder, not applicable live.
    """


class SecretPlace(StrEnum):
    """Where `Secrets` looks."""

    TEXT = "text"
    """Scripts, settings and pages."""
    PROGRAMS = "programs"
    """The strings of programs and libraries."""


class Secrets(Probe, frozen=True, tag="secrets"):
    """No file of the `place` carries a password, token or access key, but for matches of `allow`. Walks, reads.

    Text: a script fails with any; a settings file in an image with any, on a running system with a public default or
    when everybody can read it. Placeholders, references to variables and public examples are left out.
    """

    place: SecretPlace
    allow: Annotated[tuple[PathGlob, ...], msgspec.Meta(max_length=64)] = ()


class CertificateCheck(StrEnum):
    """What `Certificates` asks of the certificates of the device itself, those of trust stores left out."""

    KEY_SIZE = "key_size"
    """RSA and DSA keys of at least 2048 bits, elliptic curves of at least 224; SSH public keys as well."""
    DATES = "dates"
    """None has expired, or will within 14 days or the last tenth of its life. No clock, or one that is before the
    certificate's first day: unknown."""


class Certificates(Probe, frozen=True, tag="certificates"):
    """Every certificate of the device itself passes `check`; none: not applicable. Walks, reads."""

    check: CertificateCheck


class TrustStore(Probe, frozen=True, tag="trust_store"):
    """The system's trust store has at most `maximum` authorities, none of them distrusted, weak, or signed with MD5.

    No store: not applicable.
    """

    maximum: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 200


class Entropy(Probe, frozen=True, tag="entropy"):
    """Randomness is there when keys are made: something seeds it, and no seed is the same on every device.

    A folder: a seed file in it fails; a seeding service, a random number daemon or a kernel of 5.4 and later (which
    seeds itself from timing jitter) passes; else fail. Live: the kernel's pool is filled, or a hardware source is used.
    """


class TlsOffers(Probe, frozen=True, tag="tls_offers"):
    """No settings of a TLS server or library offer a protocol below 1.2 or a broken cipher.

    Read: OpenSSL, GnuTLS and system-wide policies, nginx, lighttpd, mosquitto, stunnel, hostapd. None sets anything:
    not applicable, since what its program then does is not in a file.
    """


class AtRest(Probe, frozen=True, tag="at_rest"):
    """Some storage is encrypted: a device-mapper crypt volume (live), an entry of crypttab, or fscrypt; else fail."""


class PersonalData(Probe, frozen=True, tag="personal_data"):
    """No traces of people lie in an image: home files, contacts, mail, browser data, networks, photos with a place.

    Walks. On a running system: not applicable, since its owner may keep there what they like.
    """


class UncheckedTransfer(Probe, frozen=True, tag="unchecked_transfer"):
    """No script and no client's settings switch off the check of the other side's certificate or host key. Walks."""


CredentialProbe: TypeAlias = (
    Accounts
    | RootRights
    | PasswordFiles
    | PrivateKeys
    | ServerKeys
    | Secrets
    | Certificates
    | TrustStore
    | Entropy
    | TlsOffers
    | AtRest
    | PersonalData
    | UncheckedTransfer
)
"""The probes of this module."""
