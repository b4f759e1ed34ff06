"""TCG event logs: what firmware and boot loaders say they extended a TPM's registers with."""
