"""Payloads in a folder, and what their own tools say of them."""
