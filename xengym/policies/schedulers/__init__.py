"""Scheduling policies, one file each; `api.pxd` is the boundary, read it first."""
