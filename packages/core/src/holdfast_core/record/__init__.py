"""Record: the tamper-evident log of every verdict change, decision and human action, and its proofs."""
