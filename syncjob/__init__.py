"""syncjob keeps the followers of a WeChat Official Account in your own relational database."""

__version__ = "0.1.0"
