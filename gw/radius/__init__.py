"""RADIUS between devices and servers: codec, pools, accounting, and the proxy process."""
