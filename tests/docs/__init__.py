"""The pages and the files of deploy/ against the code."""
