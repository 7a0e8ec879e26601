"""Choices that are not a scheduler's: when a migration stops copying, who may come, who has to go and where to."""
