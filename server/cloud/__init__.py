"""Sessions whose models are a hosted provider's: only loaded where the operator allows one by name."""
