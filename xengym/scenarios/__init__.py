"""Typed configurations, named scenarios, generators, and how they become machines."""
