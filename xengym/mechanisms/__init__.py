"""Verbs: how Xen does a thing; never chooses."""
