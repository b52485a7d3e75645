"""The database: tables, schema, and the store that holds every SQL statement. Knows no WeChat."""
