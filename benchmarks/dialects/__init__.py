"""The protocols that the benchmark speaks, one file each."""
