"""A telephone carrier played by a program: its media stream as a faithful client, and what its caller hears."""
