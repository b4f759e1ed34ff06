"""The demo: a control plane, a fleet of six, an attack, and everything that follows, as a story on the terminal."""
