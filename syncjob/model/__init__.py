"""Frozen values that the layers pass to each other, and the parsing of WeChat's JSON.

A file per subject; import each value from the file that defines it.
"""
