"""Text and pictures of a host."""
