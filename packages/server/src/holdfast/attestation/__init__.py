"""What devices booted: the appraisal of their evidence, and what it is compared with."""
