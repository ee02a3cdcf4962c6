"""The remote terminal: a process of its own that joins a device's shell and a browser."""
