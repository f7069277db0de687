"""Who answers: agent files, the kinds of tools they name, hand-offs, limits, and the script behind the model."""
