"""How fast syncjob is, side by side with the ways people have of doing the same.

`make bench` runs it; README.md beside this file says what is measured, and how.
"""
