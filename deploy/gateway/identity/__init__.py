"""Who calls: TLS, API keys, and what each may use."""
