"""Commands, settings, logs, notices and the doctor."""
