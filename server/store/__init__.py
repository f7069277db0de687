"""What a call leaves behind outside the conversation: facts, slots, and which tools have run."""
