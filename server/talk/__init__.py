"""The client behind ``kammerton talk``: a Realtime client like any other, a stranger to the server's insides."""
