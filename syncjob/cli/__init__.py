"""The command line: it only translates. Options in, one call, words and an exit code out."""
