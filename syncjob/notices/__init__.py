"""Who is told when an account's runs begin to fail, or succeed again, and how. Once a change."""
