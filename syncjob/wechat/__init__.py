"""WeChat's API: client, tokens, transport. Knows no database."""
