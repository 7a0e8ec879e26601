"""Experiments behind published figures: each function builds a machine, runs it, and returns what it measured."""
