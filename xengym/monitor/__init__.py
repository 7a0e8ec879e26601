"""Read-only views of a running host."""
