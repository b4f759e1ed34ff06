"""Making verdicts, and letting them fall."""
