"""Hugging Face's speech-to-speech as a peer server: `python -m benchmarks.peers.speech_to_speech` starts it and prints
its URL.

It serves the Realtime protocol itself. Silero VAD, smart-turn and faster-whisper run in its process, on the very
weights of this server's ``tiny`` profile (smart-turn's come with Pipecat); the chat model and Piper are asked over
HTTP, at a Kammerton server that does nothing else. It runs in an environment of its own (``scripts/peer-env``).

What it would fetch at its start is laid out for it: Silero as a folder of torch.hub, and a sentence splitter of NLTK
that was trained on nothing, which splits what the bundled model says at the same places.
"""
