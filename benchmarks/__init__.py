"""Benchmarks of syncjob against other programs for the same task.

Run them with `make bench`; README.md in this folder explains what is measured, and how.
"""
