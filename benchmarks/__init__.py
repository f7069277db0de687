"""Measures any server that speaks the Realtime protocol, as a caller would: from the outside, in samples."""
