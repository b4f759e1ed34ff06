"""The port devices call: mutual TLS, check-in and enrollment."""
