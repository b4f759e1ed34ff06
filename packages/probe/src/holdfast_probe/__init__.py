"""Part of Holdfast."""
