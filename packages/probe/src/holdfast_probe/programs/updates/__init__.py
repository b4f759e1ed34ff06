"""Looking at how updates come in: the updaters that are set up, their sources and their keys."""
