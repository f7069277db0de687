"""Chat models, and what they share: the Hermes tool-call parser and the chat template."""
