"""The client behind ``kammerton talk``: a Realtime client like any other, which knows the protocol only."""
