"""The doctor: looks at all that a run needs, changes nothing, names what is wrong and its cure."""
