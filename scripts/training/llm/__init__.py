"""What scripts/train_tiny_llm.py is made of: simulated phone calls, the network, its training and its examination."""
