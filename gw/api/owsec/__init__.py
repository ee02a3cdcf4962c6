"""The security service: owsec's public listener."""
