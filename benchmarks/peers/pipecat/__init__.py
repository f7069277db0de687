"""Pipecat's local pipeline as a peer server: `python -m benchmarks.peers.pipecat` starts it and prints its URL.

Silero VAD, smart-turn, faster-whisper and Piper run in Pipecat's process, on the very weights of this server's ``tiny``
profile; the chat model is asked over HTTP, at a Kammerton server that does nothing else. It runs in an environment of
its own (``scripts/peer-env``), which is not needed for anything else.
"""
