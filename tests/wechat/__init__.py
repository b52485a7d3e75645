"""WeChat's answers: transport, tokens, errcodes, broken and hostile bodies."""
