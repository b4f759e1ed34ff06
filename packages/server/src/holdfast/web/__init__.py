"""The edges: HTTP for devices, HTTP for operators. Parsing, authentication and rendering only; no rule lives here."""
