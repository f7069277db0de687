"""Other people's servers that can be run here, offline, on the same weights, to be measured by the same client."""
