"""The REST process: owgw's and owsec's public listeners."""
