"""The engines one by one, without a server around them. These benchmarks import ``models``, and no server."""
