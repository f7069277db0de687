"""What is allowed: who may come in, and how much they may use."""
