"""Virtual devices that prove what they booted, many of them in one process; see `device` and `soak`."""
