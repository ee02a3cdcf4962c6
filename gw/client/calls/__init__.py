"""The requests of the API as functions that return a `Call`, by area."""
