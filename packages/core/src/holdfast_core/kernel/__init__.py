"""The few nouns that every feature shares: errors, ids, digests, instants, severity, reasons, appraisals, limits."""
