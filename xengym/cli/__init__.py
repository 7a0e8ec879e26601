"""The `xengym` command."""
