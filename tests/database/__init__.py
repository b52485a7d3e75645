"""Tests of what differs between databases: connections, schemas, poolers, failures."""
