"""Nouns: what a machine consists of; the structs, their shape, and what things cost."""
