"""Checks that users can run, too: conformance and speed."""
