"""Choices: which vCPU runs next; never acts on another room's state."""
