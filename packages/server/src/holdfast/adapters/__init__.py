"""The only place that knows SQL, files, sockets and other people's programs."""
