"""Looking at accounts, keys, certificates and secrets, and at the data that a device holds."""

from __future__ import annotations

from holdfast_core.baseline.probes.credentials import (
    Accounts,
    AtRest,
    Certificates,
    Entropy,
    PasswordFiles,
    PersonalData,
    PrivateKeys,
    RootRights,
    SecretPlace,
    Secrets,
    ServerKeys,
    TlsOffers,
    TrustStore,
    UncheckedTransfer,
)
from holdfast_probe.case import Case, Looks
from holdfast_probe.credentials.accounts import see_accounts
from holdfast_probe.credentials.at_rest import see_at_rest
from holdfast_probe.credentials.certificate_hunt import CertificateHunt
from holdfast_probe.credentials.entropy import see_entropy
from holdfast_probe.credentials.key_hunt import KeyHunt
from holdfast_probe.credentials.password_files import see_password_files
from holdfast_probe.credentials.personal import PersonalHunt
from holdfast_probe.credentials.rights import see_root_rights
from holdfast_probe.credentials.secret_hunt import ProgramSecretHunt, TextSecretHunt
from holdfast_probe.credentials.server_keys import see_server_keys
from holdfast_probe.credentials.tls import see_tls_offers
from holdfast_probe.credentials.transfer import TransferHunt
from holdfast_probe.credentials.trust import see_trust_store
from holdfast_probe.hunt import Hunt, Hunts


def _secrets(case: Case, spec: Secrets) -> Hunt:
    return TextSecretHunt(case, spec) if spec.place is SecretPlace.TEXT else ProgramSecretHunt(case, spec)


LOOKS: Looks = {
    Accounts: see_accounts,
    RootRights: see_root_rights,
    PasswordFiles: see_password_files,
    ServerKeys: see_server_keys,
    TrustStore: see_trust_store,
    Entropy: see_entropy,
    TlsOffers: see_tls_offers,
    AtRest: see_at_rest,
}
HUNTS: Hunts = {
    PrivateKeys: lambda case, spec: KeyHunt(spec, file_bytes=case.budget.file_bytes(live=case.root.live)),
    Certificates: CertificateHunt,
    Secrets: _secrets,
    PersonalData: lambda case, _spec: PersonalHunt(case.root),
    UncheckedTransfer: lambda case, _spec: TransferHunt(case.root),
}
