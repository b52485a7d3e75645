"""What is particular to a database: connections, schemas, poolers, failures."""
