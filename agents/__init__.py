"""Learned agents: training, evaluation, the demo. Imports xengym, is never imported by it."""
