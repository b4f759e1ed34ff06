"""Virtual devices that speak the real protocol with real keys, and the demo they play in."""
