"""The alphabet every other package is written in; standard library only."""
