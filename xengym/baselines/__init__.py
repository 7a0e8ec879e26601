"""Policies to hold an agent against, and the comparison itself."""
