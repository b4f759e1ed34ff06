"""What the services need from the world and from each other, as protocols. Nothing here does anything."""
