"""What a device should run, how it gets there, and how many may be wrong before somebody looks."""
